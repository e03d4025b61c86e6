"""What a reader gives: raw numbers, where they lie on the tile, and what they mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The raw values of one source on the part of one tile that it covers.

    ``values`` is 2-D, in the native dtype, rows as the tile has them; ``values[0, 0]`` lies at ``row`` and ``column``
    of the tile. A value equal to ``nodata``, a NaN, or one where ``valid`` is False is no observation. ``scale`` and
    ``offset`` are the file's own, used where the catalogue states none.
    """

    values: Array
    row: int = 0
    column: int = 0
    nodata: float | None = None
    valid: Array | None = None
    scale: float | None = None
    offset: float | None = None

    @property
    def observed(self) -> Array:
        """Whether each value is an observation."""
        good: Array = self.values == self.values  # a NaN is not itself
        if self.nodata is not None:
            good &= self.values != self.nodata
        return good if self.valid is None else good & self.valid


def norm_nodata(nodata: float | None, dtype: np.dtype[Any]) -> float | None:
    """A nodata value as a dtype holds it, ``None`` where no value of the dtype is it.

    No float is the largest of 64-bit integers: the next one above, which catalogues and files then state, means it.
    """
    if nodata is None or dtype.kind == "f":
        return nodata
    limits = np.iinfo(dtype)
    if nodata == float(limits.max):
        return int(limits.max)
    return nodata if math.isfinite(nodata) and nodata == int(nodata) and limits.min <= nodata <= limits.max else None


def overlay(windows: Sequence[Window], shape: tuple[int, int]) -> Window | None:
    """Windows of one source on one tile as one; the first that observed a pixel counts."""
    if len(windows) <= 1:
        return windows[0] if windows else None
    kind = windows[0].values.dtype
    values = np.full(shape, np.nan if kind.kind == "f" else 0, kind)
    valid = np.zeros(shape, bool)
    for window in reversed(windows):
        rows, columns = window.values.shape
        spot = (slice(window.row, window.row + rows), slice(window.column, window.column + columns))
        values[spot] = np.where(window.observed, window.values, values[spot])
        valid[spot] |= window.observed
    return replace(windows[0], values=values, row=0, column=0, valid=valid)
