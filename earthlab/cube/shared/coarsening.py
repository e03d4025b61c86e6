"""What one pixel of an overview says of the pixels it stands for: the mean of those observed, or the one in the middle.

Sums and counts are carried from factor to factor, so that each level is the mean of the cube's own pixels, and not of
means. Integers stay integers: their mean is rounded to the nearest of them.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from earthlab.cube.readers.window import Array


def coarsen_mean(stored: Array, fill: Any, factors: Sequence[int]) -> list[Array]:
    """The mean of the pixels observed in each square, by factor; ``fill`` where none is; the edge may cut squares.

    Parameters
    ----------
    stored : ndarray
        Axes time, y, x; integers or float32.
    fill : scalar
        What stands for nodata; of floats, NaN does as well.
    factors : sequence of int
        Powers of two, each twice the one before.

    Returns
    -------
    list of ndarray
        One a factor, of the same type: -(-n // factor) pixels for n along y and x.
    """
    times, rows, columns = stored.shape
    first, last = factors[0], factors[-1]
    shape = times, -(-rows // last) * last // first, -(-columns // last) * last // first
    sums, counts = np.zeros(shape, "float64"), np.zeros(shape, "int32")
    _add_up(sums, counts, stored, stored.dtype.type(fill), first.bit_length() - 1)
    made = []
    for factor in factors:
        if factor != first:
            sums, counts = _halve(sums), _halve(counts)
        here = np.s_[:, : -(-rows // factor), : -(-columns // factor)]
        made.append(_means(sums[here], counts[here], stored.dtype, fill))
    return made


def coarsen_sample(stored: Array, factors: Sequence[int]) -> list[Array]:
    """The pixel at the middle of each square, by factor: down and right of it, and the last one at an edge."""
    made = []
    for factor in factors:
        rows, columns = (
            np.minimum(np.arange(0, length, factor) + factor // 2, length - 1) for length in stored.shape[1:]
        )
        made.append(stored[:, rows[:, None], columns])
    return made


@numba.njit(nogil=True, cache=True)
def _add_up(sums: Array, counts: Array, stored: Array, fill: Any, shift: int) -> None:
    for at in range(stored.shape[0]):
        for i in range(stored.shape[1]):
            for j in range(stored.shape[2]):
                value = stored[at, i, j]
                if (value != fill) & (value == value):  # noqa: PLR0124 - NaN is not itself
                    sums[at, i >> shift, j >> shift] += value
                    counts[at, i >> shift, j >> shift] += 1


def _halve(values: Array) -> Array:
    rows = values[:, ::2] + values[:, 1::2]
    return np.asarray(rows[:, :, ::2] + rows[:, :, 1::2])


def _means(sums: Array, counts: Array, dtype: np.dtype[Any], fill: Any) -> Array:
    means = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    if dtype.kind == "f":
        return np.asarray(np.where(counts > 0, means, fill), dtype)
    rounded = np.rint(means)
    beside = np.where(means < fill, float(fill) - 1, float(fill) + 1)  # a mean that would read as nodata
    rounded = np.where(rounded == fill, beside, rounded)
    return np.asarray(np.where(counts > 0, rounded, float(fill)), dtype)
