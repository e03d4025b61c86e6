"""Forest loss by radar: the real pixel cleared early in 2016, planted clearings, and the change's interval."""

import numpy as np
import pandas as pd
import pytest
import rdata
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from earthlab.analysis.radar_change import (
    change_ratio,
    filter_speckle,
    find_break,
    find_drop,
    grow_shadows,
    reconstruct_patches,
    to_decibel,
    to_power,
)
from earthlab.errors import BadRequest

DATES = pd.date_range("2020-01-01", periods=40, freq="12D")


def series(values, dates=DATES, units="dB") -> xr.DataArray:
    values = np.asarray(values, "float64")
    axes = ("time", "y", "x")[: values.ndim]
    return xr.DataArray(values, dims=axes, coords={"time": dates[: len(values)]}, attrs={"units": units})


def grid(values, *, pixel=10.0, crs=32622) -> xr.DataArray:
    values = np.asarray(values)
    return wrap_xr(values, GeoBox(values.shape, Affine(pixel, 0, 0, 0, -pixel, 0), crs))


@pytest.fixture(scope="module")
def pixel(shared_data):
    with pytest.warns(UserWarning, match="Date"):
        read = rdata.read_rda(shared_data / "deforestation_sar" / "s1vv_lndvi_pixel.rda")
    radar = series(read["s1vv_obs"], pd.to_datetime(read["s1vv_date"]))
    optical = series(read["lndvi_obs"], pd.to_datetime("1970-01-01") + pd.to_timedelta(read["lndvi_date"], "D"), "1")
    return radar, optical


def test_the_real_pixel_breaks_early_in_2016_by_two_methods_and_by_the_other_sensor(pixel):
    radar, optical = pixel
    drop = find_drop(change_ratio(radar), threshold=-3.0)
    assert pd.Timestamp(drop.date.values) == pd.Timestamp("2016-01-05")
    assert float(drop.drop_vars("time", errors="ignore")["drop"]) == pytest.approx(-3.08, abs=0.01)
    turn = find_break(radar)
    assert pd.Timestamp(turn.date.values) == pd.Timestamp("2016-01-05")
    assert float(turn.change) == pytest.approx(-3.14, abs=0.01)
    assert float(turn.confidence) == 1
    seen = find_break(optical)
    assert pd.Timestamp("2015-12-17") < pd.Timestamp(seen.date.values) <= pd.Timestamp("2016-01-18")
    assert seen.change.attrs["units"] == "1"


def test_a_step_by_hand():
    ratio = change_ratio(series([0.0] * 6 + [-5.0] * 6), before=3, after=3)
    assert np.isnan(ratio[[0, 1, 2, 10, 11]]).all()
    assert float(ratio[6]) == pytest.approx(-5)
    powers = np.array([1, 1, 10**-0.5])
    assert float(ratio[5]) == pytest.approx(10 * np.log10(np.mean([1, 10**-0.5, 10**-0.5])))
    assert float(ratio[7]) == pytest.approx(10 * np.log10(10**-0.5 / powers.mean()))
    assert pd.Timestamp(find_drop(ratio, threshold=-4.5).date.values) == DATES[6]
    assert pd.isna(find_drop(ratio, threshold=-5.1).date.values)


