"""From values to a PNG: stretch, colour map, transparency where there is no observation."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.image import imsave

from earthlab.errors import BadRequest, did_you_mean

Array = np.ndarray[Any, np.dtype[Any]]

PNG = {"compress_level": 4}
"""How Pillow writes pictures: as small as by default, in a third of the time."""


NOTHING_SEEN = "There is nothing to show: every pixel is without observation. Take another date."


@dataclass(frozen=True, slots=True)
class Stretch:
    """The values that the two ends of a colour map stand for."""

    low: float
    high: float


def resolve_stretch(values: Array, low: float | None = None, high: float | None = None) -> Stretch:
    """The given ends, or the 2nd and 98th percentile of what was observed.

    Raises
    ------
    BadRequest
        Where nothing was observed and an end is not given, or where the ends are the wrong way round.
    """
    if low is None or high is None:
        seen = values[np.isfinite(values)]
        if seen.size == 0:
            raise BadRequest(NOTHING_SEEN)
        near, far = (float(p) for p in np.percentile(seen, (2, 98)))
        low, high = near if low is None else low, far if high is None else high
    if low > high:
        raise BadRequest(f"vmin={low} is above vmax={high}. Turn them round.")
    return Stretch(low, high if high > low else low + 1e-6)


def paint(values: Array, stretch: Stretch, colormap: str | None) -> Array:
    """The colours of one layer, or of red, green and blue along axis 0 where there is no colour map.

    Returns
    -------
    array of uint8, shape (y, x, 4)
        Red, green, blue and opacity; transparent where any value is NaN.

    Raises
    ------
    BadRequest
        For a colour map matplotlib does not have.
    """
    if colormap is None:
        channels, seen = np.moveaxis(_scaled(values, stretch) * 255, 0, -1), np.isfinite(values).all(axis=0)
        return np.dstack([channels.round().astype("uint8"), np.where(seen, np.uint8(255), np.uint8(0))])
    if colormap not in mpl.colormaps:
        raise BadRequest(f"colormap: {colormap!r} is not known. {did_you_mean(colormap, mpl.colormaps)}")
    colours: Array = mpl.colormaps[colormap](_scaled(values, stretch), bytes=True)
    colours[..., 3] = np.where(np.isfinite(values), 255, 0)
    return colours


def render_png(colours: Array) -> str:
    """The PNG of what `paint` gave as a data URI; rows from north to south."""
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(colours), format="png", pil_kwargs=PNG)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _scaled(values: Array, stretch: Stretch) -> Array:
    share = (np.nan_to_num(values, nan=stretch.low) - stretch.low) / (stretch.high - stretch.low)
    return np.asarray(np.clip(share, 0.0, 1.0))
