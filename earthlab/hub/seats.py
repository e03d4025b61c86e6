"""What each seat takes: memory as its share of the machine (PSS) and cores, of all processes of its user.

PSS counts a page that n processes share as one n-th of it for each. Resident memory (RSS) would count the libraries of
a forked kernel anew for every seat, and a class would seem to take several times what it does. The price is that Linux
walks all pages of a process to tell. A process that has touched few new pages since keeps its figure, therefore: see
`needs_reading`.
"""

import asyncio
import math
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from earthlab.hub.parts import Part, classify, read_memory
from earthlab.kernel.process import split_stat

FRESH = 12.0
"""Seconds after which the figures are made anew for who looks at them; with that, none they see is older than 15 s."""
_SHARE = 0.01
"""Of one core, what the figures may cost where nobody looks: Linux walks the pages of a class for seconds."""
_SHARE_IN_HURRY = 0.03
"""The same while people wait for room: a seat that has not been measured is owed all that it may take."""
_PAUSE = 3.0
_SELDOM = 30.0
_WATCHED = 300.0
_FEW_PAGES = 512
_OLD = 120.0
_REMEMBERED_SEATS = 300
_GROWN_UP_AFTER = 600.0
"""Seconds with a kernel after which a seat tells what seats take: a class's have hardly computed when it queues."""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``/proc/<pid>/stat`` says at little cost. ``start`` (ticks since boot) tells it from another of that pid."""

    pid: int
    parent: int
    start: int
    uid: int
    command: str
    ticks: int
    faults: int
    pages: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a seat is: the user's name in the hub, the account's number, and the server's pid while there is one."""

    user: str
    uid: int
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """One user's processes together: bytes of PSS by part, and cores in use."""

    owner: Owner
    memory: Mapping[Part, int] = field(hash=False)
    cores: float
    processes: int

    @property
    def pss(self) -> int:
        """All of its memory, in bytes."""
        return sum(self.memory.values())


@dataclass(frozen=True, slots=True)
class Round:
    """The figures of one moment on the monotonic clock: of each seat, and of what the lab runs for everybody."""

    at: float
    seats: tuple[Seat, ...] = ()
    lab: int = 0
    """Bytes of PSS that belong to no seat: the hub, its services, the template."""
    cost: float = 0.0
    """Seconds of one core that it took to make these figures."""


def parse_stat(text: str, uid: int) -> Stat:
    """What a ``/proc/<pid>/stat`` says, proc_pid_stat(5)."""
    command, words = split_stat(text)
    return Stat(
        pid=int(text.split(maxsplit=1)[0]),
        parent=int(words[1]),
        start=int(words[19]),
        uid=uid,
        command=command,
        ticks=int(words[11]) + int(words[12]),
        faults=int(words[7]) + int(words[9]),
        pages=int(words[21]),
    )


def list_stats() -> dict[int, Stat]:
    """Every process of the machine, by pid."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            # It may end while it is looked at.
            with suppress(OSError):
                text = Path(entry.path, "stat").read_text(errors="replace")
                found[int(entry.name)] = parse_stat(text, entry.stat().st_uid)
    return found


def needs_reading(now: Stat, before: Stat, age: float) -> bool:
    """Whether a process's memory must be read anew, or its figure of ``age`` seconds ago holds to some 2 MiB.

    The first write to a page is a fault, also to one that was shared until then. Sharers come and go without one:
    hence the limit of age.
    """
    touched = abs(now.pages - before.pages) + (now.faults - before.faults)
    return age > _OLD or touched > _FEW_PAGES


def find_owners(stats: Mapping[int, Stat], owners: Sequence[Owner]) -> dict[int, Owner]:
    """Whose each process is, by pid: of the nearest server above it, else of whoever alone has its account."""
    by_server = {owner.pid: owner for owner in owners if owner.pid}
    together = Counter(owner.uid for owner in owners)
    by_account = {owner.uid: owner for owner in owners if together[owner.uid] == 1 and owner.uid != os.getuid()}
    found = {}
    for pid, stat in stats.items():
        server = next((above for above in climb(pid, stats) if above in by_server), None)
        owner = by_server[server] if server is not None else by_account.get(stat.uid)
        if owner:
            found[pid] = owner
    return found


def climb(pid: int, stats: Mapping[int, Stat]) -> Iterator[int]:
    """A process and all it descends from, the nearest first."""
    seen: set[int] = set()
    while pid in stats and pid not in seen:
        seen.add(pid)
        yield pid
        pid = stats[pid].parent


@dataclass(slots=True)
class _Known:
    """What is remembered of one process: when it was last read, and the ticks of the last round."""

    read: Stat
    read_at: float
    pss: int
    part: Part
    command: str
    ticks: int
    cores: float = 0.0


class Meter:
    """Takes the figures of all seats, and remembers just enough to make the next round cheap.

    Parameters
    ----------
    clock : callable
        Seconds, steadily growing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[int, _Known] = {}
        self._at: float | None = None

    def measure(self, owners: Sequence[Owner]) -> Round:
        """One round over all that descends from this process or has an owner. It blocks: call it in a thread."""
        began, at = time.thread_time(), self._clock()
        stats = list_stats()
        whose = find_owners(stats, owners)
        ours = [stat for pid, stat in stats.items() if pid in whose or os.getpid() in climb(pid, stats)]
        found = {stat.pid: self._look_at(stat, at) for stat in ours}
        self._known = {pid: known for pid, known in found.items() if known}
        self._at = at
        return Round(at, *self._sum(owners, whose, stats), cost=time.thread_time() - began)

    def _look_at(self, stat: Stat, at: float) -> _Known | None:
        before = self._known.get(stat.pid)
        if before is None or before.read.start != stat.start:
            return _read(stat, at, _part_of(stat), 0.0)
        seconds = at - self._at if self._at is not None else 0.0
        cores = (stat.ticks - before.ticks) / _TICK / seconds if seconds > 0 else 0.0
        # A copy of the template says only after a moment what it is.
        part = before.part if stat.command == before.command else _part_of(stat)
        if needs_reading(stat, before.read, at - before.read_at):
            return _read(stat, at, part, cores)
        return replace(before, part=part, command=stat.command, ticks=stat.ticks, cores=cores)

    def _sum(
        self, owners: Sequence[Owner], whose: Mapping[int, Owner], stats: Mapping[int, Stat]
    ) -> tuple[tuple[Seat, ...], int]:
        own: dict[Owner | None, list[int]] = {owner: [] for owner in owners}
        for pid in self._known:
            own.setdefault(whose.get(pid), []).append(pid)
        lab = sum(self._known[pid].pss for pid in own.get(None, ()))
        return tuple(self._seat(owner, own[owner], stats) for owner in owners), lab

    def _seat(self, owner: Owner, pids: Sequence[int], stats: Mapping[int, Stat]) -> Seat:
        memory: Counter[Part] = Counter()
        for pid in pids:
            memory[self._part(pid, pids, stats)] += self._known[pid].pss
        return Seat(owner, dict(memory), sum(self._known[pid].cores for pid in pids), len(pids))

    def _part(self, pid: int, among: Sequence[int], stats: Mapping[int, Stat]) -> Part:
        """What a process is: one that says nothing of itself belongs to what started it."""
        parts = (self._known[above].part for above in climb(pid, stats) if above in among)
        return next((part for part in parts if part != "other"), "other")


