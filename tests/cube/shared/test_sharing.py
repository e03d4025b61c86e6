"""A shared cube is the plan's own cube, built once, whoever asks first."""

import json
import os
import pickle
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster

import earthlab as el
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared import (
    find_shared,
    list_shared,
    open_shared,
    set_access_check,
    share_cube,
)
from earthlab.cube.shared.layout import Marker
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.errors import AskLess, BadRequest, FaultWarning, NotAllowed, NothingFound, SetupError
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.testing.stores import Faults, serve_files
from tests.patience import PATIENCE

from .conftest import QUICK, scenes


def bits(array):
    return np.where(np.isnan(array), np.float32(0), array).view("uint32")


def assert_same_cube(found, plan):
    own = el.open(plan)
    for name in plan.bands:
        np.testing.assert_array_equal(np.isnan(found[name]), np.isnan(own[name]))
        np.testing.assert_array_equal(bits(found[name].values), bits(own[name].values))
        assert found[name].dtype == "float32"
    xr.testing.assert_identical(found.compute(), own.compute())


def test_the_shared_cube_is_the_plans_own_to_the_last_bit(plan, address):
    cube = share_cube(plan, store=address.url)
    assert cube.built
    found = open_shared(plan.token, store=address.url)
    assert_same_cube(found, plan)
    assert found.red.data.chunks == plan.chunks
    assert cube.marker.encoded == (True, True)
    assert np.isnan(found.red).any()


def test_who_comes_later_finds_it_built_and_before_there_was_none(plan, address):
    assert find_shared(plan, store=address.url) is None
    with pytest.raises(NothingFound, match=plan.token):
        open_shared(plan.token, store=address.url)
    share_cube(plan, store=address.url)
    assert not share_cube(plan, store=address.url).built
    assert find_shared(plan, store=address.url).token == plan.token
    assert [cube.token for cube in list_shared(store=address.url)] == [plan.token]
    assert open_shared(f"cube:{plan.token}", store=address.url).sizes == {"time": 3, "y": 300, "x": 300}


@pytest.mark.parametrize(
    "slices",
    [
        {"y": 150, "x": 20},
        {"time": 1},
        {"y": slice(100, 200), "x": slice(250, 260)},
        {"x": slice(None, None, -1)},
        {"y": slice(3, 290, 7), "time": slice(None, None, 2)},
        {"x": [5, 3, 299], "y": slice(0, 0)},
    ],
)
def test_any_slice_of_it_is_that_slice(plan, folder, slices):
    share_cube(plan, store=folder)
    found = open_shared(plan.token, store=folder)
    np.testing.assert_array_equal(found.red.isel(slices).values, el.open(plan).red.compute().isel(slices).values)


def test_values_that_are_not_those_of_the_integers_are_stored_as_they_are(plan, folder):
    """A catalogue whose scale is not the file's: encoding would round, and the cube falls back to float32."""
    wrong = tuple(replace(encoding, scale=0.0003) for encoding in plan.encodings)
    odd = replace(plan, encodings=(wrong[0], plan.encodings[1]))
    cube = share_cube(odd, store=folder)
    assert cube.marker.encoded == (False, True)
    found = cube.open()
    np.testing.assert_array_equal(bits(found.red.values), bits(el.open(plan).red.values))


def test_bands_without_integers_are_stored_as_float32(plan, folder):
    warped = replace(plan, encodings=(None, None))
    assert_same_cube(share_cube(warped, store=folder).open(), warped)


def test_irregular_chunks_are_made_regular(plan, folder):
    odd = replace(plan, chunks=((3,), (100, 150, 50), (300,)))
    found = share_cube(odd, store=folder).open()
    assert found.red.data.chunks == ((3,), (128, 128, 44), (300,))
    assert_same_cube(found, odd)


def test_progress_is_told_by_block_with_the_time_that_is_left(plan, folder):
    told = []
    share_cube(plan, store=folder, on_progress=told.append)
    assert [p.done for p in told] == list(range(10))
    assert {p.of for p in told} == {9}
    assert told[-1].remaining == 0
    assert all(p.here for p in told)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0") as running:
        yield running


def test_workers_of_a_cluster_build_it_and_read_it(plan, address, cluster):
    own = el.open(plan).red.compute()
    environment = bucket_environment()
    with Client(cluster) as client:
        client.run(lambda: os.environ.update(environment))
        assert share_cube(plan, store=address.url).built
        found = open_shared(plan.token, store=address.url)
        np.testing.assert_array_equal(client.compute(found.red.data).result(), own)
    assert len(pickle.dumps(found.red.data.dask)) < 20_000


def bucket_environment():
    return {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "EARTHLAB"))}


def share_at_once(plan_json, store, environment, barrier, told):
    os.environ.update(environment)
    plan = CubePlan.from_json(plan_json)
    barrier.wait()
    # Twenty on two cores: who builds may be silent for a while, and has not died.
    cube = share_cube(plan, store=store, patience=replace(QUICK, stale=PATIENCE))
    told.put((cube.built, float(cube.open().red.sum())))


