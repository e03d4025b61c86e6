"""Displacements of dates from the differences that interferograms measure, pixel by pixel."""

import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined


@inlined
def _join(order, used, tree, first, second, chosen, label):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Label each date with the earliest it is joined to, and choose the pairs: all that are used, or a tree of them."""
    for date in range(label.size):
        label[date] = date
    for pair in order:
        one, other = label[first[pair]], label[second[pair]]
        chosen[pair] = used[pair] and (one != other or not tree)
        if used[pair] and one != other:
            kept, gone = min(one, other), max(one, other)
            for date in range(label.size):
                if label[date] == gone:
                    label[date] = kept


@inlined
def _factorise(matrix):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Turn the lower half of a positive definite matrix into its Cholesky factor."""
    for row in range(matrix.shape[0]):
        for column in range(row + 1):
            left = matrix[row, column]
            for at in range(column):
                left -= matrix[row, at] * matrix[column, at]
            matrix[row, column] = np.sqrt(left) if row == column else left / matrix[column, column]


@inlined
def _solve(factor, right):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Replace ``right`` by the solution, given what `_factorise` left."""
    size = right.size
    for row in range(size):
        for at in range(row):
            right[row] -= factor[row, at] * right[at]
        right[row] /= factor[row, row]
    for row in range(size - 1, -1, -1):
        for at in range(row + 1, size):
            right[row] -= factor[at, row] * right[at]
        right[row] /= factor[row, row]


@inlined
def _tie(matrix, one, other, weight, label):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Add one difference to normal equations; a date that is its own label is held at zero."""
    free_one, free_other = label[one] != one, label[other] != other
    if free_one:
        matrix[one, one] += weight
    if free_other:
        matrix[other, other] += weight
    if free_one and free_other:
        matrix[max(one, other), min(one, other)] -= weight


@inlined
def _normals(matrix, chosen, first, second, label):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Factorise the normal equations of the differences, each group of joined dates relative to its earliest."""
    matrix[:] = 0
    for date in range(label.size):
        matrix[date, date] = label[date] == date
    for pair in range(chosen.size):
        if chosen[pair]:
            _tie(matrix, first[pair], second[pair], 1.0, label)
    _factorise(matrix)


@inlined
def _bridges(matrix, stiffness, label, group):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Factorise the equations for the offsets between groups that make the velocities smallest."""
    matrix[:] = 0
    for date in range(label.size):
        group[date] = 0 if label[date] == date else date
        matrix[date, date] = group[date] == date
    for date in range(label.size - 1):
        if label[date] != label[date + 1]:
            _tie(matrix, label[date], label[date + 1], stiffness[date], group)
    _factorise(matrix)


@inlined
def _look(values, pixel, used):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Mark which pairs have a value in the pixel; their number, and whether they are others than before."""
    number, changed = 0, False
    for pair in range(used.size):
        seen = np.isfinite(values[pair, pixel])
        changed |= seen != used[pair]
        used[pair] = seen
        number += seen
    return number, changed


@inlined
def _place(values, pixel, chosen, first, second, label, normals, position):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Fill ``position`` with each date's displacement since the earliest it is joined to."""
    position[:] = 0
    for pair in range(chosen.size):
        if chosen[pair]:
            position[second[pair]] += values[pair, pixel]
            position[first[pair]] -= values[pair, pixel]
    for date in range(label.size):
        position[date] = 0 if label[date] == date else position[date]
    _solve(normals, position)


@inlined
def _bridge(stiffness, label, bridges, position, offset):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Shift each group of dates in ``position`` to where the velocities between groups are smallest."""
    offset[:] = 0
    for date in range(label.size - 1):
        if label[date] != label[date + 1]:
            push = stiffness[date] * (position[date] - position[date + 1])
            offset[label[date + 1]] += push
            offset[label[date]] -= push
    offset[0] = 0
    _solve(bridges, offset)
    for date in range(label.size):
        position[date] += offset[label[date]]


@inlined
def _write(out, pixel, position, label, whole):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Take the positions that are known relative to the first date."""
    alone = True
    for date in range(1, label.size):
        known = whole or label[date] == 0
        out[date, pixel] = position[date] if known else np.nan
        alone &= not known
    out[0, pixel] = np.nan if alone else 0.0


@compiled
def invert_network(
    values: Array, first: Array, second: Array, order: Array, stiffness: Array, tree: int, bridged: int, out: Array
) -> None:
    """Fill ``out`` (date, pixel) with the displacement since the first date, by least squares over what was observed.

    ``values`` (pair, pixel) is the displacement from date ``first`` to date ``second`` of each pair. ``order`` lists
    the pairs, best first: with ``tree`` only those that join two groups of dates in that order are used. Dates that no
    chain of pairs joins to the first are NaN, or with ``bridged`` so that the sum of squared velocities between
    consecutive dates is least, where ``stiffness`` is the inverse square of the time between them. What depends on the
    pattern of missing pairs alone is kept from one pixel to the next.
    """
    pairs, dates = values.shape[0], out.shape[0]
    used, chosen = np.zeros(pairs, np.bool_), np.zeros(pairs, np.bool_)
    label, group = np.empty(dates, np.int64), np.empty(dates, np.int64)
    normals, bridges = np.empty((dates, dates)), np.empty((dates, dates))
    position, offset = np.empty(dates), np.empty(dates)
    for pixel in range(values.shape[1]):
        number, changed = _look(values, pixel, used)
        if number == 0:
            out[:, pixel] = np.nan
            continue
        if changed:
            _join(order, used, tree, first, second, chosen, label)
            _normals(normals, chosen, first, second, label)
            if bridged:
                _bridges(bridges, stiffness, label, group)
        _place(values, pixel, chosen, first, second, label, normals, position)
        if bridged:
            _bridge(stiffness, label, bridges, position, offset)
        _write(out, pixel, position, label, bridged)
