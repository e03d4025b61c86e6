"""A stored cube opens in other programs, placed and scaled."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401 - registers .rio
import xarray as xr
import zarr

import earthlab as el
from earthlab.cube.shared import share_cube


@pytest.fixture
def cube(plan, folder):
    return share_cube(plan, store=folder)


def test_plain_xarray_reads_values_time_and_grid(cube, plan):
    own, plain = el.open(plan).compute(), xr.open_zarr(cube.href, decode_coords="all")
    np.testing.assert_allclose(plain.red, own.red, rtol=1e-6)
    np.testing.assert_array_equal(plain.time, own.time)
    np.testing.assert_array_equal(plain.x, own.x)
    assert plain.red.attrs["units"] == own.red.attrs["units"]
    assert plain.attrs["earthlab_token"] == plan.token


def test_rioxarray_knows_where_it_lies(cube, plan):
    plain = xr.open_zarr(cube.href, decode_coords="all")
    assert plain.rio.crs.to_epsg() == 32631
    assert plain.rio.bounds() == pytest.approx(tuple(plan.geobox.boundingbox))
    assert plain.red.rio.transform() == plan.geobox.transform


def test_gdal_reads_it_or_says_which_codec_it_is_too_old_for(cube, plan):
    """GDAL reads shards since 3.13."""
    name = f'ZARR:"{cube.href}":/red'
    if tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 13):
        with pytest.raises(rasterio.RasterioIOError, match="sharding_indexed"):
            rasterio.open(name)
        return
    with rasterio.open(name) as source:
        assert source.crs.to_epsg() == 32631
        assert source.transform == plan.geobox.transform


def test_the_attributes_are_those_of_cf_and_geozarr(cube, plan):
    group = zarr.open_group(cube.href, mode="r")
    attributes = dict(group.attrs)
    assert {c["name"] for c in attributes["zarr_conventions"]} == {"proj", "spatial"}
    assert attributes["proj:code"] == "EPSG:32631"
    assert attributes["spatial:transform"] == list(plan.transform)
    assert attributes["spatial:shape"] == list(plan.shape)
    assert attributes["Conventions"].startswith("CF-")
    place = dict(group["spatial_ref"].attrs)
    assert "crs_wkt" in place
    assert "GeoTransform" in place
    for name in plan.bands:
        band = group[name]
        assert band.metadata.dimension_names == ("time", "y", "x")
        assert {"grid_mapping", "scale_factor", "_FillValue", "units"} <= set(band.attrs)
        assert band.attrs["grid_mapping"] == "spatial_ref"


def test_the_metadata_are_in_one_file(cube, plan):
    told = json.loads(Path(cube.href, "zarr.json").read_text())
    assert {*plan.bands, "time", "x", "y", "spatial_ref"} == set(told["consolidated_metadata"]["metadata"])


def test_the_chunks_of_the_users_own_zarr_keep_their_own_pipeline(cube, tmp_path):
    cube.open().red.compute()
    mine = zarr.create_array(tmp_path / "mine.zarr", shape=(4,), dtype="i4")
    assert "zarrs" not in type(mine.async_array.codec_pipeline).__module__


def test_a_geographic_cube_is_stored_along_y_and_x(degrees, folder):
    plan = el.plan(degrees)
    cube = share_cube(plan, store=folder)
    group = zarr.open_group(cube.href, mode="r")
    assert group["red"].metadata.dimension_names == ("time", "y", "x")
    assert group.attrs["spatial:dimensions"] == ["y", "x"]
    assert [group[axis].attrs["standard_name"] for axis in ("y", "x")] == ["latitude", "longitude"]
    plain = xr.open_zarr(cube.href, decode_coords="all")
    assert plain.rio.crs.to_epsg() == 4326
    assert plain.odc.geobox == plan.geobox == cube.open().odc.geobox
    np.testing.assert_allclose(plain.red, el.open(plan).red, rtol=1e-6)
    assert list(cube.item["properties"]["cube:dimensions"]) == ["time", "y", "x"]
    assert cube.item["properties"]["cube:variables"]["red"]["dimensions"] == ["time", "y", "x"]
