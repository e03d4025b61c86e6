"""The planted truth: which land lies where, how green it is on each day, and what happens to it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from earthlab.errors import BadRequest, did_you_mean
from earthlab.samples.simulated.noise import Floats, smooth_noise

CODE = "EPSG:32631"
SHAPE = (512, 512)
TRANSFORM = (10.0, 0.0, 354600.0, 0.0, -10.0, 4837020.0)
"""Pixel to ground, in the order of `affine.Affine`: 10 m pixels west of Toulouse."""
HECTARES_PER_PIXEL = 0.01
CLASSES: Mapping[str, int] = MappingProxyType(
    {"deciduous": 1, "coniferous": 2, "meadow": 3, "winter_crop": 4, "summer_crop": 5, "bare": 6, "water": 7}
)
"""Land cover classes and their codes in `Truth.classes`."""

_SEED = 20210105
_FIRST_DAY, _LAST_DAY = date(2021, 1, 1), date(2022, 12, 31)
_PARCEL = 32

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Phenology:
    """A year of NDVI as a double logistic: a rise in spring and a fall, each with its day and its speed."""

    base: float
    amplitude: float = 0.0
    rise_day: int = 100
    """Day of the year of the middle of the rise in 2021; in 2022 it comes ``earlier_2022`` days sooner."""
    rise_speed: float = 0.1
    fall_day: int = 290
    fall_speed: float = 0.1
    earlier_2022: int = 9

    def ndvi(self, day: date) -> float:
        """NDVI without noise on a day."""
        years = range(day.year - 1, day.year + 2)
        return round(self.base + self.amplitude * sum(self._season(year, day) for year in years), 9)

    def _season(self, year: int, day: date) -> float:
        since = (day - date(year, 1, 1)).days + 1
        rise_day = self.rise_day - (self.earlier_2022 if year == 2022 else 0)
        return _logistic(self.rise_speed * (since - rise_day)) - _logistic(self.fall_speed * (since - self.fall_day))


@dataclass(frozen=True, slots=True)
class ClearCut:
    """A stand of conifers felled on one day."""

    day: date
    """First day on which the ground is bare."""
    polygon: tuple[tuple[float, float], ...]
    """Closed ring along pixel edges, in metres of `CODE`."""
    mask: Mask
    ndvi_after: float
    regrowth_per_year: float

    @property
    def area_ha(self) -> float:
        """The felled area, in hectares."""
        return _hectares(self.mask)

    def ndvi(self, day: date) -> float:
        """NDVI without noise of the felled ground, on or after the day."""
        return self.ndvi_after + self.regrowth_per_year * (day - self.day).days / 365.0


@dataclass(frozen=True, slots=True)
class Dieback:
    """A stand of deciduous trees that loses greenness steadily from one day to another."""

    begins: date
    ends: date
    loss: float
    """NDVI lost at the end, at the core."""
    severity: Floats
    """Between 0, outside, and 1, at the core."""

    @property
    def area_ha(self) -> float:
        """The area with any loss, in hectares."""
        return _hectares(self.severity > 0)

    def ndvi_lost(self, day: date) -> Floats:
        """NDVI lost by each pixel until a day."""
        return self.severity * (self.loss * _part_of(day, self.begins, self.ends))


@dataclass(frozen=True, slots=True)
class Truth:
    """Everything that was planted. Arrays are read-only, rows and columns as in `SHAPE`."""

    classes: Codes
    """Land cover on 2021-01-01, before any event; codes as in `CLASSES`."""
    curves: Mapping[str, Phenology]
    clear_cut: ClearCut
    dieback: Dieback
    lake_depth: Floats
    """Where the lake lies: a pixel is under water while this is at most `lake_level`."""

    def ndvi(self, name: str, day: date) -> float:
        """NDVI without noise of an undisturbed pixel of a class.

        Raises
        ------
        BadRequest
            For a class that does not exist.
        """
        return self.curves[self._known(name)].ndvi(day)

    def ndvi_map(self, day: date) -> Floats:
        """NDVI without noise, cloud or gap of every pixel on a day, all events included."""
        by_code = np.zeros(len(CLASSES) + 1)
        for name, code in CLASSES.items():
            by_code[code] = self.curves[name].ndvi(day)
        ndvi: Floats = by_code[self.classes_on(day)] - self.dieback.ndvi_lost(day)
        if day >= self.clear_cut.day:
            ndvi[self.clear_cut.mask] = self.clear_cut.ndvi(day)
        return ndvi

    def classes_on(self, day: date) -> Codes:
        """Land cover on a day: the felled stand and the dry bed of the lake are bare."""
        classes = self.classes.copy()
        classes[(self.classes == CLASSES["water"]) & ~self.lake_mask(day)] = CLASSES["bare"]
        if day >= self.clear_cut.day:
            classes[self.clear_cut.mask] = CLASSES["bare"]
        return classes

    def lake_level(self, day: date) -> float:
        """The lake's level, relative to 1 on 2021-01-01; it falls steadily for two years."""
        return 1.0 - 0.38 * _part_of(day, _FIRST_DAY, _LAST_DAY)

    def lake_mask(self, day: date) -> Mask:
        """Which pixels are under water on a day."""
        wet: Mask = self.lake_depth <= self.lake_level(day)
        return wet

    def lake_area_ha(self, day: date) -> float:
        """The lake's area on a day, in hectares."""
        return _hectares(self.lake_mask(day))

    def stable_mask(self, name: str) -> Mask:
        """Pixels of a class that no event ever touches.

        Raises
        ------
        BadRequest
            For a class that does not exist.
        """
        drained = (self.classes == CLASSES["water"]) & ~self.lake_mask(_LAST_DAY)
        touched = self.clear_cut.mask | (self.dieback.severity > 0) | drained
        stable: Mask = (self.classes == CLASSES[self._known(name)]) & ~touched
        return stable

    def _known(self, name: str) -> str:
        if name not in self.curves:
            raise BadRequest(f"simulated: found no class {name!r}. {did_you_mean(name, self.curves)}")
        return name


