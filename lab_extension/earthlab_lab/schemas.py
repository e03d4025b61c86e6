"""JSON Schemas of what the routes take and give, built of few words."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
ANY_OBJECT: Schema = {"type": "object"}


def text(most: int = 1000, *, least: int = 0, pattern: str | None = None) -> Schema:
    """A text of at most so many characters."""
    return {"type": "string", "minLength": least, "maxLength": most, **({"pattern": pattern} if pattern else {})}


def number(low: float, high: float) -> Schema:
    """A number between two ends, which are included."""
    return {"type": "number", "minimum": low, "maximum": high}


def listed(item: Schema, most: int | None = None, *, least: int = 0) -> Schema:
    """A list of so many at most."""
    return {"type": "array", "items": item, "minItems": least, **({} if most is None else {"maxItems": most})}


def named(value: Schema) -> Schema:
    """An object whose names are data."""
    return {"type": "object", "additionalProperties": value}


def shape(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """An object with these names and no others."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def maybe(value: Schema) -> Schema:
    """Such a value, or null."""
    return {"anyOf": [value, {"type": "null"}]}


def one_of(*values: str | None) -> Schema:
    """One of these words."""
    return {"enum": list(values)}


BOX = listed(NUMBER, 4, least=4)
"""West, south, east, north in degrees."""

AREA: Schema = {
    "type": "object",
    "properties": {"type": one_of("Polygon", "MultiPolygon"), "coordinates": {"type": "array", "maxItems": 5000}},
    "required": ["type", "coordinates"],
    "additionalProperties": False,
}
"""A GeoJSON geometry, in degrees."""

_LONGEST_WORDS = 4000
WORDS = shape({"fr": text(_LONGEST_WORDS), "en": text(_LONGEST_WORDS)})
"""The same in both languages."""

STYLE = shape({"colormap": text(60), "low": maybe(NUMBER), "high": maybe(NUMBER)})
STYLE_ASKED = shape({}, {"colormap": text(60), "low": maybe(NUMBER), "high": maybe(NUMBER)})
"""The colours of a layer and their ends, in its unit."""

SERIES = shape({"times": listed(text()), "values": listed(maybe(NUMBER)), "unit": text()})
"""The values of one pixel."""

STATISTICS = shape(
    {
        "unit": text(),
        "area": NUMBER,
        "rows": listed(
            shape(
                {
                    "time": maybe(text()), "mean": maybe(NUMBER), "median": maybe(NUMBER), "std": maybe(NUMBER),
                    "min": maybe(NUMBER), "max": maybe(NUMBER), "count": COUNT, "valid": number(0, 1),
                }
            )
        ),
    }
)  # fmt: skip
"""Of an area, a row a step: ``area`` in square kilometres, ``valid`` the share of its pixels that were observed."""

CELL = shape({"code": text(), "metadata": ANY_OBJECT})
"""A notebook's cell."""

REFUSAL = shape({"code": text(60), "message": text(4000), "remedy": text(1000)})


def render_words(words: Mapping[str, Any]) -> dict[str, str]:
    """Something said in both languages, of the form `WORDS`; empty where a language is missing."""
    return {language: str(words.get(language) or "")[:_LONGEST_WORDS] for language in ("fr", "en")}
