"""Rasters of any kind GDAL reads, onto one block of a cube's grid.

A source on the cube's own lattice is pasted, pixel for pixel. Any other is warped by GDAL from the overview that fits,
through a view anchored to one corner: GDAL interpolates positions within the blocks of a view, so that fixed ones let
a tile's size and place never change a pixel.
"""

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import rasterio
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError, ObjectNullError
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import CRSError, RasterioError, RasterioIOError
from rasterio.session import Session
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterWindow

from earthlab.catalog.signing import Signed
from earthlab.cube.globe import full_turn, turns_between
from earthlab.cube.grid import affine_bounds, is_crs
from earthlab.cube.plan import Source
from earthlab.cube.readers.opened import Lender, is_remote, signed_and_stamped
from earthlab.cube.readers.placed import Marks, can_gather, resample
from earthlab.cube.readers.placement import place, serves
from earthlab.cube.readers.window import Array, Window, norm_nodata, overlay
from earthlab.errors import BadRequest, ReadFault

GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": 1,
    "GDAL_HTTP_RETRY_DELAY": 0.3,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_LOW_SPEED_TIME": 15,
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1000,
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_NUM_THREADS": 1,
    "CPL_VSIL_CURL_CACHE_SIZE": 320 * 2**20,
}

os.environ.setdefault("GDAL_CACHEMAX", "64")
"""MiB of decoded blocks a process keeps. GDAL would take a twentieth of the machine, whatever a worker may use; and
``rasterio.Env`` sets it in bytes, for the whole process, back and forth as threads come and go."""

_VSI = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}

RESAMPLINGS = tuple(r.name for r in Resampling if r.name != "gauss")

_LONG = (np.dtype("int64"), np.dtype("uint64"))
"""Whose largest value no float is, and GDAL's warper computes in floats."""

_PICKING = {"nearest", "mode"}
"""Resamplings that give values of the source itself, so that its own dtype holds them."""

_LATTICE_TOLERANCE = 0.01
"""Pixels by which a source's lattice may stray from the grid's and still count as the same."""

_WARP_TOLERANCE = 1e-3
"""Pixels by which GDAL may round a position while warping; its usual 0.125 moves borders, an exact warp takes ten
times as long, and this costs a twentieth more than usual."""

_ENDLESS = 1e30
"""Nodata values beyond are the limit of a floating-point dtype, which people round: -3.4e38 means -3.4028235e38."""

_ROUNDED = 1e-3
"""By which share such a value may be rounded."""

_MOST_VIEWS = 4

_VRT_STEP = 4096
"""A warped view of a file begins and ends at multiples of so many pixels from the anchor: tiles of a cube share it."""


class _Lattice(NamedTuple):
    """A grid as plain values, which compare and hash fast."""

    transform: tuple[float, ...]
    shape: tuple[int, int]
    crs: str


def _lattice(grid: GeoBox) -> _Lattice:
    rows, columns = grid.shape
    return _Lattice(tuple(grid.transform)[:6], (rows, columns), str(grid.crs))


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """One open band and what is asked of it for each window, read from the header once."""

    dataset: Any
    index: int
    grid: GeoBox
    lattice: _Lattice
    dtype: str
    nodata: float | None
    alpha: int
    masked: bool
    """Whether a mask of the file's own says which pixels are valid."""
    overviews: tuple[int, ...]
    views: "dict[tuple[Any, ...], Any]" = field(default_factory=dict)
    """The band as warped onto the grids of cubes that are being read."""
    shrinks: "dict[tuple[Any, ...], float]" = field(default_factory=dict)
    """By how much grids are coarser than the band."""

    def view(self, key: tuple[Any, ...], open_: Callable[[], Any]) -> Any:
        """The warped view for a key, opened if need be; only the latest few are kept."""
        if key not in self.views:
            while len(self.views) >= _MOST_VIEWS:
                self.views.pop(next(iter(self.views))).close()
            self.views[key] = open_()
        return self.views[key]

    def close(self) -> None:
        """Close the views, then the file."""
        for view in self.views.values():
            view.close()
        self.dataset.close()


