"""Seats of workshops and the codes that lead to them: each is claimed once, and only digests under a key are kept."""

import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from earthlab.errors import BadRequest
from earthlab.hub.accounts import SEAT_PREFIX
from earthlab.hub.books import keep_key, open_book, read_book

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O, U. Each character is 5 bits. Source: https://www.crockford.com/base32.html."""

PASS_LENGTH = 12
"""Characters of a pass and of a join link: 60 bits."""

LONG_LENGTH = 16
"""Characters of the codes that are asked for at a screen: 80 bits, so that they add nothing to what can be guessed."""

TRANSFER_LIFETIME = 600.0
"""Seconds for which a transfer code can be used."""

GUESSES = 600
"""Unknown codes that the hub answers within a minute, whoever asks."""

GUESSES_AN_ADDRESS = 300
"""Unknown codes that one address may try within a minute: 150 people behind it may all err, twice."""

MOST_LIVE = 1300
"""Seats and join links at a time, over all workshops: with `GUESSES` a day of guessing hits one with less than 1e-9."""

MOST_SEATS = 999
"""Seats of one workshop: a seat's number has three digits."""

SLUG_PATTERN = r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?"

_SEAT = re.compile(rf"{SEAT_PREFIX}({SLUG_PATTERN})-(\d{{3}})")

Refusal = Literal["unknown", "used", "replaced", "revoked", "expired", "early", "full"]

_TABLES = (
    """CREATE TABLE IF NOT EXISTS workshops (
        slug TEXT PRIMARY KEY, title TEXT NOT NULL, opens REAL NOT NULL, closes REAL NOT NULL, kept REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS seats (
        slug TEXT NOT NULL, number INTEGER NOT NULL, claimed REAL, reserved INTEGER NOT NULL DEFAULT 0, revoked REAL,
        name TEXT NOT NULL DEFAULT '', PRIMARY KEY (slug, number)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS codes (
        digest TEXT PRIMARY KEY, kind TEXT NOT NULL, slug TEXT NOT NULL, seat INTEGER, expires REAL, dead TEXT
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS sign_outs (user TEXT PRIMARY KEY, stop INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS shares (
        slug TEXT PRIMARY KEY, memory INTEGER NOT NULL, cores REAL NOT NULL
    ) WITHOUT ROWID""",
)

_Kind = Literal["pass", "reissue", "join", "transfer", "keep", "secret"]
_ENTRANCES: tuple[_Kind, ...] = ("pass", "reissue", "join", "transfer")


@dataclass(frozen=True, slots=True)
class Pass:
    """One printed code and the number of its seat."""

    seat: int
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a code was worth: a seat, or the reason of the ``refusal``."""

    user: str = ""
    slug: str = ""
    seat: int = 0
    secret: str = field(default="", repr=False)
    """For the cookie that brings the same browser back to the same seat; empty where nothing new was made."""
    refusal: Refusal | None = None
    until: float = 0.0
    """Until when (seconds since 1970) the seat can be come back to."""
    title: str = ""
    """The workshop's, where a code was only looked at."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place of a workshop. Instants are seconds since 1970."""

    number: int
    user: str
    claimed: float | None = None
    revoked: float | None = None
    name: str = ""
    """What its holder wants to be called; empty unless they said so."""


@dataclass(frozen=True, slots=True)
class Share:
    """What the organiser has planned for each seat: memory in bytes, and cores where there are not enough for all."""

    memory: int
    cores: float


@dataclass(frozen=True, slots=True)
class Stay:
    """What a seat's holder is told: of which workshop, from when to when, and until when their work is ``kept``."""

    seat: Seat
    slug: str
    title: str
    opens: float
    closes: float
    kept: float


@dataclass(frozen=True, slots=True)
class SignOut:
    """A user whose sessions at the hub must end, and whether the server must ``stop``, too."""

    user: str
    stop: bool


