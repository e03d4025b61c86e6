"""Whatever happens to a builder, a cube opens whole and right, or does not open."""

import os
import random
import resource
import signal
import threading
import time

import numpy as np
import pytest
from distributed import Client, default_client

import earthlab as el
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared import find_shared, open_shared, share_cube
from earthlab.cube.shared.lease import Head
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.cube.shared.tasks import ClusterLost
from earthlab.errors import AskLess, NothingFound
from earthlab.testing.rasters import scene_items
from tests.patience import PATIENCE

from .conftest import QUICK, scenes


def build(plan_json, store, started):
    started.set()
    share_cube(CubePlan.from_json(plan_json), store=store, patience=QUICK)


def assert_absent_or_right(plan, store, expected):
    try:
        found = open_shared(plan.token, store=store)
    except NothingFound:
        return False
    np.testing.assert_array_equal(found.red.values, expected)
    return True


def test_a_builder_killed_at_any_moment_leaves_no_cube_or_the_right_one(tmp_path, folder, kernels):
    plan = el.plan(scene_items(scenes(tmp_path, size=600)), ["red"], chunks={"y": 128, "x": 128})
    expected = el.open(plan).red.values
    rng = random.Random(3)
    finished = []
    for at in range(6):
        store = f"{folder}-{at % 3}"
        started = kernels.Event()
        builder = kernels.Process(target=build, args=(plan.to_json(), store, started))
        builder.start()
        started.wait(PATIENCE)
        time.sleep(rng.uniform(0, 0.4))
        os.kill(builder.pid, signal.SIGKILL)
        builder.join()
        finished.append(assert_absent_or_right(plan, store, expected))
    for at in range(3):
        share_cube(plan, store=f"{folder}-{at}", patience=QUICK)
        assert assert_absent_or_right(plan, f"{folder}-{at}", expected)


def kill_within(seconds, rng, kill):
    timer = threading.Timer(rng.uniform(0, seconds), kill)
    timer.start()
    return timer


def generations(store):
    """Those that are in a store, and those that its heads name."""
    kept = open_store(StoreAddress(store))
    keys = [entry.key for entry in kept.list("")]
    heads = [Head.parse(kept.get(key).content) for key in keys if key.endswith("head.json")]
    assert [head.claim for head in heads if head.claim] == []
    return {key.split("/")[2] for key in keys if "/g-" in key}, {head.current for head in heads} - {None}


def test_a_worker_killed_at_any_moment_is_made_up_for(tmp_path, folder, crew):
    plan = el.plan(scene_items(scenes(tmp_path, size=600)), ["red"], chunks={"y": 128, "x": 128})
    rng = random.Random(3)
    cubes = []
    for at in range(3):
        timer = kill_within(0.6, rng, crew.kill_worker)
        cubes.append(share_cube(plan, store=f"{folder}-{at}", patience=QUICK))
        timer.join()
        crew.start_worker()
    default_client().close()
    expected = el.open(plan).red.values
    for at, cube in enumerate(cubes):
        assert cube.faults == ()
        assert assert_absent_or_right(plan, f"{folder}-{at}", expected)
        assert generations(f"{folder}-{at}") == ({cube.marker.generation}, {cube.marker.generation})


@pytest.mark.parametrize("seed", [0, 1])
def test_a_scheduler_killed_at_any_moment_leaves_the_cube_or_a_refusal_and_nothing(tmp_path, folder, crew, seed):
    plan = el.plan(scene_items(scenes(tmp_path, size=600)), ["red"], chunks={"y": 128, "x": 128})
    client = default_client()  # which closes by itself where it does not find its scheduler again
    timer = kill_within(0.8, random.Random(seed), crew.kill_scheduler)
    try:
        built = share_cube(plan, store=folder, patience=QUICK).built
    except ClusterLost:
        built = False
    timer.join()
    client.close()
    assert crew.is_gone()
    left, named = generations(folder)
    assert left == named
    assert assert_absent_or_right(plan, folder, el.open(plan).red.values) is bool(named) is built
    assert share_cube(plan, store=folder, patience=QUICK).built is not built