class _BucketKeys(Session):  # type: ignore[misc]  # rasterio has no types
    """Keys of S3 for GDAL, which rasterio takes from a session and refuses among the options."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self._options = options

    def get_credential_options(self) -> Mapping[str, str]:
        return self._options


def gdal_env(signed: Signed, **words: Any) -> rasterio.Env:
    """GDAL's options for a read, with those that the signer adds."""
    keys = {name: value for name, value in signed.options.items() if name.startswith("AWS_")}
    rest = {name: value for name, value in signed.options.items() if name not in keys}
    return rasterio.Env(_BucketKeys(keys) if keys else None, **GDAL_OPTIONS, **rest, **words)


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
    sources: Sequence[Source], geobox: GeoBox, *, resampling: str, anchor: tuple[float, float]
) -> list[Window | None]:
    """The raw values of one band on one tile; a `Reader`.

    Exact where the source lies on the tile's own lattice, or on one whose pixels are a whole number of the tile's; any
    other is warped by GDAL. What is coarser than the source is read from the overview that fits.
    """
    source = sources[0]
    try:
        with _faults(source.href):
            window = _read(source, geobox, resampling, anchor)
    except ReadFault:
        if is_remote(source.href):
            _forget_fetched(source.href)
        raise
    return [window] * len(sources)


def _forget_fetched(href: str) -> None:
    """Have GDAL drop what it keeps of a remote file: after a cut answer it would give the same half again."""
    signed, _ = signed_and_stamped(href)
    scheme, _, rest = signed.href.partition("://")
    vsi = (
        _VSI[scheme] + rest if scheme in _VSI else signed.href if href.startswith("/vsi") else f"/vsicurl/{signed.href}"
    )
    with (
        suppress(RasterioError, CPLE_BaseError),  # a file that cannot even be opened has left nothing to drop
        gdal_env(signed, CPL_VSIL_CURL_NON_CACHED=vsi),
    ):
        rasterio.open(signed.href, sharing=False).close()


def _read(source: Source, geobox: GeoBox, resampling: str, anchor: tuple[float, float]) -> Window | None:
    signed, key = signed_and_stamped(source.href)
    good_for = signed.expires - time.time() - 60
    settled = _settled(source.href, signed)
    with settled, _bands.borrow((*key, source.index), partial(_open_band, signed, source), good_for=good_for) as band:
        level = _fitting_level(band, geobox)
        if level is None:
            return _read_band(band, source, geobox, resampling, anchor)
    opening = partial(_open_band, signed, source, overview_level=level)
    with settled, _bands.borrow((*key, source.index, level), opening, good_for=good_for) as overview:
        return _read_band(overview, source, geobox, resampling, anchor)


def _settled(href: str, signed: Signed) -> AbstractContextManager[Any]:
    """GDAL's options while reading; a local file needs them only to be opened, and setting them takes time."""
    return gdal_env(signed) if is_remote(href) else nullcontext()


def _read_band(
    band: _Band, source: Source, geobox: GeoBox, resampling: str, anchor: tuple[float, float]
) -> Window | None:
    nodata = _resolve_nodata(band, source.nodata)
    ways = [_in_turn(geobox, anchor, x) for x in _resolve_turns(band.lattice, _lattice(geobox))]
    fits = [(tile, fit) for tile, _ in ways if (fit := _resolve_fit(band.lattice, _lattice(tile)))]
    if len(fits) == len(ways) and all(fit.times == 1 or resampling == "nearest" for _, fit in fits):
        pasted = [_paste_or_spread(band, tile, fit, nodata, own_mask=band.masked) for tile, fit in fits]
        return overlay([window for window in pasted if window], geobox.shape.yx)
    if can_gather(band.dtype) and serves(band.grid, geobox, resampling):
        marks = Marks(nodata, partial(_read_mask, band) if band.masked else None)
        placement = place(band.grid, geobox, anchor)
        return resample(partial(_read_part, band), placement, dtype=band.dtype, resampling=resampling, marks=marks)
    return overlay([_warp(band, tile, nodata, resampling, corner) for tile, corner in ways], geobox.shape.yx)


@lru_cache(maxsize=4096)
def _resolve_turns(native: _Lattice, tile: _Lattice) -> tuple[float, ...]:
    """How far to move the tile so that it lies on a source of its own CRS: across ±180 degrees there are two ways."""
    if not is_crs(native.crs, CRS(tile.crs)):
        return (0.0,)
    turn = full_turn(CRS(tile.crs))
    if not turn:
        return (0.0,)
    (left, _, right, _), (west, _, east, _) = (affine_bounds(one.shape, one.transform) for one in (native, tile))
    return tuple(times * turn for times in turns_between((west, east), (left, right), turn))


