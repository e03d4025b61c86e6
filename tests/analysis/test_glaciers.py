"""Velocities of Kaskawulsh Glacier as GLAFT judges them, planted flow, and balances whose error is planted."""

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from scipy.ndimage import fourier_shift, gaussian_filter
from shapely.geometry import box

from earthlab.analysis.glaciers import StaticError, geodetic_balance, speed, static_error, track_features
from earthlab.analysis.grids import polygon_mask
from earthlab.errors import BadRequest

FOLDER = "glacier_velocity/kaskawulsh"


def grid(values, *, pixel=60.0, crs=32607) -> xr.DataArray:
    values = np.asarray(values)
    return wrap_xr(values, GeoBox(values.shape, Affine(pixel, 0, 0, 0, -pixel, 0), crs))


@pytest.fixture(scope="module")
def kaskawulsh(shared_data):
    def velocity(axis):
        with rasterio.open(shared_data / FOLDER / f"20180304-20180405_velo-raw_v{axis}.tif") as source:
            values = source.read(1)
            grid_box = GeoBox(source.shape, source.transform, source.crs)
        return wrap_xr(np.where(values == -9999, np.nan, values), grid_box).assign_attrs(units="m d-1")

    vx, vy = velocity("x"), velocity("y")
    return vx, vy, polygon_mask(gpd.read_file(shared_data / FOLDER / "bedrock_V2.shp"), vx)


def test_the_published_uncertainty_of_kaskawulsh(kaskawulsh):
    found = static_error(*kaskawulsh)
    assert found.error_x == pytest.approx(0.1501, abs=5e-5)
    assert found.error_y == pytest.approx(0.1598, abs=5e-5)
    assert found.bias_x == pytest.approx(-0.01949, abs=5e-6)
    assert found.bias_y == pytest.approx(-0.02445, abs=5e-6)
    assert found.wrong == pytest.approx(0.071, abs=5e-4)
    assert found.number == 46_677
    assert found.units == "m d-1"


def static_scene(rng, number=40, bias=(0.05, -0.1), spread=(0.1, 0.2), wrong=0.0):
    shape = (number, number)
    vx, vy = (rng.normal(b, s, shape) for b, s in zip(bias, spread, strict=True))
    strayed = rng.random(shape) < wrong
    vx[strayed], vy[strayed] = rng.uniform(-3, 3, (2, int(strayed.sum())))
    return grid(vx), grid(vy), grid(np.ones(shape, bool))


def test_planted_errors_are_found_without_bias_in_200_scenes():
    found = [static_error(*static_scene(np.random.default_rng(seed), 30), mesh=30) for seed in range(200)]
    for name, true in (("error_x", 0.2), ("error_y", 0.4)):
        values = np.array([getattr(one, name) for one in found])
        # The kernel widens a normal law a little: that is the method's, and it vanishes with more velocities.
        assert values.mean() == pytest.approx(true, rel=0.15)
        assert values.std() < 0.12 * true
    for name, true, wide in (("bias_x", 0.05, 0.1), ("bias_y", -0.1, 0.2)):
        values = np.array([getattr(one, name) for one in found])
        assert values.mean() == pytest.approx(true, abs=4 * wide / np.sqrt(200))
        assert np.mean(np.abs(values - true) < wide) > 0.95


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 10), st.integers(0, 1000))
def test_the_uncertainty_moves_and_grows_with_the_velocities(shift, factor, seed):
    vx, vy, still = static_scene(np.random.default_rng(seed), 20)
    plain = static_error(vx, vy, still, mesh=20)
    moved = static_error(factor * vx + shift, factor * vy, still, mesh=20)
    assert moved.error_x == pytest.approx(factor * plain.error_x, rel=1e-6)
    assert moved.error_y == pytest.approx(factor * plain.error_y, rel=1e-6)
    assert moved.bias_x == pytest.approx(factor * plain.bias_x + shift, abs=1e-6)
    assert moved.wrong == pytest.approx(plain.wrong, abs=1e-9)
    swapped = static_error(vy, vx, still, mesh=20)
    assert (swapped.error_x, swapped.error_y) == pytest.approx((plain.error_y, plain.error_x))


