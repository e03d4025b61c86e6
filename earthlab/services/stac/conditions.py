"""What a search asks of a row, compiled: SQL whose text is ours, values that are bound, shapes compared exactly."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry

Kind = Literal["text", "number", "moment", "list", "geometry"]
Relation = Callable[[BaseGeometry, Any], npt.NDArray[Any]]

RELATIONS: Mapping[str, Relation] = {
    "s_contains": shapely.within,
    "s_crosses": shapely.crosses,
    "s_equals": shapely.equals,
    "s_intersects": shapely.intersects,
    "s_overlaps": shapely.overlaps,
    "s_touches": shapely.touches,
    "s_within": shapely.contains,
}
"""What an item's geometry may be to a given one; the functions take the given one first, which is prepared."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A geometry that items are compared with exactly, after their boxes."""

    name: str
    """What the condition's SQL calls the set of rows that pass, see `exactly`."""
    relation: str
    area: BaseGeometry


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on rows. Its text holds names of ours only; what the request said is bound or a shape."""

    sql: str = "true"
    values: Mapping[str, Any] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ()

    def and_(self, other: "Condition") -> "Condition":
        """Both; their values must not share names."""
        assert not self.values.keys() & other.values.keys()
        return Condition(
            f"({self.sql}) AND ({other.sql})", {**self.values, **other.values}, (*self.shapes, *other.shapes)
        )


def exactly(name: str) -> str:
    """The SQL that holds for the rows that passed the comparison with the shape of this name."""
    return f"row IN (SELECT row FROM {name})"  # noqa: S608 - the name is ours


@dataclass(slots=True)
class Binder:
    """Gives names to the values and shapes of a condition while it is compiled."""

    prefix: str
    values: dict[str, Any] = field(default_factory=dict)
    shapes: list[Shape] = field(default_factory=list)

    def bind(self, value: Any) -> str:
        """The parameter that stands for a value."""
        name = f"{self.prefix}{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def compare(self, relation: str, area: BaseGeometry) -> str:
        """The SQL of an exact comparison with a shape."""
        shape = Shape(f"{self.prefix}shape{len(self.shapes)}", relation, area)
        self.shapes.append(shape)
        return exactly(shape.name)

    def finish(self, sql: str) -> Condition:
        """The condition of this text and what it names of everything bound."""
        named = set(re.findall(r"\$(\w+)", sql))
        used = {name: value for name, value in self.values.items() if name in named}
        return Condition(sql, used, tuple(self.shapes))
