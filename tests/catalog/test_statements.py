"""What documents state of time and satellites, with what the descriptors say of their collections."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from earthlab.catalog import find_profile
from earthlab.catalog.profiles import TimeFields
from earthlab.catalog.statements import is_called, norm_times
from earthlab.errors import BadRequest

PLAIN = find_profile("theia-n3a")
INGESTED = "2018-07-15T00:00:00Z"


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_descriptor_says_which_fields_hold_the_time_observed():
    times = {"datetime": INGESTED, "start_datetime": "2018-07-01", "end_datetime": "2018-07-31"}
    told = replace(PLAIN, time=TimeFields())
    assert norm_times(times, told) == (day("2018-07-01"), day("2018-07-31"))
    own = replace(PLAIN, time=TimeFields("beginning", "ending"))
    assert norm_times({"datetime": INGESTED, "beginning": "2018-06-01"}, own) == (day("2018-06-01"),) * 2
    assert norm_times({"datetime": INGESTED}, own) == (day("2018-07-15"),) * 2


@pytest.mark.parametrize(
    ("times", "first", "last"),
    [
        (("2018-07-01", None, None), "2018-07-01", "2018-07-01"),
        (("2018-07-01", None, "2018-07-31"), "2018-07-01", "2018-07-31"),
        (("2018-07-01", None, "2018-06-01"), "2018-07-01", "2018-07-01"),
        ((None, "2018-07-01", "2018-07-31"), "2018-07-01", "2018-07-31"),
        (("2018-09-01", "2018-07-01", "2018-07-31"), "2018-07-01", "2018-07-31"),
        (("2018-07-01", "2018-07-31", "2018-06-01"), "2018-07-31", "2018-07-31"),
    ],
)
def test_times_are_in_order_whatever_is_stated(times, first, last):
    stated = dict(zip(("datetime", "start_datetime", "end_datetime"), times, strict=True))
    assert norm_times(stated, None) == (day(first), day(last))


def test_no_time_and_broken_times_are_refused():
    with pytest.raises(ValueError, match="neither datetime nor"):
        norm_times({"datetime": None, "end_datetime": "2018-07-31"}, None)
    with pytest.raises(BadRequest, match="found 'hier'"):
        norm_times({"datetime": "hier"}, None)


@pytest.mark.parametrize(
    ("stated", "asked", "meant"),
    [
        ("SENTINEL-2A", "sentinel-2", True),
        ("S2A", "Sentinel-2", True),
        ("S2A", "S2", True),
        ("sentinel-1c", "S1", True),
        ("sentinel-20", "sentinel-2", False),
        ("sentinel", "sentinel-2", False),
        ("PHR1A", "phr", True),
        ("spot67", "spot6", False),
        ("Aqua", "", False),
    ],
)
def test_a_name_means_what_it_begins_with(stated, asked, meant):
    assert is_called(stated, asked) is meant
