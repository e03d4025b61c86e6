"""What a reader gives: raw numbers, where they lie on the tile, and what they mean."""

from dataclasses import dataclass
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