def _in_turn(geobox: GeoBox, anchor: tuple[float, float], x: float) -> tuple[GeoBox, tuple[float, float]]:
    if not x:
        return geobox, anchor
    moved = GeoBox(geobox.shape, Affine.translation(x, 0) @ geobox.transform, geobox.crs)
    return moved, (anchor[0] + x, anchor[1])


def _read_part(band: _Band, rows: slice, columns: slice) -> Array:
    values: Array = band.dataset.read(band.index, window=RasterWindow.from_slices(rows, columns))
    return values


def _read_mask(band: _Band, rows: slice, columns: slice) -> Array:
    valid: Array = band.dataset.read_masks(band.index, window=RasterWindow.from_slices(rows, columns)) != 0
    return valid


def _open_band(signed: Signed, source: Source, **words: Any) -> _Band:
    with gdal_env(signed):
        dataset = rasterio.open(signed.href, sharing=False, **words)
        try:
            return _describe(dataset, source.href, source.index)
        except BaseException:
            dataset.close()
            raise


def _describe(dataset: Any, shown: str, index: int) -> _Band:
    if not 1 <= index <= dataset.count:
        raise ReadFault(f"{_shown(shown)} has {dataset.count} bands, band {index} was expected.")
    if dataset.dtypes[index - 1].startswith("complex"):
        raise ReadFault(f"{_shown(shown)} holds {dataset.dtypes[index - 1]} values; a real dtype was expected.")
    if dataset.crs is None:
        raise ReadFault(f"{_shown(shown)} states no CRS: it cannot be placed on a grid.")
    alpha = dataset.colorinterp.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in dataset.colorinterp else 0
    grid = GeoBox((dataset.height, dataset.width), dataset.transform, str(dataset.crs.to_wkt()))
    return _Band(
        dataset=dataset,
        index=index,
        grid=grid,
        lattice=_lattice(grid),
        dtype=dataset.dtypes[index - 1],
        nodata=_own_nodata(dataset, index),
        alpha=alpha,
        masked=not {MaskFlags.all_valid, MaskFlags.nodata} & set(dataset.mask_flag_enums[index - 1]),
        overviews=tuple(dataset.overviews(index)),
    )


def _own_nodata(dataset: Any, index: int) -> float | None:
    """The value that the file marks as nodata: rasterio cannot say the largest of 64 bits, which no float is."""
    stated: float | None = dataset.nodatavals[index - 1]
    kind = np.dtype(dataset.dtypes[index - 1])
    if stated is None and kind in _LONG and MaskFlags.nodata in dataset.mask_flag_enums[index - 1]:
        return int(np.iinfo(kind).max)
    return stated


def _resolve_nodata(band: _Band, stated: float | None) -> float | None:
    """What the catalogue states, or the value that it has rounded; the file's own where the dtype does not hold it."""
    kind = np.dtype(band.dtype)
    held = norm_nodata(stated, kind)
    if held is None:
        return norm_nodata(band.nodata, kind)
    if kind.kind != "f" or not _ENDLESS < abs(held) < math.inf:
        return held
    limit = math.copysign(float(np.finfo(kind).max), held)
    meant = (one for one in (band.nodata, limit) if one is not None and math.isclose(one, held, rel_tol=_ROUNDED))
    return next(meant, held)


_bands: Lender[_Band] = Lender(close=_Band.close)


def _fitting_level(band: _Band, geobox: GeoBox) -> int | None:
    if not band.overviews:
        return None
    shrink = _shrink(band, geobox)
    fitting = [level for level, factor in enumerate(band.overviews) if factor <= shrink * 1.001]
    return fitting[-1] if fitting else None


def _shrink(band: _Band, geobox: GeoBox) -> float:
    step = geobox.transform
    key = (step.a, step.b, step.d, step.e, str(geobox.crs))
    if key not in band.shrinks:
        band.shrinks[key] = _measure_shrink(band.grid, geobox)
    return band.shrinks[key]


def _measure_shrink(native: GeoBox, geobox: GeoBox) -> float:
    longest = max(math.hypot(*side) for side in _pixel_sides(native, geobox))
    return 1 / longest if 0 < longest < math.inf else 1.0


