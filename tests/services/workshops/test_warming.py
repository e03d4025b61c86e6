"""A warm-up in a place of its own: what notebooks open is listed and kept, so that they run without the network."""

import json
import os
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from earthlab.hub.handout import VARIABLE
from earthlab.hub.inside import Inside
from earthlab.kernel.identity import own_identity
from earthlab.services.workshops.hub import HubClient
from earthlab.services.workshops.material import read_document, write_material
from earthlab.services.workshops.text import Notebook
from earthlab.services.workshops.warming import Warming
from earthlab.services.workshops.warmth import ItemUse, compile_warmth, goes, judge_warmth, parse_warmth, prove
from earthlab.testing.providers import fixed, json_answer, provider
from earthlab.testing.rasters import RasterFile, SceneBand, write_scene
from earthlab.testing.stores import serve_files
from earthlab.testing.workshops import workshop_now
from tests.hub.conftest import root_only
from tests.services.workshops.serving import make_desk

_OPEN = """
import json, os, urllib.request
import earthlab as el
from earthlab.catalog import ItemSet
from earthlab.catalog.normalise import norm_item
items = ItemSet((norm_item(json.loads({document!r})),))
cube = el.open(items, bands=["red"])
"""
_LAB = "print(urllib.request.urlopen(os.environ['EARTHLAB_SERVICES']).read())"
_READ = "print(float(cube.red.mean()))"
_LESSON = "1 / 0"


def notebook_of(*cells):
    rows = [
        {"cell_type": "code", "id": f"c{at}", "source": code, "metadata": {"tags": tags}, "outputs": [],
         "execution_count": None}
        for at, (code, tags) in enumerate(cells, 1)
    ]  # fmt: skip
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": rows}).encode()


@pytest.fixture
def world(tmp_path):
    """A scene that lies at the other end of a network."""
    folder = tmp_path / "world"
    folder.mkdir()
    values = np.random.default_rng(0).integers(1, 10_000, (64, 64)).astype("uint16")
    band = SceneBand(RasterFile(values), "red", nodata=0, scale=0.0001)
    document = write_scene(folder, "a", {"rouge": band})
    with serve_files(folder) as served:
        asset = document["assets"]["rouge"]
        yield document | {"assets": {"rouge": asset | {"href": f"{served.url}a-rouge.tif"}}}


@pytest.fixture
def runtime():
    """A folder for sockets, whose paths must be short."""
    with tempfile.TemporaryDirectory(prefix="el-") as folder:
        yield folder


@pytest.fixture
def warming(tmp_path, world, runtime):
    """A warm-up whose lab answers, in the place of whoever runs the tests."""
    workshop = workshop_now(notebooks=(Notebook("neige.ipynb"),))
    with provider(fixed(json_answer({}))) as lab:
        desk = make_desk(tmp_path / "lab", **{"lab.port": int(lab.url.rstrip("/").rpartition(":")[2])})
        cells = (
            (_OPEN.format(document=json.dumps(world)), []),
            (_LAB, []),
            (_READ, []),
            (_LESSON, ["raises-exception"]),
        )
        material = desk.material("neige")
        write_material(material, workshop, [read_document(notebook_of(*cells), workshop.notebooks[0])])
        home = tmp_path / "home"
        home.mkdir()
        environment = {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), VARIABLE: str(material),
            "EARTHLAB_SERVICES": f"{lab.url}services", "EARTHLAB__CUBES__STORE": str(tmp_path / "cubes"),
            "EARTHLAB__READING__RETRIES": "0", "JUPYTER_RUNTIME_DIR": str(runtime),
        }  # fmt: skip
        entry = desk.make(workshop)
        told = []
        yield Warming(desk, HubClient("", ""), told.append), Inside(own_identity(), environment, str(home)), entry, told
        desk.store.close()


@root_only
async def test_what_was_warmed_runs_with_the_outside_network_cut_and_only_that(warming):
    warm, inside, entry, told = warming
    found = compile_warmth(await warm.try_notebooks(inside, entry, {"keep": True}))
    assert found.broken == ""
    assert [(cell.cell, cell.error) for cell in found.cells] == [("c1", ""), ("c2", ""), ("c3", ""), ("c4", "")]
    assert all(cell.memory > 2**20 and cell.seconds < 60 for cell in found.cells)
    assert found.items == (ItemUse("essai", "a", ("rouge",)),)
    assert [(cube.collections, cube.bands, cube.state) for cube in found.cubes] == [(("essai",), ("red",), "built")]
    assert found.read == 64 * 64 * 2
    assert [(one.host, one.why, one.notebook) for one in found.outside] == [("127.0.0.1", "pixels", "neige.ipynb")]
    assert told[-1] == "4 / 4 : neige.ipynb [c4]"

    warmed = prove(found, await warm.try_alone(inside, entry, found))
    assert (warmed.cut, warmed.cut_failures) == ("passed", ())
    assert goes(judge_warmth(warmed, 2**30))
    assert parse_warmth(json.loads(json.dumps(warmed.to_json()))) == warmed

    cold = prove(found, await warm.try_alone(inside, entry, replace(found, cubes=())))
    assert cold.cut == "failed"
    assert cold.cut_failures[0].startswith("neige.ipynb: a, red: ")
    assert not goes(judge_warmth(cold, 2**30))
