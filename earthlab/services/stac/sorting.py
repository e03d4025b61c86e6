"""The order of answers: what ``sortby`` asks for, always made total, and where in it a page begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earthlab.errors import BadRequest
from earthlab.services.stac.conditions import Binder, Condition
from earthlab.services.stac.queryables import column_of, kind_of, resolve_property

MOST_KEYS = 8
_DIRECTIONS = {"asc": False, "desc": True}


@dataclass(frozen=True, slots=True)
class Key:
    """One thing that rows are ordered by; rows that lack it come last, whatever the direction."""

    sql: str
    """Text, a number, or microseconds since 1970."""
    falling: bool = False
    holds_text: bool = False


Order = tuple[Key, ...]

_MOMENT = Key("moment", falling=True)
_UNIQUE = (Key("id", holds_text=True), Key("collection", holds_text=True))
LATEST_FIRST: Order = (_MOMENT, *_UNIQUE)


def parse_sortby(value: Any) -> Order:
    """The order of the objects of ``sortby``, as in a POST; `LATEST_FIRST` for None.

    Raises
    ------
    BadRequest
        For a field that cannot be sorted by, and for a direction other than ``asc`` and ``desc``.
    """
    if value is None:
        return LATEST_FIRST
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_KEYS:
        raise _bad_sortby(value)
    asked = [_parse_key(part) for part in value]
    return (*asked, *(key for key in _UNIQUE if key.sql not in {k.sql for k in asked}))


def read_sortby(text: str) -> list[dict[str, Any]]:
    """The objects for ``+a,-b`` of a GET, where a plus may have become a space on its way."""
    return [_read_key(part.strip()) for part in text.split(",")]


def write_order(order: Order) -> str:
    """The SQL after ``ORDER BY``."""
    return ", ".join(f"{key.sql} {'DESC' if key.falling else 'ASC'} NULLS LAST" for key in order)


def write_after(order: Order, place: Sequence[Any]) -> Condition:
    """The condition of the rows that come after one, whose values of the keys are given."""
    binder = Binder("after")
    same: list[str] = []
    later: list[str] = []
    for key, value in zip(order, place, strict=True):
        if value is None:
            same.append(f"{key.sql} IS NULL")
            continue
        bound = binder.bind(value)
        beyond = f"({key.sql} {'<' if key.falling else '>'} {bound} OR {key.sql} IS NULL)"
        later.append(" AND ".join([*same, beyond]))
        same.append(f"{key.sql} = {bound}")
    return binder.finish(" OR ".join(f"({part})" for part in later) or "false")


def _parse_key(value: Any) -> Key:
    if not isinstance(value, Mapping) or "field" not in value or value.keys() - {"field", "direction"}:
        raise _bad_sortby(value)
    direction = value.get("direction", "asc")
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        raise BadRequest(f"sortby: the direction is {str(direction)[:40]!r}, expected asc or desc.")
    name = resolve_property(value["field"], "sortby")
    kind = kind_of(name)
    if kind == "list":
        raise BadRequest(f"sortby: {name!r} is a list, which has no order. Sort by another property.")
    return Key(_write_key(name), _DIRECTIONS[direction], kind == "text")


def _write_key(name: str) -> str:
    if name == "datetime":
        return _MOMENT.sql
    if name in {"id", "collection"}:
        return name
    return f"epoch_us({column_of(name)})" if kind_of(name) == "moment" else column_of(name)


def _read_key(text: str) -> dict[str, Any]:
    return {"field": text.lstrip("+-"), "direction": "desc" if text.startswith("-") else "asc"}


def _bad_sortby(found: Any) -> BadRequest:
    return BadRequest(
        f"sortby: found {str(found)[:80]!r}, expected one to {MOST_KEYS} of "
        '{"field": "eo:cloud_cover", "direction": "asc"}; in a GET, +a,-b.'
    )
