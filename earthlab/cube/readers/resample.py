"""Arrays in memory onto a tile: pasted where the lattices agree, else warped by GDAL.

The array that GDAL sees is only the part that was fetched, but at its place in the whole: positions are computed from
the whole array's origin and from the cube's corner, so that a tile's size and place never change a pixel.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as Span

from earthlab.cube.readers.window import Window

Array = np.ndarray[Any, np.dtype[Any]]
Fetch = Callable[[slice, slice], Array]
"""Rows and columns of the whole array to its values, with axes layer, row, column."""
Judge = Callable[[Array], Array]
"""Raw values to whether each is an observation."""

PICKING = frozenset({"nearest", "mode"})
"""Resamplings that give values of the source itself, so that its own dtype holds them."""

MOST_FETCHED = 2**26
"""Values fetched at once, at most: a tile that needs more is filled in parts."""

_LATTICE_TOLERANCE = 0.01
"""Pixels by which two lattices may stray from each other and still count as the same."""

_WARP_TOLERANCE = 1e-3
"""Pixels by which GDAL may round a position while warping."""

_VRT_STEP = 4096
"""A warped view reaches from the anchor to a multiple of this many pixels: its numbers do not depend on the tile."""

_SAMPLES = 21
"""Points a side at which a tile's outline in the other CRS is computed, as many as GDAL takes."""