def _pixel_sides(native: GeoBox, geobox: GeoBox) -> tuple[tuple[float, float], tuple[float, float]]:
    """The sides of the source's middle pixel, its width and its height, in pixels of the grid."""
    assert native.crs is not None
    assert geobox.crs is not None
    place = native.crs.transformer_to_crs(geobox.crs)
    step = geobox.transform
    to_pixels = ~Affine(step.a, step.b, 0, step.d, step.e, 0)
    row, column = (length / 2 for length in native.shape)
    ends = [place(*(native.transform * (column + i, row + j))) for i, j in ((0, 0), (1, 0), (0, 1))]
    turn = full_turn(geobox.crs)
    (x, y), (right, down), (below, under) = (to_pixels * (_nearest_turn(u, ends[0][0], turn), v) for u, v in ends)
    return (right - x, down - y), (below - x, under - y)


def _nearest_turn(x: float, other: float, turn: float) -> float:
    """The same meridian as near to another as it gets: the middle of a source may lie at 180 degrees."""
    return x - turn * round((x - other) / turn) if turn and math.isfinite(x - other) else x


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


class _Fit(NamedTuple):
    """How a tile lies on a source's lattice, in rows and columns from the source's corner."""

    times: int
    """Pixels of the tile along one of the source."""
    row: int
    column: int


@lru_cache(maxsize=4096)
def _resolve_fit(native: _Lattice, tile: _Lattice) -> _Fit | None:
    """Whole numbers between two lattices, or ``None``: one pixel to one, or several to one."""
    if not is_crs(native.crs, CRS(tile.crs)):
        return None
    step = ~Affine(*native.transform) @ Affine(*tile.transform)
    times = max(round(1 / step.a), 1) if step.a > 0 else 1
    if _drift(step, 1 / times, tile.shape) * times > _LATTICE_TOLERANCE:
        return None
    row, column = round(step.f * times), round(step.c * times)
    stray = max(abs(step.f * times - row), abs(step.c * times - column))
    return _Fit(times, row, column) if stray <= _LATTICE_TOLERANCE else None


def _drift(step: Affine, size: float, shape: tuple[int, int]) -> float:
    rows, columns = shape
    return max(abs(step.a - size) * columns, abs(step.e - size) * rows, abs(step.b) * rows, abs(step.d) * columns)


def _paste(
    band: _Band, geobox: GeoBox, shift: tuple[int, int], nodata: float | None, *, own_mask: bool
) -> Window | None:
    row, column = shift
    rows, columns = geobox.shape
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + rows, band.grid.shape[0]), min(column + columns, band.grid.shape[1])
    if top >= bottom or left >= right:
        return None
    window = RasterWindow(left, top, right - left, bottom - top)
    values = band.dataset.read(band.index, window=window)
    valid = band.dataset.read_masks(band.index, window=window) != 0 if own_mask else None
    return Window(values, top - row, left - column, nodata, valid)


def _paste_or_spread(band: _Band, geobox: GeoBox, fit: _Fit, nodata: float | None, *, own_mask: bool) -> Window | None:
    if fit.times == 1:
        return _paste(band, geobox, (fit.row, fit.column), nodata, own_mask=own_mask)
    return _spread(band, geobox, fit, nodata, own_mask=own_mask)


