"""Masks of blocks: kept as bits, read once for all bands, and never beyond their room."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dask
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import earthlab as el
from earthlab.cube import masks as keeping
from earthlab.cube.blocks import read_block
from earthlab.cube.masks import Masks, find_masks
from earthlab.cube.plan import Layer
from earthlab.cube.readers import raster
from earthlab.errors import FaultWarning
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

SHAPE = (192, 192)
DATES = 5
SPANS = (slice(0, 5), slice(0, 64), slice(0, 64))


@pytest.fixture(autouse=True)
def nothing_kept():
    keeping._kept.clear()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(1)
    documents = []
    for day in range(1, DATES + 1):
        bands = {
            name: SceneBand(RasterFile(rng.integers(1, 999, SHAPE).astype("uint16")), name, nodata=0, scale=1e-4)
            for name in ("red", "nir")
        }
        flags = {"SCL": SceneBand(RasterFile(rng.choice([4, 9], SHAPE).astype("uint8")))}
        words = {"time": f"2020-01-{day:02d}T10:00:00Z", "collection": "sentinel-2-l2a"}
        documents.append(write_scene(folder, f"s{day}", bands | flags, **words))
    return scene_items(documents)


@pytest.fixture
def mask_reads(monkeypatch):
    read, seen, lock = raster.read_raster, [], threading.Lock()

    def counted(sources, geobox, **words):
        if "SCL" in sources[0].href:
            with lock:
                seen.append((sources[0].href, geobox))
        return read(sources, geobox, **words)

    monkeypatch.setattr(raster, "read_raster", counted)
    return seen


def plan_of(scenes, **words):
    return el.plan(scenes, ["red", "nir"], chunks={"y": 64, "x": 64}, **words)


def ndvi(cube):
    return (cube.nir - cube.red) / (cube.nir + cube.red)


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("words", [{}, {"crs": "EPSG:2154", "resolution": 10}], ids=["native", "warped"])
@pytest.mark.parametrize("what", [ndvi, lambda cube: cube], ids=["ndvi", "both-bands"])
def test_each_window_of_a_mask_is_read_once_for_all_bands(scenes, mask_reads, threads, words, what):
    plan = plan_of(scenes, **words)
    with dask.config.set(scheduler="threads", num_workers=threads):
        what(el.open(plan)).compute()
    assert len(mask_reads) == len(set(mask_reads)) == DATES * len(plan.chunks[1]) * len(plan.chunks[2])


def test_bits_need_a_32nd_of_a_bands_room(scenes, mask_reads, monkeypatch):
    plan = el.plan(scenes, ["red", "nir"])
    monkeypatch.setattr(keeping, "MOST_BYTES", plan.nbytes // 2 // 32)
    ndvi(el.open(plan)).compute(scheduler="sync")
    assert len(mask_reads) == DATES


def test_without_room_masks_are_read_again_and_the_values_are_the_same(scenes, mask_reads, monkeypatch):
    expected = ndvi(el.open(plan_of(scenes))).compute(scheduler="sync")
    mask_reads.clear()
    monkeypatch.setattr(keeping, "MOST_BYTES", 0)
    found = ndvi(el.open(plan_of(scenes))).compute(scheduler="sync")
    np.testing.assert_array_equal(found, expected)
    assert len(mask_reads) == 2 * len(set(mask_reads))


@given(arrays.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_what_is_kept_comes_back_bit_for_bit(clear):
    masks, layer = find_masks(object(), SPANS), Layer("a", ())
    masks.keep(layer, clear)
    np.testing.assert_array_equal(masks.get(layer), clear)
    assert masks.get(layer).dtype == bool
    masks.keep(layer, clear)
    assert masks.nbytes <= clear.shape[0] * -(-clear.shape[1] // 8)


def test_what_is_clear_everywhere_or_nowhere_takes_next_to_no_room():
    masks = find_masks(object(), SPANS)
    for clear in (np.ones((500, 500), bool), np.zeros((500, 500), bool)):
        layer = Layer("a", ())
        masks.keep(layer, clear)
        np.testing.assert_array_equal(masks.get(layer), clear)
    assert masks.nbytes == 2


def checkered() -> np.ndarray:
    return np.indices((64, 64)).sum(0) % 2 == 0


def test_blocks_not_asked_for_of_late_make_room_and_the_whole_never_takes_more(monkeypatch):
    size = 64 * 64 // 8
    monkeypatch.setattr(keeping, "MOST_BYTES", 10 * size)
    plan, layers = object(), [Layer(str(at), ()) for at in range(4)]
    blocks = [find_masks(plan, (slice(at, at + 1), *SPANS[1:])) for at in range(6)]
    for block in blocks:
        for layer in layers:
            block.keep(layer, checkered())
        assert sum(one.nbytes for one in keeping._kept.values()) <= 10 * size
    assert find_masks(plan, (slice(5, 6), *SPANS[1:])).get(layers[3]) is not None
    assert find_masks(plan, (slice(0, 1), *SPANS[1:])).get(layers[0]) is None


def test_one_block_alone_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(keeping, "MOST_BYTES", 3 * 512)
    masks, layers = find_masks(object(), SPANS), [Layer(str(at), ()) for at in range(5)]
    for layer in layers:
        masks.keep(layer, checkered())
    assert [masks.get(layer) is not None for layer in layers] == [True] * 3 + [False] * 2


def test_only_so_many_blocks_are_remembered_and_a_plan_of_the_same_address_is_another():
    plan = object()
    first = find_masks(plan, SPANS)
    assert find_masks(plan, SPANS) is first
    assert find_masks(object(), SPANS) is not first
    for at in range(keeping.MOST_BLOCKS):
        find_masks(plan, (slice(at, at + 1), *SPANS[1:]))
    assert find_masks(plan, SPANS) is not first
    assert len(keeping._kept) == keeping.MOST_BLOCKS


def test_threads_that_want_the_same_mask_wait_for_one_read():
    masks, layer, started, gate = Masks(object()), Layer("a", ()), [], threading.Barrier(8)

    def start():
        started.append(1)
        return lambda: started.append(2) or object()

    def ask(_):
        gate.wait()
        pending = masks.share(layer, start)
        return pending, pending()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert started == [1, 2]
    assert len({id(value) for _, value in found}) == 1
    forgotten = weakref.ref(found[0][0])
    del found
    assert forgotten() is None


def test_a_mask_that_cannot_be_read_is_asked_for_again_by_the_next_who_computes(scenes, mask_reads):
    plan = plan_of(scenes)
    layer = plan.steps[0].layers[0]
    broken = replace(layer, mask=replace(layer.mask, href=layer.mask.href.replace("SCL", "absent-SCL")))
    plan = replace(plan, steps=(replace(plan.steps[0], layers=(broken,)), *plan.steps[1:]))
    for _ in range(2):
        with pytest.warns(FaultWarning, match="absent-SCL"):
            assert np.isnan(read_block(plan, (0,), (0, 0, 0))[0, 0]).all()
    assert sum("absent" in href for href, _ in mask_reads) == 2
    assert len(mask_reads) == DATES - 1 + 2
