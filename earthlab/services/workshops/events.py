"""What participants' servers tell of a workshop, and the state of the room that follows from it.

Events carry ids of cells, states and times, and nothing else may come in. The state is a fold in which the order and
the repetition of deliveries make no difference: for each cell the event with the greatest key wins.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from earthlab.errors import AskLess, BadRequest

MOST_EVENTS = 200
LARGEST_POST = 64 * 1024
MOST_KEPT = 20_000
"""Events of one seat: 40 cells, each run a hundred times, are 8,000."""

AWAY_AFTER = 300.0
"""Seconds without a step after which somebody whose server speaks is taken to do something else."""
SILENT_AFTER = 90.0
LOST_AFTER = 300.0
STUCK_AFTER = 300.0
"""Seconds without a new success after which somebody who is active is taken to be stuck."""

CellState = Literal["running", "done", "failed"]
Presence = Literal["free", "active", "away", "silent", "lost", "finished"]
Cell = tuple[str, str]
"""Place of the notebook, id of the cell."""

PAGE = "page"
"""The instance of events that the participant's own page says."""

_INSTANCE = re.compile(r"[0-9a-f]{8,32}")
_ERROR = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
_STATES = ("running", "done", "failed")
_STEP_KEYS = {"seq", "notebook", "cell", "state", "error", "at"}
_HAND_KEYS = {"seq", "hand", "at"}


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a cell, or, where ``hand`` is not None, a hand raised or lowered. ``at`` in seconds since 1970."""

    instance: str
    seq: int
    at: float
    notebook: str = ""
    cell: str = ""
    state: CellState | None = None
    error: str = ""
    hand: bool | None = None

    @property
    def key(self) -> tuple[float, int, str]:
        """What decides which of two events of the same cell holds."""
        return (self.at, self.seq, self.instance)


@dataclass(frozen=True, slots=True)
class Post:
    """What one request of a server brings."""

    instance: str
    events: tuple[Event, ...]


def parse_post(body: bytes, syllabus: Mapping[str, frozenset[str]], now: float) -> Post:
    """The events of a request.

    Parameters
    ----------
    syllabus : mapping
        The ids of the workshop's cells by notebook: no other cell may be named.
    now : float
        Times of events may lie at most a minute after it.

    Raises
    ------
    AskLess
        For more than `LARGEST_POST` bytes or `MOST_EVENTS` events.
    BadRequest
        For anything that is not exactly as expected; the message holds nothing of what was sent but names of keys.
    """
    if len(body) > LARGEST_POST:
        raise AskLess(f"The body is larger than {LARGEST_POST} bytes. Send fewer events at once.")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadRequest('The body is not JSON. Send {"instance": …, "events": […]}.') from exc
    if not isinstance(said, dict) or set(said) != {"instance", "events"}:
        raise BadRequest("The body must be an object of exactly instance and events.")
    instance, rows = said["instance"], said["events"]
    if not isinstance(instance, str) or not _INSTANCE.fullmatch(instance):
        raise BadRequest("instance: expected 8 to 32 hex digits.")
    if not isinstance(rows, list):
        raise BadRequest("events: expected a list.")
    if len(rows) > MOST_EVENTS:
        raise AskLess(f"events: found {len(rows)}, at most {MOST_EVENTS} are taken at once.")
    events = tuple(_parse_event(row, instance, f"events[{n}]", syllabus, now) for n, row in enumerate(rows))
    return Post(instance, events)


def _parse_event(row: Any, instance: str, where: str, syllabus: Mapping[str, frozenset[str]], now: float) -> Event:
    if not isinstance(row, dict) or set(row) not in (_STEP_KEYS, _HAND_KEYS):
        raise BadRequest(f"{where}: expected exactly {sorted(_STEP_KEYS)} or exactly {sorted(_HAND_KEYS)}.")
    seq, at = row["seq"], row["at"]
    if not isinstance(seq, int) or isinstance(seq, bool) or not 1 <= seq <= 10**9:
        raise BadRequest(f"{where}.seq: expected a whole number from 1.")
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at) or not 0 <= at <= now + 60:
        raise BadRequest(f"{where}.at: expected seconds since 1970 that are not in the future.")
    if "hand" in row:
        if not isinstance(row["hand"], bool):
            raise BadRequest(f"{where}.hand: expected true or false.")
        return Event(instance, seq, float(at), hand=row["hand"])
    notebook, cell, state, error = (row[key] for key in ("notebook", "cell", "state", "error"))
    if not isinstance(notebook, str) or not isinstance(cell, str) or cell not in syllabus.get(notebook, ()):
        raise BadRequest(f"{where}.cell: is not a cell that the workshop has handed out.")
    if state not in _STATES:
        raise BadRequest(f"{where}.state: expected one of {', '.join(_STATES)}.")
    if not isinstance(error, str) or bool(error) != (state == "failed") or (error and not _ERROR.fullmatch(error)):
        raise BadRequest(f"{where}.error: expected a class of errors where the cell failed, and nothing elsewhere.")
    return Event(instance, seq, float(at), notebook, cell, state, error)


@dataclass(slots=True)
class Seat:
    """What has come of one seat."""

    cells: dict[Cell, Event] = field(default_factory=dict)
    hand: Event | None = None
    heard: float = 0.0
    """When its server was last heard, in seconds since 1970."""
    resets: dict[Cell, float] = field(default_factory=dict)
    """Since when a cell counts as not reached again."""
    _numbers: dict[str, set[int]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Add one event; any number of times, in any order."""
        self._numbers.setdefault(event.instance, set()).add(event.seq)
        self.hear(event.at)
        if event.hand is not None:
            self.hand = event if self.hand is None else max(self.hand, event, key=_rank)
        else:
            cell = (event.notebook, event.cell)
            known = self.cells.get(cell)
            self.cells[cell] = event if known is None else max(known, event, key=_rank)

    def hear(self, at: float) -> None:
        """Note a sign of life."""
        self.heard = max(self.heard, at)

    def reset(self, cells: Iterable[Cell], at: float) -> None:
        """Count these cells as not reached unless something has come of them since."""
        for cell in cells:
            self.resets[cell] = max(at, self.resets.get(cell, 0.0))

    def find(self, cell: Cell) -> Event | None:
        """What holds for a cell; None where it is not reached."""
        event = self.cells.get(cell)
        return event if event is not None and event.at > self.resets.get(cell, -1.0) else None

    @property
    def taken(self) -> int:
        """How many events have come."""
        return sum(map(len, self._numbers.values()))

    @property
    def missing(self) -> int:
        """Events whose numbers were passed over: lost, or still on their way."""
        return sum(max(numbers) - len(numbers) for numbers in self._numbers.values())

    @property
    def hand_since(self) -> float | None:
        """Since when the hand is raised."""
        return self.hand.at if self.hand and self.hand.hand else None


