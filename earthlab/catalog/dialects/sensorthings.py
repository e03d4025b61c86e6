"""OGC SensorThings API 1.1: one document a datastream, where its thing stands and for as long as it has observed.

A service has hundreds of datastreams, not millions: where and when is checked here, on what each one states, since
servers differ in how they compare an interval with a date. The observations of the period asked for are an asset: pages
of JSON, which every server gives. They lie where their thing stands; where that is no point, each says where it was
made (``FeatureOfInterest``). A profile's ``upstream`` is an OData condition on datastreams:
``startswith(Thing/name,'AgrHyS')``. Source: OGC 18-088.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from earthlab.catalog.dialects.documents import Paging, PartedService, each_once, make_item, period_of, stac_moment
from earthlab.catalog.query import Query
from earthlab.catalog.tabular import OBSERVATIONS, profiled

PAGE = 100
_ROWS_A_PAGE = 1000
_EXPAND = "Thing($expand=Locations),Sensor,ObservedProperty"


@dataclass(frozen=True)
class SensorThings(PartedService):
    """A SensorThings service at the root of its version: ``…/v1.1``."""

    page: int = PAGE
    kind: ClassVar[str] = "speaks SensorThings"

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:
        """One item a datastream that has observed where and when the question asks."""
        size = min(limit or self.page, self.page)
        for collection, condition in self.parts(query):
            streams = self._streams(condition, size)
            found = (self._document(stream, collection, query) for stream in streams)
            yield from each_once((item for item in found if item and query.keeps(item)), self.url)

    def _streams(self, condition: str, size: int) -> Iterator[dict[str, Any]]:
        words = [("$expand", _EXPAND), ("$top", str(size)), ("$orderby", "id asc")]
        words += [("$filter", condition)] if condition else []
        address: str | None = f"{self._base}/Datastreams"
        paging = Paging(self.url)
        while address:
            paging.enter(address)
            answer = self.service.get_json(address, words)
            yield from answer["value"]
            address, words = answer.get("@iot.nextLink"), []

    def _document(self, stream: Mapping[str, Any], collection: str, query: Query) -> dict[str, Any] | None:
        first, _, last = str(stream.get("phenomenonTime") or "").partition("/")
        period = period_of(first or None, last or first or None)
        if period is None:
            return None
        thing, measured = stream.get("Thing") or {}, stream.get("ObservedProperty") or {}
        observations = f"{self._base}/Datastreams({_key(stream['@iot.id'])})/Observations"
        place = _place(thing) or stream.get("observedArea")
        return make_item(
            str(stream["@iot.id"]),
            collection,
            start=period[0],
            end=period[1],
            geometry=place,
            properties={
                "title": stream.get("name"),
                "description": stream.get("description"),
                "platform": thing.get("name"),
                "instruments": [name] if (name := (stream.get("Sensor") or {}).get("name")) else [],
                "sensorthings:observed_property": measured.get("name"),
                "themes": [measured["definition"]] if measured.get("definition") else [],
                "sensorthings:unit": (stream.get("unitOfMeasurement") or {}).get("symbol"),
            },
            assets=_assets(observations, query, stream, place),
            links=[{"rel": "items", "href": observations, "type": "application/json"}],
        )

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


def _assets(
    observations: str, query: Query, stream: Mapping[str, Any], place: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    words = [f"$top={_ROWS_A_PAGE}", "$orderby=phenomenonTime%20asc"]
    if place is None or place["type"] != "Point":
        words.append("$expand=FeatureOfInterest")
    conditions = _conditions(query)
    if conditions:
        words.append("$filter=" + quote(" and ".join(conditions)))
    measured, unit = stream.get("ObservedProperty") or {}, stream.get("unitOfMeasurement") or {}
    band = {"name": measured.get("name") or stream.get("name"), "unit": unit.get("symbol") or unit.get("name")}
    return {
        "observations": {
            "href": f"{observations}?{'&'.join(words)}",
            "type": profiled("application/json", OBSERVATIONS),
            "roles": ["data"],
            "bands": [band],
        }
    }


def _conditions(query: Query) -> list[str]:
    conditions = []
    if query.period and query.period.start:
        conditions.append(f"phenomenonTime ge {stac_moment(query.period.start)}")
    if query.period and query.period.end:
        conditions.append(f"phenomenonTime le {stac_moment(query.period.end)}")
    return conditions


def _key(value: Any) -> str:
    return str(value) if isinstance(value, int) else "'" + quote(str(value).replace("'", "''")) + "'"


def _place(thing: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for location in thing.get("Locations") or []:
        place = location.get("location") or {}
        geometry = place.get("geometry") if place.get("type") == "Feature" else place
        if geometry and geometry.get("coordinates"):
            return dict(geometry)
    return None
