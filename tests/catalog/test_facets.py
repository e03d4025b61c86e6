"""How an answer is made up: counts that add up, a histogram without holes, and a picture that can be read aloud."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthlab.catalog import Item, ItemSet, norm_item
from earthlab.testing.providers import item as stac_item
from earthlab.types import norm_period

ONE = norm_item(stac_item("un"))
MOMENTS = st.integers(441_763_200, 1_893_456_000).map(lambda second: datetime.fromtimestamp(second, UTC))


def answer(*items: Item) -> ItemSet:
    return ItemSet(items)


def at(*moments: datetime) -> ItemSet:
    return answer(*(replace(ONE, start=moment, end=moment) for moment in moments))


@st.composite
def items(draw):
    return replace(
        ONE,
        start=(moment := draw(MOMENTS)),
        end=moment,
        collection=draw(st.sampled_from(["a", "b", "<b>"])),
        platform=draw(st.sampled_from([None, "s2a", "s2b"])),
        instruments=tuple(draw(st.sets(st.sampled_from(["msi", "oli"])))),
        cloud_cover=draw(st.none() | st.floats(0, 100)),
    )


@given(st.lists(items(), max_size=12))
def test_counts_add_up(found):
    facets = answer(*found).facets()
    assert facets.total == len(found)
    for counts in (facets.collections, facets.platforms, facets.months, facets.clouds, facets.histogram):
        assert sum(counts.values()) == len(found)
    assert facets.collections == Counter(item.collection for item in found)
    assert facets.months == Counter(f"{item.moment:%Y-%m}" for item in found)
    named = Counter(name for item in found for name in item.instruments)
    assert {name: n for name, n in facets.instruments.items() if "/" not in name} == named


@given(st.lists(MOMENTS, min_size=1, max_size=6))
def test_the_histogram_has_no_holes_and_its_keys_are_understood_by_time(moments):
    facets = at(*moments).facets()
    keys = list(facets.histogram)
    assert keys == sorted(set(keys))
    periods = [norm_period(key) for key in keys]
    assert all(b.start - a.end == timedelta(seconds=1) for a, b in pairwise(periods))
    for moment in moments:
        (key,) = [k for k, p in zip(keys, periods, strict=True) if p.start <= moment < p.end + timedelta(seconds=1)]
        assert facets.histogram[key] >= 1


@pytest.mark.parametrize(
    ("days", "unit", "bins"),
    [(0, "day", 1), (20, "day", 21), (90, "month", 4), (366 * 4, "month", 49), (3660, "year", 11)],
)
def test_the_unit_fits_the_length_of_time(days, unit, bins):
    first = datetime(2018, 1, 1, tzinfo=UTC)
    facets = at(first, first + timedelta(days=days)).facets()
    assert (facets.unit, len(facets.histogram)) == (unit, bins)


@pytest.mark.parametrize(
    ("cover", "name"),
    [(0, "0–10 %"), (9.99, "0–10 %"), (10, "10–30 %"), (59, "30–60 %"), (60, "60–100 %"), (100, "60–100 %")],
)
def test_clouds_are_in_classes(cover, name):
    assert answer(replace(ONE, cloud_cover=cover)).facets().clouds == {name: 1}


def test_spellings_of_a_satellite_are_one():
    names = ["SENTINEL2A", "sentinel-2a", "sentinel-2a", "S2A", "sentinel-2b"]
    found = [replace(ONE, platform=name, instruments=(kind,)) for name, kind in zip(names, "mMmmo", strict=True)]
    facets = answer(*found).facets()
    assert facets.platforms == {"sentinel-2a": 4, "sentinel-2b": 1}
    assert facets.instruments == {"m": 4, "o": 1}


def test_nothing_has_no_facets():
    facets = answer().facets()
    empty = {name: {} for name in ("collections", "platforms", "instruments", "months", "clouds", "histogram")}
    assert facets.to_dict() == {"total": 0, "unit": "day", **empty}
    assert "<svg" not in facets._repr_html_()


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.said = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.said.append(data)


def test_the_picture_can_be_read_aloud_and_runs_nothing():
    hostile = "<script>alert(1)</script>"
    first = datetime(2018, 1, 1, tzinfo=UTC)
    found = [replace(ONE, start=first + timedelta(days=n), collection=hostile, platform=hostile) for n in range(30)]
    shown = answer(*found).facets()._repr_html_()
    reader = Reader()
    reader.feed(shown)
    assert "script" not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert hostile in reader.said
    assert reader.tags.count("rect") == reader.tags.count("title") == 30
    (told,) = [value for name, value in reader.attributes if name == "aria-label"]
    assert re.search(r"par jour / a day : 2018-01-01 – 2018-01-30, maximum 1", told)
    assert ("scope", "row") in reader.attributes
    assert "Nuages / cloud cover" in shown


def test_long_lists_are_cut_and_say_so():
    found = [replace(ONE, collection=f"c{n:02}") for n in range(30)]
    shown = answer(*found).facets()._repr_html_()
    assert "6 de plus / more" in shown
