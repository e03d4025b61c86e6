"""Smooth courses through each column: penalised least squares, moving polynomials, double logistic curves."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined
from earthlab.analysis.kernels.least_squares import add_observations, factorise, substitute

BASE, AMPLITUDE, RISE_SPEED, RISE_DAY, FALL_SPEED, FALL_DAY = range(6)
"""Parameters of a double logistic curve."""

_STRIP = 64
_ROUNDS = 100
_ENVELOPE_ROUNDS = 10
_STILL = 1e-10
"""Relative gain of a step of the fit below which it has arrived."""
_NOTHING, _STIFFEST = 1e-20, 1e12
"""Squares of residuals that are none, and the damping at which no step helps any more."""


@inlined
def _gather(values, nodes, curve, below, weight, total, held):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - numba finds the types
    # Weights and weighted sums of the observations at each node, and how many nodes have any. What lies below the curve
    # of the round before weighs less.
    weight[:], total[:], held[:] = 0, 0, 0
    for date in range(nodes.size):
        row, last, weights, totals = values[date], curve[nodes[date]], weight[nodes[date]], total[nodes[date]]
        for at in range(row.size):
            here = row[at] - row[at] == 0  # neither NaN nor infinite
            share = below if row[at] < last[at] else 1.0
            held[at] += here and weights[at] == 0
            weights[at] += share if here else 0.0
            totals[at] += share * row[at] if here else 0.0


@inlined
def _bending(node, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Row ``node`` of D'D from the diagonal on: one, two or three second differences reach a node.
    before, after = min(node, 2), min(size - 1 - node, 2)
    middle = (before == 2) + 4 * (before >= 1 and after >= 1) + (after == 2)
    near = -2 * ((before >= 1) + (after == 2)) if after >= 1 else 0
    return middle, near, 1 if after == 2 else 0


@inlined
def _eliminate(stiffness, width, weight, total, one, two):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # (W + λ D'D) z = W y has five diagonals; it is factorised as L d L' while going forward (Eilers 2003).
    size = weight.shape[0]
    for node in range(size):
        middle, near, far = _bending(node, size)
        for at in range(width):
            pivot, beside, value = weight[node, at] + stiffness * middle, stiffness * near, total[node, at]
            if node >= 1:
                pivot -= one[node - 1, at] ** 2 * weight[node - 1, at]
                beside -= one[node - 1, at] * two[node - 1, at] * weight[node - 1, at]
                value -= one[node - 1, at] * total[node - 1, at]
            if node >= 2:
                pivot -= two[node - 2, at] ** 2 * weight[node - 2, at]
                value -= two[node - 2, at] * total[node - 2, at]
            weight[node, at], total[node, at] = pivot, value
            one[node, at], two[node, at] = beside / pivot, stiffness * far / pivot


@inlined
def _bring_back(weight, total, one, two, held, curve):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    size = curve.shape[0]
    for back in range(size):
        node = size - 1 - back
        for at in range(curve.shape[1]):
            value = total[node, at] / weight[node, at]
            value -= one[node, at] * total[node + 1, at] if back >= 1 else 0.0
            value -= two[node, at] * total[node + 2, at] if back >= 2 else 0.0
            total[node, at] = value
            curve[node, at] = value if held[at] >= 2 else np.nan


@compiled
def whittaker(values: Array, nodes: Array, stiffness: float, below: float, out: Array) -> None:
    """Fill ``out`` (node, pixel) with Whittaker's smoother; NaN where fewer than two nodes were observed.

    Parameters
    ----------
    values : numpy.ndarray
        The columns.
    nodes : numpy.ndarray
        The node of the result that each date belongs to; several dates of one node count each.
    stiffness : float
        What a squared second difference costs beside a squared residual.
    below : float
        Weight of an observation below the curve, where one above it weighs 1.
    out : numpy.ndarray
        Written, of the dtype of ``values``.
    """
    size, pixels = out.shape[0], values.shape[1]
    weight, total = np.empty((size, _STRIP)), np.empty((size, _STRIP))
    one, two, held = np.empty((size, _STRIP)), np.empty((size, _STRIP)), np.empty(_STRIP, np.int32)
    for left in range(0, pixels, _STRIP):
        width = min(_STRIP, pixels - left)
        curve = out[:, left : left + width]
        curve[:] = -np.inf
        for _ in range(1 if below == 1 else _ENVELOPE_ROUNDS):
            _gather(values[:, left : left + width], nodes, curve, below, weight, total, held)
            _eliminate(stiffness, width, weight, total, one, two)
            _bring_back(weight, total, one, two, held, curve)


@compiled
def moving_polynomial(
    values: Array, days: Array, order: Array, nodes: Array, reach: float, degree: int, out: Array
) -> None:
    """Fill ``out`` (node, pixel) with the polynomial fitted around each node; NaN where too few dates are in reach.

    Parameters
    ----------
    values : numpy.ndarray
        The columns.
    days, order : numpy.ndarray
        The day of each date, and the places along time, earliest first.
    nodes : numpy.ndarray
        Days at which the result is wanted.
    reach : float
        Days on each side of a node whose observations count.
    degree : int
        Of the polynomial.
    out : numpy.ndarray
        Written, of the dtype of ``values``.
    """
    pixels, size = values.shape[1], degree + 1
    normal, right = np.empty((size, size, _STRIP)), np.empty((size, _STRIP))
    used, seen, terms = np.empty(_STRIP, np.bool_), np.empty(_STRIP, np.int32), np.ones(size)
    factor, known, found = np.empty((size, size)), np.empty(size), np.empty(size)
    for left in range(0, pixels, _STRIP):
        width = min(_STRIP, pixels - left)
        start = 0
        for node in range(nodes.size):
            while start < order.size and days[order[start]] < nodes[node] - reach:
                start += 1
            normal[:] = 0
            right[:] = 0
            seen[:] = 0
            place = start
            while place < order.size and days[order[place]] <= nodes[node] + reach:
                date = order[place]
                for term in range(1, size):
                    terms[term] = terms[term - 1] * (days[date] - nodes[node]) / reach
                row = values[date, left : left + width]
                for at in range(width):
                    used[at] = row[at] - row[at] == 0
                    seen[at] += used[at]
                add_observations(row, terms, used[:width], normal, right)
                place += 1
            for at in range(width):
                regular = seen[at] >= size and factorise(normal, at, factor)
                for term in range(size):
                    known[term] = right[term, at]
                substitute(factor, known, found)
                out[node, left + at] = found[0] if regular else np.nan


@inlined
def _curve(day, curve, slopes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The value of the curve on a day; ``slopes`` become its derivatives by the parameters."""
    rise = 1 / (1 + np.exp(-curve[RISE_SPEED] * (day - curve[RISE_DAY])))
    fall = 1 / (1 + np.exp(-curve[FALL_SPEED] * (day - curve[FALL_DAY])))
    steep, drop = curve[AMPLITUDE] * rise * (1 - rise), curve[AMPLITUDE] * fall * (1 - fall)
    slopes[BASE] = 1
    slopes[AMPLITUDE] = rise - fall
    slopes[RISE_SPEED] = steep * (day - curve[RISE_DAY])
    slopes[RISE_DAY] = -steep * curve[RISE_SPEED]
    slopes[FALL_SPEED] = -drop * (day - curve[FALL_DAY])
    slopes[FALL_DAY] = drop * curve[FALL_SPEED]
    return curve[BASE] + curve[AMPLITUDE] * (rise - fall)