def remote(tmp_path, store, **words):
    documents = scenes(tmp_path, **words)
    for document in documents:
        for asset in document["assets"].values():
            asset["href"] = store.url + asset["href"].rsplit("/", 1)[1]
    return scene_items(documents)


def test_twenty_processes_at_once_build_once_and_fetch_each_byte_range_once(tmp_path, address, kernels):
    people_at_once = 20 if "://" not in address.url else 6
    with serve_files(tmp_path) as server:
        plan = el.plan(remote(tmp_path, server), chunks={"y": 256, "x": 256})
        barrier, told = kernels.Barrier(people_at_once), kernels.Queue()
        words = (plan.to_json(), address.url, bucket_environment(), barrier, told)
        people = [kernels.Process(target=share_at_once, args=words) for _ in range(people_at_once)]
        for person in people:
            person.start()
        answers = [told.get(timeout=120) for _ in people]
        for person in people:
            person.join()
        ranges = server.ranges()
        expected = float(el.open(plan).red.sum())
    assert sorted(built for built, _ in answers) == [False] * (people_at_once - 1) + [True]
    assert {total for _, total in answers} == {expected}
    assert set(ranges.values()) == {1}


def test_a_file_that_is_missing_is_nodata_and_in_the_ledger_of_the_store(tmp_path, folder):
    plan = el.plan(scene_items(scenes(tmp_path)), ["red"])
    (tmp_path / "s1-red.tif").unlink()
    cube = share_cube(plan, store=folder)
    assert [(fault.item, fault.band, fault.transient) for fault in cube.faults] == [("s1", "red", False)]
    assert cube.marker.expires is None
    with pytest.warns(FaultWarning, match="s1"):
        found = cube.open()
    assert np.isnan(found.red[1]).all()
    assert found.red[0].notnull().any()
    assert json.loads(Marker.parse(cube.marker.render()).render())["faults"][0]["item"] == "s1"


