"""What the tables of flux towers share: steps, gaps, and days that resemble each other."""

import numpy as np
import pandas as pd
import pytest

from earthlab.analysis.towers import reach_of_days, steps_of
from earthlab.errors import BadRequest

NAN = float("nan")


def table(times, **columns):
    return pd.DataFrame({"time": times, **columns})


def test_steps_without_a_row_are_missing_and_order_does_not_matter():
    times = pd.date_range("2024-02-28 23:00", periods=5, freq="30min")
    rows = table(times, LE=[1.0, 2.0, 3.0, 4.0, 5.0]).iloc[[4, 0, 1, 3]]
    found = steps_of(rows, {"LE": 100}, time="time", verb="f")
    np.testing.assert_array_equal(found.values["LE"], [1, 2, NAN, 4, 5])
    assert (found.start, found.seconds, found.number, found.by_day) == (times[0], 1800, 5, 48)


def test_missing_is_also_what_fluxnet_writes_for_it():
    rows = table(pd.date_range("2024-01-01", periods=3, freq="D"), LE=[-9999, 2, 3])
    np.testing.assert_array_equal(steps_of(rows, {"LE": 100}, time="time", verb="f").values["LE"], [NAN, 2, 3])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table(["2024-01-01", "2024-01-02"], LE=[1, 2e4]), "'LE' holds 20000, expected sizes up to 100"),
        (table(["2024-01-01", None], LE=[1, 2]), "2 steps of time in 'time', 1 without a date"),
        (table([20240101, 20240132], LE=[1, 2]), "1 without a date"),
        (table(["2024-01-01", "2024-01-02", "2024-01-03 05:00"], LE=[1, 2, 3]), "steps of equal length"),
        (table(["01/02/2024", "02/02/2024"], LE=[1, 2]), "expected dates"),
        (table([1, 2], LE=[1, 2]), "expected dates"),
        (table(["2024-01-01", "2024-01-02"], LE=["<1", "2"]), "expected numbers"),
        ([1, 2], "expected a table"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(rows, words):
    with pytest.raises(BadRequest, match=words):
        steps_of(rows, {"LE": 100}, time="time", verb="f")


@pytest.mark.parametrize(("days", "memory", "least"), [(3, 0.0, 0.91), (10, 0.0, 0.92), (10, 0.5, 0.82),
                                                       (30, 0.5, 0.86), (60, 0.7, 0.84)])  # fmt: skip
def test_the_interval_of_a_sum_of_days_holds(days, memory, least):
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        values = np.empty(days)
        values[0] = rng.normal()
        for at in range(1, days):
            values[at] = memory * values[at - 1] + rng.normal(0, (1 - memory**2) ** 0.5)
        held += abs(values.sum()) <= reach_of_days(values - values.mean(), 0.95, "f")
    assert least <= held / 400 <= 0.99


def test_days_that_say_nothing_do_not_count():
    parts = np.array([1.0, -1.0, 0.5, -0.5, 0.2, -0.2])
    with_gaps = np.array([1.0, NAN, -1.0, 0.5, NAN, -0.5, 0.2, -0.2])
    assert reach_of_days(with_gaps, 0.95, "f") == pytest.approx(reach_of_days(parts, 0.95, "f"))
    assert np.isnan(reach_of_days(np.array([1.0, NAN, -1.0]), 0.95, "f"))
    assert reach_of_days(np.zeros(5), 0.95, "f") == 0
    with pytest.raises(BadRequest, match="level of confidence is 95"):
        reach_of_days(parts, 95, "f")
