"""Soil moisture: planted values come back through noise, filters are the sums they stand for, probes as published."""

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.soil_moisture import (
    ISMN_FLAGS,
    anomaly,
    compare,
    invert_moisture,
    is_good,
    plot_means,
    soil_backscatter,
    soil_water_index,
    water_cloud,
)
from earthlab.errors import BadRequest

NAN = float("nan")
PLANTS = {"a": 0.1, "b": 0.5}


def test_the_models_by_hand():
    angle = np.radians(39.0)
    ks = 2 * np.pi * 5.405 / 29.9792458 * 1.0
    expected = 10 * np.log10(
        10**-1.138 * np.cos(angle) ** 1.528 * 10 ** (0.008 / np.tan(angle) * 20) * ks ** (0.71 * np.sin(angle))
    )
    soil = soil_backscatter(np.array([0.20]), 39.0, roughness=1.0)
    np.testing.assert_allclose(soil, [expected])
    through = np.exp(-2 * 0.5 * 0.6 / np.cos(angle))
    total = 0.1 * 0.6 * np.cos(angle) * (1 - through) + through * 10 ** (expected / 10)
    np.testing.assert_allclose(water_cloud(soil, 0.6, 39.0, **PLANTS), [10 * np.log10(total)])
    np.testing.assert_allclose(water_cloud(soil, 0.0, 39.0, **PLANTS), soil)


@given(st.floats(0.02, 0.5), st.floats(0, 0.7), st.floats(25, 50), st.floats(0.5, 3), st.sampled_from(["vv", "hh"]))
def test_the_inversion_undoes_the_models(moisture, ndvi, angle, roughness, polarisation):
    words = {"roughness": roughness, "polarisation": polarisation}
    seen = water_cloud(soil_backscatter(np.array([moisture]), angle, **words), ndvi, angle, **PLANTS)
    found = invert_moisture(xr.DataArray(seen, dims="plot"), ndvi, angle, **PLANTS, **words)
    np.testing.assert_allclose(found.soil_moisture, [moisture], rtol=1e-6)


def test_over_200_plots_with_noise_there_is_no_bias_and_the_error_is_what_it_says():
    rng = np.random.default_rng(4)
    truth = np.linspace(0.10, 0.35, 200)
    ndvi = np.linspace(0.2, 0.6, 200)
    clean = water_cloud(soil_backscatter(truth, 38.0, roughness=1.2), ndvi, 38.0, **PLANTS)
    inside, errors = [], []
    for _ in range(50):
        seen = xr.DataArray(clean + rng.normal(0, 0.25, 200), dims="plot")
        found = invert_moisture(seen, xr.DataArray(ndvi, dims="plot"), 38.0, **PLANTS, roughness=1.2, noise=0.25)
        away = found.soil_moisture - truth
        errors.append(away.values)
        inside.append((np.abs(away) <= 1.96 * found.error).values)
    assert abs(np.nanmean(errors)) < 0.003
    assert 0.93 < np.mean(inside) < 0.97


def test_where_plants_send_back_all_there_is_no_soil_to_see():
    found = invert_moisture(xr.DataArray([-25.0, -8.0, NAN], dims="plot"), 0.8, 39.0, **PLANTS, roughness=1.0)
    assert np.isnan(found.soil_moisture[[0, 2]]).all()
    assert np.isnan(found.error[[0, 2]]).all()


def test_a_lazy_inversion_is_the_same_and_keeps_float32_in():
    seen = xr.DataArray(np.linspace(-14, -8, 12, dtype="float32").reshape(3, 4), dims=("time", "plot"))
    words = {**PLANTS, "roughness": 1.0, "noise": 0.5}
    lazy = invert_moisture(seen.chunk(plot=2), 0.3, 39.0, **words)
    assert isinstance(lazy.soil_moisture.data, da.Array)
    np.testing.assert_allclose(lazy.soil_moisture, invert_moisture(seen, 0.3, 39.0, **words).soil_moisture)


