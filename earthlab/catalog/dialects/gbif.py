"""GBIF: one document a dataset with occurrences where and when the question asks, and its Darwin Core archive.

The API's occurrence search counts the datasets (a facet), and its registry describes each. What answers the question is
an asset: pages of the occurrence search up to 30,000 occurrences, beyond that the Darwin Core archive, which is the
whole dataset; where that has more than a million occurrences there is only a link to it. A profile's ``upstream`` is a
dataset's key, or words of the occurrence search: ``publishingCountry=FR&taxonKey=212``. Source: techdocs.gbif.org, API
reference.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

import shapely

from earthlab.catalog.dialects.documents import (
    Paging,
    PartedService,
    box_of,
    boxes_of,
    each_once,
    make_item,
    period_of,
)
from earthlab.catalog.query import Query
from earthlab.catalog.tabular import DARWIN_CORE_ARCHIVE, OCCURRENCES, profiled

PAGE = 100
MOST_PAGED = 30_000
"""Occurrences that are fetched page by page."""

LARGEST = 1_000_000
"""Occurrences in the largest archive that is offered as a table."""

_ROWS_A_PAGE = 300
"""The most that the occurrence search gives at a time."""

_LICENCES = {
    "http://creativecommons.org/publicdomain/zero/1.0/legalcode": "CC0-1.0",
    "http://creativecommons.org/licenses/by/4.0/legalcode": "CC-BY-4.0",
    "http://creativecommons.org/licenses/by-nc/4.0/legalcode": "CC-BY-NC-4.0",
}
"""The three that GBIF admits."""


@dataclass(frozen=True)
class Gbif(PartedService):
    """The GBIF API at its version's root: ``https://api.gbif.org/v1``."""

    page: int = PAGE
    kind: ClassVar[str] = "is GBIF"

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """One item a dataset, those with most occurrences in the question first."""
        size = min(limit or self.page, self.page)
        for collection, upstream in self.parts(query):
            words = _search_words(query, upstream)
            counts = self._counts(words, size)
            found = (self._document(key, n, collection, query, words) for key, n in counts if _asked(key, query))
            yield from each_once((item for item in found if item), self.url)

    def _counts(self, words: list[tuple[str, str]], size: int) -> Iterator[tuple[str, int]]:
        offset, paging = 0, Paging(self.url)
        while True:
            paging.enter(offset)
            facet = [("facet", "datasetKey"), ("facetLimit", size), ("facetOffset", offset), ("limit", 0)]
            answer = self.service.get_json(f"{self._base}/occurrence/search", [*words, *facet])
            counts = [count for found in answer["facets"] for count in found["counts"]]
            yield from ((str(each["name"]), int(each["count"])) for each in counts)
            if len(counts) < size:
                return
            offset += size

    def _document(
        self, key: str, count: int, collection: str, query: Query, words: list[tuple[str, str]]
    ) -> dict[str, Any] | None:
        dataset = self.service.get_json(f"{self._base}/dataset/{key}")
        period = _period(dataset) or _counted(query)
        if period is None:
            return None
        licence = str(dataset.get("license") or "").replace("https://", "http://")
        archive = next((e["url"] for e in dataset.get("endpoints", []) if e["type"] == "DWC_ARCHIVE"), None)
        doi = dataset.get("doi")
        return make_item(
            key,
            collection,
            start=period[0],
            end=period[1],
            bbox=_box(dataset) or _counted_box(query),
            properties={
                "title": dataset.get("title"),
                "description": dataset.get("description"),
                "license": _LICENCES.get(licence, "other"),
                "sci:doi": doi,
                "sci:citation": (dataset.get("citation") or {}).get("text"),
                "gbif:occurrences": count,
            },
            assets=self._pages(key, words) if count <= MOST_PAGED else self._archive(key, archive),
            links=[
                *([{"rel": "data", "href": archive, "type": "application/zip"}] if archive else []),
                *([{"rel": "cite-as", "href": f"https://doi.org/{doi}"}] if doi else []),
            ],
        )

    def _pages(self, key: str, words: list[tuple[str, str]]) -> dict[str, dict[str, Any]]:
        asked = [(name, value) for name, value in words if name != "datasetKey"]
        href = f"{self._base}/occurrence/search?{urlencode([('datasetKey', key), *asked, ('limit', _ROWS_A_PAGE)])}"
        return {"occurrence": {"href": href, "type": profiled("application/json", OCCURRENCES), "roles": ["data"]}}

    def _archive(self, key: str, archive: str | None) -> dict[str, dict[str, Any]]:
        if archive is None:
            return {}
        whole = self.service.get_json(f"{self._base}/occurrence/count", [("datasetKey", key)])
        if int(whole) > LARGEST:
            return {}
        media_type = profiled("application/zip", DARWIN_CORE_ARCHIVE)
        return {"occurrence": {"href": archive, "type": media_type, "roles": ["data"]}}

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


def _asked(key: str, query: Query) -> bool:
    return not query.ids or key in query.ids


def _search_words(query: Query, upstream: str) -> list[tuple[str, str]]:
    words = parse_qsl(upstream) if "=" in upstream else [("datasetKey", upstream)] if upstream else []
    if query.geometry:
        words.append(("geometry", shapely.orient_polygons(shapely.from_geojson(query.geometry)).wkt))
    words += [("geometry", shapely.box(*box.as_tuple(), ccw=True).wkt) for box in boxes_of(query) if not query.geometry]
    if query.period:
        first, last = (f"{side:%Y-%m-%d}" if side else "*" for side in (query.period.start, query.period.end))
        words.append(("eventDate", f"{first},{last}"))
    return words


def _period(dataset: Mapping[str, Any]) -> Any:
    covered = [c for c in dataset.get("temporalCoverages") or [] if c.get("start")]
    if not covered:
        return None
    ends = [c.get("end") for c in covered]
    last = None if None in ends else max(str(end) for end in ends)
    return period_of(min(str(c["start"]) for c in covered), last)


def _counted(query: Query) -> tuple[datetime, datetime] | None:
    """For a dataset that states no period: that in which occurrences of it were counted."""
    period = query.period
    return (period.start, period.end) if period and period.start and period.end else None


def _counted_box(query: Query) -> tuple[float, float, float, float] | None:
    """For a dataset that states no place: where occurrences of it were counted."""
    boxes = boxes_of(query)
    return (boxes[0].west, boxes[0].south, boxes[-1].east, boxes[-1].north) if boxes else None


def _box(dataset: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    boxes = [c["boundingBox"] for c in dataset.get("geographicCoverages") or [] if c.get("boundingBox")]
    if not boxes:
        return None
    sides = ("minLongitude", "minLatitude", "maxLongitude", "maxLatitude")
    west, south, east, north = ([box[side] for box in boxes] for side in sides)
    return box_of(min(west), min(south), max(east), max(north))
