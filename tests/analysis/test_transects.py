"""Points along transects and places beside them."""

import geopandas as gpd
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString, MultiLineString, Point, affinity

from earthlab.analysis.transects import check_metric, iterate_transects, locate_along, points_along
from earthlab.errors import BadRequest

METRES = "EPSG:32630"


def lines(*shapes, names=None, crs=METRES) -> gpd.GeoDataFrame:
    names = names or [f"t{at}" for at in range(len(shapes))]
    return gpd.GeoDataFrame({"transect": names}, geometry=list(shapes), crs=crs)


def test_each_whole_step_begins_with_a_point():
    found = points_along(lines(LineString([(0, 0), (3.4, 0)]), LineString([(0, 0), (0, 2)])))
    assert found.transect.tolist() == ["t0"] * 3 + ["t1"] * 2
    assert found["distance"].tolist() == [0, 1, 2, 0, 1]
    assert [(p.x, p.y) for p in found.geometry] == [(0, 0), (1, 0), (2, 0), (0, 0), (0, 1)]


def test_a_length_that_reprojection_shortened_by_a_hair_keeps_its_points():
    assert len(points_along(lines(LineString([(0, 0), (50 - 1e-9, 0)])))) == 50


def test_a_line_shorter_than_a_step_has_no_point_and_all_of_them_are_refused():
    both = lines(LineString([(0, 0), (0.4, 0)]), LineString([(0, 0), (5, 0)]))
    assert set(points_along(both).transect) == {"t1"}
    with pytest.raises(BadRequest, match="no transect is as long as one step of 6 m"):
        points_along(both, step=6)


def test_points_follow_a_bent_line():
    found = points_along(lines(LineString([(0, 0), (1.5, 0), (1.5, 3)])), step=1)
    np.testing.assert_allclose([(p.x, p.y) for p in found.geometry][2], (1.5, 0.5))


@settings(max_examples=60, deadline=None)
@given(st.floats(0.2, 40), st.floats(0, 360), st.floats(1, 300))
def test_points_lie_on_the_line_at_their_distance(step, angle, length):
    line = affinity.rotate(LineString([(5e5, 5e6), (5e5 + length, 5e6)]), angle, origin=(5e5, 5e6))
    if line.length < step:
        return
    found = points_along(lines(line), step=step)
    assert len(found) == int(line.length / step + 1e-6)
    away = [Point(5e5, 5e6).distance(point) for point in found.geometry]
    np.testing.assert_allclose(away, found["distance"], atol=1e-6)


def test_places_have_a_distance_along_and_a_side():
    line = LineString([(10, 0), (20, 0), (110, 0)])
    along, off = locate_along(line, np.array([[15.0, 0], [10, 3], [0, -4], [200, 0]]))
    np.testing.assert_allclose(along, [5, 0, -10, 190])
    np.testing.assert_allclose(off, [0, 3, -4, 0])


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 360), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_distances_do_not_depend_on_where_a_transect_points(angle, x, y):
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    place = np.array([[30.0, 7.0], [-2.0, -9.0]]) @ matrix + (x, y)
    end = np.array([100.0, 0.0]) @ matrix + (x, y)
    along, off = locate_along(LineString([(x, y), tuple(end)]), place)
    np.testing.assert_allclose(along, [30, -2], atol=1e-8)
    np.testing.assert_allclose(off, [7, -9], atol=1e-8)


def test_degrees_feet_and_nothing_stated_are_refused():
    line = LineString([(0, 0), (1, 1)])
    with pytest.raises(BadRequest, match=r"verb: the table is in EPSG:4326, expected metres"):
        check_metric(lines(line, crs="EPSG:4326"), "verb")
    with pytest.raises(BadRequest, match="expected metres"):
        check_metric(lines(line, crs="EPSG:2225"), "verb")
    with pytest.raises(BadRequest, match="states no reference system"):
        check_metric(lines(line, crs=None), "verb")
    with pytest.raises(BadRequest, match="expected a GeoDataFrame, found list"):
        check_metric([line], "verb")
    assert check_metric(lines(line), "verb") is not None


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (lines(LineString([(0, 0), (9, 0)]), LineString([(0, 0), (9, 0)]), names=["a", "a"]), "'a' comes twice"),
        (lines(Point(0, 0)), "'t0' is Point, expected a line"),
        (lines(None), "'t0' is no geometry, expected a line"),
        (lines(LineString([(1, 1), (1, 1)])), "'t0' is LineString, expected a line"),
        (lines(LineString([(0, 0), (9, 0)])).rename(columns={"transect": "id"}), "no column 'transect'"),
    ],
)
def test_what_is_no_transect_is_refused(frame, message):
    with pytest.raises(BadRequest, match=message):
        list(iterate_transects(frame, "transect", "verb"))


def test_a_step_of_nothing_is_refused():
    with pytest.raises(BadRequest, match="step is 0, expected metres above 0"):
        points_along(lines(LineString([(0, 0), (9, 0)])), step=0)


def test_a_line_in_a_collection_of_one_or_of_parts_that_meet_is_a_line():
    whole = LineString([(0, 0), (3, 0), (5, 0)])
    kept = lines(MultiLineString([whole]), MultiLineString([[(3, 0), (5, 0)], [(0, 0), (3, 0)]]))
    assert [line.coords[0] for _, line in iterate_transects(kept, "transect", "verb")] == [(0, 0), (0, 0)]
    np.testing.assert_allclose(points_along(kept)["distance"], [0, 1, 2, 3, 4] * 2)
    with pytest.raises(BadRequest, match="the transect 't0' is MultiLineString, expected a line"):
        list(iterate_transects(lines(MultiLineString([[(0, 0), (1, 0)], [(2, 0), (3, 0)]])), "transect", "verb"))


def test_a_column_of_places_alone_is_no_table_of_transects():
    with pytest.raises(BadRequest, match="expected a GeoDataFrame, found GeoSeries"):
        points_along(lines(LineString([(0, 0), (3, 0)])).geometry)
