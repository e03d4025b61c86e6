"""Rasters of any kind GDAL reads, onto one block of a cube's grid.

A source on the cube's own lattice is pasted, pixel for pixel. Any other is warped by GDAL from the overview that fits,
in warp blocks anchored to one corner: GDAL interpolates positions within a warp block, so that fixed ones let a
block's size and place never change a pixel.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError, ObjectNullError
from rasterio.enums import ColorInterp, MaskFlags, Resampling
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

_WARP_TOLERANCE = 1e-4
"""Pixels by which GDAL may round a position while warping: costs twice its usual 0.125, a tenth of an exact warp."""

_WARP_BLOCK = (128, 512)
"""Rows and columns of a warp block, as GDAL lays them out."""


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
    href: str,
    index: int,
    geobox: GeoBox,
    *,
    nodata: float | None = None,
    resampling: str = "nearest",
    anchor: tuple[float, float] = (0.0, 0.0),
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
    anchor : tuple of float
        x and y of a corner of the warp blocks: the same for all parts of a cube, best the cube's own corner.

    Returns
    -------
    numpy.ndarray
        Shape of the geobox, float32 (float64 for sources float32 cannot hold), not yet scaled.

    Raises
    ------
    ReadFault
        Where the file is missing, broken, has no such band, or no georeference; the message gives GDAL's cause.
    """
    with _faults(href), rasterio.Env(**GDAL_OPTIONS), _open_fitting(href, index, geobox) as source:
        shift = _lattice_shift(_source_grid(source, href), geobox)
        empty = source.nodatavals[index - 1] if nodata is None else nodata
        if shift is not None:
            return _paste(source, index, geobox, shift, empty)
        return _warp(source, index, geobox, empty, resampling, anchor)


@contextmanager
def _open_fitting(href: str, index: int, geobox: GeoBox) -> Iterator[Any]:
    with rasterio.open(href, sharing=False) as source:
        if not 1 <= index <= source.count:
            raise ReadFault(f"{_shown(href)} has {source.count} bands, band {index} was expected.")
        shrink = _shrink(_source_grid(source, href), geobox)
        fitting = [level for level, factor in enumerate(source.overviews(index)) if factor <= shrink * 1.001]
        if not fitting:
            yield source
            return
    with rasterio.open(href, sharing=False, overview_level=fitting[-1]) as overview:
        yield overview


def _shrink(native: GeoBox, geobox: GeoBox) -> float:
    assert native.crs is not None
    assert geobox.crs is not None
    place = native.crs.transformer_to_crs(geobox.crs)
    row, column = (length / 2 for length in native.shape)
    ends = [~geobox.transform * place(*(native.transform * (column + i, row + j))) for i, j in ((0, 0), (1, 0), (0, 1))]
    longest = max(math.dist(ends[0], end) for end in ends[1:])
    return 1 / longest if 0 < longest < math.inf else 1.0


@contextmanager
def _faults(href: str) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CRSError, CPLE_BaseError, ObjectNullError, ProjError, OSError, ValueError) as exc:
        cause = _cause(exc)
        exc.__cause__ = exc.__context__ = None  # GDAL's own error objects do not survive the way back from a worker
        raise ReadFault(f"{_shown(href)} cannot be read: {cause}") from _portable(exc)


def _portable(exc: Exception) -> Exception:
    return RasterioIOError(str(exc)) if isinstance(exc, CPLE_BaseError) else exc


def _cause(exc: BaseException) -> str:
    deepest = exc
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    text = str(deepest).splitlines()[0] if str(deepest) else type(deepest).__name__
    return _shown(text)[:200]


def _shown(href: str) -> str:
    return re.sub(r"(?<=//)[^/@]*@", "", href.split("?", 1)[0])


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
        window = Window(left, top, right - left, bottom - top)
        raw = source.read(index, window=window)
        values = _blank(raw, nodata, out.dtype)
        if nodata is None and source.mask_flag_enums[index - 1] != [MaskFlags.all_valid]:
            values[source.read_masks(index, window=window) == 0] = np.nan
        out[top - row : bottom - row, left - column : right - column] = values
    return out


def _warp(
    source: Any, index: int, geobox: GeoBox, nodata: float | None, resampling: str, anchor: tuple[float, float]
) -> Array:
    anchored, window = _anchored(geobox, anchor)
    rows, columns = anchored.shape
    alpha = source.colorinterp.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in source.colorinterp else 0
    marks = {"src_nodata": nodata, "nodata": np.nan} if nodata is not None else {"add_alpha": not alpha}
    with WarpedVRT(
        source,
        crs=str(anchored.crs),
        transform=anchored.transform,
        width=columns,
        height=rows,
        resampling=Resampling[resampling],
        dtype=str(_float_for(source.dtypes[index - 1])),
        tolerance=_WARP_TOLERANCE,
        num_threads=1,
        src_alpha=alpha,
        UNIFIED_SRC_NODATA="NO",
        **marks,
    ) as warped:
        values: Array = warped.read(index, window=window)
        if nodata is None:
            values[warped.read(alpha or warped.count, window=window) == 0] = np.nan
        return values


def _anchored(geobox: GeoBox, anchor: tuple[float, float]) -> tuple[GeoBox, Window]:
    step = geobox.transform
    rows, columns = geobox.shape
    column, row = (-at for at in ~step * anchor)
    above, left = (math.floor(at + 1e-3) % size for at, size in zip((row, column), _WARP_BLOCK, strict=True))
    whole = tuple(
        -(-(lead + n) // size) * size for lead, n, size in zip((above, left), (rows, columns), _WARP_BLOCK, strict=True)
    )
    return GeoBox(whole, step @ Affine.translation(-left, -above), geobox.crs), Window(left, above, columns, rows)


def _blank(raw: Array, nodata: float | None, dtype: np.dtype[Any]) -> Array:
    values = raw.astype(dtype)
    if nodata is not None and not np.isnan(nodata):
        values[raw == nodata] = np.nan
    return values


def _float_for(dtype: str) -> np.dtype[Any]:
    return np.dtype("float32") if np.can_cast(dtype, "float32") else np.dtype("float64")
