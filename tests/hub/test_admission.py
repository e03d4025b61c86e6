"""The queue's promises, for all orders of events that hypothesis can think of; and its edge in a real event loop."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tornado.log import app_log

from earthlab.hub.admission import (
    Bounds,
    Hall,
    Memory,
    Queue,
    admit,
    arrive,
    count_free,
    count_room,
    learn_seat,
    leave,
    settle,
)
from tests.patience import PATIENCE, eventually_async

MB = 10**6
AMPLE = Memory(free=10**13, seat=MB)


class Lab(RuleBasedStateMachine):
    """People come, wait, give up, enter, work and go, while memory rises and falls."""

    @initialize(starts=st.integers(1, 4), seats=st.none() | st.integers(1, 6), reserve=st.integers(0, 5))
    def open(self, starts, seats, reserve):
        self.bounds = Bounds(starts, seats, reserve * MB, 2 * MB)
        self.hall = Hall()
        self.arrived = []
        self.entered = []
        self.memory = Memory(free=20 * MB, seat=2 * MB)
        self.count = 0

    @rule(free=st.integers(0, 40), seat=st.integers(1, 4), taken=st.integers(0, 6))
    def memory_changes(self, free, seat, taken):
        self.memory = Memory(free * MB, seat * MB, dict.fromkeys(self.hall.inside, taken * MB))

    @rule()
    def somebody_comes(self):
        self.count += 1
        self.arrived.append(f"u{self.count}")
        self.hall = arrive(self.hall, f"u{self.count}")

    @rule()
    def the_queue_is_looked_at(self):
        before = self.hall
        self.hall, entering = admit(before, self.bounds, self.memory)
        assert entering == before.waiting[: len(entering)], "somebody was overtaken"
        assert len(entering) <= count_room(before, self.bounds, self.memory)
        self.entered += entering
        one_by_one = before
        for _ in entering:
            one_by_one, entered = admit(one_by_one, Bounds(len(one_by_one.starting) + 1, *self._rest()), self.memory)
            assert len(entered) == 1
        assert one_by_one == self.hall, "a group enters as its members one by one"
        if self.hall.waiting:
            full = len(self.hall.starting) >= self.bounds.starts
            assert full or not count_room(self.hall, self.bounds, self.memory), "somebody waits for nothing"

    def _rest(self):
        return self.bounds.seats, self.bounds.reserve, self.bounds.seat

    @precondition(lambda self: self.hall.starting)
    @rule(data=st.data())
    def a_server_answers(self, data):
        who = data.draw(st.sampled_from(sorted(self.hall.starting)))
        self.hall = settle(self.hall, who)
        assert who in self.hall.seated

    @precondition(lambda self: self.hall.waiting or self.hall.inside)
    @rule(data=st.data())
    def somebody_goes(self, data):
        who = data.draw(st.sampled_from(sorted({*self.hall.waiting, *self.hall.inside})))
        before = self.hall
        self.hall = leave(before, who)
        assert who not in repr(self.hall).replace("'", " ").split(), "whoever goes leaves no trace"
        assert self.hall.waiting == tuple(w for w in before.waiting if w != who), "the others keep their order"

    @invariant()
    def nobody_is_in_two_places(self):
        hall = self.hall
        assert len(set(hall.waiting)) == len(hall.waiting)
        assert not set(hall.waiting) & hall.inside
        assert not hall.starting & hall.seated

    @invariant()
    def the_bounds_are_kept(self):
        assert len(self.hall.starting) <= self.bounds.starts
        if self.bounds.seats is not None:
            assert len(self.hall.inside) <= self.bounds.seats

    @invariant()
    def all_enter_in_the_order_in_which_they_came(self):
        order = [self.arrived.index(who) for who in self.entered]
        assert order == sorted(order)

    def teardown(self):
        """Nobody starves: where people go in the end, everybody who waits has entered."""
        if not hasattr(self, "hall"):
            return
        starved = set(self.hall.waiting)
        for _ in range(3 * len(self.arrived) + 3):
            self.hall, entering = admit(self.hall, self.bounds, Memory(0, 2 * MB))
            starved -= set(entering)
            for who in self.hall.starting:
                self.hall = settle(self.hall, who)
            for who in sorted(self.hall.seated)[:1]:
                self.hall = leave(self.hall, who)
        assert not starved


TestLab = Lab.TestCase
TestLab.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(free=st.integers(0, 10**11), reserve=st.integers(0, 10**10), inside=st.integers(1, 60), data=st.data())
def test_whoever_enters_leaves_the_reserve_and_what_the_others_are_owed(free, reserve, inside, data):
    bounds = Bounds(starts=1000, seats=None, reserve=reserve, seat=MB)
    people = frozenset(f"u{n}" for n in range(inside))
    taken = {who: data.draw(st.integers(0, 400 * MB)) for who in people}
    memory = Memory(free, 150 * MB, taken)
    room = count_room(Hall(seated=people), bounds, memory)
    owed = sum(max(0, 150 * MB - used) for used in taken.values())
    assert room == 0 or free - reserve - owed - room * 150 * MB >= 0
    assert free - reserve - owed - (room + 1) * 150 * MB < 0


def test_an_empty_hall_has_room_for_one_whatever_is_expected():
    bounds = Bounds(starts=4, seats=None, reserve=10**9, seat=MB)
    hall = arrive(arrive(Hall(), "amina"), "bruno")
    hall, entering = admit(hall, bounds, Memory(free=0, seat=MB))
    assert entering == ("amina",)
    assert admit(hall, bounds, Memory(free=0, seat=MB)) == (hall, ())


def test_whoever_comes_twice_keeps_their_place():
    hall = arrive(arrive(Hall(), "amina"), "bruno")
    assert arrive(hall, "amina") == hall


def test_a_seat_s_cost_is_learnt_and_a_few_idle_ones_do_not_promise_much():
    bounds = Bounds(1, None, 0, 200 * MB)
    assert learn_seat({}, bounds) == 200 * MB
    assert learn_seat({"a": 50 * MB, "b": 50 * MB}, bounds) == 175 * MB
    many = {f"u{n}": 100 * MB for n in range(90)}
    assert learn_seat(many, bounds) == 110 * MB


@dataclass
class Machine:
    """Memory and time that a test sets."""

    memory: Memory = AMPLE
    now: float = 0.0
    bounds: Bounds = field(default_factory=lambda: Bounds(starts=2, seats=None, reserve=0, seat=MB))

    def queue(self) -> Queue:
        return Queue(self.bounds, lambda: self.memory, lambda: self.now)


async def come(queue: Queue, *names: str) -> dict[str, asyncio.Task[None]]:
    tasks = {}
    for name in names:
        tasks[name] = asyncio.create_task(queue.enter(name))
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_the_next_enters_when_a_server_answers():
    queue = Machine().queue()
    tasks = await come(queue, "amina", "bruno", "chloe", "david")
    assert [t.done() for t in tasks.values()] == [True, True, False, False]
    assert queue.stand("david").place == 2
    queue.settle("bruno")
    await tasks["chloe"]
    assert queue.stand("david").place == 1
    assert queue.hall.seated == {"bruno"}
    queue.leave("david")


async def test_leaving_gives_the_place_to_the_next():
    machine = Machine(bounds=Bounds(starts=5, seats=1, reserve=0, seat=MB))
    queue = machine.queue()
    tasks = await come(queue, "amina", "bruno")
    queue.settle("amina")
    assert not tasks["bruno"].done()
    queue.leave("amina")
    await tasks["bruno"]
    assert queue.hall == Hall(starting=frozenset({"bruno"}))


async def test_whoever_is_cancelled_while_they_wait_leaves_no_trace():
    queue = Machine(bounds=Bounds(1, None, 0, MB)).queue()
    tasks = await come(queue, "amina", "bruno", "chloe")
    tasks["bruno"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks["bruno"]
    assert queue.hall.waiting == ("chloe",)
    queue.settle("amina")
    await tasks["chloe"]


async def test_whoever_is_cancelled_at_the_moment_of_entering_gives_the_place_back():
    queue = Machine(bounds=Bounds(1, None, 0, MB)).queue()
    tasks = await come(queue, "amina", "bruno", "chloe")
    queue.settle("amina")
    tasks["bruno"].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks["bruno"]
    await tasks["chloe"]
    assert queue.hall == Hall(seated=frozenset({"amina"}), starting=frozenset({"chloe"}))


async def test_whoever_comes_anew_queues_anew_and_the_earlier_wait_ends():
    queue = Machine(bounds=Bounds(1, None, 0, MB)).queue()
    first = await come(queue, "amina", "bruno", "chloe")
    again = await come(queue, "bruno")
    with pytest.raises(asyncio.CancelledError):
        await first["bruno"]
    assert queue.hall.waiting == ("chloe", "bruno")
    for who in ("amina", "chloe"):
        queue.settle(who)
        await asyncio.sleep(0)
    await again["bruno"]


async def test_memory_that_comes_free_is_noticed_without_anybody_telling():
    machine = Machine(memory=Memory(free=0, seat=MB))
    queue = machine.queue()
    tasks = await come(queue, "amina", "bruno")
    queue.settle("amina")
    assert not tasks["bruno"].done()
    machine.memory = AMPLE
    await asyncio.wait_for(tasks["bruno"], PATIENCE)


@pytest.mark.parametrize("fails", ["memory", "kept"])
async def test_where_asking_fails_what_was_known_last_decides_and_the_queue_goes_on_by_itself(
    fails, caplog, monkeypatch
):
    # Dask keeps what this one says from all others.
    caplog.set_level("WARNING", logger=app_log.name)
    monkeypatch.setattr(app_log, "handlers", [caplog.handler])
    known = {"memory": Memory(free=0, seat=MB), "kept": {"neige": 0}}
    broken = set()

    def ask(what):
        if what in broken:
            raise OSError(f"{what} cannot be read")
        return known[what]

    bounds = Bounds(starts=2, seats=None, reserve=0, seat=MB)
    queue = Queue(bounds, lambda: ask("memory"), read_kept=lambda: ask("kept"))
    tasks = await come(queue, "amina/", "bruno/")
    broken.add(fails)
    await eventually_async(lambda: f"{fails} cannot be read" in caplog.text)
    assert not tasks["bruno/"].done()
    assert queue.count_room() == 0
    known["memory"] = AMPLE
    broken.clear()
    await asyncio.wait_for(tasks["bruno/"], PATIENCE)


async def test_somebody_is_told_when_room_is_wanting_and_not_when_others_only_start():
    told = []
    queue = Queue(Bounds(1, 2, 0, 1), lambda: Memory(100, 1), on_full=lambda: told.append(queue.hall.waiting))
    tasks = await come(queue, "amina/", "bruno/", "chloé/")
    assert tasks["amina/"].done()
    assert told == []
    queue.settle("amina/")
    assert told == []
    queue.settle("bruno/")
    assert told == [("chloé/",)]
    queue.leave("chloé/")


async def test_the_last_starts_are_remembered_and_so_is_one_that_takes_longer_than_they_did():
    machine = Machine()
    queue = machine.queue()
    await come(queue, "amina", "bruno")
    machine.now = 4.0
    queue.settle("amina")
    assert queue.stand("amina").launches == (4.0,)
    machine.now = 9.0
    assert queue.stand("amina").launches == (4.0, 9.0)
    queue.leave("bruno")
    assert queue.stand("amina").launches == (4.0,)


def seats_of(slug, count):
    return [f"atelier-{slug}-{number:03d}/" for number in range(1, count + 1)]


def test_places_kept_for_a_workshop_are_for_its_seats_alone_and_in_no_other_order():
    bounds, memory = Bounds(starts=10, seats=5, reserve=0, seat=1), Memory(free=100, seat=1)
    hall = Hall(waiting=("a/", *seats_of("neige", 2), "b/", "c/", *seats_of("brume", 1)), seated=frozenset({"d/"}))
    after, entering = admit(hall, bounds, memory, {"neige": 3})
    # Four places are free: three are kept, of which two are taken now, so that one of the others comes in.
    assert entering == ("a/", *seats_of("neige", 2))
    assert after.waiting == ("b/", "c/", *seats_of("brume", 1))
    assert count_free(after, bounds, memory, {"neige": 3}) == 0
    assert admit(after, bounds, memory, {"neige": 3})[1] == ()
    assert admit(after, bounds, memory)[1] == ("b/",)


def test_seats_beyond_the_kept_places_wait_like_everybody():
    bounds, memory = Bounds(starts=10, seats=3, reserve=0, seat=1), Memory(free=100, seat=1)
    hall = Hall(waiting=("a/", *seats_of("neige", 3)), seated=frozenset({"b/"}))
    assert admit(hall, bounds, memory, {"neige": 1})[1] == ("a/", seats_of("neige", 1)[0])


def test_a_workshop_of_more_seats_than_there_are_leaves_its_trainers_one_place_in_ten():
    bounds, memory = Bounds(starts=200, seats=100, reserve=0, seat=1), Memory(free=1000, seat=1)
    trainers, seats = [f"t{n}/" for n in range(30)], [f"atelier-neige-{n:03d}/" for n in range(1, 151)]
    hall, entered = admit(Hall(waiting=(*trainers, *seats)), bounds, memory, {"neige": 150})
    assert entered == (*trainers[:10], *seats[:90])
    assert admit(hall, bounds, memory, {"neige": 150})[1] == ()


def test_an_empty_hall_keeps_its_places_too():
    bounds, memory = Bounds(starts=10, seats=None, reserve=0, seat=10), Memory(free=5, seat=10)
    assert admit(Hall(waiting=("a/",)), bounds, memory, {"neige": 1})[1] == ()
    assert admit(Hall(waiting=tuple(seats_of("neige", 1))), bounds, memory, {"neige": 1})[1] != ()


async def test_whoever_waits_because_of_a_workshop_is_told_so_and_enters_when_it_ends():
    kept = {"neige": 2}
    queue = Queue(Bounds(2, 2, 0, 1), lambda: Memory(100, 1), read_kept=lambda: kept)
    waiting = asyncio.create_task(queue.enter("a/"))
    await asyncio.sleep(0)
    assert queue.stand("a/").kept
    await queue.enter(seats_of("neige", 1)[0])
    assert not waiting.done()
    kept.clear()
    await asyncio.wait_for(waiting, PATIENCE)
