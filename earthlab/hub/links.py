"""One-time sign-in links: who made off with the database could sign in with none of them, only digests are kept."""

import hashlib
import os
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from earthlab.hub.accounts import norm_user

ENTRY = "entree"
"""The page under ``/hub/`` that links lead to. Their code travels as ``token``, which the hub scrubs from its log."""

LIFETIME = 24 * 3600.0
"""Seconds for which a link can be used."""

Refusal = Literal["unknown", "used", "expired"]

_TABLE = """CREATE TABLE IF NOT EXISTS links (
    digest TEXT PRIMARY KEY, user TEXT NOT NULL, expires REAL NOT NULL, used REAL
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a code was worth: the ``user`` it signs in, or the reason of the refusal."""

    user: str | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class LinkStore:
    """The lab's links in one SQLite file, which only its owner can read. Safe for many processes at a time."""

    path: Path
    clock: Callable[[], float] = time.time

    def create(self, user: str, lifetime: float = LIFETIME) -> str:
        """A new code that signs in ``user`` once within ``lifetime`` seconds. It cannot be shown again.

        Raises
        ------
        BadRequest
            For a name that the hub does not take.
        """
        code = secrets.token_urlsafe(32)
        name, now = norm_user(user), self.clock()
        with self._open() as db:
            # A day longer than they live, so that an old link still learns that it is old.
            db.execute("DELETE FROM links WHERE expires < ?", (now - LIFETIME,))
            db.execute("INSERT INTO links VALUES (?, ?, ?, NULL)", (_digest(code), name, now + lifetime))
        return code

    def redeem(self, code: str) -> Entry:
        """Use a code up: of any number of takers at once, exactly one gets the user."""
        now, digest = self.clock(), _digest(code)
        with self._open() as db:
            won = db.execute(
                "UPDATE links SET used = ? WHERE digest = ? AND used IS NULL AND expires > ? RETURNING user",
                (now, digest, now),
            ).fetchone()
            if won:
                return Entry(user=won[0])
            row = db.execute("SELECT used FROM links WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            return Entry(refusal="unknown")
        return Entry(refusal="expired" if row[0] is None else "used")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        make_book(self.path)
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            db.execute(_TABLE)
            yield db
            db.execute("COMMIT")
        finally:
            db.close()


_MAKING = Lock()


def make_book(path: Path) -> None:
    """Make an empty file for a database, which only its owner can read, where there is none.

    One that is there is not even opened: by POSIX, a process that closes any descriptor of a file gives up all of its
    locks on it (fcntl(2)), those of a transaction in another of its threads too.
    """
    with _MAKING, suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def entry_url(base: str, code: str) -> str:
    """The link to hand out, for the lab's public address ``base``."""
    return f"{base}/hub/{ENTRY}?token={code}"


def parse_code(text: str) -> str:
    """The code in what somebody pasted: the code itself, or the whole link."""
    text = text.strip()
    found = parse_qs(urlsplit(text).query).get("token") if "://" in text or "?" in text else None
    return (found[0] if found else text)[:200]


@dataclass(slots=True)
class GuessLimit:
    """Counts unknown codes by address, so that guessing stops after ``most`` of them within ``window`` seconds.

    Links that were once good do not count: a class behind one address re-opens its old links all the time.
    """

    most: int = 30
    window: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _guesses: dict[str, deque[float]] = field(default_factory=dict)

    def exceeded(self, address: str) -> bool:
        """Whether this address must wait."""
        return len(self._recent(address)) >= self.most

    def count(self, address: str) -> None:
        """Note one unknown code."""
        self._recent(address).append(self.clock())

    def _recent(self, address: str) -> deque[float]:
        since = self.clock() - self.window
        for key in [k for k, times in self._guesses.items() if not times or times[-1] < since]:
            del self._guesses[key]
        times = self._guesses.setdefault(address, deque())
        while times and times[0] < since:
            times.popleft()
        return times
