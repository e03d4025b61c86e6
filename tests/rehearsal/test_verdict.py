"""A class may be held where all holds; whatever does not is said in both tongues."""

import pytest

from earthlab.rehearsal.statistics import compute_figures
from earthlab.rehearsal.story import Failure
from earthlab.rehearsal.verdict import Bars, Verdict, judge
from tests.rehearsal.made import GB, made_rehearsal


def _judged(bars: Bars | None = None, **changed: object) -> Verdict:
    rehearsal = made_rehearsal(**changed)
    return judge(rehearsal, compute_figures(rehearsal, reserve=GB), bars or Bars())


def test_a_class_where_all_went_well_may_be_held() -> None:
    verdict = _judged()
    assert verdict.go, verdict.reasons


@pytest.mark.parametrize(
    ("bars", "changed", "words"),
    [
        (Bars(sign_in=0.5), {}, "sign-in"),
        (Bars(first_picture=5), {}, "first picture"),
        (Bars(peak=GB), {}, "of memory"),
        (Bars(settled=5), {}, "after the class"),
        (None, {"seats": 400}, "400 are wanted"),
        (None, {"interrupted": True}, "interrupted"),
        (None, {"left_behind": ["repetition-002: it would not go"]}, "repetition-002"),
        (None, {"class_ended": 75.0}, "did not give their memory back"),
        (None, {"failures": [Failure("kernel died", "a", 1, "x")]}, "1 visible errors"),
    ],
)
def test_each_thing_that_does_not_hold_forbids_it_and_is_said(bars: Bars | None, changed: dict, words: str) -> None:
    verdict = _judged(bars, **changed)
    assert not verdict.go
    failed = [reason for reason in verdict.reasons if not reason.holds]
    assert any(words in reason.english for reason in failed), failed
    assert all(reason.french and reason.french != reason.english for reason in failed)


def test_who_leaves_on_purpose_is_not_missed_but_who_fails_is() -> None:
    rehearsal = made_rehearsal()
    rehearsal.stories[0].finished = False
    assert not judge(rehearsal, compute_figures(rehearsal, reserve=GB), Bars()).go
    rehearsal.stories[0].habit = "leaves"
    assert judge(rehearsal, compute_figures(rehearsal, reserve=GB), Bars()).go


def test_a_stale_recording_is_no_fault_of_the_lab() -> None:
    assert _judged(failures=(Failure("stale recording", "a", 1, "x"),)).go
