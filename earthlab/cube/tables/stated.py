"""What a catalogue says of a table that the table itself may not."""

from collections.abc import Mapping
from dataclasses import dataclass

ROLES = ("longitude", "latitude", "time")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``role`` is one of `ROLES` or nothing, ``nodata`` a number that means that nothing was observed."""

    name: str
    role: str = ""
    unit: str = ""
    nodata: float | None = None


@dataclass(frozen=True, slots=True)
class Stated:
    """The columns in order, the point where all of it was observed (longitude, latitude), and how it is written."""

    columns: tuple[Column, ...] = ()
    place: tuple[float, float] | None = None
    charset: str = ""
    headless: bool = False

    @property
    def roles(self) -> Mapping[str, str]:
        """The columns that say where and when, by their role."""
        return {column.role: column.name for column in self.columns if column.role}

    @property
    def units(self) -> Mapping[str, str]:
        """The unit of each column that has one."""
        return {column.name: column.unit for column in self.columns if column.unit}
