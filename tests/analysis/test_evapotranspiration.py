"""Evapotranspiration: the examples of FAO-56, a station's published column, pyet, planted edges, and a flux tower."""

import dask.array as da
import numpy as np
import pandas as pd
import pyet
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from earthlab.analysis.evapotranspiration import (
    Edges,
    daily_evapotranspiration,
    evaporative_fraction,
    extraterrestrial_radiation,
    fit_edges,
    flux_budget,
    hourly_extraterrestrial_radiation,
    latent_heat,
    mean_vapour_pressure,
    net_radiation,
    pressure_at,
    reference_evapotranspiration,
    solar_radiation,
    vapour_pressure,
    wind_at_2m,
)
from earthlab.errors import BadRequest

NAN = float("nan")


def test_example_17_of_fao_56_bangkok():
    latitude = 13 + 44 / 60
    above = extraterrestrial_radiation(105, latitude)
    solar = solar_radiation(8.5, 105, latitude)
    net = net_radiation(solar, (0.75 + 2e-5 * 2) * above, 25.6, 34.8, 2.85)
    np.testing.assert_allclose([above, solar, net], [38.06, 22.65, 14.33], atol=0.01)
    found = reference_evapotranspiration(
        tmin=25.6, tmax=34.8, vapour=2.85, wind=2.0, radiation=net, pressure=pressure_at(2), soil_heat=0.14
    )
    assert round(float(found), 2) == 5.72


def test_example_18_of_fao_56_uccle():
    latitude = 50 + 48 / 60
    above = extraterrestrial_radiation(187, latitude)
    vapour = mean_vapour_pressure(12.3, 21.5, rhmin=63, rhmax=84)
    assert float(vapour) == pytest.approx(1.409, abs=1e-3)
    net = net_radiation(solar_radiation(9.25, 187, latitude), (0.75 + 2e-5 * 100) * above, 12.3, 21.5, vapour)
    found = reference_evapotranspiration(
        tmin=12.3,
        tmax=21.5,
        vapour=vapour,
        wind=wind_at_2m(10 / 3.6, height=10),
        radiation=net,
        pressure=pressure_at(100),
    )
    assert round(float(found), 2) == 3.88


def test_example_19_of_fao_56_two_hours_at_n_diaye():
    warm = np.array([28.0, 38.0])
    vapour = vapour_pressure(warm, humidity=np.array([90.0, 52.0]))
    # 2:30 and 14:30 of the clock there, which is an hour behind UTC.
    above = hourly_extraterrestrial_radiation(274, np.array([3.5, 15.5]), 16 + 13 / 60, -16.25)
    np.testing.assert_allclose(above, [0, 3.543], atol=1e-3)
    net = net_radiation(
        np.array([0, 2.45]), (0.75 + 2e-5 * 8) * above, warm, warm, vapour, step="hour", night_ratio=0.8
    )
    np.testing.assert_allclose(net, [-0.100, 1.749], atol=1e-3)
    found = reference_evapotranspiration(
        tmin=warm,
        tmax=warm,
        vapour=vapour,
        wind=np.array([1.9, 3.3]),
        radiation=net,
        pressure=pressure_at(8),
        soil_heat=np.where(above > 0, 0.1, 0.5) * net,
        step="hour",
    )
    np.testing.assert_array_equal(np.round(found, 2), [0.00, 0.63])


def daily(table, altitude, latitude):
    day = pd.Series(table.index.dayofyear, table.index)
    vapour = mean_vapour_pressure(table.tmin, table.tmax, rhmin=table.rhmin * 100, rhmax=table.rhmax * 100)
    solar = table.solar * 0.0864
    clear = (0.75 + 2e-5 * altitude) * extraterrestrial_radiation(day, latitude)
    return reference_evapotranspiration(
        tmin=table.tmin,
        tmax=table.tmax,
        vapour=vapour,
        wind=table.windrun / 86.4,
        radiation=net_radiation(solar, clear, table.tmin, table.tmax, vapour),
        pressure=pressure_at(float(altitude)),
    )


