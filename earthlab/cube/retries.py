"""Reads that are tried again, within limits: of one read, and of one file that many blocks ask for.

What a file has cost is remembered for a while, so that not every block of a cube waits for a server that has stalled.
Blocks that find a file spent ask it once, and not at all where it let several of them wait in vain. A block that comes
back belongs to another computation: for it the file starts afresh. So it does once any read of it succeeds.
"""

import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from earthlab.cube.faults import is_transient
from earthlab.errors import ReadFault
from earthlab.settings import ReadingSettings

T = TypeVar("T")

MOST_FILES = 1024
"""Failing files that a process remembers."""

LEAST_MEMORY, MOST_MEMORY = 30.0, 300.0
"""Seconds for which it remembers one: five times what it cost, within these bounds."""

_TURNS = 1024

STALL = 1.0
"""Seconds that a failed attempt takes where the file stalls; other failures are told at once."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """What an attempt met, when the first one for its block began, and how long this one took."""

    fault: ReadFault
    begun: float
    lasted: float


@dataclass(slots=True)
class _Spent:
    """A file whose retries have been used up."""

    fault: ReadFault
    """Without the frames of the read, and what they hold."""
    until: float
    stalls: bool = True
    askers: set[int] = field(default_factory=set)
    """Who found out, by hash: a large cube has many blocks."""

    @property
    def is_dead(self) -> bool:
        """Whether it is not worth asking: several waited in vain, and nobody was served in between."""
        return self.stalls and len(self.askers) > 1


@dataclass(slots=True)
class Failures:
    """The failing files of one process."""

    files: OrderedDict[str, _Spent] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turns: dict[int, threading.Lock] = field(default_factory=dict)
    """Made when wanted: every copy of a process forgets them."""

    def __post_init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin as a process that has read nothing."""
        self.files.clear()
        self._lock, self._turns = threading.Lock(), {}

    def turn(self, href: str) -> threading.Lock:
        """Held by the one who tries a file again; others wait for what comes of it."""
        return self._turns.setdefault(hash(href) % _TURNS, threading.Lock())

    def recall(self, href: str, asker: Callable[[], Hashable]) -> _Spent | None:
        """What is known of a file, unless it is too old or from an earlier computation."""
        if href not in self.files:
            return None
        name = hash(asker())
        with self._lock:
            known = self.files.get(href)
            if known is None or known.until < time.monotonic() or name in known.askers:
                self.files.pop(href, None)
                return None
            if known.is_dead:
                known.askers.add(name)
            return known

    def remember(self, href: str, asker: Callable[[], Hashable], failed: _Failed) -> None:
        """Note that a file's retries are used up, and who found out."""
        now, name = time.monotonic(), hash(asker())
        memory = min(max(5 * (now - failed.begun), LEAST_MEMORY), MOST_MEMORY)
        with self._lock:
            known = self.files.setdefault(href, _Spent(ReadFault(str(failed.fault)), now + memory))
            known.stalls &= failed.lasted >= STALL
            known.askers.add(name)
            while len(self.files) > MOST_FILES:
                self.files.popitem(last=False)

    def forgive(self, href: str) -> None:
        """Forget a file, which was read."""
        if href in self.files:
            with self._lock:
                self.files.pop(href, None)


failures = Failures()


def read_patiently(
    read: Callable[[], T], href: str, asker: Callable[[], Hashable], limits: ReadingSettings
) -> T | ReadFault:
    """What a read gives, tried again while its fault may pass; or its fault.

    Parameters
    ----------
    read : callable
        Raises `ReadFault`; anything else is passed on.
    href : str
        The file that is read. Its retries are shared by all who ask for it in this process.
    asker : callable
        Gives what names this read; only called where something failed. Whoever asks again by the same name starts
        afresh.
    limits : ReadingSettings
        Retries, and seconds after which none is begun.
    """
    known = failures.recall(href, asker)
    if known is not None and known.is_dead:
        return known.fault
    begun = time.monotonic()
    found = _try(read)
    if isinstance(found, ReadFault) and is_transient(str(found)):
        failed = _Failed(found, begun, time.monotonic() - begun)
        with failures.turn(href):
            found = _read_again(read, href, asker, limits, failed)
    if not isinstance(found, ReadFault):
        failures.forgive(href)
    return found


def _read_again(
    read: Callable[[], T], href: str, asker: Callable[[], Hashable], limits: ReadingSettings, failed: _Failed
) -> T | ReadFault:
    for attempt in range(limits.retries):
        pause = random.uniform(0.5, 1.5) * 0.25 * 2**attempt  # noqa: S311 - spreads retries, keeps no secret
        if href in failures.files or time.monotonic() + pause > failed.begun + limits.budget:
            break
        time.sleep(pause)
        again = time.monotonic()
        found = _try(read)
        if not isinstance(found, ReadFault) or not is_transient(str(found)):
            return found
        failed = _Failed(found, failed.begun, time.monotonic() - again)
    failures.remember(href, asker, failed)
    return failed.fault


def _try(read: Callable[[], T]) -> T | ReadFault:
    try:
        return read()
    except ReadFault as fault:
        return fault
