"""Raw windows laid onto a block: clear or not, physical values, the first valid one on top."""

from functools import lru_cache
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from earthlab.catalog import MaskRecipe
from earthlab.cube.kernels import lay_first, lay_under, look_up
from earthlab.cube.plan import Source
from earthlab.cube.readers.window import Array, Window, norm_nodata


def clear_pixels(flags: Window, recipe: MaskRecipe, tile: GeoBox) -> Array:
    """Where a mask says clear: bool, in the shape of the tile. What the mask does not cover is not clear."""
    clear = np.zeros(tile.shape, bool)
    part = _part(clear, flags)
    if recipe.kind == "bits":
        part[...] = (flags.values.astype("int64") & recipe.bits) == 0
    elif flags.values.dtype == np.uint8:
        look_up(part, np.ascontiguousarray(flags.values), _table(recipe.keep))
    else:
        part[...] = np.isin(flags.values, recipe.keep)
    if flags.nodata is not None:
        part &= flags.values != flags.nodata
    if flags.valid is not None:
        part &= flags.valid
    return clear


def lay(out: Array, window: Window, source: Source, clear: Array | None, *, fresh: bool) -> None:
    """Physical values of a window onto one date of a tile: over all if it is fresh, else where it is still NaN."""
    if fresh and window.values.shape != out.shape:
        out[...] = np.nan
    values = _plain(window.values)
    good = _everywhere(values.shape) if clear is None else _part(clear, window)
    if window.valid is not None:
        good = good & window.valid
    nodata, marked = _marked(window.nodata, values.dtype)
    kernel = lay_first if fresh else lay_under
    kernel(
        _part(out, window),
        values,
        float(_first(source.scale, window.scale, 1.0)),
        float(_first(source.offset, window.offset, 0.0)),
        nodata,
        marked,
        np.ascontiguousarray(good),
    )


def fill_missing(out: Array, fresh: Array) -> None:
    """NaN for each band and date on which nothing was laid."""
    out[fresh] = np.nan


def _part(tile: Array, window: Window) -> Array:
    rows, columns = window.values.shape
    return tile[window.row : window.row + rows, window.column : window.column + columns]


def _plain(values: Array) -> Array:
    if values.dtype == bool:
        values = values.view("uint8")
    elif values.dtype == np.float16:
        values = values.astype("float32")
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))


def _marked(nodata: float | None, dtype: np.dtype[Any]) -> tuple[Any, bool]:
    held = norm_nodata(nodata, dtype)
    if held is None or np.isnan(held):
        return dtype.type(0), False
    return dtype.type(held if dtype.kind == "f" else int(held)), True


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)


@lru_cache(maxsize=64)
def _table(keep: tuple[int, ...]) -> Array:
    return np.isin(np.arange(256), keep)


@lru_cache(maxsize=8)
def _everywhere(shape: tuple[int, int]) -> Array:
    everywhere = np.ones(shape, bool)
    everywhere.flags.writeable = False
    return everywhere
