"""Snow on an invented mountain whose snowline is known, thresholds one by one, and seasons by hand."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from earthlab.analysis.snow import (
    CLOUD,
    NO_DATA,
    NO_SNOW,
    SNOW,
    SnowSettings,
    detect_snow,
    ndsi,
    snow_fraction,
    snow_fraction_on_ground,
    snow_season,
)
from earthlab.errors import BadRequest
from earthlab.samples.simulated import SNOW_LIMITS, render_mountain
from earthlab.samples.simulated.mountain import (
    HIGH,
    MOUNTAIN_CODE,
    MOUNTAIN_SCALE,
    MOUNTAIN_TRANSFORM,
    SUSPECTED,
    THICK,
)
from earthlab.samples.simulated.mountain import SHADOW as SHADED

MASKS = {"cloud": "cloud", "shadow": "shadow", "high_cloud": "high"}


def grid(values, *, pixel=20.0, crs=32632) -> xr.DataArray:
    values = np.asarray(values)
    return wrap_xr(values, GeoBox(values.shape, Affine(pixel, 0, 0, 0, -pixel, 0), crs))


def mountain(day) -> tuple[xr.Dataset, xr.DataArray, np.ndarray]:
    scene = render_mountain(day)
    box = GeoBox(scene.elevation.shape, Affine(*MOUNTAIN_TRANSFORM), MOUNTAIN_CODE)
    names = {"B03": "green", "B04": "red", "B11": "swir16"}
    layers = {names[band]: values * np.float32(MOUNTAIN_SCALE) for band, values in scene.counts.items()}
    layers["cloud"] = np.isin(scene.mask, (SUSPECTED, THICK))
    layers["shadow"], layers["high"] = scene.mask == SHADED, scene.mask == HIGH
    cube = xr.Dataset({name: wrap_xr(np.asarray(values), box) for name, values in layers.items()})
    return cube, wrap_xr(scene.elevation, box), scene.snow


def expected_line(elevation: xr.DataArray, limit: float) -> float:
    lowest = float(elevation.min())
    return lowest + max(int((limit - lowest) // 100) - 2, 0) * 100


@pytest.mark.parametrize("day", list(SNOW_LIMITS))
def test_the_known_snowline_of_every_scene_is_found(day):
    cube, elevation, truth = mountain(day)
    found = detect_snow(cube, elevation, **MASKS)
    assert float(found.snowline) == expected_line(elevation, SNOW_LIMITS[day])
    codes = found.snow.values
    judged = np.isin(codes, (SNOW, NO_SNOW))
    assert (codes[judged] == SNOW)[truth[judged]].mean() == 1
    # The rim of a thick cloud, averaged with dark ground, is looked at again: above the snowline some of it is taken.
    assert (codes[judged] == NO_SNOW)[~truth[judged]].mean() > 0.998
    assert judged.mean() > 0.85


def test_clouds_that_are_none_are_looked_at_again_but_neither_shadows_nor_cirrus():
    cube, elevation, truth = mountain(list(SNOW_LIMITS)[2])
    mask = render_mountain(list(SNOW_LIMITS)[2]).mask
    codes = detect_snow(cube, elevation, **MASKS).snow.values
    suspected = mask == SUSPECTED
    assert (codes[suspected & truth] == SNOW).mean() > 0.4
    for kind in (THICK, SHADED, HIGH):
        assert (codes[mask == kind] == CLOUD).all()
    strict = detect_snow(cube, elevation, **MASKS, settings=SnowSettings(dark_cloud=0.0)).snow.values
    assert (strict[suspected] == CLOUD).all()


def test_without_a_second_pass_the_snow_under_trees_is_missed():
    cube, elevation, _truth = mountain(list(SNOW_LIMITS)[2])
    forest = render_mountain(list(SNOW_LIMITS)[2]).tree_cover > 0
    both = detect_snow(cube, elevation, **MASKS).snow.values
    once = detect_snow(cube, elevation, **MASKS, settings=SnowSettings(snow_in_scene=0.99))
    clear = forest & (render_mountain(list(SNOW_LIMITS)[2]).mask == 0)
    assert (both[clear] == SNOW).any()
    assert not (once.snow.values[clear] == SNOW).any()
    assert np.isnan(once.snowline)


def flat(green, red, swir, **masks) -> tuple[xr.Dataset, xr.DataArray]:
    names = {"green": green, "red": red, "swir16": swir, **masks}
    cube = xr.Dataset({name: grid(np.full((24, 24), value)) for name, value in names.items()})
    return cube, grid(np.linspace(1000, 1400, 24)[:, None] * np.ones(24))


@pytest.mark.parametrize(
    ("green", "red", "swir", "expected"),
    [
        (0.7, 0.65, 0.1, SNOW),
        (0.7, 0.19, 0.1, NO_SNOW),  # too dark in the red for the first pass, and no snowline without one
        (0.5, 0.45, 0.22, NO_SNOW),  # NDSI 0.39
        (0.5, 0.45, 0.21, SNOW),  # NDSI 0.408
        (np.nan, 0.5, 0.1, NO_DATA),
    ],
)
def test_the_thresholds_of_the_first_pass(green, red, swir, expected):
    assert (detect_snow(*flat(green, red, swir)).snow.values == expected).all()


@pytest.mark.parametrize(("red", "expected"), [(0.09, NO_SNOW), (0.12, CLOUD), (0.29, CLOUD), (0.31, CLOUD)])
def test_a_cloud_without_snow_is_a_cloud_again_where_it_is_bright(red, expected):
    cube, elevation = flat(0.1, red, 0.2, cloud=1)
    assert (detect_snow(cube, elevation, cloud="cloud").snow.values == expected).all()


def test_the_snowline_is_two_bands_below_the_lowest_snowy_band_by_hand():
    heights = np.repeat(np.arange(1000, 2000, 50), 10)[:, None] * np.ones(20)
    snowy = heights >= 1650
    cube = xr.Dataset({
        "green": grid(np.where(snowy, 0.7, 0.1)), "red": grid(np.where(snowy, 0.6, 0.1)),
        "swir16": grid(np.where(snowy, 0.1, 0.3)),
    })  # fmt: skip
    assert float(detect_snow(cube, grid(heights)).snowline) == 1400
    low = detect_snow(cube, grid(heights), settings=SnowSettings(snow_in_band=0.6))
    assert float(low.snowline) == 1500
    broad = detect_snow(cube, grid(heights), settings=SnowSettings(band=400.0))
    assert float(broad.snowline) == 1000


def test_dates_lazy_and_eager_in_any_order_agree():
    parts = [mountain(day) for day in SNOW_LIMITS]
    times = pd.DatetimeIndex(SNOW_LIMITS, name="time")
    cube, elevation = xr.concat([part[0] for part in parts], times), parts[0][1]
    eager = detect_snow(cube, elevation, **MASKS)
    assert eager.snow.dims == ("time", "y", "x")
    assert eager.snow.dtype == np.uint8
    lazy = detect_snow(cube.chunk(time=1, y=100), elevation, **MASKS)
    assert lazy.snow.chunks == ((1,) * 6, (240,), (240,))
    xr.testing.assert_equal(lazy.compute(), eager)
    turned = detect_snow(cube.isel(time=slice(None, None, -1)), elevation, **MASKS)
    xr.testing.assert_equal(turned.sortby("time"), eager)
    double = detect_snow(cube.astype("float64"), elevation.astype("float32"), **MASKS)
    np.testing.assert_array_equal(double.snow, eager.snow)
    assert eager.snow.odc.crs == 32632


def test_a_scene_without_any_observation_has_no_data_and_no_snowline():
    found = detect_snow(*flat(np.nan, np.nan, np.nan))
    assert (found.snow.values == NO_DATA).all()
    assert np.isnan(found.snowline)


def test_what_cannot_be_judged_is_refused():
    cube, elevation = flat(0.7, 0.6, 0.1)
    cases = [
        (cube.drop_vars("red"), elevation, {}, "no band 'red'"),
        (cube, elevation, {"cloud": "clouds"}, "cloud='clouds'"),
        (cube.assign(red=cube.red.assign_attrs(units="%")), elevation, {}, "'%'"),
        (cube, elevation.assign_attrs(units="ft"), {}, "'ft'"),
        (cube, elevation[:20], {}, "24 and 20 pixels"),
        (cube * 10_000, elevation, {}, "expected 0 to 1"),
        (cube.drop_vars(["x", "y"]), elevation.drop_vars(["x", "y"]), {}, "coordinate 'y'"),
    ]
    for given_cube, given_elevation, more, words in cases:
        with pytest.raises(BadRequest, match=words):
            detect_snow(given_cube, given_elevation, **more)


def test_ndsi_is_undefined_where_nothing_comes_back():
    cube, _ = flat(0.6, 0.5, 0.2)
    assert float(ndsi(cube).mean()) == pytest.approx(0.5)
    assert ndsi(cube * 0).isnull().all()


def test_fractions_of_the_published_curve():
    index = xr.DataArray([0.15, 0.4, 0.6, 0.8], dims="x")
    np.testing.assert_allclose(snow_fraction(index), [0.115, 0.327, 0.584, 0.802], atol=5e-4)


def test_fractions_follow_the_codes():
    index = xr.DataArray([0.6, 0.6, 0.6, 0.6], dims="x")
    codes = xr.DataArray([SNOW, NO_SNOW, CLOUD, NO_DATA], dims="x")
    np.testing.assert_allclose(snow_fraction(index, codes), [0.584, 0, np.nan, np.nan], atol=5e-4)


def test_fractions_on_the_ground():
    seen = xr.DataArray([0.2, 0.2, 0.2, 0.2], dims="x")
    trees = xr.DataArray([0, 50, 90, 100], dims="x", attrs={"units": "%"})
    np.testing.assert_allclose(snow_fraction_on_ground(seen, trees), [0.2, 0.4, 1, np.nan])
    np.testing.assert_allclose(
        snow_fraction_on_ground(seen, trees.assign_attrs(units="1") / 100), [0.2, 0.4, 1, np.nan]
    )
    with pytest.raises(BadRequest, match="'m2'"):
        snow_fraction_on_ground(seen, trees.assign_attrs(units="m2"))
    with pytest.raises(BadRequest, match="'K'"):
        snow_fraction(seen.assign_attrs(units="K"))


def season(codes, days, **words) -> xr.Dataset:
    times = pd.Timestamp("2023-09-01") + pd.to_timedelta(days, "D")
    return snow_season(xr.DataArray(np.asarray(codes), dims="time", coords={"time": times}), **words)


def test_a_season_by_hand():
    found = season([0, 100, 100, 0, 205, 100, 0], [0, 10, 40, 50, 55, 60, 64], end="2023-11-09")
    # 0→1 over days 0-10: snow from day 5; 1→0 over 40-50: last snowy day 45; 0→1 over 50-60: from 55; 1→0: until 62
    assert float(found.sod) == 5
    assert float(found.smod) == 45
    assert float(found.scd) == 41 + 8
    assert float(found.nsp) == 2
    assert float(found.nobs) == 6
    assert found.sod.attrs["units"] == "days since 2023-09-01"


@pytest.mark.parametrize(
    ("codes", "days", "expected"),
    [
        ([100], [3], (11, 0, 10, 1, 1)),
        ([0], [3], (0, np.nan, np.nan, 0, 1)),
        ([205], [3], (np.nan, np.nan, np.nan, np.nan, 0)),
        ([254, 100, 205], [0, 5, 9], (11, 0, 10, 1, 1)),
    ],
)
def test_a_season_of_few_observations(codes, days, expected):
    found = season(codes, days, start="2023-09-01", end="2023-09-11")
    np.testing.assert_array_equal([float(found[name]) for name in ("scd", "sod", "smod", "nsp", "nobs")], expected)


CODES = arrays("uint8", (6, 2, 3), elements=st.sampled_from([NO_SNOW, SNOW, CLOUD, NO_DATA]))


@settings(max_examples=60, deadline=None)
@given(CODES, st.lists(st.integers(0, 60), min_size=6, max_size=6, unique=True))
def test_seasons_against_numpy_interpolation_unsorted_and_lazy(codes, days):
    times = pd.Timestamp("2023-09-01") + pd.to_timedelta(days, "D")
    snow = xr.DataArray(codes, dims=("time", "y", "x"), coords={"time": times})
    found = snow_season(snow, start="2023-09-01", end="2023-10-31")
    clear = (codes == SNOW) | (codes == NO_SNOW)
    order = np.argsort(days)
    for row, column in np.ndindex(2, 3):
        kept = [at for at in order if clear[at, row, column]]
        assert float(found.nobs[row, column]) == len(kept)
        if not kept:
            assert np.isnan(float(found.scd[row, column]))
            continue
        share = np.interp(np.arange(61), np.array(days)[kept], (codes[kept, row, column] == SNOW).astype(float))
        daily = np.round(share, 9) >= 0.5
        spells = np.split(np.arange(61), np.flatnonzero(np.diff(daily)) + 1)
        longest = max((spell for spell in spells if daily[spell[0]]), key=len, default=[np.nan])
        got = [float(found[name][row, column]) for name in ("scd", "nsp", "sod", "smod")]
        expected = [daily.sum(), sum(bool(daily[spell[0]]) for spell in spells), longest[0], longest[-1]]
        np.testing.assert_allclose(got, expected)
    lazy = snow_season(snow.chunk(time=2, y=1), start="2023-09-01", end="2023-10-31")
    assert lazy.scd.chunks is not None
    xr.testing.assert_equal(lazy.compute(), found)


def test_seasons_that_cannot_be_are_refused():
    with pytest.raises(BadRequest, match="before the start"):
        season([100], [0], start="2024-01-01", end="2023-01-01")
    with pytest.raises(BadRequest, match="no observation lies"):
        season([100], [0], start="2024-01-01", end="2024-02-01")
    with pytest.raises(BadRequest, match="dates along"):
        snow_season(xr.DataArray([100], dims="time"))


HERE = {"y": 4.9e6 - 20.0 * np.arange(30), "x": 3e5 + 20.0 * np.arange(40)}


def on_map(values, **attrs):
    return xr.DataArray(np.broadcast_to(np.asarray(values), (30, 40)).copy(), dims=("y", "x"), coords=HERE, attrs=attrs)


SLOPE = on_map(np.linspace(1000, 2500, 30)[:, None])
ABOVE = SLOPE > 1800
SCENE = xr.Dataset({
    "green": xr.where(ABOVE, 0.7, 0.08), "red": xr.where(ABOVE, 0.7, 0.07), "swir16": xr.where(ABOVE, 0.1, 0.2),
}).transpose("y", "x")  # fmt: skip


def test_the_codes_lie_where_the_scene_does():
    found = detect_snow(SCENE, SLOPE)
    xr.testing.assert_equal(found.snow.x, SCENE.x)
    xr.testing.assert_equal(found.snow.y, SCENE.y)
    np.testing.assert_array_equal(found.snow == 100, ABOVE)


def test_relief_as_files_have_it_will_do():
    line = float(detect_snow(SCENE, SLOPE).snowline)
    stored = SLOPE.expand_dims(band=[1]).astype("int16").assign_attrs(_FillValue=-9999).assign_coords(x=SLOPE.x + 1e-6)
    assert float(detect_snow(SCENE, stored).snowline) == line
    holes = stored.where(stored > 1200, -9999).astype("int16")
    found = detect_snow(SCENE, holes)
    assert (found.snow.where(SLOPE <= 1200) == 254).sum() == (SLOPE <= 1200).sum()
    with pytest.raises(BadRequest, match="elevation goes down to -9999 m"):
        detect_snow(SCENE, SLOPE.where(SLOPE > 1200, -9999.0))
    with pytest.raises(BadRequest, match="expected a Dataset"):
        detect_snow(SCENE.to_dataarray("band"), SLOPE)


def test_counts_without_a_sign_have_the_index_of_their_reflectance():
    counts = (SCENE * 10000).round().astype("uint16")
    np.testing.assert_allclose(ndsi(counts), ndsi(SCENE), atol=1e-4)
    packed = counts.assign({name: counts[name].assign_attrs(scale_factor=1e-4) for name in counts})
    np.testing.assert_array_equal(detect_snow(packed, SLOPE).snow, detect_snow(SCENE, SLOPE).snow)


def test_tree_cover_in_percent_has_to_say_so():
    share = on_map(0.25)
    for unit in ("%", "percent"):
        assert float(snow_fraction_on_ground(share, on_map(50.0, units=unit)).mean()) == pytest.approx(0.5)
    with pytest.raises(BadRequest, match="tree cover reaches 50, expected 0 to 1"):
        snow_fraction_on_ground(share, on_map(50))


def test_a_season_of_true_and_false_is_one_of_codes():
    dates = pd.date_range("2023-12-01", periods=5, freq="15D")
    codes = xr.DataArray(np.array([0, 100, 100, 0, 0], "uint8")[:, None, None], dims=("time", "y", "x"),
                         coords={"time": dates})  # fmt: skip
    expected = snow_season(codes)
    xr.testing.assert_equal(snow_season(codes == 100), expected)
    xr.testing.assert_equal(snow_season(codes.assign_coords(time=dates.strftime("%Y-%m-%d"))), expected)
    for wrong in ((codes == 100).astype("uint8"), codes * 0.8):
        with pytest.raises(BadRequest, match="expected the codes 0, 100, 205 and 254"):
            snow_season(wrong)
    with pytest.raises(BadRequest, match="'winter' is no date"):
        snow_season(codes, start="winter")
