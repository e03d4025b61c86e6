"""The properties that requests may name: their columns, their kinds, and their description as JSON Schema."""

from collections.abc import Collection
from typing import Any

from earthlab.errors import BadRequest, did_you_mean
from earthlab.services.stac.conditions import Kind
from earthlab.services.stac.geoparquet import QUERYABLES

_GEOMETRY = {"title": "geometry", "$ref": "https://geojson.org/schema/Geometry.json"}


def resolve_property(name: Any, word: str) -> str:
    """The name of a queryable, given with or without ``properties.`` before it.

    Raises
    ------
    BadRequest
        Where nothing queryable has this name; the message begins with ``word`` and offers the nearest.
    """
    plain = name.removeprefix("properties.") if isinstance(name, str) else ""
    if plain not in QUERYABLES:
        raise BadRequest(
            f"{word}: there is no queryable property {str(name)[:60]!r}. "
            f"{did_you_mean(plain[:60], QUERYABLES, most=30)} See /queryables."
        )
    return plain


def kind_of(name: str) -> Kind:
    """What values a queryable has."""
    schema = QUERYABLES[name].schema
    if schema["type"] == "array":
        return "list"
    if schema["type"] in {"number", "integer"}:
        return "number"
    return "moment" if schema.get("format") == "date-time" else "text"


def column_of(name: str) -> str:
    """The quoted column of a queryable."""
    return f'"{QUERYABLES[name].column}"'


def describe_queryables(address: str, title: str, names: Collection[str]) -> dict[str, Any]:
    """The JSON Schema of what a filter may name.

    Parameters
    ----------
    address : str
        Where the schema is found: its ``$id``.
    title : str
        What it is the schema of.
    names : collection of str
        The queryables that have values here; ``geometry`` always is one.
    """
    known = {name: {"title": name, **entry.schema} for name, entry in QUERYABLES.items() if name in names}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": address,
        "type": "object",
        "title": title,
        "properties": {"geometry": _GEOMETRY, **known},
        "additionalProperties": False,
    }
