"""What was signed is kept until shortly before it expires, in bounded number, and asked for once at a time."""

import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from earthlab.catalog.signing.signed import Signed, Signer
from earthlab.errors import CatalogueUnavailable, EarthlabError, NotAllowed

K = TypeVar("K", bound=Hashable)

MARGIN = 60.0
"""Seconds before its expiry from which a signed address is not used any more."""

LONGEST = 12 * 3600.0
"""Seconds for which anything is kept, whatever its expiry."""

UNSTATED = 300.0
"""Seconds that a signature is taken to last whose provider does not say."""

REFUSED = 30.0
"""Seconds for which a refusal is repeated without asking again."""

MOST = 8192


@dataclass(frozen=True, slots=True)
class _Kept:
    signed: Signed | None
    until: float
    refusal: str = ""


class Keeper(Generic[K]):
    """Signed things by key. Of threads that want the same one, one asks and the others wait for its answer.

    One keeper serves one signer, and so one person's key: nothing is ever handed to another's.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._forget()

    def get(self, key: K, make: Callable[[], Signed]) -> Signed:
        """What is kept for the key, else what ``make`` gives now.

        Raises
        ------
        EarthlabError
            As ``make`` raises; a `NotAllowed` again for half a minute.
        """
        self._begin_after_fork()
        with self._lock:
            kept = self._good(key)
            flight = None if kept else self._flights.get(key)
            mine: Future[Signed] | None = None
            if kept is None and flight is None:
                mine = self._flights[key] = Future()
        if kept is not None:
            return _unpacked(kept)
        if mine is None:
            assert flight is not None
            return landed(flight)
        return self._fly(key, make, mine)

    def peek(self, key: K) -> Signed | None:
        """What is kept for the key and still good."""
        self._begin_after_fork()
        with self._lock:
            kept = self._good(key)
        return kept.signed if kept else None

    def put(self, key: K, signed: Signed) -> Signed:
        """Keep what was signed; what states no expiry has one from now on."""
        now = time.time()
        dated = signed if math.isfinite(signed.expires) else replace(signed, expires=now + UNSTATED)
        self._keep(key, _Kept(dated, min(dated.expires - MARGIN, now + LONGEST)))
        return dated

    def clear(self) -> None:
        """Forget everything."""
        self._forget()

    def _fly(self, key: K, make: Callable[[], Signed], flight: "Future[Signed]") -> Signed:
        try:
            signed = self.put(key, make())
        except BaseException as exc:
            if isinstance(exc, NotAllowed):
                self._keep(key, _Kept(None, time.time() + REFUSED, str(exc)))
            self._land(key)
            flight.set_exception(for_others(exc))
            raise
        self._land(key)
        flight.set_result(signed)
        return signed

    def _land(self, key: K) -> None:
        with self._lock:
            self._flights.pop(key, None)

    def _good(self, key: K) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None or time.time() >= kept.until:
            return None
        self._kept.move_to_end(key)
        return kept

    def _keep(self, key: K, kept: _Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def _begin_after_fork(self) -> None:
        """Forget in a fork what its parent kept: another thread may have held the lock."""
        if self._process != os.getpid():
            self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, _Kept] = OrderedDict()
        self._flights: dict[K, Future[Signed]] = {}
        self._process = os.getpid()


def _unpacked(kept: _Kept) -> Signed:
    if kept.signed is None:
        raise NotAllowed(kept.refusal)
    return kept.signed


def for_others(exc: BaseException) -> Exception:
    """What threads that waited for another's answer are told of its failure: they were not interrupted themselves."""
    if isinstance(exc, Exception):
        return exc
    return CatalogueUnavailable(f"Signing was interrupted ({type(exc).__name__}). Try again.")


def landed(flight: "Future[Signed]") -> Signed:
    """Another thread's answer; its error anew, since one error object must not be raised by many threads."""
    exc = flight.exception()
    if isinstance(exc, EarthlabError):
        raise type(exc)(str(exc))
    return flight.result()


class KeptSigner:
    """Any signer, with what it signed kept."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._keeper: Keeper[str] = Keeper()

    def match(self, href: str) -> bool:
        """As the signer itself says."""
        return self._signer.match(href)

    def sign(self, href: str) -> Signed:
        """What is kept, else what the signer gives."""
        return self._keeper.get(href, lambda: self._signer.sign(href))

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """Each address, one after another."""
        return {href: self.sign(href) for href in hrefs}
