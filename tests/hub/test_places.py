"""The queue inside a real hub: who waits is told, nobody is turned away, everybody enters; and who sees the figures."""

import asyncio
import logging
import pwd
import re
import time
from contextlib import AsyncExitStack, aclosing
from functools import partial
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy.exc import OperationalError

from earthlab.errors import SetupError
from earthlab.hub.accounts import account_name
from earthlab.hub.admission import Bounds
from earthlab.hub.places import (
    KeptPlaces,
    Places,
    SeatCollector,
    describe_wait,
    group_memory,
    hub_places,
    overlook,
    plan_bounds,
)
from earthlab.hub.seats import Owner, Round, Seat
from earthlab.settings import load_settings
from tests.hub.small_hub import OPERATOR, small_hub
from tests.patience import PATIENCE, eventually_async

MB = 10**6
BOUNDS = Bounds(starts=2, seats=None, reserve=0, seat=100 * MB)


async def follow(visitor, page, events=None):
    """The events of a waiting page and when the last one came; a page that is not one has none."""
    events = [] if events is None else events
    if "spawn-pending" in str(page.url):
        async for event in visitor.events(page):
            events.append(event)
    return events, time.monotonic()


def has_account(hub, user):
    """Whether a user was let in: accounts are made after the queue."""
    name = account_name(user, hub.layout.lab_id)
    return any(entry.pw_name == name for entry in pwd.getpwall())


async def stand_in_line(hub, stack, names):
    """One after the other, while nobody's server answers: each is seen in the queue before the next comes."""
    visitors, followed = [], []
    for place, name in enumerate(names):
        visitor = await stack.enter_async_context(hub.visitor(name))
        events = []
        followed.append(asyncio.create_task(follow(visitor, await visitor.come(), events)))
        visitors.append(visitor)
        if place:
            told = await eventually_async(lambda events=events: [e["place"] for e in events if "place" in e])
            assert told[0] == place
        else:
            await eventually_async(partial(has_account, hub, name))
    return visitors, followed


def open_a_page(hub, user):
    """Have a user's server say that a page is connected to a kernel."""
    (hub.layout.homes / account_name(user, hub.layout.lab_id) / "page").touch()


@pytest.mark.lab
async def test_a_class_enters_in_order_and_nobody_is_turned_away():
    words = {"HUB__CONCURRENT_STARTS": "1", "HUB__SEATS": "4"}
    async with AsyncExitStack() as stack:
        hub = stack.enter_context(small_hub(launch=0.0, words=words))
        with hub.held_starts():
            visitors, followed = await stand_in_line(hub, stack, [f"u{n}" for n in range(6)])
        inside = [await asyncio.wait_for(task, PATIENCE) for task in followed[:4]]
        moments = [moment for _, moment in inside]
        assert moments == sorted(moments)
        assert all(events[-1].get("ready") is True for events, _ in inside), hub.log[-3000:]
        places = [event["place"] for event in inside[3][0] if "place" in event]
        assert places == sorted(places, reverse=True)
        assert places[0] == 3

        # Four are in, which is all that there may be: the others are told so, and that nobody knows when.
        async with aclosing(visitors[4].events(await visitors[4].get("/hub/spawn-pending/u4"))) as events:
            said = await anext(event async for event in events if event.get("stage") == "full")
        assert said["place"] == 1
        assert not followed[4].done()
        assert not followed[5].done()

        # Whoever gives up leaves no trace, and whoever stops makes room for the next.
        assert (await visitors[4].call("DELETE", "users/u4/server")).status_code in {202, 204}
        assert (await visitors[0].call("DELETE", "users/u0/server")).status_code in {202, 204}
        entered, _ = await asyncio.wait_for(followed[5], PATIENCE)
        assert entered[-1].get("ready") is True, (entered, hub.log[-3000:])
        abandoned, _ = await asyncio.wait_for(followed[4], PATIENCE)
        assert abandoned[-1].get("failed") is True, hub.log

        # A script is told to be patient, as JupyterHub does, and not to come back later.
        assert (await visitors[0].call("POST", "users/u0/server")).status_code == 202
        assert not [status for visitor in visitors for status in visitor.seen if status >= 400]
        assert not re.search(r"Uncaught exception|Unhandled error", hub.log)
        assert " 429 " not in hub.log


