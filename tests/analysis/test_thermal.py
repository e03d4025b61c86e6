"""Temperatures of a real Landsat 5 scene, formulas by hand, and the coverage of the heat island's interval."""

import math

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
from scipy.ndimage import gaussian_filter
from shapely import box

from earthlab.analysis.thermal import (
    SENSORS,
    EmissivitySettings,
    ThermalConstants,
    brightness_temperature,
    emissivity,
    heat_island,
    sun_distance,
    sun_reflectance,
    surface_temperature,
)
from earthlab.errors import BadRequest

TM5 = SENSORS["landsat-5-tm"]


def grid(values, *, pixel=30.0, crs=32622) -> xr.DataArray:
    values = np.asarray(values)
    return wrap_xr(values, GeoBox(values.shape, Affine(pixel, 0, 0, 0, -pixel, 0), crs))


def thermal_band(shared_data) -> xr.DataArray:
    with rasterio.open(shared_data / "landsat5_thermal" / "landsat" / "LT52240631988227CUB02_B6.TIF") as source:
        counts = source.read(1).astype("float64")
    gain = (15.303 - 1.238) / (255 - 1)  # the metadata's least and most radiance: its own gain, 0.055, is rounded
    return grid(gain * (counts - 1) + 1.238).assign_attrs(units="W m-2 sr-1 um-1")


def test_brightness_temperatures_of_the_real_scene(shared_data):
    found = brightness_temperature(thermal_band(shared_data), "landsat-5-tm")
    np.testing.assert_allclose(np.percentile(found, [1, 50, 99]), [295.5, 296.4, 299.4], atol=0.05)
    assert found.attrs["units"] == "K"
    assert found.odc.crs == 32622


def test_the_rounded_gain_of_the_metadata_costs_four_tenths_of_a_kelvin(shared_data):
    exact = thermal_band(shared_data)
    rounded = 0.055 * ((exact - 1.238) / 0.0553740 + 1) + 1.18243
    colder = brightness_temperature(rounded, TM5) - brightness_temperature(exact, TM5)
    assert float(colder.median()) == pytest.approx(-0.4, abs=0.02)


def test_brightness_temperature_inverts_the_law_of_planck():
    kelvin = np.array([250.0, 273.15, 300.0, 330.0])
    radiance = xr.DataArray(TM5.k1 / (np.exp(TM5.k2 / kelvin) - 1), dims="x")
    np.testing.assert_allclose(brightness_temperature(radiance, TM5), kelvin)
    lazy = brightness_temperature(radiance.chunk(x=2), TM5)
    assert lazy.chunks is not None
    np.testing.assert_allclose(lazy, kelvin)
    np.testing.assert_allclose(brightness_temperature(radiance.astype("float32"), TM5), kelvin, rtol=1e-5)


def test_no_radiance_is_no_temperature():
    found = brightness_temperature(xr.DataArray([0.0, -1.0, np.nan, 9.0], dims="x"), TM5)
    assert np.isnan(found.values).tolist() == [True, True, True, False]


def test_emissivity_is_the_printed_line_between_the_thresholds():
    index = xr.DataArray([-0.3, 0.1, 0.2, 0.35, 0.499999, 0.7, np.nan], dims="x")
    share = ((index.values[2:5] - 0.2) / 0.3) ** 2
    expected = [0.991, 0.97, *(0.986 + 0.004 * share), 0.99, np.nan]
    np.testing.assert_allclose(emissivity(index), expected, atol=5e-4)


def test_emissivity_with_constants_of_ones_own():
    own = EmissivitySettings(soil=0.966, vegetation=0.99, shape=0.0)
    found = emissivity(xr.DataArray([0.2, 0.35], dims="x"), own)
    np.testing.assert_allclose(found, [0.966, 0.25 * 0.99 + 0.75 * 0.966])


@settings(max_examples=60, deadline=None)
@given(st.floats(-1, 1), st.floats(0.9, 0.99))
def test_emissivity_stays_between_its_ends(index, soil):
    found = float(emissivity(xr.DataArray([index], dims="x"), EmissivitySettings(soil=soil))[0])
    assert min(soil, 0.99) - 1e-12 <= found <= 1