_REACH = {"nearest": 1, "bilinear": 2, "cubic": 3, "cubic_spline": 3, "lanczos": 4}
"""Source pixels a kernel may need on each side, per source pixel of the target's size."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows and columns of an array: ``top:bottom, left:right``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> int:
        """How many pixels it has; 0 where it is empty."""
        return max(self.bottom - self.top, 0) * max(self.right - self.left, 0)

    def within(self, shape: tuple[int, int]) -> "Part":
        """What of it lies within an array of this shape."""
        rows, columns = shape
        return Part(max(self.top, 0), min(self.bottom, rows), max(self.left, 0), min(self.right, columns))


def apply_affine(transform: Affine, x: Array, y: Array) -> tuple[Array, Array]:
    """The transform of many points."""
    a, b, c, d, e, f = tuple(transform)[:6]
    return a * x + b * y + c, d * x + e * y + f


def lattice_shift(native: GeoBox, geobox: GeoBox) -> tuple[int, int] | None:
    """Row and column of ``native`` at which ``geobox`` begins, or ``None`` where they are not on one lattice."""
    if native.crs != geobox.crs:
        return None
    step: Affine = ~native.transform @ geobox.transform
    rows, columns = geobox.shape
    drift = max(abs(step.a - 1) * columns, abs(step.e - 1) * rows, abs(step.b) * rows, abs(step.d) * columns)
    row, column = round(step.f), round(step.c)
    if max(drift, abs(step.f - row), abs(step.c - column)) > _LATTICE_TOLERANCE:
        return None
    return row, column


def place(
    fetch: Fetch, judge: Judge, native: GeoBox, geobox: GeoBox, *, resampling: str, anchor: tuple[float, float]
) -> list[Window] | None:
    """The layers of an array on one tile, or ``None`` where the array does not touch it.

    Parameters
    ----------
    fetch : callable
        Gives the raw values of some rows and columns; called with what the tile needs alone.
    judge : callable
        Says which raw values are observations.
    native : GeoBox
        Where the whole array lies.
    geobox : GeoBox
        The tile.
    resampling : str
        GDAL's name; not used where both are on one lattice.
    anchor : tuple of float
        x and y of the cube's corner.

    Returns
    -------
    list of Window or None
        One a layer, with ``valid``; in the raw dtype where pasted or picked, else in float32 or float64.
    """
    shift = lattice_shift(native, geobox)
    if shift is None:
        return _warped(fetch, judge, native, geobox, resampling, anchor)
    (row, column), (rows, columns) = shift, geobox.shape
    part = Part(row, row + rows, column, column + columns).within(native.shape.yx)
    if not part.size:
        return None
    raw = fetch(slice(part.top, part.bottom), slice(part.left, part.right))
    top, left = part.top - row, part.left - column
    return [Window(layer, top, left, valid=valid) for layer, valid in zip(raw, judge(raw), strict=True)]


def _warped(
    fetch: Fetch, judge: Judge, native: GeoBox, geobox: GeoBox, resampling: str, anchor: tuple[float, float]
) -> list[Window] | None:
    out: Array | None = None
    raw = np.dtype("float32")
    for (rows, columns), piece in _pieces(native, geobox, resampling):
        part = _needed(native, piece, resampling)
        if part.size:
            values = fetch(slice(part.top, part.bottom), slice(part.left, part.right))
            raw = values.dtype
            warped = _warp(_marked(values, judge), part, native, piece, resampling, anchor)
            out = np.full((len(warped), *geobox.shape), np.nan, warped.dtype) if out is None else out
            out[:, rows, columns] = warped
    if out is None:
        return None
    return [_as_window(layer, raw, resampling) for layer in out]


def _marked(raw: Array, judge: Judge) -> Array:
    values = raw.astype(float_for(raw.dtype))
    values[~judge(raw)] = np.nan
    return values


def _as_window(layer: Array, raw: np.dtype[Any], resampling: str) -> Window:
    valid = ~np.isnan(layer)
    if raw.kind == "f" or resampling not in PICKING:
        return Window(layer, valid=valid)
    return Window(np.where(valid, layer, 0).astype(raw), valid=valid)


def _pieces(native: GeoBox, geobox: GeoBox, resampling: str) -> Iterator[tuple[tuple[slice, slice], GeoBox]]:
    """Parts of the tile that each need a bearable part of the source, with where they lie on the tile."""
    waiting = [(slice(0, geobox.shape.y), slice(0, geobox.shape.x))]
    while waiting:
        rows, columns = waiting.pop()
        corner = geobox.transform @ Affine.translation(columns.start, rows.start)
        piece = GeoBox((rows.stop - rows.start, columns.stop - columns.start), corner, geobox.crs)
        if max(piece.shape) > 1 and _needed(native, piece, resampling).size > MOST_FETCHED:
            waiting += _halves(rows, columns)
        else:
            yield (rows, columns), piece


def _halves(rows: slice, columns: slice) -> list[tuple[slice, slice]]:
    if rows.stop - rows.start >= columns.stop - columns.start:
        middle = (rows.start + rows.stop) // 2
        return [(slice(rows.start, middle), columns), (slice(middle, rows.stop), columns)]
    middle = (columns.start + columns.stop) // 2
    return [(rows, slice(columns.start, middle)), (rows, slice(middle, columns.stop))]


def float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of the dtype, else float64."""
    return np.dtype("float32") if np.can_cast(dtype, "float32") else np.dtype("float64")


def _needed(native: GeoBox, geobox: GeoBox, resampling: str) -> Part:
    """What of the array the tile needs, generously: between the sampled points the outline may bend."""
    assert native.crs is not None
    assert geobox.crs is not None
    rows, columns = geobox.shape
    down, across = np.meshgrid(
        np.linspace(0, rows, min(_SAMPLES, rows + 1)),
        np.linspace(0, columns, min(_SAMPLES, columns + 1)),
        indexing="ij",
    )
    there = geobox.crs.transformer_to_crs(native.crs)(*apply_affine(geobox.transform, across, down))
    column, row = apply_affine(~native.transform, *there)
    known = np.isfinite(column) & np.isfinite(row)
    if not known.any():
        return Part(0, 0, 0, 0)
    top, bottom = _reach(row, known, resampling, rows)
    left, right = _reach(column, known, resampling, columns)
    return Part(top, bottom, left, right).within(native.shape.yx)


