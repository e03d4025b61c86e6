"""The estimate against simulated queues, and the words."""

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.hub.admission import Standing
from earthlab.hub.waiting import estimate_wait, ordinal_en, render_duration, render_standing


def simulate(rng: random.Random, starts: int, ahead: int, draw) -> float:
    """Seconds until the one with ``ahead`` others before them is served, in a queue that has run for a while."""
    ready = [draw() for _ in range(starts)]
    heapq.heapify(ready)
    for _ in range(10 * starts):
        last = heapq.heapreplace(ready, ready[0] + draw())
    arrival = rng.uniform(last, ready[0])
    for _ in range(ahead):
        heapq.heapreplace(ready, ready[0] + draw())
    return ready[0] + draw() - arrival


@pytest.mark.parametrize("starts", [1, 2, 6, 20])
@pytest.mark.parametrize("place", [1, 3, 12, 60])
@pytest.mark.parametrize("shape", [1.5, 8.0])
def test_nine_in_ten_are_served_within_the_times_that_they_were_told(starts, place, shape):
    rng = random.Random(f"{starts} {place} {shape}")
    inside = missed = 0
    told = waited = 0.0
    for _ in range(400):
        mean = rng.uniform(0.5, 10)

        def draw(mean=mean):
            return rng.gammavariate(shape, mean / shape)

        launches = tuple(draw() for _ in range(20))
        span = estimate_wait(Standing(place, place, starts, 1000, launches))
        truth = simulate(rng, starts, place - 1, draw)
        inside += span.low <= truth <= span.high
        missed += truth > span.high
        told += span.middle
        waited += truth
    assert inside / 400 >= 0.85
    assert missed / 400 <= 0.12
    assert told == pytest.approx(waited, rel=0.1)


def test_nobody_is_told_a_time_that_depends_on_when_others_leave():
    full = Standing(place=3, waiting=5, starts=4, room=2, launches=(2.0,) * 9)
    assert estimate_wait(full) is None
    said = render_standing(full)
    assert said["stage"] == "full"
    assert (said["fr"], said["en"]) == ("Vous êtes 3e", "You are 3rd")
    assert "personne ne sait quand" in said["message"]
    assert "nobody knows when" in said["message"]
    assert "low" not in said


def test_before_anybody_was_seen_to_start_it_says_that_it_guesses():
    said = render_standing(Standing(place=12, waiting=20, starts=6, room=50, launches=()))
    assert said["stage"] == "rough"


def test_the_sentence_is_french_first_and_complete_in_english():
    said = render_standing(Standing(place=12, waiting=20, starts=4, room=50, launches=(5.0,) * 20))
    assert said["message"] == "Vous êtes 12e, environ 20 s · You are 12th, about 20 s"
    assert said["stage"] == "waiting"
    assert (said["place"], said["waiting"]) == (12, 20)


def test_whoever_is_first_reads_no_number():
    said = render_standing(Standing(place=1, waiting=1, starts=1, room=50, launches=(5.0,) * 20))
    assert said["fr"] == "Vous êtes en tête de la file, environ 8 s"
    assert said["en"] == "You are next, about 8 s"


def test_whoever_no_longer_waits_is_told_that_it_starts():
    said = render_standing(Standing(place=None, waiting=3, starts=1, room=1, launches=()))
    assert said["stage"] == "starting"
    assert "place" not in said


@given(st.integers(1, 500), st.integers(1, 40), st.lists(st.floats(0.01, 600), max_size=40))
def test_a_time_is_never_negative_and_lies_between_its_bounds(place, starts, launches):
    span = estimate_wait(Standing(place, place, starts, place, tuple(launches)))
    assert 0 <= span.low <= span.middle <= span.high


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st")],
)
def test_english_ordinals(number, said):
    assert ordinal_en(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (7.4, "7 s"), (18.4, "20 s"), (61, "60 s"), (89, "90 s"), (100, "2 min"), (1500, "25 min")],
)
def test_a_time_is_as_exact_as_anybody_believes_it(seconds, said):
    assert render_duration(seconds) == said


def test_one_group_of_starts_is_a_guess_and_the_last_groups_are_what_counts():
    slow, quick = (20.0,) * 6, (2.0,) * 20
    assert estimate_wait(Standing(12, 20, 6, 50, slow)).rough
    learnt = estimate_wait(Standing(12, 20, 6, 50, slow + quick))
    assert not learnt.rough
    assert learnt.middle == estimate_wait(Standing(12, 20, 6, 50, quick)).middle


def test_whoever_waits_for_places_that_are_kept_is_told_for_what():
    said = render_standing(Standing(place=2, waiting=2, starts=1, room=0, launches=(), kept=True))
    assert said["stage"] == "kept"
    assert "gardées pour un atelier" in said["message"]
    assert "kept for a workshop" in said["message"]
