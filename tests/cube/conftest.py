"""Small real scenes on one lattice, which the tests of plans and cubes share."""

from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene


@pytest.fixture(autouse=True)
def plain_settings(bare_environment: Path) -> Path:
    return bare_environment


@pytest.fixture
def pair(tmp_path):
    """Two dates with red and nir as DN of 1/10000; the second one lacks nir."""
    rng = np.random.default_rng(0)

    def band(name: str) -> SceneBand:
        values = rng.integers(1, 10_000, (300, 280)).astype("uint16")
        values[:20, :30] = 0
        return SceneBand(RasterFile(values), name, nodata=0, scale=0.0001)

    return scene_items(
        [
            write_scene(tmp_path, "a", {"red": band("red"), "nir": band("nir")}, time="2018-07-01T10:00:00Z"),
            write_scene(tmp_path, "b", {"red": band("red")}, time="2018-07-11T10:00:00Z"),
        ]
    )


@pytest.fixture
def degrees(tmp_path):
    """One date of 40 × 50 pixels of a hundredth of a degree."""
    values = np.random.default_rng(1).integers(1, 10_000, (40, 50)).astype("uint16")
    file = RasterFile(values, Affine(0.01, 0, 1.0, 0, -0.01, 44.0), "EPSG:4326")
    return scene_items([write_scene(tmp_path, "d", {"red": SceneBand(file, "red", nodata=0, scale=0.0001)})])