@dataclass(frozen=True, slots=True)
class PassStore:
    """The lab's seats and passes in one SQLite file with its key beside it. Safe for many processes at a time."""

    path: Path
    clock: Callable[[], float] = time.time

    def open_seats(
        self, slug: str, seats: int, opens: float, closes: float, *, title: str = "", kept: float | None = None
    ) -> list[Pass]:
        """The passes of a new workshop, one a seat. Their codes cannot be shown again.

        Parameters
        ----------
        slug : str
            1 to 20 of a-z, 0-9 and dashes.
        seats : int
            How many; they are numbered from 1.
        opens, closes : float
            From when to when (seconds since 1970) its codes let anybody in.
        title : str, optional
            What participants read; the slug by default.
        kept : float, optional
            When the seats and their work will be deleted, for participants to read; ``closes`` by default.

        Raises
        ------
        BadRequest
            For a slug that is malformed or in use, an impossible number of seats or span of time, and where there
            would be so many passes at a time that guessing one is no longer hopeless.
        """
        _check_workshop(slug, seats, opens, closes)
        passes = [Pass(number, new_code(PASS_LENGTH)) for number in range(1, seats + 1)]
        with open_book(self.path, *_TABLES) as db:
            if _workshop(db, slug):
                raise BadRequest(f"workshop {slug!r} has its seats already. Close it first, or choose another slug.")
            row = (slug, title or slug, opens, closes, closes if kept is None else max(kept, closes))
            db.execute("INSERT INTO workshops VALUES (?, ?, ?, ?, ?)", row)
            db.executemany("INSERT INTO seats (slug, number) VALUES (?, ?)", [(slug, p.seat) for p in passes])
            for issued in passes:
                self._add_code(db, issued.code, "pass", slug, issued.seat)
            self._check_room(db)
        return passes

    def reissue(self, slug: str, seat: int) -> Pass:
        """A new pass for a seat with the work that is in it.

        All that led to it before is dead, and whoever is in it is signed out, though their server goes on.

        Raises
        ------
        BadRequest
            For a seat that there is not.
        """
        issued = Pass(seat, new_code(PASS_LENGTH))
        with open_book(self.path, *_TABLES) as db:
            self._end_seat(db, slug, seat, "replaced", stop=False)
            db.execute("UPDATE seats SET revoked = NULL, reserved = 1 WHERE slug = ? AND number = ?", (slug, seat))
            self._add_code(db, issued.code, "reissue", slug, seat)
        return issued

    def revoke(self, slug: str, seat: int) -> None:
        """Nothing leads to this seat any longer; the hub signs it out and stops its server.

        Raises
        ------
        BadRequest
            For a seat that there is not.
        """
        with open_book(self.path, *_TABLES) as db:
            self._end_seat(db, slug, seat, "revoked", stop=True)
            db.execute("UPDATE seats SET revoked = ? WHERE slug = ? AND number = ?", (self.clock(), slug, seat))

    def extend(self, slug: str, closes: float, *, kept: float | None = None) -> None:
        """Move a workshop's end, and the day on which its seats are deleted: never before its end.

        Raises
        ------
        BadRequest
            For a workshop that has no seats, and for an end before its beginning.
        """
        with open_book(self.path, *_TABLES) as db:
            workshop = _known(db, slug)
            if closes <= workshop["opens"]:
                raise BadRequest(f"workshop {slug!r} would end before it begins. Name a later end.")
            row = (closes, max(closes, workshop["kept"] if kept is None else kept), slug)
            db.execute("UPDATE workshops SET closes = ?, kept = ? WHERE slug = ?", row)
            self._check_room(db)

    def close(self, slug: str) -> None:
        """Forget a workshop's seats, the names in them, and all its codes. Nothing that is not there is missed."""
        with open_book(self.path, *_TABLES) as db:
            for table in ("workshops", "seats", "codes", "shares"):
                db.execute(f"DELETE FROM {table} WHERE slug = ?", (slug,))  # noqa: S608  # four words of ours

    def join_secret(self, slug: str) -> str:
        """A new join link's code: each browser that brings it gets the next free seat. The link before it is dead.

        Raises
        ------
        BadRequest
            For a workshop that has no seats.
        """
        code = new_code(PASS_LENGTH)
        with open_book(self.path, *_TABLES) as db:
            _known(db, slug)
            db.execute("UPDATE codes SET dead = 'replaced' WHERE slug = ? AND kind = 'join' AND dead IS NULL", (slug,))
            self._add_code(db, code, "join", slug, None)
        return code

    def look(self, code: str, secret: str = "") -> Claim:
        """What `claim` would say of a code just now, without claiming it.

        There is a user where the browser's seat cookie, ``secret``, comes back to its seat by this code, and no secret.
        """
        with open_book(self.path, *_TABLES) as db:
            found = self._find(db, code, _ENTRANCES)
            if found is None:
                return Claim(refusal="unknown")
            own = self._own_seat(db, found, secret)
            if own:
                return own
            refusal = self._judge(found) or (None if _seat_for(db, found) else "full")
            return Claim(
                slug=found["slug"],
                seat=found["seat"] or 0,
                refusal=refusal,
                until=found["closes"],
                title=found["title"],
            )

    def claim(self, code: str, secret: str = "") -> Claim:
        """Use up a pass or a transfer code, or take a free seat by a join link.

        Of any number of takers at once exactly one gets the seat. A pass whose seat somebody took by the join link
        gets another free one.

        Parameters
        ----------
        code : str
            As printed, or as people write it.
        secret : str, optional
            Of the browser's seat cookie: who has the seat already comes back to it, by the join link and by the
            pass that was used.
        """
        with open_book(self.path, *_TABLES) as db:
            found = self._admit(db, code, _ENTRANCES, secret)
            if isinstance(found, Claim):
                return found
            number = _seat_for(db, found)
            if number is None:
                return Claim(slug=found["slug"], refusal="full")
            return self._take(db, found, number)

    def come_back(self, secret: str) -> Claim:
        """The seat of a browser's seat cookie."""
        with open_book(self.path, *_TABLES) as db:
            found = self._admit(db, secret, ("secret",))
            return found if isinstance(found, Claim) else _returning(found)

    def leave(self, secret: str) -> None:
        """Forget one browser's seat cookie; the seat and its other browsers stay."""
        with open_book(self.path, *_TABLES) as db:
            db.execute("DELETE FROM codes WHERE digest = ? AND kind = 'secret'", (self._digest(secret),))

    def transfer(self, user: str) -> str:
        """A code that brings a second device to a seat, once, within `TRANSFER_LIFETIME`; an earlier one is dead.

        Raises
        ------
        BadRequest
            For a user who has no seat, or one that nothing leads to any longer.
        """
        return self._personal_code(user, "transfer", self.clock() + TRANSFER_LIFETIME)

    def keep(self, user: str) -> str:
        """A code with which a seat's holder takes the work into a real account; an earlier one is dead.

        Raises
        ------
        BadRequest
            For a user who has no seat, or one that nothing leads to any longer.
        """
        return self._personal_code(user, "keep", None)

    def take_kept(self, code: str) -> Claim:
        """Use up a code of `keep`: which seat's work it is for."""
        with open_book(self.path, *_TABLES) as db:
            found = self._admit(db, code, ("keep",))
            if isinstance(found, Claim):
                return found
            db.execute("UPDATE codes SET dead = 'used' WHERE digest = ?", (found["digest"],))
            return _returning(found)

    def seats(self, slug: str) -> list[Seat]:
        """The seats of a workshop by number; none where there is no such workshop."""
        with open_book(self.path, *_TABLES) as db:
            rows = db.execute("SELECT * FROM seats WHERE slug = ? ORDER BY number", (slug,)).fetchall()
        return [_as_seat(row) for row in rows]

    def stay(self, user: str) -> Stay | None:
        """What a seat's holder is told; ``None`` for anybody else."""
        place = parse_seat(user)
        if place is None:
            return None
        with open_book(self.path, *_TABLES) as db:
            row = db.execute(
                "SELECT * FROM seats NATURAL JOIN workshops WHERE slug = ? AND number = ?", place
            ).fetchone()
        if row is None:
            return None
        return Stay(_as_seat(row), row["slug"], row["title"], row["opens"], row["closes"], row["kept"])

    def note_share(self, slug: str, share: Share) -> None:
        """Remember what each seat of a workshop gets, opened or not; until `close`."""
        with open_book(self.path, *_TABLES) as db:
            db.execute("INSERT OR REPLACE INTO shares VALUES (?, ?, ?)", (slug, share.memory, share.cores))

    def share(self, user: str) -> Share | None:
        """What a seat's workshop has planned for it; ``None`` for other users, and for workshops that are gone."""
        place = parse_seat(user)
        if place is None or not self.path.exists():
            return None
        with open_book(self.path, *_TABLES) as db:
            row = db.execute("SELECT memory, cores FROM shares WHERE slug = ?", place[:1]).fetchone()
        return Share(row["memory"], row["cores"]) if row else None

    def held(self, beforehand: float) -> dict[str, int]:
        """Seats of workshops by slug, of each from ``beforehand`` seconds before it opens to its end.

        Quick, whoever is writing: see `read_book` for what it raises.
        """
        if not self.path.exists():
            return {}
        words = (
            "SELECT slug, count(*) AS many FROM seats NATURAL JOIN workshops"
            " WHERE opens <= ? AND closes > ? AND revoked IS NULL GROUP BY slug"
        )
        now = self.clock()
        with read_book(self.path) as db:
            return {row["slug"]: int(row["many"]) for row in db.execute(words, (now + beforehand, now))}

    def rename(self, user: str, name: str) -> None:
        """Note what a seat's holder wants to be called, in at most 40 characters; nothing to be called nothing.

        Raises
        ------
        BadRequest
            For a user who has no seat.
        """
        words = " ".join("".join(c if c.isprintable() else " " for c in name).split())[:40].strip()
        with open_book(self.path, *_TABLES) as db:
            slug, number = _seat_of(db, user)
            db.execute("UPDATE seats SET name = ? WHERE slug = ? AND number = ?", (words, slug, number))

    def seat_of(self, user: str) -> tuple[str, int] | None:
        """The workshop and number of a seat's user; ``None`` for anybody else."""
        found = self.stay(user)
        return (found.slug, found.seat.number) if found else None

    def sign_outs(self) -> list[SignOut]:
        """Whose sessions must end, until `signed_out` says that they have."""
        if not self.path.exists():
            return []
        with open_book(self.path, *_TABLES) as db:
            return [SignOut(row["user"], bool(row["stop"])) for row in db.execute("SELECT * FROM sign_outs")]

    def signed_out(self, done: SignOut) -> None:
        """Note that a user's sessions have ended."""
        with open_book(self.path, *_TABLES) as db:
            db.execute("DELETE FROM sign_outs WHERE user = ? AND stop = ?", (done.user, done.stop))

    def _personal_code(self, user: str, kind: Literal["transfer", "keep"], expires: float | None) -> str:
        code = new_code(LONG_LENGTH)
        with open_book(self.path, *_TABLES) as db:
            slug, number = _seat_of(db, user)
            row = db.execute("SELECT * FROM seats WHERE slug = ? AND number = ?", (slug, number)).fetchone()
            if row["claimed"] is None or row["revoked"] is not None:
                raise BadRequest(f"{user!r} is not in its seat. The trainer can issue a new pass for it.")
            db.execute(
                "UPDATE codes SET dead = 'replaced' WHERE slug = ? AND seat = ? AND kind = ? AND dead IS NULL",
                (slug, number, kind),
            )
            self._add_code(db, code, kind, slug, number, expires)
        return code

    def _end_seat(self, db: sqlite3.Connection, slug: str, seat: int, reason: Refusal, *, stop: bool) -> None:
        if not db.execute("SELECT 1 FROM seats WHERE slug = ? AND number = ?", (slug, seat)).fetchone():
            raise BadRequest(f"workshop {slug!r} has no seat {seat}. Choose one of the seats that its page lists.")
        db.execute(
            "UPDATE codes SET dead = ? WHERE slug = ? AND seat = ? AND dead IS NULL",
            (reason, slug, seat),
        )
        db.execute(
            "INSERT INTO sign_outs VALUES (?, ?) ON CONFLICT DO UPDATE SET stop = max(stop, excluded.stop)",
            (seat_user(slug, seat), stop),
        )

    def _check_room(self, db: sqlite3.Connection) -> None:
        (live,) = db.execute(
            "SELECT (SELECT count(*) FROM seats NATURAL JOIN workshops WHERE closes > :now)"
            " + (SELECT count(*) FROM workshops WHERE closes > :now)",
            {"now": self.clock()},
        ).fetchone()
        if live > MOST_LIVE:
            raise BadRequest(
                f"there would be {live} passes and join links at a time, expected at most {MOST_LIVE}, so that "
                "guessing one stays hopeless. Close workshops that are over, or open this one later."
            )

    def _admit(
        self, db: sqlite3.Connection, text: str, kinds: tuple[_Kind, ...], secret: str = ""
    ) -> sqlite3.Row | Claim:
        """The row of a code that may be used now; else what is answered: the browser's own seat, or the refusal."""
        found = self._find(db, text, kinds)
        if found is None:
            return Claim(refusal="unknown")
        own = self._own_seat(db, found, secret)
        if own:
            return own
        refusal = self._judge(found)
        return Claim(slug=found["slug"], seat=found["seat"] or 0, refusal=refusal) if refusal else found

    def _own_seat(self, db: sqlite3.Connection, found: sqlite3.Row, secret: str) -> Claim | None:
        own = self._find(db, secret, ("secret",)) if secret else None
        if own is None or own["slug"] != found["slug"] or self._judge(own):
            return None
        same = found["kind"] == "join" or (found["dead"] == "used" and found["seat"] == own["seat"])
        return _returning(own) if same else None

    def _take(self, db: sqlite3.Connection, found: sqlite3.Row, number: int) -> Claim:
        slug, secret = found["slug"], secrets.token_urlsafe(32)
        if found["kind"] != "join":
            # A pass may have led to another seat than its own: used again, it must be known by that one.
            db.execute("UPDATE codes SET dead = 'used', seat = ? WHERE digest = ?", (number, found["digest"]))
        if found["kind"] != "transfer":
            db.execute("UPDATE seats SET claimed = ? WHERE slug = ? AND number = ?", (self.clock(), slug, number))
        self._add_code(db, secret, "secret", slug, number)
        return Claim(seat_user(slug, number), slug, number, secret, until=found["closes"])

    def _judge(self, found: sqlite3.Row) -> Refusal | None:
        now, end = self.clock(), found["kept" if found["kind"] == "keep" else "closes"]
        if found["revoked"] is not None:
            return "revoked"
        if found["dead"]:
            dead: Refusal = found["dead"]
            return dead
        if now >= end or (found["expires"] is not None and now >= found["expires"]):
            return "expired"
        return "early" if now < found["opens"] else None

    def _find(self, db: sqlite3.Connection, text: str, kinds: tuple[_Kind, ...]) -> sqlite3.Row | None:
        code = text if kinds == ("secret",) else norm_code(text)
        if not code:
            return None
        found: sqlite3.Row | None = db.execute(
            "SELECT codes.*, title, opens, closes, kept, revoked FROM codes JOIN workshops USING (slug)"
            " LEFT JOIN seats ON seats.slug = codes.slug AND seats.number = codes.seat WHERE digest = ?",
            (self._digest(code),),
        ).fetchone()
        return found if found is not None and found["kind"] in kinds else None

    def _add_code(
        self, db: sqlite3.Connection, code: str, kind: _Kind, slug: str, seat: int | None, expires: float | None = None
    ) -> None:
        row = (self._digest(code), kind, slug, seat, expires)
        db.execute("INSERT INTO codes VALUES (?, ?, ?, ?, ?, NULL)", row)

    def _digest(self, code: str) -> str:
        return hmac.digest(keep_key(self.path.with_suffix(".key")), code.encode(), "sha256").hex()


