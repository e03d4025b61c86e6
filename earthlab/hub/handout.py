"""A workshop's notebooks in the home of a seat: read-only originals, and copies that are the participant's own.

What the workshops' service has laid out is read here by the participant's own server, as the participant.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthlab.hub.accounts import SEAT_PREFIX
from earthlab.hub.layout import Layout
from earthlab.hub.lessons import in_the_way
from earthlab.hub.passes import SLUG_PATTERN

VARIABLE = "EARTHLAB_WORKSHOP"
"""Environment variable of a seat's server with the folder of what its workshop hands out."""

WARMED = "EARTHLAB__CUBES__WARMED"
"""The setting that has a seat's kernels open from the store what the workshop's warm-up has put there."""

MANIFEST = "atelier.json"
ORIGINALS = "originaux"

_RECORD = ".derniere-remise"
"""File beside the copies with the number of the last reset that this home has seen."""

_SEAT = re.compile(rf"{SEAT_PREFIX}({SLUG_PATTERN})-(\d{{3}})")


@dataclass(frozen=True, slots=True)
class Handout:
    """What a workshop hands out: its folder, its name, and its notebooks with the part that each belongs to."""

    folder: Path
    slug: str
    notebooks: Mapping[str, int]
    pairs: bool = False
    """Whether two participants may work in one notebook."""

    def first(self) -> str:
        """The notebook to begin with, below the home."""
        return f"{self.slug}/{next(iter(self.notebooks))}"


def plan_handout(layout: Layout, user: str) -> dict[str, str]:
    """The environment by which a seat's server finds its workshop's material; nothing for other users."""
    seat = parse_seat(user)
    if seat is None:
        return {}
    folder = layout.workshops / seat[0]
    warmed = _read_manifest(folder).get("warmed")
    return {VARIABLE: str(folder), **({WARMED: ",".join(warmed)} if warmed else {})}


def parse_seat(user: str) -> tuple[str, int] | None:
    """Workshop and number in the name of a seat's user; None for anybody else, since nobody else may be called so."""
    found = _SEAT.fullmatch(user)
    return (found[1], int(found[2])) if found else None


def read_handout(environ: Mapping[str, str]) -> Handout | None:
    """What the workshop of this server hands out; None for a server of no workshop, or of one without material."""
    folder = Path(environ.get(VARIABLE) or "/nonexistent")
    said = _read_manifest(folder)
    if not said:
        return None
    notebooks = {row["path"]: int(row["part"]) for row in said["notebooks"]}
    return Handout(folder, said["slug"], notebooks, bool(said.get("pairs")))


@dataclass(frozen=True, slots=True)
class Share:
    """What the organiser has planned for each seat: memory in bytes, and cores where there are not enough for all."""

    memory: int
    cores: float


def read_share(layout: Layout, user: str) -> Share | None:
    """What a seat's workshop has planned for it; None for other users, and for workshops that are gone."""
    seat = parse_seat(user)
    if seat is None:
        return None
    said = _read_manifest(layout.workshops / seat[0])
    return Share(int(said["seat"]["memory"]), float(said["seat"]["cores"])) if said else None


def _read_manifest(folder: Path) -> Mapping[str, Any]:
    """What a workshop hands out, as the service has written it; empty where nothing is there."""
    try:
        said: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return said


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
