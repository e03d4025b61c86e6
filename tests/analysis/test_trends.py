"""Trends against scipy, plain loops, planted slopes, and the published trends of a London street."""

import numpy as np
import pandas as pd
import pytest
import rdata
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, theilslopes

from earthlab.analysis import composite
from earthlab.analysis.trends import (
    DAYS_A_YEAR,
    deseasonalise,
    mann_kendall,
    seasonal_mann_kendall,
    seasonal_slope,
    theil_sen,
)
from earthlab.errors import AskLess, BadRequest

NAN = float("nan")
MONTHS = pd.date_range("2000-01-01", periods=120, freq="MS")


def years_of(times: pd.DatetimeIndex) -> np.ndarray:
    return ((times - times.min()) / pd.Timedelta(days=DAYS_A_YEAR)).to_numpy()


def series(values, times=MONTHS, **attrs) -> xr.DataArray:
    values = np.asarray(values)
    return xr.DataArray(values, {"time": times[: len(values)]}, ("time", "y", "x")[: values.ndim], "v", attrs)


def cases(*, slope=0.3, follow=0.0, number=200, season=0.0, seed=0) -> xr.DataArray:
    random = np.random.default_rng(seed)
    noise = random.normal(size=(len(MONTHS) + 50, number))
    for at in range(1, len(noise)):
        noise[at] = follow * noise[at - 1] + np.sqrt(1 - follow**2) * noise[at]
    wave = season * np.sin(2 * np.pi * np.asarray(MONTHS.month) / 12)
    return series(noise[50:] + (slope * years_of(MONTHS) + wave)[:, None])


UNEVEN = pd.DatetimeIndex(["2001-03-02", "2001-03-09", "2001-08-30", "2003-01-01", "2003-01-02", "2009-12-31"])
VALUES = arrays("float64", (6, 3), elements=st.sampled_from([NAN, -2.0, 0.0, 0.25, 1.0, 1.0, 8.0]))


