"""What stands between the land and the sensor on each date: clouds, their shadows, and the edge of the swath."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from earthlab.samples.simulated.land import SHAPE, TRANSFORM, Mask
from earthlab.samples.simulated.noise import Floats, smooth_noise

_SEED = 840
_SOFT_EDGE = 0.07
_THIN = 0.1
_THICK = 0.6
_SHADOW_SHIFT = (16, 7)  # rows up, columns left

Ring = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Swath:
    """The half-plane that was seen: ``right * column + down * row <= limit``, in pixels from the north-west corner."""

    right: int
    down: int
    limit: int

    def excess(self, column: Any, row: Any) -> Any:
        """How far beyond the edge a point, or each point of two arrays, lies; at most 0 where it was seen."""
        return self.right * column + self.down * row - self.limit


@dataclass(frozen=True, slots=True)
class Sky:
    """The sky of one date."""

    opacity: Floats
    """Between 0, no cloud at all, and 1, nothing else to be seen."""
    shadow: Mask
    seen: Mask
    footprint: Ring
    """Closed, counter-clockwise ring around what was seen, in metres."""

    @property
    def thin(self) -> Mask:
        """Clouds through which the land still shows."""
        return (self.opacity > 0) & (self.opacity < _THICK)

    @property
    def thick(self) -> Mask:
        """Clouds that hide the land."""
        return self.opacity >= _THICK


def render_sky(day: date, cloudiness: float, swath: Swath | None) -> Sky:
    """The sky of a date, with about this share of clouds."""
    opacity = _opacity(day, cloudiness)
    rows, columns = np.indices(SHAPE)
    seen = np.ones(SHAPE, bool) if swath is None else swath.excess(columns + 0.5, rows + 0.5) <= 0
    return Sky(opacity, _shadow(opacity > 0), seen, _footprint(swath))


def _opacity(day: date, cloudiness: float) -> Floats:
    if cloudiness == 0:
        return np.zeros(SHAPE)
    field = smooth_noise((_SEED, day.toordinal()), SHAPE, cell=128, octaves=5)
    hidden = round(cloudiness * field.size)
    threshold = np.partition(field.ravel(), field.size - hidden)[field.size - hidden]
    opacity: Floats = np.clip((field - threshold) / _SOFT_EDGE + _THIN, 0.0, 1.0)
    opacity[opacity < _THIN] = 0.0
    return opacity


def _shadow(cloud: Mask) -> Mask:
    """Where the clouds' shadow falls beside them: the sun stands in the south-south-east."""
    up, left = _SHADOW_SHIFT
    shadow = np.zeros_like(cloud)
    shadow[:-up, :-left] = cloud[up:, left:]
    return shadow & ~cloud


def _footprint(swath: Swath | None) -> Ring:
    rows, columns = SHAPE
    corners: Ring = [(0, rows), (columns, rows), (columns, 0), (0, 0)]
    kept = corners if swath is None else list(_clip(corners, swath))
    pixel, _, left, _, _, top = TRANSFORM
    ring = [(left + pixel * column, top - pixel * row) for column, row in kept]
    return [*ring, ring[0]]


def _clip(corners: Ring, swath: Swath) -> Iterator[tuple[float, float]]:
    for start, end in pairwise([*corners, corners[0]]):
        before, after = swath.excess(*start), swath.excess(*end)
        if before <= 0:
            yield start
        if before * after < 0:
            part = before / (before - after)
            yield (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
