"""From documents to files of sorted rows: what each process of an ingestion does by itself.

This module is imported by every worker process, so it imports little.
"""

import gc
import json
import os
import threading
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from earthlab.services.stac.geoparquet import Rows
from earthlab.services.stac.intake import Refusal, Unfit, norm_collection, norm_item
from earthlab.services.stac.parts import open_run_writer, write_run
from earthlab.services.stac.sources import Batch, Found, read_documents

ROWS_PER_RUN = 20_000


@dataclass(frozen=True, slots=True)
class Staged:
    """What some documents gave beside their rows."""

    items: int
    refusals: tuple[Refusal, ...]
    collections: tuple[Mapping[str, Any], ...]


def stage(found: Iterable[Found], path: Path, base: str | None, reserved: Container[str] = ()) -> Staged:
    """Write the items of some documents as sorted runs to a file, which appears when it is whole.

    Parameters
    ----------
    found : iterable of Found
        Documents; they are read and let go one by one.
    path : Path
        The file to be; what was refused and the collections go beside it.
    base : str, optional
        What relative hrefs start from.
    reserved : container of str
        Collections that nothing may come into.
    """
    making = path.with_suffix(f".{os.getpid()}")
    with open_run_writer(making) as writer:
        staging = _Staging(writer, base, reserved)
        for one in found:
            staging.take(one)
        staging.flush()
    staged = Staged(staging.items, tuple(staging.refusals), tuple(staging.collections))
    path.with_suffix(".json").write_text(json.dumps(asdict(staged)), encoding="utf-8")
    making.rename(path)
    return staged


def stage_batch(batch: Batch, path: Path, reserved: Container[str]) -> int:
    """Stage a part of a file; how many items there were."""
    return stage(read_documents(batch), path, str(batch.path), reserved).items


def read_notes(path: Path) -> Staged:
    """What `stage` put beside a file."""
    said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return Staged(said["items"], tuple(Refusal(**one) for one in said["refusals"]), tuple(said["collections"]))


def begin_worker() -> None:
    """Make a process ready for `stage_batch`; it ends with the one that started it."""
    # Parsed JSON has no cycles: looking for some takes longer than all the rest.
    gc.disable()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


@dataclass(slots=True)
class _Staging:
    """Rows go out a run at a time; of an item only its row is kept."""

    writer: pa.RecordBatchFileWriter
    base: str | None
    reserved: Container[str]
    items: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    collections: list[Mapping[str, Any]] = field(default_factory=list)
    _rows: Rows = field(default_factory=Rows)
    _names: list[tuple[str, str]] = field(default_factory=list)

    def take(self, found: Found) -> None:
        try:
            self._take(found)
        except Unfit as exc:
            name = found.document.get("id") if isinstance(found.document, Mapping) else None
            self.refusals.append(Refusal(found.where, str(name) if name is not None else None, str(exc)))
        if len(self._rows) == ROWS_PER_RUN:
            self.flush()

    def _take(self, found: Found) -> None:
        if found.fault:
            raise Unfit(found.fault)
        if isinstance(found.document, Mapping) and found.document.get("type") == "Collection":
            self.collections.append(norm_collection(found.document, self.reserved))
            return
        item = norm_item(found.document, self.base, self.reserved)
        try:
            self._rows.add(item)
        except orjson.JSONEncodeError as exc:
            raise Unfit(f"not JSON: {exc}") from exc
        self._names.append((found.where, item["id"]))

    def flush(self) -> None:
        table, unfit = self._rows.make_table()
        self.refusals += [Refusal(*self._names[one.row], one.reason) for one in unfit]
        self.items += len(table)
        if len(table):
            write_run(self.writer, table)
        self._rows, self._names = Rows(), []
