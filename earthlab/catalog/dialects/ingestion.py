"""STAC-like services whose ``datetime`` is the date of ingestion: GEODES (CNES) and REGARDS (hydroweb.next).

A period is asked of ``start_datetime`` and ``end_datetime`` by the Query Extension, never of ``datetime``; documents
come back with the time observed, and the date of ingestion as ``published``. Both state the licence ``Apache-2.0`` of
everything, which is a placeholder and is never passed on. GEODES pages by number, 80 items at most, sorts by
``sortBy`` and keys its assets by path; REGARDS mislabels the media types of its files. Facts: the answers recorded by
EODAG (CS-SI/eodag, ``geodes.yml``, ``hydroweb_next.yml``), CNES/pyGeodes, and the README of py-hydroweb.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from earthlab.catalog.dialects.documents import Paging, boxes_of, each_once, media_type_of, observed, stac_moment
from earthlab.catalog.query import Query
from earthlab.catalog.session import Service, answering
from earthlab.errors import BadRequest
from earthlab.types import parse_moment

PLACEHOLDER = "Apache-2.0"

_GEODES_PAGE = 80
_REGARDS_PAGE = 500
_ALL_COLLECTIONS = 10_000
_SIZE = re.compile(r"File size: (\d+) bytes")
_MD5 = re.compile(r"Checksum MD5: ([0-9a-fA-F]{32})")
_MULTIHASH_MD5 = "d50110"


@dataclass(frozen=True)
class IngestionDated:
    """A search whose ``datetime`` says when the provider received the product."""

    service: Service
    page: int
    sort: Mapping[str, Any]
    lists_by_post: bool
    product_name: str
    """The query word for the products' own names, or empty where ids are these."""

    @property
    def url(self) -> str:
        """The root, without query or credentials."""
        return self.service.url

    @cached_property
    def _collections(self) -> list[dict[str, Any]]:
        address = f"{self.url.rstrip('/')}/collections"
        if self.lists_by_post:
            answer = self.service.post_json(address, {"limit": _ALL_COLLECTIONS})
        else:
            answer = self.service.get_json(address)
        with answering(self.url):
            return [_norm_collection(document) for document in answer["collections"]]

    def collections(self) -> list[dict[str, Any]]:
        """Every collection's document, without the placeholder for a licence."""
        return list(self._collections)

    def has_collection(self, name: str) -> bool:
        """Whether the catalogue lists the collection."""
        return any(document["id"] == name for document in self._collections)

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """The items page by page, dated by what was observed; raises as `earthlab.catalog.dialects.open_catalogue`."""
        if query.filter:
            raise BadRequest(
                f"filter: {self.url} does not implement the Filter Extension. Use bbox=, time=, ids= or max_cloud=."
            )
        return each_once(self._pages(query, min(limit or self.page, self.page)), self.url)

    def _pages(self, query: Query, size: int) -> Iterator[dict[str, Any]]:
        before: set[str] = set()
        for place in _places(query):
            found = list[str]()
            for document in self._place(query, place, size):
                if document["id"] not in before:  # it may lie on both sides of the antimeridian
                    found.append(document["id"])
                    yield document
            before.update(found)

    def _place(self, query: Query, place: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
        asked, served, number = {**place, **self._body(query), "limit": size}, 0, 1
        paging = Paging(self.url)
        while True:
            paging.enter(number)
            answer = self.service.post_json(f"{self.url.rstrip('/')}/search", {**asked, "page": number})
            yield from (norm_document(document) for document in answer["features"])
            served += len(answer["features"])
            if len(answer["features"]) < size or served >= _matched(answer, default=served + 1):
                return
            number += 1

    def _body(self, query: Query) -> dict[str, Any]:
        body: dict[str, Any] = {**self.sort}
        if query.collections:
            body["collections"] = list(query.collections)
        words: dict[str, Any] = {}
        if query.period and query.period.end:
            words["start_datetime"] = {"lte": stac_moment(query.period.end)}
        if query.period and query.period.start:
            words["end_datetime"] = {"gte": stac_moment(query.period.start)}
        if query.ids and self.product_name and not all(name.startswith("URN:") for name in query.ids):
            words[self.product_name] = {"in": list(query.ids)}
        elif query.ids:
            body["ids"] = list(query.ids)
        return {**body, "query": words} if words else body


def open_geodes(service: Service, page: int = 0) -> IngestionDated:
    """GEODES at the root of its STAC service; no request is made."""
    sort = {"sortBy": [{"field": "start_datetime", "direction": "asc"}]}
    most = min(page or _GEODES_PAGE, _GEODES_PAGE)
    return IngestionDated(service, most, sort, lists_by_post=True, product_name="identifier")


def open_regards(service: Service, page: int = 0) -> IngestionDated:
    """A REGARDS catalogue at the root of its STAC plug-in; no request is made."""
    sort = {"sortby": [{"field": "properties.start_datetime", "direction": "asc"}]}
    return IngestionDated(service, page or _REGARDS_PAGE, sort, lists_by_post=False, product_name="")


def norm_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the time observed, proper keys and media types, and without what is a placeholder."""
    said = dict(document["properties"])
    received, first = said.get("datetime"), said.get("start_datetime")
    if first:
        times = observed(parse_moment(first), parse_moment(said.get("end_datetime") or first))
        said = {**said, **times, "published": received}
    for name in [name for name, value in said.items() if value in ("[]", None) and name != "datetime"]:
        del said[name]
    if isinstance(said.get("proj:bbox"), str):
        del said["proj:bbox"]  # degrees as text, from the upper left to the lower right: in no CRS of the item
    if said.get("license") == PLACEHOLDER:
        del said["license"]
    if isinstance(said.get("instrument"), str):
        said["instruments"] = said.pop("instrument").split()
    if re.fullmatch(r"T\d{2}[A-Z]{3}", str(said.get("grid:code"))):
        said["grid:code"] = f"MGRS-{said['grid:code'][1:]}"
    if "identifier" in said:
        said.setdefault("title", said["identifier"])
    return {
        **document,
        "properties": said,
        "assets": _norm_assets(document.get("assets", {})),
        "links": _without_placeholder(document.get("links", [])),
    }


def _places(query: Query) -> Iterator[dict[str, Any]]:
    if query.geometry:
        yield {"intersects": json.loads(query.geometry)}
    elif query.bbox:
        yield from ({"bbox": list(box.as_tuple())} for box in boxes_of(query))
    else:
        yield {}


def _matched(answer: Mapping[str, Any], default: int) -> int:
    found = answer.get("numberMatched", answer.get("context", {}).get("matched"))
    return default if found is None else int(found)


def _norm_collection(document: Mapping[str, Any]) -> dict[str, Any]:
    licence = document.get("license")
    links = _without_placeholder(document.get("links", []))
    return {**document, "license": "other" if licence == PLACEHOLDER else licence or "other", "links": links}


def _without_placeholder(links: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(link) for link in links if not (link.get("rel") == "license" and PLACEHOLDER in str(link.get("href")))]


def _norm_assets(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    short = {key: PurePosixPath(key).name for key in assets}
    unique = len(set(short.values())) == len(short)
    return {short[key] if unique else key: _norm_asset(key, asset) for key, asset in assets.items()}


def _norm_asset(key: str, asset: Mapping[str, Any]) -> dict[str, Any]:
    stated = str(asset.get("type") or "")
    media_type = media_type_of(key, stated)
    roles = ["metadata"] if media_type == "application/xml" else list(asset.get("roles") or [])
    size, md5 = (pattern.search(str(asset.get("description", ""))) for pattern in (_SIZE, _MD5))
    facts: dict[str, Any] = {"type": media_type, "roles": roles}
    if size:
        facts["file:size"] = int(size[1])
    if md5:
        facts["file:checksum"] = _MULTIHASH_MD5 + md5[1].lower()
    return {**asset, **facts}
