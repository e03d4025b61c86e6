"""One-time sign-in links: who made off with the database could sign in with none of them, only digests are kept."""

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from earthlab.hub.accounts import norm_person
from earthlab.hub.books import open_book
from earthlab.hub.passes import seat_user

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
            For a name that the hub does not take, or keeps for the seats of workshops.
        """
        return self._issue(norm_person(user), lifetime)

    def create_trial(self, slug: str) -> str:
        """A new code that signs in the seat of a workshop that nobody is given, for its warm-up, within ten minutes."""
        return self._issue(seat_user(slug, 0), 600.0)

    def _issue(self, name: str, lifetime: float) -> str:
        code, now = secrets.token_urlsafe(32), self.clock()
        with open_book(self.path, _TABLE) as db:
            # A day longer than they live, so that an old link still learns that it is old.
            db.execute("DELETE FROM links WHERE expires < ?", (now - LIFETIME,))
            db.execute("INSERT INTO links VALUES (?, ?, ?, NULL)", (_digest(code), name, now + lifetime))
        return code

    def redeem(self, code: str) -> Entry:
        """Use a code up: of any number of takers at once, exactly one gets the user."""
        now, digest = self.clock(), _digest(code)
        with open_book(self.path, _TABLE) as db:
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

    def promises(self, user: str) -> bool:
        """Whether a link that can still be used signs in this user, who may not exist yet."""
        with open_book(self.path, _TABLE) as db:
            words = "SELECT 1 FROM links WHERE user = ? AND used IS NULL AND expires > ?"
            return db.execute(words, (user, self.clock())).fetchone() is not None


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
    """Counts unknown codes, so that guessing stops after some of them within ``window`` seconds.

    ``most`` may come from one address and ``most_in_all`` from all together. Codes that were once good do not count:
    a class behind one address re-opens its old links all the time.
    """

    most: int
    most_in_all: int
    window: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _guesses: dict[str, deque[float]] = field(default_factory=dict)

    def exceeded(self, address: str) -> bool:
        """Whether this address must wait."""
        recent = self._recent(address)
        return len(recent) >= self.most or sum(map(len, self._guesses.values())) >= self.most_in_all

    def count(self, address: str) -> None:
        """Note one unknown code."""
        self._recent(address).append(self.clock())

    def _recent(self, address: str) -> deque[float]:
        since = self.clock() - self.window
        for key, times in list(self._guesses.items()):
            while times and times[0] < since:
                times.popleft()
            if not times:
                del self._guesses[key]
        return self._guesses.setdefault(address, deque())
