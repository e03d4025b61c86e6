"""The items of the catalogue as GeoParquet, laid out for pruning: what a row holds, and in which order rows go.

A catalogue's folder has its own items in ``items.parquet`` and what was ingested in ``parts/*.parquet``; all have
`SCHEMA`. A table is never changed: others take its place in one step, which `Tables.stamp` tells.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

ITEMS = "items.parquet"
PARTS = "parts"
ROWS_PER_GROUP = 1_000
"""The service keeps what searches compare in memory and reads the items of a page only, a whole group for each:
with a thousand rows that is 1 ms a group, with twenty thousand 30 ms."""
BYTES_PER_GROUP = 8_000_000


class Queryable(NamedTuple):
    """A property of items that searches may compare and sort by."""

    column: str
    """Its column in `SCHEMA`."""
    schema: Mapping[str, Any]
    """Its JSON schema, as ``/queryables`` shows it."""


_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_WHOLE = {"type": "integer"}
_INSTANT = {"type": "string", "format": "date-time"}

QUERYABLES: Mapping[str, Queryable] = {
    "id": Queryable("id", _TEXT),
    "collection": Queryable("collection", _TEXT),
    "datetime": Queryable("datetime", _INSTANT),
    "start_datetime": Queryable("start_datetime", _INSTANT),
    "end_datetime": Queryable("end_datetime", _INSTANT),
    "created": Queryable("created", _INSTANT),
    "updated": Queryable("updated", _INSTANT),
    "platform": Queryable("platform", _TEXT),
    "constellation": Queryable("constellation", _TEXT),
    "mission": Queryable("mission", _TEXT),
    "instruments": Queryable("instruments", {"type": "array", "items": _TEXT}),
    "gsd": Queryable("gsd", _NUMBER),
    "eo:cloud_cover": Queryable("eo:cloud_cover", {"type": "number", "minimum": 0, "maximum": 100}),
    "view:off_nadir": Queryable("view:off_nadir", _NUMBER),
    "view:sun_elevation": Queryable("view:sun_elevation", _NUMBER),
    "sat:orbit_state": Queryable("sat:orbit_state", _TEXT),
    "sat:relative_orbit": Queryable("sat:relative_orbit", _WHOLE),
    "s2:mgrs_tile": Queryable("s2:mgrs_tile", _TEXT),
    "grid:code": Queryable("grid:code", _TEXT),
    "proj:code": Queryable("proj:code", _TEXT),
    "processing:level": Queryable("processing:level", _TEXT),
}
"""What searches may name. Columns hold what the item says, but ``proj:code``, which is also made of ``proj:epsg``."""

_MOMENT = pa.timestamp("us", tz="UTC")
_BOX = pa.struct([pa.field(side, pa.float64(), nullable=False) for side in ("xmin", "ymin", "xmax", "ymax")])
_TEXTS = (
    "platform", "constellation", "mission", "sat:orbit_state", "s2:mgrs_tile", "grid:code", "proj:code",
    "processing:level",
)  # fmt: skip
_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")
_NUMBERS = ("gsd", "eo:cloud_cover", "view:off_nadir", "view:sun_elevation")
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("collection", pa.string(), nullable=False),
        pa.field("geometry", pa.binary()),
        pa.field("bbox", _BOX, nullable=False),
        pa.field("datetime", _MOMENT),
        pa.field("start_datetime", _MOMENT),
        pa.field("end_datetime", _MOMENT),
        # Never null, unlike the three above, so that the file's statistics prune.
        pa.field("begins", _MOMENT, nullable=False),
        pa.field("ends", _MOMENT, nullable=False),
        pa.field("created", _MOMENT),
        pa.field("updated", _MOMENT),
        pa.field("instruments", pa.list_(pa.string())),
        pa.field("sat:relative_orbit", pa.int64()),
        *(pa.field(name, pa.float64()) for name in _NUMBERS),
        *(pa.field(name, pa.string()) for name in _TEXTS),
        pa.field("item", pa.string(), nullable=False),
    ]
)
"""A row: what searches compare, and the whole item as JSON."""
_COPIED = ("instruments", "sat:relative_orbit", *_NUMBERS, *_TEXTS)
_PLAIN = tuple(name for name in SCHEMA.names if name not in {"geometry", "bbox"})


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a catalogue at one moment."""

    paths: tuple[Path, ...]
    """Absolute, without links; each stays readable for a minute at least after others took its place."""
    stamp: tuple[int, ...]
    """Changes whenever the tables do."""


