"""Instants and intervals of RFC 3339."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.errors import BadRequest
from earthlab.services.stac.instants import parse_interval, read_instant, write_instant

_moments = st.integers(-2_000_000_000, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@given(_moments)
def test_an_instant_is_both_ends(moment):
    assert parse_interval(_text(moment)) == (moment, moment)


@given(_moments, _moments)
def test_an_interval_has_its_two_ends(one, other):
    begins, ends = sorted((one, other))
    assert parse_interval(f"{_text(begins)}/{_text(ends)}") == (begins, ends)


@given(_moments, st.sampled_from(["..", ""]))
def test_either_side_may_be_open(moment, hole):
    assert parse_interval(f"{hole}/{_text(moment)}") == (None, moment)
    assert parse_interval(f"{_text(moment)}/{hole}") == (moment, None)


def test_zones_fractions_and_small_letters_of_rfc3339_are_understood():
    moment = datetime(2018, 7, 8, 10, 0, 0, 250_000, tzinfo=UTC)
    assert parse_interval("2018-07-08T12:00:00.25+02:00") == (moment, moment)
    assert parse_interval("2018-07-08t10:00:00.250000999z") == (moment, moment)


@pytest.mark.parametrize(
    "text",
    ["2018", "2018-07-08", "2018-13-01T00:00:00Z", "2018-07-08T00:00:00", "a/b", "../..", "/", "", "1/2/3", 2018, []],
)
def test_what_is_no_rfc3339_is_refused(text):
    with pytest.raises(BadRequest, match="datetime: found"):
        parse_interval(text)


def test_an_interval_that_ends_before_it_begins_is_refused():
    with pytest.raises(BadRequest, match="ends before it begins"):
        parse_interval("2019-01-01T00:00:00Z/2018-01-01T00:00:00Z")


@given(_moments, st.integers(0, 999_999))
def test_what_is_written_is_read_again(moment, fraction):
    whole = round(moment.timestamp()) * 1_000_000 + fraction
    assert round(read_instant(write_instant(whole)).timestamp() * 1_000_000) == whole
