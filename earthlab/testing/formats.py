"""Ways to write a known array into a file of each kind that the lab reads."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
import zarr
from pyproj import CRS

from earthlab.cube.plan import Source
from earthlab.testing.readers import Array, Known


def write_geotiff(path: Path, known: Known, *, multiband: bool = False, **options: Any) -> list[Source]:
    """One GeoTIFF a date, or all dates as the bands of one."""
    layers = [known.values] if multiband else [known.values[at : at + 1] for at in range(len(known.values))]
    names = [path.with_name(f"{path.name}-{at}.tif") for at in range(len(layers))]
    for name, values in zip(names, layers, strict=True):
        _write_raster(name, known, values, driver="GTiff", **options)
    if multiband:
        return [Source(str(names[0]), index) for index in range(1, len(known.values) + 1)]
    return [Source(str(name)) for name in names]


def write_jpeg2000(path: Path, known: Known) -> list[Source]:
    """One lossless JPEG 2000 a date."""
    names = [path.with_name(f"{path.name}-{at}.jp2") for at in range(len(known.values))]
    for at, name in enumerate(names):
        lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
        _write_raster(name, known, known.values[at : at + 1], driver="JP2OpenJPEG", **lossless)
    return [Source(str(name)) for name in names]


def write_zipped(path: Path, known: Known) -> list[Source]:
    """A GeoTIFF in a folder of a zip archive, for each date, as GDAL opens it."""
    found = []
    for source in write_geotiff(path, known):
        name = Path(source.href)
        archive = name.with_suffix(".zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            target.write(name, "inner/values.tif")
        name.unlink()
        found.append(Source(f"/vsizip/{{{archive}}}/inner/values.tif"))
    return found


def write_netcdf(path: Path, known: Known, *, classic: bool = False, group: str = "") -> list[Source]:
    """A NetCDF of all dates, after the CF conventions: format 4, or classic (64-bit offsets)."""
    name = path.with_suffix(".nc")
    dataset = _dataset(known)
    words: dict[str, Any] = {"engine": "h5netcdf", "encoding": {"known": {"chunksizes": _chunks(known), "zlib": True}}}
    if classic:
        words = {"engine": "scipy", "format": "NETCDF3_64BIT"}
    elif group:
        words["group"] = group
    name.unlink(missing_ok=True)
    dataset.to_netcdf(name, **words)
    return _sources(str(name), "netcdf", f"{group}/known" if group else "known", known)


def write_zarr(path: Path, known: Known, *, version: int = 3, shards: bool = False, group: str = "") -> list[Source]:
    """A Zarr store of all dates, after the CF conventions, with consolidated metadata."""
    name = path.with_suffix(".zarr")
    chunks = _chunks(known)
    encoding: dict[str, Any] = {"chunks": chunks}
    if shards:
        encoding["shards"] = tuple(2 * size for size in chunks)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
        _dataset(known).to_zarr(
            name, mode="w", zarr_format=version, group=group or None, encoding={"known": encoding}, consolidated=False
        )
        zarr.consolidate_metadata(str(name))
    return _sources(str(name), "zarr", f"{group}/known" if group else "known", known)


def _write_raster(name: Path, known: Known, values: Array, *, driver: str, **options: Any) -> None:
    shape = {"count": len(values), "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype}
    with rasterio.open(
        name, "w", driver=driver, crs=known.crs, transform=known.transform, nodata=known.nodata, **shape, **options
    ) as target:
        target.write(values)


def _chunks(known: Known) -> tuple[int, int, int]:
    dates, rows, columns = (min(size, length) for size, length in zip(known.chunks, known.values.shape, strict=True))
    return dates, rows, columns


def _sources(href: str, kind: str, variable: str, known: Known) -> list[Source]:
    return [Source(href, kind=kind, variable=variable, at=(("time", at),)) for at in range(len(known.values))]


def _dataset(known: Known) -> xr.Dataset:
    """The stored numbers with the attributes that say what they mean: nothing is packed on the way."""
    _, rows, columns = known.values.shape
    easts = known.transform.c + known.transform.a * (np.arange(columns) + 0.5)
    norths = known.transform.f + known.transform.e * (np.arange(rows) + 0.5)
    values = known.values
    if known.south_first:
        norths, values = norths[::-1], values[:, ::-1]
    crs = CRS(known.crs)
    y, x, names = ("lat", "lon", ("degrees_north", "degrees_east")) if crs.is_geographic else ("y", "x", ("m", "m"))
    about = {"scale_factor": known.scale, "add_offset": known.offset, "grid_mapping": "spatial_ref"}
    about["_FillValue"] = None if known.nodata is None else known.values.dtype.type(known.nodata)
    stated = {name: value for name, value in about.items() if value is not None}
    standard = {"y": "projection_y_coordinate", "x": "projection_x_coordinate", "lat": "latitude", "lon": "longitude"}
    return xr.Dataset(
        {"known": (("time", y, x), values, stated)},
        {
            "time": ("time", np.arange(len(values)), {"units": "days since 2018-01-01", "standard_name": "time"}),
            y: (y, norths, {"units": names[0], "standard_name": standard[y]}),
            x: (x, easts, {"units": names[1], "standard_name": standard[x]}),
            "spatial_ref": ((), 0, {"crs_wkt": crs.to_wkt()}),
        },
    )
