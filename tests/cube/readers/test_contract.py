"""Every reader passes the one contract, on every kind of file it is for, from the disk and over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from earthlab.cube.readers.netcdf import read_netcdf
from earthlab.cube.readers.raster import read_raster
from earthlab.cube.readers.zarr import read_zarr
from earthlab.testing.formats import write_geotiff, write_jpeg2000, write_netcdf, write_zarr, write_zipped
from earthlab.testing.readers import CHECKS, Format
from earthlab.testing.stores import Store, serve_files

plain = {"packing": False, "south_first": False}
tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"}

RASTERS = [
    Format("cog", read_raster, partial(write_geotiff, **tiled), dates=False, **plain),
    Format("striped", read_raster, write_geotiff, dates=False, **plain),
    Format("multiband", read_raster, partial(write_geotiff, multiband=True), dates=False, **plain),
    Format("jpeg2000", read_raster, write_jpeg2000, dates=False, nodata=False, dtypes=("uint16", "uint8"), **plain),
    Format("zipped", read_raster, write_zipped, dates=False, **plain),
]
GRIDS = [
    Format("netcdf4", read_netcdf, write_netcdf),
    Format("netcdf4-group", read_netcdf, partial(write_netcdf, group="measurements/fine")),
    Format(
        "netcdf3", read_netcdf, partial(write_netcdf, classic=True), dtypes=("int16", "int32", "float32", "float64")
    ),
    Format("zarr2", read_zarr, partial(write_zarr, version=2)),
    Format("zarr3", read_zarr, write_zarr),
    Format("zarr3-sharded", read_zarr, partial(write_zarr, shards=True)),
    Format("zarr3-group", read_zarr, partial(write_zarr, group="measurements/r10m")),
]
REMOTE = [RASTERS[0], GRIDS[0], GRIDS[2], GRIDS[3], GRIDS[4]]


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("format_", RASTERS + GRIDS, ids=lambda f: f.name)
def test_from_the_disk(format_, check, tmp_path):
    check(format_, tmp_path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Store]]:
    folder = tmp_path_factory.mktemp("served")
    with serve_files(folder) as store:
        yield folder, store


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("format_", REMOTE, ids=lambda f: f.name)
def test_over_http(format_, check, store, request):
    folder, served = store
    here = folder / str(abs(hash(request.node.name)))
    here.mkdir()
    check(replace(format_, address=lambda path: served.url + quote(str(path.relative_to(folder)))), here)
