"""SIMULATED Sentinel-2-like scenes with a known truth. No pixel of them was ever observed.

`render_scene` gives what a provider would deliver for one date: counts, scene classes, clouds, a swath's edge.
`truth` gives what was planted: the land cover, every NDVI curve without noise, a clear-cut, a dieback, a lake that
shrinks. Both are pure functions: the same program gives the same pixels on every machine.
"""

from earthlab.samples.simulated.land import (
    CLASSES,
    CODE,
    SHAPE,
    TRANSFORM,
    ClearCut,
    Dieback,
    Phenology,
    Truth,
    truth,
)
from earthlab.samples.simulated.mountain import SNOW_LIMITS, MountainScene, render_mountain
from earthlab.samples.simulated.scene import BANDS, DATES, NODATA, SCALE, Scene, render_scene
from earthlab.samples.simulated.spruce import (
    DAMAGES,
    SPRUCE_DATES,
    SpruceScene,
    planted_days,
    planted_kinds,
    render_spruce,
)

__all__ = [
    "BANDS",
    "CLASSES",
    "CODE",
    "DAMAGES",
    "DATES",
    "NODATA",
    "SCALE",
    "SHAPE",
    "SNOW_LIMITS",
    "SPRUCE_DATES",
    "TRANSFORM",
    "ClearCut",
    "Dieback",
    "MountainScene",
    "Phenology",
    "Scene",
    "SpruceScene",
    "Truth",
    "planted_days",
    "planted_kinds",
    "render_mountain",
    "render_scene",
    "render_spruce",
    "truth",
]