def find_stamp(folder: Path) -> tuple[int, ...]:
    """What changes whenever the tables of a catalogue do; two calls of ``stat``.

    Raises
    ------
    OSError
        Where the folder has no ``items.parquet``.
    """
    own = (folder / ITEMS).stat()
    try:
        parts = (folder / PARTS).stat()
    except FileNotFoundError:
        return own.st_ino, own.st_mtime_ns
    return own.st_ino, own.st_mtime_ns, parts.st_ino, parts.st_mtime_ns


def find_tables(folder: Path) -> Tables:
    """The tables of a catalogue: its own and those that were ingested.

    Raises
    ------
    OSError
        Where the folder has no ``items.parquet``.
    """
    stamp = find_stamp(folder)
    return Tables(((folder / ITEMS).resolve(), *find_parts(folder)), stamp)


def find_parts(folder: Path) -> tuple[Path, ...]:
    """The tables of what was ingested."""
    return tuple(sorted((folder / PARTS).resolve().glob("*.parquet")))


def write_items(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    """Write STAC items as GeoParquet 1.1 of `SCHEMA`: WKB geometry, a covering box, the times, the whole item as JSON.

    Rows go by month and then by place, see `sort_keys`, so that a search in one month or place touches few row groups.

    Raises
    ------
    ValueError
        Where a geometry is not GeoJSON.
    """
    rows = Rows()
    for item in items:
        rows.add(item)
    table, unfit = rows.make_table()
    if unfit:
        raise ValueError(f"{unfit[0].reason}: item {unfit[0].row} of {len(rows)}")
    with open_writer(path, shapely.get_type_id(shapely.from_wkb(table.column("geometry").to_numpy()))) as writer:
        write_groups(writer, table.take(np.argsort(sort_keys(table), kind="stable")))


def open_writer(path: Path, kinds: Iterable[int] = ()) -> pq.ParquetWriter:
    """A writer of tables of `SCHEMA`; ``kinds`` are those of all geometries to come, as GEOS numbers them, if known."""
    plain = {"item", "geometry", "id"}
    return pq.ParquetWriter(
        path,
        SCHEMA.with_metadata({"geo": json.dumps(_geo_metadata(kinds))}),
        compression="zstd",
        use_dictionary=[name for name in SCHEMA.names if name not in plain],
    )


def write_groups(writer: pq.ParquetWriter, table: pa.Table) -> None:
    """Add rows: as many to a group as `ROWS_PER_GROUP` and `BYTES_PER_GROUP` allow."""
    if len(table):
        writer.write_table(table, row_group_size=rows_a_group(table.nbytes / len(table)))


def rows_a_group(bytes_a_row: float) -> int:
    """How many rows of this size go into a group."""
    return max(1, min(ROWS_PER_GROUP, int(BYTES_PER_GROUP / bytes_a_row)))


class Unfit(NamedTuple):
    """A row that cannot be stored."""

    row: int
    reason: str


@dataclass(slots=True)
class Rows:
    """Rows in the making. Items are read and let go one by one: parsed JSON takes ten times its text's memory."""

    _columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in SCHEMA.names})

    def __len__(self) -> int:
        return len(self._columns["id"])

    def add(self, item: Mapping[str, Any]) -> None:
        """Take an item whose properties have the types that `QUERYABLES` tell and whose times have zones."""
        said = item["properties"]
        times = {name: _moment(said.get(name)) for name in _TIMES}
        row = {
            **{name: said.get(name) for name in _COPIED},
            **{name: float(said[name]) for name in _NUMBERS if said.get(name) is not None},
            **times,
            "id": item["id"],
            "collection": item["collection"],
            "geometry": orjson.dumps(item["geometry"]),
            "bbox": item["bbox"],
            "begins": times["start_datetime"] or times["datetime"],
            "ends": times["end_datetime"] or times["datetime"],
            "proj:code": _projection_code(said),
            "item": orjson.dumps(item).decode(),
        }
        for name, column in self._columns.items():
            column.append(row[name])

    def make_table(self) -> tuple[pa.Table, tuple[Unfit, ...]]:
        """The table of `SCHEMA` in the order of adding, less the rows whose geometry is not one, which come beside."""
        shapes = shapely.from_geojson(np.array(self._columns["geometry"], dtype=object), on_invalid="ignore")
        unfit = tuple(_unfit_shapes(shapes))
        made = {name: pa.array(self._columns[name], SCHEMA.field(name).type) for name in _PLAIN}
        # Footprints of real archives cross themselves now and then; predicates want sound ones.
        broken = ~shapely.is_valid(shapes)
        shapes[broken] = shapely.make_valid(shapes[broken])
        made["geometry"] = pa.array(shapely.to_wkb(shapely.force_2d(shapes)), pa.binary())
        made["bbox"] = _boxes(self._columns["bbox"], shapely.bounds(shapes))
        table = pa.Table.from_arrays([made[name] for name in SCHEMA.names], schema=SCHEMA)
        return (table.filter(_mask(len(self), unfit)) if unfit else table), unfit