def test_plots_are_averaged_as_powers():
    image = xr.DataArray([[[-10.0, NAN, -20.0], [-10.0, -5.0, -30.0]]], dims=("time", "y", "x"), attrs={"units": "dB"})
    plots = xr.DataArray([[1, 1, 2], [1, 0, 2]], dims=("y", "x"))
    found = plot_means(image, plots)
    np.testing.assert_allclose(found["mean"], [[-10.0, 10 * np.log10((0.01 + 0.001) / 2)]])
    assert (found.number.values.tolist(), found.parcel.values.tolist()) == ([[2, 2]], [1, 2])
    np.testing.assert_allclose(plot_means(image, plots, decibels=False)["mean"], [[-10.0, -25.0]])
    assert np.isnan(plot_means(image * NAN, plots)["mean"]).all()


def test_plots_that_lie_over_several_tiles_are_averaged_whole():
    rng = np.random.default_rng(3)
    image = xr.DataArray(rng.normal(-12, 2, (4, 30, 20)).astype("float32"), dims=("time", "y", "x"))
    plots = xr.DataArray(rng.integers(0, 6, (30, 20)), dims=("y", "x"))
    expected = plot_means(image, plots)
    found = plot_means(image.chunk(time=2, y=11, x=7), plots)
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-12)
    np.testing.assert_array_equal(found.number, expected.number)
    power = 10 ** (image.values[1].astype("float64")[plots.values == 3] / 10)
    assert float(expected["mean"].sel(parcel=3)[1]) == pytest.approx(10 * np.log10(power.mean()))


def narbonne(shared_data) -> pd.DataFrame:
    path = next((shared_data / "soil_moisture").glob("SMOSMANIA*.stm"))
    lines = path.read_text(encoding="ascii").split("\n")[1:]
    rows = [line.split() for line in lines if line.strip()]
    table = pd.DataFrame(rows, columns=["day", "hour", "moisture", "flag", "origin"])
    table.index = pd.to_datetime(table.day + " " + table.hour)
    return table.assign(moisture=table.moisture.astype(float))


def test_the_probe_of_narbonne_was_never_judged_good(shared_data):
    table = narbonne(shared_data)
    assert set(table.flag) == {"U", "D05"}
    assert not is_good(table.flag).any()
    assert (is_good(table.flag, accept=("G", "U")) == (table.flag == "U")).all()


def test_the_filter_on_the_series_of_narbonne_is_calmer_and_within(shared_data):
    surface = narbonne(shared_data).moisture
    deep = soil_water_index(surface, days=10)
    assert deep.std() < surface.std()
    assert surface.min() <= deep.min() <= deep.max() <= surface.max()
    assert deep.iloc[0] == surface.iloc[0]


def by_sum(days, values, length):
    found = []
    for now in days:
        past = [(d, v) for d, v in zip(days, values, strict=True) if d <= now and np.isfinite(v)]
        last = max((d for d, _ in past), default=None)
        weights = [np.exp(-(last - d) / length) for d, _ in past]
        found.append(np.dot(weights, [v for _, v in past]) / sum(weights) if past else NAN)
    return np.array(found)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 15), st.sampled_from([NAN, 0.1, 0.2, 0.4])), min_size=1, max_size=10),
    st.sampled_from([1.0, 5.0, 20.0]),
)
def test_the_recursion_is_wagners_weighted_mean_on_irregular_dates(steps, length):
    days = np.cumsum([gap for gap, _ in steps]).astype(float)
    values = np.array([value for _, value in steps])
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D")
    found = soil_water_index(pd.Series(values, dates), days=length)
    np.testing.assert_allclose(found, by_sum(days, values, length), rtol=1e-9)
    array = xr.DataArray(np.stack([values, values * 2]), dims=("x", "time"), coords={"time": dates})
    order = np.arange(len(days))[::-1]
    lazy = soil_water_index(array.isel(time=order).chunk(x=1, time=2), days=length)
    np.testing.assert_allclose(lazy[0], found, rtol=1e-9)
    assert lazy.dims == ("x", "time")


def test_the_filter_keeps_float32():
    dates = pd.date_range("2020-01-01", periods=3)
    array = xr.DataArray(np.array([0.1, NAN, 0.3], "float32"), dims="time", coords={"time": dates})
    assert soil_water_index(array, days=5).dtype == "float32"