def test_a_black_surface_has_the_temperature_it_shines_with_and_a_grey_one_is_warmer():
    kelvin = grid(np.full((3, 3), 300.0))
    np.testing.assert_allclose(surface_temperature(kelvin, 1.0, wavelength=11.45e-6), 300)
    grey = surface_temperature(kelvin, grid(np.full((3, 3), 0.97)), wavelength=11.45e-6)
    by_hand = 300 / (1 + 11.45e-6 * 300 / 1.438777e-2 * math.log(0.97))
    np.testing.assert_allclose(grey, by_hand)
    assert 2 < float(grey.mean()) - 300 < 2.5


def test_reflectance_and_the_distance_of_the_sun():
    assert sun_distance(4) == pytest.approx(0.98328)
    assert sun_distance(186) == pytest.approx(1.01672, abs=1e-4)
    radiance = xr.DataArray([100.0], dims="x")
    found = sun_reflectance(radiance, irradiance=1536.0, sun_elevation=30.0, distance=1.0)
    assert float(found[0]) == pytest.approx(math.pi * 100 / (1536 * 0.5))


def zones(shape=(120, 120)):
    inside = np.zeros(shape, bool)
    inside[20:60, 20:90] = True
    outside = np.zeros(shape, bool)
    outside[70:] = True
    return grid(inside), grid(outside)


def test_a_planted_heat_island_is_found():
    inside, outside = zones()
    warm = grid(np.where(inside, 301.5, 300.0) + np.random.default_rng(1).normal(0, 0.3, inside.shape))
    found = heat_island(warm, inside, outside, block=300)
    assert found.low < 1.5 < found.high
    assert found.difference == pytest.approx(1.5, abs=0.02)
    assert found.pixels == (2800, 6000)
    assert found.blocks[0] >= 24


def correlated(rng, shape, length):
    field = gaussian_filter(rng.standard_normal(shape), length, mode="wrap")
    return field / field.std()


def test_the_interval_covers_the_planted_difference_in_200_correlated_scenes():
    rng = np.random.default_rng(7)
    inside, outside = zones()
    found = []
    for _ in range(200):
        noise = correlated(rng, (120, 120), 1.0)
        found.append(heat_island(grid(300 + 2 * inside.values + noise), inside, outside, block=360))
    gaps = np.array([one.difference for one in found])
    covered = np.mean([one.low <= 2 <= one.high for one in found])
    assert abs(gaps.mean() - 2) < 4 * gaps.std() / np.sqrt(200)
    assert 0.90 <= covered <= 0.99
    naive = np.mean([abs(one.difference - 2) <= 1.96 * math.sqrt(1 / 2800 + 1 / 6000) for one in found])
    assert naive < 0.75


def test_missing_pixels_count_nowhere():
    inside, outside = zones()
    values = np.where(inside, 302.0, 300.0)
    values[:30] = np.nan
    found = heat_island(grid(values), inside, outside, block=300)
    assert found.difference == 2
    assert found.pixels[0] == 2100


def test_what_has_no_temperature_is_refused():
    radiance, index = xr.DataArray([9.0], dims="x"), xr.DataArray([0.3], dims="x")
    kelvin = grid(np.full((4, 4), 300.0))
    cases = [
        (lambda: brightness_temperature(radiance.assign_attrs(units="K"), TM5), "found|'K'"),
        (lambda: brightness_temperature(radiance, "landsat-5"), "landsat-5-tm"),
        (lambda: brightness_temperature(radiance, ThermalConstants(0, 1)), "above 0"),
        (lambda: emissivity(index.assign_attrs(units="%")), "'%'"),
        (lambda: emissivity(index, EmissivitySettings(soil=1.2)), "expected emissivities"),
        (lambda: emissivity(index, EmissivitySettings(bare_ndvi=0.6)), "bare_ndvi"),
        (lambda: surface_temperature(kelvin, 1.2, wavelength=11e-6), "1.2"),
        (lambda: surface_temperature(kelvin, 0.9, wavelength=11.45), "metres between"),
        (lambda: surface_temperature(kelvin.assign_attrs(units="degC"), 0.9, wavelength=11e-6), "degC"),
        (lambda: surface_temperature(kelvin, grid(np.ones((5, 4))), wavelength=11e-6), "4 and 5 pixels"),
        (lambda: sun_reflectance(radiance, irradiance=1, sun_elevation=-3, distance=1), "sun above"),
        (lambda: sun_reflectance(radiance.assign_attrs(units="1"), irradiance=1, sun_elevation=3, distance=1), "'1'"),
        (lambda: sun_distance(0), "day of the year"),
    ]
    for call, words in cases:
        with pytest.raises(BadRequest, match=words):
            call()


