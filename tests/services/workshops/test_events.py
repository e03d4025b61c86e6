"""Nothing but ids, states and times comes in; and the order and repetition of deliveries change nothing."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import AskLess, BadRequest
from earthlab.services.workshops.events import (
    LARGEST_POST,
    MOST_EVENTS,
    Event,
    Seat,
    count_room,
    fold,
    judge_seat,
    order_seats,
    parse_post,
)

NOW = 1_800_000_000.0
SYLLABUS = {"a.ipynb": frozenset({"c1", "c2", "c3"})}
ORDER = tuple(("a.ipynb", cell) for cell in ("c1", "c2", "c3"))
INSTANCE = "0123abcd"
STEP = {"seq": 1, "notebook": "a.ipynb", "cell": "c1", "state": "done", "error": "", "at": NOW}
HAND = {"seq": 2, "hand": True, "at": NOW}


def post(*rows):
    return parse_post(json.dumps({"instance": INSTANCE, "events": list(rows)}).encode(), SYLLABUS, NOW)


def step(cell="c1", state="done", *, seq=1, at=NOW, error="", instance=INSTANCE):
    return Event(instance, seq, at, "a.ipynb", cell, state, error or ("ValueError" if state == "failed" else ""))


def test_steps_and_hands_come_in():
    found = post(STEP, HAND, STEP | {"seq": 3, "state": "failed", "error": "rasterio.errors.RasterioIOError"})
    assert [event.state for event in found.events] == ["done", None, "failed"]
    assert found.events[1].hand is True


@pytest.mark.parametrize(
    "more",
    [
        {"source": "print(secret)"}, {"outputs": ["42"]}, {"name": "Ada"}, {"user": "atelier-x-001"}, {"evalue": "no"},
        {"traceback": []}, {"hand": True}, {"workshop": "x"},
        {"state": "thinking"}, {"state": None}, {"state": ["done"]}, {"cell": "c9"}, {"cell": 1},
        {"notebook": "b.ipynb"},
        {"notebook": ["a.ipynb"]}, {"error": "my secret words"}, {"error": "ValueError"}, {"error": None},
        {"state": "failed", "error": "ValueError: 42"}, {"state": "failed", "error": "E" * 81}, {"state": "failed"},
        {"seq": 0}, {"seq": "1"}, {"seq": True}, {"seq": 1.0}, {"seq": 10**10},
        {"at": "now"}, {"at": NOW + 3600}, {"at": -1}, {"at": float("nan")}, {"at": float("inf")}, {"at": True},
    ],
)  # fmt: skip
def test_anything_else_is_refused_and_not_repeated_in_the_refusal(more):
    with pytest.raises(BadRequest) as refused:
        post(STEP | more)
    assert "secret" not in str(refused.value)
    assert "Ada" not in str(refused.value)


@pytest.mark.parametrize("key", sorted(STEP))
def test_nothing_may_be_missing(key):
    with pytest.raises(BadRequest):
        post({name: value for name, value in STEP.items() if name != key})


@pytest.mark.parametrize("row", [HAND | {"hand": "yes"}, HAND | {"words": "please help"}, "c1", None, [STEP]])
def test_hands_say_nothing_but_yes_and_no(row):
    with pytest.raises(BadRequest):
        post(row)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'"x"', b'{"instance": "0123abcd"}', b'{"instance": "x", "events": []}', b"[" * 40_000,
        b'{"instance": "0123abcd", "events": {}}', b'{"instance": "0123abcd", "events": [], "host": "pc-of-ada"}',
    ],
)  # fmt: skip
def test_a_body_of_another_shape_is_refused(body):
    with pytest.raises(BadRequest):
        parse_post(body, SYLLABUS, NOW)


def test_posts_are_bounded():
    with pytest.raises(AskLess):
        parse_post(b" " * (LARGEST_POST + 1), SYLLABUS, NOW)
    with pytest.raises(AskLess):
        post(*[HAND | {"seq": n} for n in range(1, MOST_EVENTS + 2)])


events = st.builds(
    step,
    cell=st.sampled_from(["c1", "c2", "c3"]),
    state=st.sampled_from(["running", "done", "failed"]),
    seq=st.integers(1, 12),
    at=st.integers(0, 9).map(float),
    instance=st.sampled_from(["0" * 8, "1" * 8]),
) | st.builds(
    Event, st.sampled_from(["0" * 8, "page"]), st.integers(1, 12), st.integers(0, 9).map(float), hand=st.booleans()
)


@given(st.lists(events, max_size=30), st.randoms(use_true_random=False))
def test_order_and_repetition_of_deliveries_change_nothing(told, rng: random.Random):
    again = told + [rng.choice(told) for _ in range(len(told))]
    rng.shuffle(again)
    assert fold(again) == fold(told)


def test_the_last_step_of_a_cell_holds():
    seat = fold([step(state="failed", seq=2, at=NOW + 1), step(state="running", seq=1, at=NOW)])
    assert judge_seat(1, seat, ORDER, NOW + 2).cells == "f.."
    seat.take(step(state="done", seq=3, at=NOW + 1))
    assert judge_seat(1, seat, ORDER, NOW + 2).cells == "d.."


def test_gaps_show_until_they_are_filled():
    seat = fold([step(seq=1), step(seq=4), step(seq=2, instance="ffffffff")])
    assert seat.missing == 3
    for seq in (2, 3):
        seat.take(step(seq=seq))
    seat.take(step(seq=1, instance="ffffffff"))
    assert seat.missing == 0


@pytest.mark.parametrize(
    ("later", "told", "presence"),
    [
        (10, [step()], "active"),
        (80, [step()], "active"),
        (100, [step()], "silent"),
        (1000, [step()], "lost"),
        (1000, [step(cell, seq=n) for n, cell in enumerate(("c1", "c2", "c3"), 1)], "finished"),
        (10, [], "free"),
    ],
)
def test_presence_follows_from_what_was_heard(later, told, presence):
    assert judge_seat(1, fold(told), ORDER, NOW + later).presence == presence


def test_who_speaks_but_takes_no_step_is_away_unless_a_cell_runs():
    for state, presence in (("done", "away"), ("running", "active")):
        seat = fold([step(state=state)])
        seat.hear(NOW + 600)
        assert judge_seat(1, seat, ORDER, NOW + 601).presence == presence


def test_a_failure_and_a_long_run_are_stuck():
    assert judge_seat(1, fold([step(state="failed")]), ORDER, NOW + 1).error == "ValueError"
    long = fold([step(state="running")])
    long.hear(NOW + 400)
    assert judge_seat(1, long, ORDER, NOW + 400).stuck
    assert not judge_seat(1, fold([step()]), ORDER, NOW + 1).stuck


def test_a_reset_counts_until_something_comes_of_the_cell_again():
    seat = fold([step("c1"), step("c2", "failed", seq=2)])
    seat.reset([("a.ipynb", "c2"), ("a.ipynb", "c3")], NOW + 5)
    assert judge_seat(1, seat, ORDER, NOW + 6).cells == "d.."
    seat.take(step("c2", seq=3, at=NOW + 7))
    assert judge_seat(1, seat, ORDER, NOW + 8).cells == "dd."


def test_hands_come_first_then_the_stuck_then_the_slowest():
    told = {
        1: [step("c1"), step("c2", seq=2)],
        2: [step("c1", "failed")],
        3: [step("c1"), Event("page", 1, NOW, hand=True)],
        4: [step("c1")],
        5: [],
        6: [step("c1"), Event("page", 1, NOW - 60, hand=True)],
        7: [step("c1"), Event("page", 1, NOW - 90, hand=True), Event("page", 2, NOW - 80, hand=False)],
        8: [step(cell, seq=n) for n, cell in enumerate(("c1", "c2", "c3"), 1)],
    }
    standings = [judge_seat(n, fold(events), ORDER, NOW + 1) for n, events in told.items()]
    assert [it.number for it in order_seats(standings)] == [6, 3, 2, 4, 7, 1, 8, 5]


def test_only_counts_are_kept():
    seats = {
        1: fold([step(cell, seq=n) for n, cell in enumerate(("c1", "c2", "c3"), 1)]),
        2: fold([step("c1", "failed"), Event("page", 1, NOW, hand=True)]),
        3: Seat(),
    }
    counts = count_room(seats, 4, ORDER)
    assert (counts.seats, counts.came, counts.finished, counts.hands) == (4, 2, 1, 1)
    assert counts.done == (1, 1, 1)
    assert counts.failed == (1, 0, 0)
