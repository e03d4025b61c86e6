"""Numbers behind pictures: one pixel along time, an area at each date, and the cell that computes the same."""

import ast
import math

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from shapely.geometry import box, mapping

import earthlab as el
from earthlab.errors import AskLess, BadRequest, NothingFound
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.view.bands import open_bands
from earthlab.view.series import (
    COLUMNS,
    area_statistics,
    is_variable,
    parse_area,
    read_series,
    render_statistics_cell,
)
from tests.view.drawn import PLACES, layer

DATES = ["2018-07-01", "2018-07-11", "2018-07-21"]


def place_of(array, row, column):
    x, y = array.odc.geobox.transform @ (column + 0.5, row + 0.5)
    return Transformer.from_crs(array.odc.geobox.crs, "EPSG:4326", always_xy=True).transform(x, y)


def around(array, rows, columns):
    """A polygon through the corners of pixels, in degrees."""
    corners = [array.odc.geobox.transform @ at for at in ((columns[0], rows[0]), (columns[1], rows[0]),
                                                         (columns[1], rows[1]), (columns[0], rows[1]))]  # fmt: skip
    way = Transformer.from_crs(array.odc.geobox.crs, "EPSG:4326", always_xy=True).transform
    ring = [list(way(*corner)) for corner in corners]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


@pytest.fixture
def cube(bare_environment, tmp_path):
    rng = np.random.default_rng(0)

    def date(at):
        red = RasterFile(rng.integers(0, 9000, (600, 500)).astype("uint16"), nodata=0)
        classes = RasterFile(rng.choice([4, 9], (600, 500)).astype("uint8"))
        bands = {"red": SceneBand(red, "red", scale=1e-4), "SCL": SceneBand(classes)}
        return write_scene(tmp_path, f"d{at}", bands, time=f"{DATES[at]}T10:00:00Z", collection="sentinel-2-l2a")

    return el.open(scene_items([date(at) for at in range(3)]), bands=["red"])


def test_the_series_of_a_pixel_is_the_cubes_own(cube):
    computed = cube.compute()
    for row, column in ((0, 0), (599, 499), (123, 456)):
        found = read_series(open_bands(cube), *place_of(cube.red, row, column))
        truth = computed.red.values[:, row, column]
        assert found.times == tuple(f"{date}T10:00:00" for date in DATES)
        assert found.unit == "1"
        assert [v is None for v in found.values] == np.isnan(truth).tolist()
        np.testing.assert_array_equal(np.array(found.values, "float32"), truth)


def test_the_series_of_a_pixel_reads_that_pixel_alone(cube, monkeypatch):
    from earthlab.view import pixels

    asked = []
    monkeypatch.setattr(
        pixels,
        "read_block",
        lambda plan, bands, block, **words: asked.append(plan.spans(block)) or np.zeros((1, 3, 1, 1)),
    )
    read_series(open_bands(cube), *place_of(cube.red, 7, 8))
    assert asked == [(slice(0, 3), slice(7, 8), slice(8, 9))]


def test_a_part_of_a_cube_has_a_part_of_the_series(cube):
    part = cube.isel(time=slice(1, None), x=slice(100, 200))
    found = read_series(open_bands(part), *place_of(part.red, 10, 20))
    np.testing.assert_array_equal(np.array(found.values, "float32"), part.red.values[:, 10, 20])
    assert len(found.times) == 2


@pytest.mark.parametrize("crs", PLACES)
def test_an_array_has_a_series_too_and_one_without_steps_one_value(crs):
    array = layer(np.random.default_rng(1).random((3, 40, 50)), crs, dates=DATES, units="m")
    found = read_series(open_bands(array), *place_of(array, 3, 4))
    assert (found.values, found.unit) == (tuple(array.values[:, 3, 4]), "m")
    alone = read_series(open_bands(array[0]), *place_of(array, 3, 4))
    assert (alone.times, alone.values) == (("",), (array.values[0, 3, 4],))


def test_values_are_said_as_short_as_their_own_type_says_them():
    array = layer(np.full((5, 5), 0.1004, "float32"))
    assert read_series(open_bands(array), *place_of(array, 1, 1)).values == (0.1004,)


