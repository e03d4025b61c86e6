"""The guard against catalogues whose scale or offset does not fit the files."""

import warnings

import numpy as np
import pytest

import earthlab as el
from earthlab.cube import radiometry
from earthlab.errors import RadiometryWarning
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene


def cube_of(folder, value, *, name="red", scale=1e-4, offset=None):
    radiometry._told.clear()
    values = np.full((256, 256), value, "uint16")
    band = SceneBand(RasterFile(values), name, nodata=0, scale=scale, offset=offset)
    document = write_scene(folder, "a", {name: band})
    document["assets"][name]["unit"] = "1"
    return el.open(scene_items([document]))


def test_an_offset_applied_twice_is_doubted(tmp_path):
    with pytest.warns(RadiometryWarning, match=r"band 'red': 100% of the values are below -0\.02"):
        cube_of(tmp_path, 500, offset=-0.1).compute(scheduler="sync")


def test_a_scale_that_was_forgotten_is_doubted(tmp_path):
    with pytest.warns(RadiometryWarning, match=r"band 'nir': 100% of the values are above 2"):
        cube_of(tmp_path, 3000, name="nir", scale=1.0).compute(scheduler="sync")


@pytest.mark.parametrize(
    ("value", "words"), [(3000, {}), (900, {"offset": -0.1}), (500, {"name": "ndvi", "offset": -1})]
)
def test_what_can_be_is_not_doubted(tmp_path, value, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error", RadiometryWarning)
        cube_of(tmp_path, value, **words).compute(scheduler="sync")


def test_one_band_of_one_cube_is_doubted_once(tmp_path):
    cube = cube_of(tmp_path, 500, offset=-0.1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cube.compute(scheduler="sync")
        cube.compute(scheduler="sync")
    assert [w.category for w in told].count(RadiometryWarning) == 1
