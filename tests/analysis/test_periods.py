"""Periods against the calendar and against pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.periods import resolve_periods, whole_time
from earthlab.errors import BadRequest

DATES = st.lists(st.datetimes(pd.Timestamp("1999-12-30"), pd.Timestamp("2004-03-02")), min_size=1, max_size=12)
OFFSETS = ["month", "dekad", "season", "year", "10D", "W", "W-WED", "2W", "QS", "ME", "YE-SEP", "2MS", "B", "36h"]


@pytest.mark.parametrize(
    ("period", "starts"),
    [
        ("dekad", ["2018-01-21", "2018-02-01", "2018-02-11", "2018-02-21", "2018-03-01"]),
        ("décade", ["2018-01-21", "2018-02-01", "2018-02-11", "2018-02-21", "2018-03-01"]),
        ("month", ["2018-01-01", "2018-02-01", "2018-03-01"]),
        ("mois", ["2018-01-01", "2018-02-01", "2018-03-01"]),
        ("ME", ["2018-01-01", "2018-02-01", "2018-03-01"]),
        ("season", ["2017-12-01", "2018-03-01"]),
        ("saison", ["2017-12-01", "2018-03-01"]),
        ("year", ["2018-01-01"]),
        ("année", ["2018-01-01"]),
        ("10D", ["2018-01-31", "2018-02-10", "2018-02-20"]),
        ("15D", ["2018-01-31", "2018-02-15", "2018-03-02"]),
        ("W", ["2018-01-29", "2018-02-05", "2018-02-12", "2018-02-19", "2018-02-26"]),
        ("semaine", ["2018-01-29", "2018-02-05", "2018-02-12", "2018-02-19", "2018-02-26"]),
        ("trimestre", ["2018-01-01"]),
        (pd.offsets.QuarterBegin(startingMonth=1), ["2018-01-01"]),
        (pd.DateOffset(months=1), ["2018-01-31", "2018-02-28"]),
        (pd.DateOffset(days=16), ["2018-01-31", "2018-02-16"]),
    ],
)
def test_periods_start_where_the_calendar_says(period, starts):
    last = "2018-03-02T20:00" if period == "15D" else "2018-03-01"
    found = resolve_periods(pd.DatetimeIndex(["2018-01-31T10:30", last]), period)
    np.testing.assert_array_equal(found.edges[:-1], np.array(starts, "datetime64[ns]"))


@given(dates=DATES, period=st.sampled_from(OFFSETS))
@settings(max_examples=120, deadline=None)
def test_every_date_lies_in_exactly_one_period_and_the_ends_are_not_empty(dates, period):
    times = pd.DatetimeIndex(dates)
    found = resolve_periods(times, period)
    assert sorted(found.order) == list(range(len(times)))
    assert len(found.edges) == len(found) + 1
    assert (np.diff(found.edges) > np.timedelta64(0)).all()
    numbers = np.diff(found.cuts)
    assert numbers[0] > 0
    assert numbers[-1] > 0
    for at in range(len(found)):
        inside = times.values[found.order[found.cuts[at] : found.cuts[at + 1]]]
        assert ((inside >= found.edges[at]) & (inside < found.edges[at + 1])).all()
        assert (np.diff(inside) >= np.timedelta64(0)).all()


@given(dates=DATES, offset=st.sampled_from(["MS", "QS-DEC", "YS", "10D", "6D"]))
@settings(max_examples=40, deadline=None)
def test_offsets_are_cut_as_pandas_does(dates, offset):
    times = pd.DatetimeIndex(dates)
    expected = pd.Series(1, times).resample(offset).sum()
    found = resolve_periods(times, offset)
    np.testing.assert_array_equal(np.diff(found.cuts), expected.to_numpy())
    np.testing.assert_array_equal(found.edges[:-1], expected.index.values.astype("datetime64[ns]"))


def test_the_dekads_of_a_year_are_thirty_six():
    found = resolve_periods(pd.date_range("2020-01-01", "2020-12-31"), "dekad")
    assert len(found) == 36
    assert set(np.diff(found.cuts)) == {8 + 1, 10, 11}


def test_all_dates_as_one_period_come_earliest_first():
    times = pd.DatetimeIndex(["2018-03-01", "2018-01-01", "2018-02-01"])
    np.testing.assert_array_equal(whole_time(times).order, [1, 2, 0])
    np.testing.assert_array_equal(whole_time(pd.RangeIndex(3)).order, [0, 1, 2])
    assert whole_time(times).edges is None


@pytest.mark.parametrize("period", ["fortnight", "-1D", "0D", "", "10", 3, None, "MS2"])
def test_unknown_periods_are_refused_with_the_known_ones(period):
    with pytest.raises(BadRequest, match=r"is not known\. Expected 'month', 'season', 'year', 'dekad'"):
        resolve_periods(pd.DatetimeIndex(["2018-01-31", "2018-02-03"]), period)


def test_a_step_that_cuts_years_into_seconds_is_refused_with_the_number():
    with pytest.raises(BadRequest, match=r"period='1s' .* into 31,449,600 periods, and 10,000 is the most"):
        resolve_periods(pd.DatetimeIndex(["2018-01-01", "2018-12-31"]), "1s")


@pytest.mark.parametrize(
    ("times", "words"), [(pd.Index([1, 2]), "int64"), (pd.DatetimeIndex(["2018-01-01", None]), "NaT")]
)
def test_what_is_no_date_has_no_period(times, words):
    with pytest.raises(BadRequest, match=words):
        resolve_periods(times, "month")
