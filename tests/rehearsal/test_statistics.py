"""Percentiles are numpy's, the number of seats is what the model of sums says, settling is found where it lasts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.rehearsal.statistics import (
    compute_figures,
    count_failures,
    count_visible,
    describe_parts,
    estimate_fit,
    find_settling,
    percentile,
)
from earthlab.rehearsal.story import Failure, Sample
from tests.rehearsal.made import GB, made_rehearsal, made_sample

SECONDS = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(values=SECONDS, share=st.floats(0, 1))
def test_percentiles_are_numpy_s(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(np.quantile(values, share))


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_waits_leave_out_a_person_s_own_thought() -> None:
    figures = compute_figures(made_rehearsal(), reserve=GB)
    assert figures.waits["sign_in"].p50 == pytest.approx(1.0)
    assert figures.waits["first_picture"].most == pytest.approx(20.0)
    assert figures.finished == 4


def test_the_number_of_seats_is_the_most_that_the_sum_of_independent_people_holds() -> None:
    people = tuple(int(size * GB) for size in (0.8, 1.0, 1.2, 1.0))
    sample = made_sample(10, server=4 * GB, hub=GB, people=people, available=100 * GB)
    first = made_sample(0, hub=GB, available=20 * GB)
    fit = estimate_fit([first, sample], reserve=GB)
    assert fit is not None
    mean, spread = np.mean(people), np.std(people, ddof=1)
    needed = [fit.shared + n * mean + 2 * spread * np.sqrt(n) for n in (fit.seats, fit.seats + 1)]
    assert needed[0] <= fit.limit < needed[1]
    assert fit.limit == 20 * GB  # what was free, with the hub's own, without the reserve
    assert fit.low < fit.seats < fit.high


def test_one_person_says_nothing_of_a_class() -> None:
    assert estimate_fit([made_sample(0, people=(GB,))], reserve=GB) is None


def test_a_machine_that_is_full_already_holds_nobody() -> None:
    fit = estimate_fit([made_sample(0, hub=GB, people=(GB, GB), available=0)], reserve=GB)
    assert fit is not None
    assert fit.seats == fit.low == fit.high == 0


def test_failures_are_counted_by_kind_with_the_first_as_example() -> None:
    failures = [
        Failure("timeout", "a", 1.0, "first"),
        Failure("HTTP 5xx", "b", 2.0, "502"),
        Failure("timeout", "c", 3.0, "second"),
        Failure("stale recording", "c", 3.0, "404"),
    ]
    counted = count_failures(failures)
    assert next(iter(counted)) == "timeout"
    assert counted["timeout"] == (2, failures[0])
    assert count_visible(counted) == 3


def test_each_part_has_its_own_peak_and_its_processor_time() -> None:
    samples = [
        Sample(0, 0, {"hub": 10}, {}, {"hub": 1}, {"hub": 1.0}, 0),
        Sample(1, 2, {"hub": 12, "worker": 50}, {}, {"hub": 1, "worker": 2}, {"hub": 2.0, "worker": 5.0}, 0),
        Sample(2, 2, {"hub": 14, "worker": 5}, {}, {"hub": 1, "worker": 1}, {"hub": 2.5, "worker": 6.0}, 0),
    ]
    parts = describe_parts(samples)
    assert (parts["worker"].before, parts["worker"].most, parts["worker"].processes) == (0, 50, 2)
    assert (parts["hub"].at_peak, parts["hub"].most) == (12, 14)
    assert parts["hub"].processor == pytest.approx(1.5)
    assert parts["worker"].processor == pytest.approx(6.0)


def test_a_process_that_is_left_has_not_settled_however_small_it_is() -> None:
    many = [(0, 2), (10, 40), (20, 3), (30, 2), (40, 2)]
    samples = [
        Sample(second, 0, {"kernel": GB if second == 10 else 1}, {}, {"kernel": count, "hub": 9}, {}, 0)
        for second, count in many
    ]
    assert find_settling(samples, 15) == 15
    assert find_settling(samples[:3], 15) is None


def test_memory_has_settled_only_where_it_stays_down() -> None:
    sizes = [(0, 1), (10, 11), (20, 1), (25, 8), (30, 1.5), (40, 1.2)]
    samples = [made_sample(second, hub=GB, kernel=int(size * GB)) for second, size in sizes]
    assert find_settling(samples, 15) == 15
    assert find_settling(samples[:4], 15) is None
