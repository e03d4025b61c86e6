"""The tables of what was ingested: runs of new rows are merged into them, and all change in one step.

``parts`` in the catalogue's folder is a link to a folder of tables, and the step is to put another link in its place:
a search sees all of an ingestion or nothing of it. A table holds at most `MOST_ROWS`; the small ones are merged again
with what comes, so that there are few, and each is rewritten a bounded number of times.
"""

import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from earthlab.services.stac.geoparquet import (
    PARTS,
    SCHEMA,
    Rows,
    find_parts,
    open_writer,
    sort_keys,
    write_groups,
)

MOST_ROWS = 500_000
MOST_BYTES = 1_000_000_000
"""Of the rows of a table, before compression."""
KEPT_SECONDS = 60.0
"""For how long tables stay readable after others took their place."""

_ROWS_AT_ONCE = 20_000
_BYTES_AT_ONCE = 64_000_000
_RUN = SCHEMA.append(pa.field("key", pa.uint64(), nullable=False))
_Index = npt.NDArray[np.int64]
_Losses = dict[Path, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did to the rows that came."""

    stored: int
    replaced: int
    """Rows of the catalogue that made way for one that came."""
    repeated: int
    """Rows that came, and again later with the same collection and id: the last one counts."""


def open_run_writer(path: Path) -> pa.RecordBatchFileWriter:
    """A writer of runs: the batches of an Arrow file, each of which `write_run` sorts."""
    return pa.ipc.new_file(path, _RUN)


def write_run(writer: pa.RecordBatchFileWriter, table: pa.Table) -> None:
    """Add a run of rows of `SCHEMA`; they need have no order."""
    keys = sort_keys(table)
    order = np.argsort(keys, kind="stable")
    for batch in table.append_column(_RUN.field("key"), pa.array(keys)).take(order).combine_chunks().to_batches():
        writer.write_batch(batch)


def read_runs(path: Path) -> list[pa.RecordBatch]:
    """The runs of a file, mapped into memory and not read."""
    with pa.memory_map(str(path)) as source:
        file = pa.ipc.open_file(source)
        return [file.get_batch(at) for at in range(file.num_record_batches)]


def renew_part(part: Path, path: Path) -> None:
    """Write a table that an earlier version made, of another schema, as one of ours: its rows anew from their items."""
    with pq.ParquetFile(part) as file, open_writer(path) as writer:
        for group in range(file.num_row_groups):
            rows = Rows()
            for text in file.read_row_group(group, columns=["item"]).column("item").to_pylist():
                rows.add(orjson.loads(text))
            write_groups(writer, rows.make_table()[0])


def is_current(part: Path) -> bool:
    """Whether a table has the columns of `SCHEMA`."""
    return bool(pq.read_schema(part).equals(SCHEMA))


def merge_runs(folder: Path, files: Sequence[Path], work: Path, progress: Callable[[int, int], None]) -> Merged:
    """Put the rows of run files into the catalogue, each in the place of the one with its collection and id.

    Parameters
    ----------
    folder : Path
        The catalogue; nobody else may merge into it at the same time.
    files : sequence of Path
        What `open_run_writer` wrote, in the order in which later rows replace earlier ones.
    work : Path
        A folder on the same disk for what is in the making.
    progress : callable
        Called with the rows written and the rows to write.
    """
    parts = find_parts(folder)
    came = [run for file in files for run in read_runs(file)]
    count = sum(map(len, came))
    if not count:
        return Merged(0, 0, 0)
    gone = _find_replaced(parts, came)
    old, new = gone[: len(parts)], gone[len(parts) :]
    again = _choose_again(dict(zip(parts, old, strict=True)), count)
    runs = [run for part, lost in again.items() for run in _unpack(part, ~lost, work)]
    runs += [_Run(batch, np.flatnonzero(~lost)) for batch, lost in zip(came, new, strict=True)]
    made = _write_parts(runs, work, progress)
    _replace_parts(folder, [part for part in parts if part not in again], made)
    repeated = int(sum(lost.sum() for lost in new))
    return Merged(count - repeated, int(sum(lost.sum() for lost in old)), repeated)


def _choose_again(losses: _Losses, count: int) -> _Losses:
    """The tables to write again: who loses rows, and from the smallest up who has no more than what is written."""
    again = {part: lost for part, lost in losses.items() if lost.any()}
    written = count + sum(len(lost) - int(lost.sum()) for lost in again.values())
    for part, lost in sorted(losses.items(), key=lambda one: len(one[1])):
        if part not in again and len(lost) <= min(written, MOST_ROWS // 2):
            again[part] = lost
            written += len(lost)
    return again


@dataclass(frozen=True, slots=True)
class _Run:
    rows: pa.RecordBatch
    kept: _Index


def _find_replaced(parts: Sequence[Path], came: Sequence[pa.RecordBatch]) -> list[npt.NDArray[np.bool_]]:
    """For each part and then for each run which of its rows have a later namesake."""
    names = [pq.read_table(part, columns=["collection", "id"]) for part in parts]
    names += [pa.Table.from_batches([run.select(["collection", "id"])]) for run in came]
    whole = pa.concat_tables(names)
    # Numbers for texts: a million Python strings would take longer than all the rest.
    codes = {name: _number(whole.column(name)) for name in ("collection", "id")}
    lost = pd.DataFrame(codes).duplicated(keep="last").to_numpy()
    return np.split(lost, np.cumsum([len(table) for table in names])[:-1])


def _number(texts: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    codes: npt.NDArray[np.int32] = (
        texts.cast(pa.large_string()).combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    )
    return codes


def _unpack(part: Path, kept: npt.NDArray[np.bool_], work: Path) -> list[_Run]:
    path, first = work / f"{part.stem}.arrow", 0
    with pq.ParquetFile(part) as file, open_run_writer(path) as writer:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group).cast(SCHEMA)
            write_run(writer, rows.filter(pa.array(kept[first : first + len(rows)])))
            first += len(rows)
    runs = [_Run(run, np.arange(len(run))) for run in read_runs(path)]
    path.unlink()  # what is mapped stays until it is let go
    return runs


def _write_parts(runs: Sequence[_Run], work: Path, progress: Callable[[int, int], None]) -> list[Path]:
    keys = np.concatenate([np.asarray(run.rows.column("key"))[run.kept] for run in runs])
    order = np.argsort(keys, kind="stable")
    owner = np.repeat(np.arange(len(runs)), [len(run.kept) for run in runs])[order]
    row = np.concatenate([run.kept for run in runs])[order]
    size = sum(run.rows.nbytes for run in runs) / max(sum(len(run.rows) for run in runs), 1)
    most = max(1, min(MOST_ROWS, int(MOST_BYTES / size)))
    name, made = uuid.uuid4().hex[:12], []
    for first in range(0, len(order), most):
        made.append(work / f"{name}-{first // most:04d}.parquet")
        with open_writer(made[-1]) as writer:
            last = min(first + most, len(order))
            step = max(1, min(_ROWS_AT_ONCE, int(_BYTES_AT_ONCE / size)))
            for begin in range(first, last, step):
                end = min(begin + step, last)
                write_groups(writer, _gather(runs, owner[begin:end], row[begin:end]))
                progress(end, len(order))
    return made


def _gather(runs: Sequence[_Run], owner: _Index, row: _Index) -> pa.Table:
    """The rows that are named, in their order: cut out run by run, where they are neighbours, then put in order."""
    by_run = np.lexsort((row, owner))
    found = [_cut(runs[one], row[by_run][owner[by_run] == one]) for one in np.unique(owner)]
    order = np.empty(len(row), dtype=np.int64)
    order[by_run] = np.arange(len(row))
    return pa.concat_tables(found).combine_chunks().take(order)


def _cut(run: _Run, rows: _Index) -> pa.Table:
    first, count = int(rows[0]), int(rows[-1] - rows[0]) + 1
    table = pa.Table.from_batches([run.rows.slice(first, count)]).drop_columns("key")
    return table if count == len(rows) else table.take(rows - first)


def _replace_parts(folder: Path, kept: Iterable[Path], made: Iterable[Path]) -> None:
    link = folder / PARTS
    before = link.resolve() if link.exists() else None
    after = folder / f".{PARTS}-{uuid.uuid4().hex[:12]}"
    after.mkdir(mode=0o755)
    for part in kept:
        (after / part.name).hardlink_to(part)
    for part in made:
        part.chmod(0o644)
        _settle(part)
        part.rename(after / part.name)
    _settle(after)
    step = folder / f".{PARTS}-next"
    step.unlink(missing_ok=True)
    step.symlink_to(after.name)
    step.replace(link)
    _settle(folder)
    if before:
        os.utime(before)
    _clear(folder, {after})


def _settle(path: Path) -> None:
    """See to it that the disk has it."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _clear(folder: Path, kept: set[Path]) -> None:
    """Remove the tables that nobody may be reading any more, and what a killed merge left."""
    for one in folder.glob(f".{PARTS}-*"):
        if one not in kept and one.is_dir() and time.time() - one.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(one)