@cache
def truth() -> Truth:
    """The planted truth; the first call takes about a tenth of a second, later ones nothing."""
    lake = _lake_depth()
    severity = np.clip(1.25 * (1.0 - _ellipse(row=150, column=110, height=42, width=60)), 0.0, 1.0)
    felled = _felled_mask()
    return Truth(
        classes=_frozen(_classes(lake, severity, felled)),
        curves=_CURVES,
        clear_cut=ClearCut(date(2021, 9, 28), _felled_ring(), _frozen(felled), ndvi_after=0.18, regrowth_per_year=0.06),
        dieback=Dieback(date(2021, 6, 1), date(2022, 10, 31), 0.35, _frozen(severity)),
        lake_depth=_frozen(lake),
    )


_CURVES: Mapping[str, Phenology] = MappingProxyType(
    {
        "deciduous": Phenology(0.45, 0.45, rise_day=100, rise_speed=0.12, fall_day=300, fall_speed=0.09),
        "coniferous": Phenology(0.70, 0.10, rise_day=110, rise_speed=0.06, fall_day=290, fall_speed=0.05),
        "meadow": Phenology(0.42, 0.38, rise_day=75, rise_speed=0.07, fall_day=270, fall_speed=0.05),
        "winter_crop": Phenology(0.20, 0.65, rise_day=62, rise_speed=0.09, fall_day=172, fall_speed=0.16),
        "summer_crop": Phenology(0.17, 0.68, rise_day=168, rise_speed=0.12, fall_day=262, fall_speed=0.12),
        "bare": Phenology(0.14, 0.04, rise_day=90, rise_speed=0.1, fall_day=280, fall_speed=0.1),
        "water": Phenology(-0.30),
    }
)
# Row and column of the felled stand's corners, clockwise from the north-west: an L of 40 × 24 and 16 × 10 pixels.
_FELLED = ((300, 60), (300, 100), (324, 100), (324, 76), (334, 76), (334, 60))


def _felled_mask() -> Mask:
    felled = np.zeros(SHAPE, bool)
    felled[300:324, 60:100] = True
    felled[324:334, 60:76] = True
    return felled


def _felled_ring() -> tuple[tuple[float, float], ...]:
    pixel, _, left, _, _, top = TRANSFORM
    corners = (*_FELLED, _FELLED[0])
    return tuple((left + pixel * column, top - pixel * row) for row, column in corners)


def _classes(lake: Floats, severity: Floats, felled: Mask) -> Codes:
    classes = _parcel_classes()
    west = 1.0 - np.arange(SHAPE[1]) / SHAPE[1]
    forest = smooth_noise((_SEED, 1), SHAPE, cell=128, octaves=4) + 0.4 * west[None, :] > 0.71
    conifers = smooth_noise((_SEED, 2), SHAPE, cell=96, octaves=3) > 0.56
    classes[forest] = CLASSES["deciduous"]
    classes[forest & conifers] = CLASSES["coniferous"]
    classes[_ellipse(row=150, column=110, height=52, width=72) <= 1.0] = CLASSES["deciduous"]
    classes[290:344, 50:110] = CLASSES["coniferous"]
    classes[_ellipse(row=380, column=400, height=75, width=100) <= 1.0] = CLASSES["meadow"]
    classes[lake <= 1.0] = CLASSES["water"]
    assert not (severity[classes != CLASSES["deciduous"]] > 0).any()
    assert (classes[felled] == CLASSES["coniferous"]).all()
    return classes


def _parcel_classes() -> Codes:
    """Fields as cells around jittered points, each with one land use drawn at random."""
    rng = np.random.default_rng((_SEED, 3))
    counts = (SHAPE[0] // _PARCEL + 2, SHAPE[1] // _PARCEL + 2)
    uses = rng.choice(np.array([3, 4, 5, 6], np.uint8), size=counts, p=[0.28, 0.32, 0.25, 0.15])
    points = rng.integers(0, _PARCEL, size=(2, *counts))
    rows, columns = np.indices(SHAPE)
    best, classes = np.full(SHAPE, np.iinfo(np.int64).max), np.zeros(SHAPE, np.uint8)
    for step_down in (-1, 0, 1):
        for step_right in (-1, 0, 1):
            cell = (rows // _PARCEL + step_down) % counts[0], (columns // _PARCEL + step_right) % counts[1]
            away_down = (rows // _PARCEL + step_down) * _PARCEL + points[0][cell] - rows
            away_right = (columns // _PARCEL + step_right) * _PARCEL + points[1][cell] - columns
            distance = away_down**2 + away_right**2
            nearer = distance < best
            best[nearer], classes[nearer] = distance[nearer], uses[cell][nearer]
    return classes


def _lake_depth() -> Floats:
    rough = smooth_noise((_SEED, 4), SHAPE, cell=32, octaves=3)
    depth: Floats = np.sqrt(_ellipse(row=380, column=400, height=48, width=70)) * (0.85 + 0.3 * rough)
    return depth


def _ellipse(*, row: int, column: int, height: int, width: int) -> Floats:
    rows, columns = np.indices(SHAPE)
    squared: Floats = ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2
    return squared


def _logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def _part_of(day: date, begins: date, ends: date) -> float:
    return min(max((day - begins).days / (ends - begins).days, 0.0), 1.0)


def _hectares(mask: npt.NDArray[Any]) -> float:
    return round(int(np.count_nonzero(mask)) * HECTARES_PER_PIXEL, 2)


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array