def test_a_place_outside_and_several_bands_have_no_series(cube):
    with pytest.raises(NothingFound, match="is outside of red"):
        read_series(open_bands(cube), 0, 0)
    with pytest.raises(BadRequest, match="2 bands were named, expected one"):
        read_series(open_bands(cube.assign(blue=cube.red), ["red", "blue"]), 0.5, 44.2)


def test_the_statistics_of_an_area_are_numpys(cube):
    found = area_statistics(cube, around(cube.red, (20, 120), (30, 90)))
    values = cube.red.values[:, 20:120, 30:90].reshape(3, -1).astype("float64")
    truth = {
        "mean": np.nanmean(values, 1), "median": np.nanmedian(values, 1), "std": np.nanstd(values, 1),
        "min": np.nanmin(values, 1), "max": np.nanmax(values, 1), "count": np.isfinite(values).sum(1),
        "valid": np.isfinite(values).mean(1), "area_km2": np.full(3, 0.6),
    }  # fmt: skip
    assert list(found.columns) == list(COLUMNS)
    for name, expected in truth.items():
        np.testing.assert_allclose(found[name], expected, rtol=2e-3 if name == "area_km2" else 1e-12)
    pd.testing.assert_index_equal(found.index, cube.indexes["time"])


@given(st.lists(st.tuples(st.floats(2, 38), st.floats(2, 28)), min_size=3, max_size=8))
def test_a_pixel_counts_where_its_centre_lies_in_the_area(corners):
    hull = shapely.MultiPoint(corners).convex_hull
    if hull.geom_type != "Polygon":
        return
    array = layer(np.arange(1200.0).reshape(30, 40), "EPSG:2154")
    way = Transformer.from_crs("EPSG:2154", "EPSG:4326", always_xy=True).transform
    ring = [way(*(array.odc.geobox.transform @ corner)) for corner in hull.exterior.coords]
    columns, rows = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
    inside = shapely.contains_xy(hull, columns, rows)
    unsure = shapely.distance(hull.exterior, shapely.points(columns, rows)) < 1e-3
    if not inside.any() or unsure.any() or not shapely.Polygon(ring).is_valid:
        return
    found = area_statistics(array, {"type": "Polygon", "coordinates": [ring]})
    assert found["count"].tolist() == [inside.sum()]
    np.testing.assert_allclose(found["mean"], array.values[inside].mean())
    area = abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.Polygon(ring))[0]) / 1e6
    np.testing.assert_allclose(found["area_km2"], area)


def test_a_hole_is_no_part_of_an_area():
    array = layer(np.ones((50, 50)))
    outer, inner = around(array, (0, 40), (0, 40)), around(array, (10, 20), (10, 20))
    holed = {"type": "Polygon", "coordinates": outer["coordinates"] + inner["coordinates"]}
    assert area_statistics(array, holed)["count"].tolist() == [1500]
    both = {"type": "MultiPolygon", "coordinates": [around(array, (0, 5), (0, 5))["coordinates"], inner["coordinates"]]}
    assert area_statistics(array, both)["count"].tolist() == [125]


def test_an_area_reaches_no_further_than_the_layer():
    array = layer(np.ones((50, 50)))
    found = area_statistics(array, around(array, (40, 90), (-20, 10)))
    assert found["count"].tolist() == [100]
    assert found["valid"].tolist() == [1.0]


def test_a_date_without_observation_has_no_numbers_but_its_count():
    array = layer(np.stack([np.ones((20, 20)), np.full((20, 20), np.nan)]), dates=DATES[:2])
    found = area_statistics(array, around(array, (5, 15), (5, 15)))
    assert found["count"].tolist() == [100, 0]
    assert found["valid"].tolist() == [1.0, 0.0]
    assert found.iloc[1][["mean", "median", "std", "min", "max"]].isna().all()


