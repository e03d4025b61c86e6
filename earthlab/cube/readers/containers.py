"""What a NetCDF, an HDF5 and a Zarr have in common: named arrays with dimensions and attributes, in groups."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

MOST_COORDINATES = 2**24
"""Values of one coordinate, at most."""


@dataclass(frozen=True, slots=True)
class ArrayHead:
    """What the header says of one array. ``path`` is ``"group/sub/name"``; ``chunks`` is None where it is stored whole.

    ``fill`` is the value of what was never written where that is how the format marks missing values, else None.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any] = field(hash=False, repr=False)
    chunks: tuple[int, ...] | None = None
    fill: float | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def group(self) -> str:
        """The path without its last part; empty for the root."""
        return self.path.rpartition("/")[0]


class Container(Protocol):
    """An open file or store. Safe to use from several threads."""

    def heads(self) -> Mapping[str, ArrayHead]:
        """Every array, by its path; no values are read."""
        ...

    def group_attrs(self, group: str) -> Mapping[str, Any]:
        """The attributes of a group; of the root for an empty name."""
        ...

    def read(self, path: str, selection: Sequence[slice]) -> Array:
        """The raw values of a part of an array; one slice of step 1 a dimension."""
        ...

    def close(self) -> None:
        """Let the file go."""
        ...


class Indexed:
    """A container that knows the arrays of each group, and remembers the coordinates that were read."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._coordinates: dict[str, Array] = {}
        self._groups: dict[str, list[ArrayHead]] | None = None
        self.heads, self.group_attrs, self.close = container.heads, container.group_attrs, container.close

    def read(self, path: str, selection: Sequence[slice]) -> Array:
        """The raw values of a part of an array."""
        return self._container.read(path, selection)

    def coordinate(self, head: ArrayHead) -> Array:
        """All raw values of an array.

        Raises
        ------
        ValueError
            For one too long to be a coordinate.
        """
        if math.prod(head.shape) > MOST_COORDINATES:
            raise ValueError(f"its coordinate {head.path!r} has {math.prod(head.shape):,} values")
        if head.path not in self._coordinates:
            self._coordinates[head.path] = self.read(head.path, [slice(0, size) for size in head.shape])
        return self._coordinates[head.path]

    def around(self, head: ArrayHead) -> Iterator[ArrayHead]:
        """The arrays in the group of an array and in those around it."""
        if self._groups is None:
            self._groups = {}
            for one in self.heads().values():
                self._groups.setdefault(one.group, []).append(one)
        for group in enclosing_groups(head.group):
            yield from self._groups.get(group, ())


def enclosing_groups(group: str) -> list[str]:
    """The group itself, the one around it, and so on to the root."""
    parts = group.split("/") if group else []
    return ["/".join(parts[:length]) for length in range(len(parts), -1, -1)]
