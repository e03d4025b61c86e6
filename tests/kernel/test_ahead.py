"""What a template has done ahead, its copies need not do again."""

import inspect

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.analysis.composite import median
from earthlab.analysis.kernels import order
from earthlab.kernel.ahead import work_ahead


@pytest.mark.parametrize("whole", [True, False], ids=["in one block", "in blocks"])
def test_the_first_median_of_a_cube_needs_nothing_compiled(whole):
    work_ahead()
    loop = inspect.getclosurevars(order.quantiles).nonlocals["kernel"]
    known = set(loop.nopython_signatures)
    values = np.random.default_rng(1).random((13, 32, 32), "float32")
    values[values < 0.3] = np.nan
    cube = xr.DataArray(values, {"time": pd.date_range("2021-01-01", periods=13)}, ("time", "y", "x"))
    found = median(cube.chunk(time=-1, y=-1 if whole else 16)).compute(scheduler="synchronous")
    np.testing.assert_allclose(found, np.nanmedian(values, axis=0), rtol=1e-6)
    assert known, "the template compiled it"
    assert set(loop.nopython_signatures) == known
