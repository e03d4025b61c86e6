"""From the catalogue's unsigned address to right pixels, through every way to sign; the secrets stay behind."""

import logging
import pickle
import sys
import types
from contextlib import contextmanager

import cloudpickle
import numpy as np
import pytest
import xarray as xr

import earthlab as el
from earthlab.catalog.signing import forget_signers
from earthlab.cube.readers.netcdf import open_netcdf
from earthlab.cube.readers.raster import _bands
from earthlab.errors import NotAllowed, ReadFault
from earthlab.testing.rasters import scene_items, write_scene
from earthlab.testing.signing import CASES, PLANTED, serve_provider

VALUES = np.arange(64 * 64, dtype="uint16").reshape(64, 64) + 1


@pytest.fixture
def served(tmp_path, monkeypatch, bare_environment):
    """A provider with one scene, whose signer is the only one of this process."""

    @contextmanager
    def serve(name, **behaviour):
        case = CASES[name]
        document = write_scene(tmp_path, "a", {"red": VALUES})
        with serve_provider(case.kind, case.key, tmp_path, **behaviour) as provider:
            document["assets"]["red"]["href"] = provider.href("a-red.tif")
            module = types.ModuleType("planted_signer")
            module.make = lambda: case.make(provider)
            monkeypatch.setitem(sys.modules, "planted_signer", module)
            monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "planted_signer:make")
            forget_signers()
            yield provider, scene_items([document])
        _bands.clear()
        forget_signers()

    return serve


@pytest.mark.parametrize("name", CASES)
def test_pixels_are_right_and_no_secret_travels_or_shows(served, name, caplog):
    caplog.set_level(logging.DEBUG)
    with served(name) as (provider, items):
        cube = el.open(items, strict=True)
        computed = cube.red.compute(scheduler="threads")
        np.testing.assert_array_equal(computed[0], VALUES)
        shown = [
            pickle.dumps(cube.__dask_graph__()).decode("latin-1"),
            cloudpickle.dumps(cube).decode("latin-1"),
            repr(cube),
            cube._repr_html_(),
            str(cube.attrs),
            str(computed.attrs),
            cube.earthlab.plan.to_json(),
            items.to_json(),
        ]
        assert not [text for text in [*shown, caplog.text] if PLANTED in text]
        assert provider.href("a-red.tif") in shown[0]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kind != "buckets"])
def test_without_its_signer_the_store_answers_403(served, name, monkeypatch):
    with served(name) as (_, items):
        monkeypatch.setenv("EARTHLAB__CATALOGUE__SIGNERS", "none")
        with pytest.raises(ReadFault, match="403"):
            el.open(items, strict=True).red.compute(scheduler="sync")


@pytest.mark.parametrize("name", ["mtd", "geodes"])
def test_a_refusal_reaches_the_reader_of_a_cube(served, name):
    with served(name, state="refusing") as (_, items), pytest.raises(NotAllowed, match="API key") as refused:
        el.open(items, strict=True).red.compute(scheduler="sync")
    assert PLANTED not in str(refused.value)


def test_a_key_does_not_follow_to_the_store_that_its_provider_leads_to(served):
    with served("geodes", leads_away=True) as (provider, items):
        np.testing.assert_array_equal(el.open(items, strict=True).red.compute(scheduler="sync")[0], VALUES)
    away = [row for row in provider.requests if row.host == "localhost"]
    assert away
    assert not [row for row in away if "x-api-key" in row.headers]


def test_gdal_says_who_we_are(served):
    with served("hydroweb") as (provider, items):
        el.open(items, strict=True).red.compute(scheduler="sync")
    assert {row.headers["user-agent"].split("/")[0] for row in provider.requests} == {"EarthLab"}


@pytest.mark.parametrize("name", ["mtd", "planetary-computer", "geodes", "hydroweb", "earthdata"])
def test_netcdf_and_its_key(served, name, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    xr.Dataset({"t": (("y", "x"), VALUES.astype("float32"))}).to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with served(name) as (provider, _), open_netcdf(provider.href("t.nc")) as file:
        np.testing.assert_array_equal(file.read("t", (slice(0, 64), slice(0, 64))), VALUES)
    assert PLANTED not in caplog.text


def test_reads_of_one_block_share_their_requests(served, tmp_path):
    with served("mtd") as (provider, _):
        documents = [
            write_scene(tmp_path, f"d{day:02}", {"red": VALUES + day}, time=f"2018-07-{day:02}T10:50:00Z")
            for day in range(1, 31)
        ]
        for document in documents:
            document["assets"]["red"]["href"] = provider.href(f"{document['id']}-red.tif")
        cube = el.open(scene_items(documents), strict=True).red.compute(scheduler="threads")
        np.testing.assert_array_equal(cube, np.stack([VALUES + day for day in range(1, 31)]))
        asked = provider.asked()
        assert sum(row.urls for row in asked) == 30
        assert len(asked) <= 15