def _rank(event: Event) -> tuple[Any, ...]:
    # Two events with one number would be a server's mistake: even then the order of deliveries decides nothing.
    return (*event.key, event.state or "", event.error, bool(event.hand))


def fold(events: Iterable[Event]) -> Seat:
    """The state of a seat after these events."""
    seat = Seat()
    for event in events:
        seat.take(event)
    return seat


@dataclass(frozen=True, slots=True)
class Standing:
    """One seat as the wall shows it. Times in seconds since 1970."""

    number: int
    cells: str
    """A letter a cell, in the workshop's order: ``.`` not reached, ``r`` running, ``d`` done, ``f`` failed."""
    presence: Presence
    hand: float | None
    stuck: bool
    error: str
    """The class of the error at which the seat stands, or nothing."""
    current: int
    """Index of the cell of the last step; -1 before the first."""
    since: float
    """When the last step was."""
    missing: int

    @property
    def done(self) -> int:
        """Cells done."""
        return self.cells.count("d")


_LETTERS = {"running": "r", "done": "d", "failed": "f"}


def judge_seat(number: int, seat: Seat, order: tuple[Cell, ...], now: float) -> Standing:
    """One seat at one moment; a seat that nobody has used yet is free."""
    found = [seat.find(cell) for cell in order]
    steps = [(event.key, index) for index, event in enumerate(found) if event is not None]
    (since, _, _), current = max(steps) if steps else ((0.0, 0, ""), -1)
    letters = "".join("." if event is None else _LETTERS[str(event.state)] for event in found)
    last = found[current] if current >= 0 else None
    presence = _judge_presence(seat, letters, since, now)
    successes = [event.at for event in found if event is not None and event.state == "done"]
    waiting = presence == "active" and now - max(successes, default=since) > STUCK_AFTER
    failed = last is not None and last.state == "failed"
    return Standing(
        number=number,
        cells=letters,
        presence=presence,
        hand=seat.hand_since,
        stuck=presence != "finished" and (failed or waiting),
        error=last.error if last is not None and failed else "",
        current=current,
        since=since,
        missing=seat.missing,
    )


def _judge_presence(seat: Seat, letters: str, since: float, now: float) -> Presence:
    if not seat.heard:
        return "free"
    if letters and set(letters) == {"d"}:
        return "finished"
    quiet = now - seat.heard
    if quiet > LOST_AFTER:
        return "lost"
    if quiet > SILENT_AFTER:
        return "silent"
    running = "r" in letters
    return "active" if running or now - max(since, 0.0) <= AWAY_AFTER else "away"


def order_seats(standings: Iterable[Standing]) -> list[Standing]:
    """Whom a trainer should look at first: raised hands, the longest first; then the stuck; then the slowest."""

    def urgency(it: Standing) -> tuple[Any, ...]:
        return (
            it.presence == "free",
            it.hand is None,
            it.hand or 0.0,
            not it.stuck,
            it.since if it.stuck else 0.0,
            it.presence == "finished",
            it.done,
            it.since,
            it.number,
        )

    return sorted(standings, key=urgency)


@dataclass(frozen=True, slots=True)
class Counts:
    """What is kept of a workshop when all else is deleted: numbers of people, of none in particular."""

    seats: int
    came: int
    finished: int
    hands: int
    done: tuple[int, ...]
    """How many have done each cell, in the workshop's order."""
    failed: tuple[int, ...]
    """How many stood at a failure of each cell in the end."""


def count_room(seats: Mapping[int, Seat], places: int, order: tuple[Cell, ...]) -> Counts:
    """Attendance and progress in counts only."""
    rows = [[seat.find(cell) for cell in order] for seat in seats.values()]
    states = [[event.state if event else None for event in row] for row in rows]
    return Counts(
        seats=places,
        came=sum(1 for seat in seats.values() if seat.heard),
        finished=sum(1 for row in states if row and all(state == "done" for state in row)),
        hands=sum(1 for seat in seats.values() if seat.hand is not None),
        done=tuple(sum(row[index] == "done" for row in states) for index in range(len(order))),
        failed=tuple(sum(row[index] == "failed" for row in states) for index in range(len(order))),
    )
