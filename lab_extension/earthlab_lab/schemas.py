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

WORDS = shape({"fr": text(4000), "en": text(4000)})
"""The same in both languages."""

REFUSAL = shape({"code": text(60), "message": text(4000), "remedy": text(1000)})
