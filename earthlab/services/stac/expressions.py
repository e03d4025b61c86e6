"""The operands of CQL2: properties, literals, and what is computed of them, each with its kind."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from earthlab.errors import BadRequest
from earthlab.services.stac.conditions import Binder, Kind
from earthlab.services.stac.instants import OPEN, read_instant
from earthlab.services.stac.queryables import column_of, kind_of, resolve_property
from earthlab.services.stac.temporal import Span

_DEEPEST = 20
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TEXTS: Mapping[str, str] = {"casei": "lower({a})", "accenti": "strip_accents({a})"}
# What division by zero and the like give is null, which no comparison holds for.
_NUMBERS: Mapping[str, str] = {
    "+": "({a} + {b})",
    "-": "({a} - {b})",
    "*": "({a} * {b})",
    "/": "({a} / nullif({b}, 0))",
    "%": "({a} % nullif({b}, 0))",
    "div": "trunc({a} / nullif({b}, 0))",
    "^": "nullif(pow({a}, {b}), 'nan'::DOUBLE)",
}


@dataclass(frozen=True, slots=True)
class Term:
    """The SQL of an operand."""

    sql: str
    kind: Kind
    literal: str | None = None
    """The text itself, where it is one of the request's."""


@dataclass(frozen=True, slots=True)
class Expressions:
    """Reads operands; what they hold is bound."""

    binder: Binder

    def scalar(self, value: Any, depth: int = 0) -> Term:
        """A text, a number or an instant.

        Raises
        ------
        BadRequest
            Where the operand is none of these; the message names it.
        """
        if depth > _DEEPEST:
            raise BadRequest(f"filter: an expression is nested more than {_DEEPEST} deep. Simplify it.")
        if isinstance(value, str):
            return Term(f"{self.binder.bind(value)}::VARCHAR", "text", value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value)
        if isinstance(value, Mapping) and value.keys() & {"timestamp", "date"}:
            return self._moment(_read_moment(value))
        if isinstance(value, Mapping) and isinstance(value.get("op"), str):
            return self._computed(value["op"].lower(), value.get("args"), depth + 1)
        if isinstance(value, Mapping) and "property" in value:
            return self._comparable(value)
        raise refuse(value, "a property, a text, a number, a timestamp or a date")

    def property(self, value: Any) -> Term:
        """A queryable property, or the geometry.

        Raises
        ------
        BadRequest
            Where the operand is none.
        """
        if not isinstance(value, Mapping) or "property" not in value:
            raise refuse(value, 'a property, as {"property": "eo:cloud_cover"}')
        if value["property"] == "geometry":
            return Term("geometry", "geometry")
        name = resolve_property(value["property"], "filter")
        return Term(column_of(name), kind_of(name))

    def span(self, value: Any) -> Span:
        """An interval, an instant, or a property that is one; ``datetime`` is the whole time of an item.

        Raises
        ------
        BadRequest
            Where the operand is none of these.
        """
        if isinstance(value, Mapping) and value.get("property") in ("datetime", "properties.datetime"):
            return Span("begins", "ends")
        if not isinstance(value, Mapping) or "interval" not in value:
            return self._instant(value)
        sides = value["interval"]
        if not isinstance(sides, list) or len(sides) != 2:
            raise refuse(value, "an interval of two instants, with '..' for an open end")
        begins, ends = (self._side(side, at) for at, side in enumerate(sides))
        return Span(begins, ends)

    def alike(self, terms: Sequence[Term], op: str) -> Sequence[Term]:
        """The same operands, of one kind: texts of the request become instants beside instants.

        Raises
        ------
        BadRequest
            Where they cannot be compared.
        """
        if any(term.kind == "moment" for term in terms):
            terms = [self._as_moment(term) for term in terms]
        kinds = {term.kind for term in terms}
        if len(kinds) > 1:
            raise BadRequest(f"filter: {op!r} compares {' with '.join(sorted(kinds))}. Give values of one kind.")
        return terms

    def _comparable(self, value: Mapping[str, Any]) -> Term:
        term = self.property(value)
        if term.kind in {"list", "geometry"}:
            functions = "a_contains and the like" if term.kind == "list" else "s_intersects and the like"
            raise BadRequest(f"filter: {value['property']!r} is a {term.kind}, which {functions} compare.")
        return term

    def _number(self, value: float) -> Term:
        try:
            number = float(value)
        except OverflowError as exc:
            raise refuse(value, "a number that can be compared") from exc
        if not math.isfinite(number):
            raise refuse(value, "a finite number")
        return Term(f"{self.binder.bind(number)}::DOUBLE", "number")

    def _moment(self, moment: datetime) -> Term:
        return Term(f"{self.binder.bind(moment.isoformat(timespec='microseconds'))}::TIMESTAMPTZ", "moment")

    def _as_moment(self, term: Term) -> Term:
        if term.literal is None:
            return term
        return self._moment(_read_moment({"timestamp": term.literal}))

    def _computed(self, op: str, args: Any, depth: int) -> Term:
        if op in _TEXTS and isinstance(args, list) and len(args) == 1:
            inner = self.scalar(args[0], depth)
            if inner.kind != "text":
                raise refuse(args, f"a text for {op!r}")
            return replace(inner, sql=_TEXTS[op].format(a=inner.sql))
        if op in _NUMBERS and isinstance(args, list) and len(args) == 2:
            first, second = (self.scalar(arg, depth) for arg in args)
            if {first.kind, second.kind} != {"number"}:
                raise refuse(args, f"two numbers for {op!r}")
            return Term(_NUMBERS[op].format(a=first.sql, b=second.sql), "number")
        raise BadRequest(
            f"filter: this service does not implement the function {op[:40]!r} of these args. "
            f"Known: {', '.join((*_TEXTS, *_NUMBERS))}."
        )

    def _instant(self, value: Any) -> Span:
        (term,) = self.alike([self.scalar(value)], "time")
        if isinstance(value, str):
            term = self._as_moment(term)
        if term.kind != "moment":
            raise refuse(value, "a timestamp, a date, an interval or a property of time")
        if isinstance(value, Mapping) and "date" in value:
            return Span(term.sql, f"({term.sql} + INTERVAL 86399999999 MICROSECOND)")
        return Span(term.sql, term.sql)

    def _side(self, side: Any, at: int) -> str:
        if side in OPEN if isinstance(side, str) else side is None:
            return f"'{('-infinity', 'infinity')[at]}'::TIMESTAMPTZ"
        if isinstance(side, str) and _DAY.fullmatch(side):
            side = {"date": side}
        span = self._instant(side)
        return (span.begins, span.ends)[at]


def refuse(found: Any, expected: str) -> BadRequest:
    """The refusal of a part of a filter."""
    return BadRequest(f"filter: found {show(found)!r}, expected {expected}.")


def show(value: Any) -> str:
    """A value as a message shows it: its beginning."""
    return str(value)[:80]


def _read_moment(value: Mapping[str, Any]) -> datetime:
    text = value.get("timestamp", value.get("date"))
    whole = f"{text}T00:00:00Z" if isinstance(text, str) and _DAY.fullmatch(text) else text
    moment = read_instant(whole) if isinstance(whole, str) else None
    if moment is None:
        raise refuse(text, "an RFC 3339 instant as 2018-07-08T00:00:00Z, or a day as 2018-07-08")
    return moment
