"""ERDDAP: one document a dataset of tables, with an asset that holds the rows asked for and no more (``tabledap``).

The asset is NetCDF, which carries types, units and standard names with the rows. Where neither place nor time is
asked, a dataset may be the whole of Argo: it then has no asset and a link. A profile's ``upstream`` is a dataset's id,
such as ``ArgoFloats``.
Source: ERDDAP's own documentation of ``tabledap`` and of its ``allDatasets`` table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import quote

from earthlab.catalog.dialects.documents import (
    PartedService,
    box_of,
    boxes_of,
    each_once,
    make_item,
    period_of,
    stac_moment,
)
from earthlab.catalog.query import Query
from earthlab.catalog.session import answering
from earthlab.catalog.tabular import TABLEDAP, profiled
from earthlab.errors import BadRequest, did_you_mean
from earthlab.types import BBox, Period

_COLUMNS = (
    "datasetID", "title", "summary", "institution", "infoUrl",
    "minLongitude", "maxLongitude", "minLatitude", "maxLatitude", "minTime", "maxTime",
)  # fmt: skip

_PLACE = ("longitude", "latitude")
_TIME = "time"


@dataclass(frozen=True)
class Erddap(PartedService):
    """An ERDDAP server."""

    kind: ClassVar[str] = "is an ERDDAP"

    def documents(self, query: Query, limit: int | None) -> Iterator[dict[str, Any]]:  # noqa: ARG002 - one page holds all
        """One item a dataset with rows where and when the question asks."""
        for collection, dataset in self.parts(query):
            rows = self._datasets(query, dataset)
            found = (self._document(row, collection, query) for row in rows)
            yield from each_once((item for item in found if item and query.keeps(item)), self.url)

    def _datasets(self, query: Query, dataset: str) -> Iterator[dict[str, Any]]:
        conditions = ['dataStructure="table"', *_extent_conditions(query)]
        if dataset:
            conditions.append(f'datasetID="{dataset}"')
        address = f"{self._base}/tabledap/allDatasets.json?{_words(','.join(_COLUMNS), conditions)}"
        return self._rows(address)

    def _rows(self, address: str) -> Iterator[dict[str, Any]]:
        answer = self.service.get(address, also=(404,))
        if answer.status_code == 404:  # so an ERDDAP says that there is nothing
            return
        with answering(self.url, self.service.timeout):
            table = answer.json()["table"]
            yield from (dict(zip(table["columnNames"], row, strict=True)) for row in table["rows"])

    def _document(self, row: Mapping[str, Any], collection: str, query: Query) -> dict[str, Any] | None:
        period = period_of(_moment(row["minTime"]), _moment(row["maxTime"]))
        if period is None or row["datasetID"] == "allDatasets":
            return None
        name = str(row["datasetID"])
        sides = (row["minLongitude"], row["minLatitude"], row["maxLongitude"], row["maxLatitude"])
        turned = float(sides[2] or 0) > 180
        page = f"{self._base}/tabledap/{quote(name)}.html"
        return make_item(
            name,
            collection,
            start=period[0],
            end=period[1],
            bbox=box_of(*((-180, sides[1], 180, sides[3]) if turned else sides)),
            properties={"title": row["title"], "description": row["summary"], "institution": row["institution"]},
            assets=self._assets(name, query, turned=turned),
            links=[
                {"rel": "alternate", "href": page, "type": "text/html"},
                *([{"rel": "about", "href": row["infoUrl"]}] if row["infoUrl"] else []),
            ],
        )

    def _assets(self, dataset: str, query: Query, *, turned: bool) -> dict[str, dict[str, Any]]:
        if not boxes_of(query) and query.period is None:
            return {}
        variables = self._variables(dataset)
        if not set(_PLACE) <= set(variables):
            return {}
        period = query.period if _TIME in variables else None
        boxes: list[BBox | None] = [*boxes_of(query)] or [None]
        questions = [rows for box in boxes for rows in _row_conditions(box, period, turned=turned)]
        base = f"{self._base}/tabledap/{quote(dataset)}.nc"
        return {
            f"table{number or ''}": {
                "href": f"{base}?{_words(','.join(variables), conditions)}",
                "type": profiled("application/x-netcdf", TABLEDAP),
                "roles": ["data"],
            }
            for number, conditions in enumerate(questions)
        }

    def _variables(self, dataset: str) -> list[str]:
        rows = self._rows(f"{self._base}/info/{quote(dataset)}/index.json")
        return [str(row["Variable Name"]) for row in rows if row["Row Type"] == "variable"]

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")


def narrow_rows(href: str, columns: Sequence[str] | None, period: Period | None) -> str:
    """The address of rows with fewer variables, and with a period: nothing is fetched that is dropped afterwards.

    Places and times always come along. A condition that the address has is not added twice.

    Raises
    ------
    BadRequest
        For a column that the dataset does not have; the message offers the nearest.
    """
    base, _, words = href.partition("?")
    stated, *conditions = words.split("&")
    variables = stated.split(",")
    missing = next((name for name in columns or () if name not in variables), None)
    if missing is not None:
        raise BadRequest(f"columns: there is no {missing!r}. {did_you_mean(missing, variables)}")
    kept = [name for name in variables if columns is None or name in {*columns, *_PLACE, _TIME}]
    narrower = _time_conditions(period) if _TIME in variables else []
    return f"{base}?{'&'.join([','.join(kept), *dict.fromkeys([*conditions, *map(_quoted, narrower)])])}"


def _words(variables: str, conditions: Sequence[str]) -> str:
    return "&".join([variables, *map(_quoted, conditions)])


def _quoted(condition: str) -> str:
    return quote(condition, safe="=()")


def _extent_conditions(query: Query) -> list[str]:
    """Longitudes are compared on the answers: datasets count them from -180 or from 0."""
    boxes = boxes_of(query)
    conditions = []
    if boxes:
        conditions += [f"maxLatitude>={boxes[0].south}", f"minLatitude<={boxes[0].north}"]
    if query.period and query.period.start:
        conditions.append(f"maxTime>={stac_moment(query.period.start)}")
    if query.period and query.period.end:
        conditions.append(f"minTime<={stac_moment(query.period.end)}")
    return conditions


def _row_conditions(box: BBox | None, period: Period | None, *, turned: bool) -> list[list[str]]:
    """What selects the rows: one question, or two where the box lies across the longitude that a dataset begins at."""
    times = _time_conditions(period)
    if box is None:
        return [times]
    west, south, east, north = box.as_tuple()
    spans = [(west, east)]
    if turned and west < 0:
        spans = [(west + 360, min(east, 0.0) + 360), *([(0.0, east)] if east >= 0 else [])]
    latitudes = [f"latitude>={south}", f"latitude<={north}"]
    return [[f"longitude>={one}", f"longitude<={other}", *latitudes, *times] for one, other in spans]


def _time_conditions(period: Period | None) -> list[str]:
    if period is None:
        return []
    sides = ((">=", period.start), ("<=", period.end))
    return [f"time{sign}{stac_moment(moment)}" for sign, moment in sides if moment]


def _moment(value: Any) -> str | None:
    """ERDDAP gives times as ISO 8601, or as seconds since 1970."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC).isoformat()
    return value or None
