"""Structural breaks against bfast's published ones, the Nile, a plain search, and planted steps."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pytest
import rdata
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.datasets import nile

from earthlab.analysis.breakpoints import structural_breaks
from earthlab.errors import AskLess, BadRequest


def series(values, dates=None, dtype="float64") -> xr.DataArray:
    values = np.asarray(values, dtype)
    dates = pd.date_range("2000-01-01", periods=len(values), freq="16D") if dates is None else dates
    dims = ("time", "y", "x")[: values.ndim]
    return xr.DataArray(values, dims=dims, coords={"time": dates}, attrs={"units": "1", "comment": "SIMULÉ"})


def numbers(found, index) -> list[int]:
    """Breaks as numbers of observations, from 1, as R counts them."""
    dates = found.break_date.values[~np.isnat(found.break_date.values)]
    return [int(index.indexes["time"].get_loc(date)) + 1 for date in dates]


def test_the_breaks_of_harvest_are_those_that_bfast_publishes(shared_data):
    # bfast, tests/Examples/bfast-Ex.Rout.save: frequency 1, h = 0.23
    stored = rdata.read_rda(shared_data / "phenology" / "harvest.rda", default_encoding="utf-8")
    index = series(stored["harvest"].to_numpy())
    found = structural_breaks(index, share=0.23)
    assert numbers(found, index) == [45, 105, 153]
    assert found.breaks == 3


def test_the_flow_of_the_nile_breaks_where_strucchange_says():
    # strucchange, breakpoints(Nile ~ 1): at 28 (1898); sums of squares and BIC for 0 to 3 breaks
    flow = series(nile.load_pandas().data["volume"].to_numpy(), pd.date_range("1871-01-01", periods=100, freq="YS"))
    found = structural_breaks(flow, trend=False)
    assert numbers(found, flow) == [28]
    np.testing.assert_allclose(found.squares[:4], [2835157, 1597457, 1552924, 1538097], rtol=1e-6)
    np.testing.assert_allclose(found.bic[:4], [1318, 1270, 1276, 1285], atol=0.6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=14, max_size=18), st.booleans())
def test_the_cut_is_the_best_of_all(values, trend):
    index = series(values)
    found = structural_breaks(index, share=0.2, trend=trend, most=2)
    least = max(int(0.2 * len(values) + 1e-9), 3 if trend else 2)
    course, days = np.array(values), np.arange(len(values)) * 16.0
    for number in (0, 1, 2):
        cuts = [
            (0, *cut, len(values))
            for cut in combinations(range(least, len(values)), number)
            if min(np.diff((0, *cut, len(values)))) >= least
        ]
        sums = [sum(left(days[a:b], course[a:b], trend) for a, b in pairwise(cut)) for cut in cuts]
        np.testing.assert_allclose(found.squares[number], min(sums), atol=1e-6)


def left(days, values, trend) -> float:
    fitted = np.polyval(np.polyfit(days - days.mean(), values, 1), days - days.mean()) if trend else values.mean()
    return float(((values - fitted) ** 2).sum())


def test_planted_steps_are_found_without_bias_in_two_hundred_series():
    random = np.random.default_rng(3)
    step = np.where(np.arange(120) < 70, 0.7, 0.4)[:, None]
    index = series(step + random.normal(0, 0.05, (120, 200)))
    found = structural_breaks(index, trend=False, most=3)
    assert (found.breaks == 1).mean() > 0.95
    days = (found.break_date.isel({"break": 0}) - index.time[69]) / np.timedelta64(1, "D")
    assert abs(float(days.where(found.breaks == 1).mean())) < 4
    none = structural_breaks(series(0.5 + random.normal(0, 0.05, (120, 200))), trend=False, most=3)
    assert (none.breaks == 0).mean() > 0.95


def test_a_step_beside_a_yearly_course_needs_its_waves():
    days = np.arange(138) * 16.0
    course = 0.5 + 0.2 * np.sin(2 * np.pi * days / 365.25) - 0.15 * (days > days[80])
    index = series(course + np.random.default_rng(0).normal(0, 0.02, 138))
    assert numbers(structural_breaks(index, trend=False, orders=1, most=3), index) == [81]


def test_gaps_order_float32_and_dask_do_not_matter():
    random = np.random.default_rng(5)
    values = np.where(np.arange(60) < 25, 0.8, 0.3)[:, None, None] + random.normal(0, 0.03, (60, 2, 3))
    values[random.random(values.shape) < 0.2] = np.nan
    values[:, 0, 0] = np.nan
    index = series(values, dtype="float32")
    found = structural_breaks(index, most=2)
    assert np.isnan(found.breaks[0, 0])
    assert np.isnat(found.break_date[:, 0, 0]).all()
    xr.testing.assert_allclose(structural_breaks(index[random.permutation(60)], most=2), found)
    lazy = structural_breaks(index.chunk(time=20, x=2), most=2)
    assert lazy.break_date.chunks is not None
    xr.testing.assert_allclose(lazy.compute(scheduler="sync"), found)
    assert all("SIMUL" in found[name].attrs["comment"] for name in found)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda s: structural_breaks(s, share=0.5), BadRequest, "share is 0.5"),
        (lambda s: structural_breaks(s, orders=4), BadRequest, "orders is 4"),
        (lambda s: structural_breaks(s, most=0), BadRequest, "most is 0"),
        (lambda s: structural_breaks(s, criterion="aic"), BadRequest, "criterion is 'aic', expected 'bic' or 'lwz'"),
        (lambda s: structural_breaks(s[:1]), BadRequest, "at least 3 dates"),
        (lambda s: structural_breaks(s.drop_vars("time")), BadRequest, "expected dates"),
        (lambda s: structural_breaks(series(np.zeros(2001))), AskLess, "2,000 at most"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call(series(np.zeros(30)))


@pytest.mark.parametrize("trend", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(0.3, 0.7, "float64"), (0.3, 0.7, "float32"), (3000, 7000, "int16")]
)
def test_a_step_without_noise_is_one_break(low, high, dtype, trend):
    dates = pd.date_range("2015-01-01", periods=80, freq="16D")
    values = np.where(np.arange(80) < 40, high, low).astype(dtype)
    found = structural_breaks(xr.DataArray(values, dims="time", coords={"time": dates}), trend=trend)
    assert found.breaks.item() == 1
    assert found.break_date.values[0] == dates[39]


def test_a_course_without_noise_does_not_break():
    dates = pd.date_range("2015-01-01", periods=80, freq="16D")
    values = 0.5 + 0.2 * np.sin(2 * np.pi * np.arange(80) * 16 / 365.25)
    found = structural_breaks(xr.DataArray(values, dims="time", coords={"time": dates}), orders=1)
    assert found.breaks.item() == 0


def test_the_stricter_criterion_is_that_of_its_formula():
    random = np.random.default_rng(8)
    dates = pd.date_range("2019-01-01", periods=69, freq="16D")
    index = xr.DataArray(random.normal(0.5, 0.05, 69), dims="time", coords={"time": dates})
    plain, strict = structural_breaks(index), structural_breaks(index, criterion="lwz")
    dearer = (0.299 * np.log(69) ** 2.1 - np.log(69)) * 3 * (np.arange(6) + 1)
    np.testing.assert_allclose(strict.lwz - plain.bic, dearer)
    assert strict.breaks <= plain.breaks


def test_the_stricter_criterion_finds_fewer_breaks_that_are_none_where_errors_resemble_their_forerunners():
    random = np.random.default_rng(9)
    dates = pd.date_range("2019-01-01", periods=69, freq="16D")
    errors = random.normal(0, 0.05, (69, 200))
    for at in range(1, 69):
        errors[at] = 0.3 * errors[at - 1] + np.sqrt(1 - 0.3**2) * errors[at]
    season = 0.5 + 0.2 * np.cos(2 * np.pi * dates.dayofyear.to_numpy() / 365.25)
    index = xr.DataArray(season[:, None] + errors, dims=("time", "x"), coords={"time": dates})
    found = {one: structural_breaks(index, orders=1, most=2, criterion=one).breaks for one in ("bic", "lwz")}
    assert float((found["bic"] > 0).mean()) < 0.32
    assert float((found["lwz"] > 0).mean()) < 0.08
