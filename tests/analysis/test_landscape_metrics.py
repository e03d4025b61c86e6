"""Landscape metrics against what FRAGSTATS v4.2 wrote for a neutral landscape and for the real one of Augusta."""

import numpy as np
import pandas as pd
import pytest
import rdata
import xarray as xr
from rdata.conversion import DEFAULT_CLASS_MAP

from earthlab.analysis.landscape_metrics import class_metrics, landscape_metrics
from earthlab.errors import BadRequest

SAMPLE = "landscapemetrics_fragstats"
HALF_A_DIGIT = 5.1e-5


def grid(values, pixel=1.0) -> xr.DataArray:
    rows, columns = np.shape(values)
    coords = {"y": -pixel * np.arange(rows), "x": pixel * np.arange(columns)}
    return xr.DataArray(np.asarray(values), dims=("y", "x"), coords=coords)


@pytest.fixture(scope="module", params=["landscape", "augusta_nlcd"])
def published(request, shared_data):
    folder = shared_data / SAMPLE
    tables = [pd.read_csv(folder / f"{request.param}.{end}", skipinitialspace=True) for end in ("class", "land")]
    by_class, whole = (table.rename(columns=str.strip) for table in tables)
    codes = by_class.TYPE.str.strip().str.removeprefix("cls_").astype(int)
    return read_raster(request.param, folder), by_class.set_index(codes), whole.iloc[0]


def read_raster(name, folder) -> xr.DataArray:
    if name == "landscape":
        return grid(np.loadtxt(folder / "landscape_30x30.csv", delimiter=",").astype(int))
    kept = {**DEFAULT_CLASS_MAP, "PackedSpatRaster": lambda value, attributes: attributes["values"]}
    read = rdata.read_rda(folder / "augusta_nlcd.rda", constructor_dict=kept)
    return grid(np.asarray(read["augusta_nlcd"]).reshape(440, 678).astype("uint8"), 30.0)


def test_every_metric_of_a_class_is_that_of_fragstats(published):
    raster, by_class, _ = published
    found = class_metrics(raster)
    assert {"NP", "MESH", "DIVISION", "SPLIT", "CLUMPY", "AI", "NLSI"} <= set(found)
    for name in found:
        reference = pd.to_numeric(by_class[name], errors="coerce").reindex(found.index)
        np.testing.assert_allclose(found[name], reference, rtol=1e-9, atol=HALF_A_DIGIT, err_msg=name)


def test_every_metric_of_a_landscape_is_that_of_fragstats(published):
    raster, _, whole = published
    found = landscape_metrics(raster)
    assert {"NP", "MESH", "DIVISION", "SPLIT", "SHDI", "SIDI", "CONTAG", "IJI"} <= set(found.index)
    for name in found.index:
        np.testing.assert_allclose(found[name], float(whole[name]), rtol=1e-9, atol=HALF_A_DIGIT, err_msg=name)


def test_four_neighbours_find_more_patches_and_the_same_area(published):
    raster, *_ = published
    eight, four = class_metrics(raster), class_metrics(raster, connectivity=4)
    assert (four.NP >= eight.NP).all()
    assert (four.NP > eight.NP).any()
    assert (four.MESH <= eight.MESH).all()
    pd.testing.assert_series_equal(four.CA, eight.CA)


def test_nodata_is_no_part_of_the_landscape_whatever_marks_it():
    values = np.tile([1, 1, 2, 2], (4, 1)).astype(float)
    values[0] = np.nan
    marked = grid(np.nan_to_num(values, nan=255).astype("uint8")).assign_attrs(nodata=255)
    pd.testing.assert_series_equal(landscape_metrics(grid(values)), landscape_metrics(marked))
    assert pytest.approx(12 / 1e4) == landscape_metrics(marked).TA
    pd.testing.assert_frame_equal(class_metrics(grid(values.astype("float32"))), class_metrics(marked.chunk(y=2)))


def test_a_landscape_of_one_class_is_whole_and_has_no_mixing():
    found = landscape_metrics(grid(np.ones((5, 5), int)))
    assert (found.NP, found.SPLIT, found.DIVISION, found.SHDI, found.TE) == (1, 1, 0, 0, 0)
    assert np.isnan([found.IJI, found.SHEI, found.CONTAG]).all()


@pytest.mark.parametrize(
    ("raster", "words"),
    [
        (grid(np.full((3, 3), np.nan)), "every pixel is nodata"),
        (grid([[0.5, 1.0], [1.0, 2.0]]), "whole numbers"),
        (grid(np.ones((3, 3), int)).assign_coords(x=[0.0, 2.0, 4.0]), "expected squares"),
        (xr.DataArray(np.ones((3, 3), int), dims=("y", "x")), "no coordinate"),
        (grid(np.ones((2, 2), int)).expand_dims("time"), "Choose one date"),
    ],
)
def test_bad_rasters_end_in_a_sentence(raster, words):
    with pytest.raises(BadRequest, match=words):
        landscape_metrics(raster)
    with pytest.raises(BadRequest, match=words):
        class_metrics(raster)