def test_flags_are_all_accepted_or_the_value_is_not():
    found = is_good(pd.Series(["G", "D03,D05", "G,D01", None, "D01"], index=list("abcde")), accept=("G", "D01"))
    assert found.tolist() == [True, False, True, False, True]
    assert set(ISMN_FLAGS) >= {"G", "C01", "D10"}


def test_scores_by_hand():
    found = compare([0.2, 0.3, 0.4, 0.5, NAN], [0.1, 0.2, 0.3, 0.3, 0.1])
    away = np.array([0.1, 0.1, 0.1, 0.2])
    assert (found.number, found.bias) == (4, pytest.approx(0.125))
    assert found.rmsd**2 == pytest.approx(found.bias**2 + found.ubrmsd**2)
    assert found.ubrmsd == pytest.approx(away.std())
    assert np.isnan(compare([0.1] * 5, [0.1, 0.2, 0.3, 0.4, 0.5]).correlation)


def test_over_200_simulated_series_the_intervals_of_the_scores_hold():
    rng = np.random.default_rng(8)
    hits = np.zeros(3)
    for _ in range(200):
        truth = rng.normal(0.25, 0.05, 60)
        found = compare(truth + 0.02 + rng.normal(0, 0.03, 60), truth)
        spans = (found.bias_interval, found.ubrmsd_interval, found.correlation_interval)
        values = (0.02, 0.03, 0.05 / np.hypot(0.05, 0.03))
        hits += [low <= value <= high for (low, high), value in zip(spans, values, strict=True)]
    assert (hits >= 180).all()
    assert (hits <= 199).all()


def test_fewer_independent_pairs_widen_the_interval():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 100))
    few, many = compare(first, second, effective=10), compare(first, second)
    assert np.ptp(few.bias_interval) > 2 * np.ptp(many.bias_interval)


