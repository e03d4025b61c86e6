"""Grids: pixels in metres, one grid or two, polygons on pixels."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from shapely.geometry import box

from earthlab.analysis.grids import check_same_grid, crs_of, pixel_size, polygon_mask, transform_of
from earthlab.errors import BadRequest

AT = Affine(20.0, 0, 500_000, 0, -30.0, 4_950_000)


def grid(at=AT, *, crs=32632, shape=(4, 5)) -> xr.DataArray:
    return wrap_xr(np.zeros(shape), GeoBox(shape, at, crs))


def test_height_width_and_transform():
    assert pixel_size(grid(), "test") == (30.0, 20.0)
    assert transform_of(grid()).almost_equals(AT)
    assert crs_of(grid()) == 32632
    bare = grid().assign_attrs(grid_mapping="spatial_ref").drop_vars("spatial_ref")
    bare.x.attrs.clear()
    bare.y.attrs.clear()
    assert pixel_size(bare, "test") == (30.0, 20.0)
    assert pixel_size(bare.to_dataset(name="a"), "test") == (30.0, 20.0)


def test_a_pixel_that_is_not_known_in_metres_is_refused():
    feet = grid()
    feet.x.attrs["units"] = "US survey foot"
    uneven = grid().assign_coords(x=[0.0, 20, 40, 61, 80])
    cases = [
        (feet, "foot"),
        (uneven, "not equal"),
        (grid(Affine(0.1, 0, 5, 0, -0.1, 45), crs=4326), "degrees"),
        (grid()[:1], "two pixels"),
        (grid().drop_vars("x"), "'x'"),
    ]
    for given, words in cases:
        with pytest.raises(BadRequest, match=words):
            pixel_size(given, "test")
    with pytest.raises(BadRequest, match="two pixels"):
        transform_of(grid()[:1])


def test_one_grid_is_told_from_two():
    check_same_grid(grid(), grid() + 1, "test")
    check_same_grid(grid(), grid().drop_vars(["x", "y", "spatial_ref"]), "test")
    rounded = grid().assign_coords(x=grid().x + 1e-6)
    check_same_grid(grid(), rounded, "test")
    for other, words in (
        (grid(shape=(4, 6)), "5 and 6 pixels"),
        (grid(AT * Affine.translation(0.25, 0)), "0.25 pixels apart along 'x'"),
        (grid(crs=2154), "Lambert-93"),
    ):
        with pytest.raises(BadRequest, match=words):
            check_same_grid(grid(), other, "test")


def test_pixels_whose_centre_is_inside():
    shape = gpd.GeoDataFrame(geometry=[box(500_000, 4_949_940, 500_035, 4_950_000), None], crs=32632)
    found = polygon_mask(shape, grid())
    assert found.values.tolist() == [[True, True, False, False, False]] * 2 + [[False] * 5] * 2
    np.testing.assert_array_equal(polygon_mask(shape.dropna().to_crs(4326), grid()), found)
    assert not polygon_mask(shape[1:], grid()).any()
    assert crs_of(found) == 32632
