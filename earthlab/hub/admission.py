"""Who may start a server now and who waits: one fair queue for the machine.

Servers that start together share the cores, so that all of them start late; and memory ends before people do. So a
start waits for its turn here. The core is a value, `Hall`, and functions of it that decide and wait for nothing;
`Queue` is its edge in the hub's event loop. The order is that of arrival: whoever is first and does not fit holds up
all others, because whoever is small enough to slip past would be slipping past for ever. Only places that are kept for
a workshop's seats in its hours are for these alone.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tornado.log import app_log

from earthlab.hub.passes import parse_seat

_Known = TypeVar("_Known")

_LOOK_AGAIN = 1.0

_OTHERS_HAVE_ONE_IN = 10

NOBODY: Mapping[str, int] = {}
"""Places kept for nobody in particular."""
_REMEMBERED_STARTS = 60


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be asked of the machine at most; memory in bytes.

    ``seats`` is ``None`` where memory alone decides. ``reserve`` stays free for the machine itself, and ``seat`` is
    what one seat is expected to take before any has been measured.
    """

    starts: int
    seats: int | None
    reserve: int
    seat: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What there is now, in bytes: free memory, what a seat takes when it is in use, and what each takes so far."""

    free: int
    seat: int
    taken: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Hall:
    """Who waits, in order of arrival, whose server starts, and who is in. Nobody stands in two places."""

    waiting: tuple[str, ...] = ()
    starting: frozenset[str] = frozenset()
    seated: frozenset[str] = frozenset()

    @property
    def inside(self) -> frozenset[str]:
        """Those who hold a place: their server starts or runs."""
        return self.starting | self.seated


def arrive(hall: Hall, who: str) -> Hall:
    """Let somebody queue behind everybody else; whoever is already in the hall stays where they are."""
    known = who in hall.waiting or who in hall.inside
    return hall if known else replace(hall, waiting=(*hall.waiting, who))


def settle(hall: Hall, who: str) -> Hall:
    """Note that somebody's server has started."""
    if who not in hall.starting:
        return hall
    return replace(hall, starting=hall.starting - {who}, seated=hall.seated | {who})


def leave(hall: Hall, who: str) -> Hall:
    """Forget somebody, wherever they were."""
    waiting = tuple(other for other in hall.waiting if other != who)
    return Hall(waiting, hall.starting - {who}, hall.seated - {who})


def workshop_of(who: str) -> str:
    """The workshop of whose seats somebody is; nothing for anybody else."""
    place = parse_seat(who.partition("/")[0])
    return place[0] if place else ""


def admit(hall: Hall, bounds: Bounds, memory: Memory, kept: Mapping[str, int] = NOBODY) -> tuple[Hall, tuple[str, ...]]:
    """Let in as many as may start now, the first first; gives the hall afterwards and those who came in.

    Parameters
    ----------
    kept : mapping, optional
        Places that are kept, by workshop. Its seats come in past others who wait, as long as places are kept for them;
        others come in where there is more room than that.
    """
    most = min(count_room(hall, bounds, memory), max(0, bounds.starts - len(hall.starting)))
    free, owed = count_free(hall, bounds, memory, kept), count_owed(hall, kept)
    entering: list[str] = []
    for who in hall.waiting:
        if len(entering) == most:
            break
        workshop = workshop_of(who)
        if owed.get(workshop, 0) > 0:
            owed[workshop] -= 1
        elif free > 0:
            free -= 1
        else:
            continue
        entering.append(who)
    waiting = tuple(who for who in hall.waiting if who not in entering)
    return replace(hall, waiting=waiting, starting=hall.starting | set(entering)), tuple(entering)


def count_owed(hall: Hall, kept: Mapping[str, int]) -> dict[str, int]:
    """Kept places on which nobody is yet, by workshop."""
    inside = Counter(map(workshop_of, hall.inside)) if kept else Counter[str]()
    return {workshop: max(0, seats - inside[workshop]) for workshop, seats in kept.items()}


def count_free(hall: Hall, bounds: Bounds, memory: Memory, kept: Mapping[str, int]) -> int:
    """How many more seats fit of those for whom no place is kept.

    A workshop of more seats than the machine has must not keep trainers and operators out: one place in ten
    is for others.
    """
    room = count_room(hall, bounds, memory)
    others = sum(workshop_of(who) not in kept for who in hall.inside)
    theirs = (len(hall.inside) + room) // _OTHERS_HAVE_ONE_IN - others
    return max(0, room - sum(count_owed(hall, kept).values()), min(room, theirs))


def count_room(hall: Hall, bounds: Bounds, memory: Memory) -> int:
    """How many more seats fit.

    Those inside are still owed what their seats have not yet taken. An empty hall always has room for one: an
    expectation must not keep everybody out of a machine on which nobody is.
    """
    owed = sum(max(0, memory.seat - memory.taken.get(who, 0)) for who in hall.inside)
    fitting = max(0, memory.free - bounds.reserve - owed) // memory.seat
    allowed = fitting if bounds.seats is None else min(fitting, max(0, bounds.seats - len(hall.inside)))
    return allowed if hall.inside else max(1, allowed)


