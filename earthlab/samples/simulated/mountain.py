"""SIMULATED snow on an invented mountain: the elevation from which snow lies is known for each date.

The relief, the forest and the reflectances are invented. No pixel was ever observed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from earthlab.errors import BadRequest
from earthlab.samples.simulated.noise import Floats, grain, smooth_noise

MOUNTAIN_CODE = "EPSG:32632"
MOUNTAIN_SHAPE = (240, 240)
MOUNTAIN_TRANSFORM = (20.0, 0.0, 330_000.0, 0.0, -20.0, 4_955_000.0)
MOUNTAIN_SCALE = 0.0001
MOUNTAIN_BANDS = ("B03", "B04", "B11")

SNOW_LIMITS: Mapping[date, float] = MappingProxyType(
    {
        date(2023, 11, 12): 2250.0,
        date(2023, 12, 17): 1750.0,
        date(2024, 1, 21): 1350.0,
        date(2024, 2, 25): 1550.0,
        date(2024, 4, 5): 1950.0,
        date(2024, 5, 20): 2350.0,
    }
)
"""Elevation in metres from which snow lies, by date: the truth that was planted."""

CLEAR, SUSPECTED, THICK, SHADOW, HIGH = range(5)
"""Values of the mask: nothing, a cloud that is none, a thick cloud, its shadow, a high cloud."""

_SEED = 1850
_LOWEST, _HIGHEST = 900.0, 2700.0
_TREE_LINE = 2000.0

# Reflectance in green, red and short-wave infrared.
_OPEN_SNOW, _FOREST_SNOW = (0.75, 0.72, 0.08), (0.150, 0.120, 0.090)
_GRASS, _FOREST = (0.100, 0.085, 0.220), (0.045, 0.032, 0.085)
_CLOUD = (0.600, 0.580, 0.420)
_SHADE = 0.5


@dataclass(frozen=True, slots=True)
class MountainScene:
    """One date: counts of reflectance by band, the mask of clouds, the ground, and what is true.

    ``elevation`` is in metres, ``tree_cover`` in percent; ``snow`` is true where snow lies, clouds or not; ``limit``
    is the elevation from which it does.
    """

    counts: Mapping[str, npt.NDArray[np.uint16]]
    mask: npt.NDArray[np.uint8]
    elevation: npt.NDArray[np.int16]
    tree_cover: npt.NDArray[np.uint8]
    snow: npt.NDArray[np.bool_]
    limit: float


def render_mountain(day: date) -> MountainScene:
    """The invented mountain on one of the days of `SNOW_LIMITS`.

    Raises
    ------
    BadRequest
        For another day.
    """
    if day not in SNOW_LIMITS:
        raise BadRequest(f"The mountain has no scene of {day}. It has {', '.join(map(str, SNOW_LIMITS))}.")
    elevation, forest = _ground()
    limit, mask = SNOW_LIMITS[day], _mask(day)
    snow = elevation >= limit
    reflectance = _reflectance(snow, forest, mask)
    rng = np.random.default_rng([_SEED, day.toordinal()])
    counts = {
        band: _as_counts(values + 0.004 * grain(rng, MOUNTAIN_SHAPE))
        for band, values in zip(MOUNTAIN_BANDS, reflectance, strict=True)
    }
    return MountainScene(counts, mask, elevation, (70 * forest).astype("uint8"), snow, limit)


@cache
def _ground() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    rows, columns = MOUNTAIN_SHAPE
    slope = np.linspace(0, 1, rows)[::-1, None] * np.ones(columns)
    field = 0.7 * slope + 0.3 * smooth_noise([_SEED, 1], MOUNTAIN_SHAPE, 96, octaves=4)
    height = (field - field.min()) / (field.max() - field.min())
    elevation = np.rint(_LOWEST + (_HIGHEST - _LOWEST) * height).astype("int16")
    forest = (smooth_noise([_SEED, 2], MOUNTAIN_SHAPE, 32, octaves=2) > 0.55) & (elevation < _TREE_LINE)
    return elevation, forest


def _mask(day: date) -> npt.NDArray[np.uint8]:
    rows, columns = np.indices(MOUNTAIN_SHAPE)
    order = list(SNOW_LIMITS).index(day)
    mask = np.full(MOUNTAIN_SHAPE, CLEAR, "uint8")
    mask[_ground()[1] & (columns > 170)] = SUSPECTED
    middle = 50 + 20 * order
    away = np.hypot(rows - middle, columns - 60)
    mask[np.hypot(rows - middle - 18, columns - 78) < 22] = SHADOW
    mask[away < 22] = THICK
    mask[(columns > 225) & (rows < 60)] = HIGH
    return mask


def _reflectance(snow: npt.NDArray[np.bool_], forest: npt.NDArray[np.bool_], mask: npt.NDArray[np.uint8]) -> Floats:
    kinds = np.stack([snow & ~forest, snow & forest, ~snow & ~forest, ~snow & forest])
    ends = np.array([_OPEN_SNOW, _FOREST_SNOW, _GRASS, _FOREST])
    ground = np.tensordot(ends.T, kinds.astype("float64"), axes=1)
    shaded = np.where(mask == SHADOW, ground * _SHADE, ground)
    covered: Floats = np.where(mask == THICK, np.array(_CLOUD)[:, None, None], shaded)
    return covered


def _as_counts(reflectance: Floats) -> npt.NDArray[np.uint16]:
    return np.rint(np.clip(reflectance, 0.001, 1.2) / MOUNTAIN_SCALE).astype("uint16")