@pytest.fixture(scope="module")
def holyoke(shared_data) -> pd.DataFrame:
    path = shared_data / "evapotranspiration" / "et_coagmet.txt"
    return pd.read_csv(path, parse_dates=["date"], index_col="date")


def test_the_published_reference_of_holyoke_comes_out_to_its_rounding(holyoke):
    away = daily(holyoke, 1138, 40.49) - holyoke.et_asce0
    assert (len(away), float(away.mean())) == (366, pytest.approx(0, abs=0.01))
    assert float((away**2).mean() ** 0.5) < 0.04
    assert float(away.abs().max()) < 0.16


def test_pyet_finds_the_same_but_under_dark_skies_where_it_follows_asce(holyoke):
    middle = (holyoke.tmin + holyoke.tmax) / 2
    theirs = pyet.pm_fao56(
        middle,
        holyoke.windrun / 86.4,
        rs=holyoke.solar * 0.0864,
        elevation=1138,
        lat=np.radians(40.49),
        tmax=holyoke.tmax,
        tmin=holyoke.tmin,
        rhmax=holyoke.rhmax * 100,
        rhmin=holyoke.rhmin * 100,
    )
    away = (theirs - daily(holyoke, 1138, 40.49)).abs()
    above = extraterrestrial_radiation(pd.Series(holyoke.index.dayofyear, holyoke.index), 40.49)
    dark = holyoke.solar * 0.0864 < 0.3 * (0.75 + 2e-5 * 1138) * above
    assert (int(dark.sum()), float(away[~dark].max()) < 1e-6) == (20, True)
    assert float(away[dark].min()) > 1e-6


def test_days_and_hours_of_the_sun_agree():
    hours = np.arange(24) + 0.5
    for day, latitude in ((1, 45.0), (172, 66.0), (172, 80.0), (355, 80.0), (260, -30.0)):
        summed = hourly_extraterrestrial_radiation(day, hours, latitude, 7.0).sum()
        # An hour cut by sunset counts until then, so that the sum is that of the day.
        assert summed == pytest.approx(float(extraterrestrial_radiation(day, latitude)), rel=2e-3, abs=0.02)


@given(st.floats(-20, 40), st.floats(0, 15), st.floats(5, 95), st.floats(0, 10), st.floats(1, 20))
def test_more_wind_in_drier_air_never_evaporates_less_and_order_of_axes_is_nothing(low, range_, humidity, wind, net):
    high = low + range_
    common = {"tmin": low, "tmax": high, "radiation": net, "pressure": 100.0, "wind": wind}
    dry = mean_vapour_pressure(low, high, rhmin=humidity / 2, rhmax=humidity / 2)
    wet = mean_vapour_pressure(low, high, rhmin=humidity, rhmax=humidity)
    assert reference_evapotranspiration(**common, vapour=dry) >= reference_evapotranspiration(**common, vapour=wet)


def test_series_arrays_lazy_arrays_and_float32_give_the_same():
    dates = pd.date_range("2020-06-01", periods=4)[::-1]
    warm = pd.Series([20.0, 25.0, NAN, 30.0], dates)
    common = {"wind": 2.0, "radiation": 14.0, "pressure": 101.3, "vapour": 1.2}
    series = reference_evapotranspiration(tmin=warm - 8, tmax=warm, **common)
    assert series.index.equals(dates)
    assert np.isnan(series.iloc[2])
    assert series.attrs["units"] == "mm day-1"
    array = xr.DataArray(warm.to_numpy("float32"), dims="time", attrs={"units": "degC"})
    lazy = reference_evapotranspiration(tmin=array.chunk(time=2) - 8, tmax=array.chunk(time=2), **common)
    assert isinstance(lazy.data, da.Array)
    assert lazy.dtype == "float32"
    np.testing.assert_allclose(lazy, series, rtol=1e-5)
    assert np.isnan(reference_evapotranspiration(tmin=array * NAN, tmax=array, **common)).all()


