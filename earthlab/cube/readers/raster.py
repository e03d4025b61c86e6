"""Rasters of any kind GDAL reads, onto one block of a cube's grid.

A source on the cube's own lattice is pasted, pixel for pixel. Any other is read once, from the overview that fits, and
warped by GDAL with exact coordinates (no approximation), so that a block's size never changes a pixel.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError, RasterioIOError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from earthlab.errors import BadRequest, ReadFault

Array = np.ndarray[Any, np.dtype[Any]]

GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_NUM_THREADS": 1,
}

RESAMPLINGS = tuple(r.name for r in Resampling if r.name != "gauss")

_LATTICE_TOLERANCE = 0.01
"""Pixels by which a source's lattice may stray from the grid's and still count as the same."""

_WARP_TOLERANCE = 1e-6
"""Pixels by which GDAL may round a position while warping; its usual 0.125 lets the block's size change pixels."""


def norm_resampling(name: str) -> str:
    """The resampling's name as GDAL spells it.

    Raises
    ------
    BadRequest
        For a name GDAL does not have.
    """
    if name not in RESAMPLINGS:
        raise BadRequest(f"resampling: found {name!r}, expected one of {', '.join(RESAMPLINGS)}.")
    return name


def read_raster(
    href: str, index: int, geobox: GeoBox, *, nodata: float | None = None, resampling: str = "nearest"
) -> Array:
    """The raw values of one band on a grid, NaN where there is no observation.

    Parameters
    ----------
    href : str
        What GDAL can open: a path, an http(s) or s3 address, a ``/vsi…`` path.
    index : int
        Band number, from 1.
    geobox : GeoBox
        The pixels wanted, any CRS.
    nodata : float, optional
        DN that means no observation; by default what the file states.
    resampling : str
        GDAL's name; not used where the source lies on the grid's own lattice.

    Returns
    -------
    numpy.ndarray
        Shape of the geobox, float32 (float64 for sources float32 cannot hold), not yet scaled.

    Raises
    ------
    ReadFault
        Where the file is missing, broken, has no such band, or no georeference; the message gives GDAL's cause.
    """
    with _faults(href), rasterio.Env(**GDAL_OPTIONS), rasterio.open(href, sharing=False) as source:
        if index > source.count:
            raise ReadFault(f"{_shown(href)} has {source.count} bands, band {index} was expected.")
        native = _source_grid(source, href)
        shift = _lattice_shift(native, geobox)
        empty = source.nodatavals[index - 1] if nodata is None else nodata
        if shift is not None:
            return _paste(source, index, geobox, shift, empty)
        return _warp(source, index, geobox, empty, resampling)


@contextmanager
def _faults(href: str) -> Iterator[None]:
    try:
        yield
    except (RasterioError, RasterioIOError, CRSError, OSError, ValueError) as exc:
        raise ReadFault(f"{_shown(href)} cannot be read: {_cause(exc)}") from exc


def _cause(exc: BaseException) -> str:
    deepest = exc
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    text = str(deepest).splitlines()[0] if str(deepest) else type(deepest).__name__
    return text.split("?", 1)[0][:200]


def _shown(href: str) -> str:
    return href.split("?", 1)[0]


def _source_grid(source: Any, href: str) -> GeoBox:
    if source.crs is None:
        raise ReadFault(f"{_shown(href)} states no CRS: it cannot be placed on a grid.")
    return GeoBox((source.height, source.width), source.transform, str(source.crs.to_wkt()))


def _lattice_shift(native: GeoBox, geobox: GeoBox) -> tuple[int, int] | None:
    if native.crs != geobox.crs:
        return None
    step: Affine = ~native.transform @ geobox.transform
    rows, columns = geobox.shape
    drift = max(abs(step.a - 1) * columns, abs(step.e - 1) * rows, abs(step.b) * rows, abs(step.d) * columns)
    row, column = round(step.f), round(step.c)
    if max(drift, abs(step.f - row), abs(step.c - column)) > _LATTICE_TOLERANCE:
        return None
    return row, column


def _paste(source: Any, index: int, geobox: GeoBox, shift: tuple[int, int], nodata: float | None) -> Array:
    row, column = shift
    rows, columns = geobox.shape
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + rows, source.height), min(column + columns, source.width)
    out = np.full((rows, columns), np.nan, _float_for(source.dtypes[index - 1]))
    if top < bottom and left < right:
        raw = source.read(index, window=Window(left, top, right - left, bottom - top))
        out[top - row : bottom - row, left - column : right - column] = _blank(raw, nodata, out.dtype)
    return out


def _warp(source: Any, index: int, geobox: GeoBox, nodata: float | None, resampling: str) -> Array:
    rows, columns = geobox.shape
    marked = nodata is not None and not np.isnan(nodata)
    with WarpedVRT(
        source,
        crs=str(geobox.crs),
        transform=geobox.transform,
        width=columns,
        height=rows,
        resampling=Resampling[resampling],
        src_nodata=nodata,
        nodata=np.nan if marked else None,
        add_alpha=nodata is None,
        dtype=str(_float_for(source.dtypes[index - 1])),
        tolerance=_WARP_TOLERANCE,
        num_threads=1,
    ) as warped:
        values: Array = warped.read(index)
        if nodata is None:
            values[warped.read(warped.count) == 0] = np.nan
        return values


def _blank(raw: Array, nodata: float | None, dtype: np.dtype[Any]) -> Array:
    values = raw.astype(dtype)
    if nodata is not None and not np.isnan(nodata):
        values[raw == nodata] = np.nan
    return values


def _float_for(dtype: str) -> np.dtype[Any]:
    return np.dtype("float32") if np.can_cast(dtype, "float32") else np.dtype("float64")
