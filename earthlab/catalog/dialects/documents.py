"""What all dialects share: STAC Items made of foreign records, and what is checked of every document."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

import shapely
from shapely.geometry import shape

from earthlab.catalog.profiles import CollectionProfile, Endpoint, find_profiles
from earthlab.catalog.query import Query
from earthlab.catalog.session import Service, answering
from earthlab.catalog.signing import unsigned
from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable
from earthlab.types import BBox, parse_moment

MOST_ITEMS = 20_000
MOST_PAGES = 2_000

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".nc": "application/x-netcdf",
    ".zarr": "application/vnd+zarr",
    ".zip": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
    ".tif": "image/tiff; application=geotiff",
    ".xml": "application/xml",
}


class Catalogue(Protocol):
    """A catalogue that answers, whatever its dialect."""

    @property
    def url(self) -> str:
        """Its root, without query or credentials."""
        ...

    def collections(self) -> list[dict[str, Any]]:
        """STAC Collections of all that it holds."""
        ...

    def has_collection(self, name: str) -> bool:
        """Whether it knows the collection."""
        ...

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """STAC Items that answer, unsigned, dated by what was observed; ``limit`` is how many are wanted at most."""
        ...


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the descriptors say of one endpoint: which of its collections the lab knows, under which id."""

    endpoint: str
    profiles: tuple[CollectionProfile, ...] = ()

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Holdings":
        """The collections described for an endpoint."""
        return cls(endpoint.id, find_profiles(endpoint.id))

    def find(self, name: str) -> CollectionProfile | None:
        """The profile with this id, or with this id at the provider."""
        by_name = {p.name_there: p for p in self.profiles} | {p.id: p for p in self.profiles}
        return by_name.get(name)

    def there(self, query: Query) -> Query:
        """The question in the provider's own collection ids."""
        found = ((name, self.find(name)) for name in query.collections)
        return replace(query, collections=tuple(p.name_there if p else name for name, p in found))

    def parts(self, query: Query) -> Iterator[tuple[str, str]]:
        """For services without collections: the id of each part that is asked for, and what selects it there.

        Where none is named it is the whole service, which is called as its only profile, else as the endpoint.
        """
        names = query.collections or (self.profiles[0].id if len(self.profiles) == 1 else self.endpoint,)
        for name in names:
            profile = self.find(name)
            yield (profile.id, profile.upstream) if profile else (name, "")

    def knows(self, name: str) -> bool:
        """Whether a service without collections has such a part."""
        return name == self.endpoint or self.find(name) is not None

    def collections(self, title: str) -> list[dict[str, Any]]:
        """The parts of a service without collections; ``title`` names the whole."""
        found = [make_collection(p.id, p.title["fr"], p) for p in self.profiles]
        return found or [make_collection(self.endpoint, title)]


@dataclass(frozen=True)
class PartedService:
    """A service without collections, of which the descriptors make some, and without CQL2: what its dialects share."""

    service: Service
    title: str
    holdings: Holdings

    kind: ClassVar[str]
    """What a refusal calls it, after its address."""

    @property
    def url(self) -> str:
        """Its root, without query or credentials."""
        return self.service.url

    def collections(self) -> list[dict[str, Any]]:
        """The collections that descriptors make of it; no request is made."""
        return self.holdings.collections(self.title)

    def has_collection(self, name: str) -> bool:
        """Whether a descriptor makes such a collection of it."""
        return self.holdings.knows(name)

    def parts(self, query: Query) -> Iterator[tuple[str, str]]:
        """The id of each part that is asked for, and what selects it there.

        Raises
        ------
        BadRequest
            For a question with a filter in CQL2.
        """
        if query.filter:
            raise BadRequest(f"filter: {self.url} {self.kind}, which has no CQL2. Use bbox=, time= or ids=.")
        return self.holdings.parts(query)


def make_collection(name: str, title: str, profile: CollectionProfile | None = None) -> dict[str, Any]:
    """A STAC Collection of what is known of it."""
    first, last = profile.period if profile and profile.period else ("..", "..")
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "title": title,
        "description": title,
        "license": profile.licence if profile and profile.licence else "other",
        "extent": {
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [[_moment_or_none(first), _moment_or_none(last)]]},
        },
        "links": [],
    }


def _moment_or_none(day: str) -> str | None:
    return None if day == ".." else stac_moment(parse_moment(day))


