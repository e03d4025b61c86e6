"""Boxes, periods and tokens: every form that is understood, every one that is refused."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.types import BBox, Period, canonical_json, content_token, norm_bbox, norm_period, parse_moment

LONGITUDES = st.floats(-180, 180)
LATITUDES = st.floats(-90, 90)
MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(LONGITUDES, LONGITUDES, LATITUDES, LATITUDES)
def test_four_numbers_in_order_are_the_box(a, b, c, d):
    west, east, south, north = min(a, b), max(a, b), min(c, d), max(c, d)
    box = BBox(west, south, east, north)
    assert norm_bbox((west, south, east, north)) == norm_bbox(box) == box
    assert norm_bbox(np.array([west, south, -5.0, east, north, 900.0])) == box
    assert box.parts() == (box,)
    assert box.middle_longitude == pytest.approx((west + east) / 2, abs=1e-9)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((1, 2, 3), "expected four finite numbers"),
        ((1, 2, 3, 4, 5), "expected four finite numbers"),
        ((1, 2, 3, math.nan), "expected four finite numbers"),
        ((1, 2, 3, math.inf), "expected four finite numbers"),
        ((1, 2, 3, 10**400), "expected four numbers"),
        ((1, 2, None, 4), "expected four numbers"),
        ("1234", "expected four finite numbers"),
        ("1,2,3,4", "expected four finite numbers"),
        (7, "expected four numbers"),
        (None, "expected four numbers"),
        ((43.6, 101.17, 43.69, 101.3), "outside -90…90.*longitude comes first"),
        ((300_000, 4_890_000, 310_000, 4_900_000), "outside -180…180.*projected coordinates must be converted"),
        ((1.3, 43.6, 1.17, 43.69), r"west 1\.3 is east of east 1\.17.*antimeridian"),
        ((1.17, 43.69, 1.3, 43.6), r"south 43\.69 is above north 43\.6.*\(1\.17, 43\.6, 1\.3, 43\.69\)"),
    ],
)
def test_a_box_that_cannot_be_meant_is_refused_with_the_way_out(numbers, words):
    with pytest.raises(BadRequest, match=words):
        norm_bbox(numbers)


def test_a_box_with_nan_is_refused_by_the_type_itself():
    with pytest.raises(BadRequest):
        BBox(math.nan, 0, 1, 1)
    with pytest.raises(BadRequest):
        BBox(0, math.nan, 1, 1)


def test_a_box_across_the_antimeridian_has_two_parts_and_its_middle_between_them():
    box = BBox(177, -20, -179, -15)
    assert norm_bbox(box) is box
    assert box.parts() == (BBox(177, -20, 180, -15), BBox(-180, -20, -179, -15))
    assert box.middle_longitude == 179


@pytest.mark.parametrize(
    ("asked", "stac"),
    [
        ("2018", "2018-01-01T00:00:00Z/2018-12-31T23:59:59Z"),
        ("2020-02", "2020-02-01T00:00:00Z/2020-02-29T23:59:59Z"),
        ("2018-07-08", "2018-07-08T00:00:00Z/2018-07-08T23:59:59Z"),
        ("2018-04/2018-11", "2018-04-01T00:00:00Z/2018-11-30T23:59:59Z"),
        (" 2018 / 2019 ", "2018-01-01T00:00:00Z/2019-12-31T23:59:59Z"),
        ("2018/..", "2018-01-01T00:00:00Z/.."),
        ((None, "2018"), "../2018-12-31T23:59:59Z"),
        ("2018-07-08T10:50:00+02:00/2018-07-08T10:50:00", "2018-07-08T08:50:00Z/2018-07-08T10:50:00Z"),
        (datetime(2018, 7, 8, 12, tzinfo=timezone(timedelta(hours=2))), "2018-07-08T10:00:00Z/2018-07-08T10:00:00Z"),
        (pd.Timestamp("2018-07-08"), "2018-07-08T00:00:00Z/2018-07-08T00:00:00Z"),
        ("9999", "9999-01-01T00:00:00Z/9999-12-31T23:59:59Z"),
        ("0999", "0999-01-01T00:00:00Z/0999-12-31T23:59:59Z"),
    ],
)
def test_a_year_a_month_a_day_and_pairs_of_them_are_periods(asked, stac):
    assert norm_period(asked).as_stac() == stac


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("2018-11/2018-04", r'before it begins.*Turn it round: time="2018-04-30/2018-11-01"'),
        ("2018-13", "not a date of the calendar"),
        ("2018-02-30", "not a date of the calendar"),
        ("0000", "not a date of the calendar"),
        ("hier", "found 'hier', expected \"2018\""),
        ("2018-07-08T25:00:00", "expected"),
        ("0001-01-01T00:00:00+14:00", "expected"),
        ("2018/2019/2020", "expected"),
        (2018, "found 2018, expected"),
        (np.datetime64("2018-01-01"), "expected"),
        ((2018, 2019), "found 2018, expected"),
        ((["2018"], None), "expected"),
        ([], "expected"),
    ],
)
def test_a_period_that_cannot_be_meant_is_refused(asked, words):
    with pytest.raises(BadRequest, match=words):
        norm_period(asked)


@given(MOMENTS, MOMENTS)
def test_a_period_survives_its_stac_text(a, b):
    period = Period(min(a, b), max(a, b))
    assert norm_period(period.as_stac()) == period
    assert norm_period(period) is period


@given(MOMENTS)
def test_a_moment_survives_its_text(moment):
    assert parse_moment(moment.isoformat()) == moment


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_a_token_depends_on_the_value_alone(value):
    again = json.loads(canonical_json(value))
    assert canonical_json(again) == canonical_json(value)
    assert content_token(again) == content_token(value)
    assert len(content_token(value)) == 20


def test_the_order_of_keys_does_not_change_a_token_and_nan_has_none():
    assert content_token({"a": 1, "b": 2}) == content_token({"b": 2, "a": 1})
    assert content_token([1, 2]) != content_token([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        content_token(math.nan)


def test_letters_of_a_moment_may_be_small():
    assert parse_moment("2018-07-08t10:50:00z") == parse_moment("2018-07-08T10:50:00Z")