def new_code(length: int) -> str:
    """A random code without dashes, 5 bits a character."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def norm_code(text: str) -> str | None:
    """A code in the form in which it is known, from what somebody typed; ``None`` for what cannot be one.

    Lower case, blanks, missing and odd dashes are forgiven, and O for 0, I and L for 1.
    """
    plain = re.sub(r"[\s\u00ad\u2010-\u2015\u2212-]+", "", text)
    if not plain.isascii():
        return None
    code = plain.upper().translate(str.maketrans("OIL", "011"))
    return code if len(code) in {PASS_LENGTH, LONG_LENGTH} and set(code) <= set(ALPHABET) else None


def show_code(code: str) -> str:
    """A code as it is printed: in fours, ``K7Q4-M2XA-9PDF``."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))


def seat_user(slug: str, number: int) -> str:
    """The hub's name of a seat: ``atelier-<slug>-017``."""
    return f"{SEAT_PREFIX}{slug}-{number:03d}"


def parse_seat(user: str) -> tuple[str, int] | None:
    """Workshop and number in the name of a seat's user; None for anybody else, since nobody else may be called so."""
    found = _SEAT.fullmatch(user)
    return (found[1], int(found[2])) if found else None


def workshop_group(slug: str) -> str:
    """The hub's group of a workshop's seats."""
    return f"atelier:{slug}"


