"""Static STAC: documents in a folder of the web, as Copernicus Marine publishes them. No search: they are walked.

From the catalogue's document to those of its products and from each to its items, eight at a time; what was read once
is revalidated and not sent again. Copernicus Marine has one item a dataset, whose ``native`` asset is a folder of
NetCDF files and whose ``timeChunked`` and ``geoChunked`` assets are Zarr.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from earthlab.catalog.dialects.documents import each_once
from earthlab.catalog.query import Query
from earthlab.catalog.session import Service, answering
from earthlab.errors import AskLess, BadRequest

AT_ONCE = 8
MOST_DOCUMENTS = 3_000
"""A walk past this number of documents is refused: collections should be named."""


@dataclass(frozen=True)
class StaticCatalogue:
    """A catalogue of linked documents; ``root`` is the address of its first."""

    service: Service
    root: str

    @property
    def url(self) -> str:
        """The address of its first document, without query or credentials."""
        return self.service.url

    @cached_property
    def _children(self) -> list[str]:
        document = self.service.get_json(self.root)
        with answering(self.url):
            if document.get("type") == "Collection":
                return [self.root]
            return list(_targets(document, self.root, "child"))

    def collections(self) -> list[dict[str, Any]]:
        """Every collection's document: one request for each."""
        return [document for _, document in self._read(self._children)]

    def has_collection(self, name: str) -> bool:
        """Whether a child of the catalogue is called so."""
        return any(True for _ in self._named(name))

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - walked lazily
        """The items that lie where and when the question asks, in the order of the catalogue.

        Raises
        ------
        AskLess
            Where more than 3,000 documents would have to be read.
        """
        if query.filter:
            raise BadRequest(f"filter: {self.url} is a folder of documents and filters nothing. Use bbox= or time=.")
        names = query.collections
        children = [child for name in names for child in self._named(name)] if names else self._children
        return each_once((item for item in self._items(children) if query.keeps(item)), self.url)

    def _named(self, name: str) -> Iterator[str]:
        return (child for child in self._children if name in unquote(urlsplit(child).path).split("/"))

    def _items(self, children: Sequence[str]) -> Iterator[dict[str, Any]]:
        for address, collection in self._read(children):
            targets = list(_targets(collection, address, "item"))
            if len(targets) + len(children) > MOST_DOCUMENTS:
                raise AskLess(
                    f"{self.url}: the walk would read more than {MOST_DOCUMENTS} documents. Name collections of "
                    'el.collections(catalog="…").'
                )
            for place, item in self._read(targets):
                yield _norm_item_document(item, place, collection["id"])

    def _read(self, addresses: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for first in range(0, len(addresses), AT_ONCE):
                batch = addresses[first : first + AT_ONCE]
                yield from zip(batch, pool.map(self.service.get_json, batch), strict=True)


def open_static(service: Service, root: str) -> StaticCatalogue:
    """The static catalogue whose first document is at ``root``; no request is made."""
    return StaticCatalogue(service, root)


def _targets(document: Mapping[str, Any], address: str, relation: str) -> Iterator[str]:
    return (urljoin(address, str(link["href"])) for link in document["links"] if link.get("rel") == relation)


def _norm_item_document(item: Mapping[str, Any], address: str, collection: str) -> dict[str, Any]:
    own = {"rel": "self", "href": address, "type": "application/geo+json"}
    links = [link for link in item.get("links", []) if link.get("rel") != "self"]
    return {**item, "collection": item.get("collection") or collection, "links": [own, *links]}
