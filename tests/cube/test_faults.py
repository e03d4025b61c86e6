"""Reads that fail: values stay right where data is, the ledger is complete, and strict cubes stop."""

import time
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client

import earthlab as el
from earthlab.cube.blocks import read_block
from earthlab.cube.faults import (
    Fault,
    collect_faults,
    find_faults,
    forget_faults,
    is_transient,
    record_building,
    record_read,
)
from earthlab.cube.readers.raster import _bands
from earthlab.errors import FaultWarning, ReadFault
from earthlab.testing.clusters import start_cluster
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.testing.stores import Faults, serve_files
from tests.patience import eventually

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
    assert list(table.columns) == ["collection", "item", "band", "block", "pixels", "cause", "transient"]
    assert set(table.collection) == {"essai"}
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


def lose(folder, name):
    """Hide a file; calling what is given brings it back."""
    hidden = (folder / name).rename(folder / f"{name}.hidden")
    return lambda: hidden.rename(folder / name)


def test_workers_tell_the_client_of_their_faults_and_that_they_are_mended(documents, tmp_path, impatient):
    back = lose(tmp_path, "i1-red.tif")
    with start_cluster(workers=1) as cluster, Client(cluster.address) as client:
        client.wait_for_workers(1, timeout=120)
        cube = el.open(scene_items(documents))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FaultWarning)
            read = cube.red.compute()
        faults = cube.earthlab.faults
        back()
        assert np.isfinite(cube.red.compute()).all()
        eventually(lambda: cube.earthlab.faults.empty)
        forget_faults(cube.earthlab.plan.token)
        assert cube.earthlab.faults.empty
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


def read_with_faults(cube, band="red"):
    with pytest.warns(FaultWarning):
        return cube[band].compute(scheduler="sync")


def test_items_of_one_id_in_two_collections_have_a_row_each(documents, tmp_path):
    other = {**documents[0], "collection": "autre", "properties": {"datetime": "2020-02-01T10:00:00Z"}}
    lose(tmp_path, "i0-red.tif")
    cube = el.open(scene_items([*documents, other]))
    read_with_faults(cube)
    faults = cube.earthlab.faults
    assert list(zip(faults.collection, faults.item, faults.band, strict=True)) == [
        ("autre", "i0", "red"),
        ("essai", "i0", "red"),
    ]


def test_a_row_goes_when_its_block_is_read_later_and_no_other(documents, tmp_path):
    back = [lose(tmp_path, "i1-red.tif"), lose(tmp_path, "i2-red.tif")]
    cube = el.open(scene_items(documents), chunks={"time": 1, "y": 256, "x": 256})
    read_with_faults(cube)
    assert len(cube.earthlab.faults) == 8
    back[0]()
    assert np.isfinite(cube.red[1, :256].compute(scheduler="sync")).all()
    left = cube.earthlab.faults
    assert sorted(left.block[left.item == "i1"]) == [(1, 1, 0), (1, 1, 1)]
    assert (left.item == "i2").sum() == 4
    cube.nir.compute(scheduler="sync")
    assert len(cube.earthlab.faults) == 6
    back[1]()
    assert np.isfinite(cube.red.compute(scheduler="sync")).all()
    assert cube.earthlab.faults.empty


def test_rows_of_other_block_sizes_go_when_a_read_covers_them(documents, tmp_path):
    back = lose(tmp_path, "i1-red.tif")
    small, large = (el.open(scene_items(documents), chunks={"y": size, "x": size}) for size in (256, 512))
    assert small.earthlab.plan.token == large.earthlab.plan.token
    read_with_faults(small)
    back()
    small.red[:, :256, :256].compute(scheduler="sync")
    assert len(small.earthlab.faults) == 3
    large.red.compute(scheduler="sync")
    assert small.earthlab.faults.empty


def test_places_read_alone_have_rows_of_their_own(documents, tmp_path):
    back = lose(tmp_path, "i1-red.tif")
    cube = el.open(scene_items(documents))
    x, y = cube.x.values[[5, 400]], cube.y.values[[5, 400]]
    table = gpd.GeoDataFrame(
        {"time": pd.to_datetime(["2020-01-02T10:00Z"] * 2)}, geometry=gpd.points_from_xy(x, y), crs="EPSG:32631"
    )
    with pytest.warns(FaultWarning):
        el.cube.points(cube[["red"]], table)
    assert len(cube.earthlab.faults) == 2
    assert cube.earthlab.faults.pixels.nunique() == 2
    back()
    el.cube.points(cube[["red"]], table[:1])
    assert len(cube.earthlab.faults) == 1


def test_a_mask_that_failed_for_one_band_is_not_mended_by_another(documents):
    plan = el.plan(scene_items(documents), chunks={"y": 512, "x": 512})
    spans = plan.spans((0, 0, 0))
    pixels = tuple((span.start, span.stop) for span in spans)
    mask = Fault(plan.token, "i0", "mask", (0, 0, 0), "503", True, "essai", pixels)
    with pytest.warns(FaultWarning):
        record_read(plan, ["red"], spans, [mask])
    record_read(plan, ["nir"], spans, [])
    assert find_faults(plan.token) == (mask,)
    with pytest.warns(FaultWarning):
        record_read(plan, ["nir"], spans, [mask])
    assert find_faults(plan.token) == (mask,)
    record_read(plan, ["red"], spans, [])
    assert find_faults(plan.token) == (mask,)
    record_read(plan, ["nir"], spans, [])
    assert find_faults(plan.token) == ()


def test_what_a_shared_cube_lacks_stays_until_it_is_built_again(documents):
    plan = el.plan(scene_items(documents))
    lacking = Fault(plan.token, "i0", "red", (0, 0, 0), "503", True)
    with pytest.warns(FaultWarning):
        record_building(plan.token, [lacking])
    record_read(plan, plan.bands, plan.spans((0, 0, 0)), [])
    assert find_faults(plan.token) == (lacking,)
    record_building(plan.token, [])
    assert find_faults(plan.token) == ()


def test_faults_stored_before_they_told_their_pixels_are_understood():
    old = {"token": "t", "item": "a", "band": "red", "block": [0, 1, 2], "cause": "503", "transient": True}
    assert Fault.parse(old) == Fault("t", "a", "red", (0, 1, 2), "503", True)


def test_stalled_files_cost_their_retries_once_and_the_next_computation_asks_them_again(documents, tmp_path, impatient):
    stall = Faults(share=1.0, kinds=("stalled",), paths=("i[01]-red.tif",), beyond=20_000, stall=2.0)
    whole = el.open(scene_items(documents)).red.compute()
    with serve_files(tmp_path, fail=stall) as store:
        cube = el.open(behind(documents, tmp_path, store.url), chunks={"time": 4, "y": 192, "x": 192})
        begun = time.monotonic()
        with pytest.warns(FaultWarning):
            read = cube.red.compute(scheduler="threads", num_workers=2)
        assert time.monotonic() - begun < 30
        faults = cube.earthlab.faults
        assert sorted(zip(faults.item, faults.block, strict=True)) == [
            (item, (0, y, x)) for item in ("i0", "i1") for y in range(3) for x in range(3)
        ]
        np.testing.assert_array_equal(read[2:], whole[2:])
        store.behave()
        np.testing.assert_array_equal(cube.red.compute(scheduler="threads", num_workers=2), whole)
    assert cube.earthlab.faults.empty


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
