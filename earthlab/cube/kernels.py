"""From raw numbers to physical values, compiled: one pass over the pixels of a window."""

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@numba.njit(nogil=True, cache=True)
def lay_first(out: Array, values: Array, scale: Any, offset: Any, nodata: Any, marked: bool, clear: Array) -> None:  # noqa: FBT001
    """Physical values of a window where clear and observed, NaN elsewhere: what was in ``out`` is lost."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            good = clear[i, j] & ((value != nodata) | (not marked))
            out[i, j] = value * scale + offset if good else np.nan


@numba.njit(nogil=True, cache=True)
def lay_under(out: Array, values: Array, scale: Any, offset: Any, nodata: Any, marked: bool, clear: Array) -> None:  # noqa: FBT001
    """As `lay_first`, only where ``out`` has no value yet."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            value = values[i, j]
            good = clear[i, j] & ((value != nodata) | (not marked)) & np.isnan(out[i, j])
            out[i, j] = value * scale + offset if good else out[i, j]


@numba.njit(nogil=True, cache=True)
def look_up(out: Array, values: Array, table: Array) -> None:
    """The entry of ``table`` for each of the values, which are bytes."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[i, j] = table[values[i, j]]
