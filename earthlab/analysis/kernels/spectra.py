"""Which date represents a column, and the spectrum of that date."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

_STRIP = 1024
_NARROW = 64
_BEYOND = -2.0


@compiled
def extreme_dates(red: Array, nir: Array, order: Array, cuts: Array, sign: int, out: Array) -> None:
    """Fill ``out`` (period, pixel; int32) with the place of the date of highest NDVI; -1 where there is none.

    The first of equals; the lowest NDVI for ``sign`` -1. One beyond ±1, from a reflectance below zero, comes last.
    """
    pixels = red.shape[1]
    best = np.empty(_STRIP, red.dtype)
    for period in range(cuts.size - 1):
        for left in range(0, pixels, _STRIP):
            right = min(left + _STRIP, pixels)
            chosen = out[period, left:right]
            chosen[:] = -1
            best[:] = -np.inf
            for place in range(cuts[period], cuts[period + 1]):
                date = order[place]
                low, high = red[date, left:right], nir[date, left:right]
                for at in range(chosen.size):
                    total = high[at] + low[at]
                    index = sign * ((high[at] - low[at]) / total)
                    index = index if abs(index) <= 1 else _BEYOND
                    better = total > 0 and index > best[at]
                    best[at] = index if better else best[at]
                    chosen[at] = date if better else chosen[at]


@inlined
def _begin_sums(bands, dates, left, sums):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
    # Zero, or NaN where any band was not observed or is infinite: such a date is never chosen.
    for i in range(dates.size):
        sums[i] = 0
        for b in range(bands.shape[0]):
            row = bands[b, dates[i], left : left + sums.shape[1]]
            for at in range(row.size):
                sums[i, at] += row[at] - row[at]


@inlined
def _add_distance(bands, one, other, left, apart):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    apart[:] = 0
    for b in range(bands.shape[0]):
        first, second = bands[b, one, left : left + apart.size], bands[b, other, left : left + apart.size]
        for at in range(first.size):
            step = first[at] - second[at]
            apart[at] += step * step
    for at in range(apart.size):
        far = np.sqrt(apart[at])
        apart[at] = far if far == far else 0.0  # noqa: PLR0124 - no distance to what was not observed


@compiled
def medoid_dates(bands: Array, order: Array, cuts: Array, out: Array) -> None:
    """Fill ``out`` (period, pixel; int32) with the date nearest to all the others in the space of ``bands``.

    Parameters
    ----------
    bands : numpy.ndarray
        (band, time, pixel). A date counts where every band was observed.
    order, cuts : numpy.ndarray
        The periods.
    out : numpy.ndarray
        Written: the place of the observed spectrum with the least sum of Euclidean distances to the others, the first
        of equals; -1 where there is none.
    """
    pixels = bands.shape[2]
    room = np.empty((bands.shape[1], _NARROW), bands.dtype)
    spare = np.empty(_NARROW, bands.dtype)
    for period in range(cuts.size - 1):
        dates = order[cuts[period] : cuts[period + 1]]
        for left in range(0, pixels, _NARROW):
            width = min(_NARROW, pixels - left)
            sums, apart = room[:, :width], spare[:width]
            _begin_sums(bands, dates, left, sums)
            for i in range(dates.size):
                for j in range(i):
                    _add_distance(bands, dates[i], dates[j], left, apart)
                    one, other = sums[i], sums[j]
                    for at in range(width):
                        one[at] += apart[at]
                        other[at] += apart[at]
            for at in range(width):
                chosen, least = -1, np.inf
                for i in range(dates.size):
                    if sums[i, at] < least:
                        chosen, least = dates[i], sums[i, at]
                out[period, left + at] = chosen


@compiled
def take_dates(values: Array, dates: Array, out: Array) -> None:
    """Fill ``out`` (period, pixel) with the values at the chosen dates, NaN where ``dates`` is -1."""
    for period in range(dates.shape[0]):
        for at in range(dates.shape[1]):
            date = dates[period, at]
            out[period, at] = values[date, at] if date >= 0 else np.nan