def test_zones_that_cannot_be_compared_are_refused():
    inside, outside = zones()
    kelvin = grid(np.full((120, 120), 300.0))
    cases = [
        ((kelvin, inside, inside), {"block": 300}, "overlap"),
        ((kelvin, inside, outside), {"block": 30}, "two pixels"),
        ((kelvin, inside, outside), {"block": 3000}, "five or more"),
        ((kelvin, inside & False, outside), {"block": 300}, "0 and"),
        ((kelvin, inside, outside), {"block": 300, "level": 95}, "level"),
        ((kelvin.assign_attrs(units="1"), inside, outside), {"block": 300}, "'1'"),
        ((kelvin, inside[:100], outside), {"block": 300}, "120 and 100"),
        ((grid(kelvin.values, pixel=0.001, crs=4326), inside, outside), {"block": 300}, "."),
    ]
    for given_zones, more, words in cases:
        with pytest.raises(BadRequest, match=words):
            heat_island(*given_zones, **more)


PLACES = {"y": 6e6 - 30.0 * np.arange(100), "x": 4e5 + 30.0 * np.arange(120)}


def zone_map(values):
    return xr.DataArray(np.broadcast_to(values, (100, 120)).copy(), dims=("y", "x"), coords=PLACES)


@pytest.mark.parametrize(("sensor", "radiance"), [("landsat-7-etm", 9.4), ("landsat-8-b10", 9.5),
                                                  ("landsat-9-b10", 9.5),
                                                  ("landsat-8-b11", 8.8), ("landsat-4-tm", 8.9)])  # fmt: skip
def test_the_constants_of_each_sensor_give_what_some_300_kelvin_shine(sensor, radiance):
    assert float(brightness_temperature(zone_map(radiance), sensor).mean()) == pytest.approx(300, abs=4)


@pytest.mark.parametrize("unit", ["W/(m^2 sr um)", "W m⁻² sr⁻¹ µm⁻¹", "W/m2/sr/um"])
def test_radiance_is_known_by_any_spelling_and_temperatures_keep_none_of_its_attributes(unit):
    radiance = zone_map(9.0).assign_attrs(units=unit, scale_factor=0.1, standard_name="toa_radiance")
    found = brightness_temperature(radiance, "landsat-5-tm")
    assert set(found.attrs) == {"units", "long_name", "grid_mapping"}


def test_an_emissivity_that_only_rounding_sets_apart_is_on_the_grid():
    ground = zone_map(0.98)
    warm = surface_temperature(zone_map(300.0), ground.assign_coords(x=ground.x + 1e-7), wavelength=1.1e-5)
    assert warm.shape == (100, 120)


def test_zones_may_be_masks_with_holes_or_polygons():
    rng = np.random.default_rng(1)
    warm = zone_map(300 + rng.normal(size=(100, 120))) + 2 * (zone_map(0) + np.arange(120) < 40)
    town, fields = zone_map(np.arange(120) < 40), zone_map(np.arange(120) >= 60)
    expected = heat_island(warm, town, fields, block=300)
    holed = [zone.where(zone) for zone in (town, fields)]
    assert heat_island(warm.expand_dims(time=1), *holed, block=300) == expected
    x, y = PLACES["x"], PLACES["y"]
    shapes = [
        gpd.GeoSeries([box(x[first] - 15, y[-1] - 15, x[last] + 15, y[0] + 15)]) for first, last in ((0, 39), (60, 119))
    ]
    assert heat_island(warm, *shapes, block=300) == expected


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: brightness_temperature(zone_map(25000.0), "landsat-8-b10"), "above 25000, expected W m-2 sr-1 um-1"),
        (lambda: brightness_temperature(np.ones((2, 2)), "landsat-8-b10"), "radiance is ndarray"),
        (lambda: emissivity(zone_map(7000)), "index reaches 7000, expected NDVI"),
        (lambda: surface_temperature(zone_map(25.0), 0.98, wavelength=1.1e-5), "below 25, expected kelvin"),
        (
            lambda: heat_island(zone_map(300.0).expand_dims(time=2), zone_map(1), zone_map(0), block=300),
            "Choose a date",
        ),
    ],
)
def test_counts_and_degrees_celsius_are_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
