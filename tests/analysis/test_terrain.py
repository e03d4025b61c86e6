"""Slope, aspect and shade: against planes whose answer is known, xdem, and a plain sum over neighbours."""

import numpy as np
import odc.geo.xr  # noqa: F401 - it registers `.odc`
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earthlab.analysis.terrain import aspect, gradient, hillshade, pixel_on_sphere, slope
from earthlab.errors import BadRequest

NAN = float("nan")


def dem(values, step=10.0, south_up=False, **attrs):
    values = np.asarray(values)
    rows = np.arange(values.shape[-2]) * step * (1 if south_up else -1) + 5_000.0
    coords = {"y": rows, "x": 700.0 + np.arange(values.shape[-1]) * step}
    return xr.DataArray(values, dims=("time", "y", "x")[-values.ndim :], coords=coords, attrs=attrs, name="height")


def plane(east, north, south_up=False):
    empty = dem(np.zeros((6, 7)), south_up=south_up)
    return (empty + east * empty.x + north * empty.y).transpose("y", "x")


@given(st.floats(-2, 2), st.floats(-2, 2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_plane_has_the_slope_and_aspect_it_was_made_with(east, north, south_up):
    ground = plane(east, north, south_up)
    inner = {"y": slice(1, -1), "x": slice(1, -1)}
    steep = float(np.hypot(east, north))
    np.testing.assert_allclose(slope(ground).isel(inner), np.degrees(np.arctan(steep)), atol=1e-6)
    np.testing.assert_allclose(slope(ground, unit="%").isel(inner), 100 * steep, atol=1e-6)
    np.testing.assert_allclose(slope(ground, unit="rad").isel(inner), np.arctan(steep), atol=1e-8)
    if steep > 1e-3:
        expected = np.degrees(np.arctan2(-east, -north))
        turned = (aspect(ground).isel(inner) - expected + 180) % 360 - 180
        np.testing.assert_allclose(turned, 0, atol=1e-4)
    towards = -(north * np.cos(np.radians(315)) + east * np.sin(np.radians(315))) + 1
    expected = np.clip(np.sqrt(0.5) * towards / np.hypot(1, steep), 0, 1)
    np.testing.assert_allclose(hillshade(ground).isel(inner), expected, atol=1e-6)


def test_slopes_are_those_of_xdem():
    from xdem import terrain  # a second to import

    rough = np.random.default_rng(0).normal(0, 8, (30, 40)).cumsum(0).cumsum(1) / 20
    expected = terrain.slope(rough, resolution=10.0, surface_fit="Horn")
    np.testing.assert_allclose(slope(dem(rough)).values, expected, rtol=1e-4, atol=1e-4)
    expected = terrain.aspect(rough, surface_fit="Horn")
    turned = (aspect(dem(rough)).values - expected + 180) % 360 - 180
    np.testing.assert_allclose(turned[1:-1, 1:-1], 0, atol=1e-2)


@given(arrays("float32", (2, 6, 7), elements=st.sampled_from([NAN, 0.0, 3.0, 12.5])))
@settings(max_examples=40, deadline=None)
def test_lazy_models_of_several_dates_give_the_same_and_unknown_ground_spreads_by_one_pixel(values):
    ground = dem(values, units="m", grid_mapping="spatial_ref", standard_name="surface_altitude")
    ground = ground.assign_coords(dem(values[0]).odc.assign_crs("EPSG:32740").coords)
    whole = slope(ground)
    lazy = slope(ground.chunk(time=1, y=4, x=3))
    assert lazy.chunks is not None
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), whole)
    assert whole.dtype == "float32"
    assert whole.attrs == {"long_name": "pente / slope", "units": "degree", "grid_mapping": "spatial_ref"}
    unknown = np.isnan(values)
    holes = np.zeros((2, 8, 9), bool)
    for rows in range(3):
        for columns in range(3):
            holes[:, rows : rows + 6, columns : columns + 7] |= unknown
    np.testing.assert_array_equal(np.isfinite(whole.values[:, 1:-1, 1:-1]), ~holes[:, 2:-2, 2:-2])


def test_a_degree_is_as_long_as_its_latitude_says():
    rows, columns = 45 - np.arange(5) * 0.001, 5 + np.arange(6) * 0.001
    ground = xr.DataArray(
        np.zeros((5, 6)), dims=("latitude", "longitude"), coords={"latitude": rows, "longitude": columns}
    )
    pixel = pixel_on_sphere(ground)
    assert pixel.height == pytest.approx(111.32, abs=0.01)
    assert pixel.mean_width == pytest.approx(78.72, abs=0.02)
    assert pixel.width.shape == (5,)
    rising = ground + ground.longitude
    expected = np.degrees(np.arctan(0.001 / pixel.width[1:-1]))
    found = slope(rising.transpose("latitude", "longitude"), pixel=pixel)[1:-1, 1:-1]
    np.testing.assert_allclose(found, np.repeat(expected[:, None], 4, 1), rtol=1e-6)


