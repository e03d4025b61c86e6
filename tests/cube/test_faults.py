"""Reads that fail: values stay right where data is, the ledger is complete, and strict cubes stop."""

import warnings

import numpy as np
import pytest
from dask.distributed import Client, LocalCluster

import earthlab as el
from earthlab.cube.blocks import read_block
from earthlab.cube.faults import collect_faults, find_faults, forget_faults, is_transient
from earthlab.cube.readers.raster import _bands
from earthlab.errors import FaultWarning, ReadFault
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.testing.stores import Faults, serve_files

OPTIONS = {"tiled": True, "blockxsize": 128, "blockysize": 128, "compress": "deflate"}


@pytest.fixture
def documents(tmp_path):
    rng = np.random.default_rng(5)
    return [
        write_scene(
            tmp_path,
            f"i{at}",
            {
                name: SceneBand(RasterFile(rng.integers(1, 9999, (512, 512)).astype("uint16"), options=OPTIONS), name)
                for name in ("red", "nir")
            },
            time=f"2020-01-{at + 1:02d}T10:00:00Z",
        )
        for at in range(4)
    ]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("EARTHLAB__READING__RETRIES", "1")
    monkeypatch.setenv("EARTHLAB__READING__BUDGET", "5")
    _bands.clear()


def behind(documents, folder, url):
    moved = [
        {
            **document,
            "assets": {
                key: {**asset, "href": asset["href"].replace(str(folder), url.rstrip("/"))}
                for key, asset in document["assets"].items()
            },
        }
        for document in documents
    ]
    return scene_items(moved)


def compare(read, whole, faults):
    """No value differs, and what is missing lies in blocks of the ledger."""
    named = {(fault.item, fault.band) for fault in faults}
    for band in ("red", "nir"):
        ours, truth = read[band].values, whole[band].values
        np.testing.assert_array_equal(ours[np.isfinite(ours)], truth[np.isfinite(ours)])
        for at in range(4):
            if not np.isfinite(ours[at]).all():
                assert (f"i{at}", band) in named


@pytest.mark.parametrize("kinds", [("404",), ("503",), ("truncated",)])
def test_failing_reads_leave_the_other_values_right_and_a_complete_ledger(documents, tmp_path, impatient, kinds):
    whole = el.open(scene_items(documents)).compute()
    with serve_files(tmp_path, fail=Faults(share=0.3, kinds=kinds, seed=2, beyond=20_000)) as store:
        items = behind(documents, tmp_path, store.url)
        cube = el.open(items, chunks={"time": 2, "y": 256, "x": 256})
        with pytest.warns(FaultWarning, match=r"their pixels are nodata.*cube\.earthlab\.faults"):
            read = cube.compute(scheduler="threads")
    faults = find_faults(cube.earthlab.plan.token)
    assert faults
    compare(read, whole, faults)
    lost = sum(int(np.isnan(read[band]).sum()) for band in ("red", "nir"))
    assert lost > 0
    table = cube.earthlab.faults
    assert list(table.columns) == ["item", "band", "block", "cause", "transient"]
    assert len(table) == len(faults)


@pytest.mark.parametrize("kind", ["503", "truncated"])
def test_a_fault_that_passes_leaves_no_trace(documents, tmp_path, monkeypatch, kind):
    _bands.clear()
    whole = el.open(scene_items(documents)).compute()
    with serve_files(tmp_path, fail=Faults(share=0.3, kinds=(kind,), seed=2, times=1, beyond=20_000)) as store:
        cube = el.open(behind(documents, tmp_path, store.url))
        read = cube.compute(scheduler="threads")
        assert store.requests()
    assert not find_faults(cube.earthlab.plan.token)
    np.testing.assert_array_equal(read.red, whole.red)


def test_a_strict_cube_raises_at_the_first_fault(documents, tmp_path, impatient):
    with serve_files(tmp_path, fail=Faults(share=1.0, kinds=("404",), beyond=20_000)) as store:
        cube = el.open(behind(documents, tmp_path, store.url), strict=True)
        with pytest.raises(ReadFault, match=r"Item 'i\d', band '(red|nir)'.*without strict=True"):
            cube.red.compute(scheduler="threads")
        assert cube.earthlab.faults.empty


def test_workers_tell_the_client_of_their_faults(documents, tmp_path, impatient):
    (tmp_path / "i1-red.tif").unlink()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        cube = el.open(scene_items(documents))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FaultWarning)
            read = cube.red.compute()
        faults = cube.earthlab.faults
    assert set(faults.item) == {"i1"}
    assert set(faults.band) == {"red"}
    assert not faults.transient.any()
    assert np.isnan(read[1]).all()
    assert np.isfinite(read[[0, 2, 3]]).all()


def test_collected_faults_are_neither_warned_of_nor_told(documents, tmp_path):
    (tmp_path / "i1-red.tif").unlink()
    plan = el.plan(scene_items(documents))
    with collect_faults() as found:
        read_block(plan, (0,), (0, 0, 0))
    assert [(fault.item, fault.band, fault.transient) for fault in found] == [("i1", "red", False)]
    assert not find_faults(plan.token)


def test_a_ledger_can_be_emptied(documents, tmp_path):
    (tmp_path / "i1-red.tif").unlink()
    cube = el.open(scene_items(documents))
    with pytest.warns(FaultWarning):
        cube.red.compute(scheduler="sync")
    assert len(cube.earthlab.faults) == 1
    forget_faults(cube.earthlab.plan.token)
    assert cube.earthlab.faults.empty


@pytest.mark.parametrize(
    ("cause", "transient"),
    [
        ("HTTP response code: 404", False),
        ("x.tif: No such file or directory", False),
        ("/data/x.tif cannot be read: not recognized as being in a supported file format", False),
        ("https://a.test/x.tif cannot be read: not recognized as being in a supported file format", True),
        ("HTTP response code: 503", True),
        ("Operation timed out after 10001 milliseconds", True),
        ("TIFFFillTile:Read error at row 1024, got 0 bytes", True),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(cause, transient):
    assert is_transient(cause) is transient
