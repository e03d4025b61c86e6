"""The lab's notebooks in the user's home: new ones arrive by themselves, the user's own work is never touched."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_RECORD = Path(".local/share/earthlab/notebooks.json")
_LEFT_OUT = {".ipynb_checkpoints", "__pycache__"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of bringing the notebooks: paths relative to the user's ``notebooks`` folder."""

    brought: tuple[str, ...]
    kept: tuple[str, ...]
    """Files the user has changed, for which a newer version exists."""


def deliver_notebooks(source: Path, home: Path) -> Delivery:
    """Bring the notebooks of ``source`` to ``home/notebooks``.

    A file arrives where there is none, or where the one there is still as we brought it. To run as the user, in the
    user's home: no link is followed, so that nothing is written outside of it.
    """
    target, record = home / "notebooks", _read_record(home / _RECORD)
    brought, kept = [], []
    for name in _files(source):
        new = hashlib.sha256((source / name).read_bytes()).hexdigest()
        old = _digest(target / name)
        if old == new:
            record[name] = new
        elif in_the_way(home, target / name) or old not in {None, record.get(name)}:
            kept.append(name)
        else:
            _bring(source / name, target / name)
            record[name] = new
            brought.append(name)
    _write_record(home / _RECORD, record)
    return Delivery(tuple(brought), tuple(kept))


def _files(source: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        yield from (str((Path(folder) / name).relative_to(source)) for name in sorted(names))


def _digest(path: Path) -> str | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return None


def in_the_way(home: Path, path: Path) -> bool:
    """Whether something that is neither our file nor a real folder stands on the way to ``path``."""
    if path.is_symlink() or path.is_dir() or (path.exists() and not path.is_file()):
        return True
    folders = [p for p in path.parents if p != home and p.is_relative_to(home)]
    return any(folder.is_symlink() or (folder.exists() and not folder.is_dir()) for folder in folders)


def _bring(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.arriving")
    with suppress(FileNotFoundError):
        draft.unlink()
    with draft.open("xb") as file:
        file.write(source.read_bytes())
    draft.replace(target)


def _read_record(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in known.items()} if isinstance(known, dict) else {}


def _write_record(path: Path, record: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".arriving")
    draft.write_text(json.dumps(record, indent=1, sort_keys=True))
    shutil.move(draft, path)