def test_decibels_and_powers_are_one_and_the_same():
    decibel = series(np.random.default_rng(0).normal(-8, 1, 20))
    power = to_power(decibel)
    assert power.attrs["units"] == "1"
    np.testing.assert_allclose(to_decibel(power), decibel)
    np.testing.assert_allclose(change_ratio(power), change_ratio(decibel), rtol=1e-5)
    bare = decibel.copy()
    del bare.attrs["units"]
    np.testing.assert_allclose(change_ratio(bare, scale="dB"), change_ratio(decibel))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_ratios_against_a_plain_loop_unsorted_lazy_and_in_float32(seed, before, after):
    rng = np.random.default_rng(seed)
    values = rng.normal(-8, 2, (15, 2, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    cube = series(values)
    least = min(before, after, 2)
    found = change_ratio(cube, before=before, after=after, least=least)
    power = 10 ** (values / 10)
    for at, row, column in np.ndindex(values.shape):
        early, late = power[max(at - before, 0) : at, row, column], power[at : at + after, row, column]
        early, late = early[np.isfinite(early)], late[np.isfinite(late)]
        whole = before <= at <= 15 - after and len(early) >= least and len(late) >= least
        expected = 10 * np.log10(late.mean() / early.mean()) if whole else np.nan
        np.testing.assert_allclose(float(found[at, row, column]), expected, rtol=1e-4, atol=1e-5)
    words = {"before": before, "after": after, "least": least}
    xr.testing.assert_allclose(change_ratio(cube.chunk(time=4, y=1), **words).compute(), found)
    xr.testing.assert_allclose(change_ratio(cube.isel(time=rng.permutation(15)), **words), found)
    np.testing.assert_allclose(change_ratio(cube.astype("float32"), **words), found, rtol=1e-3, atol=1e-4)


def test_drops_and_breaks_are_lazy_where_the_series_are():
    rng = np.random.default_rng(3)
    values = rng.normal(-8, 1, (40, 3, 4))
    values[25:, 1] -= 6
    values[:, 2, 0] = np.nan
    cube = series(values)
    for work in (lambda c: find_drop(change_ratio(c), threshold=-4.0), lambda c: find_break(c, resamples=50)):
        lazy, eager = work(cube.chunk(time=10, y=1)), work(cube)
        assert lazy.date.chunks is not None
        xr.testing.assert_allclose(lazy.compute(), eager)
        assert (eager.date[1] == DATES[25].to_datetime64()).all()
        assert pd.isna(eager.date[2, 0].values)
    xr.testing.assert_equal(
        find_break(cube.isel(time=rng.permutation(40)), resamples=50), find_break(cube, resamples=50)
    )


def planted(rng, number, step, at=24):
    values = rng.normal(-8, 1, (40, number))
    values[at:] += step
    return xr.DataArray(values, dims=("time", "x"), coords={"time": DATES}, attrs={"units": "dB"})


def test_the_change_covers_the_planted_step_in_200_series_without_bias():
    found = find_break(planted(np.random.default_rng(11), 200, -3.5), resamples=40)
    late = (found.date - DATES[24].to_datetime64()) / np.timedelta64(12, "D")
    assert float((late == 0).mean()) > 0.85
    assert float((abs(late) <= 1).mean()) > 0.98
    assert abs(float(late.mean())) < 0.1
    change, error = found.change.values, found.change_error.values
    assert abs(change.mean() + 3.5) < 3.5 * change.std() / np.sqrt(200)
    assert 0.90 <= np.mean(np.abs(change + 3.5) <= 1.96 * error) <= 0.99


def test_a_series_without_change_is_rarely_sure_of_one():
    found = find_break(planted(np.random.default_rng(12), 200, 0.0), resamples=200)
    assert float((found.confidence > 0.95).mean()) == pytest.approx(0.05, abs=0.04)


def test_short_series_have_no_break():
    found = find_break(series([-7.0] * 5 + [-12.0] * 3))
    assert pd.isna(found.date.values)
    assert np.isnan(found.change)
    assert not pd.isna(find_break(series([-7.0] * 5 + [-12.0] * 3), least=8).date.values)
    assert pd.isna(find_break(series([np.nan] * 20)).date.values)


def speckled(rng, truth, looks=4):
    return truth * rng.gamma(looks, 1 / looks, truth.shape)


def test_the_filter_calms_speckle_and_keeps_edges_and_means():
    rng = np.random.default_rng(2)
    truth = np.full((12, 60, 60), 0.1)
    truth[:, :, 30:] = 0.4
    noisy = xr.DataArray(
        speckled(rng, truth), dims=("time", "y", "x"), coords={"time": DATES[:12]}, attrs={"units": "1"}
    )
    calm = filter_speckle(noisy, window=7)
    before = (noisy[0, 10:50, 5:20].mean() / noisy[0, 10:50, 5:20].std()) ** 2
    after = (calm[0, 10:50, 5:20].mean() / calm[0, 10:50, 5:20].std()) ** 2
    assert float(before) == pytest.approx(4, abs=0.6)
    assert float(after) > 20
    np.testing.assert_allclose(calm[:, 10:50, 5:20].mean(), 0.1, rtol=0.03)
    step = calm.mean(("time", "y"))
    assert float(step[31] / step[28]) > 3
    lazy = filter_speckle(noisy.chunk(time=4, y=16, x=20), window=7)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy, calm, rtol=1e-10)


def test_the_filter_of_one_pixel_is_the_mean_scaled_and_holes_stay_holes():
    values = np.array([[[1.0]], [[3.0]], [[np.nan]]])
    found = filter_speckle(series(values, units="1"), window=1)
    np.testing.assert_allclose(found.values[:, 0, 0], [1, 3, np.nan])
    assert filter_speckle(series(values * np.nan, units="1")).isnull().all()


def test_shadows_grow_into_their_neighbours_and_no_farther():
    drop = grid([[-5, -3.2, -3.2, 0, -3.2], [0, 0, -4.6, 0, 0], [-3.5, 0, 0, 0, np.nan]])
    found = grow_shadows(drop, threshold=-4.5, neighbour=-3.0).values
    assert found.tolist() == [[True, True, True, False, False], [False, False, True, False, False], [False] * 5]
    exact = grow_shadows(drop.astype("float64"), threshold=-5.0, neighbour=-5.0).values
    assert exact.sum() == 1


def clearing(shape=(60, 60)):
    truth = np.zeros(shape, bool)
    truth[10:34, 12:40] = True
    ascending, descending = np.zeros(shape, bool), np.zeros(shape, bool)
    ascending[10:34, 12:14] = True
    descending[10:34, 38:40] = True
    return truth, ascending, descending


def test_a_planted_clearing_is_rebuilt_from_the_shadows_of_both_orbits():
    truth, ascending, descending = clearing()
    found = reconstruct_patches([grid(ascending), grid(descending)], reach=300)
    inside = found.values > 0
    assert (inside & truth).sum() / (inside | truth).sum() > 0.95
    apart = reconstruct_patches([grid(ascending), grid(descending)], reach=200)
    assert int(apart.max()) == 2
    alone = reconstruct_patches([grid(ascending)], reach=300)
    assert (alone.values > 0).sum() == ascending.sum()


def test_patches_below_the_least_area_are_left_out():
    small = np.zeros((20, 20), bool)
    small[3:6, 3:6] = True
    small[12:16, 12:16] = True
    found = reconstruct_patches([grid(small)], reach=20)
    assert (found.values > 0).sum() == 16
    assert int(reconstruct_patches([grid(small)], reach=20, smallest=0).max()) == 2
    assert int(reconstruct_patches([grid(np.zeros((4, 4), bool))], reach=20).max()) == 0


def test_what_cannot_be_judged_is_refused():
    steps, cube = series([-7.0] * 12), series(np.zeros((12, 2, 2)))
    flat = grid(np.zeros((4, 4), bool))
    cases = [
        (lambda: change_ratio(steps.assign_attrs(units="K")), "'K'"),
        (lambda: change_ratio(steps, scale="power"), "'dB' and scale is 'power'"),
        (lambda: change_ratio(steps[:9]), "found 9 dates, expected 10"),
        (lambda: change_ratio(steps, before=0), "before 0"),
        (lambda: change_ratio(steps, least=6), "least 6"),
        (lambda: change_ratio(xr.DataArray([1.0], dims="time", attrs={"units": "dB"})), "dates along"),
        (lambda: find_drop(steps, threshold=4.5), "below 0"),
        (lambda: find_drop(steps.assign_attrs(units="1"), threshold=-4.5), "'dB'"),
        (lambda: find_break(steps, resamples=3), "20 or more"),
        (lambda: filter_speckle(steps), "time, y and x"),
        (lambda: filter_speckle(cube, window=4), "odd"),
        (lambda: grow_shadows(cube, threshold=-4, neighbour=-3), "y and x"),
        (lambda: grow_shadows(grid(np.zeros((4, 4))), threshold=-3, neighbour=-4), "threshold ≤"),
        (lambda: reconstruct_patches([], reach=30), "no shadows"),
        (lambda: reconstruct_patches([flat], reach=0), "reach 0"),
        (lambda: reconstruct_patches([flat, grid(np.zeros((5, 4), bool))], reach=30), "4 and 5"),
        (lambda: reconstruct_patches([grid(np.zeros((4, 4), bool), pixel=0.1, crs=4326)], reach=30), "degrees"),
    ]
    for call, words in cases:
        with pytest.raises(BadRequest, match=words):
            call()


@pytest.mark.parametrize("units", ["db", "decibels", "DB"])
def test_decibels_may_be_spelled_in_other_ways(units):
    assert float(to_power(series([-10.0], units=units))[0]) == pytest.approx(0.1)


@pytest.mark.parametrize("units", ["linear", "m2/m2", "Linear power"])
def test_powers_may_be_spelled_in_other_ways(units):
    assert float(to_power(series([0.1], units=units))[0]) == 0.1


def test_what_is_no_echo_is_no_observation():
    stored = series([-10, -9999, -32768, np.inf, -np.inf, -12]).assign_attrs(_FillValue=-32768)
    np.testing.assert_allclose(to_power(stored), [0.1, np.nan, np.nan, np.nan, np.nan, 10**-1.2])
    np.testing.assert_array_equal(to_power(series([0.1, 0, -1], units="1")), [0.1, np.nan, np.nan])
    packed = series([-1000, -1200]).astype("int16").assign_attrs(scale_factor=0.01, units="dB")
    np.testing.assert_allclose(to_power(packed), [0.1, 10**-1.2], rtol=1e-5)
    steps = series(np.r_[np.full(20, -8.0), np.full(20, -12.0)])
    holed = steps.where(steps.time != steps.time[3], -9999).assign_attrs(steps.attrs, _FillValue=-9999)
    assert float(find_break(holed).change) == pytest.approx(-4)


def test_shadows_with_holes_and_one_orbit_alone_make_patches():
    shadow = grid(np.zeros((20, 20), bool))
    shadow[5:10, 5:10] = True
    expected = reconstruct_patches([shadow], reach=20.0)
    assert int((expected > 0).sum()) == 25
    holed = shadow.astype("float32").where(shadow)
    np.testing.assert_array_equal(reconstruct_patches(holed, reach=20.0), expected)
    np.testing.assert_array_equal(reconstruct_patches(shadow.transpose("x", "y"), reach=20.0), expected)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: change_ratio(series(np.zeros(20)).rename(time="date")), "found axes date"),
        (lambda: change_ratio(series(np.zeros(20)).assign_coords(time=np.arange(20))), "found int64.*to_datetime"),
        (lambda: find_break(series(np.zeros(20)).to_series()), "found Series"),
        (lambda: to_power(series(np.zeros(20)).to_dataset(name="VV")), "Choose a polarisation"),
        (lambda: grow_shadows(xr.Dataset(), threshold=-4, neighbour=-3), "found Dataset"),
    ],
)
def test_what_is_no_series_is_refused_in_a_sentence(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
