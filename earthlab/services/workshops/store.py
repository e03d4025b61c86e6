"""The workshops' book: one SQLite file with what was made, said and done, until the day on which it is deleted.

What comes in stays after a kill of this process (write-ahead log), and rows of events are only ever added, until the
workshop is forgotten: then they are gone from the file too, and counts of nobody in particular remain.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from earthlab.errors import BadRequest, NothingFound
from earthlab.hub.books import PATIENCE, make_book
from earthlab.hub.passes import seat_user
from earthlab.services.workshops.events import Cell, Counts, Event
from earthlab.services.workshops.text import Workshop, parse_workshop, to_toml

Stage = Literal["draft", "open", "closed", "forgotten"]
Kind = Literal["message", "cell", "unlock", "reset"]
Answer = Literal["yes", "no"]
RunKind = Literal["warm", "rehearse"]
RunState = Literal["asked", "running", "stopping", "done", "failed"]

_TABLES = """
CREATE TABLE IF NOT EXISTS workshops (
    slug TEXT PRIMARY KEY, toml TEXT NOT NULL, stage TEXT NOT NULL, made REAL NOT NULL, closes REAL NOT NULL,
    forgotten REAL NOT NULL, material TEXT NOT NULL DEFAULT '[]', counts TEXT
);
CREATE TABLE IF NOT EXISTS events (
    slug TEXT NOT NULL, seat INTEGER NOT NULL, instance TEXT NOT NULL, seq INTEGER NOT NULL, at REAL NOT NULL,
    notebook TEXT NOT NULL, cell TEXT NOT NULL, state TEXT, error TEXT NOT NULL, hand INTEGER,
    PRIMARY KEY (slug, seat, instance, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS acts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT NOT NULL, seat INTEGER, kind TEXT NOT NULL,
    body TEXT NOT NULL, at REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS pairs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT NOT NULL, owner INTEGER NOT NULL, guest INTEGER NOT NULL,
    notebook TEXT NOT NULL, asked REAL NOT NULL, until REAL NOT NULL, accepted REAL, ended REAL
);
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT NOT NULL, kind TEXT NOT NULL, toml TEXT NOT NULL,
    minutes REAL NOT NULL, asked REAL NOT NULL, state TEXT NOT NULL DEFAULT 'asked', progress TEXT NOT NULL DEFAULT '',
    ended REAL, outcome TEXT
);
CREATE TABLE IF NOT EXISTS helps (
    number INTEGER PRIMARY KEY AUTOINCREMENT, slug TEXT NOT NULL, seat INTEGER NOT NULL, trainer TEXT NOT NULL,
    asked REAL NOT NULL, answer TEXT, until REAL, code TEXT, ended REAL
);
"""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A notebook as it was handed out: its place and part, the ids of its code cells, and where one can be set back."""

    path: str
    part: int
    cells: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A workshop with what has become of it. Instants are seconds since 1970."""

    workshop: Workshop
    stage: Stage
    closes: float
    """When its codes cease; later than the text says where time was extended."""
    forgotten: float
    """When seats and data are deleted."""
    lessons: tuple[Lesson, ...] = ()
    counts: Counts | None = None

    @property
    def slug(self) -> str:
        """What it is called in addresses."""
        return self.workshop.slug

    @property
    def order(self) -> tuple[Cell, ...]:
        """Every cell there is, in the workshop's order."""
        return tuple((lesson.path, cell) for lesson in self.lessons for cell in lesson.cells)

    @property
    def syllabus(self) -> dict[str, frozenset[str]]:
        """The ids of cells by notebook."""
        return {lesson.path: frozenset(lesson.cells) for lesson in self.lessons}

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which its times are told."""
        return ZoneInfo(self.workshop.time_zone)

    def local(self, at: float) -> datetime:
        """An instant as its people read it."""
        return datetime.fromtimestamp(at, self.zone)


@dataclass(frozen=True, slots=True)
class Act:
    """Something that a trainer did for all, or for one seat. Numbers rise."""

    number: int
    seat: int | None
    kind: Kind
    body: Mapping[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class Help:
    """A trainer's request to enter a seat, and what the participant said."""

    number: int
    slug: str
    seat: int
    trainer: str
    asked: float
    answer: Answer | None = None
    until: float | None = None
    """When the access ends."""
    code: str | None = None
    """The hub's share code, for the trainer's eyes only."""
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two seats in one notebook: the guest is let into the owner's server. Instants are seconds since 1970."""

    number: int
    slug: str
    owner: int
    guest: int
    notebook: str
    asked: float
    until: float
    """When the guest's access ends at the latest."""
    accepted: float | None = None
    ended: float | None = None

    @property
    def place(self) -> str:
        """Where the two work: the notebook in the owner's JupyterLab."""
        return f"/user/{seat_user(self.slug, self.owner)}/lab/tree/{self.slug}/{self.notebook}"

    def joins(self, seat: int) -> bool:
        """Whether a seat works in it already: its owner from the invitation on, its guest from the acceptance."""
        return seat == self.owner or (seat == self.guest and self.accepted is not None)


