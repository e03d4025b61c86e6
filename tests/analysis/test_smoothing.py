"""Smoothers against scipy and dense algebra, and double logistic curves against planted ones."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.signal import savgol_filter

from earthlab.analysis.smoothing import (
    double_logistic,
    double_logistic_dates,
    double_logistic_values,
    savitzky_golay,
    whittaker,
)
from earthlab.errors import BadRequest

DATES = pd.date_range("2018-01-01", periods=73, freq="5D")
DAYS = np.arange(73) * 5.0 + 1
TRUTH = {"base": 0.2, "amplitude": 0.6, "rise_speed": 0.08, "rise_day": 120.0, "fall_speed": 0.05, "fall_day": 270.0}


def planted(days=DAYS, **other) -> np.ndarray:
    b, a, k1, s, k2, e = {**TRUTH, **other}.values()
    return b + a * (1 / (1 + np.exp(-k1 * (days - s))) - 1 / (1 + np.exp(-k2 * (days - e))))


def series(values, dates=DATES, dtype="float64") -> xr.DataArray:
    values = np.asarray(values, dtype)
    dims = {1: ("time",), 2: ("time", "x"), 3: ("time", "y", "x")}[values.ndim]
    return xr.DataArray(values, dims=dims, coords={"time": dates}, attrs={"units": "1", "comment": "SIMULÉ"})


def noisy(pixels=6, gaps=0.3, seed=1, noise=0.03) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = planted()[:, None] + random.normal(0, noise, (73, pixels))
    values[random.random(values.shape) < gaps] = np.nan
    return values


@pytest.mark.parametrize(("window", "degree"), [(7, 2), (11, 3), (5, 0)])
def test_on_regular_dates_it_is_the_filter_of_scipy(window, degree):
    values = noisy(gaps=0)
    found = savitzky_golay(series(values), half_window=(window // 2) * 5 + 0.1, degree=degree)
    inner = slice(window // 2, -(window // 2))
    np.testing.assert_allclose(found[inner], savgol_filter(values, window, degree, axis=0)[inner], atol=1e-12)


def test_a_parabola_passes_unchanged_through_gaps_and_irregular_dates():
    random = np.random.default_rng(5)
    dates = pd.DatetimeIndex(np.sort(random.choice(pd.date_range("2018-01-01", periods=365), 60, replace=False)))
    days = np.asarray((dates - dates[0]) / pd.Timedelta(days=1))
    parabola = 0.2 + 0.003 * days - 8e-6 * days**2
    seen = np.where(random.random(60) < 0.3, np.nan, parabola)
    np.testing.assert_allclose(savitzky_golay(series(seen, dates), half_window=60), parabola, atol=1e-9)
    shuffled = random.permutation(60)
    again = savitzky_golay(series(seen, dates)[shuffled], half_window=60)
    xr.testing.assert_identical(again, savitzky_golay(series(seen, dates), half_window=60))


def test_a_window_with_too_few_observations_has_no_value():
    values = planted()
    values[10:40] = np.nan
    found = savitzky_golay(series(values), half_window=20)
    assert np.isnan(found[25])
    assert np.isfinite(found[60])


def by_dense_algebra(values, smoothness, weights=1.0) -> np.ndarray:
    shares = np.isfinite(values) * weights
    bends = np.diff(np.eye(len(values)), 2, axis=0)
    return np.linalg.solve(np.diag(shares) + smoothness * bends.T @ bends, shares * np.nan_to_num(values))


@pytest.mark.parametrize("smoothness", [0.5, 100.0, 1e5])
def test_whittaker_is_the_solution_of_its_equations(smoothness):
    values = noisy()
    found = whittaker(series(values), smoothness=smoothness)
    for pixel in range(values.shape[1]):
        np.testing.assert_allclose(found[:, pixel], by_dense_algebra(values[:, pixel], smoothness), atol=1e-8)


@pytest.mark.parametrize("envelope", [0.7, 0.9, 0.95])
def test_the_upper_side_is_that_of_weights_taken_again_from_the_curve(envelope):
    values = noisy(3)
    found = whittaker(series(values), smoothness=50, envelope=envelope)
    for pixel in range(3):
        curve = by_dense_algebra(values[:, pixel], 50)
        for _ in range(40):
            curve = by_dense_algebra(values[:, pixel], 50, np.where(values[:, pixel] < curve, 1 / envelope - 1, 1))
        np.testing.assert_allclose(found[:, pixel], curve, atol=2e-3)


def test_clouds_that_were_missed_pull_the_upper_side_down_less():
    random = np.random.default_rng(12)
    values = planted()[:, None] + random.normal(0, 0.01, (73, 200))
    values -= np.where(random.random(values.shape) < 0.3, random.gamma(2, 0.06, values.shape), 0)
    plain, upper = (whittaker(series(values), smoothness=20, envelope=p) - planted()[:, None] for p in (0.5, 0.9))
    assert float(plain.mean()) < -0.03
    assert abs(float(upper.mean())) < 0.01
    assert float((upper**2).mean()) < float((plain**2).mean()) / 3


def test_whittaker_keeps_a_line_and_bridges_gaps_on_regular_dates():
    dates = pd.DatetimeIndex(["2018-01-01", "2018-02-12", "2018-01-06", "2018-03-31"])
    days = np.asarray((dates - dates[0]) / pd.Timedelta(days=1))
    found = whittaker(series(0.1 + 0.005 * days, dates), step=1)
    np.testing.assert_allclose(found, 0.1 + 0.005 * np.arange(90), atol=1e-6)
    assert (np.diff(found.time) == np.timedelta64(1, "D")).all()
    assert found.time[0] == dates[0]
    assert found.time[-1] == dates[3]


def test_smoothing_comes_nearer_to_the_truth_than_what_was_seen():
    values = noisy(pixels=200, gaps=0.2)
    before = np.nanmean((values - planted()[:, None]) ** 2)
    for found in (whittaker(series(values), smoothness=100), savitzky_golay(series(values), half_window=25)):
        assert np.nanmean((found - planted()[:, None]) ** 2) < before / 2
        assert abs(float((found - planted()[:, None]).mean())) < 0.005


@pytest.mark.parametrize("smoother", [savitzky_golay, whittaker, double_logistic])
def test_dask_is_numpy_and_float32_stays(smoother):
    index = series(noisy(12).reshape(73, 3, 4), dtype="float32")
    eager = smoother(index)
    lazy = smoother(index.chunk(time=20, x=3))
    xr.testing.assert_allclose(lazy.compute(scheduler="sync"), eager, rtol=1e-5)
    if isinstance(eager, xr.DataArray):
        assert eager.dtype == lazy.dtype == np.dtype("float32")
        assert "SIMUL" in eager.attrs["comment"]


@pytest.mark.parametrize("smoother", [savitzky_golay, whittaker])
def test_nothing_observed_stays_nothing(smoother):
    values = np.full((73, 2), np.nan)
    values[3, 1] = 0.5
    assert np.isnan(smoother(series(values))).all()


def test_a_planted_curve_is_found_exactly():
    found = double_logistic(series(planted()))
    for name, truth in TRUTH.items():
        assert found[name].item() == pytest.approx(truth, rel=1e-6), name
    np.testing.assert_allclose(double_logistic_values(found, DAYS)[:, 0], planted(), atol=1e-9)
    for share, before in ((0.5, 0.0), (0.2, np.log(4))):
        dates = double_logistic_dates(found, share=share)
        assert dates.sos.item() == pytest.approx(120 - before / 0.08, abs=1e-4)
        assert dates.eos.item() == pytest.approx(270 + before / 0.05, abs=1e-4)


def test_bias_and_coverage_over_two_hundred_simulated_seasons():
    found = double_logistic(series(noisy(200, gaps=0.3)))
    assert np.isfinite(found.rise_day).all()
    for name in ("base", "amplitude", "rise_day", "fall_day"):
        apart, error = found[name].values[0] - TRUTH[name], found[f"{name}_error"].values[0]
        assert abs(apart.mean()) < 4 * error.mean() / np.sqrt(200), name
        assert 0.90 < (abs(apart) < 1.96 * error).mean() < 0.99, name


def test_several_seasons_each_have_a_curve_and_one_too_short_has_none():
    dates = pd.date_range("2018-01-01", "2020-02-01", freq="6D")
    days = np.asarray((dates - pd.Timestamp("2018-01-01")) / pd.Timedelta(days=1)) + 1
    late = planted(np.where(days > 365, days - 365, days), rise_day=130.0)
    values = np.where(days <= 365, planted(days), late)
    found = double_logistic(series(values, dates))
    assert list(found.season.values) == [2018, 2019, 2020]
    np.testing.assert_allclose(found.rise_day[:2], [120, 130], atol=1e-3)
    assert np.isnan(found.rise_day[2])


def test_what_never_rises_has_no_curve():
    values = np.stack([np.full(73, np.nan), np.full(73, 0.4), np.linspace(0.8, 0.2, 73)], axis=1)
    assert np.isnan(double_logistic(series(values)).rise_day).all()


def test_a_whole_number_may_be_a_float():
    xr.testing.assert_equal(savitzky_golay(series(planted()), degree=2.0), savitzky_golay(series(planted()), degree=2))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: savitzky_golay(s, degree=9), "degree is 9"),
        (lambda s: savitzky_golay(s, half_window=0), "half_window is 0"),
        (lambda s: savitzky_golay(s, half_window="45D"), "half_window is '45D', expected a positive number"),
        (lambda s: whittaker(s, smoothness=np.inf), "smoothness is inf"),
        (lambda s: whittaker(s, envelope=1), "envelope is 1, expected a number from 0.5 to less than 1"),
        (lambda s: whittaker(s, envelope=0.1), "envelope is 0.1"),
        (lambda s: whittaker(s, step=pd.Timedelta(days=5)), "step is Timedelta"),
        (lambda s: savitzky_golay(s[:1]), "at least 2 dates, found 1"),
        (lambda s: whittaker(s, smoothness=-1), "smoothness is -1"),
        (lambda s: whittaker(s, step=0), "step is 0"),
        (lambda s: whittaker(s, step=1e-3), "is the most"),
        (lambda s: double_logistic(s, least=6), "expected 7 or more"),
        (lambda s: double_logistic(s, start="13-01"), "no day of every year"),
        (lambda s: double_logistic(s, start="mai"), "no day of every year"),
        (lambda s: double_logistic(s, months=0), "months is 0"),
        (lambda s: double_logistic(s[:9], start="06-01", months=2), "no date lies in the 2 months"),
        (lambda s: double_logistic_dates(double_logistic(s), share=1), "share is 1"),
        (lambda s: whittaker(s.drop_vars("time")), "expected dates"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(BadRequest, match=words):
        call(series(planted()))
