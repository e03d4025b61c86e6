"""A shared cube describes itself as a STAC item."""

import json
from pathlib import Path

import pystac
import pytest

import earthlab as el
from earthlab.cube.shared import share_cube
from earthlab.testing.rasters import scene_items

from .conftest import scenes


@pytest.fixture
def cube(plan, folder):
    return share_cube(plan, store=folder)


def test_the_item_in_the_store_is_the_cubes_own(cube):
    assert json.loads(Path(cube.href, "item.json").read_text()) == json.loads(json.dumps(cube.item))


def test_it_is_an_item_of_stac_that_names_what_it_was_made_of(cube, plan):
    item = pystac.Item.from_dict(cube.item)
    assert item.id == f"cube-{plan.token}"
    assert item.datetime is None
    assert item.properties["start_datetime"] < item.properties["end_datetime"]
    assert [link.title for link in item.get_links("derived_from")] == ["s0", "s1", "s2"]
    assert item.properties["sci:citation"] == plan.citation
    assert item.assets["cube"].href == cube.href
    west, south, east, north = item.bbox
    assert west < east
    assert south < north


def test_its_dimensions_and_variables_are_those_of_the_cube(cube, plan):
    dimensions, variables = (cube.item["properties"][f"cube:{name}"] for name in ("dimensions", "variables"))
    assert list(dimensions) == ["time", "y", "x"]
    assert len(dimensions["time"]["values"]) == 3
    assert dimensions["x"]["reference_system"] == 32631
    opened = cube.open()
    assert dimensions["x"]["extent"] == [float(opened.x.min()), float(opened.x.max())]
    assert list(variables) == list(plan.bands)
    assert variables["red"]["dimensions"] == list(opened.red.dims)


def test_items_of_one_id_in_two_collections_are_both_named(tmp_path, folder):
    documents = scenes(tmp_path, dates=1)
    other = {**documents[0], "collection": "autre", "properties": {"datetime": "2020-02-01T10:00:00Z"}}
    cube = share_cube(el.plan(scene_items([*documents, other])), store=folder)
    links = pystac.Item.from_dict(cube.item).get_links("derived_from")
    assert [link.href for link in links] == ["urn:earthlab:item:essai:s0", "urn:earthlab:item:autre:s0"]
