"""One simulated date as a provider would deliver it: counts of reflectance and a scene classification."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from earthlab.errors import BadRequest, did_you_mean
from earthlab.samples.simulated.land import CLASSES, SHAPE, truth
from earthlab.samples.simulated.noise import Floats, grain, smooth_noise
from earthlab.samples.simulated.sky import Ring, Sky, Swath, render_sky

BANDS = ("B02", "B03", "B04", "B05", "B08", "B8A", "B11", "B12")
SCALE = 0.0001
NODATA = 0
BASELINE_CHANGE = date(2022, 1, 25)
"""From this day on the counts carry an offset of +1000, as Sentinel-2's do since processing baseline 04.00."""

_SEED = 3150
_GRAIN = 0.02
_SHADE = 0.4

# Each date with its share of clouds and, where the swath ends within the scene, its edge.
_PLAN: Mapping[date, tuple[float, Swath | None]] = MappingProxyType(
    {
        date(2021, 1, 5): (0.35, None),
        date(2021, 2, 4): (0.60, None),
        date(2021, 3, 6): (0.10, Swath(4, -1, 1500)),
        date(2021, 3, 31): (0.0, None),
        date(2021, 4, 25): (0.22, None),
        date(2021, 5, 20): (0.05, None),
        date(2021, 6, 9): (0.45, None),
        date(2021, 7, 4): (0.0, None),
        date(2021, 7, 29): (0.02, None),
        date(2021, 8, 23): (0.12, None),
        date(2021, 9, 17): (0.0, None),
        date(2021, 10, 12): (0.30, None),
        date(2021, 11, 11): (0.85, Swath(-4, 1, -700)),
        date(2021, 12, 11): (0.15, None),
        date(2022, 1, 10): (0.50, None),
        date(2022, 2, 9): (0.08, None),
        date(2022, 3, 11): (0.40, None),
        date(2022, 4, 5): (0.0, None),
        date(2022, 4, 30): (0.18, Swath(4, -1, 1100)),
        date(2022, 5, 25): (0.03, None),
        date(2022, 6, 19): (0.28, None),
        date(2022, 7, 14): (0.0, None),
        date(2022, 8, 8): (0.06, None),
        date(2022, 9, 2): (0.0, Swath(-4, 1, -500)),
        date(2022, 9, 27): (0.20, None),
        date(2022, 10, 27): (0.75, None),
        date(2022, 11, 26): (0.10, None),
        date(2022, 12, 26): (0.55, None),
    }
)
DATES = tuple(_PLAN)
"""The days of the archive, in order; multiples of Sentinel-2's five days."""