def test_wrong_matches_do_not_move_the_uncertainty_and_are_counted():
    calm = static_error(*static_scene(np.random.default_rng(3), 60))
    strayed = static_error(*static_scene(np.random.default_rng(3), 60, wrong=0.1))
    assert strayed.wrong > calm.wrong
    assert strayed.error_x < 2 * calm.error_x


def test_missing_and_float32_velocities(kaskawulsh):
    vx, vy, still = static_scene(np.random.default_rng(4), 40)
    whole = static_error(vx, vy, still)
    half = static_error(vx.astype("float32"), vy.astype("float32"), still)
    assert half.error_x == pytest.approx(whole.error_x, rel=1e-4)
    vx[:20] = np.nan
    assert static_error(vx, vy, still).number == 800
    assert static_error(vx.chunk(y=10), vy.chunk(y=10), still).number == 800
    assert static_error(vx.transpose("x", "y"), vy, still) == static_error(vx, vy, still)


def test_speed_takes_the_bias_off_and_carries_the_error():
    error = StaticError(0.2, 0.4, 0.5, -0.5, 0.0, 100, 2.0, "m d-1")
    found = speed(grid([[3.5, 0.5], [np.nan, 0.5]]), grid([[3.5, 0.5], [1.0, -0.5]]), error)
    np.testing.assert_allclose(found.speed, [[5, 1], [np.nan, 0]])
    np.testing.assert_allclose(found.speed_error[0, 0], np.hypot(3 / 5 * 0.1, 4 / 5 * 0.2))
    np.testing.assert_allclose(found.speed_error[0, 1], 0.2)
    np.testing.assert_allclose(found.speed_error[1], [np.nan, 0.2])
    assert found.speed.attrs["units"] == "m d-1"
    assert "speed_error" not in speed(grid([[1.0, 1]] * 2), grid([[1.0, 1]] * 2))


def test_the_error_of_speed_covers_200_planted_flows():
    rng = np.random.default_rng(8)
    true = np.array([1.2, -0.7])
    vx, vy = (grid(np.full((10, 20), v) + rng.normal(0, s, (10, 20))) for v, s in zip(true, (0.1, 0.2), strict=True))
    found = speed(vx, vy, StaticError(0.2, 0.4, 0, 0, 0, 200, 2.0, "m d-1"))
    size = np.hypot(*true)
    assert float(found.speed.mean()) == pytest.approx(size, abs=0.04)
    assert 0.90 <= float((abs(found.speed - size) <= 1.96 * found.speed_error).mean()) <= 0.99


def dome(shape=(40, 40)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - 20, columns - 20) < 12


def test_a_balance_by_hand():
    ice = dome()
    change = grid(np.where(ice, -10.0, 0.0), pixel=30)
    found = geodetic_balance(change, grid(ice, pixel=30), years=10, correlation=1.0, sigma=2.0)
    area = ice.sum() * 900
    assert found.volume == pytest.approx(-10 * area)
    assert found.volume_error == pytest.approx(2 / np.sqrt(ice.sum()) * area, rel=1e-6)
    assert found.rate == pytest.approx(-0.85)
    assert found.rate_error == pytest.approx(np.hypot(0.06, 0.85 * found.volume_error / found.volume), rel=1e-6)
    assert found.mass == pytest.approx(-10 * area * 850 / 1e12)
    assert found.covered == 1
    assert found.effective == pytest.approx(ice.sum())


def test_voids_take_the_mean_and_are_told():
    ice = dome()
    values = np.where(ice, -4.0, 0.0)
    values[:20] = np.nan
    found = geodetic_balance(grid(values), grid(ice), years=5, correlation=200.0, sigma=1.0)
    whole = geodetic_balance(grid(np.where(ice, -4.0, 0)), grid(ice), years=5, correlation=200.0, sigma=1.0)
    assert found.volume == pytest.approx(whole.volume)
    assert 0.4 < found.covered < 0.6
    assert found.volume_error > whole.volume_error