def _read(stat: Stat, at: float, part: Part, cores: float) -> _Known | None:
    memory = read_memory(stat.pid)
    return _Known(stat, at, memory.pss, part, stat.command, stat.ticks, cores) if memory else None


def _part_of(stat: Stat) -> Part:
    try:
        arguments = Path(f"/proc/{stat.pid}/cmdline").read_bytes()
    except OSError:
        return "other"
    return classify(stat.command, arguments)


class Watch:
    """The figures of the hub's seats, kept fresh in a thread for as long as somebody asks for them.

    Parameters
    ----------
    list_owners : callable
        Whose seats there are at this moment.
    meter : Meter
    """

    def __init__(self, list_owners: Callable[[], Sequence[Owner]], meter: Meter | None = None) -> None:
        self._list_owners = list_owners
        self._meter = meter or Meter()
        self._last = Round(-math.inf)
        self._asked = -math.inf
        self._round: asyncio.Task[Round] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._peaks: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._hurry = asyncio.Event()

    @property
    def peaks(self) -> Mapping[str, int]:
        """The most memory that each seat long in use has been seen to take, in bytes; of the last few hundred seats."""
        grown_up = self._last.at - _GROWN_UP_AFTER
        return {user: peak for user, (since, peak) in self._peaks.items() if since <= grown_up}

    def latest(self) -> Round:
        """The figures at hand, at once; and have them made anew every few seconds from now on, for some minutes."""
        self._asked = time.monotonic()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._go_on())
        return self._last

    def hurry(self) -> None:
        """Have the next figures made sooner: somebody waits for what they will say."""
        self._hurry.set()

    async def fresh(self) -> Round:
        """Figures of everybody who is in, none older than 15 seconds."""
        found = self.latest()
        # A round that is under way may have begun before the last of them came: then one more.
        for _ in range(2):
            known = {seat.owner for seat in found.seats} == set(self._list_owners())
            if known and time.monotonic() - found.at <= FRESH:
                break
            found = await self._measure()
        return found

    async def _go_on(self) -> None:
        while time.monotonic() - self._asked < _WATCHED:
            self._hurry.clear()
            cost = (await self._measure()).cost
            soon = min(FRESH, max(_PAUSE, cost / _SHARE_IN_HURRY))
            await asyncio.sleep(soon)
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_SELDOM, max(soon, cost / _SHARE)) - soon):
                    await self._hurry.wait()

    async def _measure(self) -> Round:
        # Who asks while a round is made waits for the same one.
        if self._round is None or self._round.done():
            self._round = asyncio.get_running_loop().create_task(self._make_round())
        return await asyncio.shield(self._round)

    async def _make_round(self) -> Round:
        self._last = await asyncio.to_thread(self._meter.measure, tuple(self._list_owners()))
        for seat in self._last.seats:
            self._note_peak(seat, self._last.at)
        return self._last

    def _note_peak(self, seat: Seat, now: float) -> None:
        if "kernel" in seat.memory:
            user = seat.owner.user
            since, peak = self._peaks.pop(user, (now, 0))
            self._peaks[user] = (since, max(seat.pss, peak))
            if len(self._peaks) > _REMEMBERED_SEATS:
                self._peaks.popitem(last=False)