@settings(max_examples=100, deadline=None)
@given(VALUES, st.permutations(range(6)))
def test_slope_interval_and_level_are_those_of_scipy_at_any_dates(values, order):
    found = theil_sen(series(values, UNEVEN).isel(time=order), lags=0)
    for at, column in enumerate(values.T):
        seen = np.isfinite(column)
        assert float(found.observations[at]) == seen.sum()
        if seen.sum() < 3:
            assert np.isnan(found.slope[at])
            continue
        wanted = theilslopes(column[seen], years_of(UNEVEN)[seen], method="joint")
        names = ("slope", "intercept", "slope_low", "slope_high")
        np.testing.assert_allclose([float(found[name][at]) for name in names], wanted, rtol=1e-9, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_the_statistic_and_its_variance_are_those_of_the_definition(values):
    found = mann_kendall(series(values, UNEVEN), lags=0)
    for at, column in enumerate(values.T):
        seen = column[np.isfinite(column)]
        if len(seen) < 3:
            assert np.isnan(found.statistic[at])
            assert np.isnan(found.p_value[at])
            continue
        total = sum(np.sign(late - early) for i, late in enumerate(seen) for early in seen[:i])
        ties = pd.Series(seen).value_counts().to_numpy()
        n = len(seen)
        variance = (n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18
        assert float(found.statistic[at]) == total
        assert float(found.variance[at]) == pytest.approx(variance)
        if len(ties) > 1:
            assert float(found.tau[at]) == pytest.approx(kendalltau(np.arange(n), seen).statistic)


def test_a_score_worked_by_hand():
    # 10 rising values: S 45, variance 125, z (45 - 1) / sqrt(125)
    found = mann_kendall(series(np.arange(10.0)), lags=0)
    assert float(found.statistic) == 45
    assert float(found.variance) == 125
    assert float(found.z) == pytest.approx(44 / 125**0.5)
    assert float(found.p_value) == pytest.approx(8.303070332638e-05, rel=1e-6)
    assert float(found.tau) == 1


def test_london_trends_are_those_published(shared_data):
    known = rdata.conversion.DEFAULT_CLASS_MAP
    constructors = {**known, "POSIXct": lambda values, _: values, "tbl_df": known["data.frame"]}
    street = rdata.read_rda(shared_data / "air_quality" / "mydata.rda", constructor_dict=constructors)["mydata"]
    street.index = pd.to_datetime(street["date"].to_numpy(), unit="s")
    monthly = street[["no2", "o3", "nox"]].astype("float64").resample("MS").mean()
    for name, raw, freed in (("no2", 1.10, 1.04), ("o3", 0.33, 0.34), ("nox", -8.45, -8.74)):
        assert float(theil_sen(monthly[name]).slope) == pytest.approx(raw, abs=0.006)
        means = deseasonalise(monthly[name], method="means")
        assert float(theil_sen(means).slope) == pytest.approx(freed, abs=0.006)


def covered(found: xr.Dataset, slope=0.3) -> float:
    return float(((found.slope_low <= slope) & (found.slope_high >= slope)).mean())


@pytest.mark.parametrize(
    ("follow", "lags", "least", "most"),
    [
        (0, None, 0.92, 0.98), (0.3, None, 0.91, 0.98), (0.5, None, 0.91, 0.98), (0.8, None, 0.89, 0.98),
        (0, 0, 0.91, 0.98), (0, 3, 0.91, 0.98), (0.5, 3, 0.86, 0.97), (0.5, 0, 0.6, 0.85),
    ],
)  # fmt: skip
def test_the_interval_holds_the_planted_slope_as_often_as_it_says(follow, lags, least, most):
    found = theil_sen(cases(follow=follow), lags=lags)
    assert abs(float(found.slope.mean()) - 0.3) < 4 * float(found.slope.std()) / 200**0.5
    assert least <= covered(found) <= most


@pytest.mark.parametrize("dates", [12, 24, 60])
def test_short_series_that_depend_on_their_past_have_wide_enough_intervals(dates):
    found = theil_sen(cases(follow=0.5)[:dates])
    assert 0.86 <= covered(found) <= 0.98
    assert covered(theil_sen(cases(follow=0.5)[:dates], lags=0)) < 0.86


def test_a_season_does_not_pass_for_dependence():
    widths = [float((found.slope_high - found.slope_low).mean()) for found in (
        theil_sen(cases(season=3)), theil_sen(cases(season=3), lags=0)
    )]  # fmt: skip
    assert widths[0] < 1.1 * widths[1]


def test_the_rounding_of_a_perfect_line_is_no_dependence():
    line = series(1e6 + 0.1 * np.arange(60))
    assert float(mann_kendall(line).variance) == float(mann_kendall(line, lags=0).variance)


@pytest.mark.parametrize("follow", [0, 0.5])
def test_the_seasonal_interval_holds_the_planted_slope_under_a_strong_season(follow):
    found = seasonal_slope(cases(season=3, follow=follow))
    assert abs(float(found.slope.mean()) - 0.3) < 4 * float(found.slope.std()) / 200**0.5
    assert 0.91 <= covered(found) <= 0.98
    if not follow:
        assert float(found.slope.std()) < 0.5 * float(theil_sen(cases(season=3)).slope.std()) + 0.1


@pytest.mark.parametrize(
    ("test", "follow"),
    [
        (mann_kendall, 0), (mann_kendall, 0.6), (seasonal_mann_kendall, 0), (seasonal_mann_kendall, 0.6),
        (lambda v: mann_kendall(v, lags=3), 0.4), (lambda v: mann_kendall(v, lags=0), 0),
    ],
)  # fmt: skip
def test_without_a_trend_one_test_in_twenty_says_there_is_one(test, follow):
    alarms = float((test(cases(slope=0, follow=follow)).p_value < 0.05).mean())
    assert 0.01 <= alarms <= 0.10


@pytest.mark.parametrize("months", [24, 30, 36, 60])
@pytest.mark.parametrize("method", ["line", "stl"])
def test_the_season_goes_without_a_part_of_the_trend(method, months):
    times = pd.date_range("2001-05-01", periods=months, freq="MS")
    years = years_of(times)
    values = pd.Series(0.8 * years + 5 * np.cos(2 * np.pi * np.asarray(times.month) / 12), times)
    assert float(theil_sen(deseasonalise(values, method=method)).slope) == pytest.approx(0.8, rel=0.02)


def test_a_test_finds_a_strong_trend():
    assert bool((seasonal_mann_kendall(cases(slope=0.5, season=5)).p_value < 0.001).all())


def test_seasons_are_compared_with_themselves_by_a_plain_loop():
    values = cases(number=4, season=2)
    values[7:30, 1] = NAN
    found, tested = seasonal_slope(values), seasonal_mann_kendall(values)
    for at, column in enumerate(values.values.T):
        slopes, total = [], 0.0
        for month in range(12):
            kept = np.flatnonzero((np.asarray(MONTHS.month) == month + 1) & np.isfinite(column))
            pairs = [(early, late) for i, late in enumerate(kept) for early in kept[:i]]
            slopes += [(column[b] - column[a]) / (years_of(MONTHS)[b] - years_of(MONTHS)[a]) for a, b in pairs]
            total += sum(np.sign(column[b] - column[a]) for a, b in pairs)
        assert float(found.slope[at]) == pytest.approx(np.median(slopes))
        assert float(tested.statistic[at]) == total


def test_several_dates_in_one_month_count_as_their_median():
    times = MONTHS.append(MONTHS + pd.Timedelta(days=3)).append(MONTHS + pd.Timedelta(days=5))
    base = cases(number=1).values[:, 0]
    thrice = pd.Series(np.concatenate([base - 1, base, base + 10]), times)
    xr.testing.assert_allclose(seasonal_slope(thrice), seasonal_slope(pd.Series(base, MONTHS)))


def test_lazy_cubes_in_any_order_and_float32_give_what_eager_ones_do():
    cube = cases(number=6, season=1).astype("float32").data.reshape(120, 2, 3)
    cube[5:40, 0, 1], cube[:, 1, 2], cube[2:, 1, 1] = NAN, NAN, NAN
    cube = series(cube, units="µg m-3", grid_mapping="spatial_ref")
    mixed = cube.isel(time=np.random.default_rng(1).permutation(120)).chunk(time=50, x=2)
    for function in (theil_sen, seasonal_slope, mann_kendall, seasonal_mann_kendall, deseasonalise):
        wanted, found = function(cube), function(mixed)
        assert found.chunks
        xr.testing.assert_allclose(found.compute(scheduler="sync"), wanted)
    trend = theil_sen(cube)
    assert trend.slope.attrs["units"] == "µg m-3 year-1"
    assert trend.slope.attrs["grid_mapping"] == "spatial_ref"
    assert trend.intercept.attrs["origin"] == "2000-01-01"
    assert np.isnan(trend.slope[1, 1:]).all()
    assert trend.observations.values.tolist() == [[120, 85, 120], [120, 2, 0]]
    xr.testing.assert_equal(
        trend.drop_vars("intercept"),
        theil_sen(cube.transpose("x", "time", "y")).drop_vars("intercept").transpose("y", "x"),
    )


def test_the_season_goes_and_the_level_and_gaps_stay():
    wave = 5 * np.sin(2 * np.pi * np.asarray(MONTHS.month) / 12)
    values = series(20 + wave)
    np.testing.assert_allclose(deseasonalise(values), 20, atol=1e-9)
    gapped = values.copy()
    gapped[[3, 50]] = NAN
    for method in ("line", "means", "stl"):
        found = deseasonalise(gapped, method=method)
        assert np.isnan(found.values).nonzero()[0].tolist() == [3, 50]
        assert float(found.std()) < 0.4
        assert float(found.mean()) == pytest.approx(20, abs=0.3)
    quarters = composite.mean(values, period="season")
    assert float(deseasonalise(quarters[1:-1], season="season", method="stl").std()) < 0.2


def test_all_missing_stays_missing():
    for method in ("line", "means", "stl"):
        assert np.isnan(deseasonalise(series(np.full(48, NAN)), method=method)).all()


def test_a_series_of_pandas_with_a_time_zone_or_missing_integers_is_read():
    local = pd.Series(np.arange(24.0), MONTHS[:24].tz_localize("Europe/Paris"))
    assert float(theil_sen(local).slope) == pytest.approx(12, rel=0.02)
    gapped = pd.Series([1, None, 3, 4], MONTHS[:4], dtype="Int32")
    assert float(theil_sen(gapped).observations) == 3
    for index in (MONTHS[:24].to_period("M"), MONTHS[:24].strftime("%Y-%m-%d")):
        assert float(theil_sen(pd.Series(np.arange(24.0), index)).slope) == pytest.approx(12, rel=0.02)


def test_what_never_changes_has_no_trend():
    found = mann_kendall(series(np.full(24, 3.0)))
    assert (float(found.z), float(found.p_value)) == (0, 1)


REFUSED = [
    (lambda: theil_sen(series(np.ones(2))), BadRequest, "2 date"),
    (lambda: theil_sen(series(np.ones(5)).rename(time="t")), BadRequest, "axis 'time'"),
    (lambda: theil_sen(series(np.ones(5)).drop_vars("time")), BadRequest, "expected dates along 'time'"),
    (lambda: theil_sen(series(np.ones(5)).to_dataset()), BadRequest, "Choose one"),
    (lambda: theil_sen(series(["a"] * 5)), BadRequest, "expected numbers"),
    (lambda: theil_sen(pd.Series(["a"] * 5, MONTHS[:5])), BadRequest, "expected numbers"),
    (lambda: theil_sen(pd.Series(np.ones(5))), BadRequest, "indexed by dates"),
    (lambda: theil_sen(series(np.ones(5)), confidence=95), BadRequest, "between 0 and 1"),
    (lambda: theil_sen(series(np.ones(5)), lags=-1), BadRequest, "whole number"),
    (lambda: mann_kendall(series(np.ones(5)), lags=1.5), BadRequest, "whole number"),
    (lambda: theil_sen(pd.Series(1.0, pd.date_range("2000", periods=4001))), AskLess, "period='month'"),
    (lambda: seasonal_slope(series(np.ones(24)), season="week"), BadRequest, "'month' or 'season'"),
    (lambda: deseasonalise(series(np.ones(24)), method="loess"), BadRequest, "'line', 'means' or 'stl'"),
    (lambda: deseasonalise(series(np.ones(24))[::2], method="stl"), BadRequest, "none left out"),
    (lambda: deseasonalise(series(np.ones(23)), method="stl"), BadRequest, "two years"),
    (lambda: deseasonalise(series(np.ones(24)), method="stl", smoothing=8), BadRequest, "odd number"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_what_cannot_have_a_trend_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