def planted_scene(rng, noise=0.3, number=6000):
    albedo = rng.uniform(0.08, 0.35, number)
    fraction = rng.uniform(0, 1, number)
    dry, wet = 322 - 40 * albedo, 296 + 10 * albedo
    warm = dry - fraction * (dry - wet) + rng.normal(0, noise, number)
    return (
        xr.DataArray(albedo, dims="x", attrs={"units": "1"}),
        xr.DataArray(warm, dims="x", attrs={"units": "K"}),
        fraction,
    )


def test_over_200_planted_scenes_the_evaporative_fraction_has_no_bias():
    rng = np.random.default_rng(6)
    errors = []
    for _ in range(200):
        albedo, warm, fraction = planted_scene(rng, number=3000)
        edges = fit_edges(albedo, warm, classes=12, dry_from=0.08)
        errors.append(float((evaporative_fraction(albedo, warm, edges) - fraction).mean()))
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.02


def test_a_lazy_fraction_is_the_same_and_stays_within_0_and_1():
    albedo, warm, _ = planted_scene(np.random.default_rng(0))
    edges = fit_edges(albedo, warm)
    assert edges.dry[1] < 0 < edges.wet[1]
    found = evaporative_fraction(albedo.astype("float32").chunk(x=999), warm.astype("float32").chunk(x=999), edges)
    assert isinstance(found.data, da.Array)
    np.testing.assert_allclose(found, evaporative_fraction(albedo, warm, edges), atol=1e-3)
    assert (float(found.min()), float(found.max())) == (0, 1)
    depth = daily_evapotranspiration(found, 15.0)
    assert (depth.attrs["units"], float(depth.max())) == ("mm day-1", pytest.approx(15 * 0.408))


@pytest.fixture(scope="module")
def puechabon(shared_data) -> pd.DataFrame:
    table = pd.read_csv(shared_data / "flux_fr_pue" / "FR_Pue_May_2012.csv")
    start = pd.Timestamp("2012-01-01")
    return table.assign(time=start + pd.to_timedelta(table.doy - 1, "D") + pd.to_timedelta(table.hour, "h"))


COLUMNS = {"latent": "LE", "sensible": "H", "net": "Rn", "temperature": "Tair"}


def test_the_month_of_puechabon(puechabon):
    found = flux_budget(puechabon, **COLUMNS, quality="LE_qc")
    assert found.evapotranspiration == pytest.approx(47.85, abs=0.005)
    assert (found.number, found.complete, found.filled) == (1488, 1484, pytest.approx(0.101, abs=1e-3))
    assert found.closed == pytest.approx(found.evapotranspiration / found.closure)
    assert found.closed_interval[0] < found.closed < found.closed_interval[1]


def test_the_closure_of_0_647_counts_heat_of_steps_without_radiation(puechabon):
    each = flux_budget(puechabon, **COLUMNS, steps="each")
    assert each.closure == pytest.approx(0.647, abs=5e-4)
    assert flux_budget(puechabon, **COLUMNS).closure == pytest.approx(0.642, abs=5e-4)


def test_order_index_and_float32_do_not_matter(puechabon):
    whole = flux_budget(puechabon, **COLUMNS)
    mixed = puechabon.sample(frac=1, random_state=1).astype({"LE": "float32"})
    assert flux_budget(mixed, **COLUMNS).evapotranspiration == pytest.approx(whole.evapotranspiration, rel=1e-6)
    assert flux_budget(puechabon.set_index("time"), **COLUMNS).closure == whole.closure


def tower(rng, days=30):
    time = pd.date_range("2020-05-01", periods=48 * days, freq="30min")
    sun = np.clip(np.sin((time.hour + time.minute / 60 - 6) / 12 * np.pi), 0, None)
    bright = np.repeat(rng.uniform(0.4, 1.0, days), 48)
    net = 600 * sun * bright + 5
    # How well a day closes is its own: heat of one day is not independent of itself.
    turbulent = net * np.repeat(rng.normal(0.8, 0.08, days), 48)
    return pd.DataFrame(
        {"time": time, "LE": 0.5 * turbulent, "H": 0.5 * turbulent, "Rn": net, "Tair": 15.0, "G": 0.0, "S": 0.0}
    )