@inlined
def _first_curve(days, course, size, curve):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    low, high, top = course[0], course[0], 0
    for at in range(size):
        low = min(low, course[at])
        top = at if course[at] > high else top
        high = max(high, course[at])
    half = (low + high) / 2
    start, end = days[0], days[size - 1]
    for at in range(top):
        start = days[at] if course[at] < half else start
    for back in range(size - 1 - top):
        end = days[size - 1 - back] if course[size - 1 - back] < half else end
    curve[BASE] = low
    curve[AMPLITUDE] = high - low
    curve[RISE_SPEED] = 0.1
    curve[RISE_DAY] = start
    curve[FALL_SPEED] = 0.1
    curve[FALL_DAY] = end


@inlined
def _possible(curve, first, last):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    ordered = first - 60 < curve[RISE_DAY] < curve[FALL_DAY] < last + 60
    return ordered and 0 < curve[RISE_SPEED] < 2 and 0 < curve[FALL_SPEED] < 2


@inlined
def _equations(days, course, size, curve, slopes, normal, right):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    squares = 0.0
    normal[:] = 0
    right[:] = 0
    for at in range(size):
        rest = course[at] - _curve(days[at], curve, slopes)
        squares += rest * rest
        for i in range(6):
            right[i] += slopes[i] * rest
            for j in range(i + 1):
                normal[i, j, 0] += slopes[i] * slopes[j]
    return squares


