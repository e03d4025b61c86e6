"""Blocks that are computed for pictures: few, once, within bounds, and no longer than their array."""

import gc
import threading

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.errors import AskLess
from earthlab.view.bands import open_bands
from earthlab.view.computed import MOST_BYTES, ComputedBlocks, Lazy, resolve_most
from earthlab.view.pixels import Cut, LazyPixels
from tests.view.drawn import layer, tile_over


class Counted:
    """An array that notes how often each of its blocks is computed."""

    def __init__(self, shape, chunks, dtype="float32"):
        self.truth = np.random.default_rng(0).integers(0, 1000, shape).astype(dtype)
        self.asked = []
        self.lazy = da.from_array(self.truth, chunks, name=False).map_blocks(self._note, dtype=dtype)

    def _note(self, block, block_info=None):
        if block_info:
            self.asked.append(tuple(block_info[0]["chunk-location"]))
        return block + 0


def pixels(counted, most=10**9):
    array = layer(counted.truth, dates=np.arange("2018-01", "2030-01", dtype="datetime64[M]")[: len(counted.truth)])
    blocks = ComputedBlocks(lambda: most)
    return array, blocks, LazyPixels(Lazy(counted.lazy, counted.lazy), array.odc.geobox, blocks)


def test_a_block_is_computed_once_for_all_its_steps_and_tiles():
    counted = Counted((4, 400, 300), (4, 200, 300))
    array, _, lazy = pixels(counted)
    for step in (3, 0, 1):
        for zoom in (14, 15, 15):
            tile = tile_over(array, zoom)
            expected = open_bands(array).on_grid(step, tile.cut)
            np.testing.assert_array_equal(lazy.on_grid(step, tile.cut), expected)
    assert sorted(counted.asked) == [(0, 0, 0), (0, 1, 0)]


def test_only_the_blocks_below_a_tile_are_computed():
    counted = Counted((2, 2000, 2000), (1, 500, 500))
    array, _, lazy = pixels(counted)
    lazy.on_grid(1, tile_over(array, 15, down=0.1, across=0.1).cut)
    assert counted.asked == [(1, 0, 0)]


@given(st.data())
def test_any_part_is_what_numpy_gives(data):
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=3, max_size=3))
    chunks = [data.draw(st.integers(1, size)) for size in sizes]
    counted = Counted(sizes, chunks)
    _, _, lazy = pixels(counted)
    parts = [
        slice(start, data.draw(st.integers(start + 1, size)))
        for size in sizes
        for start in [data.draw(st.integers(0, size - 1))]
    ]
    np.testing.assert_array_equal(lazy.within(*parts)[0], counted.truth[tuple(parts)])


@settings(max_examples=30)
@given(st.integers(5, 20), st.integers(5, 20), st.integers(6, 15))
def test_from_afar_blocks_give_what_the_array_gives(rows, columns, zoom):
    truth = np.random.default_rng(0).random((1, 70, 60), "float32")
    array = layer(truth, dates=["2018-01-01"])
    held = da.from_array(truth, chunks=(1, rows, columns))
    lazy = LazyPixels(Lazy(held, held), array.odc.geobox, ComputedBlocks(lambda: 0))
    tile = tile_over(array, zoom)
    np.testing.assert_array_equal(lazy.on_grid(0, tile.cut), open_bands(array).on_grid(0, tile.cut))


def test_what_would_take_many_blocks_is_refused_with_the_way_out():
    counted = Counted((1, 1000, 1000), (1, 200, 200))
    array, _, lazy = pixels(counted)
    with pytest.raises(
        AskLess, match=r"25 blocks .* at most 16 are\. Zoom in, or \.compute\(\) or \.persist\(\) it first"
    ):
        lazy.on_grid(0, tile_over(array, 10).cut)
    assert not counted.asked
    lazy.on_grid(0, tile_over(array, 16).cut)


def test_blocks_that_are_there_already_are_not_counted():
    counted = Counted((1, 1000, 1000), (1, 200, 200))
    array, _, _ = pixels(counted)
    held = layer(np.zeros((1, 1000, 1000)), dates=["2018-01-01"]).copy(data=counted.lazy.persist(scheduler="sync"))
    asked = len(counted.asked)
    tile = tile_over(array, 10)
    np.testing.assert_array_equal(open_bands(held).on_grid(0, tile.cut), open_bands(array).on_grid(0, tile.cut))
    assert len(counted.asked) == asked