def test_an_area_of_another_turn_round_the_globe_is_found():
    degrees = np.arange(1.0, 360.0, 2)
    lines = np.arange(10.0, -10.0, -2)
    pacific = xr.DataArray(np.broadcast_to(degrees, (10, 180)), {"y": lines, "x": degrees}, ("y", "x"), "sst")
    west = {"type": "Polygon", "coordinates": [[[-150, -4], [-140, -4], [-140, 4], [-150, 4], [-150, -4]]]}
    found = area_statistics(pacific.odc.assign_crs("EPSG:4326"), west)
    assert found["mean"].tolist() == [215.0]


def test_statistics_are_worked_out_part_by_part(monkeypatch):
    monkeypatch.setattr("earthlab.view.series._AT_ONCE", 100)
    array = layer(np.random.default_rng(0).random((3, 20, 20)), dates=DATES)
    found = area_statistics(array, around(array, (0, 20), (0, 20)))
    np.testing.assert_allclose(found["mean"], array.values.mean((1, 2)))


@pytest.mark.parametrize(
    ("geometry", "why"),
    [
        ({"type": "Point", "coordinates": [1, 2]}, "found a Point"),
        ({"type": "Polygon"}, "expected a GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": "x"}, "expected a GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": []}, "found a Polygon|expected a GeoJSON"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, "a"], [4, 5], [1, 2]]]}, "expected a GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [500_000, 0], [0, 9], [0, 0]]]}, "are no degrees"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [math.nan, 0], [0, 9], [0, 0]]]}, "expected a GeoJSON Polygon"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}, "its border does not cross"),
    ],
)
def test_what_is_no_area_is_refused(geometry, why):
    with pytest.raises(BadRequest, match=why):
        parse_area(geometry)


def test_areas_that_are_too_much_are_refused_with_the_way_out(monkeypatch):
    array = layer(np.ones((50, 50)))
    corners = mapping(shapely.Point(1, 44).buffer(1, quad_segs=2000))
    with pytest.raises(AskLess, match=r"8001 corners, at most 5000 are taken\. Draw it with fewer"):
        area_statistics(array, corners)
    monkeypatch.setattr("earthlab.view.series.MOST_PIXELS", 100)
    with pytest.raises(AskLess, match=r"\d+ pixels at 1 steps.*Draw a smaller area, or select fewer dates"):
        area_statistics(array, around(array, (0, 20), (0, 20)))


def test_areas_with_nothing_in_them_say_so():
    array = layer(np.ones((50, 50)))
    with pytest.raises(NothingFound, match="outside of essai"):
        area_statistics(array, mapping(box(100, 10, 101, 11)))
    with pytest.raises(NothingFound, match="No pixel has its centre in the area"):
        area_statistics(array, around(array, (10.1, 10.2), (10.1, 10.2)))


def test_the_cell_computes_the_same(cube):
    area = around(cube.red, (20, 120), (30, 90))
    names = {"mon_cube": cube}
    exec(render_statistics_cell("mon_cube", area, "red"), names)
    pd.testing.assert_frame_equal(names["statistics"], area_statistics(cube, area, "red"))


HOSTILE = [
    *("a; import os", "a\nb", "__import__('os')", "_hidden", "class", "a.b", "a[0]", "", "é'", 'x"', "a b", "1a"),
    *("None", "lambda", "f(x)", "\u2028a"),
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_variable_is_called_becomes_no_code(name):
    assert not is_variable(name)
    with pytest.raises(BadRequest, match="expected the name of a variable"):
        render_statistics_cell(name, mapping(box(0, 0, 1, 1)))


@given(st.text(max_size=40), st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=3, max_size=6))
def test_whatever_a_band_is_called_the_cell_holds_literals_alone(band, corners):
    ring = [*corners, corners[0]]
    if not shapely.Polygon(ring).is_valid or shapely.Polygon(ring).is_empty:
        return
    geometry = {"type": "Polygon", "coordinates": [ring], "evil": "'; import os"}
    first, second, third, _ = ast.parse(render_statistics_cell("été", geometry, band)).body
    assert isinstance(first, ast.ImportFrom)
    assert set(ast.literal_eval(second.value)) == {"type", "coordinates"}
    call = third.value
    assert [ast.unparse(arg) for arg in call.args] == ["été", "area"]
    assert [ast.literal_eval(word.value) for word in call.keywords] == [band]
