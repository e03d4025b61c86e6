"""Season indicators against vectors worked by hand, plain loops, and curves whose dates are known."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earthlab.analysis.harmonics import harmonic_model
from earthlab.analysis.indicators import INDICATORS
from earthlab.analysis.kernels.season import LAYERS
from earthlab.analysis.phenology import indicator_table, phenology, season
from earthlab.analysis.smoothing import whittaker
from earthlab.errors import BadRequest

TIMES = np.array(["2018-04-01", "2018-05-01", "2018-06-01", "2018-07-01", "2018-08-01"], "datetime64[ns]")
DAYS = np.array([91, 121, 152, 182, 213])
NAN = float("nan")


def series(values, times=TIMES) -> xr.DataArray:
    values = np.asarray(values, "float32")
    return xr.DataArray(values, dims=("time", *"yx"[: values.ndim - 1]), coords={"time": times}, attrs={"units": "1"})


HAND = [
    # peak, day, amplitude, end: half of the swing lies between two dates, found by proportion
    ([0.2, 0.4, 0.8, 0.6, 0.2], 0.8, 152, 0.6, 182 + 31 * (0.6 - 0.5) / 0.4),
    ([0.2, 0.4, 0.8, 0.7, 0.6], 0.8, 152, 0.6, NAN),
    ([0.8, 0.2, 0.2, 0.2, 0.2], 0.8, 91, 0.6, 91 + 30 * 0.5),
    ([0.2, NAN, 0.8, NAN, 0.2], 0.8, 152, 0.6, 152 + 61 * 0.5),
    ([0.2, 0.8, 0.4, 0.8, 0.2], 0.8, 121, 0.6, 121 + 31 * 0.75),
    ([NAN, NAN, 0.5, NAN, NAN], 0.5, 152, 0.0, NAN),
    ([0.3, 0.3, 0.3, 0.3, 0.3], 0.3, 91, 0.0, NAN),
    ([NAN] * 5, NAN, NAN, NAN, NAN),
]


@pytest.mark.parametrize(("values", "peak", "day", "amplitude", "end"), HAND)
def test_by_hand(values, peak, day, amplitude, end):
    found = season(series(values))
    for name, expected in (("peak", peak), ("peak_day", day), ("amplitude", amplitude), ("end_day", end)):
        np.testing.assert_allclose(float(found[name]), expected, rtol=1e-4, atol=1e-6, err_msg=name)


def by_loop(values: np.ndarray, fraction: float) -> tuple[float, float, float, float]:
    seen = [(d, float(v)) for d, v in zip(DAYS, values, strict=True) if np.isfinite(v)]
    if not seen:
        return (NAN, NAN, NAN, NAN)
    peak = max(v for _, v in seen)
    day = next(d for d, v in seen if v == peak)
    low = min(v for _, v in seen)
    level = low + fraction * (peak - low)
    after = [(d, v) for d, v in seen if d >= day]
    for (d0, v0), (d1, v1) in pairwise(after):
        if v0 >= level > v1:
            return peak, day, peak - low, d0 + (v0 - level) / (v0 - v1) * (d1 - d0)
    return peak, day, peak - low, NAN


VALUES = arrays("float32", (5, 3), elements=st.sampled_from([NAN, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0]))


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from([0.25, 0.5, 0.75]))
def test_against_a_plain_loop_and_under_dask(values, fraction):
    index = xr.DataArray(values, dims=("time", "x"), coords={"time": TIMES})
    found = season(index, fraction=fraction)
    stacked = np.stack([found[n] for n in ("peak", "peak_day", "amplitude", "end_day")], -1)
    expected = [by_loop(column, fraction) for column in values.T]
    np.testing.assert_allclose(stacked, np.array(expected, "float32"), rtol=1e-5, atol=1e-5)
    lazy = season(index.chunk(time=-1, x=2), fraction=fraction)
    xr.testing.assert_equal(lazy.compute(scheduler="sync"), found)


def test_days_go_on_beyond_new_year():
    times = np.array(["2018-11-01", "2018-12-01", "2019-01-11"], "datetime64[ns]")
    assert float(season(series([0.2, 0.4, 0.8], times)).peak_day) == 365 + 11


def test_a_simulated_index_stays_simulated_and_units_are_told():
    found = season(series([0.2, 0.4, 0.8, 0.6, 0.2]).assign_attrs(comment="DONNÉES SIMULÉES"))
    assert found.peak.attrs["units"] == "1"
    assert found.end_day.attrs["units"] == "day of year"
    assert all("SIMUL" in found[name].attrs["comment"] for name in found)


@pytest.mark.parametrize(
    ("index", "fraction", "words"),
    [
        (series([1, 2, 3, 4, 5]).rename(time="t"), 0.5, "an axis 'time', found t"),
        (series([1, 2, 3, 4, 5])[:1], 0.5, "at least 2 dates, found 1"),
        (series([1, 2, 3, 4, 5]).drop_vars("time"), 0.5, "dates along 'time', found no coordinate"),
        (series([1, 2, 3, 4, 5]).to_dataset(name="ndvi"), 0.5, "expected one DataArray"),
        (series([1, 2, 3, 4, 5]), 0, "between 0 and 1"),
        (series([1, 2, 3, 4, 5]), 1, "between 0 and 1"),
        (series([1, 2, 3, 4, 5]), NAN, "between 0 and 1"),
    ],
)
def test_an_index_without_a_season_is_refused(index, fraction, words):
    with pytest.raises(BadRequest, match=words):
        season(index, fraction=fraction)


def test_a_season_does_not_depend_on_the_order_or_chunks_of_its_dates():
    index = series([0.2, 0.4, 0.8, 0.6, 0.2])
    for other in (index[::-1], index.isel(time=[2, 0, 4, 1, 3]), index.chunk(time=2)):
        xr.testing.assert_equal(season(other).compute(scheduler="sync"), season(index))


RISE, FALL = (0.15, 100.0), (0.12, 270.0)


def curve(days, base=0.2, amplitude=0.6, rise=RISE, fall=FALL) -> np.ndarray:
    up, down = (1 / (1 + np.exp(-speed * (days - day))) for speed, day in (rise, fall))
    return base + amplitude * (up - down)


def years(count=1, step=1) -> tuple[pd.DatetimeIndex, np.ndarray]:
    dates = pd.date_range("2015-01-01", f"{2014 + count}-12-31", freq=f"{step}D")
    return dates, dates.dayofyear.to_numpy("float64")


def one(found, name) -> float:
    return found[name].values.ravel()[0]


def test_start_and_end_of_a_double_logistic_are_the_analytic_ones():
    dates, days = years()
    values = curve(days)
    found = phenology(xr.DataArray(values, dims="time", coords={"time": dates}))
    for share in (20, 50, 80):
        odds = np.log(share / (100 - share))
        assert one(found, f"sos_{share}") == pytest.approx(100 + odds / 0.15, abs=0.02)
        assert one(found, f"eos_{share}") == pytest.approx(270 - odds / 0.12, abs=0.02)
    assert one(found, "los_50") == one(found, "eos_50") - one(found, "sos_50")
    assert one(found, "amplitude") == pytest.approx(0.6, abs=0.01)
    assert one(found, "most_rise") == pytest.approx(0.6 * 0.15 / 4, rel=0.01)
    assert one(found, "most_rise_day") == pytest.approx(100, abs=1)
    assert one(found, "small_integral_20") == pytest.approx(0.6 * 170, rel=0.05)


TRIANGLE = ([0.2, 0.5, 0.8, 0.6, 0.4], [1.0, 101.0, 201.0, 251.0, 301.0])
BY_HAND = {
    # left: 0.2 at day 1 to 0.8 at day 201; right: 0.8 to 0.4 at day 301
    "count": 5,
    "longest_gap": 100,
    "mean": 0.5,
    "median": 0.5,
    "standard_deviation": np.std([0.2, 0.5, 0.8, 0.6, 0.4], ddof=1),
    "quantile_10": 0.28,
    "quantile_90": 0.72,
    "peak_value": 0.8,
    "peak_day": 201,
    "left_base": 0.2,
    "right_base": 0.4,
    "left_base_day": 1,
    "right_base_day": 301,
    "base": 0.3,
    "amplitude": 0.5,
    "left_amplitude": 0.6,
    "right_amplitude": 0.4,
    "relative_amplitude": 0.625,
    "sos_20": 41,
    "sos_50": 101,
    "sos_80": 161,
    "eos_20": 281,
    "eos_50": 251,
    "eos_80": 221,
    "los_20": 240,
    "los_50": 150,
    "los_80": 60,
    "sos_value_50": 0.5,
    "eos_value_20": 0.48,
    "middle_50": 176,
    "left_derivative": 0.36 / 120,
    "right_derivative": 0.24 / 60,
    "most_rise": 0.003,
    "most_fall": 0.004,
    "green_up": 120,
    "senescence": 60,
    "rise_time": 160,
    "fall_time": 80,
    "asymmetry": 2,
    "large_integral_50": (0.5 + 0.8) / 2 * 100 + (0.8 + 0.6) / 2 * 50,
    "small_integral_50": (0.2 + 0.5) / 2 * 100 + (0.5 + 0.3) / 2 * 50,
    "large_integral_20": (0.32 + 0.8) / 2 * 160 + (0.8 + 0.48) / 2 * 80,
    "rise_integral": (0.02 + 0.5) / 2 * 160,
    "fall_integral": (0.5 + 0.18) / 2 * 80,
    "dhi_cumulative": (0.2 + 0.8) / 2 * 200 + (0.8 + 0.4) / 2 * 100,
    "dhi_minimum": 0.2,
    "dhi_variation": np.std([0.2, 0.5, 0.8, 0.6, 0.4], ddof=1) / 0.5,
}


def triangle(dtype="float64", order=slice(None)) -> xr.DataArray:
    values, days = TRIANGLE
    dates = pd.Timestamp("2018-01-01") + pd.to_timedelta(np.array(days) - 1, unit="D")
    index = xr.DataArray(np.array(values, dtype), dims="time", coords={"time": dates}, attrs={"units": "1"})
    return index[order]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", BY_HAND)
def test_each_indicator_of_a_triangle_by_hand(name, dtype):
    found = phenology(triangle(dtype), indicators=[name])[name]
    assert found.dtype == np.dtype(dtype)
    assert found.item() == pytest.approx(BY_HAND[name], rel=1e-6 if dtype == "float64" else 1e-4)


def test_the_steepest_changes_are_dated_between_two_observations():
    found = phenology(triangle().copy(data=[0.2, 0.3, 0.8, 0.7, 0.3]), indicators=["most_rise_day", "most_fall_day"])
    assert (one(found, "most_rise_day"), one(found, "most_fall_day")) == (151, 276)


def test_gaps_and_the_order_of_dates_do_not_matter():
    expected = phenology(triangle())
    xr.testing.assert_allclose(phenology(triangle(order=[3, 0, 4, 2, 1])), expected)
    holes = xr.concat(
        [triangle(), triangle().assign_coords(time=triangle().time + np.timedelta64(9, "D")) * np.nan], "time"
    )
    xr.testing.assert_allclose(phenology(holes), expected)


def test_two_observations_of_one_instant_are_averaged():
    twice = xr.concat([triangle() + 0.05, triangle() - 0.05], "time")
    xr.testing.assert_allclose(phenology(twice), phenology(triangle()))


def test_a_season_is_found_from_the_peak_outwards():
    # a catch crop in autumn does not lengthen the season of the peak
    values = np.array([0.2, 0.8, 0.2, 0.5, 0.2])
    found = phenology(triangle().copy(data=values))
    assert one(found, "eos_50") == pytest.approx(101 + 50)


def test_several_years_each_have_their_season():
    dates, days = years(3, step=5)
    shift = np.array([0.0, 10.0, -5.0])[dates.year - 2015]
    found = phenology(series(curve(days - shift), dates))
    assert list(found.season.values) == [2015, 2016, 2017]
    np.testing.assert_allclose(found.sos_50.values, [100, 110, 95], atol=0.3)
    assert found.season_start.values[1] == np.datetime64("2016-01-01")


def test_a_season_may_begin_in_another_month_and_days_go_on_beyond_new_year():
    dates, days = years(2, step=5)
    southern = curve((days + 182.0) % 365)
    found = phenology(series(southern, dates), start="07-01")
    assert list(found.season.values) == [2014, 2015, 2016]
    assert one(found.sel(season=[2015]), "sos_50") == pytest.approx(100 - 182 + 365, abs=1.5)
    half = phenology(series(southern, dates), start="01-01", months=6, indicators=["count"])
    assert (half["count"] < 40).all()


def test_two_crops_a_year_are_asked_for_one_after_the_other():
    dates = pd.date_range("2019-01-05", "2020-12-31", freq="5D")
    days = dates.dayofyear.to_numpy("float64")
    first, second = curve(days, 0.2, 0.5, (0.15, 50), (0.15, 120)), curve(days, 0, 0.4, (0.2, 240), (0.2, 300))
    index = series(first + second, dates)
    spring = phenology(index, start="01-01", months=6, indicators=["sos_50", "eos_50"])
    autumn = phenology(index, start="07-01", months=6, indicators=["sos_50", "eos_50"])
    np.testing.assert_allclose(spring.sos_50, 50, atol=2)
    np.testing.assert_allclose(spring.eos_50, 120, atol=2)
    np.testing.assert_allclose(autumn.sos_50, 240, atol=2)
    np.testing.assert_allclose(autumn.eos_50, 300, atol=2)


def test_waves_of_a_season_are_those_of_the_harmonic_model():
    dates, days = years(2, step=8)
    random = np.random.default_rng(0)
    index = series(curve(days)[:, None] + random.normal(0, 0.02, (len(dates), 3)), dates).astype("float64")
    found = phenology(index)
    for year, season_index in index.groupby("time.year"):
        model = harmonic_model(season_index, orders=3)
        here = found.sel(season=year)
        np.testing.assert_allclose(here.harmonic_mean, model.coefficient.sel(term="mean"), atol=1e-9)
        np.testing.assert_allclose(here.harmonic_rmse, model.rmse, atol=1e-9)
        for order in (1, 2, 3):
            np.testing.assert_allclose(here[f"harmonic_amplitude_{order}"], model.amplitude.sel(order=order), atol=1e-9)
            drift = float((pd.Timestamp(f"{year}-01-01") - pd.Timestamp("2015-01-01")).days % 365.25)
            expected = (model.phase.sel(order=order) - 1 - drift) % (365.25 / order) + 1
            np.testing.assert_allclose(here[f"harmonic_phase_{order}"], expected, atol=1e-6)


@pytest.mark.parametrize("peak", ["12-26", "12-31", "01-02", "01-08"])
def test_the_phase_of_a_southern_season_does_not_jump_at_new_year(peak):
    dates = pd.date_range("2016-07-03", "2020-06-30", freq="10D")
    crests = pd.DatetimeIndex([f"{year}-{peak}" for year in range(2016, 2022)])
    since = np.min(np.abs((dates.values[:, None] - crests.values) / np.timedelta64(1, "D")), axis=1)
    found = phenology(series(0.5 + 0.2 * np.cos(2 * np.pi * since / 365.25), dates), start="07-01")
    truth = pd.Timestamp(f"{2016 + (peak < '07')}-{peak}") - pd.Timestamp("2016-01-01")
    np.testing.assert_allclose(found.harmonic_phase_1, truth.days + 1, atol=1.5)
    np.testing.assert_allclose(found.harmonic_phase_1, found.peak_day, atol=8)


def test_over_two_hundred_noisy_seasons_the_start_of_a_smoothed_series_has_little_bias():
    random = np.random.default_rng(6)
    dates, days = years(1, step=5)
    values = curve(days)[:, None] + random.normal(0, 0.03, (len(dates), 200))
    values[random.random(values.shape) < 0.3] = NAN
    found = phenology(whittaker(series(values, dates), smoothness=20), indicators=["sos_50", "eos_50", "peak_value"])
    assert float(found.sos_50.mean()) == pytest.approx(100, abs=2)
    assert float(found.eos_50.mean()) == pytest.approx(270, abs=3)
    assert float(found.sos_50.std()) < 6


@settings(max_examples=25, deadline=None)
@given(arrays("float32", (9, 2, 3), elements=st.sampled_from([NAN, 0.0, 0.25, 0.5, 0.75, 1.0])), st.integers(1, 5))
def test_orders_that_always_hold_and_dask_is_numpy(values, least):
    index = xr.DataArray(
        values, dims=("time", "y", "x"), coords={"time": pd.date_range("2018-02-01", periods=9, freq="40D")}
    )
    found = phenology(index, least=least)
    some = ["count", "median", "sos_50", "eos_20", "small_integral_20", "harmonic_phase_2"]
    lazy = phenology(index.chunk(time=4, x=2), least=least, indicators=some)
    xr.testing.assert_equal(lazy.compute(scheduler="sync"), found[some])
    for early, late in (("sos_20", "sos_50"), ("sos_50", "peak_day"), ("peak_day", "eos_50"), ("eos_50", "eos_20")):
        ordered = (found[early] <= found[late]) | found[early].isnull() | found[late].isnull()
        assert ordered.all(), (early, late)
    assert (
        (found["small_integral_20"] <= found["large_integral_20"] + 1e-4) | found["large_integral_20"].isnull()
    ).all()
    assert (found["count"] == np.isfinite(index).groupby("time.year").sum().rename(year="season")).all()


def test_too_few_observations_and_flat_seasons():
    values = np.full((5, 3), np.nan)
    values[:3, 1] = 0.5
    values[:, 2] = 0.5
    index = xr.DataArray(values, dims=("time", "x"), coords={"time": triangle().time})
    found = phenology(index)
    assert list(found["count"].values[0]) == [0, 3, 5]
    assert np.isnan(found.peak_value[0, :2]).all()
    assert found.amplitude[0, 2] == 0
    assert np.isnan(found.sos_50[0, 2])
    assert phenology(index[:1], least=1, indicators=["count", "mean"])["count"][0, 1] == 1


def test_each_indicator_is_named_once_with_unit_and_definition_in_both_languages():
    table = indicator_table()
    assert len(table) == len(INDICATORS) == 64
    assert (table.map(len) > 0).all().all()
    layers = [each.layer for each in INDICATORS.values() if each.layer >= 0]
    assert sorted(layers) == list(range(LAYERS))
    found = phenology(triangle().assign_attrs(units="K", comment="SIMULÉ"))
    assert set(found.data_vars) == set(INDICATORS)
    assert found.left_derivative.attrs["units"] == "K d-1"
    assert found.dhi_cumulative.attrs["units"] == "K d"
    assert all("SIMUL" in found[name].attrs["comment"] for name in found)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"indicators": ["sos50"]}, "no indicator 'sos50'.*sos_50"),
        ({"indicators": []}, "each indicator once"),
        ({"indicators": ["base", "base"]}, "each indicator once"),
        ({"least": 0}, "least is 0"),
        ({"least": 9}, "at least 9 dates, found 5"),
        ({"start": "02-30"}, "no day of every year"),
        ({"months": 13}, "months is 13"),
    ],
)
def test_what_phenology_refuses(words, match):
    with pytest.raises(BadRequest, match=match):
        phenology(triangle(), **words)
