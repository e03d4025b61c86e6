"""Where documents come from: files cut into batches that can be read alone, again, and by several processes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from earthlab.errors import BadRequest

BATCH_BYTES = 16_000_000
_LINES = {".ndjson", ".jsonl", ".geojsonl"}
_WHOLE = {".json", ".geojson"}
_TABLES = {".parquet", ".geoparquet"}


@dataclass(frozen=True, slots=True)
class Batch:
    """A part of a file: the lines of a text that begin in some bytes, or rows of a table."""

    path: Path
    begin: int
    end: int
    size: int
    """Bytes, for showing progress."""


@dataclass(frozen=True, slots=True)
class Found:
    """What stood in one place: a document, or why there is none."""

    where: str
    document: Any = None
    fault: str | None = None


def plan_batches(paths: Iterable[Path]) -> tuple[Batch, ...]:
    """The batches of some files, in their order.

    Raises
    ------
    BadRequest
        For a file that is not there, cannot be read, or is of no kind that is known.
    """
    return tuple(batch for path in paths for batch in _cut(path.absolute()))


def show_state(path: Path) -> tuple[str, int, int]:
    """What tells a file, unchanged, from any other."""
    found = path.stat()
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def read_documents(batch: Batch) -> Iterator[Found]:
    """What a batch holds, in order; a FeatureCollection is its features."""
    if batch.path.suffix in _TABLES:
        yield from _read_table(batch)
    elif batch.path.suffix in _WHOLE:
        yield from _read_whole(batch)
    else:
        yield from _read_lines(batch)


def _cut(path: Path) -> Iterator[Batch]:
    known = {*_LINES, *_WHOLE, *_TABLES}
    if path.suffix not in known:
        raise BadRequest(f"{path} is of no known kind. Give files that end in {', '.join(sorted(known))}.")
    try:
        size = path.stat().st_size
        if path.suffix in _TABLES:
            yield from _cut_table(path)
        else:
            step = BATCH_BYTES if path.suffix in _LINES else max(size, 1)
            for begin in range(0, size, step):
                yield Batch(path, begin, min(begin + step, size), min(step, size - begin))
    except (OSError, pa.ArrowException) as exc:
        raise BadRequest(f"{path} cannot be read: {exc}. Check its name, rights and contents.") from exc


def _cut_table(path: Path) -> Iterator[Batch]:
    with pq.ParquetFile(path) as table:
        missing = {"id", "geometry", "assets"} - set(table.schema_arrow.names)
        if missing:
            raise BadRequest(
                f"{path} has no column {', '.join(sorted(missing))}: expected GeoParquet in the convention of "
                "stac-geoparquet, one row an item."
            )
        first = 0
        for group in map(table.metadata.row_group, range(table.num_row_groups)):
            # A reader of a later part passes over the rows before it in their group, so parts are few.
            step = max(_ROWS_PER_BATCH, -(-group.num_rows // _MOST_PARTS))
            for begin in range(first, first + group.num_rows, step):
                end = min(begin + step, first + group.num_rows)
                yield Batch(path, begin, end, group.total_byte_size * (end - begin) // group.num_rows)
            first += group.num_rows


_ROWS_PER_BATCH = 75_000
_MOST_PARTS = 8


def _read_lines(batch: Batch) -> Iterator[Found]:
    with batch.path.open("rb") as file:
        if batch.begin:
            # The batch before reads the line that crosses the cut.
            file.seek(batch.begin - 1)
            file.readline()
        while (at := file.tell()) < batch.end:
            line = file.readline()
            if line.strip():
                yield _parse(line, f"{batch.path.name}, line at byte {at}")


def _parse(text: bytes, where: str) -> Found:
    try:
        return Found(where, orjson.loads(text))
    except orjson.JSONDecodeError as exc:
        return Found(where, fault=f"not JSON: {exc}")


def _read_whole(batch: Batch) -> Iterator[Found]:
    found = _parse(batch.path.read_bytes(), batch.path.name)
    if isinstance(found.document, dict) and found.document.get("type") == "FeatureCollection":
        features = found.document.get("features")
        if not isinstance(features, list):
            yield Found(found.where, fault="a FeatureCollection without a list of features")
            return
        for at, feature in enumerate(features):
            yield Found(f"{found.where}, feature {at}", feature)
    else:
        yield found


def _read_table(batch: Batch) -> Iterator[Found]:
    for at, table in _read_rows(batch):
        shapes = shapely.from_wkb(table.column("geometry").to_numpy(), on_invalid="ignore")
        rows = zip(_texts(table.drop_columns("geometry")), shapely.to_geojson(shapes), strict=True)
        for row, (text, shape) in enumerate(rows, start=at):
            yield Found(f"{batch.path.name}, row {row}", _document(text, shape))


def _read_rows(batch: Batch) -> Iterator[tuple[int, pa.Table]]:
    """The rows, some thousand at a time, and the number of the first of them."""
    with pq.ParquetFile(batch.path) as file:
        at = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if at < batch.end and at + count > batch.begin:
                yield from _read_group(file, group, at, batch)
            at += count


def _read_group(file: pq.ParquetFile, group: int, at: int, batch: Batch) -> Iterator[tuple[int, pa.Table]]:
    for rows in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group], use_threads=False):
        begin, end = max(batch.begin - at, 0), min(batch.end - at, len(rows))
        if begin < end:
            # Taken, not sliced: duckdb refuses structs that begin at an offset.
            yield at + begin, pa.Table.from_batches([rows.take(pa.array(range(begin, end)))])
        at += len(rows)
        if at >= batch.end:
            return


_ROWS_AT_ONCE = 10_000


def _texts(table: pa.Table) -> Iterator[str]:
    """Each row as JSON; duckdb writes it several times faster than rows become Python objects."""
    columns = [_as_text(column) if pa.types.is_timestamp(column.type) else column for column in table.columns]
    rows = pa.Table.from_arrays(columns, names=table.column_names)
    with duckdb.connect(":memory:", config={"threads": 1}) as duck:
        duck.register("given", rows)
        for (text,) in duck.execute("SELECT to_json(given) FROM given").fetchall():
            yield text


def _as_text(moments: pa.ChunkedArray) -> pa.ChunkedArray:
    # Without a zone they are in UTC, by the convention.
    text = pc.strftime(moments.cast(pa.timestamp("us", tz="UTC")), "%Y-%m-%dT%H:%M:%SZ")
    return pc.replace_substring_regex(text, r"\.0+Z$", "Z")


def _document(text: str, shape: str | None) -> dict[str, Any]:
    """The item of a row. A table has null where an item says nothing, so nulls are left out, but for ``datetime``."""
    said = orjson.loads(text)
    if "null" in text:
        said = _without_nulls(said)
    top = {name: said.pop(name) for name in _TOP if name in said}
    if isinstance(box := top.get("bbox"), Mapping):
        top["bbox"] = [box[side] for side in _SIDES if side in box]
    geometry = None if shape is None else orjson.loads(shape)
    return {"type": "Feature", **top, "geometry": geometry, "properties": {"datetime": None, **said}}


_TOP = ("type", "stac_version", "stac_extensions", "id", "collection", "bbox", "links", "assets")
_SIDES = ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