@pytest.mark.lab
async def test_waiting_for_a_place_does_not_count_in_the_time_out_of_a_start():
    async with AsyncExitStack() as stack:
        hub = stack.enter_context(small_hub(launch=0.0, start_timeout=15, words={"HUB__SEATS": "1"}))
        amina, bruno = [await stack.enter_async_context(hub.visitor(name)) for name in ("amina", "bruno")]
        await follow(amina, await amina.come())
        waiting = asyncio.create_task(follow(bruno, await bruno.come()))
        await asyncio.sleep(16)
        assert not waiting.done()
        assert (await amina.call("DELETE", "users/amina/server")).status_code in {202, 204}
        entered, _ = await asyncio.wait_for(waiting, PATIENCE)
        assert entered[-1].get("ready") is True, hub.log[-3000:]


@pytest.mark.lab
async def test_a_seat_that_somebody_has_left_goes_to_whoever_waits_and_one_with_an_open_page_does_not():
    words = {"HUB__SEATS": "2", "HUB__LEFT_MINUTES": "0.05"}
    async with AsyncExitStack() as stack:
        hub = stack.enter_context(small_hub(launch=0.0, words=words))
        amina, bruno, chloe = [
            await stack.enter_async_context(hub.visitor(name)) for name in ("amina", "bruno", "chloe")
        ]
        for visitor in (amina, bruno):
            await follow(visitor, await visitor.come())
        open_a_page(hub, "bruno")
        events, _ = await asyncio.wait_for(follow(chloe, await chloe.come()), PATIENCE)
        assert any(event.get("stage") == "full" for event in events)
        assert events[-1].get("ready") is True, hub.log[-2000:]
        assert (await amina.call("GET", "users/amina")).json()["server"] is None
        assert (await bruno.call("GET", "users/bruno")).json()["server"]
        assert "The seat of amina goes to somebody who waits" in hub.log
        assert not re.search(r"Uncaught exception|Unhandled error|never retrieved", hub.log)

        # Whoever left is not turned away either: the place of whoever left meanwhile is theirs.
        back, _ = await asyncio.wait_for(follow(amina, await amina.get("/hub/spawn")), PATIENCE)
        assert back[-1].get("ready") is True


@pytest.mark.lab
async def test_figures_are_for_the_operator_and_metrics_name_nobody():
    async with AsyncExitStack() as stack:
        hub = stack.enter_context(small_hub(launch=0.0))
        people = [await stack.enter_async_context(hub.visitor(name)) for name in (OPERATOR, "amina", "stranger")]
        operator, amina, stranger = people
        for visitor in (operator, amina):
            events, _ = await follow(visitor, await visitor.come())
            assert not any(event.get("failed") for event in events)
        assert "login" in str((await stranger.get("/hub/places")).url)
        assert (await stranger.get("/hub/metrics")).status_code == 403
        for path in ("/hub/places", "/hub/metrics", "/hub/api/metrics"):
            assert (await amina.get(path)).status_code == 403
        page = await operator.get("/hub/places")
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert set(re.findall(r'<tr data-name="([^"]+)" data-memory="\d{7,}"', page.text)) == {OPERATOR, "amina"}
        metrics = (await operator.get("/hub/metrics")).text
        assert 'earthlab_places{stage="seated"} 2.0' in metrics
        seats = set(re.findall(r'earthlab_seat_cores\{seat="([^"]+)"\}', metrics))
        assert seats
        assert all(seat.isdigit() for seat in seats)
        assert "amina" not in metrics


def test_starts_fit_the_cores_unless_they_are_set():
    assert plan_bounds(load_settings(environ={}, files=()), 4).starts == 12
    assert plan_bounds(load_settings({"hub.concurrent_starts": 7, "hub.seats": 30}, environ={}, files=()), 4) == Bounds(
        starts=7, seats=30, reserve=2**30, seat=200 * 2**20
    )


@pytest.mark.parametrize("name", ["hub.reserve", "hub.seat_memory"])
def test_an_amount_that_is_none_is_refused_by_name(name):
    with pytest.raises(SetupError, match=name.replace(".", r"\.")):
        plan_bounds(load_settings({name: "much"}, environ={}, files=()), 4)