@dataclass(frozen=True, slots=True)
class Run:
    """A warm-up or a rehearsal that an organiser has asked for. Instants are seconds since 1970."""

    number: int
    slug: str
    kind: RunKind
    toml: str
    """The workshop as it was asked for."""
    minutes: float
    """Of a rehearsal: how long the class lasts with each notebook."""
    asked: float
    state: RunState = "asked"
    progress: str = ""
    ended: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What has come of it; of one that failed, ``words``."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state in {"done", "failed"}


class Store:
    """The book, open.

    Parameters
    ----------
    path : Path
        The file; made with mode 0600 where there is none.
    clock : callable
        Seconds since 1970.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.clock = clock
        make_book(path)
        self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        # The log is written to the system at each commit: a kill of this process loses nothing.
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON;")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def add(self, workshop: Workshop) -> None:
        """Note a new workshop as a draft.

        Raises
        ------
        BadRequest
            Where the slug is taken, also by one that is forgotten: its counts bear the name.
        """
        row = (workshop.slug, to_toml(workshop), "draft", self.clock(), *_ends(workshop))
        try:
            self._db.execute(
                "INSERT INTO workshops (slug, toml, stage, made, closes, forgotten) VALUES (?, ?, ?, ?, ?, ?)", row
            )
        except sqlite3.IntegrityError as exc:
            raise BadRequest(
                f"slug: il y a déjà un atelier {workshop.slug!r}, prenez un autre nom. · "
                f"There is one already. Choose another."
            ) from exc

    def replace(self, workshop: Workshop) -> None:
        """Put a new text in the place of a draft's.

        Raises
        ------
        BadRequest
            Where its seats are open: passes are printed by then.
        """
        row = (to_toml(workshop), *_ends(workshop), workshop.slug)
        done = self._db.execute(
            "UPDATE workshops SET toml = ?, closes = ?, forgotten = ? WHERE slug = ? AND stage = 'draft'", row
        )
        if not done.rowcount:
            raise BadRequest(
                f"{self.find(workshop.slug).slug} : ses places sont ouvertes, prolongez-le ou faites-en un autre. · "
                "Its seats are open. Extend it, or make another."
            )

    def open(self, slug: str, lessons: Iterable[Lesson]) -> None:
        """Note that a draft's seats are open, and what its participants are given.

        Raises
        ------
        BadRequest
            Where it is not a draft.
        """
        material = json.dumps([asdict(lesson) for lesson in lessons])
        done = self._db.execute(
            "UPDATE workshops SET stage = 'open', material = ? WHERE slug = ? AND stage = 'draft'", (material, slug)
        )
        if not done.rowcount:
            raise BadRequest(
                f"{self.find(slug).slug} : ses places ont déjà été ouvertes. · Its seats were opened before."
            )

    def extend(self, slug: str, closes: float) -> Entry:
        """Move the end of an open workshop, and the day of its deletion as much."""
        entry = self.require_open(slug)
        self._db.execute(
            "UPDATE workshops SET closes = ?, forgotten = forgotten + ? WHERE slug = ?",
            (closes, closes - entry.closes, slug),
        )
        return self.find(slug)

    def end(self, slug: str) -> Entry:
        """Note that a workshop is over; the day of its deletion stays."""
        self._db.execute("UPDATE workshops SET stage = 'closed' WHERE slug = ? AND stage = 'open'", (slug,))
        return self.find(slug)

    def hasten(self, slug: str) -> Entry:
        """Have everything of a workshop deleted as soon as can be, and not on the day announced."""
        self._db.execute(
            "UPDATE workshops SET stage = 'closed', forgotten = ? WHERE slug = ? AND stage != 'forgotten'",
            (self.clock(), slug),
        )
        return self.find(slug)

    def forget(self, slug: str, counts: Counts | None) -> None:
        """Delete all that was said and done in a workshop, from the file too; the counts and the text remain.

        It is called forgotten only once nothing of it is in the file: where somebody else holds the file open at an
        earlier moment, that is after another call.
        """
        with self._transaction() as db:
            for table in ("events", "acts", "helps", "pairs", "runs"):
                db.execute(f"DELETE FROM {table} WHERE slug = ?", (slug,))  # noqa: S608 - five words of ours
            kept = json.dumps(asdict(counts)) if counts else None
            db.execute("UPDATE workshops SET counts = coalesce(counts, ?) WHERE slug = ?", (kept, slug))
        if self._leave_nothing():
            self._db.execute("UPDATE workshops SET stage = 'forgotten' WHERE slug = ?", (slug,))

    def _leave_nothing(self) -> bool:
        """Have what was deleted be nowhere in the file or its log; False where a reader keeps the log as it was."""
        emptied = self._empty_log()
        self._db.execute("VACUUM")
        return self._empty_log() and emptied

    def _empty_log(self) -> bool:
        busy, *_ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def find(self, slug: str) -> Entry:
        """A workshop.

        Raises
        ------
        NothingFound
            Where there is none of this name.
        """
        row = self._db.execute("SELECT * FROM workshops WHERE slug = ?", (slug,)).fetchone()
        if row is None:
            raise NothingFound(
                f"aucun atelier ne s’appelle {slug!r}. · no workshop is called so. `earthlab workshop list` shows all."
            )
        return _entry(row)

    def require_open(self, slug: str) -> Entry:
        """A workshop whose seats are open.

        Raises
        ------
        BadRequest
            Where they are not.
        """
        entry = self.find(slug)
        if entry.stage != "open":
            raise BadRequest(f"{slug} : ses places ne sont pas ouvertes. · Its seats are not open ({entry.stage}).")
        return entry

    def entries(self) -> list[Entry]:
        """All workshops, the latest first."""
        return [_entry(row) for row in self._db.execute("SELECT * FROM workshops ORDER BY closes DESC, slug")]

    def due(self) -> list[Entry]:
        """Those to be deleted by now."""
        now = self.clock()
        return [entry for entry in self.entries() if entry.stage != "forgotten" and entry.forgotten <= now]

    def take(self, slug: str, seat: int, events: Iterable[Event]) -> list[Event]:
        """Add events to the log and return those that are new: what is there already stays as it is."""
        with self._transaction() as db:
            return [event for event in events if _insert(db, slug, seat, event)]

    def say(self, slug: str, seat: int, instance: str, *, hand: bool) -> Event:
        """Add a hand event of an instance that leaves its numbers to the book."""
        with self._transaction() as db:
            words = "SELECT coalesce(max(seq), 0) + 1 FROM events WHERE slug = ? AND seat = ? AND instance = ?"
            (seq,) = db.execute(words, (slug, seat, instance)).fetchone()
            event = Event(instance, seq, self.clock(), hand=hand)
            _insert(db, slug, seat, event)
        return event

    def events(self, slug: str) -> Iterator[tuple[int, Event]]:
        """The log of a workshop: seats with their events."""
        for row in self._db.execute("SELECT * FROM events WHERE slug = ?", (slug,)):
            hand = None if row["hand"] is None else bool(row["hand"])
            place = {"notebook": row["notebook"], "cell": row["cell"], "state": row["state"], "error": row["error"]}
            yield row["seat"], Event(row["instance"], row["seq"], row["at"], **place, hand=hand)

    def act(self, slug: str, kind: Kind, body: Mapping[str, Any], seat: int | None = None) -> Act:
        """Note what a trainer did."""
        at = self.clock()
        row = (slug, seat, kind, json.dumps(body, ensure_ascii=False), at)
        done = self._db.execute("INSERT INTO acts (slug, seat, kind, body, at) VALUES (?, ?, ?, ?, ?)", row)
        return Act(int(done.lastrowid or 0), seat, kind, dict(body), at)

    def acts(self, slug: str) -> list[Act]:
        """What trainers did in a workshop, in order."""
        rows = self._db.execute("SELECT * FROM acts WHERE slug = ? ORDER BY number", (slug,))
        return [Act(r["number"], r["seat"], r["kind"], json.loads(r["body"]), r["at"]) for r in rows]

    def ask_help(self, slug: str, seat: int, trainer: str) -> Help:
        """Note a trainer's request; one that is still without an answer is the same request."""
        for known in self.helps(slug, seat):
            if known.trainer == trainer and known.answer is None and known.ended is None:
                return known
        row = (slug, seat, trainer, self.clock())
        done = self._db.execute("INSERT INTO helps (slug, seat, trainer, asked) VALUES (?, ?, ?, ?)", row)
        return self.help(int(done.lastrowid or 0))

    def help(self, number: int) -> Help:
        """One request.

        Raises
        ------
        NothingFound
            Where there is none of this number.
        """
        row = self._db.execute("SELECT * FROM helps WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise NothingFound(
                "cette demande n’est plus là : rechargez la page. This request is no longer there: load the page again."
            )
        return Help(**dict(row))

    def helps(self, slug: str, seat: int | None = None) -> list[Help]:
        """Requests of a workshop, or of one seat, that have not ended."""
        rows = self._db.execute("SELECT * FROM helps WHERE slug = ? AND ended IS NULL ORDER BY number", (slug,))
        return [found for found in (Help(**dict(row)) for row in rows) if seat is None or found.seat == seat]

    def overdue(self) -> list[Help]:
        """Accesses whose time is over and that have not been ended."""
        rows = self._db.execute("SELECT * FROM helps WHERE until <= ? AND ended IS NULL", (self.clock(),))
        return [Help(**dict(row)) for row in rows]

    def answer_help(self, number: int, answer: Answer, until: float | None = None, code: str | None = None) -> None:
        """Note what the participant said; a no ends the request."""
        ended = self.clock() if answer == "no" else None
        self._db.execute(
            "UPDATE helps SET answer = ?, until = ?, code = ?, ended = ? WHERE number = ? AND answer IS NULL",
            (answer, until, code, ended, number),
        )

    def end_help(self, number: int) -> None:
        """Note that an access is over; its code is forgotten."""
        self._db.execute("UPDATE helps SET ended = ?, code = NULL WHERE number = ?", (self.clock(), number))

    def invite(self, slug: str, owner: int, guest: int, notebook: str, until: float) -> Pair:
        """Note that a seat lets another into its server, to work in a notebook.

        Raises
        ------
        BadRequest
            Where one of them works with somebody already.
        """
        with self._transaction() as db:
            for found in self.pairs(slug):
                for seat in (owner, guest):
                    if found.joins(seat):
                        raise BadRequest(
                            f"La place {seat} travaille déjà à deux : arrêtez d’abord. "
                            f"Seat {seat} works in a pair already: stop that first."
                        )
            row = (slug, owner, guest, notebook, self.clock(), until)
            words = "INSERT INTO pairs (slug, owner, guest, notebook, asked, until) VALUES (?, ?, ?, ?, ?, ?)"
            number = int(db.execute(words, row).lastrowid or 0)
        return self.pair(number)

    def pair(self, number: int) -> Pair:
        """One pair, or invitation to one.

        Raises
        ------
        NothingFound
            Where there is none of this number.
        """
        row = self._db.execute("SELECT * FROM pairs WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise NothingFound(
                "cette invitation n’est plus là : rechargez la page. This invitation is no longer there: load the page."
            )
        return Pair(**dict(row))

    def pairs(self, slug: str | None = None, seat: int | None = None) -> list[Pair]:
        """Pairs and invitations that have not ended: of all workshops, of one, or of one seat."""
        rows = self._db.execute("SELECT * FROM pairs WHERE ended IS NULL ORDER BY number")
        found = [Pair(**dict(row)) for row in rows]
        return [it for it in found if slug in {None, it.slug} and seat in {None, it.owner, it.guest}]

    def accept(self, number: int) -> Pair:
        """Note that the guest has accepted an invitation.

        Raises
        ------
        BadRequest
            Where it has ended, or the guest works with somebody else already.
        """
        with self._transaction() as db:
            found = self.pair(number)
            if found.ended is not None:
                raise BadRequest("Cette invitation a pris fin. This invitation has ended.")
            if any(it.joins(found.guest) for it in self.pairs(found.slug) if it.number != number):
                raise BadRequest(
                    "Vous travaillez déjà à deux : arrêtez d’abord. You work in a pair already: stop that first."
                )
            db.execute("UPDATE pairs SET accepted = ? WHERE number = ?", (self.clock(), number))
        return self.pair(number)

    def end_pair(self, number: int) -> None:
        """Note that a pair is over."""
        self._db.execute("UPDATE pairs SET ended = ? WHERE number = ? AND ended IS NULL", (self.clock(), number))

    def ask_run(self, slug: str, kind: RunKind, minutes: float = 0.0) -> Run:
        """Ask for a warm-up or a rehearsal; the lab does one at a time.

        Raises
        ------
        BadRequest
            Where one has been asked for and is not over.
        """
        toml = to_toml(self.find(slug).workshop)
        with self._transaction() as db:
            if under_way := self.run_under_way():
                raise BadRequest(
                    f"un échauffement ou une répétition est en cours ({under_way.slug}) : attendez sa fin. · "
                    f"a warm-up or a rehearsal is under way ({under_way.slug}): wait until it is over."
                )
            # What broke off is of no interest once it is asked for again.
            db.execute("DELETE FROM runs WHERE slug = ? AND kind = ? AND state = 'failed'", (slug, kind))
            row = (slug, kind, toml, minutes, self.clock())
            done = db.execute("INSERT INTO runs (slug, kind, toml, minutes, asked) VALUES (?, ?, ?, ?, ?)", row)
            number = int(done.lastrowid or 0)
        return self.run(number)

    def run(self, number: int) -> Run:
        """One run.

        Raises
        ------
        NothingFound
            Where there is none of this number.
        """
        row = self._db.execute("SELECT * FROM runs WHERE number = ?", (number,)).fetchone()
        if row is None:
            raise NothingFound("cet essai n’est plus là. · this run is no longer there.")
        return _run(row)

    def run_under_way(self) -> Run | None:
        """The one run that is asked for or under way."""
        row = self._db.execute("SELECT * FROM runs WHERE ended IS NULL ORDER BY number").fetchone()
        return _run(row) if row else None

    def latest_run(self, slug: str, kind: RunKind) -> Run | None:
        """The last of its kind that was asked for a workshop."""
        words = "SELECT * FROM runs WHERE slug = ? AND kind = ? ORDER BY number DESC LIMIT 1"
        row = self._db.execute(words, (slug, kind)).fetchone()
        return _run(row) if row else None

    def tell_run(self, number: int, progress: str) -> None:
        """Note how far a run is; it is under way then."""
        words = "UPDATE runs SET progress = ?, state = CASE state WHEN 'asked' THEN 'running' ELSE state END"
        self._db.execute(f"{words} WHERE number = ? AND ended IS NULL", (progress, number))

    def stop_run(self, slug: str, kind: RunKind) -> None:
        """Have a run broken off; nothing where there is none."""
        words = "UPDATE runs SET state = 'stopping' WHERE slug = ? AND kind = ? AND ended IS NULL"
        self._db.execute(words, (slug, kind))

    def end_run(self, number: int, state: Literal["done", "failed"], outcome: Mapping[str, Any]) -> None:
        """Note what has come of a run."""
        row = (state, self.clock(), json.dumps(outcome, ensure_ascii=False), number)
        self._db.execute("UPDATE runs SET state = ?, ended = ?, outcome = ?, progress = '' WHERE number = ?", row)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _insert(db: sqlite3.Connection, slug: str, seat: int, event: Event) -> bool:
    words = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    said = (event.instance, event.seq, event.at, event.notebook, event.cell, event.state, event.error, event.hand)
    return bool(db.execute(words, (slug, seat, *said)).rowcount)


def _run(row: sqlite3.Row) -> Run:
    return Run(**{**dict(row), "outcome": json.loads(row["outcome"]) if row["outcome"] else {}})


def _ends(workshop: Workshop) -> tuple[float, float]:
    return workshop.closes.timestamp(), workshop.forgotten.timestamp()


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        workshop=_workshop(row["toml"]),
        stage=row["stage"],
        closes=row["closes"],
        forgotten=row["forgotten"],
        lessons=_lessons(row["material"]),
        counts=_counts(json.loads(row["counts"])) if row["counts"] else None,
    )


@lru_cache(64)
def _workshop(toml: str) -> Workshop:
    return parse_workshop(toml)


@lru_cache(64)
def _lessons(material: str) -> tuple[Lesson, ...]:
    return tuple(
        Lesson(said["path"], said["part"], tuple(said["cells"]), tuple(said["checkpoints"]))
        for said in json.loads(material)
    )


def _counts(said: Mapping[str, Any]) -> Counts:
    return Counts(**{**said, "done": tuple(said["done"]), "failed": tuple(said["failed"])})
