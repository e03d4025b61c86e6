"""SIMULATED dieback in an invented stand of spruce: where it comes and on which day is known.

Reflectances, clouds and damage are invented. No pixel was ever observed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from earthlab.errors import BadRequest
from earthlab.samples.simulated.noise import Floats, grain, smooth_noise

SPRUCE_CODE = "EPSG:32632"
SPRUCE_SHAPE = (48, 64)
SPRUCE_TRANSFORM = (20.0, 0.0, 351_000.0, 0.0, -20.0, 5_332_000.0)
SPRUCE_SCALE = 0.0001
SPRUCE_BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")
SPRUCE_DATES = tuple(
    [date(2015, 7, 6) + timedelta(days=20 * step) for step in range(46)]
    + [date(2018, 1, 3) + timedelta(days=12 * step) for step in range(44)]
)
"""The days of the series: sparse with one satellite, denser from 2018 on."""
HEALTHY, WEAK, STRONG, FELLED, RECOVERED = range(5)

_SEED = 1815
_NOISE = 0.015
_MOST_CLOUDS = 0.4
_WATER_LINE = (1610.4 - 864.0) / (2185.7 - 864.0)
_SOIL = {"B02": 0.045, "B03": 0.070, "B04": 0.100, "B8A": 0.220, "B11": 0.260, "B12": 0.190}
_CLOUD = {"B02": 0.420, "B03": 0.400, "B04": 0.410, "B8A": 0.450, "B11": 0.300, "B12": 0.240}


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged patch: what becomes of it, and from when until when."""

    kind: int
    rows: slice
    columns: slice
    begins: date
    drying: float
    """By how much the CRSWIR rises."""
    ends: date | None = None
    """When a felled patch is bare, and when a recovered one is as before."""

    def is_drying(self, day: date) -> bool:
        """Whether the damage shows on a day."""
        return day >= self.begins and (self.ends is None or day < self.ends)


DAMAGES = (
    Damage(WEAK, slice(4, 14), slice(6, 20), date(2018, 7, 20), 0.21),
    Damage(STRONG, slice(4, 16), slice(38, 58), date(2018, 5, 25), 0.36),
    Damage(STRONG, slice(24, 32), slice(4, 14), date(2018, 9, 10), 0.42),
    Damage(FELLED, slice(34, 44), slice(24, 36), date(2018, 6, 15), 0.36, date(2018, 12, 10)),
    Damage(RECOVERED, slice(32, 42), slice(46, 58), date(2018, 6, 1), 0.26, date(2018, 10, 1)),
)


@dataclass(frozen=True, slots=True)
class SpruceScene:
    """One date: counts of reflectance by band, and where clouds lie."""

    counts: Mapping[str, npt.NDArray[np.uint16]]
    clouds: npt.NDArray[np.bool_]

    @property
    def cloud_cover(self) -> float:
        """Percentage of the scene that is cloud."""
        return round(100.0 * float(self.clouds.mean()), 2)


def planted_kinds() -> npt.NDArray[np.uint8]:
    """What was planted in each pixel: `HEALTHY`, `WEAK`, `STRONG`, `FELLED` or `RECOVERED`."""
    kinds = np.full(SPRUCE_SHAPE, HEALTHY, "uint8")
    for damage in DAMAGES:
        kinds[damage.rows, damage.columns] = damage.kind
    return kinds


def planted_days() -> npt.NDArray[np.int32]:
    """The day on which damage begins in each pixel, as days since 2015-01-01; -1 where there is none."""
    days = np.full(SPRUCE_SHAPE, -1, "int32")
    for damage in DAMAGES:
        days[damage.rows, damage.columns] = (damage.begins - date(2015, 1, 1)).days
    return days


@cache
def render_spruce(day: date) -> SpruceScene:
    """The scene of one day of `SPRUCE_DATES`: a pure function.

    Raises
    ------
    BadRequest
        For a day without a scene.
    """
    if day not in SPRUCE_DATES:
        raise BadRequest(f"The simulated spruce stand has no scene of {day}. Its days are {SPRUCE_DATES[0]}, …")
    place = SPRUCE_DATES.index(day)
    bands = _canopy(day, place)
    for damage in DAMAGES:
        if damage.kind == FELLED and damage.ends is not None and day >= damage.ends:
            for name, value in _SOIL.items():
                bands[name][damage.rows, damage.columns] = value
    clouds = _clouds(place)
    for name, value in _CLOUD.items():
        bands[name] = np.where(clouds, value, bands[name])
    counts = {name: np.rint(bands[name] / SPRUCE_SCALE).astype("uint16") for name in SPRUCE_BANDS}
    return SpruceScene(MappingProxyType(counts), clouds)


def _canopy(day: date, place: int) -> dict[str, Floats]:
    turn = 2 * math.pi * (day - date(2015, 1, 1)).days / 365.25
    rng = np.random.default_rng([_SEED, place])
    relief = smooth_noise([_SEED], SPRUCE_SHAPE, 24, 2)
    near = 0.26 + 0.05 * relief + 0.02 * math.sin(turn - 1.5)
    far = 0.040 + 0.010 * relief
    water = 0.60 + 0.05 * relief + 0.05 * math.sin(turn) + 0.03 * math.cos(turn) - 0.01 * math.sin(2 * turn)
    water = water + _NOISE * grain(rng, SPRUCE_SHAPE)
    for damage in DAMAGES:
        if damage.is_drying(day):
            water[damage.rows, damage.columns] += damage.drying
    flat = np.ones(SPRUCE_SHAPE)
    middle = water * (near + (far - near) * _WATER_LINE)
    return {"B02": 0.020 * flat, "B03": 0.035 * flat, "B04": 0.022 * flat, "B8A": near, "B11": middle, "B12": far}


def _clouds(place: int) -> npt.NDArray[np.bool_]:
    share = _MOST_CLOUDS * float(np.random.default_rng([_SEED, place, 7]).random())
    field = smooth_noise([_SEED, place, 8], SPRUCE_SHAPE, 16, 2)
    ordered = np.sort(field, axis=None)
    return np.asarray(field > ordered[int((1 - share) * (field.size - 1))])
