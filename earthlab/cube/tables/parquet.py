"""GeoParquet and plain Parquet with longitude and latitude: filters reach the row groups."""

import json
from functools import reduce
from operator import and_
from typing import Any, BinaryIO

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from earthlab.cube.tables.columns import Columns, find_columns, find_units, parse_times
from earthlab.cube.tables.delimited import make_points
from earthlab.cube.tables.selection import Selection, norm_longitude, require_degrees
from earthlab.errors import BadRequest
from earthlab.types import Period


def read_parquet(stream: BinaryIO, selection: Selection) -> gpd.GeoDataFrame:
    """The rows of a (Geo)Parquet file that a selection wants; row groups outside it are not read.

    Raises
    ------
    BadRequest
        For a file that is no Parquet, has neither geometry nor coordinates, or whose geometry states no CRS.
    """
    try:
        file = pq.ParquetFile(stream)
    except pa.ArrowInvalid as exc:
        raise BadRequest(f"table: the file is no Parquet ({exc}).") from exc
    schema = file.schema_arrow
    geo = json.loads((schema.metadata or {}).get(b"geo", b"null"))
    times = _time_columns(schema, geo)
    if selection.period and not times:
        raise BadRequest(
            f"time: the table has no column of dates among {', '.join(schema.names[:12])}. Leave time= out."
        )
    frame = _read_geometry(stream, schema, geo, times, selection) if geo else _read_places(stream, schema, selection)
    frame.attrs["units"] = find_units(frame.columns) | _stated_units(schema, frame)
    return frame


def _read_geometry(
    stream: BinaryIO, schema: pa.Schema, geo: dict[str, Any], times: tuple[str, ...], selection: Selection
) -> gpd.GeoDataFrame:
    main = geo["primary_column"]
    about = geo["columns"][main]
    if "crs" in about and about["crs"] is None:
        raise BadRequest(f"table: the geometry {main!r} of the GeoParquet states no CRS. Write it with one.")
    names = [name for name in schema.names if name not in {*geo["columns"], *_coverings(geo)}]
    wanted = selection.wanted(names)
    stream.seek(0)
    degrees = (about.get("crs") or {}).get("id", {}).get("code") in {"CRS84", 4326} or "crs" not in about
    frame = gpd.read_parquet(
        stream,
        columns=[*dict.fromkeys([*wanted, *times]), main],
        filters=_time_filter(schema, times, selection.period),
        bbox=_box(selection) if "covering" in about and degrees else None,
    )
    frame = frame.set_axis(["geometry" if name == main else name for name in frame.columns], axis=1)
    frame = frame.set_geometry("geometry").to_crs("EPSG:4326")
    return _finish(frame, times, wanted, selection, _meets(frame, selection))


def _coverings(geo: dict[str, Any]) -> set[str]:
    """The columns of boxes that only say where geometries lie."""
    boxes = [about["covering"]["bbox"] for about in geo["columns"].values() if "covering" in about]
    return {corner[0] for box in boxes for corner in box.values()}


def _box(selection: Selection) -> tuple[float, float, float, float] | None:
    if selection.bbox is None or len(selection.bbox.parts()) > 1:
        return None
    return selection.bbox.as_tuple()


def _meets(frame: gpd.GeoDataFrame, selection: Selection) -> Any:
    if selection.bbox is None:
        return pd.Series(data=True, index=frame.index)
    tests = [
        (frame.geometry.bounds.minx <= east)
        & (frame.geometry.bounds.maxx >= west)
        & (frame.geometry.bounds.miny <= north)
        & (frame.geometry.bounds.maxy >= south)
        for west, south, east, north in (part.as_tuple() for part in selection.bbox.parts())
    ]
    return reduce(lambda one, other: one | other, tests)


def _read_places(stream: BinaryIO, schema: pa.Schema, selection: Selection) -> gpd.GeoDataFrame:
    columns = find_columns(schema.names)
    wanted = selection.wanted(list(schema.names))
    filters = [*_place_filters(columns, selection), *_filters(_time_filter(schema, columns.time, selection.period))]
    stream.seek(0)
    table = pq.read_table(
        stream, columns=[*dict.fromkeys([*wanted, *columns.all])], filters=reduce(and_, filters) if filters else None
    )
    frame = table.to_pandas()
    longitude, latitude = (frame[name].to_numpy("float64") for name in (columns.longitude, columns.latitude))
    require_degrees(longitude, latitude, (columns.longitude, columns.latitude))
    longitude = norm_longitude(longitude)
    placed = gpd.GeoDataFrame(frame, geometry=make_points(longitude, latitude), crs="EPSG:4326")
    return _finish(placed, columns.time, wanted, selection, selection.inside(longitude, latitude))


def _place_filters(columns: Columns, selection: Selection) -> list[Any]:
    """Latitudes alone: longitudes may be counted from 0 to 360."""
    if selection.bbox is None:
        return []
    latitude = pa.compute.field(columns.latitude)
    return [latitude >= selection.bbox.south, latitude <= selection.bbox.north]


def _filters(expression: Any) -> list[Any]:
    return [] if expression is None else [expression]


def _time_columns(schema: pa.Schema, geo: Any) -> tuple[str, ...]:
    moments = [name for name in schema.names if pa.types.is_timestamp(schema.field(name).type)]
    named = [*schema.names, "longitude", "latitude"]
    found = find_columns(named).time if geo else find_columns(schema.names).time
    return found or tuple(moments[:1])


def _time_filter(schema: pa.Schema, times: tuple[str, ...], period: Period | None) -> Any:
    if period is None or len(times) != 1 or not pa.types.is_timestamp(schema.field(times[0]).type):
        return None
    kind, field = schema.field(times[0]).type, pa.compute.field(times[0])
    naive = kind.tz is None
    sides = [(period.start, field.__ge__), (period.end, field.__le__)]
    tests = [test(pa.scalar(at.replace(tzinfo=None) if naive else at, type=kind)) for at, test in sides if at]
    return reduce(and_, tests) if tests else None


def _finish(
    frame: gpd.GeoDataFrame, times: tuple[str, ...], wanted: list[str], selection: Selection, inside: Any
) -> gpd.GeoDataFrame:
    moments = _moments(frame, times)
    kept = frame[[name for name in wanted if name not in {"time", "geometry"}] + ["geometry"]]
    kept.insert(0, "time", moments)
    chosen: gpd.GeoDataFrame = kept[pd.Series(inside, index=frame.index) & selection.during(moments)]
    return chosen.reset_index(drop=True)


def _moments(frame: gpd.GeoDataFrame, times: tuple[str, ...]) -> "pd.Series[Any]":
    if len(times) == 1 and pd.api.types.is_datetime64_any_dtype(frame[times[0]]):
        moments: pd.Series[Any] = pd.to_datetime(frame[times[0]], utc=True).astype("datetime64[ns, UTC]")
        return moments
    return parse_times(frame, times)


def _stated_units(schema: pa.Schema, frame: gpd.GeoDataFrame) -> dict[str, str]:
    fields = [schema.field(name) for name in frame.columns if name in schema.names]
    return {f.name: f.metadata[b"units"].decode() for f in fields if f.metadata and b"units" in f.metadata}
