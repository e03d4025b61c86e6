"""NDVI against numbers worked by hand."""

import numpy as np
import pytest
import xarray as xr
from dask.blockwise import Blockwise
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earthlab.analysis.vegetation import ndvi
from earthlab.errors import BadRequest


def cube(red, nir, **attrs) -> xr.Dataset:
    return xr.Dataset({name: ("x", np.array(v, "float32"), attrs) for name, v in (("red", red), ("nir", nir))})


def test_by_hand():
    found = ndvi(cube([0.1, 0.05, 0.3, 0.2], [0.3, 0.45, 0.1, 0.2]))
    np.testing.assert_allclose(found, [0.5, 0.8, -0.5, 0.0], rtol=1e-6)
    assert (found.name, found.dtype, found.attrs["units"]) == ("ndvi", np.dtype("float32"), "1")


def test_without_observation_or_positive_sum_there_is_no_value():
    found = ndvi(cube([np.nan, 0.1, 0.0, -0.2, -0.1], [0.1, np.nan, 0.0, 0.1, 0.1]))
    assert np.isnan(found).all()


def test_it_is_lazy_and_the_same():
    data = cube(np.linspace(0.01, 0.4, 12), np.linspace(0.5, 0.2, 12))
    lazy = ndvi(data.chunk(x=5))
    assert lazy.chunks == ((5, 5, 2),)
    np.testing.assert_array_equal(lazy.compute(), ndvi(data))


def test_of_simulated_bands_it_says_simulated():
    assert "SIMUL" in ndvi(cube([0.1], [0.3], comment="DONNÉES SIMULÉES")).attrs["comment"]


def test_other_names_may_be_given_and_missing_ones_are_refused():
    renamed = cube([0.1], [0.3]).rename(red="B4")
    assert float(ndvi(renamed, red="B4")[0]) == pytest.approx(0.5)
    with pytest.raises(BadRequest, match=r"no band 'red'\. Known: B4, nir"):
        ndvi(renamed)


def test_integers_do_not_wrap_round():
    found = ndvi(xr.Dataset({"red": ("x", np.array([3000, 1], "uint16")), "nir": ("x", np.array([1000, 3], "uint16"))}))
    np.testing.assert_allclose(found, [-0.5, 0.5])
    assert found.dtype == "float32"


def test_doubles_stay_doubles_and_bands_broadcast():
    red = xr.DataArray(np.full((2, 3), 0.1), dims=("time", "x"))
    found = ndvi(xr.Dataset({"red": red, "nir": ("x", np.array([0.3, 0.1, np.nan], "float32"))}))
    assert (found.dtype, set(found.dims)) == ("float64", {"time", "x"})
    np.testing.assert_allclose(found.transpose("time", "x")[1], [0.5, 0, np.nan], atol=1e-7)
    lazy = ndvi(xr.Dataset({"red": red.chunk(time=1, x=2), "nir": ("x", np.array([0.3, 0.1, np.nan], "float32"))}))
    np.testing.assert_array_equal(lazy.compute(scheduler="sync").transpose(*found.dims), found)


@given(
    bands=arrays(
        "float32", st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-2, 2, width=32)
    )
)
@settings(max_examples=40, deadline=None)
def test_it_is_numpys_quotient_lazy_or_not_in_any_order_of_axes(bands):
    red, nir = bands
    with np.errstate(all="ignore"):
        expected = np.where(nir + red > 0, (nir - red) / (nir + red), np.float32(np.nan))
    data = xr.Dataset({"red": (("y", "x"), red), "nir": (("y", "x"), nir)})
    mixed = data.assign(nir=data.nir.chunk(x=2))
    for variant in (data, data.chunk(x=3), data.transpose("x", "y").copy(deep=True), mixed):
        np.testing.assert_array_equal(ndvi(variant).transpose("y", "x").compute(scheduler="sync"), expected)


def test_a_lazy_index_is_one_symbolic_layer():
    data = cube(np.linspace(0.01, 0.4, 12), np.linspace(0.5, 0.2, 12)).chunk(x=5)
    layers = ndvi(data).__dask_graph__().layers
    assert [name.split("-")[0] for name, layer in layers.items() if isinstance(layer, Blockwise)] == ["ndvi"]
    assert len(layers) == 3
