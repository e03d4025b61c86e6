"""Columns that an analysis needs, and what they hold."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from earthlab.analysis.tables import check_columns, dates_of_labels, moments_in, numbers_in
from earthlab.errors import BadRequest


def test_columns_that_are_there_pass():
    check_columns(pd.DataFrame({"a": [1], "b": [2]}), ("a", "b"), "verb")


def test_a_missing_column_is_named_with_the_nearest_one():
    with pytest.raises(BadRequest, match=r"verb: the table has no column 'transect'\. Nearest: transects"):
        check_columns(pd.DataFrame({"transects": [1]}), ("transect",), "verb")


def test_what_is_no_table_is_named():
    with pytest.raises(BadRequest, match="expected a table"):
        check_columns({"a": [1]}, ("a",), "verb")


NOON = pd.Timestamp("2020-03-01 12:00")


@pytest.mark.parametrize(
    "column",
    [
        [NOON, None],
        pd.DatetimeIndex([NOON, None]).tz_localize("UTC").tz_convert("Europe/Paris"),
        ["2020-03-01 12:00", None],
        ["2020-03-01T13:00:00+01:00", None],
        pd.Categorical(["2020-03-01 12:00", None]),
        [NOON.to_pydatetime(), None],
    ],
)
def test_dates_in_all_their_forms_are_the_same_moment(column):
    found = moments_in(pd.DataFrame({"t": column}), "t", "verb")
    assert found[0] == NOON
    assert found.isna().tolist() == [False, True]
    assert found.dtype == "datetime64[ns]"


def test_labels_may_be_days_periods_and_none():
    assert dates_of_labels([dt.date(2020, 3, 1), "2021"], "key", "verb").year.tolist() == [2020, 2021]
    assert dates_of_labels(pd.period_range("2020", "2021", freq="Y"), "key", "verb").year.tolist() == [2020, 2021]
    assert dates_of_labels([], "key", "verb").size == 0


@pytest.mark.parametrize("column", [[2019, 2020], [2019.5, 2020.5], ["03/04/2020", "13/07/2020"], [True, False]])
def test_what_is_no_date_is_never_taken_for_one(column):
    with pytest.raises(BadRequest, match=r"verb: column 't' holds .*, expected dates"):
        moments_in(pd.DataFrame({"t": column}), "t", "verb")


@pytest.mark.parametrize(
    "column",
    [[1.5, None], pd.array([1.5, None], "Float64"), ["1.5", None], pd.Categorical([1.5, None]), [1.5, np.inf]],
)
def test_numbers_in_all_their_forms_are_the_same(column):
    np.testing.assert_array_equal(numbers_in(pd.DataFrame({"v": column}), "v", "verb"), [1.5, np.nan])


@pytest.mark.parametrize("text", ["<0.1", "1,5", "soon"])
def test_text_is_no_number(text):
    with pytest.raises(BadRequest, match=f"verb: column 'v' holds object, expected numbers: .*{text}"):
        numbers_in(pd.DataFrame({"v": [text]}), "v", "verb")
