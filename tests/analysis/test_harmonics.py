"""The harmonic model against numpy's least squares and planted waves: bias, and coverage of its intervals."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.harmonics import EPOCH, harmonic_model, harmonic_values
from earthlab.errors import BadRequest

DATES = pd.date_range("2015-07-11", "2017-12-22", periods=68).round("s")
AMPLITUDE, PHASE = np.array([0.25, 0.06]), np.array([196.0, 61.0])


def waves(dates=DATES, mean=0.5, trend=0.0) -> np.ndarray:
    days = np.asarray((dates - pd.Timestamp(EPOCH)) / pd.Timedelta(days=1))
    angles = 2 * np.pi * np.outer((1, 2), days + 1 - PHASE[:, None]).reshape(2, 2, -1)[[0, 1], [0, 1]] / 365.25
    return mean + trend * days / 365.25 + AMPLITUDE @ np.cos(angles)


def series(values, dates=DATES, dtype="float64") -> xr.DataArray:
    values = np.asarray(values, dtype)
    dims = ("time", "y", "x")[: values.ndim] if values.ndim > 2 else ("time", "x")[: values.ndim]
    return xr.DataArray(values, dims=dims, coords={"time": dates}, attrs={"units": "1"})


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_planted_waves_are_recovered(dtype):
    model = harmonic_model(series(waves(trend=0.03), dtype=dtype), trend=True)
    tolerance = 1e-9 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(model.amplitude, AMPLITUDE, atol=tolerance)
    np.testing.assert_allclose(model.phase, PHASE, atol=1e3 * tolerance)
    np.testing.assert_allclose(model.coefficient.sel(term="trend"), 0.03, atol=tolerance)
    np.testing.assert_allclose(harmonic_values(model, DATES), waves(trend=0.03), atol=tolerance)
    assert list(model.term.values) == ["mean", "trend", "sin_1", "cos_1", "sin_2", "cos_2"]


def test_masked_irregular_unsorted_dates_give_what_numpy_gives():
    random = np.random.default_rng(3)
    values = waves()[:, None] + random.normal(0, 0.05, (68, 4))
    values[random.random(values.shape) < 0.4] = np.nan
    model = harmonic_model(series(values), orders=3)
    days = np.asarray((DATES - pd.Timestamp(EPOCH)) / pd.Timedelta(days=1)) * 2 * np.pi / 365.25
    design = np.stack([np.ones(68), *(f(k * days) for k in (1, 2, 3) for f in (np.sin, np.cos))], axis=1)
    for pixel in range(4):
        seen = np.isfinite(values[:, pixel])
        known = np.linalg.lstsq(design[seen], values[seen, pixel], rcond=None)[0]
        rest = values[seen, pixel] - design[seen] @ known
        variance = rest @ rest / (seen.sum() - 7)
        np.testing.assert_allclose(model.coefficient[:, pixel], known, atol=1e-10)
        errors = np.sqrt(variance * np.diag(np.linalg.inv(design[seen].T @ design[seen])))
        np.testing.assert_allclose(model.standard_error[:, pixel], errors, rtol=1e-8)
        assert model["count"][pixel] == seen.sum()
    shuffled = random.permutation(68)
    xr.testing.assert_allclose(harmonic_model(series(values).isel(time=shuffled), orders=3), model, rtol=1e-9)


def test_bias_and_coverage_over_two_hundred_simulated_pixels():
    random = np.random.default_rng(11)
    model = harmonic_model(series(waves()[:, None] + random.normal(0, 0.05, (68, 200))))
    for name, truth, scale in (("amplitude", AMPLITUDE, 0.05), ("phase", PHASE, 10.0)):
        found, error = model[name].values, model[f"{name}_error"].values
        apart = found - truth[:, None]
        assert (abs(apart.mean(axis=1)) < 4 * error.mean(axis=1) / np.sqrt(200) + 0.02 * scale).all(), name
        covered = (abs(apart) < 1.96 * error).mean(axis=1)
        assert ((covered > 0.90) & (covered < 0.99)).all(), (name, covered)
    assert float(model.rmse.mean()) == pytest.approx(0.05, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.integers(0, 2**31))
def test_dask_is_numpy(orders, trend, seed):
    random = np.random.default_rng(seed)
    values = random.random((20, 3, 4)).astype("float32")
    values[random.random(values.shape) < 0.2] = np.nan
    index = series(values, pd.date_range("2018-01-03", periods=20, freq="17D"))
    lazy = harmonic_model(index.chunk(time=7, x=3), orders=orders, trend=trend)
    assert lazy.coefficient.chunks is not None
    expected = harmonic_model(index, orders=orders, trend=trend)
    xr.testing.assert_allclose(lazy.compute(scheduler="sync"), expected)


def test_nothing_observed_or_too_little_is_no_model():
    values = np.full((68, 3), np.nan)
    values[:5, 1] = 0.4
    values[:, 2] = waves()
    model = harmonic_model(series(values))
    assert list(model["count"].values) == [0, 5, 68]
    np.testing.assert_array_equal(np.isfinite(model.amplitude[0]), [False, False, True])
    assert np.isnan(harmonic_values(model, DATES)[:, :2]).all()


def test_dates_that_cannot_tell_the_waves_apart_are_no_model():
    yearly = pd.DatetimeIndex([f"{year}-06-01" for year in range(2000, 2012)])
    assert np.isnan(harmonic_model(series(np.ones(12), yearly), orders=1).coefficient).all()


def test_units_and_the_mark_of_a_simulation_are_kept():
    model = harmonic_model(series(waves()).assign_attrs(units="K", comment="DONNÉES SIMULÉES"))
    assert model.amplitude.attrs["units"] == "K"
    assert model.phase.attrs["units"] == "d"
    assert all("SIMUL" in model[name].attrs["comment"] for name in model)
    assert model.attrs["epoch"] == EPOCH


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: harmonic_model(series(waves()), orders=0), "orders is 0, expected 1 to 6"),
        (lambda: harmonic_model(series(waves()), period=0), "period is 0"),
        (lambda: harmonic_model(series(waves()), epoch="hier"), "epoch='hier' is not understood"),
        (lambda: harmonic_model(series(waves())[:5]), "at least 6 dates, found 5"),
        (lambda: harmonic_model(series(waves())[:1]), "at least 6 dates, found 1"),
        (lambda: harmonic_model(series(waves()).drop_vars("time")), "expected dates along 'time'"),
        (lambda: harmonic_model(series(waves()).rename(time="t")), "axis 'time'"),
        (lambda: harmonic_model(series(waves()).to_dataset(name="a")), "expected one DataArray"),
        (lambda: harmonic_model(series(waves()).astype(str)), "expected numbers"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


@pytest.mark.parametrize("times", ["2020-07-01", pd.Timestamp("2020-07-01"), ["2020-07-01T00:00Z"]])
def test_values_are_told_for_a_date_as_users_write_it(times):
    dates = pd.date_range("2019-01-01", periods=40, freq="16D")
    model = harmonic_model(xr.DataArray(np.cos(np.arange(40.0)), dims="time", coords={"time": dates}))
    expected = harmonic_values(model, pd.DatetimeIndex(["2020-07-01"]))
    xr.testing.assert_equal(harmonic_values(model, times), expected)
    with pytest.raises(BadRequest, match="has no attributes 'period' and 'epoch'"):
        harmonic_values(model.drop_attrs(), times)
    with pytest.raises(BadRequest, match="times hold int64 values, expected dates"):
        harmonic_values(model, [2020])
