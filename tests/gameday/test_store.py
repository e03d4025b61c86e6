"""The object store answers 503: who reads shared cubes, who opens and builds them, who looks at them on a map."""

import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest
from distributed import Client

import earthlab as el
from earthlab.cube.shared import share_cube
from earthlab.errors import StoreUnavailable
from earthlab.testing.buckets import serve_bucket
from earthlab.testing.clusters import start_cluster
from earthlab.testing.outages import serve_relay
from earthlab.testing.rasters import scene_items
from tests.cube.shared.conftest import scenes
from tests.gameday.conftest import LASTS
from tests.patience import PATIENCE
from tests.services.tiles.serving import serve_tiles

FAULT = "the object store answers 503"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with serve_bucket(tmp_path_factory.mktemp("bucket")) as found:
        yield found


@pytest.fixture
def store(bucket, monkeypatch, request):
    """A relay before the bucket, and an environment that knows it alone."""
    with serve_relay(int(bucket.endpoint.rpartition(":")[2])) as relay:
        for name, value in bucket.keys.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("EARTHLAB__CUBES__ENDPOINT", relay.url)
        monkeypatch.setenv("EARTHLAB__CUBES__STORE", f"{bucket.url}/{request.node.name.replace('_', '-')[:60]}")
        yield relay


def plan_of(folder, seed):
    folder.mkdir()
    return el.plan(scene_items(scenes(folder, seed=seed)), chunks={"y": 128, "x": 128})


def do_while_away(store, do):
    """What somebody gets who begins during the fault, and how long after its end."""
    with ThreadPoolExecutor(1) as pool:
        with store.away():
            doing = pool.submit(do)
            time.sleep(LASTS)
            assert not doing.done()
        back = time.monotonic()
        return doing.result(PATIENCE), time.monotonic() - back


def test_who_computes_on_a_shared_cube_waits_and_has_the_right_values(store, tmp_path, day):
    plan = plan_of(tmp_path / "a", 1)
    right = el.open(plan).red.values
    cube = share_cube(plan).open()
    with start_cluster() as cluster, closing(Client(cluster.address, timeout=PATIENCE)) as client:
        client.wait_for_workers(2, timeout=PATIENCE)
        values, took = do_while_away(store, lambda: cube.red.values)
    np.testing.assert_array_equal(values, right)
    day.note(FAULT, "computing on a shared cube, on a cluster", "the computation pauses, then goes on", back=took)


def test_who_opens_one_waits_and_who_builds_one_comes_to_the_end(store, tmp_path, day, stopwatch):
    known, new = plan_of(tmp_path / "a", 2), plan_of(tmp_path / "b", 3)
    share_cube(known)
    values, took = do_while_away(store, lambda: el.open(known, share=True).red.values)
    np.testing.assert_array_equal(values, el.open(known).red.values)
    day.note(FAULT, "opening a shared cube", "the cell says that it waits, then goes on", back=took)

    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(share_cube, new, on_progress=lambda told: begun.set() if told.done == 2 else None)
        assert begun.wait(PATIENCE)
        with store.away():
            time.sleep(LASTS)
            stopwatch.start()
        built = building.result(PATIENCE)
    took = stopwatch.read()
    assert built.built
    np.testing.assert_array_equal(built.open().red.values, el.open(new).red.values)
    day.note(FAULT, "building a shared cube", "its progress stands still, then goes on", back=took)


def test_who_waits_in_vain_is_told_that_it_is_the_store_and_not_that_the_cube_is_damaged(
    store, tmp_path, monkeypatch, day
):
    plan = plan_of(tmp_path / "a", 4)
    share_cube(plan)
    monkeypatch.setenv("EARTHLAB__CUBES__PATIENCE", "1")
    cube = el.open(plan, share=True)
    with store.away():
        for do in (lambda: cube.nir.values, lambda: el.open(f"cube:{plan.token}"), lambda: el.open(plan, share=True)):
            with pytest.raises(StoreUnavailable, match=r"does not answer \(HTTP 503\).* try again in a minute") as said:
                do()
    np.testing.assert_array_equal(cube.nir.values, el.open(plan).nir.values)
    day.note(f"{FAULT}, for longer than two minutes", "computing on a shared cube", str(said.value))


def test_who_forgets_a_cube_meanwhile_does_not_wait(store, tmp_path, stopwatch):
    plan = plan_of(tmp_path / "a", 6)
    cube = share_cube(plan).open()
    with store.away():
        stopwatch.start()
        del cube
        gc.collect()
        assert stopwatch.read() < 60


def test_a_map_is_told_to_come_back_within_seconds_and_gets_its_tiles_afterwards(store, tmp_path, day, stopwatch):
    plan = plan_of(tmp_path / "a", 5)
    shared = share_cube(plan)
    where = f"/cubes/{shared.token}"
    lon, lat = shared.open().odc.geobox.geographic_extent.centroid.coords[0]
    at = {"lon": lon, "lat": lat}
    (tmp_path / "service").mkdir()
    kept, endpoint = os.environ["EARTHLAB__CUBES__STORE"], store.url
    with (
        serve_tiles(kept, tmp_path / "service", CUBES__ENDPOINT=endpoint) as service,
        service.client() as ana,
    ):
        before = ana.post(f"{service.url}{where}/series", json={"band": "red", **at})
        assert before.status_code == 200, before.text
        with store.away():
            stopwatch.start()
            answer = ana.post(f"{service.url}{where}/series", json={"band": "nir", **at})
            took = stopwatch.read()
            time.sleep(LASTS)
            stopwatch.start()
        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"]
        assert answer.json()["code"] == "StoreUnavailable"
        assert took < 30, "a map does not wait for what does not come"
        again = ana.post(f"{service.url}{where}/series", json={"band": "nir", **at})
        assert again.status_code == 200
    words = f"{answer.json()['message']} {answer.json()['remedy']}"
    day.note(FAULT, "looking at a shared cube on the map", words, back=stopwatch.read())
