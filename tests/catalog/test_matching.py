"""Whether a document answers: everything that a catalogue may not understand is checked of its documents."""

from dataclasses import replace

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from earthlab.catalog import Query, make_query
from earthlab.errors import BadRequest
from earthlab.types import BBox

SQUARE = shapely.box(1, 43, 2, 44)


def document(properties: dict | None = None, **changes) -> dict:
    return {
        "type": "Feature",
        "id": "un",
        "collection": "essai",
        "bbox": [1, 43, 2, 44],
        "geometry": SQUARE.__geo_interface__,
        "properties": {"datetime": "2018-07-08T10:50:00Z", **(properties or {})},
        "assets": {},
        "links": [],
        **changes,
    }


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (make_query(), True),
        (make_query("essai"), True),
        (make_query("autre"), False),
        (make_query(ids=["un", "deux"]), True),
        (make_query(ids="deux"), False),
        (make_query(time="2018-07"), True),
        (make_query(time="2018-08"), False),
        (make_query(time=(None, "2018-07-08T10:50:00Z")), True),
        (make_query(time=("2018-07-08T10:50:01Z", None)), False),
        (make_query(bbox=(1.5, 43.5, 3, 45)), True),
        (make_query(bbox=(2, 44, 3, 45)), True),
        (make_query(bbox=(2.1, 43, 3, 44)), False),
        (make_query(bbox=BBox(170, 40, 1.5, 50)), True),
        (make_query(bbox=BBox(170, 40, -170, 50)), False),
        (make_query(geometry=shapely.Point(1.5, 43.5)), True),
        (make_query(geometry=shapely.Point(2.5, 43.5)), False),
    ],
)
def test_collections_ids_time_and_place_are_checked(query, kept):
    assert query.keeps(document()) is kept


@pytest.mark.parametrize(
    ("asked", "stated", "kept"),
    [
        ("sentinel-2", {"platform": "sentinel-2a"}, True),
        ("Sentinel 2", {"platform": "SENTINEL2A"}, True),
        ("sentinel-2", {"platform": "S2A"}, True),
        ("sentinel-2a", {"platform": "S2B"}, False),
        ("sentinel-2", {"platform": "s2b-1c", "constellation": "Sentinel-2"}, True),
        ("sentinel-5p", {"platform": "Sentinel 5 Precursor"}, True),
        ("landsat", {"platform": "LANDSAT_8"}, True),
        ("landsat-8", {"platform": "landsat-80"}, False),
        ("sentinel-2", {"platform": "sentinel-20"}, False),
        ("sentinel-2", {}, False),
        ("sentinel-2", {"platform": None}, False),
        (["spot-6", "spot-7"], {"platform": "spot7"}, True),
        ("-", {"platform": "spot7"}, False),
    ],
)
def test_satellites_are_found_whatever_their_spelling(asked, stated, kept):
    assert make_query(platform=asked).keeps(document(stated)) is kept


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ({"instruments": ["msi"]}, True),
        ({"instruments": ["OLI", "MSI"]}, True),
        ({"instrument": "MSI"}, True),
        ({"instruments": ["olci"]}, False),
        ({}, False),
    ],
)
def test_instruments_are_found_in_both_spellings_of_the_field(stated, kept):
    assert make_query(instrument="msi").keeps(document(stated)) is kept


@pytest.mark.parametrize(("cover", "kept"), [(10, True), (40, True), (40.1, False), (None, True)])
def test_clouds_that_are_not_stated_are_kept(cover, kept):
    assert make_query(max_cloud=40).keeps(document({"eo:cloud_cover": cover})) is kept


def test_properties_all_have_to_hold():
    asked = make_query(where={"gsd": ("<=", 10), "grid:code": ["T31TCJ", "T31TDJ"]})
    assert asked.keeps(document({"gsd": 10, "grid:code": "T31TCJ"}))
    assert not asked.keeps(document({"gsd": 20, "grid:code": "T31TCJ"}))
    assert not asked.keeps(document({"gsd": 10}))


def test_the_time_observed_counts_and_not_that_of_ingestion():
    """GEODES: observed in April, ingested in May."""
    times = {
        "datetime": "2025-05-03T09:00:26Z",
        "start_datetime": "2025-04-02T17:57:41Z",
        "end_datetime": "2025-04-02T17:57:41Z",
    }
    assert make_query(time="2025-04").keeps(document(times))
    assert not make_query(time="2025-05").keeps(document(times))


def test_without_an_outline_the_box_counts_and_without_both_it_is_nowhere():
    asked = make_query(bbox=(1, 43, 2, 44))
    assert asked.keeps(document(geometry=None))
    assert not asked.keeps(document(geometry=None, bbox=None))
    bow_tie = shapely.Polygon([(1, 43), (2, 44), (2, 43), (1, 44)])
    assert asked.keeps(document(geometry=bow_tie.__geo_interface__))


@pytest.mark.parametrize(
    "broken", [{"geometry": {"type": "Polygone"}}, {"geometry": "x"}, {"bbox": [1, 44, 2, 43], "geometry": None}]
)
def test_a_place_that_cannot_be_read_is_refused(broken):
    with pytest.raises((ValueError, BadRequest), match=r"not GeoJSON|south 44"):
        make_query(bbox=(1, 43, 2, 44)).keeps(document(**broken))


@given(
    st.floats(-179, 178), st.floats(-89, 88), st.floats(0.01, 1), st.floats(0.01, 1),
    st.floats(-179, 178), st.floats(-89, 88), st.floats(0.01, 1), st.floats(0.01, 1),
)  # fmt: skip
def test_boxes_meet_as_shapely_says(west, south, wide, high, west2, south2, wide2, high2):
    there = shapely.box(west, south, west + wide, south + high)
    asked = make_query(bbox=(west2, south2, west2 + wide2, south2 + high2))
    oracle = shapely.box(*asked.bbox.as_tuple()).intersects(there)
    assert asked.keeps(document(geometry=there.__geo_interface__)) is bool(oracle)


def test_what_is_left_out_is_not_checked():
    asked = make_query("autre", ids="deux", time="2001", bbox=(5, 5, 6, 6), platform="x", where={"gsd": 3})
    for name in ("collections", "ids", "period", "bbox", "platform", "where"):
        asked = asked.without(name)
    assert asked == Query()
    assert replace(asked, limit=1).keeps(document())
