"""The course of a season in each column: its levels, its dates, its slopes and its integrals."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

COUNT, LONGEST_GAP, MEAN, MEDIAN, STANDARD_DEVIATION, QUANTILE_10, QUANTILE_90 = range(7)
PEAK_VALUE, PEAK_DAY, LEFT_BASE, RIGHT_BASE, LEFT_BASE_DAY, RIGHT_BASE_DAY = range(7, 13)
BASE, AMPLITUDE, LEFT_AMPLITUDE, RIGHT_AMPLITUDE, RELATIVE_AMPLITUDE = range(13, 18)
SOS, EOS, LOS, SOS_VALUE, EOS_VALUE, MIDDLE = range(18, 36, 3)
"""Each three layers: at 20, 50 and 80 % of the amplitude."""
LEFT_DERIVATIVE, RIGHT_DERIVATIVE, MOST_RISE, MOST_RISE_DAY, MOST_FALL, MOST_FALL_DAY = range(36, 42)
GREEN_UP, SENESCENCE, RISE_TIME, FALL_TIME, ASYMMETRY = range(42, 47)
LARGE_INTEGRAL, SMALL_INTEGRAL = 47, 49
"""Each two layers: of the season at 20 and at 50 %."""
RISE_INTEGRAL, FALL_INTEGRAL, TOTAL, LEAST, VARIATION = range(51, 56)
LAYERS = 56

_LEVELS = (0.2, 0.5, 0.8)
_STRIP = 32


@inlined
def _insert(values, size, value):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
    at = size
    while at > 0 and values[at - 1] > value:
        values[at] = values[at - 1]
        at -= 1
    values[at] = value


@inlined
def _quantile(ordered, size, share):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    place = share * (size - 1)
    low = int(place)
    high = min(low + 1, size - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@inlined
def _crossing(days, values, top, level, step, end):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # From the peak outwards to the first value below the level: the season around the peak, whatever lies beyond.
    found = np.nan
    at = top
    while at != end and np.isnan(found):
        here, there = values[at], values[at + step]
        if there < level:
            found = days[at] + (here - level) / (here - there) * (days[at + step] - days[at])
        at += step
    return found


@inlined
def _integral(days, values, size, start, stop, floor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    total = 0.0
    for at in range(size - 1):
        left, right = max(days[at], start), min(days[at + 1], stop)
        if right > left:
            slope = (values[at + 1] - values[at]) / (days[at + 1] - days[at])
            middle = values[at] + slope * ((left + right) / 2 - days[at]) - floor
            total += middle * (right - left)
    return total if stop > start else np.nan


@inlined
def _statistics(days, values, ordered, size, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    total, squares, gap = 0.0, 0.0, np.nan
    for at in range(size):
        total += values[at]
        _insert(ordered, at, values[at])
        if at > 0:
            gap = max(days[at] - days[at - 1], gap) if at > 1 else days[1] - days[0]
    mean = total / size
    for at in range(size):
        squares += (values[at] - mean) ** 2
    out[LONGEST_GAP] = gap
    out[MEAN] = mean
    out[MEDIAN] = _quantile(ordered, size, 0.5)
    out[QUANTILE_10] = _quantile(ordered, size, 0.1)
    out[QUANTILE_90] = _quantile(ordered, size, 0.9)
    out[STANDARD_DEVIATION] = np.sqrt(squares / (size - 1)) if size > 1 else np.nan
    out[TOTAL] = _integral(days, values, size, days[0], days[size - 1], 0.0)
    out[LEAST] = ordered[0]
    out[VARIATION] = out[STANDARD_DEVIATION] / mean if mean > 0 else np.nan


@inlined
def _levels(days, values, size, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    top = 0
    for at in range(size):
        top = at if values[at] > values[top] else top
    left, right = top, top
    for at in range(top - 1, -1, -1):
        left = at if left == top or values[at] < values[left] else left
    for at in range(top + 1, size):
        right = at if right == top or values[at] < values[right] else right
    peak = values[top]
    out[PEAK_VALUE] = peak
    out[PEAK_DAY] = days[top]
    out[LEFT_BASE] = values[left] if left != top else np.nan
    out[RIGHT_BASE] = values[right] if right != top else np.nan
    out[LEFT_BASE_DAY] = days[left] if left != top else np.nan
    out[RIGHT_BASE_DAY] = days[right] if right != top else np.nan
    low, high = out[LEFT_BASE], out[RIGHT_BASE]
    low, high = low if low == low else high, high if high == high else low  # noqa: PLR0124 - the one there is
    out[BASE] = (low + high) / 2
    out[AMPLITUDE] = peak - out[BASE]
    out[LEFT_AMPLITUDE] = peak - out[LEFT_BASE]
    out[RIGHT_AMPLITUDE] = peak - out[RIGHT_BASE]
    out[RELATIVE_AMPLITUDE] = out[AMPLITUDE] / peak if peak > 0 else np.nan
    return top, left, right


@inlined
def _dates(days, values, top, left, right, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for rank in range(3):
        rise = out[LEFT_BASE] + _LEVELS[rank] * out[LEFT_AMPLITUDE]
        fall = out[RIGHT_BASE] + _LEVELS[rank] * out[RIGHT_AMPLITUDE]
        start = _crossing(days, values, top, rise, -1, left)
        end = _crossing(days, values, top, fall, 1, right)
        out[SOS + rank] = start
        out[EOS + rank] = end
        out[LOS + rank] = end - start
        out[SOS_VALUE + rank] = rise if start == start else np.nan  # noqa: PLR0124
        out[EOS_VALUE + rank] = fall if end == end else np.nan  # noqa: PLR0124
        out[MIDDLE + rank] = (start + end) / 2


@inlined
def _slopes(days, values, size, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    out[GREEN_UP] = out[SOS + 2] - out[SOS]
    out[SENESCENCE] = out[EOS] - out[EOS + 2]
    out[RISE_TIME] = out[PEAK_DAY] - out[SOS]
    out[FALL_TIME] = out[EOS] - out[PEAK_DAY]
    out[ASYMMETRY] = out[RISE_TIME] / out[FALL_TIME]
    out[LEFT_DERIVATIVE] = (out[SOS_VALUE + 2] - out[SOS_VALUE]) / out[GREEN_UP]
    out[RIGHT_DERIVATIVE] = (out[EOS_VALUE + 2] - out[EOS_VALUE]) / out[SENESCENCE]
    out[MOST_RISE : MOST_FALL_DAY + 1] = np.nan
    most, least = 0.0, 0.0
    for at in range(size - 1):
        slope = (values[at + 1] - values[at]) / (days[at + 1] - days[at])
        if slope > most:
            most = slope
            out[MOST_RISE] = slope
            out[MOST_RISE_DAY] = (days[at] + days[at + 1]) / 2
        if slope < least:
            least = slope
            out[MOST_FALL] = -slope
            out[MOST_FALL_DAY] = (days[at] + days[at + 1]) / 2


@inlined
def _integrals(days, values, size, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for rank in range(2):
        start, stop = out[SOS + rank], out[EOS + rank]
        out[LARGE_INTEGRAL + rank] = _integral(days, values, size, start, stop, 0.0)
        out[SMALL_INTEGRAL + rank] = _integral(days, values, size, start, stop, out[BASE])
    out[RISE_INTEGRAL] = _integral(days, values, size, out[SOS], out[PEAK_DAY], out[BASE])
    out[FALL_INTEGRAL] = _integral(days, values, size, out[PEAK_DAY], out[EOS], out[BASE])


@inlined
def _compact(column, days, seen, course):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # The observations of one pixel, those of one instant averaged.
    size, same = 0, 0
    for place in range(days.size):
        value = column[place]
        if value - value == 0:  # neither NaN nor infinite
            same = same + 1 if size > 0 and seen[size - 1] == days[place] else 0
            size += 1 if same == 0 else 0
            seen[size - 1] = days[place]
            before = course[size - 1] if same > 0 else value
            course[size - 1] = before + (value - before) / (same + 1)
    return size


@compiled
def season_indicators(
    values: Array, days: Array, order: Array, cuts: Array, least: int, chosen: Array, out: Array
) -> None:
    """Fill ``out`` (layer, period, pixel) with the indicators ``chosen`` of each period.

    Parameters
    ----------
    values, order, cuts : numpy.ndarray
        The columns and their periods.
    days : numpy.ndarray
        The day of each place of ``order``, counted in its own period; two observations of one day are averaged.
    least : int
        Fewest observations of a season; with fewer all is NaN but their number.
    chosen : numpy.ndarray
        Layers of this module to write, in the order of ``out``.
    out : numpy.ndarray
        Written, of the dtype of ``values``.
    """
    pixels = values.shape[1]
    deepest = 1
    for period in range(cuts.size - 1):
        deepest = max(deepest, cuts[period + 1] - cuts[period])
    strip = np.empty((_STRIP, deepest), np.float64)
    seen, ordered, course = np.empty(deepest), np.empty(deepest), np.empty(deepest)
    found = np.empty(LAYERS)
    for period in range(cuts.size - 1):
        first, depth = cuts[period], cuts[period + 1] - cuts[period]
        for left in range(0, pixels, _STRIP):
            width = min(_STRIP, pixels - left)
            for place in range(depth):
                row = values[order[first + place], left : left + width]
                for at in range(width):
                    strip[at, place] = row[at]
            for at in range(width):
                size = _compact(strip[at], days[first : first + depth], seen, course)
                found[:] = np.nan
                if size >= max(least, 1):
                    _statistics(seen, course, ordered, size, found)
                    top, low, high = _levels(seen, course, size, found)
                    _dates(seen, course, top, low, high, found)
                    _slopes(seen, course, size, found)
                    _integrals(seen, course, size, found)
                found[COUNT] = size
                for layer in range(chosen.size):
                    out[layer, period, left + at] = found[chosen[layer]]