def degrees():
    axis = np.arange(4) * 0.1
    return xr.DataArray(np.zeros((4, 4)), dims=("latitude", "longitude"), coords={"latitude": axis, "longitude": axis})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: slope(degrees()), "in degrees, expected metres.*pixel_on_sphere"),
        (lambda: slope(dem(np.zeros((4, 4)), units="ft")), "'ft'"),
        (lambda: slope(dem(np.zeros((2, 4)))), "three pixels or more, found y 2, x 4"),
        (lambda: slope(dem(np.array([["a"] * 4] * 4))), "expected heights as numbers"),
        (lambda: slope(dem(np.zeros((4, 4))).to_dataset()), "Choose a band"),
        (lambda: slope(dem(np.zeros((4, 4))), unit="gon"), "expected 'degree'"),
        (lambda: slope(dem(np.zeros((4, 4))), pixel=0), "metres above 0"),
        (lambda: slope(dem(np.zeros((4, 4))), pixel=(10, np.ones(3))), "3 widths of pixels for 4 rows"),
        (lambda: slope(dem(np.zeros((4, 4))).drop_vars("x")), "coordinate 'x'"),
        (lambda: hillshade(dem(np.zeros((4, 4))), altitude=-5), "0 to 90 degrees"),
        (lambda: pixel_on_sphere(dem(np.zeros((4, 4)))), "no degrees"),
        (lambda: pixel_on_sphere(degrees().drop_vars("latitude")), "coordinate 'latitude'"),
        (lambda: pixel_on_sphere(degrees().isel(latitude=[0, 1, 3])), "not equal"),
    ],
)
def test_what_has_no_slope_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_gradients_say_how_much_the_ground_rises_a_metre():
    north, east = gradient(plane(0.25, -0.5))
    assert float(north[2, 2]) == pytest.approx(-0.5)
    assert float(east[2, 2]) == pytest.approx(0.25)
    assert north.attrs["units"] == "1"


def test_holes_are_unknown_whether_the_model_declares_them_or_not():
    rows, columns = np.mgrid[:7, :8]
    ground = np.round(100 + 3.0 * rows + 2 * columns).astype("int16")
    expected = slope(dem(np.where((rows == 3) & (columns == 4), NAN, ground)))
    for value, attrs in ((-32768, {}), (-9999, {}), (-32767, {}), (0, {"_FillValue": 0}), (7, {"nodata": 7})):
        stored = ground.copy()
        stored[3, 4] = value
        np.testing.assert_allclose(slope(dem(stored, **attrs)), expected, rtol=1e-5)
    for value in (-3.4028235e38, np.inf, -np.inf, 1e20):
        stored = np.where((rows == 3) & (columns == 4), value, ground).astype("float32")
        np.testing.assert_allclose(slope(dem(stored)), expected, rtol=1e-5)


def test_packed_heights_are_those_that_their_scale_says():
    metres = np.arange(30.0).reshape(5, 6) ** 1.5
    packed = dem(np.round(metres * 10).astype("int16"), scale_factor=0.1, add_offset=-100.0, units="m")
    np.testing.assert_allclose(slope(packed), slope(dem(np.round(metres * 10) / 10 - 100)), rtol=1e-4)


@pytest.mark.parametrize("of", [slope, aspect, hillshade])
def test_the_order_of_the_axes_does_not_turn_the_ground(of):
    ground = dem(np.random.default_rng(1).normal(0, 30, (8, 9)))
    found = of(ground.transpose("x", "y"))
    assert found.dims == ("y", "x")
    np.testing.assert_array_equal(found, of(ground))
    named = ground.rename(y="lat", x="lon").assign_coords(lat=45 - np.arange(8) / 3600, lon=5 + np.arange(9) / 3600)
    turned = named.transpose("lon", "lat")
    np.testing.assert_array_equal(of(turned, pixel=pixel_on_sphere(turned)), of(named, pixel=pixel_on_sphere(named)))


@pytest.mark.parametrize(
    ("pixel", "words"),
    [((30,), "one number, or height and width"), ("30", "metres above 0"), ((30.0, -30.0), "metres above 0")],
)
def test_a_pixel_that_is_no_length_is_refused(pixel, words):
    with pytest.raises(BadRequest, match=words):
        slope(dem(np.zeros((4, 4))), pixel=pixel)


def test_a_pixel_may_be_a_number_of_numpy():
    ground = dem(np.random.default_rng(1).normal(0, 30, (8, 9)))
    np.testing.assert_array_equal(slope(ground, pixel=np.int64(10)), slope(ground))


def test_degrees_and_feet_are_no_metres_even_where_no_axis_says_so():
    ground = dem(np.zeros((4, 4)))
    fine = ground.assign_coords(y=45 - np.arange(4) / 3600, x=5 + np.arange(4) / 3600)
    for model, words in (
        (fine, "in degrees"),
        (fine.rename(y="lat", x="lon"), "in degrees"),
        (ground.odc.assign_crs("EPSG:2263"), "US survey foot"),
    ):
        with pytest.raises(BadRequest, match=words):
            slope(model)
