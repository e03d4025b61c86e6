"""Sums, numbers and extremes of each column."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

_STRIP = 1024


@compiled
def totals(values: Array, order: Array, cuts: Array, total: Array, count: Array) -> None:
    """Fill ``total`` (float64) and ``count`` (int32), both (period, pixel), with the sum and number of observations."""
    pixels = values.shape[1]
    for period in range(cuts.size - 1):
        for left in range(0, pixels, _STRIP):
            right = min(left + _STRIP, pixels)
            sums, seen = total[period, left:right], count[period, left:right]
            sums[:] = 0
            seen[:] = 0
            for place in range(cuts[period], cuts[period + 1]):
                row = values[order[place], left:right]
                for at in range(row.size):
                    here = row[at] == row[at]
                    sums[at] += row[at] if here else 0.0
                    seen[at] += here


@inlined
def _any_seen(values, dates, pixel):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
    for date in dates:  # noqa: SIM110 - no generators in compiled code
        if values[date, pixel] == values[date, pixel]:
            return True
    return False


@compiled
def extremes(values: Array, order: Array, cuts: Array, sign: int, out: Array) -> None:
    """Fill ``out`` (period, pixel) with the largest value for ``sign`` 1, the smallest for -1; NaN where none."""
    pixels = values.shape[1]
    for period in range(cuts.size - 1):
        dates = order[cuts[period] : cuts[period + 1]]
        for left in range(0, pixels, _STRIP):
            right = min(left + _STRIP, pixels)
            best = out[period, left:right]
            best[:] = -np.inf if sign > 0 else np.inf
            for date in dates:
                row = values[date, left:right]
                if sign > 0:
                    for at in range(row.size):
                        best[at] = row[at] if row[at] > best[at] else best[at]  # noqa: FURB136 - keeps best for NaN
                else:
                    for at in range(row.size):
                        best[at] = row[at] if row[at] < best[at] else best[at]  # noqa: FURB136
            for at in range(best.size):
                if np.isinf(best[at]) and not _any_seen(values, dates, left + at):
                    best[at] = np.nan


@compiled
def mark_seen(values: Array, seen: Array) -> None:
    """Set ``seen`` (uint8, time and pixel) to 1 where ``values`` were observed, and leave it elsewhere."""
    for date in range(values.shape[0]):
        row, marks = values[date], seen[date]
        for at in range(row.size):
            marks[at] |= row[at] == row[at]


@compiled
def counts(seen: Array, order: Array, cuts: Array, out: Array) -> None:
    """Fill ``out`` (period, pixel; int32) with the number of dates that are marked in ``seen``."""
    for period in range(cuts.size - 1):
        row = out[period]
        row[:] = 0
        for place in range(cuts[period], cuts[period + 1]):
            marks = seen[order[place]]
            for at in range(row.size):
                row[at] += marks[at]
