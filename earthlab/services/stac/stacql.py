"""The ``query`` extension of STAC API, rewritten as CQL2 JSON: one compiler serves both."""

import re
from collections.abc import Mapping
from typing import Any

from earthlab.errors import BadRequest, did_you_mean
from earthlab.services.stac.queryables import kind_of, resolve_property

_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?", re.ASCII)
_COMPARISONS = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_PATTERNS = {"startsWith": "{}%", "endsWith": "%{}", "contains": "%{}%"}
OPERATORS = (*_COMPARISONS, "in", *_PATTERNS)


def parse_query(value: Any) -> dict[str, Any]:
    """The filter, in the JSON form of CQL2, that a ``query`` object asks for.

    Raises
    ------
    BadRequest
        For a property or an operator that is not known; the message names it.
    """
    if not isinstance(value, Mapping):
        raise _bad_query(value)
    args = [
        _rewrite(resolve_property(name, "query"), operator, wanted)
        for name, comparisons in value.items()
        for operator, wanted in _operators(comparisons)
    ]
    return {"op": "and", "args": [True, *args]}


def _operators(comparisons: Any) -> list[tuple[str, Any]]:
    if not isinstance(comparisons, Mapping) or not comparisons:
        raise _bad_query(comparisons)
    return list(comparisons.items())


def _rewrite(name: str, operator: str, wanted: Any) -> dict[str, Any]:
    prop = {"property": name}
    if operator in _COMPARISONS:
        return {"op": _COMPARISONS[operator], "args": [prop, _fitted(name, wanted)]}
    if operator == "in" and isinstance(wanted, list):
        wanted = [_fitted(name, one) for one in wanted]
    if operator == "in":
        among = "a_overlaps" if kind_of(name) == "list" else "in"
        return {"op": among, "args": [prop, wanted]}
    if operator not in _PATTERNS:
        known = did_you_mean(operator[:40], OPERATORS, most=len(OPERATORS))
        raise BadRequest(f"query: this service does not implement the operator {operator[:40]!r}. {known}")
    if operator == "contains" and kind_of(name) == "list":
        return {"op": "a_contains", "args": [prop, [wanted]]}
    if not isinstance(wanted, str):
        raise BadRequest(f"query: {operator} of {name!r} is {str(wanted)[:60]!r}, expected a text.")
    return {"op": "like", "args": [prop, _PATTERNS[operator].format(_escaped(wanted))]}


def _fitted(name: str, wanted: Any) -> Any:
    """The number that a text writes, beside a property of numbers: pystac-client sends ``eo:cloud_cover<10`` so."""
    if isinstance(wanted, str) and kind_of(name) == "number" and _NUMBER.fullmatch(wanted):
        return float(wanted)
    return wanted


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _bad_query(found: Any) -> BadRequest:
    return BadRequest(
        f'query: found {str(found)[:80]!r}, expected an object as {{"eo:cloud_cover": {{"lt": 10}}}} with the '
        f"operators {', '.join(OPERATORS)}."
    )