def test_an_anomaly_is_what_lies_beside_the_mean_of_35_days():
    dates = pd.date_range("2020-01-01", periods=100, freq="D")
    series = pd.Series(np.arange(100.0), dates).sample(frac=1, random_state=1)
    found = anomaly(series)
    assert found.index.is_monotonic_increasing
    np.testing.assert_allclose(found.iloc[20:80], 0, atol=1e-9)
    assert np.isnan(anomaly(series, fewest=36).iloc[50])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: soil_backscatter(0.2, 0.68, roughness=-1), "roughness -1 cm"),
        (lambda: soil_backscatter(0.2, 95.0, roughness=1), "incidence goes from 95 to 95"),
        (lambda: soil_backscatter(0.2, 39.0, roughness=1, polarisation="vh"), "polarisation is 'vh'. Nearest: vv, hh"),
        (lambda: soil_backscatter(xr.DataArray([20.0], attrs={"units": "%"}), 39.0, roughness=1), "units '%'"),
        (lambda: water_cloud(xr.DataArray([0.1], attrs={"units": "1"}), 0, 39.0, a=1, b=1), "expected 'dB'"),
        (
            lambda: invert_moisture(xr.DataArray([-9.0]), 0, 39.0, a=1, b=1, roughness=1, noise=-1),
            "noise -1 dB and valid",
        ),
        (lambda: plot_means(xr.DataArray([1.0], dims="x"), xr.DataArray([1.5], dims="x")), "plots hold float64"),
        (lambda: plot_means(xr.DataArray([1.0], dims="x"), xr.DataArray([1], dims="y")), "axes y, the image has"),
        (lambda: plot_means(xr.DataArray([1.0], dims="x"), xr.DataArray([0], dims="x")), "no pixel belongs"),
        (lambda: compare([1, 2, 3], [1, 2, 3]), "3 pairs, 3 independent, expected at least 4"),
        (lambda: compare([1, 2, 3, 4], [1, 2, 3, 4], level=0), "level of confidence is 0"),
        (lambda: anomaly(pd.Series([1.0])), "expected an index of dates, found int64"),
        (
            lambda: anomaly(pd.Series([1.0], pd.DatetimeIndex(["2020"])), window="long"),
            "window 'long' is not understood",
        ),
        (lambda: soil_water_index(pd.Series([1.0]), days=5), "expected dates along time"),
        (lambda: soil_water_index(pd.Series([], pd.DatetimeIndex([]), dtype=float), days=5), "at least one"),
        (lambda: soil_water_index(pd.Series([1.0]), days=0), "days is 0"),
        (lambda: soil_water_index(xr.DataArray([1.0], dims="x"), days=5), "expected an axis 'time'"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


AXES = {"y": 20.0 * np.arange(6), "x": 20.0 * np.arange(8)}
MODEL = {"a": 0.12, "b": 0.5, "roughness": 1.0}


def field(value, **attrs):
    return xr.DataArray(np.full((6, 8), value), dims=("y", "x"), coords=AXES, attrs=attrs)


def test_radar_and_vegetation_meet_on_one_grid_only():
    echo, green, angle = field(-10.0), field(0.4), field(39.0)
    expected = invert_moisture(echo, green, angle, **MODEL).soil_moisture
    assert expected.notnull().all()
    near = invert_moisture(echo, green.assign_coords(x=green.x + 1e-6), angle, **MODEL).soil_moisture
    xr.testing.assert_equal(near, expected)
    with pytest.raises(BadRequest, match="pixels apart along 'x'"):
        invert_moisture(echo, green.assign_coords(x=green.x + 5), angle, **MODEL)
    days = pd.date_range("2020-12-31", periods=3)
    with pytest.raises(BadRequest, match=r"differ along 'time'.*interp"):
        invert_moisture(echo.expand_dims(time=days[:2]), green.expand_dims(time=days[1:]), angle, **MODEL)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: invert_moisture(10 ** (field(-10.0) / 10), 0.4, 39.0, **MODEL), "nowhere below 0, expected dB"),
        (lambda: invert_moisture(field(-10.0), 0.4, np.radians(39.0), **MODEL), "incidence reaches 0.68.*degrees"),
        (lambda: soil_backscatter(25.0, 39.0, roughness=1.0), "moisture reaches 25.*per cent"),
        (lambda: plot_means(field(-10.0), field(1).assign_coords(x=AXES["x"] + 100)), "pixels apart along 'x'"),
        (
            lambda: anomaly(pd.Series([0.1], pd.to_datetime(["2020-01-01"])), window=35),
            "window is 35, which has no unit",
        ),
        (lambda: anomaly(field(0.2)), "expected a Series, found DataArray"),
        (lambda: soil_water_index([0.1, 0.2], days=5), "found list"),
        (lambda: compare([1, 2, 3, 4], [1, 2, 3, 5], effective=NAN), "nan independent"),
    ],
)
def test_other_units_and_other_places_are_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_bare_water_has_no_moisture_and_plants_below_none_neither():
    green = field(0.4)
    green[0] = -0.3
    found = invert_moisture(field(-10.0), green, 39.0, **MODEL)
    assert found.soil_moisture[0].isnull().all()
    assert found.soil_moisture[1:].notnull().all()


def test_the_decibels_of_nothing_are_no_observation():
    image, plots = field(-10.0), field(1.0)
    image[0, :4] = -np.inf
    plots[3:] = NAN
    found = plot_means(image, plots)
    assert float(found["mean"][0]) == pytest.approx(-10)
    assert (int(found.number[0]), found.parcel.values.tolist()) == (20, [1])


def test_series_of_pandas_own_types_pass_and_dates_have_to_agree():
    days = pd.date_range("2019-12-30", periods=5)
    series = pd.Series(pd.array([0.1, None, 0.2, 0.3, 0.25], dtype="Float64"), days)
    assert soil_water_index(series, days=5).dtype == "float64"
    assert compare(series, series.astype("float64")).number == 4
    with pytest.raises(BadRequest, match="indexed by other dates"):
        compare(series, series.shift(1, freq="D"))
    assert anomaly(series.astype("float64"), window="35 days").notna().sum() == 4


def test_heavy_tails_widen_the_interval_of_the_scatter():
    rng = np.random.default_rng(12)
    inside = 0
    for _ in range(200):
        truth = rng.normal(0.25, 0.06, 60)
        low, high = compare(truth + rng.standard_t(4, 60) * 0.04 / 2**0.5, truth).ubrmsd_interval
        inside += low <= 0.04 <= high
    assert inside / 200 >= 0.80