def test_reads_that_failed_in_passing_make_the_cube_expire(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("EARTHLAB__READING__RETRIES", "0")
    fail = Faults(share=1, kinds=("503",), paths=("s1-red.tif",), beyond=20_000)
    with serve_files(tmp_path, fail=fail) as server:
        plan = el.plan(remote(tmp_path, server), ["red"])
        cube = share_cube(plan, store=folder)
    assert {(fault.item, fault.transient) for fault in cube.faults} == {("s1", True)}
    left = datetime.fromisoformat(cube.marker.expires) - datetime.now(UTC)
    assert timedelta(minutes=55) < left <= timedelta(hours=1)
    assert not cube.marker.has_expired()


def test_a_cube_with_passing_faults_is_built_again_while_its_readers_go_on(tmp_path, folder):
    plan = el.plan(scene_items(scenes(tmp_path, dates=2)), ["red"])
    first = share_cube(plan, store=folder)
    expired = replace(first.marker, expires="2020-01-01T00:00:00+00:00")
    first.place.store.put(first.place.generation(first.marker.generation) + "cube.json", expired.render())
    old = open_shared(plan.token, store=folder)
    second = share_cube(plan, store=folder)
    assert second.built
    assert second.marker.generation != first.marker.generation
    np.testing.assert_array_equal(old.red.values, second.open().red.values)
    del old
    assert not share_cube(plan, store=folder).built


def test_what_waits_hears_why_the_builder_gave_up(plan, folder, monkeypatch):
    monkeypatch.setenv("EARTHLAB__CUBES__QUOTA", "1 KiB")
    with pytest.raises(AskLess, match="quota of the store is 1,024"):
        share_cube(plan, store=folder)
    store = open_store(StoreAddress(folder))
    assert [e.key.rsplit("/", 1)[1] for e in store.list("")] == ["head.json"]
    assert (
        "quota"
        in json.loads(next(e for e in map(store.get, [e.key for e in store.list("")])).content)["failure"]["cause"]
    )
    monkeypatch.delenv("EARTHLAB__CUBES__QUOTA")
    assert share_cube(plan, store=folder).built


def test_a_licensed_cube_lives_apart_and_opens_for_licensees_only(plan, folder, monkeypatch):
    licensed = replace(plan, access="dinamis")
    with pytest.raises(NotAllowed, match="'dinamis' are for its licensees"):
        share_cube(licensed, store=folder)
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis")
    cube = share_cube(licensed, store=folder)
    assert "/dinamis/" in cube.href
    assert open_shared(licensed.token, store=folder).red.notnull().any()
    set_access_check(lambda access: False)
    try:
        for verb in (lambda: open_shared(licensed.token, store=folder), lambda: list_shared(store=folder)[0]):
            with pytest.raises((NothingFound, IndexError)):
                verb()
        with pytest.raises(NotAllowed):
            find_shared(licensed, store=folder)
        with pytest.raises(NotAllowed):
            cube.open()
    finally:
        set_access_check(None)


@pytest.mark.parametrize("token", ["", "../../etc", "ABCDEF0123456789abcd", "0" * 19, "0" * 21, "0" * 19 + "\n", 7])
def test_only_a_token_becomes_part_of_a_path(token, folder):
    with pytest.raises(BadRequest, match="20 hexadecimal digits"):
        open_shared(token, store=folder)


@pytest.mark.parametrize("access", ["", "..", "a/b", "Open", "x" * 64])
def test_only_a_plain_word_is_an_access_class(plan, folder, access):
    set_access_check(lambda _: True)
    try:
        with pytest.raises(BadRequest, match="access class"):
            share_cube(replace(plan, access=access), store=folder)
    finally:
        set_access_check(None)


SECRET = "AKIAplanted"


def test_a_signed_href_is_never_stored(plan, folder):
    layer = plan.steps[0].layers[0]
    signed = replace(layer.sources[0], href=f"https://example.org/a.tif?X-Amz-Signature={SECRET}&X-Amz-Date=1")
    leaky = replace(plan, steps=(replace(plan.steps[0], layers=(replace(layer, sources=(signed, None)),)),))
    with pytest.raises(NotAllowed, match="Item 's0'") as refusal:
        share_cube(leaky, store=folder)
    assert SECRET not in str(refusal.value)


def test_the_keys_of_a_bucket_are_nowhere_in_it_nor_in_graphs(plan, bucket_address, bucket):
    cube = share_cube(plan, store=bucket_address.url)
    found = cube.open()
    secret = bucket.keys["AWS_SECRET_ACCESS_KEY"].encode()
    store = open_store(bucket_address)
    assert not any(secret in store.get(entry.key).content for entry in store.list(""))
    for thing in (found.red.data.dask, cube.marker, repr(cube), repr(found)):
        assert secret not in pickle.dumps(thing)


def test_the_marker_tells_what_the_cube_was_made_of(tmp_path, plan, folder):
    marker = share_cube(plan, store=folder).marker
    assert Marker.parse(marker.render()) == marker
    assert marker.plan == plan
    assert {item["item"] for item in marker.items} == {"s0", "s1", "s2"}
    sizes = {item["href"]: item["bytes"] for item in marker.items}
    assert sizes == {href: (tmp_path / href.rsplit("/", 1)[1]).stat().st_size for href in sizes}
    assert all(item["modified"] for item in marker.items)
    told = json.loads(marker.render())
    assert {"licences", "citation", "simulated", "engine", "created", "plan"} <= set(told)


def test_a_store_of_another_account_is_read_and_what_is_not_open_stays_shut(plan, kernels, monkeypatch):
    """Only root can become another account; who is not root cannot make the folder of another to read from."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become nobody")
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        share_cube(plan, store=folder)
        share_cube(replace(plan, access="dinamis"), store=folder)
        told = kernels.Queue()
        person = kernels.Process(target=read_as_nobody, args=(plan.to_json(), folder, told))
        person.start()
        answers = [told.get(timeout=120) for _ in range(3)]
        person.join()
    assert answers[0] == float(el.open(plan).red.sum())
    assert answers[1] == "CannotWrite: cannot be changed"
    assert answers[2] == "SetupError: Permission denied"


def read_as_nobody(plan_json, folder, told):
    plan = CubePlan.from_json(plan_json)
    os.environ["EARTHLAB__CUBES__ACCESS"] = "dinamis"
    os.setgid(65534)
    os.setuid(65534)
    told.put(float(open_shared(plan.token, store=folder).red.sum()))
    for other, words in ((replace(plan, licences=("x",)), "cannot be changed"), (None, "Permission denied")):
        try:
            share_cube(other or replace(plan, access="dinamis"), store=folder)
        except SetupError as refusal:
            told.put(f"{type(refusal).__name__}: {words if words in str(refusal) else refusal}")


@pytest.mark.parametrize(("dtype", "nodata"), [("int16", -10_000), ("uint8", 255), ("uint16", None), ("float32", None)])
def test_blocks_without_observation_are_nan_whatever_the_fill_also_in_plain_xarray(tmp_path, folder, dtype, nodata):
    band = SceneBand(RasterFile(np.full((300, 280), 5, dtype)), "lai", nodata=nodata, scale=0.5)
    documents = [write_scene(tmp_path, name, {"lai": band}, time=f"2018-07-0{at}") for at, name in ((1, "a"), (2, "b"))]
    (tmp_path / "b-lai.tif").write_bytes(b"not a raster")
    plan = el.plan(scene_items(documents), chunks={"time": 1})
    shared = share_cube(plan, store=folder)
    expected = np.where(np.arange(2)[:, None, None] == 0, 2.5, np.full((2, 300, 280), np.nan))
    with pytest.warns(FaultWarning, match="b-lai.tif"):
        np.testing.assert_array_equal(shared.open().lai, expected)
    np.testing.assert_array_equal(xr.open_zarr(shared.href).lai, expected)
