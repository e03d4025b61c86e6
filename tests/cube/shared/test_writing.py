"""Shards are written whole, and for a builder that still holds the lease; whatever a killed worker left."""

from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

import earthlab as el
from earthlab.cube.shared import share_cube, writing
from earthlab.cube.shared.lease import LeaseLost, claim_head
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.cube.shared.writing import Target, write_block, write_cube
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

from .conftest import QUICK


@pytest.fixture
def lease(plan, folder):
    key = f"open/{plan.token}/head.json"
    return claim_head(open_store(StoreAddress(folder)), key, None, current=None, patience=QUICK)


@pytest.fixture
def target(lease, folder):
    return Target(StoreAddress(folder), lease.key, lease.claim.generation)


def write_all(plan, target):
    return write_cube(plan, lambda: target, on_block=lambda *_: None, lost=Event(), patience=30)


def shard_of(target, block):
    return Path(target.address.url, target.prefix, "red", "c", *map(str, block))


@pytest.mark.parametrize("left", ["half", "nothing", "junk"])
@pytest.mark.parametrize("block", [(0, 1, 1), (0, 1, 2), (0, 2, 2)])
def test_what_a_killed_worker_left_of_a_shard_is_written_over(plan, target, left, block):
    write_all(plan, target)
    shard = shard_of(target, block)
    whole = shard.read_bytes()
    shard.write_bytes({"half": whole[: len(whole) // 2], "nothing": b"", "junk": b"x" * 5000}[left])
    write_block(plan, target, plan.encodings, block)
    assert shard.read_bytes() == whole


def test_nothing_is_written_for_a_builder_who_has_given_up(plan, target, lease):
    write_all(plan, target)
    lease.release(None)
    shard_of(target, (0, 1, 1)).unlink()
    with pytest.raises(LeaseLost, match="given up"):
        write_block(plan, target, plan.encodings, (0, 1, 1))
    assert not shard_of(target, (0, 1, 1)).exists()


def test_nothing_is_written_into_a_published_cube(plan, target, lease):
    write_all(plan, target)
    before = shard_of(target, (0, 1, 1)).stat()
    assert lease.publish()
    with pytest.raises(LeaseLost, match="given up"):
        write_block(plan, target, plan.encodings, (0, 1, 1))
    assert shard_of(target, (0, 1, 1)).stat() == before


def test_what_is_given_up_while_a_task_writes_is_removed_by_it(plan, target, lease, monkeypatch):
    write_all(plan, target)
    write_shard = writing._write_shard

    def write_late(*words):
        lease.release(None)
        open_store(target.address).delete(target.prefix)
        write_shard(*words)
        assert shard_of(target, (0, 1, 1)).exists()

    monkeypatch.setattr(writing, "_write_shard", write_late)
    with pytest.raises(LeaseLost, match="given up"):
        write_block(
            replace(plan, bands=("red",), resampling=plan.resampling[:1]), target, plan.encodings[:1], (0, 1, 1)
        )
    assert not Path(target.address.url, target.prefix).exists()


def odd_plan(tmp_path):
    """Values of which the first blocks are those of the integers the catalogue tells, and the last are not."""
    values = np.random.default_rng(0).integers(1, 9999, (512, 512)).astype("uint16")
    values[:256] = 3000
    bands = {"red": SceneBand(RasterFile(values), "red", nodata=0, scale=0.0001)}
    plan = el.plan(scene_items([write_scene(tmp_path, "s", bands)]), chunks={"y": 128, "x": 128})
    return replace(plan, encodings=(replace(plan.encodings[0], scale=0.0003),))


def assert_stored_as_float(plan, folder):
    cube = share_cube(plan, store=folder, patience=QUICK)
    assert cube.marker.encoded == (False,)
    np.testing.assert_array_equal(cube.open().red.values, el.open(plan).red.values)
    keys = [entry.key.split("/") for entry in open_store(StoreAddress(folder)).list("")]
    assert {key[2] for key in keys if key[2].startswith("g-")} == {cube.marker.generation}


def test_a_cube_whose_later_blocks_are_not_of_its_integers_is_begun_anew(tmp_path, folder):
    assert_stored_as_float(odd_plan(tmp_path), folder)


def test_it_is_begun_anew_on_a_cluster_too_where_tasks_of_the_first_attempt_go_on(tmp_path, folder, crew):
    assert_stored_as_float(odd_plan(tmp_path), folder)
