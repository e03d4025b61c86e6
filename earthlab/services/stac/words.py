"""The words of a search: what each is for, how a query string writes it, and its schema in a body."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earthlab.errors import BadRequest
from earthlab.services.stac.aggregations import NAMES
from earthlab.services.stac.fields import read_fields, write_fields
from earthlab.services.stac.filters import CRS84, JSON, TEXT
from earthlab.services.stac.jsontext import parse_json
from earthlab.services.stac.sorting import read_sortby
from earthlab.services.stac.stacql import OPERATORS
from earthlab.types import canonical_json

MOST_ITEMS = 10_000
MOST_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class Word:
    """One parameter."""

    about: str
    schema: Mapping[str, Any]
    """JSON Schema of its value in a body."""
    example: Any
    """A value in a body; None where there is none to show."""
    read: Callable[[str], Any] = str
    """The value for the text in a query string."""
    write: Callable[[Any], str] = str
    """The text for a value."""


def _read_numbers(text: str) -> list[Any]:
    return [_read_number(part) for part in text.split(",")]


def _read_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _read_whole(text: str) -> Any:
    return int(text) if re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) else text


def _read_names(text: str) -> list[str]:
    return text.split(",")


def _read_object(word: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return parse_json(text)
        except ValueError as exc:
            raise BadRequest(f"{word}: {str(exc)[:80]}. Give JSON, percent-encoded.") from exc

    return read


def _read_filter(text: str) -> Any:
    """CQL2 text as it is; an object, which no CQL2 text begins as, parsed."""
    return _read_object("filter")(text) if text.lstrip().startswith("{") else text


def _write_list(value: Any) -> str:
    return ",".join(map(str, value))


def _write_filter(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value)


def _write_sortby(value: Any) -> str:
    return ",".join(("-" if key["direction"] == "desc" else "+") + key["field"] for key in value)


_NAMES = {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": MOST_NAMES}
_SORT = {
    "type": "object",
    "required": ["field"],
    "additionalProperties": False,
    "properties": {"field": {"type": "string"}, "direction": {"type": "string", "enum": ["asc", "desc"]}},
}
_PARTS = {"type": "array", "items": {"type": "string"}}

_POINT = {"type": "Point", "coordinates": [1.23, 43.65]}
_FILTER = {
    "op": "and",
    "args": [
        {"op": "<=", "args": [{"property": "eo:cloud_cover"}, 20]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, _POINT]},
        {"op": "t_after", "args": [{"property": "datetime"}, {"timestamp": "2018-01-01T00:00:00Z"}]},
    ],
}

KNOWN: Mapping[str, Word] = {
    "bbox": Word(
        "west,south,east,north in degrees, or six numbers with heights",
        {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
        [1.0, 43.0, 2.0, 44.0],
        _read_numbers,
        _write_list,
    ),
    "collections": Word("ids of collections", _NAMES, ["theia-n3a"], _read_names, _write_list),
    "datetime": Word(
        "RFC 3339 instant or interval, .. for an open side", {"type": "string"}, "2018-01-01T00:00:00Z/.."
    ),
    "fields": Word(
        "parts of an item to send beside the necessary ones, or with - not to send",
        {"type": "object", "additionalProperties": False, "properties": {"include": _PARTS, "exclude": _PARTS}},
        {"include": ["properties.datetime", "assets"]},
        read_fields,
        write_fields,
    ),
    "filter": Word(
        f"CQL2 over the properties of /queryables; {TEXT} in a query string and {JSON} in a body unless filter-lang "
        "says otherwise",
        {"type": ["object", "string", "boolean"]},
        _FILTER,
        _read_filter,
        _write_filter,
    ),
    "filter-crs": Word("the system of the filter's coordinates", {"type": "string", "enum": [CRS84]}, CRS84),
    "filter-lang": Word("the language of the filter", {"type": "string", "enum": [TEXT, JSON]}, JSON),
    "ids": Word("ids of items", _NAMES, ["theia-n3a-bouconne-20180708"], _read_names, _write_list),
    "intersects": Word("a GeoJSON geometry", {"type": "object"}, _POINT, _read_object("intersects"), canonical_json),
    "limit": Word(
        f"items on a page, at most {MOST_ITEMS} whatever is asked for; 10 by default",
        {"type": "integer", "minimum": 1, "default": 10},
        10,
        _read_whole,
    ),
    "query": Word(
        f'comparisons of properties as {{"eo:cloud_cover": {{"lt": 10}}}}; operators: {", ".join(OPERATORS)}',
        {"type": "object", "additionalProperties": {"type": "object", "minProperties": 1}},
        {"eo:cloud_cover": {"lt": 10}},
        _read_object("query"),
        canonical_json,
    ),
    "sortby": Word(
        "properties to sort by, with + or - before; latest first by default",
        {"type": "array", "items": _SORT, "minItems": 1, "maxItems": 8},
        [{"field": "eo:cloud_cover", "direction": "asc"}],
        read_sortby,
        _write_sortby,
    ),
    "token": Word("a page, as the next link gives it", {"type": "string"}, None),
    "aggregations": Word(
        "what to count",
        {"type": "array", "items": {"type": "string", "enum": list(NAMES)}, "minItems": 1},
        ["total_count", "datetime_frequency"],
        _read_names,
        _write_list,
    ),
    "datetime_frequency_interval": Word(
        "the intervals that datetime_frequency counts by; fitting the items by default",
        {"type": "string", "enum": ["day", "week", "month", "quarter", "year"]},
        "month",
    ),
}
_PAGES = ("fields", "limit", "sortby", "token")
_FILTERS = (
    "bbox", "collections", "datetime", "filter", "filter-crs", "filter-lang", "ids", "intersects", "query",
)  # fmt: skip
_COUNTS = ("aggregations", "datetime_frequency_interval")

SEARCH_WORDS = tuple(sorted((*_FILTERS, *_PAGES)))
ITEM_WORDS = tuple(word for word in SEARCH_WORDS if word not in {"ids", "intersects"})
AGGREGATE_WORDS = tuple(sorted((*_FILTERS, *_COUNTS)))


def refuse_unknown(said: Mapping[str, Any], known: Sequence[str]) -> None:
    """Nothing, where every word is known.

    Raises
    ------
    BadRequest
        Where one is not; the message names it and lists what is known.
    """
    unknown = sorted(set(said) - set(known))
    if unknown:
        named = ", ".join(repr(word[:60]) for word in unknown[:5])
        listed = ", ".join(known) if known else "none"
        raise BadRequest(
            f"This service does not implement {named}. Parameters known here: {listed}. Leave out what is not known."
        )


def words_of_query(pairs: Sequence[tuple[str, str]], known: Sequence[str] = SEARCH_WORDS) -> dict[str, Any]:
    """The words of a query string in the form of a POST body.

    Raises
    ------
    BadRequest
        For a word that is not known or is given twice, and for numbers or JSON that cannot be read.
    """
    refuse_unknown(dict(pairs), known)
    said: dict[str, Any] = {}
    for word, text in pairs:
        if word in said:
            raise BadRequest(f"{word[:60]!r} is given twice. Give it once; several values go with commas between them.")
        said[word] = KNOWN[word].read(text)
    if isinstance(said.get("filter"), str):
        said.setdefault("filter-lang", TEXT)
    return said


def query_of_words(said: Mapping[str, Any]) -> dict[str, str]:
    """The words of a query string, as `words_of_query` reads them back."""
    return {word: KNOWN[word].write(value) for word, value in said.items() if value is not None}
