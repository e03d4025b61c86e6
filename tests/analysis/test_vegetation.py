"""NDVI against numbers worked by hand."""

import numpy as np
import pytest
import xarray as xr

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
