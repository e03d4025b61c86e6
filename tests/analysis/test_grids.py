"""Grids: pixels in metres, one grid or two, polygons on pixels."""

import geopandas as gpd
import numpy as np
import pytest
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from shapely.geometry import box

from earthlab.analysis.grids import (
    check_same_grid,
    crs_of,
    flat,
    inside_of,
    is_geographic,
    nodata_of,
    pixel_size,
    polygon_mask,
    transform_of,
    unpacked,
    upright,
)
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


def test_polygons_may_be_bare_geometries():
    like = grid()
    wanted = polygon_mask(gpd.GeoSeries([box(500_000, 4_949_900, 500_050, 4_950_000)], crs=32632), like)
    bare = box(500_000, 4_949_900, 500_050, 4_950_000)
    for polygons in (bare, [bare]):
        np.testing.assert_array_equal(polygon_mask(polygons, like), wanted)


def test_a_grid_with_uneven_steps_has_no_transform():
    uneven = grid().isel(y=[0, 1, 3])
    with pytest.raises(BadRequest, match="The steps of 'y' are not equal"):
        transform_of(uneven)


def test_degrees_are_told_by_system_names_or_looks():
    fine = {"y": 45 - np.arange(4) / 3600, "x": 5 + np.arange(5) / 3600}
    bare = xr.DataArray(np.zeros((4, 5)), dims=("y", "x"))
    assert is_geographic(bare.assign_coords(fine))
    assert is_geographic(bare.rename(y="lat", x="lon"))
    assert is_geographic(grid(Affine(0.1, 0, 5, 0, -0.1, 45), crs=4326))
    assert not is_geographic(bare)
    assert not is_geographic(bare.assign_coords(y=np.arange(4) * 0.5, x=np.arange(5) * 0.5))
    assert not is_geographic(grid(Affine(0.01, 0, 5, 0, -0.01, 45), crs=32632))
    with pytest.raises(BadRequest, match="US survey foot"):
        pixel_size(grid(crs=2263), "test")


def test_a_map_lies_upright_and_flat():
    cube = grid().expand_dims(time=2, band=1).transpose("x", "band", "y", "time")
    assert upright(cube).dims == ("band", "time", "y", "x")
    assert flat(cube).dims == ("time", "y", "x")
    assert flat(grid()[:1, :1].expand_dims("band")).dims == ("y", "x")


@pytest.mark.parametrize("lazy", [False, True])
def test_stored_values_become_what_they_stand_for(lazy):
    stored = xr.DataArray(np.array([[0, 5, -9999], [7, 1, 2]], "int16"), dims=("y", "x"))
    stored.attrs = {"_FillValue": 7, "scale_factor": 0.5, "add_offset": 10.0, "units": "m"}
    found = unpacked(stored.chunk() if lazy else stored, unsaid=(-9999,))
    assert (found.chunks is not None) == lazy
    np.testing.assert_array_equal(found, [[10, 12.5, np.nan], [np.nan, 10.5, 11]])
    assert (found.dtype, found.attrs) == ("float32", {"units": "m"})
    assert stored.attrs["_FillValue"] == 7
    assert stored.dtype == "int16"
    read = xr.DataArray([1.0, np.nan, np.inf])
    read.encoding = {"scale_factor": 0.5, "_FillValue": -1}
    np.testing.assert_array_equal(unpacked(read), [1, np.nan, np.nan])
    assert nodata_of(read) == -1


def test_an_outline_holds_true_numbers_but_0_and_no_data():
    like = grid()
    held = [[True, False, True, False, False]] * 4
    values = xr.zeros_like(like) + np.array([1, 0, 2, np.nan, 255])
    assert inside_of(values.assign_attrs(_FillValue=255), like, "test", "it").tolist() == held
    assert inside_of(np.array(held), like, "test", "it").tolist() == held
    assert inside_of(values.isel(y=0, drop=True).assign_attrs(nodata=255), like, "test", "it").tolist() == held
    for outline, words in (
        (np.ones((5, 4)), r"shape \(5, 4\)"),
        ("all", "expected true and false"),
        (values.assign_coords(x=values.x + 20), "pixels apart along 'x'"),
    ):
        with pytest.raises(BadRequest, match=words):
            inside_of(outline, like, "test", "it")
