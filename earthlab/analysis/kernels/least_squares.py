"""Linear least squares in each column: one design for all pixels, of which each has seen other dates."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

_STRIP = 64
_SINGULAR = 1e-8
"""Share of a pivot below which a term is said to follow from those before it."""


@inlined
def add_observations(row, terms, used, normal, right):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add one date to the normal equations (term, term, strip) of the pixels in which it is ``used``."""
    for i in range(terms.size):
        for j in range(i + 1):
            product = terms[i] * terms[j]
            entries = normal[i, j]
            for at in range(used.size):
                entries[at] += product if used[at] else 0.0
        entries = right[i]
        for at in range(used.size):
            entries[at] += terms[i] * row[at] if used[at] else 0.0


@inlined
def factorise(normal, at, factor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Cholesky's lower factor of one pixel's normal matrix; False where the matrix is singular."""
    size = factor.shape[0]
    regular = True
    for i in range(size):
        for j in range(i + 1):
            total = normal[i, j, at]
            for k in range(j):
                total -= factor[i, k] * factor[j, k]
            if i != j:
                factor[i, j] = total / factor[j, j]
            elif total > _SINGULAR * normal[i, i, at]:
                factor[i, i] = np.sqrt(total)
            else:
                regular = False
                factor[i, i] = 1.0
    return regular


@inlined
def substitute(factor, known, found):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Fill ``found`` with the solution for the right-hand side ``known``, given the lower factor."""
    size = factor.shape[0]
    for i in range(size):
        total = known[i]
        for k in range(i):
            total -= factor[i, k] * found[k]
        found[i] = total / factor[i, i]
    for back in range(size):
        i = size - 1 - back
        total = found[i]
        for k in range(i + 1, size):
            total -= factor[k, i] * found[k]
        found[i] = total / factor[i, i]


@inlined
def _solve(normal, right, at, enough, factor, known, found, coefficients, inverse):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913, PLR0917
    # One pixel: its coefficients, and the inverse of its normal matrix where there is room for it.
    size = known.size
    regular = enough and factorise(normal, at, factor)
    for term in range(size):
        known[term] = right[term, at]
    substitute(factor, known, found)
    for term in range(size):
        coefficients[term] = found[term] if regular else np.nan
    for unit in range(inverse.shape[1]):
        known[:] = 0
        known[unit] = 1
        substitute(factor, known, found)
        for term in range(size):
            inverse[term, unit] = found[term] if regular else np.nan


@inlined
def _add_squares(row, terms, coefficients, squares):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    for at in range(row.size):
        rest = np.float64(row[at])
        for term in range(terms.size):
            rest -= terms[term] * coefficients[term, at]
        squares[at] += rest * rest if row[at] - row[at] == 0 else 0.0


@compiled
def least_squares(  # noqa: PLR0913, PLR0917 - the arrays of one fit
    values: Array,
    design: Array,
    order: Array,
    cuts: Array,
    least: int,
    coefficients: Array,
    inverse: Array,
    spread: Array,
    count: Array,
) -> None:
    """Fill the fit of each period and pixel; NaN where fewer than ``least`` dates or too alike ones were observed.

    Parameters
    ----------
    values, order, cuts : numpy.ndarray
        The columns and their periods.
    design : numpy.ndarray
        (time, term), float64: what each coefficient is multiplied by on each date.
    least : int
        Fewest dates of a fit.
    coefficients : numpy.ndarray
        Written (term, period, pixel), float64.
    inverse : numpy.ndarray
        Written (term, term, period, pixel), float64: the inverse of the normal matrix; times the variance of the
        errors it is the covariance of the coefficients. With 0 pixels it is left out.
    spread : numpy.ndarray
        Written (period, pixel), float64: standard deviation of the residuals with the degrees of freedom taken off;
        NaN where none is left.
    count : numpy.ndarray
        Written (period, pixel), int32: dates observed.
    """
    size, pixels = design.shape[1], values.shape[1]
    normal, right = np.empty((size, size, _STRIP)), np.empty((size, _STRIP))
    used, squares = np.empty(_STRIP, np.bool_), np.empty(_STRIP)
    factor, known, found = np.empty((size, size)), np.empty(size), np.empty(size)
    units = size if inverse.shape[3] > 0 else 0
    for period in range(cuts.size - 1):
        dates = order[cuts[period] : cuts[period + 1]]
        for left in range(0, pixels, _STRIP):
            right_end = min(left + _STRIP, pixels)
            width = right_end - left
            normal[:], right[:], squares[:] = 0, 0, 0
            seen, fitted = count[period, left:right_end], coefficients[:, period, left:right_end]
            seen[:] = 0
            for date in dates:
                row = values[date, left:right_end]
                for at in range(width):
                    used[at] = row[at] - row[at] == 0  # neither NaN nor infinite
                    seen[at] += used[at]
                add_observations(row, design[date], used[:width], normal, right)
            for at in range(width):
                room = inverse[:, :units, period, min(left + at, inverse.shape[3] - 1)]
                _solve(normal, right, at, seen[at] >= least, factor, known, found, fitted[:, at], room)
            for date in dates:
                _add_squares(values[date, left:right_end], design[date], fitted, squares)
            for at in range(width):
                free = seen[at] - size
                spread[period, left + at] = np.sqrt(squares[at] / free) if free > 0 else np.nan