def make_item(  # noqa: PLR0913 - the members of a STAC Item
    name: str,
    collection: str,
    *,
    start: datetime,
    end: datetime,
    bbox: Sequence[float] | None = None,
    geometry: Mapping[str, Any] | None = None,
    properties: Mapping[str, Any] | None = None,
    assets: Mapping[str, Mapping[str, Any]] | None = None,
    links: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A STAC Item; of ``bbox`` and ``geometry`` each is made from the other where it is missing."""
    if geometry is None and bbox is not None:
        geometry = _box_geometry(bbox)
    if bbox is None and geometry is not None:
        bbox = shape(dict(geometry)).bounds
    said = {key: value for key, value in (properties or {}).items() if value not in (None, "", [], {})}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": collection,
        "bbox": list(bbox) if bbox is not None else None,
        "geometry": dict(geometry) if geometry is not None else None,
        "properties": {**said, **observed(start, end)},
        "assets": {key: dict(asset) for key, asset in (assets or {}).items()},
        "links": [dict(link) for link in links],
    }


def _box_geometry(box: Sequence[float]) -> dict[str, Any]:
    west, south, east, north = box
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    return dict(shapely.box(west, south, east, north).__geo_interface__)


def observed(start: datetime, end: datetime) -> dict[str, Any]:
    """The three time properties of an item for the time observed; ``datetime`` only where it is one moment."""
    first, last = stac_moment(start), stac_moment(end)
    return {"datetime": first if start == end else None, "start_datetime": first, "end_datetime": last}


def stac_moment(moment: datetime) -> str:
    """RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def period_of(first: str | None, last: str | None) -> tuple[datetime, datetime] | None:
    """What a record says of its time, as a pair; still running where it has no end, ``None`` where it has no begin."""
    if not first:
        return None
    begin = parse_moment(first)
    end = parse_moment(last) if last else datetime.now(UTC)
    if last and "T" not in last:
        end = end.replace(hour=23, minute=59, second=59)
    return begin, max(begin, end)


def box_of(west: Any, south: Any, east: Any, north: Any) -> tuple[float, float, float, float] | None:
    """The four numbers of a record's box, or ``None`` where one is missing."""
    sides = (west, south, east, north)
    if any(side in (None, "") for side in sides):
        return None
    numbers = tuple(float(side) for side in sides)
    return numbers if len(numbers) == 4 and all(map(math.isfinite, numbers)) else None


def media_type_of(href: str, stated: str = "") -> str:
    """The media type that an address's suffix says, else what was stated: providers get it wrong."""
    return _MEDIA_TYPES.get(PurePosixPath(urlsplit(href).path).suffix.lower(), stated)


def is_file(href: str) -> bool:
    """Whether an address leads to a file of a kind the lab reads."""
    suffix = PurePosixPath(urlsplit(href).path).suffix.lower()
    return urlsplit(href).scheme in {"http", "https", "s3", "ftp"} and suffix in _MEDIA_TYPES and suffix != ".xml"


def boxes_of(query: Query) -> tuple[BBox, ...]:
    """The boxes asked for, each west to east: none where there is no where, two across the antimeridian."""
    if query.geometry:
        west, south, east, north = shapely.from_geojson(query.geometry).bounds
        return (BBox(west, south, east, north),)
    return query.bbox.parts() if query.bbox else ()


def each_once(documents: Iterable[dict[str, Any]], url: str) -> Iterator[dict[str, Any]]:
    """The documents, checked for what a catalogue that cannot page does.

    Raises
    ------
    CatalogueUnavailable
        Where the same item comes twice, or an answer is not of the dialect.
    AskLess
        Beyond 20,000 items.
    """
    seen: set[tuple[str, str]] = set()
    with answering(url):
        for document in documents:
            mark = (str(document.get("collection")), str(document.get("id")))
            if mark in seen:
                raise CatalogueUnavailable(
                    f"{url} served item {mark[1]!r} twice: its paging is broken. Ask with limit={len(seen)}."
                )
            if len(seen) >= MOST_ITEMS:
                raise AskLess(f"The search finds more than {MOST_ITEMS} items. Narrow time= or bbox=, or give limit=.")
            seen.add(mark)
            yield document


@dataclass(frozen=True, slots=True)
class Paging:
    """The pages of one answer: what none of them is kept of is not counted by `each_once`, and must end too."""

    url: str
    _seen: set[object] = field(default_factory=set, init=False, repr=False)

    def enter(self, place: object) -> None:
        """Note the page that is asked for next.

        Raises
        ------
        CatalogueUnavailable
            Where it was asked for before, or is one too many.
        """
        if place in self._seen or len(self._seen) >= MOST_PAGES:
            raise CatalogueUnavailable(
                f"{self.url} leads from page to page without an end ({len(self._seen)} so far): its paging is broken. "
                "Narrow time= or bbox=, or tell its keeper."
            )
        self._seen.add(place)


def unsign(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the addresses of its assets unsigned."""
    assets = document.get("assets")
    if not isinstance(assets, Mapping):
        return document
    return {**document, "assets": {key: _unsign_asset(asset) for key, asset in assets.items()}}


def _unsign_asset(asset: Any) -> Any:
    href = asset.get("href") if isinstance(asset, Mapping) else None
    return {**asset, "href": unsigned(href)} if isinstance(href, str) else asset