def _spread(band: _Band, geobox: GeoBox, fit: _Fit, nodata: float | None, *, own_mask: bool) -> Window | None:
    times, row, column = fit
    rows, columns = geobox.shape
    first_row, first_column = row // times, column // times
    coarse = GeoBox(
        (-(-(row + rows) // times) - first_row, -(-(column + columns) // times) - first_column),
        geobox.transform
        @ Affine.translation(first_column * times - column, first_row * times - row)
        @ Affine.scale(times),
        geobox.crs,
    )
    found = _paste(band, coarse, (first_row, first_column), nodata, own_mask=own_mask)
    if found is None:
        return None
    top, left = ((first_row + found.row) * times - row, (first_column + found.column) * times - column)
    values = _repeat(found.values, times, (top, left), (rows, columns))
    valid = None if found.valid is None else _repeat(found.valid, times, (top, left), (rows, columns))
    return Window(values, max(top, 0), max(left, 0), nodata, valid)


def _repeat(values: Array, times: int, corner: tuple[int, int], shape: tuple[int, int]) -> Array:
    (top, left), (rows, columns) = corner, shape
    spread = values.repeat(times, axis=0).repeat(times, axis=1)
    return spread[max(-top, 0) : rows - top, max(-left, 0) : columns - left]


def _warp(band: _Band, geobox: GeoBox, nodata: float | None, resampling: str, anchor: tuple[float, float]) -> Window:
    grid, window = _anchored(geobox, anchor)
    view = band.view((grid, nodata, resampling), lambda: _open_view(band, grid, nodata, resampling))
    values: Array = view.read(band.index, window=window)
    if nodata is not None:
        return _picked(values, band.dtype, nodata) if resampling in _PICKING else Window(values)
    return Window(values, valid=view.read(band.alpha or view.count, window=window) != 0)


def _picked(values: Array, dtype: str, nodata: float | None) -> Window:
    if values.dtype == dtype:
        return Window(values, nodata=nodata)
    valid = np.isfinite(values)
    return Window(np.where(valid, values, 0).astype(dtype), valid=valid)


def _open_view(band: _Band, grid: GeoBox, nodata: float | None, resampling: str) -> Any:
    picking = resampling in _PICKING and (nodata is None or np.dtype(band.dtype) not in _LONG)
    both = nodata is not None and band.masked
    marks = (
        {"add_alpha": not band.alpha}
        if nodata is None
        else {"src_nodata": nodata, "nodata": nodata if picking else np.nan}
    )
    return WarpedVRT(
        _mask_as_nodata(band, nodata) if both else band.dataset,
        crs=str(grid.crs),
        transform=grid.transform,
        width=grid.shape[1],
        height=grid.shape[0],
        resampling=Resampling[resampling],
        dtype=band.dtype if picking else str(_float_for(band.dtype)),
        tolerance=_WARP_TOLERANCE,
        num_threads=1,
        src_alpha=band.alpha,
        UNIFIED_SRC_NODATA="NO",
        **_fixed_scale(band.grid, grid),
        **_round_globe(band),
        **marks,
    )


def _mask_as_nodata(band: _Band, nodata: float | None) -> WarpedVRT:
    """The band's file, pixel for pixel, with nodata where its mask says so: GDAL's warper heeds but one of the two."""
    dataset = band.dataset
    return WarpedVRT(
        dataset,
        crs=dataset.crs,
        transform=dataset.transform,
        width=dataset.width,
        height=dataset.height,
        dtype="float64" if np.dtype(band.dtype) in _LONG else band.dtype,
        src_alpha=band.alpha,
        src_nodata=None,
        nodata=nodata,
    )


def _fixed_scale(native: GeoBox, grid: GeoBox) -> dict[str, float]:
    """Pixels of the grid per pixel of the source, along x and y: GDAL would choose another for each of its blocks."""
    wide, high = _pixel_sides(native, grid)
    if not all(map(math.isfinite, (*wide, *high))) or wide[0] * high[1] == wide[1] * high[0]:
        return {}
    back = ~Affine(wide[0], high[0], 0, wide[1], high[1], 0)
    return {"XSCALE": 1 / math.hypot(back.a, back.d), "YSCALE": 1 / math.hypot(back.b, back.e)}


def _round_globe(band: _Band) -> dict[str, str]:
    """Longitudes counted round the source's own middle: without it GDAL loses what lies beyond ±180 degrees."""
    if band.dataset.crs.to_epsg() != 4326:
        return {}
    box = band.grid.boundingbox
    return {"src_crs": f"+proj=longlat +datum=WGS84 +lon_wrap={(box.left + box.right) / 2} +no_defs"}


def _anchored(geobox: GeoBox, anchor: tuple[float, float]) -> tuple[GeoBox, RasterWindow]:
    step = geobox.transform
    left, top = (round(-at) for at in ~step * anchor)
    column, row = left % _VRT_STEP, top % _VRT_STEP
    rows, columns = geobox.shape
    whole = (_whole(row + rows), _whole(column + columns))
    x, y = Affine(step.a, step.b, anchor[0], step.d, step.e, anchor[1]) * (left - column, top - row)
    return GeoBox(whole, Affine(step.a, step.b, x, step.d, step.e, y), geobox.crs), RasterWindow(
        column, row, columns, rows
    )


def _whole(pixels: int) -> int:
    return -(-pixels // _VRT_STEP) * _VRT_STEP


def _float_for(dtype: str) -> np.dtype[Any]:
    return np.dtype("float32") if np.can_cast(dtype, "float32") else np.dtype("float64")
