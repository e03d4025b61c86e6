"""Composites (synthèses): one image from many dates, or one a month, a decade of ten days, a season.

Each takes a cube as `earthlab.open` gives it, where NaN is no clear observation, and gives a cube without clouds:
mean (moyenne), median (médiane), quantile, extremes, the spectrum of the greenest or barest date, the medoid (médoïde),
the number of clear observations, and the weighted synthesis of Theia (`wasp`). Compiled, and on dask one task a block.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME, is_cut_in_time, map_columns, pick, reduce_chunks, same_axes, timed
from earthlab.analysis.frames import (
    Cube,
    Period,
    attributes_of,
    axes_of,
    check_cube,
    check_dataset,
    encoding_of,
    frame_of,
    resolve_time,
    without_bounds,
)
from earthlab.analysis.kernels.compiling import Array, floats_for
from earthlab.analysis.periods import Periods, whole_time
from earthlab.analysis.reductions import (
    common_floats,
    counts_of,
    extremes_of,
    means_of,
    medoid_dates,
    ndvi_dates,
    quantiles_of,
    ratio_of,
    spectra_of,
)
from earthlab.analysis.vegetation import check_bands
from earthlab.analysis.wasp import wasp
from earthlab.errors import BadRequest

__all__ = ["count", "max_ndvi", "maximum", "mean", "median", "medoid", "min_ndvi", "minimum", "quantile", "wasp"]

_INT32 = np.dtype("int32")
_FLOAT64 = np.dtype("float64")


def mean(cube: Cube, *, period: Period = None) -> Cube:
    """The mean of the clear observations of each pixel, variable by variable; sums are float64.

    Parameters
    ----------
    cube : xarray.Dataset or xarray.DataArray
        Values with an axis ``time`` and any others; NaN is no observation. Variables without time stay as they are.
    period : str or pandas.DateOffset, optional
        One composite a ``"month"``, ``"dekad"`` (days 1 to 10, 11 to 20, 21 to the end), ``"season"`` (from December)
        or ``"year"``, in English or French (mois, décade, saison, année), or an offset of pandas such as ``"10D"``,
        which counts from the first day. Default: one composite of all dates, without axis ``time``.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        Like the cube, NaN where nothing was observed: float32 for float32 and small integers, else float64. With
        ``period``, ``time`` is the start of each period, and a Dataset has the CF bounds ``time_bnds``; periods without
        a date are kept. Attributes stay, and ``cell_methods`` says what was done. Lazy if the cube is: one task a block
        where time is one chunk, else a tree of partial results.

    Raises
    ------
    BadRequest
        Without an axis ``time``, dates or pixels, for values that are no numbers, or an unknown period.
    """
    return _each(cube, "mean", period, means_of, tree=_mean_tree, method="mean")


def maximum(cube: Cube, *, period: Period = None) -> Cube:
    """The largest clear observation of each pixel, variable by variable; words, result and errors as for `mean`.

    For the spectrum of one date see `max_ndvi`.
    """
    return _each(cube, "maximum", period, partial(extremes_of, sign=1), tree=partial(_tree, sign=1), method="maximum")


def minimum(cube: Cube, *, period: Period = None) -> Cube:
    """The smallest clear observation of each pixel, variable by variable; words, result and errors as for `mean`."""
    return _each(cube, "minimum", period, partial(extremes_of, sign=-1), tree=partial(_tree, sign=-1), method="minimum")


def median(cube: Cube, *, period: Period = None) -> Cube:
    """The median (médiane) of the clear observations of each pixel, variable by variable.

    The value of `numpy.nanmedian`: of an even number, the mean of the two middle ones. Words, result and errors as for
    `mean`; where time is cut into chunks, it is made whole first.
    """
    return _each(cube, "median", period, partial(quantiles_of, shares=(0.5,)), method="median")


def quantile(cube: Cube, q: float | Sequence[float], *, period: Period = None) -> Cube:
    """Quantiles of the clear observations of each pixel, variable by variable, linear between ranks.

    Parameters
    ----------
    cube, period
        As for `mean`.
    q : float or sequence of float
        Between 0 and 1. Several are found in one pass.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        As for `mean`, with a coordinate ``quantile``, which is the first axis where ``q`` is a sequence.

    Raises
    ------
    BadRequest
        As `mean` does, and for ``q`` outside 0 to 1.
    """
    shares = _checked_shares(q)
    several = len(shares) if np.ndim(q) else None
    found = _each(cube, "quantile", period, partial(quantiles_of, shares=shares), quantiles=several)
    return found.assign_coords(quantile=("quantile", list(shares)) if several else shares[0])


def max_ndvi(cube: xr.Dataset, *, period: Period = None, red: str = "red", nir: str = "nir") -> xr.Dataset:
    """The whole spectrum of the date of highest NDVI in each pixel, the first of equals.

    Parameters
    ----------
    cube : xarray.Dataset
        Reflectance with an axis ``time``; every variable with time must have the axes of the two bands.
    period
        As for `mean`.
    red, nir : str
        Names of the two bands.

    Returns
    -------
    xarray.Dataset
        As for `mean`; each pixel is one observation. NaN where there is no NDVI at any date. A date on which a band is
        so far below zero that its NDVI lies beyond ±1 is taken only where there is no other. Lazy if the cube is: one
        task a block finds the date and takes every variable there.

    Raises
    ------
    BadRequest
        As `mean` does, and where one of the bands is missing or the axes differ.

    References
    ----------
    Holben (1986), Characteristics of maximum-value composite images from temporal AVHRR data, International Journal of
    Remote Sensing 7, 1417-1434.
    """
    return _extreme_ndvi(cube, "max_ndvi", period, (red, nir), 1)


def min_ndvi(cube: xr.Dataset, *, period: Period = None, red: str = "red", nir: str = "nir") -> xr.Dataset:
    """The whole spectrum of the date of lowest NDVI in each pixel, the first of equals; words as for `max_ndvi`."""
    return _extreme_ndvi(cube, "min_ndvi", period, (red, nir), -1)


def medoid(cube: xr.Dataset, *, period: Period = None) -> xr.Dataset:
    """The medoid (médoïde): the observed spectrum with the least sum of Euclidean distances to the others.

    Parameters
    ----------
    cube : xarray.Dataset
        Variables with an axis ``time``, all with the same axes and, to be comparable, the same unit. A date counts
        where every one of them was observed.
    period
        As for `mean`.

    Returns
    -------
    xarray.Dataset
        As for `mean`; each pixel is one observation, the first of equals. The cost grows with the square of the number
        of dates: 0.1 s for 24 dates of 4 bands and 512 x 512 pixels. Lazy if the cube is, one task a block.

    Raises
    ------
    BadRequest
        As `mean` does, and where axes differ.

    References
    ----------
    Flood (2013), Seasonal composite Landsat TM/ETM+ images using the medoid (a multi-dimensional median), Remote
    Sensing 5, 6481-6500, doi:10.3390/rs5126481.
    """
    cube = check_dataset(cube, "medoid")
    periods = resolve_time(cube, period)
    bands = same_axes(list(timed(cube).values()), "medoid")
    return _spectra(cube, periods, bands, partial(medoid_dates, periods=periods), "date nearest to the others")


def count(cube: Cube, *, period: Period = None) -> xr.DataArray:
    """The number of dates with a clear observation of each pixel, in at least one variable of a Dataset.

    Parameters
    ----------
    cube, period
        As for `mean`.

    Returns
    -------
    xarray.DataArray
        int32, named ``count``; axes and laziness as for `mean`.

    Raises
    ------
    BadRequest
        As `mean` does, and where the axes of the variables differ.
    """
    cube = check_cube(cube, "count")
    periods = resolve_time(cube, period)
    arrays = same_axes(list(timed(cube).values()), "count")
    if any(map(is_cut_in_time, arrays)):
        seen = xr.concat([array.notnull() for array in arrays], "band").any("band").transpose(*arrays[0].dims)
        data = _in_tree(seen, periods, partial(_tree_totals, dtype=_INT32))
    else:
        stacked = map_columns(partial(counts_of, periods=periods), arrays, layers=1, periods=len(periods), dtype=_INT32)
        data = pick(stacked, 0, drop_time=periods.edges is None)
    attrs = {
        "long_name": "nombre d'observations claires / number of clear observations",
        "standard_name": "number_of_observations",
        "units": "1",
        **{key: value for key, value in arrays[0].attrs.items() if key in ("grid_mapping", "comment")},
    }
    variable = xr.Variable(axes_of(arrays[0], periods), data, attrs, encoding_of(arrays[0]))
    return without_bounds(frame_of(cube, periods, {"count": variable})["count"])


def _checked_shares(q: float | Sequence[float]) -> tuple[float, ...]:
    try:
        shares = tuple(float(share) for share in np.atleast_1d(q))
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"quantile: q is {q!r}, expected numbers between 0 and 1.") from exc
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise BadRequest(f"quantile: q is {q!r}, expected numbers between 0 and 1, such as 0.9 for nine tenths.")
    return shares


def _each(
    cube: Cube,
    verb: str,
    period: Period,
    function: Callable[..., Array],
    *,
    tree: Callable[[xr.DataArray], Any] | None = None,
    method: str | None = None,
    quantiles: int | None = None,
) -> Cube:
    cube = check_cube(cube, verb)
    periods = resolve_time(cube, period)
    reduced = {}
    for name, array in timed(cube).items():
        if tree is not None and is_cut_in_time(array):
            data = _in_tree(array, periods, tree)
        else:
            data = _over_whole_time(array, periods, function, quantiles)
        axes = ("quantile",) * (quantiles is not None) + axes_of(array, periods)
        reduced[name] = xr.Variable(axes, data, attributes_of(array, method), encoding_of(array))
    composed = frame_of(cube, periods, reduced)
    if isinstance(cube, xr.Dataset):
        return composed
    return without_bounds(composed[next(iter(reduced))].rename(cube.name))


def _over_whole_time(array: xr.DataArray, periods: Periods, function: Callable[..., Array], layers: int | None) -> Any:
    stacked = map_columns(
        partial(function, periods=periods),
        [array],
        layers=layers or 1,
        periods=len(periods),
        dtype=floats_for(array.dtype),
    )
    return pick(stacked, None if layers else 0, drop_time=periods.edges is None)


def _extreme_ndvi(cube: xr.Dataset, verb: str, period: Period, bands: tuple[str, str], sign: int) -> xr.Dataset:
    cube = check_dataset(cube, verb)
    check_bands(cube, bands, verb)
    for name in bands:
        check_cube(cube[name], verb)
    periods = resolve_time(cube, period)
    arrays = timed(cube)
    names = list(arrays)
    places = (names.index(bands[0]), names.index(bands[1]))
    find = partial(ndvi_dates, periods=periods, places=places, sign=sign)
    words = f"date of {'highest' if sign > 0 else 'lowest'} NDVI"
    return _spectra(cube, periods, same_axes(list(arrays.values()), verb), find, words)


def _spectra(
    cube: xr.Dataset, periods: Periods, arrays: Sequence[xr.DataArray], find: Callable[..., Array], words: str
) -> xr.Dataset:
    dtype = common_floats(arrays)
    stacked = map_columns(partial(spectra_of, find=find), arrays, layers=len(arrays), periods=len(periods), dtype=dtype)
    variables = {
        array.name: xr.Variable(
            axes_of(array, periods),
            pick(stacked, at, drop_time=periods.edges is None, dtype=floats_for(array.dtype)),
            attributes_of(array, f"point (comment: {words})"),
            encoding_of(array),
        )
        for at, array in enumerate(arrays)
    }
    return frame_of(cube, periods, variables)


def _in_tree(array: xr.DataArray, periods: Periods, reduce: Callable[[xr.DataArray], Any]) -> Any:
    if periods.edges is None:
        return reduce(array)
    spans = [periods.order[periods.cuts[at] : periods.cuts[at + 1]] for at in range(len(periods))]
    found = [reduce(array.isel({TIME: np.sort(span)})) if len(span) else None for span in spans]
    like = next(part for part in found if part is not None)
    gap = 0 if like.dtype.kind == "i" else np.nan
    return da.stack([da.full_like(like, gap) if part is None else part for part in found])


def _tree(array: xr.DataArray, *, sign: int) -> Any:
    return reduce_chunks(array, partial(_one, sign=sign), partial(_one, sign=sign), floats_for(array.dtype))


def _one(values: Array, *, sign: int) -> Array:
    whole = whole_time(pd.RangeIndex(len(values)))
    return np.asarray(extremes_of(values, periods=whole, sign=sign)[0])


def _mean_tree(array: xr.DataArray) -> Any:
    total, number = _tree_totals(array, dtype=_FLOAT64), _tree_totals(array.notnull(), dtype=_INT32)
    dtype = floats_for(array.dtype)
    return da.map_blocks(partial(ratio_of, dtype=dtype), total, number, dtype=dtype)


def _tree_totals(array: xr.DataArray, *, dtype: np.dtype[Any]) -> Any:
    total = partial(np.nansum, axis=0, keepdims=True, dtype=dtype)
    return reduce_chunks(array, total, total, dtype)
