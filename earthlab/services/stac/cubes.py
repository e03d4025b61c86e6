"""Shared cubes as a collection of the embedded catalogue: what people have shared is found by the same search.

Only the open namespace of a folder is looked at, and of it only what finished cubes say of themselves; the list is
looked at again when a search comes and the last look is some seconds old.
"""

import json
import math
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from earthlab.services.stac.geoparquet import SCHEMA, Rows

COLLECTION = "earthlab-cubes"
_GENERATION = re.compile(r"g-[0-9a-f]{16}")
_LARGEST = 4_000_000
"""Bytes that a head or an item may have."""
LOOK_EVERY = 5.0
"""Seconds for which a look at the folder holds."""


@dataclass(frozen=True, slots=True)
class _Cube:
    """One item, and what its collection tells of all."""

    item: dict[str, Any]
    row: pa.Table
    begins: datetime
    ends: datetime


@dataclass(slots=True)
class CubeCatalogue:
    """The finished open cubes of a folder. Safe to use from several threads.

    Parameters
    ----------
    folder : Path
        The store of shared cubes; it need not exist yet.
    clock : callable
        Seconds, for how old the last look is.
    """

    folder: Path
    clock: Callable[[], float] = time.monotonic
    _seen: tuple[tuple[str, str], ...] = ()
    _until: float = 0.0
    _cubes: tuple[_Cube, ...] = ()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def collection(self) -> dict[str, Any]:
        """The document of the one collection."""
        return _describe(self._current())

    def stamp(self) -> tuple[Any, ...]:
        """Changes whenever the cubes do."""
        self._current()
        return self._seen

    def table(self) -> pa.Table:
        """The items of the cubes, as rows of `earthlab.services.stac.geoparquet.SCHEMA`."""
        return pa.concat_tables([SCHEMA.empty_table(), *(cube.row for cube in self._current())])

    def _current(self) -> tuple[_Cube, ...]:
        with self._lock:
            if self.clock() >= self._until:
                self._look()
                self._until = self.clock() + LOOK_EVERY
            return self._cubes

    def _look(self) -> None:
        seen = tuple(sorted(_finished(self.folder)))
        if seen != self._seen:
            found = (_read_cube(self.folder, token, generation) for token, generation in seen)
            self._cubes = tuple(cube for cube in found if cube)
            self._seen = seen


def _finished(folder: Path) -> Iterator[tuple[str, str]]:
    for head in (folder / "open").glob("*/head.json"):
        current = _read_json(folder, "open", head.parent.name, "head.json").get("current")
        if isinstance(current, str) and _GENERATION.fullmatch(current):
            yield head.parent.name, current


def _read_cube(folder: Path, token: str, generation: str) -> _Cube | None:
    """A cube's item, where it is sound: others than the lab's own code may write in a shared folder."""
    item = _read_json(folder, "open", token, generation, "item.json")
    if item.get("id") != f"cube-{token}" or item.get("collection") != COLLECTION:
        return None
    try:
        sound = len(item["bbox"]) == 4 and all(math.isfinite(side) for side in item["bbox"])
        sound = sound and all(isinstance(asset["href"], str) for asset in item["assets"].values())
        sound = sound and all(isinstance(link["rel"], str) for link in item.get("links", ()))
        return _make_cube(item) if sound else None
    except (AttributeError, KeyError, TypeError, ValueError, pa.ArrowException):
        return None


def _make_cube(item: dict[str, Any]) -> _Cube | None:
    begins, ends = (_moment(item["properties"][side]) for side in ("start_datetime", "end_datetime"))
    rows = Rows()
    rows.add(item)
    table, unfit = rows.make_table()
    return None if unfit else _Cube(item, table, begins, ends)


def _read_json(folder: Path, *parts: str) -> dict[str, Any]:
    """What a file of the store holds; nothing where it went away, for cubes come and go.

    Everybody builds in this folder, and this service may be root's: a link could show what its maker may not read, and
    a pipe could hold the catalogue for ever. So no link is followed, and nothing but a file of some size is read.
    """
    with ExitStack() as opened:

        def enter(name: str | Path, flags: int, within: int | None = None) -> int:
            handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=within)
            opened.callback(os.close, handle)
            return handle

        try:
            at = enter(folder, os.O_DIRECTORY)
            for part in parts[:-1]:
                at = enter(part, os.O_DIRECTORY | os.O_NOFOLLOW, at)
            file = enter(parts[-1], os.O_NOFOLLOW | os.O_NONBLOCK, at)
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
                return {}
            value = json.loads(os.read(file, _LARGEST))
        except (OSError, ValueError, RecursionError):
            return {}
    return value if isinstance(value, dict) else {}


def _describe(cubes: tuple[_Cube, ...]) -> dict[str, Any]:
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "title": "Cubes partagés du laboratoire / shared cubes of the lab",
        "description": _DESCRIPTION,
        "license": "other",
        "keywords": ["cube", "Zarr", "EarthLab"],
        "providers": [{"name": "EarthLab", "roles": ["processor", "host"]}],
        "extent": _extent(cubes),
        "links": [],
    }


def _extent(cubes: tuple[_Cube, ...]) -> dict[str, Any]:
    if not cubes:
        return {"spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]}, "temporal": {"interval": [[None, None]]}}
    west, south, east, north = zip(*(cube.item["bbox"] for cube in cubes), strict=True)
    interval = [min(cube.begins for cube in cubes).isoformat(), max(cube.ends for cube in cubes).isoformat()]
    box = [min(west), min(south), max(east), max(north)]
    return {"spatial": {"bbox": [box]}, "temporal": {"interval": [interval]}}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone")
    return moment


_DESCRIPTION = """\
Cubes que des personnes du laboratoire ont partagés : construits une fois, stockés en Zarr, ouverts par toutes. Chacun
nomme les items dont il dérive, leurs licences et leur citation ; il s'ouvre par `el.open("cube:<jeton>")`.

Cubes that people of the lab have shared: built once, stored as Zarr, opened by all. Each names the items it is derived
from, their licences and citation; it opens by `el.open("cube:<token>")`."""