def test_the_balance_covers_the_truth_in_200_scenes_with_correlated_errors():
    rng = np.random.default_rng(6)
    ice = dome((64, 64))
    still = ~ice
    covered, found = 0, []
    for _ in range(200):
        noise = gaussian_filter(rng.standard_normal((64, 64)), 2, mode="wrap")
        noise *= 1.5 / noise.std()
        one = geodetic_balance(
            grid(np.where(ice, -5.0, 0) + noise), grid(ice), years=5, static=grid(still), density_error=0.0,
            correlation=_gaussian(2 * 60.0),
        )  # fmt: skip
        found.append(one)
        covered += abs(one.volume - -5 * one.area) <= 1.96 * one.volume_error
    values = np.array([one.volume / one.area for one in found])
    assert abs(values.mean() + 5) < 4 * values.std() / np.sqrt(200)
    assert 0.90 <= covered / 200 <= 0.99


def _gaussian(blur):
    from earthlab.analysis.robust import Correlation

    # White noise blurred with σ has the correlation exp(-d²/4σ²): 5 % of it is left at 2σ√3.
    return Correlation((2 * np.sqrt(3) * blur,), model="gaussian")


def texture(rng, shape=(200, 220)):
    field = gaussian_filter(rng.standard_normal(shape), 1.2, mode="wrap")
    return field / field.std()


@pytest.mark.parametrize(("down", "across"), [(0.0, 0.0), (0.3, -0.7), (2.4, 3.6), (-6.2, 5.5)])
def test_a_planted_flow_is_tracked_within_a_tenth_of_a_pixel(down, across):
    rng = np.random.default_rng(9)
    first = texture(rng)
    second = np.fft.ifft2(fourier_shift(np.fft.fft2(first), (down, across))).real
    noisy = [grid(image + 0.2 * rng.standard_normal(image.shape), pixel=10) for image in (first, second)]
    found = track_features(*noisy, days=5)
    assert float(found.vx.median()) == pytest.approx(across * 10 / 5, abs=0.1)
    assert float(found.vy.median()) == pytest.approx(-down * 10 / 5, abs=0.1)
    right = np.hypot(found.vx - across * 2, found.vy + down * 2) < 0.6
    seen = found.vx.notnull()
    assert float(right.sum() / seen.sum()) > 0.95
    assert float(seen.mean()) > 0.7
    assert found.odc.crs == 32607
    assert float(found.y[0]) == pytest.approx(float(noisy[0].y[0]) - 155)
    assert float(found.match.median()) > 0.6


def test_windows_without_contrast_or_with_holes_give_nothing():
    rng = np.random.default_rng(1)
    image = texture(rng, (64, 64))
    blank = image.copy()
    blank[:32, :32] = 3.0
    blank[40, 40] = np.nan
    found = track_features(grid(blank), grid(image), days=1, step=32)
    assert np.isnan(found.vx.values).tolist() == [[True, False], [False, True]]


def test_polygons_are_brought_to_the_grid():
    like = grid(np.zeros((10, 10)), pixel=100)
    here = gpd.GeoSeries([box(100, -400, 300, -100)], crs=32607)
    inside = polygon_mask(here, like)
    assert int(inside.sum()) == 6
    np.testing.assert_array_equal(polygon_mask(here.to_crs(4326), like), inside)
    assert not polygon_mask(here[:0], like).any()
    with pytest.raises(BadRequest, match="no coordinate"):
        polygon_mask(here, like.drop_vars("y"))


