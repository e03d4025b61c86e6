"""What a cube says of its grid: y and x in every CRS, placed in CF's words, and found by other programs."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers .rio
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

import earthlab as el
from earthlab.cube.matchup import points
from earthlab.errors import BadRequest
from earthlab.testing.rasters import scene_items, write_scene
from earthlab.view import show


def words(coordinate) -> tuple[str, ...]:
    return tuple(coordinate.attrs.get(name) for name in ("standard_name", "units", "axis"))


def test_a_projected_cube_has_y_and_x_in_metres(pair):
    cube = el.open(pair)
    assert cube.red.dims == ("time", "y", "x")
    assert words(cube.y) == ("projection_y_coordinate", "metre", "Y")
    assert words(cube.x) == ("projection_x_coordinate", "metre", "X")


def test_a_geographic_cube_has_y_and_x_in_degrees(degrees):
    cube = el.open(degrees)
    assert cube.red.dims == ("time", "y", "x")
    assert words(cube.y) == ("latitude", "degrees_north", "Y")
    assert words(cube.x) == ("longitude", "degrees_east", "X")
    assert not {"latitude", "longitude"} & set(cube.variables)


def test_a_grid_that_is_turned_counts_pixels(pair):
    turned = GeoBox((20, 20), Affine(10, 0, 300_500, 0, -10, 4_899_000) @ Affine.rotation(30), "EPSG:32631")
    cube = el.open(pair, like=turned)
    assert words(cube.x) == (None, "pixel", None)
    assert cube.odc.geobox == turned


def test_a_grid_that_cf_has_no_words_for_is_described_whole_and_in_silence(pair, recwarn):
    cube = el.open(pair, crs="EPSG:21781", resolution=100)
    assert not [str(each.message) for each in recwarn if "CF" in str(each.message)]
    assert pyproj.CRS.from_wkt(cube.spatial_ref.attrs["crs_wkt"]) == pyproj.CRS.from_epsg(21781)


@pytest.mark.parametrize("way", ["as opened", "computed on", "from zarr", "from netcdf"])
def test_a_geographic_cube_is_placed_for_odc_and_rioxarray(degrees, tmp_path, way):
    cube, grid = el.open(degrees), el.plan(degrees).geobox
    if way == "computed on":
        cube = (cube * 2).isel(time=0)
    elif way == "from zarr":
        cube.to_zarr(tmp_path / "c.zarr", consolidated=False)
        cube = xr.open_zarr(tmp_path / "c.zarr", consolidated=False, decode_coords="all")
    elif way == "from netcdf":
        cube.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
        cube = xr.load_dataset(tmp_path / "c.nc", engine="h5netcdf", decode_coords="all")
    assert cube.odc.geobox == grid
    assert cube.rio.crs.to_epsg() == 4326
    assert (cube.rio.y_dim, cube.rio.x_dim) == ("y", "x")
    np.testing.assert_allclose(cube.rio.transform(), grid.transform)


def test_gdal_places_a_geographic_cube(degrees, tmp_path):
    cube = el.open(degrees)
    cube.to_zarr(tmp_path / "c.zarr", consolidated=False, zarr_format=2)
    with rasterio.open(f'ZARR:"{tmp_path / "c.zarr"}":/red:0') as source:
        assert source.crs.to_epsg() == 4326
        np.testing.assert_allclose(source.transform, cube.odc.geobox.transform)


@pytest.mark.parametrize("engine", ["odc", "stackstac"])
def test_the_peers_give_a_geographic_cube_with_the_same_axes(degrees, engine):
    ours, theirs = el.open(degrees).compute(), el.open(degrees, engine=engine).compute(scheduler="sync")
    assert theirs.red.dims == ("time", "y", "x")
    np.testing.assert_allclose(theirs.red, ours.red, rtol=1e-5)


def test_a_band_may_be_called_latitude_but_not_y(tmp_path):
    values = np.ones((40, 50), "float32")
    items = scene_items([write_scene(tmp_path, "n", {"latitude": values, "y": values})])
    assert "latitude" in el.open(items, ["latitude"])
    with pytest.raises(BadRequest, match="'y' is the name of a coordinate"):
        el.open(items, ["y"])


def test_a_geographic_cube_can_be_matched_up_and_shown(degrees):
    cube = el.open(degrees)
    when = {"time": pd.to_datetime(cube.time.values[[0, 0]], utc=True)}
    table = gpd.GeoDataFrame(when, geometry=gpd.points_from_xy(cube.x.values[[3, 7]], cube.y.values[[2, 9]]), crs=4326)
    expected = cube.red.values[0, [2, 9], [3, 7]]
    np.testing.assert_array_equal(points(cube, table).red.astype("float32"), expected)
    np.testing.assert_array_equal(points(cube.compute(), table).red.astype("float32"), expected)
    assert show(cube).layers


def test_a_cube_of_others_with_latitude_and_longitude_can_be_shown(degrees):
    theirs = el.open(degrees).isel(time=0).rename(y="latitude", x="longitude").drop_attrs(deep=False)
    assert show(theirs).layers