def spawner(name, uid=1000):
    user, account = SimpleNamespace(name=name), SimpleNamespace(uid=uid)
    db = SimpleNamespace(commit=lambda: None)
    return SimpleNamespace(user=user, name="", account=account, pid=0, server=None, db=db)


async def start(places, who, *, until=None, fails=False):
    """What JupyterHub does around its hooks: one task from the hook to the server's first answer."""

    async def launch():
        await places.let_in(who, asyncio.current_task())
        if until:
            await until.wait()
        if fails:
            raise RuntimeError("no such program")

    task = asyncio.create_task(launch())
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_start_that_fails_gives_the_place_to_the_next():
    places = Places(Bounds(1, None, 0, MB), lambda: 10**10)
    answer = asyncio.Event()
    first = await start(places, spawner("amina"), until=answer, fails=True)
    second = await start(places, spawner("bruno"))
    assert places.queue.hall.waiting == ("bruno/",)
    answer.set()
    with pytest.raises(RuntimeError):
        await first
    await second
    await asyncio.sleep(0)
    assert places.queue.hall.inside == {"bruno/"}
    assert [owner.user for owner in places.list_owners()] == ["bruno"]


async def test_a_start_that_is_given_up_while_it_runs_holds_no_place():
    places = Places(Bounds(1, None, 0, MB), lambda: 10**10)
    first = await start(places, spawner("amina"), until=asyncio.Event())
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.sleep(0)
    assert not places.queue.hall.inside
    assert not places.list_owners()


class Database:
    """One that is away for the first asks."""

    def __init__(self, times):
        self.times, self.rolled_back = times, 0

    def execute(self, _):
        self.times -= 1
        if self.times >= 0:
            raise OperationalError("SELECT 1", {}, ConnectionError("refused"))

    def rollback(self):
        self.rolled_back += 1


async def test_what_is_left_of_a_start_during_which_the_database_went_is_stopped_once_it_is_back(monkeypatch, caplog):
    monkeypatch.setattr("earthlab.hub.absence._LOOK_EVERY", 0.01)
    places, who, stopped = Places(Bounds(1, None, 0, MB), lambda: 10**10), spawner("amina"), asyncio.Event()

    async def stop(name):
        stopped.set()
        raise OperationalError("UPDATE", {}, ConnectionError("refused"))

    who.db, who.log, who.user = Database(2), logging.getLogger("spawner"), SimpleNamespace(name="amina", stop=stop)

    async def launch():
        await places.let_in(who, asyncio.current_task())
        del who.user.name  # of a user whose database is away nothing can be asked
        raise OperationalError("UPDATE", {}, ConnectionError("refused"))

    with pytest.raises(OperationalError):
        await asyncio.create_task(launch())
    await asyncio.wait_for(stopped.wait(), PATIENCE)
    await asyncio.sleep(0)
    assert who.db.rolled_back == 2
    assert not places.queue.hall.inside
    assert "The start of amina/ failed as the database was away" in caplog.text
    assert "would not stop" in caplog.text


async def test_whoever_has_no_account_yet_owns_nothing():
    places = Places(BOUNDS, lambda: 10**10)
    new = spawner("amina")
    new.account = None
    await (await start(places, new))
    assert places.list_owners() == []


async def test_the_waiting_page_is_told_of_each_change_once(bare_environment, monkeypatch):
    monkeypatch.setattr("earthlab.hub.places._TELL_EVERY", 0.01)
    monkeypatch.setenv("EARTHLAB__HUB__CONCURRENT_STARTS", "1")
    hub_places.cache_clear()
    places = hub_places()
    answer = asyncio.Event()
    await start(places, spawner("amina"), until=answer)
    await start(places, spawner("bruno"))
    told = describe_wait(spawner("bruno"))
    assert (await anext(told))["place"] == 1
    following = asyncio.ensure_future(anext(told))
    await asyncio.sleep(0.05)
    assert not following.done()
    answer.set()
    assert (await following)["stage"] == "starting"
    hub_places.cache_clear()


class Refusing:
    """A user's server that cannot be stopped."""

    name, ready, server, log = "", True, None, logging.getLogger("refusing")

    def __init__(self, user):
        self.user = SimpleNamespace(name=user, settings={"proxy": self})

    async def delete_user(self, user, name):
        raise RuntimeError(f"the proxy of {user.name}'s server {name!r} is away")