def test_what_cannot_be_judged_is_refused():
    vx, vy, still = static_scene(np.random.default_rng(0), 20)
    change, ice = grid(np.zeros((8, 8))), grid(np.ones((8, 8), bool))
    image = grid(np.random.default_rng(0).random((40, 40)))
    balance = {"years": 5, "correlation": 100.0, "sigma": 1.0}
    cases = [
        (lambda: static_error(vx, vy[:10], still), "20 and 10"),
        (lambda: static_error(vx.assign_attrs(units="m"), vy, still), "'m'"),
        (lambda: static_error(vx.assign_attrs(units="m a-1"), vy, still), "Convert one"),
        (lambda: static_error(vx, vy, still & False), "found 0 velocities"),
        (lambda: static_error(vx * 0, vy, still), "the same"),
        (lambda: static_error(vx, vy, still, sigmas=0), "sigmas 0"),
        (lambda: speed(vx, vy, StaticError(1, 1, 0, 0, 0, 9, 2.0, "m a-1")), "'m a-1'"),
        (lambda: geodetic_balance(change, ice, **balance | {"years": 0}), "years 0"),
        (lambda: geodetic_balance(change, ice, **balance | {"sigma": None}), "static="),
        (lambda: geodetic_balance(change, ice, **balance | {"sigma": None}, static=ice & False), "static ground"),
        (lambda: geodetic_balance(change, ice, **balance | {"sigma": -1}), "sigma is -1"),
        (lambda: geodetic_balance(change * np.nan, ice, **balance), "no elevation change"),
        (lambda: geodetic_balance(change.assign_attrs(units="ft"), ice, **balance), "'ft'"),
        (lambda: geodetic_balance(change, ice[:4], **balance), "8 and 4"),
        (lambda: geodetic_balance(grid(change.values, pixel=0.1, crs=4326), ice, **balance), "."),
        (lambda: track_features(image, image, days=0), "days 0"),
        (lambda: track_features(image, image, days=1, window=64), "64 or more"),
        (lambda: track_features(image, image[:30], days=1), "40 and 30"),
    ]
    for call, words in cases:
        with pytest.raises(BadRequest, match=words):
            call()


def test_masks_with_holes_and_polygons_hold_what_they_show():
    vx, vy, _ = static_scene(np.random.default_rng(3))
    still = grid(np.arange(1600).reshape(40, 40) < 800)
    expected = static_error(vx, vy, still)
    assert expected.number == 800
    holed = still.astype("float32").where(still)  # NaN is no rock
    assert static_error(vx, vy, holed) == expected
    rock = gpd.GeoDataFrame(geometry=[box(-1, -20 * 60, 9_999, 1)], crs=32607)
    assert static_error(vx, vy, rock) == expected
    change = grid(np.where(still, 0.0, -10.0))
    ice = (~still).astype("float32").where(~still)
    for outline in (~still, ice, (~still).transpose("x", "y")):
        found = geodetic_balance(change, outline, years=5, correlation=300.0, static=holed)
        assert found.volume == pytest.approx(-10 * 800 * 3600)


def test_no_data_of_maps_that_do_not_say_so_is_no_velocity():
    vx, vy, still = static_scene(np.random.default_rng(4))
    gone = (slice(0, 20), slice(None))
    for mark in (-9999.0, -32767.0, -32768.0):
        marked = [velocity.copy() for velocity in (vx, vy)]
        for velocity in marked:
            velocity[gone] = mark
        found = static_error(*marked, still)
        assert found.number == 800
        assert found.error_x == pytest.approx(0.2, rel=0.3)
        assert int(speed(*marked).speed.isnull().sum()) == 800
    stored = [(velocity * 1000).round().astype("int16").assign_attrs(scale_factor=0.001) for velocity in (vx, vy)]
    assert static_error(*stored, still).error_x == pytest.approx(static_error(vx, vy, still).error_x, abs=0.02)
    image = grid(texture(np.random.default_rng(1), (64, 64)))
    holed = image.copy()
    holed[:, :20] = -9999
    assert np.isnan(track_features(holed, holed, days=1).vx.values[:, 0]).all()


@pytest.mark.parametrize(
    ("one", "other", "unit"),
    [("m/y", "m yr-1", "m yr-1"), ("meter/year", "m a-1", "m yr-1"), ("m/d", "m day-1", "m d-1")],
)
def test_spellings_of_one_unit_are_one_unit(one, other, unit):
    vx, vy, still = static_scene(np.random.default_rng(3))
    assert static_error(vx.assign_attrs(units=one), vy.assign_attrs(units=other), still).units == unit


def test_velocities_whose_grids_differ_by_rounding_are_joined():
    vx, vy, still = static_scene(np.random.default_rng(3))
    nudged = vy.assign_coords(x=vy.x + 1e-7)
    assert speed(vx, nudged).speed.shape == vx.shape
    change = grid(np.zeros((40, 40)))
    static = still.assign_coords(y=still.y + 1e-7)
    assert geodetic_balance(change, still, years=5, correlation=300.0, static=static).volume == 0
