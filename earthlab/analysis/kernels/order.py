"""Quantiles of each column by a sorting network."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

_SCRATCH = 8192
"""Numbers sorted at once: 32 kB of float32, so that the network works in the first cache."""


@inlined
def _exchange(low, high):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
    for at in range(low.size):
        a, b = low[at], high[at]
        ordered = a < b
        low[at] = a if ordered else b
        high[at] = b if ordered else a


@inlined
def _sort_rows(rows, depth, width):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Batcher's merge exchange (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M). Runs of neighbouring
    # comparisons are one long exchange, because neighbouring rows are neighbours in memory.
    top = 1
    while 2 * top < depth:
        top *= 2
    span = top if depth > 1 else 0
    while span > 0:
        far, rest, step = top, 0, span
        while step > 0:
            for start in range(rest, depth - step, 2 * span):
                low = start * width
                size = min(span, depth - step - start) * width
                high = low + step * width
                _exchange(rows[low : low + size], rows[high : high + size])
            step = far - span
            far >>= 1
            rest = span
        span >>= 1


@inlined
def _load(values, row, seen):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # No observation sorts last, as infinity does: what is picked depends on the number of observations only.
    found = 0
    for at in range(row.size):
        value = values[at]
        here = value == value  # noqa: PLR0124 - false for NaN
        row[at] = value if here else np.inf
        seen[at] += here
        found += here
    return found


@inlined
def _between(low, high, share):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    if share == 0 or low == high:
        return low
    if share == 0.5:
        return (low + high) / 2
    return low + (high - low) * share


@compiled
def quantiles(values: Array, order: Array, cuts: Array, shares: Array, out: Array) -> None:
    """Fill ``out`` (quantile, period, pixel) with linear quantiles of what was observed; NaN where nothing was.

    Parameters
    ----------
    values, order, cuts : numpy.ndarray
        The columns and their periods.
    shares : numpy.ndarray
        Quantiles between 0 and 1; at 0.5 the median, the mean of the two middle values of an even number.
    out : numpy.ndarray
        Written, of the dtype of ``values``.
    """
    deepest = 1
    for period in range(cuts.size - 1):
        deepest = max(deepest, cuts[period + 1] - cuts[period])
    strip = min(max(_SCRATCH // deepest // 64, 1) * 64, 512)
    rows = np.empty(deepest * strip, values.dtype)
    seen = np.empty(strip, np.int32)
    pixels = values.shape[1]
    for period in range(cuts.size - 1):
        for left in range(0, pixels, strip):
            width = min(strip, pixels - left)
            seen[:] = 0
            depth = 0
            for place in range(cuts[period], cuts[period + 1]):
                row = rows[depth * width : (depth + 1) * width]
                if _load(values[order[place], left : left + width], row, seen) > 0:
                    depth += 1
            _sort_rows(rows, depth, width)
            for at in range(width):
                last = seen[at] - 1
                for which in range(shares.size):
                    if last < 0:
                        out[which, period, left + at] = np.nan
                    else:
                        place = shares[which] * last
                        under = int(place)
                        over = min(under + 1, last)
                        low = rows[under * width + at]
                        out[which, period, left + at] = _between(low, rows[over * width + at], place - under)