def learn_seat(peaks: Mapping[str, int], bounds: Bounds) -> int:
    """What a seat takes when it is in use, in bytes: the mean of the highest figures seen.

    The expected figure counts as ten seats, so that the first few idle ones do not promise what a class cannot keep.
    """
    return max(1, (_EXPECTED_COUNTS_AS * bounds.seat + sum(peaks.values())) // (_EXPECTED_COUNTS_AS + len(peaks)))


_EXPECTED_COUNTS_AS = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands: ``place`` from 1, or ``None`` once their server starts; and what is known of the pace.

    At most ``starts`` servers start together, and there is room for ``room`` of those who wait. ``launches`` are the
    last starts in seconds.
    """

    place: int | None
    waiting: int
    starts: int
    room: int
    launches: tuple[float, ...]
    kept: bool = False
    """Whether places are kept for a workshop that is not theirs."""


class Queue:
    """The hub's queue, in its event loop.

    Parameters
    ----------
    bounds : Bounds
    read_memory : callable
        Gives the `Memory` of this moment; asked at each decision, so it must be quick.
    read_kept : callable, optional
        Gives the places that are kept at this moment, by workshop; it must be quick, too.
    on_full : callable, optional
        Called after each decision that leaves somebody waiting though a server could start.
    clock : callable
        Seconds, steadily growing.

    Where asking fails the log says why, and what was known last decides.
    """

    def __init__(
        self,
        bounds: Bounds,
        read_memory: Callable[[], Memory],
        clock: Callable[[], float] = time.monotonic,
        *,
        read_kept: Callable[[], Mapping[str, int]] = lambda: NOBODY,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        self.bounds = bounds
        self.hall = Hall()
        self._read_memory = read_memory
        self._read_kept = read_kept
        self._on_full = on_full
        self._memory = Memory(free=0, seat=max(1, bounds.seat))
        self._kept: Mapping[str, int] = NOBODY
        self._clock = clock
        self._calls: dict[str, asyncio.Future[None]] = {}
        self._began: dict[str, float] = {}
        self._launches: deque[float] = deque(maxlen=_REMEMBERED_STARTS)
        self._room = 1
        self._next_look: asyncio.TimerHandle | None = None

    async def enter(self, who: str) -> None:
        """Wait for one's turn; returns when ``who`` may start a server and holds a place until `leave`.

        Whoever is cancelled here leaves no trace. Whoever comes again while the queue still knows them queues anew.
        """
        self.leave(who)
        call = self._calls[who] = asyncio.get_running_loop().create_future()
        self.hall = arrive(self.hall, who)
        self._look()
        try:
            await call
        except asyncio.CancelledError:
            if self._calls.get(who) is call:
                self.leave(who)
            raise

    def seat(self, who: str) -> None:
        """The server of ``who`` runs already, started by an earlier hub: they hold a place until `leave`."""
        self.leave(who)
        self.hall = replace(self.hall, seated=self.hall.seated | {who})

    def settle(self, who: str) -> None:
        """The server of ``who`` answers: the next may start."""
        if who in self.hall.starting:
            self._launches.append(self._clock() - self._began[who])
            self.hall = settle(self.hall, who)
            self._look()

    def leave(self, who: str) -> None:
        """The place of ``who`` is free, or their turn is given up; nothing happens to whoever is not there."""
        call = self._calls.pop(who, None)
        if call is not None:
            call.cancel()
        self._began.pop(who, None)
        if who in self.hall.waiting or who in self.hall.inside:
            self.hall = leave(self.hall, who)
            self._look()

    def stand(self, who: str) -> Standing:
        """Where somebody stands at this moment."""
        hall = self.hall
        place = hall.waiting.index(who) + 1 if who in hall.waiting else None
        owed = count_owed(hall, self._kept)
        kept = place is not None and any(many for workshop, many in owed.items() if workshop != workshop_of(who))
        return Standing(place, len(hall.waiting), self.bounds.starts, self._room, self._pace(), kept)

    def count_room(self) -> int:
        """How many more seats fit at this moment, those who wait included."""
        self._memory = _ask(self._read_memory, self._memory)
        return count_room(self.hall, self.bounds, self._memory)

    def _pace(self) -> tuple[float, ...]:
        """The last starts; and those under way that take longer than these did, which say that it has become slower."""
        now = self._clock()
        known = tuple(self._launches)
        longest = max(known, default=0.0)
        under_way = (now - began for who, began in self._began.items() if who in self.hall.starting)
        return (*known, *(seconds for seconds in under_way if known and seconds > longest))

    def _look(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if not self.hall.waiting:
            return
        try:
            self._let_in()
        finally:
            if self.hall.waiting:
                # Memory comes free without anybody telling.
                self._next_look = asyncio.get_running_loop().call_later(_LOOK_AGAIN, self._look)

    def _let_in(self) -> None:
        self._memory = _ask(self._read_memory, self._memory)
        self._kept = _ask(self._read_kept, self._kept)
        self.hall, entering = admit(self.hall, self.bounds, self._memory, self._kept)
        self._room = count_free(self.hall, self.bounds, self._memory, self._kept)
        for who in entering:
            self._began[who] = self._clock()
            call = self._calls[who]
            if not call.done():
                call.set_result(None)
        if self.hall.waiting and len(self.hall.starting) < self.bounds.starts:
            self._on_full()


def _ask(read: Callable[[], _Known], known: _Known) -> _Known:
    try:
        return read()
    except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must not wait for ever
        app_log.warning("The queue goes by what it knew last: %r", exc)
        return known
