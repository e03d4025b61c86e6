"""Counts over what a search finds, against counting in Python."""

from collections import Counter

import pytest

from earthlab.errors import BadRequest
from earthlab.services.stac.aggregations import (
    DEFAULTS,
    INTERVALS,
    MOST_BUCKETS,
    NAMES,
    describe_aggregations,
    fit_interval,
    parse_aggregations,
    parse_interval_name,
    plan_aggregation,
)
from earthlab.services.stac.search import parse_search
from earthlab.services.stac.store import Store
from tests.services.stac.made import MADE, write_made

DAY = 86_400_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Store:
    return Store(write_made(tmp_path_factory.mktemp("aggregations")))


def counted(store, name, interval=None, **said):
    (one,) = store.aggregate(parse_search(said), [name], interval)
    assert one["name"] == name
    return one


def buckets(one) -> dict:
    return {bucket["key"]: bucket["frequency"] for bucket in one["buckets"]}


def moment(item) -> str:
    return item["properties"]["datetime"] or item["properties"]["start_datetime"]


def test_values_are_of_everything_found(made):
    assert counted(made, "total_count")["value"] == len(MADE)
    assert counted(made, "datetime_min")["value"] == min(map(moment, MADE))
    assert counted(made, "datetime_max")["value"] == max(map(moment, MADE))
    two = [item for item in MADE if item["collection"] == "two"]
    assert counted(made, "total_count", collections=["two"])["value"] == len(two)
    query = {"gsd": {"eq": 10}}
    ten = [item for item in two if item["properties"].get("gsd") == 10]
    assert counted(made, "total_count", collections=["two"], query=query)["value"] == len(ten)


def test_of_nothing_there_is_no_first_moment(made):
    assert counted(made, "total_count", ids=["none"])["value"] == 0
    assert counted(made, "datetime_min", ids=["none"])["value"] is None
    for name in NAMES[3:]:
        assert counted(made, name, ids=["none"])["buckets"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("collection_frequency", lambda item: item["collection"]),
        ("platform_frequency", lambda item: item["properties"].get("platform")),
        ("grid_code_frequency", lambda item: item["properties"].get("grid:code")),
    ],
)
def test_terms_are_counted_most_frequent_first(made, name, value):
    one = counted(made, name, bbox=[-180, -90, 180, 0])
    expected = Counter(value(item) for item in MADE if item["bbox"][1] <= 0 and value(item) is not None)
    assert buckets(one) == expected
    assert [bucket["frequency"] for bucket in one["buckets"]] == sorted(expected.values(), reverse=True)
    assert one["overflow"] == 0


def test_clouds_are_counted_in_tens_and_a_full_sky_is_in_the_last(made):
    one = counted(made, "cloud_cover_frequency")
    clouds = [item["properties"].get("eo:cloud_cover") for item in MADE]
    expected = Counter(min(cover // 10, 9) for cover in clouds if cover is not None)
    assert 100 in clouds
    assert {bucket["from"] // 10: bucket["frequency"] for bucket in one["buckets"]} == expected
    assert [bucket["key"] for bucket in one["buckets"]] == [f"{n}-{n + 10}" for n in range(0, 100, 10)]


def test_times_are_counted_by_intervals_that_fit(made):
    one = counted(made, "datetime_frequency")
    assert one["data_type"] == "interval_day"
    assert buckets(one) == Counter(moment(item) for item in MADE)
    month = counted(made, "datetime_frequency", "month")
    assert buckets(month) == {"2020-01-01T00:00:00Z": len(MADE)}
    assert buckets(counted(made, "datetime_frequency", "year")) == {"2020-01-01T00:00:00Z": len(MADE)}


@pytest.mark.parametrize(("days", "interval"), [(0, "day"), (40, "day"), (400, "month"), (9999, "year")])
def test_the_interval_fits_the_span(days, interval):
    assert fit_interval(days * DAY) == interval


def test_too_many_buckets_overflow():
    rows = [(f"MGRS-{at}", 1 + at % 2) for at in range(MOST_BUCKETS + 10)]
    one = plan_aggregation("grid_code_frequency", "day").document(rows)
    assert len(one["buckets"]) == MOST_BUCKETS
    assert one["overflow"] + sum(buckets(one).values()) == sum(count for _, count in rows)


def test_what_can_be_asked_for_is_described():
    assert [one["name"] for one in describe_aggregations()] == list(NAMES)
    assert parse_aggregations(None) == DEFAULTS
    assert parse_aggregations(["total_count", "total_count"]) == ("total_count",)
    assert [parse_interval_name(name) for name in (None, *INTERVALS)] == [None, *INTERVALS]


@pytest.mark.parametrize("value", [[], "total_count", [7], ["sum"], ["total_count", "colour_frequency"]])
def test_what_is_not_known_is_refused(value):
    with pytest.raises(BadRequest, match=r"^aggregations: "):
        parse_aggregations(value)


@pytest.mark.parametrize("value", ["hour", 7, [], "day'"])
def test_an_interval_that_is_not_known_is_refused(value):
    with pytest.raises(BadRequest, match=r"^datetime_frequency_interval: "):
        parse_interval_name(value)
