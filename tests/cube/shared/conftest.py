"""Stores of both kinds, small plans, and processes that share as the kernels of a class do."""

import multiprocessing
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from distributed import Client

import earthlab as el
from earthlab.cube.shared import Patience
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.testing.buckets import serve_bucket
from earthlab.testing.clusters import start_cluster
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from tests.patience import PATIENCE

QUICK = Patience(beat=0.05, stale=1.0, poll=0.02)


@pytest.fixture(scope="session")
def bucket(tmp_path_factory):
    with serve_bucket(tmp_path_factory.mktemp("bucket")) as running:
        yield running


@pytest.fixture
def bucket_address(bucket, monkeypatch, request):
    for name, value in bucket.keys.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EARTHLAB__CUBES__ENDPOINT", bucket.endpoint)
    prefix = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return StoreAddress(f"{bucket.url}/{prefix}", bucket.endpoint)


@pytest.fixture(params=["folder", "bucket"])
def address(request, tmp_path):
    if request.param == "folder":
        return StoreAddress(str(tmp_path / "store"))
    return request.getfixturevalue("bucket_address")


@pytest.fixture
def store(address):
    return open_store(address)


@pytest.fixture
def folder(tmp_path):
    """A store in a folder that no test before has opened."""
    return str(tmp_path / "store")


def scenes(tmp_path, *, size=300, dates=3, bands=("red", "nir"), seed=0):
    rng = np.random.default_rng(seed)

    def band(name):
        values = rng.integers(1, 10_000, (size, size)).astype("uint16")
        values[: max(size // 2, 130), : max(size // 3, 130)] = 0
        return SceneBand(RasterFile(values), name, nodata=0, scale=0.0001)

    return [
        write_scene(tmp_path, f"s{at}", {name: band(name) for name in bands}, time=f"2018-07-{at + 1:02d}T10:00:00Z")
        for at in range(dates)
    ]


@pytest.fixture
def plan(tmp_path):
    """Three dates of 300 × 300 pixels in tiles of 128: nine blocks, the first all nodata."""
    return el.plan(scene_items(scenes(tmp_path)), chunks={"y": 128, "x": 128})


def at_place(plan, **changes):
    return replace(plan, **changes)


@pytest.fixture(scope="session")
def kernels():
    """Processes forked off a template that has imported everything, as the lab's kernels are."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["earthlab.cube.shared", "earthlab.cube.planning", "earthlab.testing.clusters", "numba", "xarray", "rasterio"]
    )
    return context


@pytest.fixture
def crew(kernels):
    """A cluster of two workers, and its client as the one that dask computes on."""
    with start_cluster() as running, closing(Client(running.address, timeout=PATIENCE)) as client:
        client.wait_for_workers(2, timeout=120)
        yield running
