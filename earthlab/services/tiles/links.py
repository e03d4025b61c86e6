"""Layers for a GIS: addresses of their own that show one band of one date, until a day, and can be taken back.

Whoever has the address sees the layer, as long as its maker may. Who made off with the book could open none of them:
only digests are kept.
"""

import hashlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earthlab.errors import AskLess, EarthlabError, NothingFound
from earthlab.hub.books import open_book
from earthlab.hub.links import GuessLimit

DAY = 24 * 3600.0
LONGEST_DAYS = 90
MOST_A_PERSON = 200
"""Layers that one person may have at a time."""

MOST_IN_ALL = 20_000
GUESSES_AN_ADDRESS, GUESSES = 60, 600
"""Unknown addresses that are answered within a minute: from one place, and from all together."""

_SECRET_BYTES = 24
"""192 bits."""

_TABLE = """CREATE TABLE IF NOT EXISTS links (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, token TEXT NOT NULL, drawn TEXT NOT NULL,
    made REAL NOT NULL, expires REAL NOT NULL, revoked REAL
) WITHOUT ROWID"""


class TooManyGuesses(EarthlabError):
    """Somebody tries addresses: wait a minute."""


@dataclass(frozen=True, slots=True)
class Link:
    """One layer, without its secret. Instants are seconds since 1970."""

    id: str
    owner: str
    token: str
    """Of the cube."""
    bands: tuple[str, ...]
    time: str
    style: Mapping[str, Any] = field(hash=False)
    """``colormap``, ``low`` and ``high``."""
    title: str
    made: float
    expires: float
    revoked: float | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a layer shows."""

    token: str
    bands: tuple[str, ...]
    time: str
    style: Mapping[str, Any] = field(hash=False)
    title: str


@dataclass(slots=True)
class LinkBook:
    """The lab's layers in one SQLite file, which only its owner can read. Safe for several threads.

    Parameters
    ----------
    path : Path
        The file.
    clock : callable
        Seconds since 1970.
    """

    path: Path
    clock: Callable[[], float] = time.time
    guesses: GuessLimit = field(default_factory=lambda: GuessLimit(GUESSES_AN_ADDRESS, GUESSES), repr=False)
    _digests: set[str] | None = field(default=None, repr=False)
    """Of those in the book; None before it was looked at."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def make(self, owner: str, drawn: Drawn, days: float) -> tuple[Link, str]:
        """A new layer of somebody's, and its secret, which cannot be shown again.

        Raises
        ------
        AskLess
            Where they have, or the lab has, as many as may be.
        """
        secret, now = secrets.token_urlsafe(_SECRET_BYTES), self.clock()
        expires = now + min(days, LONGEST_DAYS) * DAY
        shown = json.dumps([list(drawn.bands), drawn.time, dict(drawn.style), drawn.title])
        with open_book(self.path, _TABLE) as db:
            # A week longer than they live, so that an old address is still told that it is old.
            db.execute("DELETE FROM links WHERE expires < ? OR revoked < ?", (now - 7 * DAY, now - 7 * DAY))
            self._require_room(db, owner, now)
            name = secrets.token_hex(8)
            words = (name, _digest(secret), owner, drawn.token, shown, now, expires)
            db.execute("INSERT INTO links VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", words)
            row = db.execute("SELECT * FROM links WHERE id = ?", (name,)).fetchone()
        with self._lock:
            if self._digests is not None:
                self._digests.add(_digest(secret))
        return _read(row), secret

    def list_live(self, owner: str) -> tuple[Link, ...]:
        """Somebody's layers that can be opened, the newest first."""
        with open_book(self.path, _TABLE) as db:
            words = "SELECT * FROM links WHERE owner = ? AND revoked IS NULL AND expires > ? ORDER BY made DESC, id"
            rows = db.execute(words, (owner, self.clock())).fetchall()
        return tuple(map(_read, rows))

    def revoke(self, owner: str, name: str) -> None:
        """Take back a layer of somebody's: from now on its address opens nothing.

        Raises
        ------
        NothingFound
            Where they have no such layer, or not any more.
        """
        with open_book(self.path, _TABLE) as db:
            words = "UPDATE links SET revoked = ? WHERE id = ? AND owner = ? AND revoked IS NULL AND expires > ?"
            now = self.clock()
            changed = db.execute(words, (now, name, owner, now)).rowcount
        if not changed:
            raise NothingFound(f"You have no layer {name[:40]!r}, or not any more: GET /links lists those you have.")

    def find(self, secret: str, address: str) -> Link:
        """The layer of a secret that somebody at an address asks for.

        Raises
        ------
        NothingFound
            For one that is not known, was taken back, or is over.
        TooManyGuesses
            For one that is not known, where many such were tried.
        """
        digest = _digest(secret)
        self._require_known(digest, address)
        with open_book(self.path, _TABLE) as db:
            row = db.execute("SELECT * FROM links WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            raise NothingFound(_unknown())
        return self._require_live(_read(row))

    def _require_known(self, digest: str, address: str) -> None:
        """Those that are in the book are never refused for what others try."""
        with self._lock:
            if self._digests is None:
                with open_book(self.path, _TABLE) as db:
                    self._digests = {row["digest"] for row in db.execute("SELECT digest FROM links")}
            if digest in self._digests:
                return
            if self.guesses.exceeded(address):
                raise TooManyGuesses("Many unknown layers were asked for from here. Wait a minute.")
            self.guesses.count(address)
        raise NothingFound(_unknown())

    def _require_live(self, link: Link) -> Link:
        if link.revoked is not None:
            raise NothingFound(f"Couche révoquée. {_ANEW['fr']} / This layer was taken back. {_ANEW['en']}")
        if link.expires <= self.clock():
            raise NothingFound(f"Couche expirée. {_ANEW['fr']} / This layer has expired. {_ANEW['en']}")
        return link

    def _require_room(self, db: sqlite3.Connection, owner: str, now: float) -> None:
        live = "SELECT COUNT(*) FROM links WHERE revoked IS NULL AND expires > ?"
        (of_all,) = db.execute(live, (now,)).fetchone()
        (of_one,) = db.execute(f"{live} AND owner = ?", (now, owner)).fetchone()
        if of_one >= MOST_A_PERSON or of_all >= MOST_IN_ALL:
            raise AskLess(
                f"You have {of_one} layers for a GIS, of at most {MOST_A_PERSON}, and the lab {of_all}, of at most "
                f"{MOST_IN_ALL}. Take some of yours back, or wait until some are over."
            )


_ANEW = {
    "fr": "Recopiez-la depuis la carte du laboratoire.",
    "en": "Copy it anew from the lab's map.",
}


def _unknown() -> str:
    return f"Couche inconnue. {_ANEW['fr']} / This layer is not known. {_ANEW['en']}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(row: sqlite3.Row) -> Link:
    bands, moment, style, title = json.loads(row["drawn"])
    return Link(
        id=row["id"],
        owner=row["owner"],
        token=row["token"],
        bands=tuple(bands),
        time=moment,
        style=style,
        title=title,
        made=row["made"],
        expires=row["expires"],
        revoked=row["revoked"],
    )