@inlined
def _sum_of_squares(days, course, size, curve, slopes):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    squares = 0.0
    for at in range(size):
        squares += (course[at] - _curve(days[at], curve, slopes)) ** 2
    return squares if _possible(curve, days[0], days[size - 1]) else np.inf


@inlined
def _compact(values, dates, days, seen, course):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    size = 0
    for place in range(dates.size):
        value = values[dates[place]]
        if value - value == 0:
            seen[size], course[size] = days[place], value
            size += 1
    return size


@inlined
def _arrive(days, course, size, curve, spare):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Levenberg and Marquardt's damped steps; each parameter is damped in proportion to its own curvature.
    normal, damped, factor, slopes, right, step, trial = spare
    squares = _equations(days, course, size, curve, slopes, normal, right)
    damping, arrived, rounds = 1e-3, False, 0
    while rounds < _ROUNDS and damping < _STIFFEST and not arrived:
        rounds += 1
        damped[:] = normal
        for i in range(6):
            damped[i, i, 0] = normal[i, i, 0] * (1 + damping)
        regular = factorise(damped, 0, factor)
        substitute(factor, right, step)
        trial[:] = curve + step
        left = _sum_of_squares(days, course, size, trial, slopes) if regular else np.inf
        if left <= squares:
            arrived = squares - left <= _STILL * squares or left < _NOTHING
            curve[:] = trial
            squares = _equations(days, course, size, curve, slopes, normal, right)
            damping = max(damping / 10, 1e-12)
        else:
            damping *= 10
    return squares if arrived and factorise(normal, 0, factor) else np.nan


@compiled
def double_logistic(
    values: Array, days: Array, order: Array, cuts: Array, least: int, curves: Array, errors: Array, spread: Array
) -> None:
    """Fill the double logistic curve of each period and pixel; NaN where there are too few dates or none fits.

    Parameters
    ----------
    values, order, cuts : numpy.ndarray
        The columns and their periods.
    days : numpy.ndarray
        The day of each place of ``order``, counted in its own period.
    least : int
        Fewest observations, more than six.
    curves, errors : numpy.ndarray
        Written (parameter, period, pixel), float64: the parameters in the order of this module and their standard
        errors.
    spread : numpy.ndarray
        Written (period, pixel), float64: standard deviation of the residuals.
    """
    deepest = 1
    for period in range(cuts.size - 1):
        deepest = max(deepest, cuts[period + 1] - cuts[period])
    seen, course, curve = np.empty(deepest), np.empty(deepest), np.empty(6)
    normal, factor, slopes = np.empty((6, 6, 1)), np.empty((6, 6)), np.empty(6)
    right, step = np.empty(6), np.empty(6)
    spare = (normal, np.empty((6, 6, 1)), factor, slopes, right, step, np.empty(6))
    for period in range(cuts.size - 1):
        first, last = cuts[period], cuts[period + 1]
        for pixel in range(values.shape[1]):
            size = _compact(values[:, pixel], order[first:last], days[first:last], seen, course)
            squares = np.nan
            if size >= least:
                _first_curve(seen, course, size, curve)
                squares = _arrive(seen, course, size, curve, spare)
            fits = squares == squares  # noqa: PLR0124 - not NaN
            spread[period, pixel] = np.sqrt(squares / (size - 6)) if fits else np.nan
            for i in range(6):
                right[:] = 0
                right[i] = 1
                substitute(factor, right, step)
                curves[i, period, pixel] = curve[i] if fits else np.nan
                errors[i, period, pixel] = spread[period, pixel] * np.sqrt(step[i]) if fits else np.nan
