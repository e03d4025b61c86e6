"""Who has a cube open: keys that live processes touch, so that nothing is evicted under a reader."""

import os
import threading
import uuid
import weakref
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from earthlab.cube.shared.layout import Place
from earthlab.cube.shared.stores import CannotWrite, Entry
from earthlab.errors import EarthlabError
from earthlab.types import canonical_json

TOUCH_EVERY = 60.0
"""Seconds between two touches of a cube that is open."""

STALE_AFTER = 5 * TOUCH_EVERY
"""Seconds of the store's clock after which a reader that has not touched is gone."""


class Reading:
    """A process has a cube open for as long as this object lives."""

    def __init__(self, place: Place, keeper: "_Keeper") -> None:
        keeper.open(place)
        self._close = weakref.finalize(self, keeper.close, place)

    def close(self) -> None:
        """Let the cube go."""
        self._close()


@dataclass(slots=True)
class _Keeper:
    """Touches what this process has open, from one thread, whatever the number of cubes."""

    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    pid: int = field(default_factory=os.getpid)
    _open: Counter[Place] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wake: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def open(self, place: Place) -> None:
        with self._lock:
            self._open[place] += 1
            fresh = self._open[place] == 1
        try:
            if fresh:
                self._touch(place)
        except EarthlabError:
            with self._lock:
                del self._open[place]
            raise
        if self._thread is None:
            self._thread = threading.Thread(target=self._touch_on, name="earthlab-readers", daemon=True)
            self._thread.start()

    def close(self, place: Place) -> None:
        if self.pid != os.getpid():
            return
        with self._lock:
            self._open[place] -= 1
            last = self._open[place] <= 0
            if last:
                del self._open[place]
        if last:
            self._let_go(place)

    def _touch_on(self) -> None:
        while True:
            self._wake.wait(TOUCH_EVERY)
            with self._lock:
                places = list(self._open)
            for place in places:
                self._touch_while_away(place)

    def _touch_while_away(self, place: Place) -> None:
        try:
            self._touch(place)
        except EarthlabError:
            return  # the store is away, and with it whoever would evict

    def _touch(self, place: Place) -> None:
        content = canonical_json({"pid": os.getpid(), "touch": uuid.uuid4().hex}).encode()
        place.store.put(f"{place.root}readers/{self.name}", content)

    def _let_go(self, place: Place) -> None:
        # Called when a cube is forgotten, which may be anywhere, and at the end of the process.
        try:
            place.store.impatient().delete(f"{place.root}readers/{self.name}")
        except EarthlabError:
            return  # the touch goes stale by itself


_keepers: dict[int, _Keeper] = {}


def begin_reading(place: Place) -> Reading | None:
    """Protect a cube from eviction, and note that it is used; ``None`` where the store may not be written.

    Of a read-only store nobody who reads can evict, nor protect: its owner's evictions are then met with a `ReadFault`.
    """
    keeper = _keepers.setdefault(os.getpid(), _Keeper())
    try:
        reading = Reading(place, keeper)
        place.store.put(f"{place.root}used", canonical_json({"by": uuid.uuid4().hex}).encode())
    except CannotWrite:
        return None
    return reading


def live_readers(entries: Iterable[Entry], root: str, now: float) -> tuple[Entry, ...]:
    """The readers of a cube that have touched it of late, of a listing of its keys."""
    readers = (entry for entry in entries if entry.key.startswith(f"{root}readers/"))
    return tuple(entry for entry in readers if now - entry.modified <= STALE_AFTER)