def sort_keys(table: pa.Table) -> npt.NDArray[np.uint64]:
    """For each row the number by which rows of a table go: first the month it begins in, then its place on a curve.

    The curve is Hilbert's over 65,536 × 65,536 cells of longitude and latitude: rows near each other are near on Earth.
    """
    box = table.column("bbox").combine_chunks()
    west, south, east, north = (np.asarray(box.field(side)) for side in ("xmin", "ymin", "xmax", "ymax"))
    beyond = np.where(west > east, 360.0, 0.0)
    x = ((west + east + beyond) / 2 + 180.0) % 360.0 / 360.0
    y = ((south + north) / 2 + 90.0) / 180.0
    begins = table.column("begins").cast(pa.timestamp("us")).to_numpy()
    month = begins.astype("datetime64[M]").astype(np.int64) + _MONTHS_BEFORE_1970
    keys: npt.NDArray[np.uint64] = (month.astype(np.uint64) << np.uint64(32)) | _hilbert(x, y)
    return keys


_MONTHS_BEFORE_1970 = 1970 * 12
_CURVE_BITS = 16


def _hilbert(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """The distance along Hilbert's curve of points of the unit square, by turning quadrants from the largest down."""
    side = 1 << _CURVE_BITS
    across, up = (np.clip(part * side, 0, side - 1).astype(np.int64) for part in (x, y))
    distance = np.zeros(len(across), dtype=np.int64)
    step = side >> 1
    while step:
        right, upper = (across & step) > 0, (up & step) > 0
        distance += step * step * ((3 * right) ^ upper)
        mirrored = ~upper & right
        across, up = np.where(mirrored, side - 1 - across, across), np.where(mirrored, side - 1 - up, up)
        across, up = np.where(upper, across, up), np.where(upper, up, across)
        step >>= 1
    return distance.astype(np.uint64)


def _unfit_shapes(shapes: npt.NDArray[Any]) -> Iterable[Unfit]:
    for row in np.flatnonzero(shapely.is_missing(shapes)):
        yield Unfit(int(row), "geometry is not GeoJSON")
    for row in np.flatnonzero(shapely.is_empty(shapes)):
        yield Unfit(int(row), "geometry is empty")
    bounds = shapely.bounds(shapes)
    beyond = (np.abs(bounds[:, ::2]) > 180 + _SLACK).any(axis=1) | (np.abs(bounds[:, 1::2]) > 90 + _SLACK).any(axis=1)
    for row in np.flatnonzero(beyond):
        yield Unfit(int(row), f"geometry reaches {bounds[row].tolist()}, beyond -180…180 and -90…90")


_SLACK = 1e-6


def _boxes(said: list[Any], bounds: npt.NDArray[np.float64]) -> pa.StructArray:
    """What covers each geometry: its bounds, but where the item says that it crosses the antimeridian."""
    sides = np.nan_to_num(bounds)
    for row, box in enumerate(said):
        if box[0] > box[len(box) // 2]:
            sides[row] = box if len(box) == 4 else (box[0], box[1], box[3], box[4])
    return pa.StructArray.from_arrays([pa.array(sides[:, at]) for at in range(4)], fields=list(_BOX))


def _mask(count: int, unfit: Iterable[Unfit]) -> pa.Array:
    kept = np.ones(count, dtype=bool)
    kept[[one.row for one in unfit]] = False
    return pa.array(kept)


def _projection_code(said: Mapping[str, Any]) -> str | None:
    code, epsg = said.get("proj:code"), said.get("proj:epsg")
    return code or (f"EPSG:{epsg}" if epsg else None)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _geo_metadata(kinds: Iterable[int]) -> dict[str, Any]:
    sides = {side: ["bbox", side] for side in ("xmin", "ymin", "xmax", "ymax")}
    names = sorted({_KINDS[kind] for kind in kinds})
    column = {"encoding": "WKB", "geometry_types": names, "edges": "planar", "covering": {"bbox": sides}}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


_KINDS = (
    "Point", "LineString", "LinearRing", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
