"""What a cube knows of itself."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

import earthlab as el
from earthlab.errors import BadRequest
from earthlab.testing.rasters import scene_items, write_scene


@pytest.fixture
def cube(bare_environment, tmp_path):
    return el.open(scene_items([write_scene(tmp_path, "a", {"red": np.ones((30, 40), "uint8")})]))


def test_opening_a_cube_is_enough_to_have_the_accessor():
    code = "import earthlab as el; el.open; import xarray as xr; xr.Dataset().earthlab"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_cube_gives_its_plan_back(cube):
    assert cube.earthlab.plan.token == cube.attrs["earthlab_token"]
    assert el.open(cube.earthlab.plan).equals(cube)


def test_a_dataset_without_plan_says_what_to_ask():
    with pytest.raises(BadRequest, match="carries no plan"):
        _ = xr.Dataset().earthlab.plan


def test_a_mask_the_cube_was_not_opened_with_is_refused(cube):
    with pytest.raises(BadRequest, match=r"opened with None, not 'clear'.*Open it with mask='clear'"):
        cube.earthlab.mask()


def test_a_cube_is_cited_and_shown(cube):
    assert "Collection essai." in cube.earthlab.cite()
    assert cube.earthlab.explore(band="red").layers
