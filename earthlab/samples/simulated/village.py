"""SIMULATED very-high-resolution pair of an invented village before and after a cyclone: what was lost is known.

Roofs, roads, trees and reflectances are invented. No pixel was ever observed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import numpy.typing as npt

from earthlab.errors import BadRequest
from earthlab.samples.simulated.noise import Floats, grain, smooth_noise

VILLAGE_CODE = "EPSG:32738"
VILLAGE_SHAPE = (480, 480)
VILLAGE_TRANSFORM = (0.5, 0.0, 512_000.0, 0.0, -0.5, 8_586_000.0)
VILLAGE_SCALE = 0.0001
VILLAGE_BANDS = ("blue", "green", "red", "nir")
BEFORE, AFTER = date(2024, 11, 20), date(2024, 12, 22)

UNCHANGED, ROOF_LOST, TREES_LOST = range(3)
"""Values of the truth."""

_SEED = 2412
_SPACING, _ROOF = 40, (14, 24)
_LOST_ROOFS, _LOST_TREES = 0.22, 0.30
_GRASS, _TREES, _SOIL = (0.045, 0.080, 0.060, 0.360), (0.025, 0.045, 0.030, 0.420), (0.110, 0.150, 0.200, 0.270)
_ROAD, _METAL, _TILE = (0.120, 0.125, 0.130, 0.150), (0.300, 0.310, 0.320, 0.330), (0.090, 0.110, 0.210, 0.260)
_DEBRIS = (0.170, 0.180, 0.190, 0.200)
_LIGHT, _HAZE = 1.08, 0.012
_SHADE, _SHADOWS = 0.45, (3, 6)
_OFF = 1
"""What a lower sun, another air and a shift of a pixel do to the second image: they change nothing on the ground."""
_MOWN, _MEADOWS, _THINNED = (0.065, 0.105, 0.100, 0.330), 0.08, 0.35
"""Meadows that were mown between the dates, their share, and how much ground shows where trees were only thinned."""
_SENSOR = 0.006


@dataclass(frozen=True, slots=True)
class VillageScene:
    """One date: counts of reflectance by band, and what was lost since the first (0 before)."""

    counts: Mapping[str, npt.NDArray[np.uint16]]
    lost: npt.NDArray[np.uint8]


def render_village(day: date) -> VillageScene:
    """The village on one of the two dates.

    Parameters
    ----------
    day : date
        ``BEFORE`` or ``AFTER``.

    Raises
    ------
    BadRequest
        For another day.
    """
    if day not in {BEFORE, AFTER}:
        raise BadRequest(f"The village has no scene of {day}. There are {BEFORE} and {AFTER}.")
    later = day == AFTER
    before, after, lost = _plant()
    image = np.roll(after * _LIGHT + _HAZE, (_OFF, _OFF), (1, 2)) if later else before
    rng = np.random.default_rng((_SEED, int(later)))
    counts = {}
    for name, seen in zip(VILLAGE_BANDS, image, strict=True):
        noisy = seen + _SENSOR * grain(rng, VILLAGE_SHAPE)
        counts[name] = np.rint(np.clip(noisy, 0.0001, 1.0) / VILLAGE_SCALE).astype("uint16")
    return VillageScene(counts, lost if later else np.zeros_like(lost))


@cache
def _plant() -> tuple[Floats, Floats, npt.NDArray[np.uint8]]:
    rng = np.random.default_rng((_SEED, 9))
    trees = smooth_noise((_SEED, 1), VILLAGE_SHAPE, 60, 2) > 0.60
    before = np.where(trees, _column(_TREES), _column(_GRASS)) * (
        0.85 + 0.3 * smooth_noise((_SEED, 2), VILLAGE_SHAPE, 12, 3)
    )
    torn = trees & (smooth_noise((_SEED, 3), VILLAGE_SHAPE, 48) < _LOST_TREES)
    thinned = torn & (smooth_noise((_SEED, 4), VILLAGE_SHAPE, 80) < _THINNED)
    mown = ~trees & (smooth_noise((_SEED, 5), VILLAGE_SHAPE, 70) < _MEADOWS)
    after = np.where(torn, _column(_SOIL), np.where(mown, _column(_MOWN), before))
    after = np.where(thinned, 0.8 * before + 0.2 * _column(_SOIL), after)
    lost = np.where(torn, TREES_LOST, UNCHANGED).astype("uint8")
    for start in range(_SPACING // 2 - 4, VILLAGE_SHAPE[0], 4 * _SPACING):
        for image in (before, after):
            image[:, start : start + 8] = _column(_ROAD)
        lost[start : start + 8] = UNCHANGED
    for row in range(_SPACING, VILLAGE_SHAPE[0] - _SPACING, _SPACING):
        for column in range(_SPACING, VILLAGE_SHAPE[1] - _SPACING, _SPACING):
            _build(rng, (row, column), before, after, lost)
    return before, after, lost


def _build(
    rng: np.random.Generator, corner: tuple[int, int], before: Floats, after: Floats, lost: npt.NDArray[np.uint8]
) -> None:
    height, width = (int(length) for length in rng.integers(*_ROOF, 2))
    row, column = (at + int(off) for at, off in zip(corner, rng.integers(0, 6, 2), strict=True))
    colour, is_lost = rng.random(), rng.random() < _LOST_ROOFS
    place = (slice(row, row + height), slice(column, column + width))
    if (before[0][place] == _ROAD[0]).any():
        return
    for image, length in zip((before, after), _SHADOWS, strict=True):
        image[:, row + height : row + height + length, column : column + width] *= _SHADE
    roof = np.array(_METAL if colour < 0.7 else _TILE)[:, None, None] * (0.9 + 0.2 * colour)
    before[(slice(None), *place)] = roof
    after[(slice(None), *place)] = _column(_DEBRIS) if is_lost else roof
    lost[place] = ROOF_LOST if is_lost else UNCHANGED


def _column(colour: tuple[float, ...]) -> Floats:
    return np.array(colour)[:, None, None]