def test_over_200_towers_the_closure_has_no_bias_and_its_interval_holds():
    rng = np.random.default_rng(9)
    found = [flux_budget(tower(rng), **COLUMNS) for _ in range(200)]
    inside = sum(budget.closure_interval[0] <= 0.8 <= budget.closure_interval[1] for budget in found)
    ratios = np.array([budget.closure for budget in found])
    assert abs(ratios.mean() - 0.8) < 4 * ratios.std() / 200**0.5
    assert 174 <= inside <= 199


def test_ground_and_storage_are_part_of_the_balance_and_two_days_have_no_interval():
    table = tower(np.random.default_rng(0), days=2).assign(G=2.0, S=1.0)
    plain = flux_budget(table, **COLUMNS)
    found = flux_budget(table, **COLUMNS, ground="G", storage="S")
    energy = (table.LE + table.H).sum()
    assert found.closure == pytest.approx(energy / (table.Rn - 3).sum())
    assert found.closure > plain.closure
    assert np.isnan(found.closure_interval).all()
    expected = (table.LE / float(latent_heat(15.0))).sum() * 1800
    assert found.evapotranspiration == pytest.approx(expected)


TABLE = tower(np.random.default_rng(0), days=3)
UNIT = {"units": {"LE": "MJ m-2"}}


def with_units(table, attrs):
    changed = table.copy()
    changed.attrs = attrs
    return changed


KELVIN = {"tmin": 290.0, "tmax": 300.0, "vapour": 1.0, "wind": 2.0, "radiation": 10.0, "pressure": 100.0}
METRIC = KELVIN | {"tmin": 10.0, "tmax": 20.0}
MAP = xr.DataArray(np.random.default_rng(3).uniform(size=(100, 100)), dims=("y", "x"),
                   coords={"y": 20.0 * np.arange(100), "x": 20.0 * np.arange(100)})  # fmt: skip
