"""Addresses that several threads want signed at about the same time go in one request."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from earthlab.catalog.signing.keeping import for_others, landed
from earthlab.catalog.signing.signed import Signed
from earthlab.errors import BadRequest, EarthlabError, NotAllowed

WINDOW = 0.01
"""Seconds for which the first one waits for others."""

SignSome = Callable[[list[str]], dict[str, Signed]]


class Gatherer:
    """Gathers what is asked for; the first to come sends it for all, so that there is no thread to look after."""

    def __init__(self, sign_some: SignSome, most: int) -> None:
        self._sign_some, self._most = sign_some, most
        self._waiting: list[tuple[str, Future[Signed]]] = []
        self._begin()

    def sign(self, href: str) -> Signed:
        """The signed address, of a request shared with others.

        Raises
        ------
        EarthlabError
            As the request fails. A refusal is that of this address, not of another in the same request.
        """
        if self._process != os.getpid():
            self._begin()
        wanted: Future[Signed] = Future()
        with self._lock:
            first = not self._waiting
            self._waiting.append((href, wanted))
        if first:
            self._lead()
        return landed(wanted)

    def _lead(self) -> None:
        batch: list[tuple[str, Future[Signed]]] = []
        try:
            time.sleep(WINDOW)
            batch = self._take()
            self._send(batch)
        except BaseException as exc:
            for _, wanted in batch or self._take():
                if not wanted.done():
                    wanted.set_exception(for_others(exc))
            if not isinstance(exc, Exception):
                raise

    def _take(self) -> "list[tuple[str, Future[Signed]]]":
        with self._lock:
            batch, self._waiting = self._waiting, []
        return batch

    def _send(self, batch: "list[tuple[str, Future[Signed]]]") -> None:
        for start in range(0, len(batch), self._most):
            part = batch[start : start + self._most]
            answers = sign_apart(self._sign_some, [href for href, _ in part])
            for href, wanted in part:
                answer = answers[href]
                if isinstance(answer, EarthlabError):
                    wanted.set_exception(answer)
                else:
                    wanted.set_result(answer)

    def _begin(self) -> None:
        """Start empty, as a fork must: another thread may have held the lock."""
        self._lock = threading.Lock()
        self._waiting = []
        self._process = os.getpid()


def sign_apart(sign_some: SignSome, hrefs: list[str]) -> dict[str, Signed | EarthlabError]:
    """Each address with what it was signed to, or its own refusal: a refused request is asked again in halves."""
    try:
        return dict(sign_some(hrefs))
    except (NotAllowed, BadRequest) as exc:
        if len(hrefs) == 1:
            return {hrefs[0]: exc}
    middle = len(hrefs) // 2
    return {**sign_apart(sign_some, hrefs[:middle]), **sign_apart(sign_some, hrefs[middle:])}
