"""The items of the catalogue as one GeoParquet file, laid out for pruning."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

ROWS_PER_GROUP = 5000

_MOMENT = pa.timestamp("us", tz="UTC")
_BOX = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in ("xmin", "ymin", "xmax", "ymax")])
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("collection", pa.string(), nullable=False),
        pa.field("geometry", pa.binary()),
        pa.field("bbox", _BOX, nullable=False),
        pa.field("datetime", _MOMENT),
        pa.field("start_datetime", _MOMENT),
        pa.field("end_datetime", _MOMENT),
        # Never null, unlike the three above, so that the file's statistics prune: see `order`.
        pa.field("begins", _MOMENT, nullable=False),
        pa.field("ends", _MOMENT, nullable=False),
        pa.field("item", pa.string(), nullable=False),
    ]
)


def write_items(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """Write STAC items as GeoParquet 1.1: WKB geometry, a covering box, the times, and the whole item as JSON.

    Rows go by collection and time, so that a search in one collection or period touches few row groups.
    """
    rows = sorted((_row(item) for item in items), key=lambda r: (r["collection"], r["begins"], r["id"]))
    schema = _SCHEMA.with_metadata({"geo": json.dumps(_geo_metadata(rows))})
    table = pa.Table.from_pylist(rows, schema=schema)
    pq.write_table(table, path, compression="zstd", row_group_size=ROWS_PER_GROUP, write_statistics=True)


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    said = item["properties"]
    instant, start, end = (_moment(said.get(k)) for k in ("datetime", "start_datetime", "end_datetime"))
    box = item["bbox"]
    west, south, east, north = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
    return {
        "id": item["id"],
        "collection": item["collection"],
        "geometry": shapely.geometry.shape(item["geometry"]).wkb if item["geometry"] else None,
        "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north},
        "datetime": instant,
        "start_datetime": start,
        "end_datetime": end,
        "begins": start or instant,
        "ends": end or instant,
        "item": json.dumps(item, ensure_ascii=False, separators=(",", ":")),
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _geo_metadata(rows: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = sorted({shapely.from_wkb(row["geometry"]).geom_type for row in rows if row["geometry"]})
    sides = {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    column = {"encoding": "WKB", "geometry_types": kinds, "edges": "planar", "covering": {"bbox": sides}}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