async def test_a_left_seat_that_went_by_itself_or_would_not_go_does_not_hold_up_those_who_wait(caplog):
    places = Places(BOUNDS, lambda: 10**10)
    await places._end("gone/")
    places._spawners["amina/"] = Refusing("amina")
    await places._end("amina/")
    assert "The seat of amina would not be given up" in caplog.text
    assert "is away" in caplog.text


async def test_a_look_for_left_seats_that_fails_is_followed_by_the_next(monkeypatch, caplog):
    looks = []

    def look(at):
        looks.append(at)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("earthlab.hub.places.look", look)
    places = Places(BOUNDS, lambda: 10**10, left_after=0.04)
    await (await start(places, spawner("amina")))
    await eventually_async(lambda: len(looks) > 2)
    places._spawners.clear()
    await places._looking
    assert "could not be seen who has left" in caplog.text


def test_a_book_of_passes_that_cannot_be_read_now_is_not_asked_by_everybody_who_arrives():
    asked, now = [], [0.0]

    def held(_beforehand):
        asked.append(now[0])
        if len(asked) == 1:
            raise TimeoutError
        return {"neige": 3}

    kept = KeptPlaces(SimpleNamespace(held=held), clock=lambda: now[0])
    with pytest.raises(TimeoutError):
        kept.read()
    assert kept.read() == {}
    now[0] = 60.0
    assert kept.read() == {"neige": 3}
    assert asked == [0.0, 60.0]


def figures(*seats):
    return lambda owners: Round(time.monotonic(), seats, lab=300 * MB, cost=0.01)


AMINA = Seat(Owner("amina", 1007, 1), {"server": 40 * MB, "parked": 10 * MB, "kernel": 60 * MB}, 0.5, 3)
BRUNO = Seat(Owner("bruno", 1008, 2), {"server": 45 * MB, "worker": 500 * MB, "scheduler": 80 * MB}, 1.25, 4)


async def test_the_overview_sums_what_the_seats_take_and_says_what_would_fit(monkeypatch):
    monkeypatch.setattr("earthlab.hub.seats._GROWN_UP_AFTER", 0.0)
    places = Places(BOUNDS, lambda: 1000 * MB)
    for who in ("amina", "bruno"):
        await (await start(places, spawner(who)))
    monkeypatch.setattr(places.watch._meter, "measure", figures(AMINA, BRUNO))
    it = await overlook(places)
    assert [row.owner.user for row in it.rows] == ["bruno", "amina"]
    assert (it.taken, it.lab, it.busy, it.most, it.processes) == (735 * MB, 300 * MB, 1.75, 625 * MB, 7)
    assert (it.inside, it.starting, it.waiting, it.seat) == (2, 0, 0, (1000 + 110) * MB // 11)
    assert it.room == 1000 * MB // it.seat
    assert group_memory(AMINA) == {"server": 40 * MB, "kernels": 70 * MB, "workers": 0, "other": 0}
    assert group_memory(BRUNO)["workers"] == 580 * MB


@pytest.mark.parametrize(("names", "label"), [(False, "1007"), (True, "amina")])
async def test_metrics_are_by_account_unless_names_are_wanted(monkeypatch, names, label):
    places = Places(BOUNDS, lambda: 1000 * MB)
    monkeypatch.setattr(places.watch._meter, "measure", figures(AMINA, BRUNO))
    registry = CollectorRegistry()
    registry.register(SeatCollector(places, names=names))
    await places.watch.fresh()
    said = generate_latest(registry).decode()
    assert f'earthlab_seat_memory_bytes{{part="kernels",seat="{label}"}} 7e+07' in said
    assert "earthlab_lab_memory_bytes 3e+08" in said
    assert ("amina" in said) is names


async def test_those_who_share_an_account_are_one_number_in_the_metrics(monkeypatch):
    together = [Seat(Owner(name, 33, n), {"server": 40 * MB}, 0.25, 1) for n, name in enumerate(("a", "b"))]
    places = Places(BOUNDS, lambda: 1000 * MB)
    monkeypatch.setattr(places.watch._meter, "measure", figures(*together))
    await places.watch.fresh()
    found = {metric.name: metric.samples for metric in SeatCollector(places, names=False).collect()}
    assert [(s.labels, s.value) for s in found["earthlab_seat_cores"]] == [({"seat": "33"}, 0.5)]
