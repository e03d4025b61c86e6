"""CQL2, OGC 21-065r2: a filter in text or JSON, compiled to a condition over queryable properties.

What the service does not implement is refused by name, never ignored. Comparisons with a property that an item lacks
hold for nothing, nor do their opposites, as in SQL.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cql2

from earthlab.errors import BadRequest, did_you_mean
from earthlab.services.stac import temporal
from earthlab.services.stac.conditions import RELATIONS, Binder, Condition
from earthlab.services.stac.expressions import Expressions, refuse, show
from earthlab.services.stac.shapes import parse_box, parse_geometry

TEXT, JSON = "cql2-text", "cql2-json"
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MOST_TEXT = 50_000
MOST_OPERATIONS = 500
DEEPEST = 40
# The time to parse a text that is not CQL2 doubles with each parenthesis that is open at the mistake.
DEEPEST_PARENTHESES = 10

_COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})
_ARRAYS: Mapping[str, str] = {
    "a_contains": "list_has_all({a}, {b})",
    "a_containedby": "list_has_all({b}, {a})",
    "a_equals": "(list_has_all({a}, {b}) AND list_has_all({b}, {a}))",
    "a_overlaps": "list_has_any({a}, {b})",
}
_MIRRORED = {"s_contains": "s_within", "s_within": "s_contains"}
_OPERATORS = (
    "and", "or", "not", *sorted(_COMPARISONS), "like", "between", "in", "isNull",
    *sorted({*RELATIONS, "s_disjoint"}), *sorted(temporal.FUNCTIONS), *sorted(_ARRAYS),
)  # fmt: skip


def parse_filter(value: Any, language: str) -> Any:
    """The JSON form of a filter; only `compile_filter` looks into it.

    Parameters
    ----------
    value : object
        CQL2 text, or CQL2 JSON as parsed already.
    language : str
        ``cql2-text`` or ``cql2-json``.

    Raises
    ------
    BadRequest
        Where it is not of this language.
    """
    if language == JSON:
        if not isinstance(value, Mapping | bool):
            raise BadRequest(f"filter: found {show(value)!r}, expected an object of CQL2 JSON, or filter-lang={TEXT}.")
        return value
    if not isinstance(value, str):
        raise BadRequest(f"filter: found {show(value)!r}, expected CQL2 text, or filter-lang={JSON}.")
    _refuse_tangled(value)
    try:
        return cql2.parse_text(value).to_json()
    except Exception as exc:
        # The parser raises its own ParseError, and a bare Exception for coordinates that make no geometry.
        raise BadRequest(f"filter: this is not CQL2 text: {' '.join(str(exc).split())[:200]}.") from exc


def compile_filter(tree: Any) -> Condition:
    """The condition of a filter in its JSON form.

    Raises
    ------
    BadRequest
        For an operator, a property or a value that is not understood; the message names it.
    """
    return _Compiler(Expressions(Binder("f"))).compile(tree)


def _refuse_tangled(text: str) -> None:
    if len(text) > MOST_TEXT:
        raise BadRequest(f"filter: found {len(text)} characters, at most {MOST_TEXT} are read. Send it as {JSON}.")
    deepest = depth = 0
    for sign in re.findall(r"[()]", re.sub(r"'[^']*'|\"[^\"]*\"", "", text)):
        depth += 1 if sign == "(" else -1
        deepest = max(deepest, depth)
    if depth != 0:
        raise BadRequest("filter: this is not CQL2 text: its parentheses do not match.")
    if deepest > DEEPEST_PARENTHESES:
        raise BadRequest(
            f"filter: parentheses are nested {deepest} deep, at most {DEEPEST_PARENTHESES} are read. Send it as {JSON}."
        )


@dataclass(slots=True)
class _Compiler:
    terms: Expressions
    operations: int = 0

    def compile(self, tree: Any) -> Condition:
        return self.terms.binder.finish(self._condition(tree, 0))

    def _condition(self, value: Any, depth: int) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, Mapping) or not isinstance(value.get("op"), str):
            raise refuse(value, "a comparison, a function of CQL2 that is true or false, or these joined")
        self._count(depth)
        op, args = value["op"].lower(), value.get("args")
        if not isinstance(args, list):
            raise refuse(value, f"a list of args for {op[:40]!r}")
        if op in {"and", "or", "not"}:
            return self._joined(op, args, depth + 1)
        return self._write(op)(op, args)

    def _count(self, depth: int) -> None:
        self.operations += 1
        if self.operations > MOST_OPERATIONS or depth > DEEPEST:
            raise BadRequest(
                f"filter: more than {MOST_OPERATIONS} operations, or nested more than {DEEPEST} deep. "
                "Use `in` in place of many comparisons, or ask in several searches."
            )

    def _joined(self, op: str, args: Sequence[Any], depth: int) -> str:
        if op == "not":
            (inner,) = _exactly(1, op, args)
            return f"(NOT {self._condition(inner, depth)})"
        if not args:
            raise refuse(args, f"one condition or more for {op!r}")
        return "(" + f" {op.upper()} ".join(self._condition(arg, depth) for arg in args) + ")"

    def _write(self, op: str) -> Callable[[str, Sequence[Any]], str]:
        if op in _COMPARISONS:
            return self._comparison
        if op in RELATIONS or op == "s_disjoint":
            return self._spatial
        if op in temporal.FUNCTIONS:
            return self._temporal
        if op in _ARRAYS:
            return self._array
        known = {"like": self._like, "between": self._between, "in": self._in, "isnull": self._is_null}
        if op not in known:
            raise BadRequest(
                f"filter: this service does not implement the operator {op[:40]!r}. "
                f"{did_you_mean(op[:40], _OPERATORS, most=60)}"
            )
        return known[op]

    def _comparison(self, op: str, args: Sequence[Any]) -> str:
        first, second = self.terms.alike([self.terms.scalar(arg) for arg in _exactly(2, op, args)], op)
        return f"({first.sql} {op} {second.sql})"

    def _between(self, op: str, args: Sequence[Any]) -> str:
        if len(args) == 2 and isinstance(args[1], list):
            # Drafts of CQL2 JSON had the bounds in a list of their own, and clients still send it.
            args = [args[0], *args[1]]
        value, low, high = self.terms.alike([self.terms.scalar(arg) for arg in _exactly(3, op, args)], op)
        return f"({value.sql} BETWEEN {low.sql} AND {high.sql})"

    def _in(self, op: str, args: Sequence[Any]) -> str:
        value, choices = _exactly(2, op, args)
        if not isinstance(choices, list) or not choices:
            raise refuse(choices, "a list of values for 'in'")
        terms = self.terms.alike([self.terms.scalar(value), *(self.terms.scalar(choice) for choice in choices)], op)
        return f"({terms[0].sql} IN ({', '.join(term.sql for term in terms[1:])}))"

    def _like(self, op: str, args: Sequence[Any]) -> str:
        value, pattern = (self.terms.scalar(arg) for arg in _exactly(2, op, args))
        if value.kind != "text" or pattern.literal is None:
            raise refuse(args, "a text and a pattern in quotes for 'like'")
        if re.search(r"(?<!\\)(?:\\\\)*\\$", pattern.literal):
            raise refuse(pattern.literal, "a pattern that does not end with the sign of escape")
        return f"({value.sql} LIKE {pattern.sql} ESCAPE '\\')"

    def _is_null(self, op: str, args: Sequence[Any]) -> str:
        (value,) = _exactly(1, op, args)
        return f"({self.terms.property(value).sql} IS NULL)"

    def _array(self, op: str, args: Sequence[Any]) -> str:
        listed, names = _exactly(2, op, args)
        column = self.terms.property(listed)
        if column.kind != "list" or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise refuse(args, f"a property that is a list, as instruments, and a list of texts for {op!r}")
        return _ARRAYS[op].format(a=column.sql, b=f"{self.terms.binder.bind(names)}::VARCHAR[]")

    def _spatial(self, op: str, args: Sequence[Any]) -> str:
        first, second = _exactly(2, op, args)
        if not _is_geometry(first):
            op, first, second = _MIRRORED.get(op, op), second, first
        if not _is_geometry(first) or not isinstance(second, Mapping) or "property" in second:
            raise refuse(args, f'the property "geometry" and a GeoJSON geometry or {{"bbox": […]}} for {op!r}')
        area = parse_box(second["bbox"], "filter: bbox") if "bbox" in second else parse_geometry(second, "filter")
        if op == "s_disjoint":
            return f"(geometry IS NOT NULL AND NOT {self.terms.binder.compare('s_intersects', area)})"
        return self.terms.binder.compare(op, area)

    def _temporal(self, op: str, args: Sequence[Any]) -> str:
        first, second = (self.terms.span(arg) for arg in _exactly(2, op, args))
        return f"({temporal.write_relation(op, first, second)})"


def _exactly(count: int, op: str, args: Sequence[Any]) -> Sequence[Any]:
    if len(args) != count:
        raise BadRequest(f"filter: {op!r} has {len(args)} args, expected {count}.")
    return args


def _is_geometry(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("property") in ("geometry", "properties.geometry")