EDGES = Edges((310.0, -5.0), (290.0, -1.0), 0.0, 0.0, 0.0, 1.0, "K")
FLAT = xr.DataArray(np.full(200, 0.2), dims="x")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: reference_evapotranspiration(**KELVIN), "tmin lies above 150, as if in kelvin"),
        (lambda: reference_evapotranspiration(**KELVIN, step="month"), "step is 'month', expected 'day' or 'hour'"),
        (lambda: vapour_pressure(xr.DataArray([290.0], attrs={"units": "K"})), "temperature has units 'K'"),
        (lambda: wind_at_2m(3.0, height=0.1), "height is 0.1"),
        (lambda: wind_at_2m(xr.DataArray([3.0], attrs={"units": "km/h"}), height=10), "wind has units 'km/h'"),
        (lambda: extraterrestrial_radiation(100, 120.0), "a latitude lies beyond 90"),
        (lambda: net_radiation(1.0, 2.0, 10.0, 10.0, 1.0, step="hour"), "hours need night_ratio="),
        (lambda: fit_edges(FLAT, FLAT.rename(x="y")), "expected the same axes"),
        (lambda: fit_edges(FLAT, FLAT + 300), "1 classes of albedo have|0 classes of albedo have"),
        (lambda: fit_edges(FLAT * NAN, FLAT), "0 classes of albedo"),
        (lambda: fit_edges(FLAT, FLAT.assign_attrs(units="1")), "temperature has units '1', expected 'K' or 'degC'"),
        (
            lambda: fit_edges(*planted_scene(np.random.default_rng(0))[:2], dry_from=0.34),
            "classes lie on the falling part of the dry edge",
        ),
        (lambda: flux_budget(TABLE, **{**COLUMNS, "net": "NETRAD"}), "no column 'NETRAD'"),
        (lambda: flux_budget(TABLE.assign(Tair=288.0), **COLUMNS), "as if in kelvin"),
        (lambda: flux_budget(with_units(TABLE, UNIT), **COLUMNS), "column 'LE' has units 'MJ m-2'"),
        (lambda: flux_budget(TABLE, **COLUMNS, steps="all"), "steps is 'all'"),
        (lambda: flux_budget(TABLE, **COLUMNS, level=1), "level of confidence is 1"),
        (lambda: flux_budget(TABLE, **COLUMNS, time="date"), "no column 'date'. Nearest: time"),
        (lambda: flux_budget(TABLE.iloc[[0, 1, 1]], **COLUMNS), "steps last 0 to 1800 s"),
        (lambda: flux_budget(TABLE.iloc[[0]], **COLUMNS), "1 steps of time .*expected 2"),
        (lambda: flux_budget(TABLE.assign(Rn=NAN), **COLUMNS), "0 steps have all terms"),
        (lambda: flux_budget(TABLE.assign(LE=9999.0), **COLUMNS), "'LE' holds 9999, expected sizes up to 5000"),
        (lambda: flux_budget(TABLE.assign(time="03/04/2020"), **COLUMNS), "holds '03/04/2020', expected dates"),
        (lambda: fit_edges(MAP, MAP.assign_coords(x=MAP.x + 10) + 300), "pixels apart along 'x'"),
        (lambda: fit_edges(MAP, MAP[:50] + 300), "100 and 50 pixels along 'y'"),
        (lambda: evaporative_fraction(MAP, (MAP + 25).assign_attrs(units="degC"), EDGES), "edges fitted in K"),
        (
            lambda: reference_evapotranspiration(**(METRIC | {"vapour": 15.0})),
            "vapour reaches 15, expected kPa up to 12",
        ),
        (lambda: reference_evapotranspiration(**(METRIC | {"pressure": 1013.0})), "pressure reaches 1013"),
        (lambda: reference_evapotranspiration(**(METRIC | {"radiation": [150.0]})), "radiation reaches 150, .*MJ m-2"),
        (lambda: net_radiation(250.0, 25.0, 10.0, 20.0, 1.0), "solar reaches 250"),
        (lambda: vapour_pressure(20.0, humidity=[0.4, 0.9]), "humidity reaches 0.9, expected per cent"),
        (lambda: solar_radiation(480.0, 100, 45.0), "sunshine reaches 480, expected hours"),
        (lambda: extraterrestrial_radiation(pd.date_range("2020-01-01", periods=2), 45.0), "expected days of the year"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_a_clear_sky_that_is_unknown_is_no_night():
    found = net_radiation([20.0, 0.0], [NAN, 0.0], 10.0, 20.0, 1.2)
    assert np.isnan(found[0])
    assert found[1] < 0


def test_the_polar_night_brings_no_sun():
    assert solar_radiation(0.0, [1, 355], [80.0, 90.0]) == pytest.approx(0)


def test_coordinates_that_only_rounding_sets_apart_are_one_grid():
    warm = (300 + 10 * MAP).assign_coords(x=MAP.x + 1e-9)
    found = evaporative_fraction(MAP, warm, EDGES)
    assert found.shape == MAP.shape
    np.testing.assert_allclose(found, evaporative_fraction(MAP, 300 + 10 * MAP, EDGES))
    assert fit_edges(MAP, 620 - warm) == fit_edges(MAP, 320 - 10 * MAP)


def test_files_of_fluxnet_and_of_era5_are_read_as_they_are(puechabon):
    whole = flux_budget(puechabon, **COLUMNS, quality="LE_qc")
    stamps = puechabon.time.dt.strftime("%Y%m%d%H%M").astype("int64")
    table = puechabon.fillna(-9999).assign(TIMESTAMP_START=stamps).drop(columns="time")
    assert flux_budget(table, **COLUMNS, quality="LE_qc", time="TIMESTAMP_START") == whole
    wind = xr.DataArray([3.0], attrs={"units": "m s**-1"})
    assert float(wind_at_2m(wind, height=10)[0]) == pytest.approx(3 * 0.748, abs=2e-3)


@pytest.mark.parametrize("days", [3, 10])
def test_the_closure_of_a_few_days_has_an_interval_that_holds(days):
    rng = np.random.default_rng(4)
    found = [flux_budget(tower(rng, days), **COLUMNS).closure_interval for _ in range(200)]
    assert np.mean([low <= 0.8 <= high for low, high in found]) >= 0.90
