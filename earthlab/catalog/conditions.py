"""What ``where=`` asks of an item's properties: comparisons, as CQL2 text for servers and as a check of documents."""

import json
import math
import operator as op
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from earthlab.errors import BadRequest
from earthlab.types import canonical_json, parse_moment

OPERATORS = ("=", "<>", "<", "<=", ">", ">=", "in", "like")
"""Of CQL2. ``like`` knows ``%`` for any letters and ``_`` for one; a backslash before them means themselves."""

_COMPARES = {"=": op.eq, "<>": op.ne, "<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
_SAME = {"==": "=", "!=": "<>", "IN": "in", "LIKE": "like"}
_NAME = re.compile(r"[A-Za-z_:][\w:.\-]*", re.ASCII)
_MOMENTS = frozenset(
    {"datetime", "start_datetime", "end_datetime", "created", "updated", "published", "expires", "unpublished"}
)


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One comparison of a property with a value.

    Attributes
    ----------
    name : str
        Name of a property of items, ``"view:off_nadir"``; also ``"id"`` and ``"collection"``.
    operator : str
        One of `OPERATORS`.
    value : str
        Text, number, truth value, ``null`` or, for ``in``, a list of them: as JSON text, so that ``1`` is not ``true``.
    """

    name: str
    operator: str
    value: str

    @property
    def operand(self) -> Any:
        """The value itself."""
        return json.loads(self.value)

    def as_cql2(self) -> str:
        """The comparison as CQL2 text."""
        value = self.operand
        if value is None:
            return f'"{self.name}" IS NULL' if self.operator == "=" else f'"{self.name}" IS NOT NULL'
        if self.operator == "in":
            return f'"{self.name}" IN ({", ".join(self._literal(one) for one in value)})'
        return f'"{self.name}" {self.operator.upper()} {self._literal(value)}'

    def holds(self, document: Mapping[str, Any]) -> bool:
        """Whether a STAC Item says so; as in CQL2, what it does not state is neither equal nor unequal to anything.

        Of a property that is a list, such as ``instruments``, one member is enough.
        """
        stated = document.get(self.name) if self.name in {"id", "collection"} else None
        stated = document["properties"].get(self.name) if stated is None else stated
        if self.operand is None:
            return (stated is None) == (self.operator == "=")
        members = stated if isinstance(stated, list) else [stated]
        return any(self._fits(member) for member in members if member is not None)

    def _literal(self, value: Any) -> str:
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if not isinstance(value, str):
            return _digits(value)
        text = "'" + value.replace("'", "''") + "'"
        return f"TIMESTAMP({text})" if self.name in _MOMENTS else text

    def _fits(self, stated: Any) -> bool:
        if self.operator == "in":
            return any(_compare("=", stated, value, self.name) for value in self.operand)
        return _compare(self.operator, stated, self.operand, self.name)


def parse_where(where: object) -> tuple[Condition, ...]:
    """The conditions for ``{"view:off_nadir": ("<", 10), "gsd": 10, "grid:code": ["MGRS-31TCJ", "MGRS-31TDJ"]}``.

    A pair is an operator and a value, a list of pairs holds as a whole, another list or set says what there may be.

    Raises
    ------
    BadRequest
        For a name that no property can have, an operator that is not known, or a value that cannot be compared.
    """
    if not isinstance(where, Mapping):
        raise BadRequest(f'where: found {where!r}, expected properties with what they must be: {{"gsd": ("<=", 10)}}.')
    return tuple(sorted({_norm_condition(name, *pair) for name, asked in where.items() for pair in _pairs(asked)}))


def write_where(conditions: Iterable[Condition]) -> dict[str, list[list[Any]]]:
    """The conditions as plain JSON values: `parse_where` reads them."""
    asked: dict[str, list[list[Any]]] = {}
    for condition in conditions:
        asked.setdefault(condition.name, []).append([condition.operator, condition.operand])
    return asked


def _pairs(asked: Any) -> Iterator[tuple[str, Any]]:
    if _is_pair(asked):
        yield str(asked[0]), asked[1]
    elif isinstance(asked, list | tuple) and asked and all(map(_is_pair, asked)):
        yield from ((str(operator), value) for operator, value in asked)
    elif isinstance(asked, tuple):
        raise BadRequest(f"where: found {asked!r}, expected (operator, value) with one of {' '.join(OPERATORS)}.")
    elif isinstance(asked, list | AbstractSet):
        yield "in", asked
    else:
        yield "=", asked


def _is_pair(asked: Any) -> bool:
    known = {*OPERATORS, *_SAME}
    return isinstance(asked, list | tuple) and len(asked) == 2 and isinstance(asked[0], str) and asked[0] in known


def _norm_condition(name: Any, operator: str, value: Any) -> Condition:
    plain = name.removeprefix("properties.") if isinstance(name, str) else name
    if not isinstance(plain, str) or not _NAME.fullmatch(plain):
        raise BadRequest(f"where: {name!r} cannot be the name of a property. Give one such as 'view:off_nadir'.")
    operator = _SAME.get(operator, operator)
    if operator != "in":
        return Condition(plain, operator, canonical_json(_norm_value(plain, operator, value)))
    if isinstance(value, str) or not isinstance(value, Sequence | AbstractSet) or not value:
        raise BadRequest(f"where: {plain} in {value!r}: expected a list of values.")
    values = {canonical_json(_norm_value(plain, operator, one)) for one in value}
    return Condition(plain, operator, f"[{','.join(sorted(values))}]")


def _norm_value(name: str, operator: str, value: Any) -> Any:
    if isinstance(value, datetime):
        value = parse_moment(value.isoformat()).isoformat().replace("+00:00", "Z")
    if name in _MOMENTS and isinstance(value, str) and operator != "like":
        value = parse_moment(value).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool) or (value is None and operator in {"=", "<>"}):
        return value
    if isinstance(value, str) and (operator != "like" or name not in _MOMENTS):
        return value
    if isinstance(value, int | float) and abs(value) < 2**1000 and math.isfinite(value) and operator != "like":
        return float(value)
    raise BadRequest(
        f"where: {name} {operator} {value!r} cannot be compared. Give text, a finite number, True, False or a datetime."
    )


def _digits(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _compare(operator: str, stated: Any, asked: Any, name: str) -> bool:
    if operator == "like":
        return isinstance(stated, str) and _pattern(asked).fullmatch(stated) is not None
    left, right = _comparable(stated, asked, name)
    if type(left) is not type(right):
        return operator == "<>"
    return bool(_COMPARES[operator](left, right))


def _comparable(stated: Any, asked: Any, name: str) -> tuple[Any, Any]:
    """Both in one type: providers write numbers as text, and moments in several forms."""
    if isinstance(stated, str) and isinstance(asked, str) and name in _MOMENTS:
        return parse_moment(stated), parse_moment(asked)
    if isinstance(asked, float) and isinstance(stated, int | float) and not isinstance(stated, bool):
        return float(stated), asked
    if isinstance(asked, float) and isinstance(stated, str) and re.fullmatch(r"\s*[+-]?\d+(\.\d*)?\s*", stated):
        return float(stated), asked
    return stated, asked


def _pattern(text: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    parts = re.findall(r"\\.|.", text, re.DOTALL)
    return re.compile("".join(wild.get(part) or re.escape(part[-1]) for part in parts), re.DOTALL)