def _check_workshop(slug: str, seats: int, opens: float, closes: float) -> None:
    if not re.fullmatch(SLUG_PATTERN, slug):
        raise BadRequest(f"workshop: found {slug!r}, expected 1 to 20 of a-z 0-9 -, no dash first or last.")
    if not 1 <= seats <= MOST_SEATS:
        raise BadRequest(f"workshop {slug!r}: found {seats} seats, expected 1 to {MOST_SEATS}.")
    if not opens < closes:
        raise BadRequest(f"workshop {slug!r} would end before it begins. Name a later end.")


def _workshop(db: sqlite3.Connection, slug: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = db.execute("SELECT * FROM workshops WHERE slug = ?", (slug,)).fetchone()
    return found


def _known(db: sqlite3.Connection, slug: str) -> sqlite3.Row:
    found = _workshop(db, slug)
    if found is None:
        raise BadRequest(f"there are no seats of a workshop {slug!r}. Open them first.")
    return found


def _seat_of(db: sqlite3.Connection, user: str) -> tuple[str, int]:
    place = parse_seat(user)
    if place is None or not db.execute("SELECT 1 FROM seats WHERE slug = ? AND number = ?", place).fetchone():
        raise BadRequest(f"{user!r} has no seat in a workshop. Sign in by a pass first.")
    return place


def _seat_for(db: sqlite3.Connection, found: sqlite3.Row) -> int | None:
    if found["kind"] in {"reissue", "transfer"}:
        own: int = found["seat"]
        return own
    free = [
        row["number"]
        for row in db.execute(
            "SELECT number FROM seats WHERE slug = ? AND claimed IS NULL AND revoked IS NULL AND NOT reserved"
            " ORDER BY number DESC",
            (found["slug"],),
        )
    ]
    # From the far end: cards are given out from the first, so that both seldom want the same seat.
    return found["seat"] if found["seat"] in free else next(iter(free), None)


def _returning(found: sqlite3.Row) -> Claim:
    return Claim(seat_user(found["slug"], found["seat"]), found["slug"], found["seat"], until=found["closes"])


def _as_seat(row: sqlite3.Row) -> Seat:
    return Seat(row["number"], seat_user(row["slug"], row["number"]), row["claimed"], row["revoked"], row["name"])