def test_who_waits_builds_where_the_builder_lost_its_cluster(plan, folder, crew, kernels):
    waiter = []

    client = default_client()

    def strike(progress):
        if progress.done == 1:
            started = kernels.Event()
            waiter.append(kernels.Process(target=build, args=(plan.to_json(), folder, started)))
            waiter[0].start()
            assert started.wait(PATIENCE)
            time.sleep(0.2)
            crew.kill_scheduler()

    with pytest.raises(ClusterLost, match="its scheduler does not answer"):
        share_cube(plan, store=folder, patience=QUICK, on_progress=strike)
    waiter[0].join(PATIENCE)
    assert waiter[0].exitcode == 0
    client.close()
    assert assert_absent_or_right(plan, folder, el.open(plan).red.values)


def build_on_cluster(plan_json, store, address, started):
    with Client(address):
        build(plan_json, store, started)


def test_a_builder_killed_while_a_cluster_works_for_it_leaves_nothing_once_another_has_built(
    plan, folder, crew, kernels
):
    default_client().close()
    started = kernels.Event()
    builder = kernels.Process(target=build_on_cluster, args=(plan.to_json(), folder, crew.address, started))
    builder.start()
    assert started.wait(PATIENCE)
    store = open_store(StoreAddress(folder))
    while not any("/red/c/" in entry.key for entry in store.list("")):
        time.sleep(0.001)
    builder.kill()
    builder.join()
    cube = share_cube(plan, store=folder, patience=QUICK)
    assert assert_absent_or_right(plan, folder, el.open(plan).red.values)
    crew.kill_scheduler()
    assert crew.is_gone()
    assert generations(folder) == ({cube.marker.generation}, {cube.marker.generation})


def test_who_waits_takes_over_from_a_killed_builder_and_leaves_nothing_of_it(plan, folder, kernels):
    started = kernels.Event()
    builder = kernels.Process(target=build, args=(plan.to_json(), folder, started))
    builder.start()
    store = open_store(StoreAddress(folder))
    key = f"open/{plan.token}/head.json"
    while not (found := store.get(key)):
        time.sleep(0.001)
    os.kill(builder.pid, signal.SIGKILL)
    builder.join()
    dead = Head.parse(found.content).claim
    told = []
    cube = share_cube(plan, store=folder, patience=QUICK, on_progress=told.append)
    if cube.built:
        assert cube.marker.generation != dead.generation
        assert {p.pid for p in told if not p.here} <= {dead.pid}
        assert not any(dead.generation in entry.key for entry in store.list(""))
    np.testing.assert_array_equal(cube.open().red.values, el.open(plan).red.values)


def build_on_a_small_disk(plan_json, store, told):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        share_cube(CubePlan.from_json(plan_json), store=store, patience=QUICK)
    except AskLess as refusal:
        told.put(str(refusal))


def test_a_full_disk_is_said_and_leaves_no_cube(plan, folder, kernels):
    told = kernels.Queue()
    builder = kernels.Process(target=build_on_a_small_disk, args=(plan.to_json(), folder, told))
    builder.start()
    assert "full" in told.get(timeout=120) or "Free some disk" in told.get(timeout=1)
    builder.join()
    assert find_shared(plan, store=folder) is None
    assert share_cube(plan, store=folder).built


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_an_interrupted_build_leaves_nothing_and_the_next_one_builds(plan, folder, error):
    def interrupt(progress):
        if progress.done == 3:
            raise error

    with pytest.raises(type(error)):
        share_cube(plan, store=folder, on_progress=interrupt)
    left = [entry.key for entry in open_store(StoreAddress(folder)).list("")]
    assert left == [f"open/{plan.token}/head.json"]
    assert share_cube(plan, store=folder).built


def test_a_builder_that_lost_its_lease_does_not_publish(plan, folder):
    store = open_store(StoreAddress(folder))
    key = f"open/{plan.token}/head.json"

    def usurp(progress):
        if progress.here and progress.done == 3:
            store.put(key, Head(current=None).render())

    cube = share_cube(plan, store=folder, patience=QUICK, on_progress=once(usurp))
    assert cube.built
    generations = {entry.key.split("/")[2] for entry in store.list("") if "/g-" in entry.key}
    assert generations == {cube.marker.generation}


def once(function):
    calls = []

    def call(progress):
        calls.append(progress)
        if sum(p.done == 3 for p in calls) == 1:
            function(progress)

    return call
