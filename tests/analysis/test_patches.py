"""Patches block by block against scipy's labels of the whole raster."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from earthlab.analysis.patches import label_patches, tally_patches
from earthlab.errors import BadRequest

CORNERS = {4: None, 8: np.ones((3, 3))}


def raster(values) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=("y", "x"))


def natural_by_zone(values, zones):
    return values > 0, zones


def labels_of_scipy(keys, connectivity):
    return ndimage.label(keys > 0, CORNERS[connectivity])


def tally_of_scipy(keys, zones, connectivity) -> pd.DataFrame:
    labels, count = labels_of_scipy(keys, connectivity)
    whole = np.bincount(labels.ravel(), minlength=count + 1)
    rows = {}
    for zone in np.unique(zones[zones >= 0]):
        parts = np.bincount(labels[zones == zone], minlength=count + 1)
        parts[0] = 0
        rows[zone] = {
            "total": (zones == zone).sum(),
            "patches": (parts > 0).sum(),
            "cells": parts.sum(),
            "squares": (parts**2).sum(),
            "products": (parts * whole).sum(),
            "largest": parts.max(),
        }
    return pd.DataFrame(rows).T.astype(float).rename_axis("group")


SCENES = arrays(np.int8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1))


@settings(max_examples=30, deadline=None)
@given(keys=SCENES, side=st.integers(2, 6), connectivity=st.sampled_from([4, 8]), seed=st.integers(0, 99))
def test_a_tally_does_not_depend_on_the_blocks(keys, side, connectivity, seed):
    zones = np.random.default_rng(seed).integers(-1, 3, keys.shape)
    found = tally_patches(natural_by_zone, [raster(keys), raster(zones)], connectivity=connectivity, block=side)
    expected = tally_of_scipy(keys, zones, connectivity)
    pd.testing.assert_frame_equal(found, expected, check_index_type=False)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_lazy_raster_has_the_same_patches(connectivity, share):
    random = np.random.default_rng(3)
    keys = (random.random((61, 47)) < share).astype("uint8")
    zones = raster(np.arange(61 * 47).reshape(61, 47) % 4)
    eager = tally_patches(natural_by_zone, [raster(keys), zones], connectivity=connectivity)
    lazy = tally_patches(natural_by_zone, [raster(keys).chunk(y=17, x=20), zones], connectivity=connectivity)
    pd.testing.assert_frame_equal(eager, lazy)


@settings(max_examples=60, deadline=None)
@given(keys=SCENES, side=st.integers(1, 6), connectivity=st.sampled_from([4, 8]))
def test_labels_name_the_patches_of_the_whole(keys, side, connectivity):
    found = label_patches(raster(keys), connectivity=connectivity, block=side).values
    expected, count = labels_of_scipy(keys, connectivity)
    assert found.max(initial=0) == count
    assert len(set(zip(found.ravel(), expected.ravel(), strict=True))) == count + (keys == 0).any()


def test_labels_of_a_lazy_raster_are_lazy_and_keep_coordinates():
    keys = raster(np.eye(20, dtype="uint8")).assign_coords(y=np.arange(20.0)).chunk(y=7, x=6)
    found = label_patches(keys)
    assert isinstance(found.data, da.Array)
    assert found.max().compute() == 1
    assert label_patches(keys, connectivity=4).max().compute() == 20
    assert "y" in found.coords


def test_neighbours_of_different_keys_are_different_patches():
    found = label_patches(raster([[1, 2], [2, 1]]))
    assert found.values[0, 0] == found.values[1, 1] != found.values[0, 1] == found.values[1, 0]
    assert label_patches(raster([[-3, -3], [0, 5]]), connectivity=4).values.tolist() == [[1, 1], [0, 2]]


def test_a_spiral_through_many_blocks_is_one_patch():
    spiral = np.zeros((41, 41), bool)
    spiral[::2] = True
    spiral[1::4, -1] = spiral[3::4, 0] = True
    assert label_patches(raster(spiral), connectivity=4, block=5).max() == 1


@pytest.mark.parametrize(
    ("keys", "words", "connectivity"),
    [
        (raster([[1.5]]), "float64 values, expected integers", 8),
        (raster([[1]]), "expected 8", 6),
        (xr.DataArray([1], dims="x"), "axes y, x, found x", 8),
        (xr.DataArray(np.zeros((0, 3), int), dims=("y", "x")), r"y \(0\)", 8),
        (np.zeros((3, 3), int), "found ndarray", 8),
    ],
)
def test_what_is_no_raster_of_keys_is_refused(keys, words, connectivity):
    with pytest.raises(BadRequest, match=words):
        label_patches(keys, connectivity=connectivity)


def test_a_raster_of_a_file_with_one_band_or_in_another_order_of_bytes_has_its_patches():
    keys = np.array([[1, 0, 1], [1, 0, 0]])
    plain = label_patches(raster(keys))
    for other in (raster(keys.astype(">i2")), raster(keys.astype("u8")), raster(keys).expand_dims(band=[1])):
        np.testing.assert_array_equal(label_patches(other), plain)
