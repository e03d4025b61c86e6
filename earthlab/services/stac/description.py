"""What the service says of itself: its conformance classes, and its parameters and answers in OpenAPI."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from earthlab.services.stac.words import KNOWN

_STAC = "https://api.stacspec.org/v1.0.0"
_CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf"
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf"
_FILTERING = "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf"

CONFORMANCE = (
    f"{_STAC}/core",
    f"{_STAC}/collections",
    f"{_STAC}/item-search",
    f"{_STAC}/ogcapi-features",
    *(
        f"{_STAC}/{where}#{name}"
        for where in ("item-search", "ogcapi-features")
        for name in ("fields", "sort", "query")
    ),
    "https://api.stacspec.org/v1.0.0-rc.3/item-search#filter",
    f"{_FEATURES}/core",
    f"{_FEATURES}/geojson",
    *(f"{_FILTERING}/{name}" for name in ("filter", "features-filter", "queryables")),
    *(
        f"{_CQL2}/{name}"
        for name in (
            "cql2-text",
            "cql2-json",
            "basic-cql2",
            "advanced-comparison-operators",
            "case-insensitive-comparison",
            "accent-insensitive-comparison",
            "basic-spatial-functions",
            "basic-spatial-functions-plus",
            "spatial-functions",
            "temporal-functions",
            "array-functions",
            "property-property",
            "arithmetic",
        )
    ),
    "https://api.stacspec.org/v0.3.0/aggregation",
    "https://api.stacspec.org/v0.3.0/aggregation#query",
    "https://api.stacspec.org/v0.3.0/aggregation#filter",
)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<h1>{title}</h1><p>Un en-tête <code>Authorization: token …</code> est nécessaire partout. /
The header <code>Authorization: token …</code> is needed everywhere.</p>{sections}</html>"""
_ERROR = {
    "type": "object",
    "required": ["code", "description"],
    "properties": {"code": {"type": "string"}, "description": {"type": "string"}},
}
_REFUSALS: Mapping[int | str, str] = {
    400: "Something in the request is not understood; the description names it.",
    401: "No token, or an unknown one.",
    403: "The token may not use this service.",
    404: "There is no such thing.",
    413: "The body is too large.",
    503: "The catalogue or the hub cannot be asked now.",
    "default": "A refusal of another kind.",
}


def describe_parameters(words: Sequence[str]) -> dict[str, Any]:
    """The query parameters of an address, for an operation in OpenAPI."""
    return {"parameters": [_parameter(word) for word in words]}


def describe_body(words: Sequence[str]) -> dict[str, Any]:
    """The body of a POST of these words, for an operation in OpenAPI."""
    known = {word: {**KNOWN[word].schema, "description": KNOWN[word].about} for word in words}
    schema = {"type": "object", "additionalProperties": False, "properties": known}
    example = {word: KNOWN[word].example for word in words if word not in {"bbox", "token"}}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def describe_answers(media: str) -> dict[int | str, dict[str, Any]]:
    """The answers of an operation whose success is of a media type."""
    success = {"description": "The answer.", "content": {media: {"schema": {"type": "object"}}}}
    refusal = {"application/json": {"schema": _ERROR}}
    return {200: success, **{status: {"description": why, "content": refusal} for status, why in _REFUSALS.items()}}


def write_page(described: Mapping[str, Any]) -> str:
    """A description in OpenAPI as a page to read."""
    sections = "".join(
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['description'])}</p>"
        + _list_parameters(operation.get("parameters", ()))
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    )
    return _PAGE.format(title=escape(described["info"]["title"]), sections=sections)


def _list_parameters(parameters: Sequence[Mapping[str, Any]]) -> str:
    lines = (
        f"<dt><code>{escape(one['name'])}</code></dt><dd>{escape(one.get('description', ''))}</dd>"
        for one in parameters
    )
    return f"<dl>{''.join(lines)}</dl>"


def _parameter(word: str) -> dict[str, Any]:
    known = KNOWN[word]
    schema = known.schema if known.schema["type"] in ("string", "integer") else {"type": "string"}
    shown = {} if known.example is None or word == "filter-lang" else {"example": known.write(known.example)}
    return {"name": word, "in": "query", "required": False, "description": known.about, "schema": schema, **shown}
