"""What one block (time, …) of each variable becomes: arrays in, arrays (layer, period, …) out."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from earthlab.analysis import kernels
from earthlab.analysis.kernels.compiling import Array, as_columns, floats_for
from earthlab.analysis.periods import Periods

_INT32 = np.dtype("int32")
_SLAB = 1 << 18
"""Numbers gathered at once where several bands are compared: 1 MB of float32, so that they stay in the second cache."""


def quantiles_of(values: Array, *, periods: Periods, shares: tuple[float, ...]) -> Array:
    """The quantiles ``shares`` as layers."""
    columns = as_columns(values)
    out = np.empty((len(shares), len(periods), columns.shape[1]), columns.dtype)
    kernels.quantiles(columns, *periods.places, np.array(shares), out)
    return out.reshape(*out.shape[:2], *values.shape[1:])


def means_of(values: Array, *, periods: Periods) -> Array:
    """The mean, as one layer."""
    return ratio_of(*totals_of(values, periods), dtype=floats_for(values.dtype))[None]


def ratio_of(total: Array, number: Array, *, dtype: np.dtype[Any]) -> Array:
    """The quotient as ``dtype``, NaN where the number is 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(np.divide(total, number), dtype)


def totals_of(values: Array, periods: Periods) -> tuple[Array, Array]:
    """Sums (float64) and numbers (int32) of what was observed, both (period, …)."""
    columns = as_columns(values)
    shape = (len(periods), columns.shape[1])
    total, number = np.empty(shape), np.empty(shape, _INT32)
    kernels.totals(columns, *periods.places, total, number)
    full = (len(periods), *values.shape[1:])
    return total.reshape(full), number.reshape(full)


def extremes_of(values: Array, *, periods: Periods, sign: int) -> Array:
    """The largest value for ``sign`` 1, the smallest for -1, as one layer."""
    columns = as_columns(values)
    out = np.empty((len(periods), columns.shape[1]), columns.dtype)
    kernels.extremes(columns, *periods.places, sign, out)
    return out.reshape(1, len(periods), *values.shape[1:])


def counts_of(*bands: Array, periods: Periods) -> Array:
    """The number of dates (int32) on which at least one of the bands was observed, as one layer."""
    columns = [as_columns(band) for band in bands]
    seen: Array = np.zeros(columns[0].shape, "uint8")
    for column in columns:
        kernels.mark_seen(column, seen)
    out = np.empty((len(periods), seen.shape[1]), _INT32)
    kernels.counts(seen, *periods.places, out)
    return out.reshape(1, len(periods), *bands[0].shape[1:])


def spectra_of(*bands: Array, find: Callable[..., Array]) -> Array:
    """The bands as layers, at the date that ``find`` chooses from their columns."""
    columns = [as_columns(band) for band in bands]
    dates = find(columns)
    out = np.empty((len(bands), *dates.shape), common_floats(bands))
    for column, taken in zip(columns, out, strict=True):
        kernels.take_dates(column, dates, taken)
    return out.reshape(*out.shape[:2], *bands[0].shape[1:])


def ndvi_dates(columns: Sequence[Array], *, periods: Periods, places: tuple[int, int], sign: int) -> Array:
    """Dates (period, pixel) of the highest NDVI for ``sign`` 1, the lowest for -1; ``places`` are red's and nir's."""
    dtype = common_floats(columns)
    red, nir = (as_columns(columns[place].astype(dtype, copy=False)) for place in places)
    dates = np.empty((len(periods), red.shape[1]), _INT32)
    kernels.extreme_dates(red, nir, *periods.places, sign, dates)
    return dates


def medoid_dates(columns: Sequence[Array], *, periods: Periods) -> Array:
    """Dates (period, pixel) of the medoid."""
    number, pixels = columns[0].shape
    dates = np.empty((len(periods), pixels), _INT32)
    size = max(_SLAB // (len(columns) * number), 64)
    for left in range(0, pixels, size):
        slab = np.stack([column[:, left : left + size] for column in columns]).astype(
            common_floats(columns), copy=False
        )
        found = np.empty((len(periods), slab.shape[2]), _INT32)
        kernels.medoid_dates(slab, *periods.places, found)
        dates[:, left : left + size] = found
    return dates


def common_floats(arrays: Iterable[Any]) -> np.dtype[Any]:
    """The float dtype that holds the values of all the arrays."""
    return np.result_type(*(floats_for(array.dtype) for array in arrays))
