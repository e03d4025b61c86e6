"""Tables that a service gives page by page: occurrences of GBIF and observations of SensorThings, as one form."""

from collections.abc import Iterator, Mapping
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from earthlab.catalog.session import Service, answering, open_service
from earthlab.cube.tables.columns import Columns
from earthlab.cube.tables.delimited import finish_rows, place_rows
from earthlab.cube.tables.selection import Selection
from earthlab.cube.tables.stated import Stated
from earthlab.errors import AskLess, CatalogueUnavailable
from earthlab.settings import load_settings

MOST_ROWS = 100_000
"""Rows of one table that are fetched page by page."""

MOST_PAGES = 1000

_DARWIN_CORE = Columns("decimalLongitude", "decimalLatitude", ("eventDate",))
_SENSOR = Columns("longitude", "latitude", ("phenomenonTime",))


def read_occurrences(href: str, selection: Selection, _stated: Stated) -> gpd.GeoDataFrame:
    """The occurrences of GBIF that an address of its occurrence search finds, under their Darwin Core terms.

    ``issues`` (GBIF's flags) are joined by ``;``. Terms that hold lists or tables are left out, and listed in
    ``attrs["left_out"]``.

    Raises
    ------
    AskLess
        Beyond 100,000 occurrences, which is as far as the search pages.
    CatalogueUnavailable
        Where the service does not answer, or answers something else.
    """
    records = list(_bounded(_occurrence_pages(_service(href), href), href))
    rows = [{**record, "issues": ";".join(record.get("issues") or [])} for record in records]
    left_out = sorted({name for row in rows for name, value in row.items() if isinstance(value, list | dict)})
    frame = pd.DataFrame.from_records(rows).drop(columns=left_out)
    frame = _with_columns(frame, _DARWIN_CORE)
    table = finish_rows(place_rows(frame, _DARWIN_CORE, selection), selection.wanted(list(map(str, frame.columns))))
    table.attrs["left_out"] = left_out
    return table


def _occurrence_pages(service: Service, href: str) -> Iterator[list[dict[str, Any]]]:
    offset = 0
    while True:
        answer = service.get_json(href, [("offset", offset)])
        with answering(service.url):
            if int(answer["count"]) > MOST_ROWS:
                raise _too_many(service.url, f"{answer['count']} rows")
            rows, ended = list(answer["results"]), bool(answer["endOfRecords"])
        yield rows
        if ended or not rows:
            return
        offset += len(rows)


def read_observations(href: str, selection: Selection, stated: Stated) -> gpd.GeoDataFrame:
    """The observations of a datastream: ``observed_property``, ``result`` and ``unit`` of each, where its thing stands.

    Where the thing stands at no one point, each observation lies at its feature of interest. ``resultQuality`` is kept
    where the service states it.

    Raises
    ------
    AskLess
        Beyond 100,000 observations.
    CatalogueUnavailable
        Where the service does not answer, answers something else, or turns in circles.
    """
    service = _service(href)
    records = list(_bounded(_observation_pages(service, href), href))
    with answering(service.url):
        rows = [_observation(record, stated) for record in records]
    frame = _with_columns(pd.DataFrame.from_records(rows), _SENSOR)
    table = finish_rows(place_rows(frame, _SENSOR, selection), selection.wanted(list(map(str, frame.columns))))
    units = set(stated.units.values())
    table.attrs["units"] = {"result": units.pop()} if len(units) == 1 and "result" in table else {}
    return table


def _observation_pages(service: Service, href: str) -> Iterator[list[dict[str, Any]]]:
    seen, address = set[str](), href
    while address:
        if address in seen:
            raise CatalogueUnavailable(f"{service.url} gives the same page twice: its paging is broken. Narrow time=.")
        seen.add(address)
        answer = service.get_json(address)
        with answering(service.url):
            rows, address = list(answer["value"]), str(answer.get("@iot.nextLink") or "")
        yield rows


def _observation(record: Mapping[str, Any], stated: Stated) -> dict[str, Any]:
    longitude, latitude = stated.place or _feature_point(record.get("FeatureOfInterest") or {})
    measured = stated.columns[0] if stated.columns else None
    quality = {"resultQuality": record["resultQuality"]} if record.get("resultQuality") is not None else {}
    return {
        "phenomenonTime": record["phenomenonTime"],
        "observed_property": measured.name if measured else None,
        "result": record["result"],
        "unit": measured.unit if measured else None,
        **quality,
        "longitude": longitude,
        "latitude": latitude,
    }


def _feature_point(interest: Mapping[str, Any]) -> tuple[float, float]:
    feature = interest.get("feature") or {}
    geometry = feature.get("geometry") if feature.get("type") == "Feature" else feature
    if not geometry or geometry.get("type") != "Point":
        return np.nan, np.nan
    longitude, latitude, *_ = geometry["coordinates"]
    return float(longitude), float(latitude)


def _with_columns(frame: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    missing = {name: np.nan for name in columns.all if name not in frame}
    return frame.assign(**missing)


def _service(href: str) -> Service:
    return open_service(href, load_settings())


def _bounded(pages: Iterator[list[dict[str, Any]]], href: str) -> Iterator[dict[str, Any]]:
    count = 0
    for number, page in enumerate(pages, start=1):
        count += len(page)
        if count > MOST_ROWS or number > MOST_PAGES:
            raise _too_many(href.partition("?")[0], f"at least {count} rows in {number} pages")
        yield from page


def _too_many(url: str, found: str) -> AskLess:
    return AskLess(
        f"{url} holds {found} of what is asked, and at most {MOST_ROWS} are fetched page by page. Narrow bbox= or "
        "time=."
    )
