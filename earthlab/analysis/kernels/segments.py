"""The best cut of each column into segments with a linear model each."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined
from earthlab.analysis.kernels.least_squares import factorise, substitute

_ROUNDING = 1e-12
"""Share of the squares of the whole column below which a residual is that of the computer's arithmetic."""


@inlined
def _residuals(course, rows, size, least, squares):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # squares[i, j] is left by one model of the observations i to j, both included; inf where they are too few.
    terms, whole = rows.shape[1], 0.0
    for at in range(size):
        whole += course[at] ** 2
    normal, factor = np.empty((terms, terms, 1)), np.empty((terms, terms))
    right, found = np.empty(terms), np.empty(terms)
    squares[:] = np.inf
    for first in range(size):
        normal[:], right[:], total = 0, 0, 0.0
        for last in range(first, size):
            total += course[last] ** 2
            for i in range(terms):
                right[i] += rows[last, i] * course[last]
                for j in range(i + 1):
                    normal[i, j, 0] += rows[last, i] * rows[last, j]
            if last - first + 1 >= least and factorise(normal, 0, factor):
                substitute(factor, right, found)
                rest = total
                for i in range(terms):
                    rest -= right[i] * found[i]
                squares[first, last] = rest if rest > _ROUNDING * whole else 0.0


@inlined
def _cut(squares, size, most, cost, origin):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    # Bellman's principle: the best cut into m + 1 segments ends with one after the best cut into m.
    cost[0, :size] = squares[0, :size]
    for number in range(1, most + 1):
        for last in range(size):
            cost[number, last], origin[number, last] = np.inf, -1
            for before in range(last):
                total = cost[number - 1, before] + squares[before + 1, last]
                if total < cost[number, last]:
                    cost[number, last], origin[number, last] = total, before


@compiled
def best_segments(
    values: Array, design: Array, order: Array, share: float, most: int, left: Array, places: Array, count: Array
) -> None:
    """Fill what is left by the best cut of each column into one segment more after another, and where it cuts.

    Parameters
    ----------
    values, order : numpy.ndarray
        The columns, and the places along time, earliest first.
    design : numpy.ndarray
        (time, term), float64: the model of a segment on each date.
    share : float
        Least length of a segment as a share of what was observed.
    most : int
        Most cuts.
    left : numpy.ndarray
        Written (cut number from 0, pixel), float64: the sum of squares; inf where no such cut is possible.
    places : numpy.ndarray
        Written (cut number from 1, cut, pixel), int32: the place along time of the last observation before each cut;
        -1 where there is none.
    count : numpy.ndarray
        Written (pixel), int32: dates observed.
    """
    depth, terms = order.size, design.shape[1]
    course, rows, seen = np.empty(depth), np.empty((depth, terms)), np.empty(depth, np.int32)
    squares = np.empty((depth, depth))
    cost, origin = np.empty((most + 1, depth)), np.empty((most + 1, depth), np.int32)
    for pixel in range(values.shape[1]):
        size, middle = 0, 0.0
        for date in order:
            value = values[date, pixel]
            if value - value == 0:  # neither NaN nor infinite
                course[size], seen[size], rows[size] = value, date, design[date]
                middle += value
                size += 1
        count[pixel] = size
        left[:, pixel], places[:, :, pixel] = np.inf, -1
        least = max(int(share * size + 1e-9), terms + 1)
        if size >= least:
            course[:size] -= middle / size  # keeps the digits of the sums
            _residuals(course, rows, size, least, squares)
            _cut(squares, size, most, cost, origin)
            for number in range(most + 1):
                left[number, pixel] = cost[number, size - 1]
                last = size - 1
                for back in range(number if np.isfinite(cost[number, size - 1]) else 0):
                    last = origin[number - back, last]
                    places[number - 1, number - 1 - back, pixel] = seen[last]