# Reflectance of bare ground, of full foliage, of water and of cloud. Red is left out: NDVI and NIR give it.
_ENDS: Mapping[str, tuple[float, float, float, float]] = MappingProxyType(
    {
        "B02": (0.09, 0.025, 0.050, 0.62),
        "B03": (0.12, 0.060, 0.045, 0.60),
        "B04": (0.0, 0.0, 0.0, 0.60),
        "B05": (0.17, 0.100, 0.018, 0.61),
        "B08": (0.24, 0.420, 0.012, 0.63),
        "B8A": (0.25, 0.440, 0.011, 0.62),
        "B11": (0.32, 0.180, 0.006, 0.40),
        "B12": (0.27, 0.085, 0.004, 0.30),
    }
)
_BARE_NDVI, _FULL_NDVI = 0.12, 0.92
_BRIGHTNESS = {
    "deciduous": 0.9,
    "coniferous": 0.65,
    "meadow": 1.0,
    "winter_crop": 1.05,
    "summer_crop": 1.0,
    "bare": 1.15,
    "water": 1.0,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What was delivered for one date."""

    moment: datetime
    counts: Mapping[str, npt.NDArray[np.uint16]]
    """For each of `BANDS`: reflectance = counts × `SCALE` + ``offset``; `NODATA` beyond the swath."""
    classes: npt.NDArray[np.uint8]
    """Scene classes with Sentinel-2's codes: 0 no data, 3 shadow, 4 vegetation, 5 bare, 6 water, 8 and 9 cloud."""
    offset: float
    baseline: str
    footprint: Ring
    """Closed ring around what was seen, in metres."""

    @property
    def cloud_cover(self) -> float:
        """Percentage of what was seen that is cloud."""
        seen = np.count_nonzero(self.classes)
        return round(100.0 * int(np.isin(self.classes, (8, 9)).sum()) / int(seen), 2)

    @property
    def missing(self) -> float:
        """Percentage of the scene that the swath left out."""
        return round(100.0 * int((self.classes == NODATA).sum()) / self.classes.size, 2)


def render_scene(day: date) -> Scene:
    """The scene of one day of `DATES`: a pure function, about a quarter of a second.

    Raises
    ------
    BadRequest
        For a day without an acquisition; the message offers the nearest.
    """
    if day not in _PLAN:
        known = [f"{known:%Y-%m-%d}" for known in DATES]
        raise BadRequest(f"simulated: there is no scene on {day}. {did_you_mean(str(day), known)}")
    sky = render_sky(day, *_PLAN[day])
    offset = -0.1 if day >= BASELINE_CHANGE else 0.0
    reflectance = _veil(_ground(day), sky, day)
    return Scene(
        moment=datetime.combine(day, time(10, 50, 31), UTC),
        counts={band: _count(values, offset, sky) for band, values in reflectance.items()},
        classes=_scene_classes(day, sky),
        offset=offset,
        baseline="04.00" if offset else "03.01",
        footprint=sky.footprint,
    )


def _ground(day: date) -> dict[str, Floats]:
    """Reflectance of the land under a clear sky, grain included; NDVI before the grain is exactly the truth's."""
    ndvi, classes = truth().ndvi_map(day), truth().classes_on(day)
    by_code = np.ones(len(CLASSES) + 1)
    for name, code in CLASSES.items():
        by_code[code] = _BRIGHTNESS[name]
    light = by_code[classes] * (0.9 + 0.2 * smooth_noise((_SEED,), SHAPE, cell=16, octaves=3))
    green = np.clip((ndvi - _BARE_NDVI) / (_FULL_NDVI - _BARE_NDVI), 0.0, 1.0)
    wet = classes == CLASSES["water"]
    clean = {band: np.where(wet, water, bare + (full - bare) * green) for band, (bare, full, water, _) in _ENDS.items()}
    clean["B04"] = clean["B08"] * (1.0 - ndvi) / (1.0 + ndvi)
    rng = np.random.default_rng((_SEED, day.toordinal()))
    return {band: values * light * (1.0 + _GRAIN * grain(rng, SHAPE)) for band, values in clean.items()}


def _veil(ground: Mapping[str, Floats], sky: Sky, day: date) -> dict[str, Floats]:
    relief = 0.85 + 0.3 * smooth_noise((_SEED, day.toordinal(), 1), SHAPE, cell=32, octaves=3)
    lit = np.where(sky.shadow, _SHADE, 1.0)
    return {
        band: values * lit * (1.0 - sky.opacity) + _ENDS[band][3] * relief * sky.opacity
        for band, values in ground.items()
    }


def _count(reflectance: Floats, offset: float, sky: Sky) -> npt.NDArray[np.uint16]:
    counts = np.clip(np.rint((reflectance - offset) / SCALE), NODATA + 1, 65535).astype(np.uint16)
    counts[~sky.seen] = NODATA
    return counts


def _scene_classes(day: date, sky: Sky) -> npt.NDArray[np.uint8]:
    classes = np.where(truth().ndvi_map(day) > 0.35, 4, 5).astype(np.uint8)
    classes[truth().classes_on(day) == CLASSES["water"]] = 6
    for code, where in ((3, sky.shadow), (8, sky.thin), (9, sky.thick), (NODATA, ~sky.seen)):
        classes[where] = code
    return classes