def _reach(at: Array, known: Array, resampling: str, pixels: int) -> tuple[int, int]:
    at = np.where(known, at, np.nan)
    steps = [np.abs(np.diff(at, axis=axis)) for axis in (0, 1)]
    longest = max((float(np.nanmax(step)) for step in steps if np.isfinite(step).any()), default=0.0)
    a_pixel = max(longest * min(_SAMPLES - 1, pixels) / pixels, 1.0)
    bend = 0.0 if known.all() and at.size > 4 and longest <= 1 else longest
    margin = bend + _REACH.get(resampling, 2) * a_pixel + 2
    return math.floor(float(np.nanmin(at)) - margin), math.ceil(float(np.nanmax(at)) + margin)


def _warp(
    marked: Array, part: Part, native: GeoBox, piece: GeoBox, resampling: str, anchor: tuple[float, float]
) -> Array:
    view, window = _anchored(piece, anchor)
    with (
        rasterio.Env(GDAL_NUM_THREADS=1),
        _as_source(marked, part, native) as source,
        WarpedVRT(
            source,
            crs=str(view.crs),
            transform=view.transform,
            width=view.shape.x,
            height=view.shape.y,
            resampling=Resampling[resampling],
            src_nodata=np.nan,
            nodata=np.nan,
            tolerance=_WARP_TOLERANCE,
            num_threads=1,
            UNIFIED_SRC_NODATA="NO",
        ) as warped,
    ):
        values: Array = warped.read(window=window)
    return values


def _anchored(piece: GeoBox, anchor: tuple[float, float]) -> tuple[GeoBox, Span]:
    step = piece.transform
    rows, columns = piece.shape
    column, row = (-at for at in ~step @ anchor)
    if max(abs(column - round(column)), abs(row - round(row))) < _LATTICE_TOLERANCE:
        origin, above, left = anchor, round(row), round(column)
    else:
        above, left = math.floor(row), math.floor(column)
        origin = step @ (-left, -above)
    up, back = (-min(at, 0) // _VRT_STEP * _VRT_STEP + (_VRT_STEP if at < 0 else 0) for at in (above, left))
    grid = Affine(step.a, step.b, origin[0], step.d, step.e, origin[1]) @ Affine.translation(-back, -up)
    whole = tuple(-(-(lead + n) // _VRT_STEP) * _VRT_STEP for lead, n in ((above + up, rows), (left + back, columns)))
    return GeoBox(whole, grid, piece.crs), Span(left + back, above + up, columns, rows)


@contextmanager
def _as_source(marked: Array, part: Part, native: GeoBox) -> Iterator[Any]:
    """A dataset as large as the whole array, that holds the fetched part at its place and nothing elsewhere."""
    layers, rows, columns = marked.shape
    shape = {"count": layers, "height": rows, "width": columns, "dtype": marked.dtype}
    with MemoryFile(ext=".tif") as memory:
        with memory.open(
            driver="GTiff", transform=native.transform, INTERLEAVE="BAND", BIGTIFF="IF_SAFER", **shape
        ) as f:
            f.write(marked)
        with rasterio.open(_vrt(memory.name, marked, part, native)) as source:
            yield source


def _vrt(name: str, marked: Array, part: Part, native: GeoBox) -> str:
    layers, rows, columns = marked.shape
    kind = "Float32" if marked.dtype == np.float32 else "Float64"
    span = f'xSize="{columns}" ySize="{rows}"'
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><NoDataValue>nan</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="0">{escape(name)}</SourceFilename><SourceBand>{band}</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" {span}/><DstRect xOff="{part.left}" yOff="{part.top}" {span}/>'
        "</SimpleSource></VRTRasterBand>"
        for band in range(1, layers + 1)
    )
    a, b, c, d, e, f = tuple(native.transform)[:6]
    return (
        f'<VRTDataset rasterXSize="{native.shape.x}" rasterYSize="{native.shape.y}">'
        f"<SRS>{escape(str(native.crs))}</SRS>"
        f"<GeoTransform>{c!r}, {a!r}, {b!r}, {f!r}, {d!r}, {e!r}</GeoTransform>{bands}</VRTDataset>"
    )
