"""The quota: least recently used goes first, and never what is read or built."""

import gc
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import earthlab as el
from earthlab.cube.shared import find_shared, list_shared, open_shared, share_cube
from earthlab.cube.shared.eviction import evict, survey
from earthlab.cube.shared.lease import Patience, claim_head
from earthlab.cube.shared.readers import STALE_AFTER
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.errors import NothingFound, ReadFault
from earthlab.testing.rasters import scene_items

from .conftest import scenes


@pytest.fixture
def plans(tmp_path):
    """Three cubes of one date each."""
    items = scene_items(scenes(tmp_path, dates=3, bands=("red",)))
    return [el.plan(items[at : at + 1]) for at in range(3)]


def age(folder, token, seconds):
    past = time.time() - seconds
    for path in Path(folder, "open", token).rglob("*"):
        os.utime(path, (past, past))


def test_the_least_recently_used_goes_first(plans, folder):
    for at, plan in enumerate(plans):
        share_cube(plan, store=folder)
        age(folder, plan.token, 3000 - 1000 * at)
    open_shared(plans[0].token, store=folder)
    gc.collect()
    store = open_store(StoreAddress(folder))
    sizes = {use.place.token: use.bytes for use in survey(store)}
    gone = evict(store, sum(sizes.values()) - 1)
    assert [use.place.token for use in gone] == [plans[1].token]
    assert [cube.token for cube in list_shared(store=folder)] == [plans[2].token, plans[0].token]
    with pytest.raises(NothingFound):
        open_shared(plans[1].token, store=folder)
    assert share_cube(plans[1], store=folder).built


def test_what_is_being_read_stays_as_long_as_it_is(plans, address):
    share_cube(plans[0], store=address.url)
    store = open_store(address)
    cube = open_shared(plans[0].token, store=address.url)
    mean = cube.red.mean("time")
    del cube
    gc.collect()
    assert evict(store, 0) == ()
    assert np.isfinite(float(mean.max()))
    del mean
    gc.collect()
    assert [use.place.token for use in evict(store, 0)] == [plans[0].token]


def test_a_reader_that_has_died_does_not_keep_a_cube_for_ever(plans, folder):
    share_cube(plans[0], store=folder)
    cube = open_shared(plans[0].token, store=folder)
    store = open_store(StoreAddress(folder))
    age(folder, plans[0].token, STALE_AFTER - 30)
    assert evict(store, 0) == ()
    age(folder, plans[0].token, STALE_AFTER + 30)
    assert len(evict(store, 0)) == 1
    with pytest.raises(ReadFault, match="evicted or damaged"):
        cube.red.compute()


def test_what_is_being_built_stays(plans, folder):
    place = share_cube(plans[0], store=folder).place
    lease = claim_head(
        place.store, place.head_key, place.read_head()[0], current=place.read_head()[1].current, patience=Patience()
    )
    assert evict(place.store, 0) == ()
    lease.release(None)
    assert len(evict(place.store, 0)) == 1


def test_a_build_makes_room_for_itself(plans, folder, monkeypatch):
    for plan in plans[:2]:
        share_cube(plan, store=folder)
        age(folder, plan.token, 1000)
    size = max(use.bytes for use in survey(open_store(StoreAddress(folder))))
    monkeypatch.setenv("EARTHLAB__CUBES__QUOTA", f"{int(2.5 * size)}")
    share_cube(plans[2], store=folder)
    assert find_shared(plans[2], store=folder)
    assert sum(find_shared(plan, store=folder) is not None for plan in plans) == 2


def test_a_cube_evicted_leaves_its_head_alone_and_is_not_evicted_again(plans, folder):
    share_cube(plans[0], store=folder)
    store = open_store(StoreAddress(folder))
    assert len(evict(store, 0)) == 1
    assert [entry.key for entry in store.list("")] == [f"open/{plans[0].token}/head.json"]
    assert evict(store, 0) == ()


def test_keys_of_others_in_the_store_are_let_be(plans, folder):
    share_cube(plans[0], store=folder)
    for stray in ("open/notes.txt", "readme", "open/not-a-token/x"):
        path = Path(folder, stray)
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    evict(open_store(StoreAddress(folder)), 0)
    assert Path(folder, "readme").read_text() == "mine"
    assert Path(folder, "open/not-a-token/x").exists()


def test_two_access_classes_of_one_plan_are_two_cubes(plans, folder, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis")
    licensed = replace(plans[0], access="dinamis")
    share_cube(plans[0], store=folder)
    assert find_shared(licensed, store=folder) is None
    share_cube(licensed, store=folder)
    assert {use.place.access for use in survey(open_store(StoreAddress(folder)))} == {"open", "dinamis"}
