"""What goes round the globe, how far, and by how many turns two spans meet."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.crs import CRS
from pyproj import Transformer

from earthlab.cube.globe import full_turn, turns_between

EQUATOR = 2 * math.pi * 6_378_137


@pytest.mark.parametrize(
    ("crs", "turn"),
    [
        ("EPSG:4326", 360),
        ("EPSG:4269", 360),
        ("EPSG:4807", 400),
        ("EPSG:3857", EQUATOR),
        ("EPSG:3395", EQUATOR),
        ("EPSG:3832", EQUATOR),
        ("ESRI:54001", EQUATOR),
        ("+proj=ob_tran +o_proj=longlat +o_lon_p=-162 +o_lat_p=39.25 +lon_0=180 +datum=WGS84", 360),
        ("EPSG:32601", 0),
        ("EPSG:3413", 0),
        ("EPSG:8857", 0),
    ],
)
def test_a_turn_is_the_way_round_the_globe_in_units_of_the_crs(crs, turn):
    assert full_turn(CRS(crs)) == pytest.approx(turn, rel=1e-12)


def test_without_a_crs_nothing_goes_round():
    assert full_turn(None) == 0


@pytest.mark.parametrize("crs", ["EPSG:6933", "EPSG:3410", "EPSG:4087", "EPSG:3857", "EPSG:3832"])
def test_one_turn_on_is_the_same_place(crs):
    way = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    (here, lat), (there, _) = way.transform(1.2e6, 3e6), way.transform(1.2e6 + full_turn(CRS(crs)), 3e6)
    assert (there - here + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    assert lat != 0


spans = st.tuples(st.integers(-800, 800), st.integers(1, 500)).map(lambda one: (one[0], one[0] + one[1]))


@given(spans, spans, st.sampled_from([0, 360, 400]))
def test_the_turns_are_all_those_by_which_spans_overlap(span, wanted, turn):
    moved = range(-9, 10) if turn else range(1)
    touching = [k for k in moved if span[0] + k * turn < wanted[1] and wanted[0] < span[1] + k * turn]
    assert list(turns_between(span, wanted, turn)) == touching
