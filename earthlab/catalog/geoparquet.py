"""An answer frozen as GeoParquet, in the conventions of stac-geoparquet 1.0, so that other tools read it too.

One row an item: its properties as columns of their own, assets as a struct, the outline as WKB with a covering box.
So that nothing is lost the column ``earthlab:item`` holds each `Item` as JSON, and the file's metadata the question and
the catalogue. Sources: stac-geoparquet specification 1.0.0, GeoParquet 1.1.0.
"""

import json
import math
import re
import uuid
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from earthlab.errors import BadRequest
from earthlab.types import canonical_json, parse_moment

if TYPE_CHECKING:
    from earthlab.catalog.itemset import Band, Item, ItemSet

OWN_COLUMN = "earthlab:item"
OWN_METADATA = b"earthlab"

_MOST_KEYS = 256
_MOMENT = pa.timestamp("us", tz="UTC")
_BOX = pa.struct([(side, pa.float64()) for side in ("xmin", "ymin", "xmax", "ymax")])
_LINKS = pa.list_(pa.struct([("href", pa.string()), ("rel", pa.string())]))
_BANDS = pa.list_(
    pa.struct(
        [
            ("name", pa.string()),
            ("eo:common_name", pa.string()),
            ("data_type", pa.string()),
            ("unit", pa.string()),
            ("nodata", pa.float64()),
            ("raster:scale", pa.float64()),
            ("raster:offset", pa.float64()),
        ]
    )
)
_ASSET = pa.struct(
    [
        ("href", pa.string()),
        ("type", pa.string()),
        ("title", pa.string()),
        ("roles", pa.list_(pa.string())),
        ("bands", _BANDS),
        ("proj:code", pa.string()),
        ("proj:shape", pa.list_(pa.int64())),
        ("proj:transform", pa.list_(pa.float64())),
    ]
)
_CORE = {
    "type": pa.string(),
    "stac_version": pa.string(),
    "stac_extensions": pa.list_(pa.string()),
    "id": pa.string(),
    "collection": pa.string(),
    "geometry": pa.binary(),
    "bbox": _BOX,
    "links": _LINKS,
    "datetime": _MOMENT,
    "start_datetime": _MOMENT,
    "end_datetime": _MOMENT,
    OWN_COLUMN: pa.string(),
}
_OPTIONAL = {
    "title": pa.string(),
    "license": pa.string(),
    "platform": pa.string(),
    "instruments": pa.list_(pa.string()),
    "eo:cloud_cover": pa.float64(),
    "earthlab:simulated": pa.bool_(),
    "updated": _MOMENT,
    "created": _MOMENT,
    "constellation": pa.string(),
    "gsd": pa.float64(),
    "grid:code": pa.string(),
    "processing:level": pa.string(),
    "s2:mgrs_tile": pa.string(),
    "sar:instrument_mode": pa.string(),
    "sat:orbit_state": pa.string(),
    "sat:relative_orbit": pa.float64(),
    "sci:doi": pa.string(),
    "view:incidence_angle": pa.float64(),
    "view:off_nadir": pa.float64(),
    "view:sun_azimuth": pa.float64(),
    "view:sun_elevation": pa.float64(),
}
_EXTENSIONS = tuple(
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v2.0.0", "projection/v2.0.0", "raster/v2.0.0")
)


