"""Shared cubes in the catalogue: found by the same search, page after page, and opened from what was found."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

import earthlab as el
from earthlab.cube.shared import share_cube
from earthlab.services.stac.__main__ import open_catalogue
from earthlab.services.stac.cubes import COLLECTION, CubeCatalogue
from earthlab.services.stac.search import Search
from earthlab.services.stac.store import Store
from earthlab.settings import load_settings
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene
from earthlab.testing.stac import serve_catalogue


@pytest.fixture(autouse=True)
def plain_settings(bare_environment):
    return bare_environment


def scene(tmp_path, day):
    values = np.random.default_rng(0).integers(1, 9999, (200, 220)).astype("uint16")
    values[:50, :60] = 0
    bands = {name: SceneBand(RasterFile(values), name, nodata=0, scale=0.0001) for name in ("red", "nir")}
    return write_scene(tmp_path, f"s{day}", bands, time=f"2018-07-{day:02d}T10:00:00Z")


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """Three open cubes and a licensed one."""
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", str(tmp_path / "cubes"))
    monkeypatch.setenv("EARTHLAB__CUBES__ACCESS", "dinamis")
    items = scene_items([scene(tmp_path, day) for day in range(1, 5)])
    plans = [el.plan(items[at : at + 2]) for at in range(3)]
    share_cube(replace(plans[0], access="dinamis"))
    return [share_cube(plan) for plan in plans]


def test_a_lab_on_a_cluster_without_a_bucket_lists_no_cubes(catalogue, tmp_path):
    lab = {"lab.state": tmp_path}
    assert COLLECTION in open_catalogue(load_settings(lab, files=()), catalogue).collections()
    on_a_cluster = load_settings({**lab, "kubernetes.enabled": True}, files=())
    assert COLLECTION not in open_catalogue(on_a_cluster, catalogue).collections()


def clocked(folder):
    now = [0.0]
    return CubeCatalogue(folder, lambda: now[0]), now


def ids(catalogue):
    return catalogue.table().column("id").to_pylist()


def test_the_circle_closes(catalogue, shared, monkeypatch):
    with serve_catalogue(catalogue) as served:
        monkeypatch.setenv("EARTHLAB__CATALOGUE__URL", served.url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", served.token)
        known = el.collections().to_string()
        found = el.search(COLLECTION, ids=[f"cube-{shared[1].token}"])
    assert COLLECTION in known
    assert [item.id for item in found] == [f"cube-{shared[1].token}"]
    again, own = el.open(found, ["red", "nir"]).compute(), shared[1].open().compute()
    np.testing.assert_array_equal(again.time, own.time)
    for band in ("red", "nir"):
        np.testing.assert_array_equal(again[band].values, own[band].values)


def test_only_finished_open_cubes_are_listed(shared, tmp_path):
    catalogue, _ = clocked(tmp_path / "cubes")
    items = [json.loads(text) for text in catalogue.table().column("item").to_pylist()]
    assert {item["id"] for item in items} == {f"cube-{cube.token}" for cube in shared}
    assert items[0]["assets"]["cube"]["href"] in {cube.href for cube in shared}
    assert "dinamis" not in json.dumps(items)


def test_a_new_cube_is_seen_after_some_seconds_and_an_evicted_one_goes(shared, tmp_path):
    catalogue, now = clocked(tmp_path / "cubes")
    before = catalogue.stamp()
    assert len(ids(catalogue)) == 3
    (tmp_path / "cubes" / "open" / shared[0].token / "head.json").unlink()
    assert catalogue.stamp() == before
    assert len(ids(catalogue)) == 3
    now[0] = 6
    assert catalogue.stamp() != before
    assert len(ids(catalogue)) == 2


def test_a_store_that_is_not_there_is_an_empty_collection(tmp_path):
    catalogue, _ = clocked(tmp_path / "nothing")
    assert catalogue.collection()["id"] == COLLECTION
    assert ids(catalogue) == []


@pytest.mark.parametrize(
    "damage",
    [
        {"bbox": [0]},
        {"bbox": None},
        {"geometry": {"type": "Polygon"}},
        {"properties": {}},
        {"properties": {"start_datetime": "x", "end_datetime": "y"}},
        {"assets": {"cube": {"href": 7}}},
        {"assets": []},
        {"id": "another"},
        {"properties": {"start_datetime": "2020-01-01T00:00:00Z", "end_datetime": "2020-01-02T00:00:00Z", "gsd": "x"}},
        {"geometry": None},
        {"links": [7]},
    ],
)
def test_a_damaged_item_does_not_spoil_the_others(shared, tmp_path, damage):
    path = next((tmp_path / "cubes" / "open" / shared[0].token).glob("g-*/item.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    catalogue, _ = clocked(tmp_path / "cubes")
    assert len(ids(catalogue)) == 2


def test_cubes_are_searched_with_everything_else(shared, tmp_path, catalogue):
    cubes, now = clocked(tmp_path / "cubes")
    store = Store(catalogue, cubes)
    whole = [item["id"] for item in store.find(Search(limit=1000)).items]
    assert len(whole) == store.find(Search(limit=1)).matched == len(set(whole))
    pages, after = [], None
    while True:
        page = store.find(Search(limit=4, after=after))
        pages += [item["id"] for item in page.items]
        after = page.next
        if after is None:
            break
    assert pages == whole
    assert {f"cube-{cube.token}" for cube in shared} <= set(whole)
    assert COLLECTION in store.collections()
    (tmp_path / "cubes" / "open" / shared[0].token / "head.json").unlink()
    now[0] = 6
    assert store.find(Search(limit=1)).matched == len(whole) - 1


@pytest.mark.parametrize("hostile", ["link", "pipe", "nested", "large", "linked folder"])
def test_what_others_put_into_the_folder_shows_nothing_and_stops_nothing(shared, tmp_path, hostile):
    place = tmp_path / "cubes" / "open" / shared[2].token
    licensed = tmp_path / "cubes" / "dinamis" / shared[2].token
    licensed.parent.mkdir(exist_ok=True)
    place.rename(licensed)
    if hostile == "linked folder":
        place.symlink_to(licensed)
    else:
        place.mkdir()
        head = place / "head.json"
        kept = (licensed / "head.json").read_text()
        (place / next(licensed.glob("g-*")).name).symlink_to(next(licensed.glob("g-*")))
        match hostile:
            case "link":
                head.symlink_to(licensed / "head.json")
            case "pipe":
                os.mkfifo(head)
            case "nested":
                head.write_text("[" * 200_000)
            case "large":
                head.write_text(kept + " " * 5_000_000)
    assert shared[2].token not in json.dumps(CubeCatalogue(tmp_path / "cubes").table().to_pylist(), default=str)
