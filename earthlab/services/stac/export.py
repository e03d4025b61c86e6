"""The catalogue as plain STAC documents, one a line: what pgstac and other STAC services load."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from earthlab.errors import SetupError
from earthlab.services.stac.folder import Progress, alone
from earthlab.services.stac.search import Search
from earthlab.services.stac.store import Store

COLLECTIONS, ITEMS = "collections.ndjson", "items.ndjson"
_AT_A_TIME = 2000


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    collections: int
    items: int


def export_catalogue(folder: Path, target: Path, progress: Progress) -> ExportReport:
    """Write all collections and items of the embedded catalogue into two files of ``target``, each whole or not at all.

    Hrefs of files that the catalogue holds are absolute paths of this machine. Shared cubes are left out: they come and
    go. Nothing is ingested meanwhile.

    Parameters
    ----------
    folder : Path
        The catalogue's.
    target : Path
        A folder, made where there is none; files of an earlier export are replaced.
    progress : callable

    Raises
    ------
    SetupError
        Where there is no complete catalogue, or the files cannot be written.
    """
    store = Store(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with alone(folder):
            collections = _write(target / COLLECTIONS, store.collections().values())
            items = _write(target / ITEMS, _read(store, progress))
    except OSError as exc:
        raise SetupError(
            f"{target} could not be written: {exc.strerror or exc}. Free some room, or name another folder."
        ) from exc
    return ExportReport(collections, items)


def _read(store: Store, progress: Progress) -> Iterator[Mapping[str, Any]]:
    search, done = Search(limit=_AT_A_TIME), 0
    while True:
        page = store.find(search)
        yield from page.items
        done += len(page.items)
        progress("items", done, page.matched)
        if page.next is None:
            return
        search = replace(search, after=page.next)


def _write(file: Path, documents: Iterable[Mapping[str, Any]]) -> int:
    number = 0
    handle, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as lines:
            for document in documents:
                lines.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
                number += 1
            lines.flush()
            os.fsync(lines.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(file)
    finally:
        Path(draft).unlink(missing_ok=True)
    return number
