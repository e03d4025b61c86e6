"""The places of this hub: its one queue, what JupyterHub asks of it, and what the operator sees of it.

JupyterHub applies a spawner's ``start_timeout`` to all of `Spawner.start`, and awaits the hook before it without any
limit. So the queue is that hook, and the time-out counts the launch alone.
"""

import asyncio
import math
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from tornado.log import app_log
from tornado.web import authenticated

from earthlab.hub.absence import wait_for_database
from earthlab.hub.admission import NOBODY, Bounds, Memory, Queue, learn_seat
from earthlab.hub.layout import resolve_layout
from earthlab.hub.leaving import Attendance, has_no_page, look
from earthlab.hub.memory import read_free_memory
from earthlab.hub.parts import Part
from earthlab.hub.passes import PassStore
from earthlab.hub.seats import Owner, Seat, Watch
from earthlab.hub.waiting import render_standing
from earthlab.kernel.tcp import read_listeners
from earthlab.settings import Settings, load_settings, parse_bytes

PLACES = "places"

_STARTS_PER_CORE = 3
"""A start waits for its disk and for answers half of its time."""
_CLUSTER_CORES = 16
"""Cores that starts of pods are taken to share, where ``hub.concurrent_starts`` does not say: some 50 at a time."""

_TELL_EVERY = 1.0

_BEFOREHAND = 900.0
"""Seconds before a workshop opens from which on its places are kept: who is in stays, who comes waits."""

_KEPT_FOR = 5.0

_LOOK_AROUND_EVERY, _LOOK_AT_LEISURE_EVERY = 20.0, 60.0
"""Seconds between two looks for seats that people have left, while somebody waits for one and while nobody does."""

_GROUPS: dict[str, tuple[Part, ...]] = {
    "server": ("server",),
    "kernels": ("kernel", "parked", "nursery"),
    "workers": ("worker", "scheduler"),
    "other": ("other",),
}


def plan_bounds(settings: Settings, cores: int) -> Bounds:
    """How many servers may start together, and how many there may be, on a machine of so many cores.

    Raises
    ------
    SetupError
        Where an amount of memory cannot be understood.
    """
    hub = settings.hub
    return Bounds(
        starts=hub.concurrent_starts if hub.concurrent_starts > 0 else _STARTS_PER_CORE * cores,
        seats=hub.seats if hub.seats > 0 else None,
        reserve=parse_bytes(hub.reserve, "hub.reserve"),
        seat=max(1, parse_bytes(hub.seat_memory, "hub.seat_memory")),
    )


