"""How the people of a rehearsal behave: when each arrives, how long they think, who loses the connection or leaves."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from earthlab.hub.accounts import REHEARSAL_PREFIX
from earthlab.rehearsal.lesson import Lesson

Habit = Literal["steady", "drops", "reloads", "leaves"]

CLUSTER = "el.cluster("
"""By which a cell is known that takes a cluster."""

_SHARES: Sequence[tuple[Habit, float]] = (("drops", 0.2), ("reloads", 0.1), ("leaves", 0.05))
_FROM: Mapping[Habit, int] = {"drops": 3, "leaves": 10}
"""People from which on one of them has the habit, however small its share."""

_SPREAD_BETWEEN_CELLS, _SPREAD_BETWEEN_PEOPLE = 0.6, 0.3
_SHARE_OF_THINKING, _MOST_OF_THINKING = 0.6, 0.9


@dataclass(frozen=True, slots=True)
class Plan:
    """One seat: ``arrives`` seconds after the start, thinks ``thinking[i]`` seconds before its cell i.

    At cell ``at`` a person of each habit: ``drops`` the kernel's connection while it runs and comes back ``away``
    seconds later, ``reloads`` the page before it, ``leaves`` for good while it runs, without a word: where the lesson
    takes a cluster, with one that nobody stops.
    """

    user: str
    arrives: float
    thinking: tuple[float, ...]
    habit: Habit = "steady"
    at: int = 0
    away: float = 0.0


def seat_name(number: int) -> str:
    """The hub's name of a seat, from 1: ``repetition-001``."""
    return f"{REHEARSAL_PREFIX}{number:03d}"


def plan_seats(seats: int, lesson: Lesson, *, within: float, minutes: float, seed: int) -> tuple[Plan, ...]:
    """What each of a class does; the same for the same seed.

    Parameters
    ----------
    within : float
        Seconds over which people arrive; the first at once.
    minutes : float
        How long the class lasts: about 60 % of it is spent in thought, in proportion to what there is to read. The
        slowest hurry on, so that nobody thinks for longer than 90 %.
    """
    chance = random.Random(seed)  # noqa: S311 - no secrets
    arrivals = sorted([0.0, *(chance.uniform(0, within) for _ in range(seats - 1))])
    habits = _habits(seats, chance)
    return tuple(
        Plan(
            user=seat_name(index + 1),
            arrives=arrival,
            thinking=_thinking(lesson, minutes * 60, chance),
            habit=habit,
            at=_moment(habit, lesson, chance),
            away=chance.uniform(2, 10),
        )
        for index, (arrival, habit) in enumerate(zip(arrivals, habits, strict=True))
    )


def _moment(habit: Habit, lesson: Lesson, chance: random.Random) -> int:
    lot = chance.randrange(len(lesson.cells))
    cluster = next((index for index, cell in enumerate(lesson.cells) if CLUSTER in cell.code), lot)
    return cluster if habit == "leaves" else lot


def _habits(seats: int, chance: random.Random) -> list[Habit]:
    # In fixed shares, not by lot: a small class has them too.
    special: list[Habit] = []
    for habit, share in _SHARES:
        least = 1 if seats >= _FROM.get(habit, seats + 1) else 0
        special += [habit] * max(round(seats * share), least)
    steady: list[Habit] = ["steady"] * (seats - len(special))
    habits = special + steady
    chance.shuffle(habits)
    return habits


def _thinking(lesson: Lesson, seconds: float, chance: random.Random) -> tuple[float, ...]:
    pace = chance.lognormvariate(0, _SPREAD_BETWEEN_PEOPLE)
    words = sum(cell.reading for cell in lesson.cells)
    # A log-normal variable's mean is its median times exp(s²/2).
    mean = math.exp(-(_SPREAD_BETWEEN_CELLS**2) / 2)
    calm = seconds * _SHARE_OF_THINKING * pace * mean / words
    thinking = [calm * cell.reading * chance.lognormvariate(0, _SPREAD_BETWEEN_CELLS) for cell in lesson.cells]
    hurry = min(1.0, _MOST_OF_THINKING * seconds / sum(thinking))
    return tuple(hurry * each for each in thinking)