def test_what_a_cluster_holds_is_not_counted_and_kept_once_it_is_here():
    array = layer(np.full((2, 400, 500), 7.0), dates=["2018-01-01", "2018-02-01"])
    with LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster, Client(cluster):
        far = (da.full((2, 400, 500), 6.0, chunks=(2, 50, 50)) + 1).persist()
        blocks = ComputedBlocks(lambda: 10**9)
        lazy = LazyPixels(Lazy(far, far), array.odc.geobox, blocks)
        assert (lazy.lazy.held, lazy.lazy.here) == (True, False)
        tile = tile_over(array, 11)
        np.testing.assert_array_equal(lazy.on_grid(0, tile.cut), open_bands(array).on_grid(0, tile.cut))
        assert blocks.nbytes > 16 * 2 * 50 * 50 * 8


def test_steps_of_many_blocks_are_refused():
    counted = Counted((70, 20, 20), (1, 20, 20))
    _, _, lazy = pixels(counted)
    with pytest.raises(AskLess, match="70 blocks"):
        lazy.within(slice(0, 70), slice(0, 1), slice(0, 1))


def test_a_huge_block_is_not_computed_for_a_picture(monkeypatch):
    monkeypatch.setattr("earthlab.view.computed.MOST_BLOCK_BYTES", 1000)
    counted = Counted((1, 100, 100), (1, 100, 100))
    array, _, lazy = pixels(counted)
    with pytest.raises(AskLess, match=r"has 40,000 bytes; of at most 1,000 pictures are made\. Use \.compute\(\)"):
        lazy.on_grid(0, tile_over(array, 15).cut)


def test_memory_that_does_not_suffice_is_a_refusal():
    def fail(block):
        raise MemoryError

    lazy = da.zeros((1, 10, 10)).map_blocks(fail, meta=np.empty((0, 0, 0)))
    with pytest.raises(AskLess, match="memory does not suffice for a block of 800 bytes"):
        Lazy(lazy, lazy).compute((0, 0, 0))


def test_what_is_kept_stays_within_its_bound_and_what_is_wanted_goes_last():
    counted = Counted((10, 100, 100), (10, 50, 100))
    _, blocks, lazy = pixels(counted, most=9 * 20_000)
    here, there = slice(0, 50), slice(50, 100)
    lazy.within(slice(3, 4), here, slice(0, 100))
    assert blocks.nbytes == 9 * 20_000
    lazy.within(slice(3, 4), there, slice(0, 100))
    assert blocks.nbytes <= 9 * 20_000
    before = len(counted.asked)
    lazy.within(slice(3, 4), slice(0, 100), slice(0, 100))
    assert len(counted.asked) == before


def test_all_steps_of_a_column_come_of_one_computation_even_where_little_is_kept():
    counted = Counted((10, 50, 50), (10, 50, 50))
    _, blocks, lazy = pixels(counted, most=100)
    np.testing.assert_array_equal(lazy.within(slice(0, 10), slice(2, 3), slice(4, 9))[0], counted.truth[:, 2:3, 4:9])
    assert len(counted.asked) == 1
    assert blocks.nbytes <= 100


def test_what_was_computed_goes_with_its_array():
    counted = Counted((2, 50, 50), (1, 50, 50))
    _, blocks, lazy = pixels(counted)
    lazy.within(slice(0, 2), slice(0, 50), slice(0, 50))
    assert blocks.nbytes == 2 * 10_000
    del counted, lazy
    gc.collect()
    assert blocks.nbytes == 0


def test_what_is_made_again_under_the_same_name_keeps_what_was_computed():
    counted = Counted((2, 50, 50), (1, 50, 50))
    array, blocks, lazy = pixels(counted)
    lazy.within(slice(0, 2), slice(0, 50), slice(0, 50))
    again = da.Array(counted.lazy.dask, counted.lazy.name, counted.lazy.chunks, meta=np.empty((0, 0, 0), "float32"))
    second = LazyPixels(Lazy(again, again), array.odc.geobox, blocks)
    second.within(slice(0, 2), slice(0, 50), slice(0, 50))
    assert len(counted.asked) == 2
    blocks._follow(second.lazy)
    del lazy
    counted.lazy = None
    gc.collect()
    assert blocks.nbytes == 2 * 10_000


def test_several_threads_that_want_one_block_have_it_computed_once():
    counted = Counted((1, 300, 300), (1, 300, 300))
    array, _, lazy = pixels(counted)
    cut = Cut(array.odc.geobox, slice(0, 300), slice(0, 300))
    threads = [threading.Thread(target=lazy.on_grid, args=(0, cut)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted.asked) == 1


def test_a_process_with_little_memory_keeps_an_eighth_of_it(monkeypatch):
    monkeypatch.setattr("resource.getrlimit", lambda _which: (80 * 2**20, -1))
    assert resolve_most() == 10 * 2**20
    monkeypatch.setattr("resource.getrlimit", lambda _which: (-1, -1))
    assert resolve_most() == MOST_BYTES