class Places:
    """Queue, seats and their figures together.

    Parameters
    ----------
    bounds : Bounds
    read_free : callable
        Bytes of memory that are free at this moment.
    left_after : float
        Seconds without anybody after which a seat goes to whoever waits for one; infinity for never.
    read_kept : callable
        Places that are kept at this moment, by workshop.
    """

    def __init__(
        self,
        bounds: Bounds,
        read_free: Callable[[], int] = read_free_memory,
        *,
        left_after: float = math.inf,
        read_kept: Callable[[], Mapping[str, int]] = lambda: NOBODY,
    ) -> None:
        self.watch = Watch(self.list_owners)
        self.queue = Queue(bounds, self.read_memory, read_kept=read_kept, on_full=self.watch.hurry)
        self.attendance = Attendance()
        self._read_free = read_free
        self._left_after = left_after
        self._spawners: dict[str, Any] = {}
        self._looking: asyncio.Task[None] | None = None
        self._mending: set[asyncio.Task[None]] = set()

    async def let_in(self, spawner: Any, start: asyncio.Task[Any]) -> None:
        """Wait until a spawner may start its server; its place is given up when the start, a task, fails."""
        who = name_of(spawner)
        self._keep_looking()
        try:
            await self.queue.enter(who)
        except asyncio.CancelledError:
            # JupyterHub takes a server that has an address and no longer starts for one that runs; and it undoes what
            # is not written down whenever any request ends.
            spawner.server = None
            spawner.db.commit()
            raise
        self._spawners[who] = spawner

        def note_end(ended: asyncio.Task[Any]) -> None:
            if not ended.cancelled() and ended.exception() is None:
                self.queue.settle(who)
                return
            # By the name of before: of a user whose database is away nothing can be asked.
            self._give_up(who)
            if not ended.cancelled() and isinstance(ended.exception(), SQLAlchemyError):
                self._mending.add(mending := asyncio.get_running_loop().create_task(_stop_half_started(spawner, who)))
                mending.add_done_callback(self._mending.discard)

        start.add_done_callback(note_end)

    def take_up(self, spawner: Any) -> None:
        """A spawner has found the server that it had started for an earlier hub: it holds its place."""
        who = name_of(spawner)
        self._keep_looking()
        self._spawners[who] = spawner
        self.queue.seat(who)

    def _keep_looking(self) -> None:
        if self._left_after < math.inf and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look_around())

    def give_up(self, spawner: Any) -> None:
        """Nobody holds a place for this spawner any longer."""
        self._give_up(name_of(spawner))

    def _give_up(self, who: str) -> None:
        self._spawners.pop(who, None)
        self.queue.leave(who)

    async def _look_around(self) -> None:
        """For as long as anybody is in: where somebody waits and no seat is free, have those go that people left."""
        while self._spawners or self.queue.hall.waiting:
            try:
                await self._look_once()
            except Exception:  # noqa: BLE001 - whatever it is, it is logged
                # The next look tries again: where this one stopped, nobody who waits would get a seat that is left.
                app_log.exception("It could not be seen who has left a seat.")
            every = _LOOK_AROUND_EVERY if self.queue.hall.waiting else _LOOK_AT_LEISURE_EVERY
            await asyncio.sleep(min(every, self._left_after / 4))

    async def _look_once(self) -> None:
        sight = await asyncio.to_thread(look, time.monotonic())
        listeners = await asyncio.to_thread(read_listeners)
        ready = {who: each for who, each in self._spawners.items() if each.account and each.server and each.ready}
        quiet = self.attendance.quiet(sight, {who: each.account.uid for who, each in ready.items()})
        asked = sorted(who for who in quiet if ready[who].holds_port(listeners))
        empty = await asyncio.gather(*(has_no_page(ready[who].server.url, ready[who].api_token) for who in asked))
        self.attendance.note(sight.at, [who for who, nobody in zip(asked, empty, strict=True) if nobody])
        waiting = len(self.queue.hall.waiting)
        if waiting and not self.queue.count_room():
            for who in self.attendance.left(sight.at, self._left_after)[:waiting]:
                await self._end(who)

    async def _end(self, who: str) -> None:
        spawner = self._spawners.get(who)
        if spawner is None or not spawner.ready:
            # It went by itself while others before it were ended.
            return
        spawner.log.info("The seat of %s goes to somebody who waits: nobody has been there.", spawner.user.name)
        try:
            # As the hub's own pages do it.
            await spawner.user.settings["proxy"].delete_user(spawner.user, spawner.name)
            await spawner.user.stop(spawner.name)
        except Exception:
            # The next look tries again; those who wait must not wait for this one alone.
            spawner.log.exception("The seat of %s would not be given up.", spawner.user.name)

    def list_owners(self) -> list[Owner]:
        """Those who are in, as far as they have an account yet."""
        return [
            Owner(spawner.user.name, spawner.account.uid, spawner.pid or None)
            for spawner in self._spawners.values()
            if spawner.account
        ]

    def read_memory(self) -> Memory:
        """What the queue decides by: the seats' figures are some seconds old, free memory is of this moment."""
        taken = {seat.owner.user: seat.pss for seat in self.watch.latest().seats}
        by_name = {who: taken.get(spawner.user.name, 0) for who, spawner in self._spawners.items()}
        return Memory(self._read_free(), learn_seat(self.watch.peaks, self.queue.bounds), by_name)


async def _stop_half_started(spawner: Any, who: str) -> None:
    """After a start during which the database went away: JupyterHub has a server that it neither leads to nor ends."""
    await wait_for_database(spawner)
    spawner.log.warning("The start of %s failed as the database was away: what is left of it is stopped.", who)
    try:
        await spawner.user.stop(spawner.name)
    except Exception:
        spawner.log.exception("What is left of the start of %s would not stop.", who)


@cache
def hub_places() -> Places:
    """The places of the hub that this process is."""
    settings = load_settings()
    minutes = settings.hub.left_minutes
    kept = KeptPlaces(PassStore(resolve_layout(settings).passes))
    if settings.kubernetes.enabled:
        # The cluster's scheduler knows what fits; servers that nobody uses are the culler's.
        return Places(plan_bounds(settings, _CLUSTER_CORES), lambda: sys.maxsize, read_kept=kept.read)
    bounds = plan_bounds(settings, len(os.sched_getaffinity(0)))
    return Places(bounds, left_after=60 * minutes if minutes > 0 else math.inf, read_kept=kept.read)


@dataclass(slots=True)
class KeptPlaces:
    """The places that workshops have at this moment, as the passes know them, at most `_KEPT_FOR` seconds old."""

    passes: PassStore
    clock: Callable[[], float] = time.monotonic
    _known: Mapping[str, int] = field(default_factory=dict)
    _until: float = -math.inf

    def read(self) -> Mapping[str, int]:
        """Seats by workshop, from `_BEFOREHAND` seconds before it opens until it ends."""
        if self.clock() >= self._until:
            # Also where the book cannot be read now: who asks next must not wait for it as well.
            self._until = self.clock() + _KEPT_FOR
            self._known = self.passes.held(_BEFOREHAND)
        return self._known


def name_of(spawner: Any) -> str:
    """By what name the queue knows a server."""
    return f"{spawner.user.name}/{spawner.name}"


def wait_for_place(spawner: Any) -> Awaitable[None]:
    """JupyterHub's ``pre_spawn_hook``: called by the very task that starts the server, from beginning to end."""
    start = asyncio.current_task()
    assert start is not None
    return hub_places().let_in(spawner, start)


def keep_place(spawner: Any) -> None:
    """For a spawner that has found its server running."""
    hub_places().take_up(spawner)


