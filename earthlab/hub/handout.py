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

MANIFEST = "atelier.json"
ORIGINALS = "originaux"

_SEAT = re.compile(rf"{SEAT_PREFIX}({SLUG_PATTERN})-(\d{{3}})")


@dataclass(frozen=True, slots=True)
class Handout:
    """What a workshop hands out: its folder, its name, and its notebooks with the part that each belongs to."""

    folder: Path
    slug: str
    notebooks: Mapping[str, int]

    def first(self) -> str:
        """The notebook to begin with, below the home."""
        return f"{self.slug}/{next(iter(self.notebooks))}"


def plan_handout(layout: Layout, user: str) -> dict[str, str]:
    """The environment by which a seat's server finds its workshop's material; nothing for other users."""
    seat = parse_seat(user)
    return {VARIABLE: str(layout.workshops / seat[0])} if seat else {}


def parse_seat(user: str) -> tuple[str, int] | None:
    """Workshop and number in the name of a seat's user; None for anybody else, since nobody else may be called so."""
    found = _SEAT.fullmatch(user)
    return (found[1], int(found[2])) if found else None


def read_handout(environ: Mapping[str, str]) -> Handout | None:
    """What the workshop of this server hands out; None for a server of no workshop, or of one without material."""
    folder = Path(environ.get(VARIABLE) or "/nonexistent")
    try:
        said: Mapping[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Handout(folder, said["slug"], {row["path"]: int(row["part"]) for row in said["notebooks"]})


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
    try:
        said = json.loads((layout.workshops / seat[0] / MANIFEST).read_text(encoding="utf-8"))["seat"]
    except FileNotFoundError:
        return None
    return Share(int(said["memory"]), float(said["cores"]))


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
