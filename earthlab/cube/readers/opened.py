"""Rasters that stay open: headers are read once per process, not once per block.

GDAL datasets serve one thread at a time, so that a file is lent to one reader and another reader of the same file opens
it again. What lies idle is bounded in number and in age; a local file that changed, an expired signature or a fork
make it be opened anew.
"""

import os
import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from earthlab.catalog.signing import Signed, sign

T = TypeVar("T")

MOST_IDLE = 256
OLDEST_IDLE = 300.0
"""Seconds after which a file is opened again: what lies behind an address may have changed."""

_REMOTE = re.compile(r"^(?!file:)[a-z][a-z0-9+.-]*://|/vsi(curl|s3|gs|az|swift|oss)", re.IGNORECASE)

_ARCHIVED = re.compile(r"^(/vsizip/\{(?:/vsicurl/)?)(.+?)(\}/.*)$", re.DOTALL)
"""A member of a zip archive, as `archive.member_href` writes it: what is signed, and what changes, is the archive."""

Key = tuple[Any, ...]


@dataclass(slots=True)
class _Idle(Generic[T]):
    thing: T
    good_until: float


@dataclass(slots=True, eq=False, weakref_slot=True)
class Lender(Generic[T]):
    """Lends opened things by key; ``close`` is called on what is not kept."""

    close: Callable[[T], None]
    most: int = MOST_IDLE
    _idle: "OrderedDict[Key, list[_Idle[T]]]" = field(default_factory=OrderedDict)
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        os.register_at_fork(after_in_child=self._forget)
        _lenders.add(self)

    @contextmanager
    def borrow(self, key: Key, open_: Callable[[], T], *, good_for: float = OLDEST_IDLE) -> Iterator[T]:
        """The thing for a key, opened if none lies idle; it comes back to the shelf unless the block fails."""
        kept = self._take(key) or _Idle(open_(), time.monotonic() + min(good_for, OLDEST_IDLE))
        try:
            yield kept.thing
        except BaseException:
            self.close(kept.thing)
            raise
        self._give_back(key, kept)

    def clear(self, which: Callable[[Key], bool] = lambda _: True) -> None:
        """Close everything that lies idle, of the keys that are meant."""
        dropped: list[_Idle[T]] = []
        with self._lock:
            for key in [key for key in self._idle if which(key)]:
                dropped += self._idle.pop(key)
            self._count -= len(dropped)
        for kept in dropped:
            self.close(kept.thing)

    def _take(self, key: Key) -> _Idle[T] | None:
        with self._lock:
            shelf = self._idle.get(key)
            kept = shelf.pop() if shelf else None
            if shelf is not None and not shelf:
                del self._idle[key]
            self._count -= kept is not None
        if kept is not None and kept.good_until < time.monotonic():
            self.close(kept.thing)
            return None
        return kept

    def _give_back(self, key: Key, kept: _Idle[T]) -> None:
        with self._lock:
            self._idle.setdefault(key, []).append(kept)
            self._idle.move_to_end(key)
            self._count += 1
        for old in self._shrink(to=self.most):
            self.close(old.thing)

    def _shrink(self, *, to: int) -> list[_Idle[T]]:
        dropped: list[_Idle[T]] = []
        with self._lock:
            while self._count > to:
                key, shelf = next(iter(self._idle.items()))
                dropped.append(shelf.pop(0))
                self._count -= 1
                if not shelf:
                    del self._idle[key]
        return dropped

    def _forget(self) -> None:
        self._idle, self._count, self._lock = OrderedDict(), 0, threading.Lock()


_lenders: "weakref.WeakSet[Lender[Any]]" = weakref.WeakSet()


def close_local_files() -> None:
    """Close this machine's files that lie idle, and with them what was decoded of them, up to 64 MiB of GDAL's blocks.

    Others stay: to open one again takes a walk over the network.
    """
    for lender in list(_lenders):
        lender.clear(lambda key: not is_remote(str(key[0])))


def signed_and_stamped(href: str) -> tuple[Signed, Key]:
    """The address to open now, and a key that changes when what lies there is known to have changed."""
    inside = _ARCHIVED.match(href)
    if inside is None:
        signed = sign(href)
        return signed, (href, signed.expires, _stamp(href))
    before, address, after = inside.groups()
    signed = sign(address)
    return replace(signed, href=f"{before}{signed.href}{after}"), (href, signed.expires, _stamp(address))


def is_remote(href: str) -> bool:
    """Whether reading there takes a network: latency to hide, and options to set."""
    return bool(_REMOTE.search(href))


def _stamp(href: str) -> tuple[int, int, int] | None:
    if is_remote(href) or href.startswith("/vsi"):
        return None
    try:
        state = os.stat(href)  # noqa: PTH116 - asked once a window
    except OSError:
        return None
    return (state.st_ino, state.st_size, state.st_mtime_ns)