def give_up_place(spawner: Any) -> None:
    """JupyterHub's ``post_stop_hook``: called however a server ended."""
    hub_places().give_up(spawner)


def holds_place(spawner: Any) -> bool:
    """Whether a spawner's server starts or runs: it waits for nobody any longer."""
    return name_of(spawner) in hub_places().queue.hall.inside


async def describe_wait(spawner: Any, *, until: Callable[[], bool] = lambda: False) -> AsyncIterator[dict[str, Any]]:
    """The events of `Spawner.progress`: the place in the queue and an estimate, whenever they change."""
    queue, who, told = hub_places().queue, name_of(spawner), None
    while not until():
        event = render_standing(queue.stand(who))
        if event != told:
            yield event
            told = event
        await asyncio.sleep(_TELL_EVERY)


@dataclass(frozen=True, slots=True)
class Overview:
    """What the operator's page says; memory in bytes."""

    rows: tuple[Seat, ...]
    """By what they take, the most first."""
    lab: int
    free: int
    seat: int
    room: int
    inside: int
    starting: int
    waiting: int
    cores: int

    @property
    def taken(self) -> int:
        """All seats together."""
        return sum(row.pss for row in self.rows)

    @property
    def most(self) -> int:
        """What the largest seat takes."""
        return max((row.pss for row in self.rows), default=0)

    @property
    def busy(self) -> float:
        """Cores that all seats use together."""
        return sum(row.cores for row in self.rows)

    @property
    def processes(self) -> int:
        """Processes of all seats."""
        return sum(row.processes for row in self.rows)


async def overlook(places: Places) -> Overview:
    """The overview of this moment; no figure in it is older than 15 seconds."""
    figures = await places.watch.fresh()
    memory, hall = places.read_memory(), places.queue.hall
    return Overview(
        rows=tuple(sorted(figures.seats, key=lambda seat: -seat.pss)),
        lab=figures.lab,
        free=memory.free,
        seat=memory.seat,
        room=max(0, places.queue.count_room() - len(hall.waiting)),
        inside=len(hall.inside),
        starting=len(hall.starting),
        waiting=len(hall.waiting),
        cores=len(os.sched_getaffinity(0)),
    )


def group_memory(seat: Seat) -> dict[str, int]:
    """A seat's memory in bytes by what people know: server, kernels, workers, anything else."""
    return {name: sum(seat.memory.get(part, 0) for part in parts) for name, parts in _GROUPS.items()}


class PlacesHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``GET /hub/places``: every seat's memory and cores, for the operator."""

    @authenticated
    @needs_scope("admin-ui")  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """The page."""
        overview = await overlook(hub_places())
        self.set_header("Cache-Control", "no-store")
        self.finish(await self.render_template("places.html", it=overview, group_memory=group_memory))


class SeatCollector(Collector):
    """The seats as metrics of the hub, which JupyterHub shows at ``/hub/metrics`` to whoever has ``read:metrics``.

    Parameters
    ----------
    places : Places
    names : bool
        Whether the label ``seat`` is the user's name instead of the number of the Unix account.
    """

    def __init__(self, places: Places, *, names: bool) -> None:
        self._places = places
        self._names = names

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would otherwise collect when it is told of us."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The figures at hand, not older than 15 seconds from the second time on that somebody asks within minutes."""
        figures, hall = self._places.watch.latest(), self._places.queue.hall
        memory = GaugeMetricFamily(
            "earthlab_seat_memory_bytes", "Proportional set size of a seat's processes.", labels=["seat", "part"]
        )
        cores = GaugeMetricFamily("earthlab_seat_cores", "Cores that a seat uses.", labels=["seat"])
        for name, seats in self._by_name(figures.seats).items():
            for part in _GROUPS:
                memory.add_metric([name, part], sum(group_memory(seat)[part] for seat in seats))
            cores.add_metric([name], sum(seat.cores for seat in seats))
        yield memory
        yield cores
        people = GaugeMetricFamily("earthlab_places", "Who waits, whose server starts, who is in.", labels=["stage"])
        for stage, who in (("waiting", hall.waiting), ("starting", hall.starting), ("seated", hall.seated)):
            people.add_metric([stage], len(who))
        yield people
        yield GaugeMetricFamily(
            "earthlab_lab_memory_bytes", "Proportional set size of what the lab runs for everybody.", value=figures.lab
        )
        yield GaugeMetricFamily(
            "earthlab_places_room", "Seats that would still fit.", value=self._places.queue.count_room()
        )

    def _by_name(self, seats: Iterable[Seat]) -> dict[str, list[Seat]]:
        # Where people share an account there is one number for all of them.
        found: dict[str, list[Seat]] = {}
        for seat in seats:
            found.setdefault(seat.owner.user if self._names else str(seat.owner.uid), []).append(seat)
        return found


@cache
def publish_metrics() -> SeatCollector:
    """Have this process's metrics tell of the seats; once, however often it is called."""
    collector = SeatCollector(hub_places(), names=load_settings().hub.metrics_names)
    REGISTRY.register(collector)
    return collector
