"""Absolute links, as the client that asks can follow them: behind the hub's proxy, under its prefix."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request

from earthlab.errors import BadRequest

JSON = "application/json"
GEOJSON = "application/geo+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.1"
SCHEMA = "application/schema+json"
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII
)


def resolve_root(request: Request, prefix: str) -> str:
    """The address of the service as its client sees it, without a slash at the end.

    The host is that of the ``Host`` header, which the proxy hands on as it came; the scheme is what the outermost
    proxy noted in ``X-Forwarded-Proto``. No other forwarding header is believed.

    Raises
    ------
    BadRequest
        Where the ``Host`` header is not a host.
    """
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise BadRequest("The Host header is not a host name or address with a port. Send the one you connect to.")
    forwarded = request.headers.get("x-forwarded-proto", "").split(",")[0].strip().lower()
    scheme = forwarded if forwarded in {"http", "https"} else request.url.scheme
    return f"{scheme}://{host}{prefix}"


def link(rel: str, href: str, kind: str = JSON, **more: Any) -> dict[str, Any]:
    """A link object of STAC."""
    return {"rel": rel, "href": href, "type": kind, **more}


def landing_links(root: str) -> list[dict[str, Any]]:
    """The links of the landing page, less those of its children."""
    return [
        link("self", f"{root}/"),
        link("root", f"{root}/"),
        link("conformance", f"{root}/conformance"),
        link("data", f"{root}/collections"),
        link("search", f"{root}/search", GEOJSON, method="GET"),
        link("search", f"{root}/search", GEOJSON, method="POST"),
        link("service-desc", f"{root}/api", OPENAPI),
        link("service-doc", f"{root}/api.html", "text/html"),
        link(QUERYABLES, f"{root}/queryables", SCHEMA),
        link("aggregations", f"{root}/aggregations"),
        link("aggregate", f"{root}/aggregate", method="GET"),
        link("aggregate", f"{root}/aggregate", method="POST"),
    ]


def collection_href(root: str, name: str) -> str:
    """Where a collection's document is."""
    return f"{root}/collections/{quote(name, safe='')}"


def with_collection_links(document: Mapping[str, Any], root: str) -> dict[str, Any]:
    """A collection's document with the links of this service."""
    here = collection_href(root, document["id"])
    ours = [
        link("self", here),
        link("root", f"{root}/"),
        link("parent", f"{root}/"),
        link("items", f"{here}/items", GEOJSON),
        link(QUERYABLES, f"{here}/queryables", SCHEMA),
        link("aggregations", f"{here}/aggregations"),
        link("aggregate", f"{here}/aggregate"),
    ]
    return _with_links(document, ours)


def with_item_links(item: Mapping[str, Any], root: str) -> dict[str, Any]:
    """An item with the links of this service."""
    collection = collection_href(root, item["collection"])
    here = f"{collection}/items/{quote(item['id'], safe='')}"
    ours = [
        link("self", here, GEOJSON),
        link("root", f"{root}/"),
        link("parent", collection),
        link("collection", collection),
    ]
    return _with_links(item, ours)


def _with_links(document: Mapping[str, Any], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """A document with links of ours in place of its own of the same relations, and of those to folders of others."""
    replaced = {"self", "root", "parent", "item", *(one["rel"] for one in ours)}
    kept = [one for one in document.get("links") or () if one.get("rel") not in replaced]
    return {**document, "links": [*kept, *ours]}


def next_by_query(href: str, words: Mapping[str, str], token: str) -> dict[str, Any]:
    """The link to the next page of a GET."""
    return link("next", f"{href}?{urlencode({**words, 'token': token})}", GEOJSON, method="GET")


def next_by_body(href: str, said: Mapping[str, Any], token: str) -> dict[str, Any]:
    """The link to the next page of a POST: the whole body to send."""
    return link("next", href, GEOJSON, method="POST", body={**said, "token": token}, merge=False)
