"""Shared cubes as a collection of the embedded catalogue: what people have shared is found by the same search.

Only the open namespace of a folder is looked at, and of it only what finished cubes say of themselves; the list is
looked at again when a search comes and the last look is some seconds old.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import shapely
from shapely.geometry.base import BaseGeometry

from earthlab.services.stac.search import Place, Search
from earthlab.services.stac.store import Page

COLLECTION = "earthlab-cubes"
_GENERATION = re.compile(r"g-[0-9a-f]{16}")
LOOK_EVERY = 5.0
"""Seconds for which a look at the folder holds."""


class Catalogue(Protocol):
    """What the service asks of a catalogue."""

    def collections(self) -> dict[str, dict[str, Any]]:
        """Every collection's document by its id."""
        ...

    def find(self, search: Search) -> Page:
        """One page of a search: latest first, then by id."""
        ...


@dataclass(frozen=True, slots=True)
class Joined:
    """Several catalogues as one."""

    parts: tuple[Catalogue, ...]

    def collections(self) -> dict[str, dict[str, Any]]:
        """Every collection's document by its id."""
        return {name: document for part in self.parts for name, document in part.collections().items()}

    def find(self, search: Search) -> Page:
        """One page of a search over all of them: latest first, then by id."""
        pages = [part.find(search) for part in self.parts]
        items = sorted(chain.from_iterable(page.items for page in pages), key=_order)
        shown = tuple(items[: search.limit])
        more = len(items) > search.limit or any(page.next for page in pages)
        return Page(shown, sum(page.matched for page in pages), _place(shown[-1]) if more else None)


@dataclass(frozen=True, slots=True)
class _Cube:
    """One item, and what searches compare."""

    item: dict[str, Any]
    place: Place
    begins: datetime
    ends: datetime
    outline: BaseGeometry

    @classmethod
    def of(cls, item: dict[str, Any]) -> "_Cube":
        said = item["properties"]
        begins, ends = _moment(said["start_datetime"]), _moment(said["end_datetime"])
        return cls(item, _place(item), begins, ends, shapely.geometry.shape(item["geometry"]))

    def answers(self, search: Search) -> bool:
        return (
            (not search.collections or COLLECTION in search.collections)
            and (not search.ids or self.place.id in search.ids)
            and (search.begins is None or self.ends >= search.begins)
            and (search.ends is None or self.begins <= search.ends)
            and (search.area is None or bool(self.outline.intersects(search.area)))
        )


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

    def collections(self) -> dict[str, dict[str, Any]]:
        """The one collection."""
        return {COLLECTION: _describe(self._current())}

    def find(self, search: Search) -> Page:
        """One page of a search: latest first, then by id."""
        found = [cube for cube in self._current() if cube.answers(search)]
        after = search.after
        rest = [cube for cube in found if after is None or _order_of(cube.place) > _order_of(after)]
        page = rest[: search.limit]
        more = page[-1].place if len(rest) > search.limit else None
        return Page(tuple(cube.item for cube in page), len(found), more)

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
            self._cubes = tuple(sorted((cube for cube in found if cube), key=lambda cube: _order_of(cube.place)))
            self._seen = seen


def _finished(folder: Path) -> Iterator[tuple[str, str]]:
    for head in (folder / "open").glob("*/head.json"):
        current = _read_json(head).get("current")
        if isinstance(current, str) and _GENERATION.fullmatch(current):
            yield head.parent.name, current


def _read_cube(folder: Path, token: str, generation: str) -> _Cube | None:
    """A cube's item, where it is sound: others than the lab's own code may write in a shared folder."""
    item = _read_json(folder / "open" / token / generation / "item.json")
    if item.get("id") != f"cube-{token}" or item.get("collection") != COLLECTION:
        return None
    try:
        sound = len(item["bbox"]) == 4 and all(math.isfinite(side) for side in item["bbox"])
        sound = sound and all(isinstance(asset["href"], str) for asset in item["assets"].values())
        return _Cube.of(item) if sound else None
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError):
        return None


def _read_json(path: Path) -> dict[str, Any]:
    """What a file of the store holds; nothing where it went away, for cubes come and go."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
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


def _order(item: Mapping[str, Any]) -> tuple[int, str, str]:
    return _order_of(_place(item))


def _order_of(place: Place) -> tuple[int, str, str]:
    return (-place.moment, place.id, place.collection)


def _place(item: Mapping[str, Any]) -> Place:
    said = item["properties"]
    moment = _moment(said.get("datetime") or said["start_datetime"])
    return Place(round(moment.timestamp() * 1_000_000), item["id"], item["collection"])


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
