"""A workshop's notebooks in the home of a seat: read-only originals, and copies that are the participant's own.

What the workshops' service has laid out is read here by the participant's own server, as the participant.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthlab.hub.layout import Layout
from earthlab.hub.lessons import in_the_way
from earthlab.hub.passes import parse_seat

VARIABLE = "EARTHLAB_WORKSHOP"
"""Environment variable of a seat's server with the folder of what its workshop hands out."""

WARMED = "EARTHLAB__CUBES__WARMED"
"""The setting that has a seat's kernels open from the store what the workshop's warm-up has put there."""

MANIFEST = "atelier.json"
ORIGINALS = "originaux"

_RECORD = ".derniere-remise"
"""File beside the copies with the number of the last reset that this home has seen."""


@dataclass(frozen=True, slots=True)
class Handout:
    """What a workshop hands out: its folder, its name, and its notebooks with the part that each belongs to."""

    folder: Path
    slug: str
    notebooks: Mapping[str, int]
    pairs: bool = False
    """Whether two participants may work in one notebook."""
    title: str = ""
    contact: str = ""
    """Whom to ask afterwards."""

    def first(self) -> str:
        """The notebook to begin with, below the home."""
        return f"{self.slug}/{next(iter(self.notebooks))}"


def plan_handout(layout: Layout, user: str) -> dict[str, str]:
    """The environment by which a seat's server finds its workshop's material; nothing for other users."""
    seat = parse_seat(user)
    if seat is None:
        return {}
    folder = layout.workshops / seat[0]
    return {VARIABLE: str(folder), **plan_warmed(folder)}


def plan_warmed(folder: Path) -> dict[str, str]:
    """The setting of the cubes that are in the store for a workshop; nothing where none are."""
    warmed = _read_manifest(folder).get("warmed")
    return {WARMED: ",".join(warmed)} if warmed else {}


def read_handout(environ: Mapping[str, str]) -> Handout | None:
    """What the workshop of this server hands out; None for a server of no workshop, or of one without material."""
    folder = Path(environ.get(VARIABLE) or "/nonexistent")
    said = _read_manifest(folder)
    if not said:
        return None
    notebooks = {row["path"]: int(row["part"]) for row in said["notebooks"]}
    words = {name: str(said.get(name, "")) for name in ("title", "contact")}
    return Handout(folder, said["slug"], notebooks, bool(said.get("pairs")), **words)


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    """What a workshop hands out, as the service has written it; empty where nothing is there."""
    try:
        said: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return said


def write_handout(folder: Path, manifest: Mapping[str, Any], originals: Mapping[str, str]) -> None:
    """Lay out what a workshop hands out, in the place of what was there: complete, for every account to read.

    Parameters
    ----------
    originals : mapping
        The text of each notebook of the manifest, by its path.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".arriving-", dir=folder.parent))
    try:
        for row in manifest["notebooks"]:
            path = draft / ORIGINALS / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(originals[row["path"]], encoding="utf-8")
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for each in (draft, *draft.rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o644)
        remove_handout(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_handout(folder: Path) -> None:
    """Take a workshop's material away."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def deliver_handout(handout: Handout, home: Path, *, unlocked: int = 1) -> tuple[str, ...]:
    """Bring originals and copies of the parts that are unlocked. A copy that is there is never touched.

    To run as the participant, in the participant's home: no link is followed, so that nothing is written outside of it.

    Returns
    -------
    tuple of str
        The notebooks of which a copy was brought.
    """
    brought = []
    for path in _unlocked(handout, unlocked):
        source, base = handout.folder / ORIGINALS / path, home / handout.slug
        _lay(source, base / ORIGINALS / path, home, 0o444)
        if not os.path.lexists(base / path) and _lay(source, base / path, home, 0o644):
            brought.append(path)
    return tuple(brought)


def reset_notebook(
    handout: Handout, home: Path, path: str, *, clock: Callable[[], time.struct_time] = time.localtime
) -> Path | None:
    """Bring the original of a notebook anew; the copy that was there stays beside it under another name.

    Returns
    -------
    Path or None
        Where the copy is now, if there was one.
    """
    own = home / handout.slug / path
    aside = None
    if path in handout.notebooks and os.path.lexists(own) and not in_the_way(home, own):
        aside = own.with_name(f"{own.stem} (avant {time.strftime('%Hh%Mm%S', clock())}).ipynb")
        own.rename(aside)
    if path in handout.notebooks:
        _lay(handout.folder / ORIGINALS / path, own, home, 0o644)
    return aside


@dataclass(slots=True)
class Reception:
    """Brings into a home what a workshop gives out while it goes on: parts once unlocked, notebooks that are set back.

    Parameters
    ----------
    handout : Handout
    home : Path
    """

    handout: Handout
    home: Path
    _unlocked: int = 1
    _reset: int = -1

    def take(self, said: Mapping[str, Any]) -> None:
        """Act on what the workshops' service answers, once on each new word of it.

        Raises
        ------
        OSError
            Where the home takes nothing in; the same answer, taken again, is acted on again.
        """
        unlocked, reset = int(said.get("unlocked", 1)), said.get("reset")
        if unlocked > self._unlocked:
            deliver_handout(self.handout, self.home, unlocked=unlocked)
            self._unlocked = unlocked
        if self._reset < 0:
            self._reset = self._read_number()
        if reset and int(reset["number"]) > self._reset:
            reset_notebook(self.handout, self.home, str(reset["notebook"]))
            self._reset = int(reset["number"])
            self._write_number()

    def _record(self) -> Path:
        return self.home / self.handout.slug / _RECORD

    def _read_number(self) -> int:
        path = self._record()
        if in_the_way(self.home, path):
            return 0
        try:
            return max(0, int(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return 0

    def _write_number(self) -> None:
        path = self._record()
        if not in_the_way(self.home, path):
            draft = path.with_name(f"{_RECORD}.arriving")
            draft.unlink(missing_ok=True)
            with draft.open("x", encoding="utf-8") as file:
                file.write(str(self._reset))
            draft.replace(path)


def _unlocked(handout: Handout, unlocked: int) -> Iterator[str]:
    return (path for path, part in handout.notebooks.items() if part <= unlocked)


def _lay(source: Path, target: Path, home: Path, mode: int) -> bool:
    if in_the_way(home, target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.arriving")
    draft.unlink(missing_ok=True)
    with source.open("rb") as original, draft.open("xb") as file:
        shutil.copyfileobj(original, file)
    draft.chmod(mode)
    draft.replace(target)
    return True
