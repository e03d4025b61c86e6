"""``earthlab catalog ingest``: documents of others come into the embedded catalogue, all in one step.

First each batch of the sources becomes a file of sorted rows, by several processes at once; then the rows are merged
into the catalogue's tables. An ingestion that was killed goes on with the batches that are left when it is asked for
again. A document that is not fit is left out and reported; the others come in.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from earthlab.errors import SetupError
from earthlab.services.stac.cubes import COLLECTION as CUBES
from earthlab.services.stac.extents import write_collections
from earthlab.services.stac.folder import Progress, alone, no_catalogue, read_report
from earthlab.services.stac.geoparquet import SCHEMA
from earthlab.services.stac.intake import Refusal
from earthlab.services.stac.parts import merge_runs
from earthlab.services.stac.sources import Batch, plan_batches, show_state
from earthlab.services.stac.staging import begin_worker, read_notes, stage_batch
from earthlab.types import content_token

_REFUSED = "refused"
_FORGOTTEN_AFTER = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingestion did."""

    stored: int
    """Items that came in."""
    replaced: int
    """Items of the catalogue that made way for one with the same collection and id."""
    repeated: int
    """Documents whose collection and id came again later in the same sources: the last one is stored."""
    refused: int
    """Documents that were left out."""
    refusals: Path | None
    """Where each of those is named with its reason, one JSON object a line, for a week; None where there are none."""


def ingest_files(
    folder: Path, paths: Sequence[Path], progress: Progress, *, workers: int | None = None
) -> IngestReport:
    """Bring the STAC items of files into a catalogue, where searches see them at once.

    Files may be GeoParquet in the convention of stac-geoparquet, NDJSON, and JSON of one Item, Collection or
    FeatureCollection. An item takes the place of the one with its collection and id. Nothing is seen before all is
    in; memory does not grow with the files. Ask again with the same files after an interruption: what was read is kept.

    Parameters
    ----------
    folder : Path
        A complete catalogue.
    paths : sequence of Path
        Files; of an item in several the last one counts.
    progress : callable
        Called with what is being done, the steps done and the steps in all.
    workers : int, optional
        How many processes read; one a processor by default.

    Raises
    ------
    BadRequest
        For a file that cannot be read or is of no known kind.
    SetupError
        Where the folder has no complete catalogue or cannot be written, and where these files are being ingested.
    """
    batches, reserved = plan_batches(paths), find_reserved(folder)
    cuts = [(batch.begin, batch.end) for batch in batches]
    with open_work(folder, [*(show_state(path) for path in paths), cuts]) as work:
        _stage_batches(batches, reserved, work, progress, workers or os.cpu_count() or 1)
        return commit(folder, work, progress)


@contextmanager
def open_work(folder: Path, source: Any) -> Iterator[Path]:
    """A folder for what is read of a source; it outlives an interruption, for whoever asks for the same source again.

    Raises
    ------
    SetupError
        Where the catalogue cannot be written, or the same source is being ingested.
    """
    try:
        # What another version staged has other columns.
        work = _resolve_desk(folder) / content_token([source, str(SCHEMA)])
        work.mkdir(parents=True, exist_ok=True)
        _forget_others(work)
        with (work / "lock").open("w") as lock:
            _take(lock.fileno())
            yield work
            shutil.rmtree(work)
    except OSError as exc:
        raise SetupError(
            f"The catalogue in {folder} cannot be written: {exc.strerror or exc}. Free some disk (twice the size of "
            "what comes) or mend the permissions, then ask again: what was read is kept."
        ) from exc


def find_reserved(folder: Path) -> frozenset[str]:
    """The collections of a catalogue that the lab makes itself: nothing else may come into them.

    Raises
    ------
    SetupError
        Where the folder has no complete catalogue.
    """
    report = read_report(folder)
    if report is None:
        raise no_catalogue(folder)
    return frozenset({*report.items, *report.left_out, CUBES})


def commit(folder: Path, work: Path, progress: Progress) -> IngestReport:
    """Merge everything that was staged in ``work`` into the catalogue."""
    files = sorted(work.glob("*.arrow"))
    notes = [read_notes(path) for path in files]
    with alone(folder):
        write_collections(folder, files, [document for staged in notes for document in staged.collections])
        merged = merge_runs(folder, files, work, lambda done, total: progress("merged", done, total))
    refusals = [refusal for staged in notes for refusal in staged.refusals]
    told = _write_refusals(folder, refusals) if refusals else None
    return IngestReport(merged.stored, merged.replaced, merged.repeated, len(refusals), told)


def _stage_batches(
    batches: Sequence[Batch], reserved: frozenset[str], work: Path, progress: Progress, workers: int
) -> None:
    jobs = {work / f"{at:06d}-{batch.begin}-{batch.end}.arrow": batch for at, batch in enumerate(batches)}
    total = sum(batch.size for batch in batches)
    left = {path: batch for path, batch in jobs.items() if not path.exists()}
    done = total - sum(batch.size for batch in left.values())
    items = 0
    progress("read (bytes)", done, total)
    # Forked processes would inherit the threads' locks of arrow and duckdb, but not the threads.
    with ProcessPoolExecutor(min(workers, len(left) or 1), get_context("spawn"), begin_worker) as pool:
        running = {pool.submit(stage_batch, batch, path, reserved): batch for path, batch in left.items()}
        begun = time.monotonic()
        for job in as_completed(running):
            items += job.result()
            done += running[job].size
            rate = items / (time.monotonic() - begun)
            progress(f"read {items:,} items, {rate:,.0f}/s (bytes)", done, total)


def _resolve_desk(folder: Path) -> Path:
    """Where ingestions work: on the catalogue's disk, and beside it, for a new build takes the catalogue's place."""
    return folder.parent / f".{folder.name}.ingest"


def _write_refusals(folder: Path, refusals: Iterable[Refusal]) -> Path:
    path = _resolve_desk(folder) / _REFUSED / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}.ndjson"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(refusal)) + "\n" for refusal in refusals)
    return path


def _take(lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise SetupError("The same is being ingested by another process. Wait for it, or end it.") from exc


def _forget_others(work: Path) -> None:
    for other in work.parent.iterdir():
        if other != work and time.time() - other.stat().st_mtime > _FORGOTTEN_AFTER:
            shutil.rmtree(other)
