"""People come within the time, think as long as the class lasts, and misbehave in fixed shares; all of it by a seed."""

import json
import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.rehearsal.behaviour import plan_seats, seat_name
from earthlab.rehearsal.lesson import Lesson, parse_lesson


def _lesson(cells: int = 6) -> Lesson:
    rows = [{"cell_type": "code", "source": "word " * (index + 1)} for index in range(cells)]
    return parse_lesson(json.dumps({"cells": rows}), "a.ipynb")


@given(seats=st.integers(1, 200), within=st.floats(0, 600), seed=st.integers(0, 2**32))
def test_a_class_arrives_within_the_time_the_first_at_once(seats: int, within: float, seed: int) -> None:
    plans = plan_seats(seats, _lesson(), within=within, minutes=5, seed=seed)
    arrivals = [plan.arrives for plan in plans]
    assert arrivals == sorted(arrivals)
    assert arrivals[0] == 0
    assert arrivals[-1] <= within
    assert [plan.user for plan in plans] == [seat_name(number) for number in range(1, seats + 1)]
    assert all(0 <= plan.at < 6 and len(plan.thinking) == 6 for plan in plans)


def test_the_same_seed_makes_the_same_class_and_another_seed_another() -> None:
    first, again, other = (plan_seats(20, _lesson(), within=30, minutes=5, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


def test_people_think_for_most_of_the_class_and_longer_where_there_is_more_to_read() -> None:
    plans = plan_seats(400, _lesson(), within=30, minutes=10, seed=1)
    totals = [sum(plan.thinking) for plan in plans]
    assert 300 < statistics.mean(totals) < 420
    assert max(totals) == pytest.approx(540), "the slowest do not hurry on"
    first, last = (statistics.mean(plan.thinking[index] for plan in plans) for index in (0, 5))
    assert 4 < last / first < 8


def test_a_hundred_seats_have_every_habit_in_its_share_and_three_have_one_lost_connection() -> None:
    hundred = Counter(plan.habit for plan in plan_seats(100, _lesson(), within=30, minutes=5, seed=1))
    assert hundred == {"steady": 65, "drops": 20, "reloads": 10, "leaves": 5}
    three = Counter(plan.habit for plan in plan_seats(3, _lesson(), within=30, minutes=5, seed=1))
    assert three == {"steady": 2, "drops": 1}
    assert plan_seats(1, _lesson(), within=30, minutes=5, seed=1)[0].habit == "steady"
    ten = Counter(plan.habit for plan in plan_seats(10, _lesson(), within=30, minutes=5, seed=1))
    assert ten == {"steady": 6, "drops": 2, "reloads": 1, "leaves": 1}


def test_who_leaves_a_lesson_with_a_cluster_leaves_one_behind() -> None:
    sources = ["import earthlab as el", "cube", "with el.cluster() as client:\n    cube.compute()", "cube.plot()"]
    lesson = parse_lesson(json.dumps({"cells": [{"cell_type": "code", "source": each} for each in sources]}), "a.ipynb")
    plans = plan_seats(100, lesson, within=30, minutes=5, seed=1)
    assert {plan.at for plan in plans if plan.habit == "leaves"} == {2}
    assert {plan.at for plan in plans if plan.habit == "drops"} == {0, 1, 2, 3}