def write_geoparquet(answer: "ItemSet", path: Path) -> Path:
    """See `ItemSet.to_geoparquet`."""
    rows = [_row(item) for item in answer.items]
    _number_assets(rows)
    keys = sorted({key for row in rows for key in row["assets"]}) or ["data"]
    optional = {name: kind for name, kind in _OPTIONAL.items() if any(row.get(name) is not None for row in rows)}
    columns = {**_CORE, **optional, "assets": pa.struct([(key, _ASSET) for key in keys])}
    metadata = {
        b"geo": json.dumps(_geo_metadata(answer.items)).encode(),
        b"stac-geoparquet": json.dumps({"version": "1.0.0"}).encode(),
        OWN_METADATA: canonical_json(answer.provenance()).encode(),
    }
    table = pa.Table.from_pylist(rows, schema=pa.schema(columns.items(), metadata=metadata))
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(table, part, compression="zstd")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read_geoparquet_text(path: Path) -> str:
    """The JSON text of the answer in a file, as `ItemSet.to_json` writes it.

    Raises
    ------
    BadRequest
        Where there is no such file, or it is of another origin.
    """
    if not path.is_file():
        raise BadRequest(f"ItemSet: there is no file {path}. Give what ItemSet.to_geoparquet(path) wrote.")
    try:
        file = pq.ParquetFile(path)
        told = (file.schema_arrow.metadata or {}).get(OWN_METADATA)
        if told is None or OWN_COLUMN not in file.schema_arrow.names:
            raise BadRequest(
                f"ItemSet: {path} is Parquet, but not of ItemSet.to_geoparquet(). "
                "`earthlab catalog ingest` puts the items of other files into the lab's catalogue."
            )
        items = file.read([OWN_COLUMN]).column(OWN_COLUMN).to_pylist()
    except pa.ArrowInvalid as exc:
        raise BadRequest(f"ItemSet: {path} is not Parquet ({exc}). Give what ItemSet.to_geoparquet wrote.") from exc
    return f'{{"items":[{",".join(items)}],{told.decode()[1:]}'


def _row(item: "Item") -> dict[str, Any]:
    from earthlab.catalog.itemset import item_dict  # itemset loads this module at the first write

    moment = item.start == item.end
    further = {name: _typed(value, _OPTIONAL[name]) for name, value in item.properties}
    return {
        **further,
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": item.id,
        "collection": item.collection or None,
        "geometry": shapely.from_geojson(item.geometry).wkb if item.geometry else None,
        "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), item.bbox.as_tuple(), strict=True)) if item.bbox else None,
        "links": [],
        "datetime": item.start if moment else None,
        "start_datetime": None if moment else item.start,
        "end_datetime": None if moment else item.end,
        "title": item.title,
        "license": item.licence,
        "platform": item.platform,
        "instruments": list(item.instruments) or None,
        "eo:cloud_cover": item.cloud_cover,
        "earthlab:simulated": item.simulated or None,
        "updated": _typed(item.updated, _MOMENT),
        "assets": {key: _asset(list(bands)) for key, bands in groupby(item.bands, key=lambda band: band.asset)},
        OWN_COLUMN: canonical_json(item_dict(item)),
    }


def _typed(value: Any, kind: pa.DataType) -> Any:
    """The value where it has the column's type: providers do not agree on them, and the own column has it as it is."""
    if kind == _MOMENT:
        return parse_moment(value) if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt]", value) else None
    wanted = str if kind == pa.string() else float
    return value if isinstance(value, wanted) else None


def _asset(bands: "list[Band]") -> dict[str, Any]:
    first = bands[0]
    return {
        "href": first.href,
        "type": first.media_type or None,
        "roles": ["data"],
        "bands": [_band(band) for band in bands],
        "proj:code": first.crs if first.crs and re.fullmatch(r"[A-Za-z]+:\d+", first.crs) else None,
        "proj:shape": first.shape,
        "proj:transform": first.transform,
    }


def _band(band: "Band") -> dict[str, Any]:
    nodata = band.nodata if band.nodata is not None and math.isfinite(band.nodata) else None
    return {
        "name": band.name,
        "eo:common_name": band.common_name,
        "data_type": band.dtype,
        "unit": band.unit,
        "nodata": nodata,
        "raster:scale": band.scale,
        "raster:offset": band.offset,
    }


def _number_assets(rows: Iterable[dict[str, Any]]) -> None:
    """Where assets are called by their paths, each key would be a column: they are numbered, the key is the title."""
    if len({key for row in rows for key in row["assets"]}) <= _MOST_KEYS:
        return
    for row in rows:
        named: Mapping[str, dict[str, Any]] = row["assets"]
        row["assets"] = {
            f"asset{at}": {**asset, "title": key} for at, (key, asset) in enumerate(named.items(), start=1)
        }


def _geo_metadata(items: "Iterable[Item]") -> dict[str, Any]:
    kinds = sorted({json.loads(item.geometry)["type"] for item in items if item.geometry})
    sides = {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    column = {"encoding": "WKB", "geometry_types": kinds, "edges": "planar", "covering": {"bbox": sides}}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
