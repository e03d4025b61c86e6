"""Keeping the hub's books: one file with all of them, taken while the lab runs, and brought back where nothing is yet.

What people keep in their homes, and shared cubes, are not in it: homes are many and large, cubes can be built again.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.hub.layout import Layout
from earthlab.hub.prepare import make_folders, make_pod_folders, take_lock

MANIFEST = "earthlab-backup.json"

_PASSING = {"lock", "proxy.pid", "rehearsal.token", "rehearsal.lock", "servers"}
"""Of the hub's folder what is of one run alone."""


_BESIDE = ("-wal", "-shm", "-journal")
"""Files that SQLite has beside a database while somebody writes to it."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a file holds: when and by which version it was taken, and each file's digest by its place in the state."""

    taken: str
    version: str
    digests: dict[str, str]
    size: int
    """Bytes of all files together."""


def write_backup(layout: Layout, file: Path, *, catalogue: bool = True, tell: Callable[[str], None] = print) -> Backup:
    """Take all books of a lab, which may run meanwhile: each database as it is at one moment.

    Parameters
    ----------
    layout : Layout
    file : Path
        What is written (``.tar.gz``, 0600): it is there whole or not at all. It holds secrets: cookies', keys of ssh.
    catalogue : bool
        Whether the embedded catalogue goes along; without what was brought into it, it can be built again.
    tell : callable
        Called with each part as it is taken.

    Raises
    ------
    SetupError
        Where there is no lab, or the file cannot be written.
    """
    if not any(root.is_dir() for root in _roots(layout, catalogue=catalogue)):
        raise SetupError(f"There is no lab in {layout.state}. Name its folder by EARTHLAB__LAB__STATE.")
    if not file.parent.is_dir():
        raise SetupError(f"{file.parent} is no folder to write {file.name} into. Make it, or name another.")
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as name:
            draft = Path(name) / "draft"
            found = _write(layout, draft, catalogue=catalogue, tell=tell)
            draft.replace(file)
    except OSError as exc:
        raise SetupError(
            f"{file} could not be written: {exc.strerror or exc}. Nothing was left; free some room and run it again."
        ) from exc
    return found


def _write(layout: Layout, draft: Path, *, catalogue: bool, tell: Callable[[str], None]) -> Backup:
    digests: dict[str, str] = {}
    size = 0
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=4) as archive:
            for place in _places(layout, catalogue=catalogue):
                name = str(place.relative_to(layout.state))
                tell(name)
                copy = _copy_at_one_moment(place, draft.parent / "copy")
                digests[name] = _digest(copy)
                size += copy.stat().st_size
                archive.add(copy, name)
                copy.unlink()
            found = Backup(datetime.now(UTC).isoformat(timespec="seconds"), version("earthlab"), digests, size)
            _add_manifest(archive, found, draft.parent / "manifest")
        raw.flush()
        os.fsync(raw.fileno())
    return found


def _places(layout: Layout, *, catalogue: bool) -> Iterator[Path]:
    for root in _roots(layout, catalogue=catalogue):
        for place in sorted(root.rglob("*")):
            within = place.relative_to(root).parts
            passing = root == layout.hub and (within[0] in _PASSING or place.suffix == ".log")
            temporary = any(part.startswith(".") for part in within) or place.name.endswith(_BESIDE)
            if place.is_file() and not place.is_symlink() and not passing and not temporary:
                yield place


def _roots(layout: Layout, *, catalogue: bool) -> list[Path]:
    """What is kept, of which a pod on a cluster has only its own."""
    return [layout.hub, layout.workshops, *([layout.catalogue] if catalogue else [])]


def _copy_at_one_moment(place: Path, copy: Path) -> Path:
    if place.suffix == ".sqlite":
        with closing(sqlite3.connect(place)) as theirs, closing(sqlite3.connect(copy)) as ours:
            theirs.backup(ours)
            # One file, wherever it is brought: the copy needs no log beside it.
            ours.execute("PRAGMA journal_mode=DELETE")
        shutil.copystat(place, copy)
    else:
        shutil.copy2(place, copy)
    return copy


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _add_manifest(archive: tarfile.TarFile, found: Backup, file: Path) -> None:
    told = {"taken": found.taken, "version": found.version, "size": found.size, "digests": found.digests}
    file.write_text(json.dumps(told, indent=1))
    archive.add(file, MANIFEST)
    file.unlink()


def restore_backup(layout: Layout, file: Path, *, in_pod: bool = False, tell: Callable[[str], None] = print) -> Backup:
    """Bring the books of a backup into a lab that does not run and has none.

    All is unpacked beside the state and compared with its digests before anything is put in place.

    Parameters
    ----------
    in_pod : bool
        Whether the state folder is a cluster's volume: see `earthlab.hub.prepare.make_pod_folders`.

    Raises
    ------
    SetupError
        Where the lab runs or has books already, or the file is no whole backup; nothing has changed then.
    """
    (make_pod_folders if in_pod else make_folders)(layout)
    lock = take_lock(layout)
    try:
        _refuse_what_is_there(layout, ("hub/hub.sqlite", "hub/links.sqlite", "hub/passes.sqlite"))
        with tempfile.TemporaryDirectory(dir=layout.state, prefix=".restoring.") as name:
            found = _unpack(file, Path(name))
            _refuse_what_is_there(layout, sorted(found.digests))
            for place in sorted(found.digests):
                tell(place)
                target = layout.state / place
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                (Path(name) / place).replace(target)
    finally:
        os.close(lock)
    return found


def _refuse_what_is_there(layout: Layout, places: Sequence[str]) -> None:
    if there := [place for place in places if (layout.state / place).exists()]:
        raise SetupError(
            f"{layout.state} holds {', '.join(there[:3])} already, and a backup replaces nothing. "
            "Move its folders away, or name another by EARTHLAB__LAB__STATE."
        )


def _unpack(file: Path, folder: Path) -> Backup:
    try:
        with tarfile.open(file, "r:gz") as archive:
            for member in archive:
                _take_out(archive, member, folder)
        told = json.loads((folder / MANIFEST).read_text())
        found = Backup(told["taken"], told["version"], dict(told["digests"]), int(told["size"]))
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as exc:
        raise SetupError(f"{file} is no whole backup of a lab ({exc}). Take another one; nothing was changed.") from exc
    changed = [name for name, digest in found.digests.items() if not _is(folder / name, folder, digest)]
    if changed:
        raise SetupError(f"{file}: {changed[0]} is not what was taken. Take another backup; nothing was changed.")
    return found


def _take_out(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    place = folder / member.name
    content = archive.extractfile(member) if member.isreg() else None
    if content is None or not _is_within(place, folder):
        raise ValueError(f"{member.name} is no file of a lab's")
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with content, place.open("xb") as file:
        shutil.copyfileobj(content, file)
    place.chmod(member.mode & 0o755)


def _is(place: Path, folder: Path, digest: str) -> bool:
    return _is_within(place, folder) and place.is_file() and _digest(place) == digest


def _is_within(place: Path, folder: Path) -> bool:
    return place.resolve().is_relative_to(folder.resolve())
