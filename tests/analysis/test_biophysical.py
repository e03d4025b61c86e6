"""The leaf area index against the 100 published cases and the shipped tables, its flags, albedo and the sun."""

import csv

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.biophysical import (
    ALBEDO_SENTINEL2,
    BANDS,
    INPUT_OUT_OF_DOMAIN,
    LAI_SENTINEL2,
    SET_TO_MAXIMUM,
    SET_TO_MINIMUM,
    TOO_HIGH,
    TOO_LOW,
    Network,
    albedo,
    lai,
    sun_angles,
)
from earthlab.errors import BadRequest

ANGLES = {"view_zenith": 5.0, "sun_zenith": 30.0, "relative_azimuth": 100.0}
FOREST = dict(zip(BANDS, (0.05, 0.03, 0.08, 0.28, 0.35, 0.38, 0.18, 0.08), strict=True))


def table(folder, name) -> np.ndarray:
    with (folder / "s2_biophysical" / "LAI" / f"LAI_{name}").open() as file:
        return np.array([[float(cell) for cell in row] for row in csv.reader(file) if row])


def cube(spectrum=FOREST, shape=(2, 3), dtype="float32", unit="1") -> xr.Dataset:
    return xr.Dataset({k: (("y", "x"), np.full(shape, v, dtype), {"units": unit}) for k, v in spectrum.items()})


@pytest.fixture(scope="module")
def cases(shared_data) -> np.ndarray:
    return table(shared_data, "TestCases")


def as_cube(cases, dtype="float64") -> tuple[xr.Dataset, dict[str, xr.DataArray]]:
    bands = xr.Dataset({name: ("case", cases[:, at].astype(dtype)) for at, name in enumerate(BANDS)})
    degrees = np.degrees(np.arccos(cases[:, 8:11]))
    return bands, {name: xr.DataArray(degrees[:, at], dims="case") for at, name in enumerate(ANGLES)}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 2.5e-4), ("float32", 3e-4)])
def test_the_hundred_cases_of_the_atbd(cases, dtype, tolerance):
    bands, angles = as_cube(cases, dtype)
    found = lai(bands, **angles)
    assert found.lai.dtype == np.dtype(dtype)
    assert len(cases) == 100
    assert float(abs(found.lai - cases[:, 11]).max()) < tolerance
    assert not found.flags.any()


def test_the_tables_are_the_published_ones(shared_data):
    net = LAI_SENTINEL2
    for name, ours in (
        ("Weights_Layer1_Neurons", net.hidden),
        ("Weights_Layer1_Bias", [net.hidden_bias]),
        ("Weights_Layer2_Neurons", [net.output]),
        ("Weights_Layer2_Bias", [[net.output_bias]]),
        ("Normalisation", net.inputs),
        ("Denormalisation", [net.result]),
        ("DefinitionDomain_MinMax", np.transpose(net.domain)),
        ("ExtremeCases", [[-net.tolerance, *net.allowed]]),
    ):
        np.testing.assert_array_equal(table(shared_data, name), ours, err_msg=name)


def test_a_scalar_angle_and_one_for_each_pixel_say_the_same():
    everywhere = {name: xr.DataArray(np.full((2, 3), angle), dims=("y", "x")) for name, angle in ANGLES.items()}
    xr.testing.assert_allclose(lai(cube(), **ANGLES), lai(cube(), **everywhere))
    assert lai(cube(), **ANGLES).lai.dtype == np.dtype("float32")


def test_dask_is_numpy_and_computes_nothing_before():
    lazy = lai(cube(shape=(4, 6)).chunk(x=4), **ANGLES)
    assert lazy.lai.chunks is not None
    xr.testing.assert_allclose(lazy.compute(scheduler="sync"), lai(cube(shape=(4, 6)), **ANGLES), rtol=1e-6)


def test_what_is_missing_stays_missing_without_a_flag():
    bands = cube()
    bands["red"][0, 0] = np.nan
    found = lai(bands, **ANGLES)
    assert np.isnan(found.lai[0, 0])
    assert found.flags[0, 0] == 0
    assert np.isfinite(found.lai).sum() == 5


@given(st.sampled_from(BANDS), st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_band_beyond_what_was_learnt_is_flagged(band, above):
    least, most = LAI_SENTINEL2.domain[BANDS.index(band)]
    value = most + 0.01 if above else least - 0.001
    flags = lai(cube({**FOREST, band: value}), **ANGLES).flags
    assert (flags & INPUT_OUT_OF_DOMAIN).all()


def constant_network(answer: float) -> Network:
    return Network(
        hidden=((0.0,) * 11,),
        hidden_bias=(0.0,),
        output=(0.0,),
        output_bias=answer - 1,
        inputs=((0.0, 1.0),) * 11,
        result=(0.0, 2.0),
        domain=((0.0, 1.0),) * 8,
        allowed=(0.0, 8.0),
        tolerance=0.2,
    )


@pytest.mark.parametrize(
    ("answer", "given_back", "flag"),
    [
        (3.0, 3.0, 0),
        (-0.1, 0.0, SET_TO_MINIMUM),
        (-0.3, -0.3, TOO_LOW),
        (8.1, 8.0, SET_TO_MAXIMUM),
        (8.5, 8.5, TOO_HIGH),
    ],
)
def test_the_extreme_cases(answer, given_back, flag):
    found = lai(cube(), **ANGLES, network=constant_network(answer))
    np.testing.assert_allclose(found.lai, given_back, rtol=1e-5)
    assert (found.flags == flag).all()


def test_units_and_flags_are_told():
    found = lai(cube(), **ANGLES)
    assert found.lai.attrs["standard_name"] == "leaf_area_index"
    assert len(found.flags.attrs["flag_meanings"].split()) == len(found.flags.attrs["flag_masks"]) == 5


def test_the_weights_of_albedo_add_up_to_one_and_a_grey_surface_has_its_own():
    assert sum(ALBEDO_SENTINEL2.values()) == pytest.approx(1)
    found = albedo(cube(dict.fromkeys(ALBEDO_SENTINEL2, 0.3)))
    np.testing.assert_allclose(found, 0.3, rtol=1e-6)
    assert found.attrs["units"] == "1"
    np.testing.assert_allclose(albedo(cube({"a": 0.5}), weights={"a": 0.5}), 0.25)


def test_the_sun_of_the_published_example():
    # Reda and Andreas (2004), NREL/TP-560-34302, table A5.1: 50.11162° with 0.0163° of refraction, 194.34024°
    found = sun_angles(["2003-10-17T19:30:30"], -105.1786, 39.742476).iloc[0]
    assert found["zenith"] == pytest.approx(50.1279, abs=0.01)
    assert found["azimuth"] == pytest.approx(194.3402, abs=0.02)


def test_the_sun_is_south_at_noon_and_highest_at_the_solstice():
    noon = sun_angles(["2018-06-21T12:02", "2018-12-21T11:58"], 0.0, 45.0)
    np.testing.assert_allclose(noon["zenith"], [45 - 23.43, 45 + 23.43], atol=0.05)
    np.testing.assert_allclose(noon["azimuth"], 180, atol=0.6)


def test_the_sun_may_be_asked_for_one_moment_and_in_a_time_zone():
    expected = sun_angles(["2018-06-21T10:30"], 55.5, -21.1)
    local = pd.DatetimeIndex(["2018-06-21T14:30"]).tz_localize("Indian/Reunion")
    for times in ("2018-06-21T10:30", pd.Timestamp("2018-06-21T10:30"), local):
        pd.testing.assert_frame_equal(sun_angles(times, 55.5, -21.1), expected)


def test_the_angles_of_the_sun_go_into_lai_as_they_are():
    times = pd.DatetimeIndex(["2018-06-21T10:30", "2018-12-21T10:30"])
    zenith = sun_angles(times, 2.0, 45.0)["zenith"]
    data = xr.concat([cube(), cube()], "time").assign_coords(time=times)
    found = lai(data, **{**ANGLES, "sun_zenith": zenith}).lai
    for at, angle in enumerate(zenith):
        expected = lai(cube(), **{**ANGLES, "sun_zenith": angle}).lai
        np.testing.assert_allclose(found.isel(time=at), expected, rtol=1e-5)


def test_packed_bands_are_unpacked():
    stored = ((cube() * 1e4) + 1000).astype("uint16")
    for band in stored.values():
        band.attrs.update(scale_factor=1e-4, add_offset=-0.1)
    np.testing.assert_allclose(lai(stored, **ANGLES).lai, lai(cube(), **ANGLES).lai, rtol=1e-3)


def shifted() -> xr.DataArray:
    return xr.DataArray([30.0, 30, 30], dims="x", coords={"x": [10, 30, 50]})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lai(cube().drop_vars("red"), **ANGLES), "no band 'red'"),
        (lambda: lai(cube(unit="percent"), **ANGLES), "band 'green' has units 'percent', expected '1'"),
        (lambda: lai(cube(dtype="int16"), **ANGLES), "holds int16 values"),
        (lambda: lai(cube()["red"], **ANGLES), "expected a Dataset"),
        (lambda: lai(cube(), **ANGLES, bands=("red", "nir08")), "expected 8 bands, found 2"),
        (lambda: lai(cube(), **{**ANGLES, "sun_zenith": 120}), "sun_zenith is 120, expected degrees from 0 to 90"),
        (lambda: lai(cube(), **{**ANGLES, "relative_azimuth": 400}), "relative_azimuth is 400"),
        (
            lambda: lai(cube(), **{**ANGLES, "sun_zenith": xr.DataArray(0.5, attrs={"units": "radian"})}),
            "sun_zenith has units 'radian', expected 'degree'",
        ),
        (
            lambda: lai(cube(), **{**ANGLES, "sun_zenith": np.full((2, 3), 30.0)}),
            "sun_zenith is ndarray, expected a number of degrees or a DataArray",
        ),
        (lambda: lai(cube(), **{**ANGLES, "view_zenith": "5"}), "view_zenith is str"),
        (lambda: lai(cube(), **{**ANGLES, "view_zenith": xr.DataArray([95.0, 5], dims="y")}), "view_zenith is 95"),
        (
            lambda: lai(cube(), **{**ANGLES, "sun_zenith": xr.DataArray([30.0, 31, 32, 33], dims="y")}),
            "has 4 values along 'y' and the cube 2, .*interp_like",
        ),
        (
            lambda: lai(cube().assign_coords(x=[0, 20, 40]), **ANGLES | {"sun_zenith": shifted()}),
            "3 values along 'x' and the cube 3, or at other places",
        ),
        (lambda: lai(cube() * 1e4, **ANGLES), "'green' has values about 500, expected reflectance .* less 1,000"),
        (lambda: albedo(cube() * 1e4, weights={"red": 1.0}), "'red' has values about 300"),
        (lambda: albedo((cube() * 1e4).chunk(x=2), weights={"red": 1.0}).compute(), "'red' has values about 300"),
        (lambda: sun_angles(["hier"], 0, 45), "times hold .* expected dates"),
        (lambda: sun_angles("2018-01-01", "2", 45), "no place in degrees"),
        (lambda: albedo(cube(), weights={}), "at least one band"),
        (lambda: albedo(cube()), "no band 'blue'"),
        (lambda: sun_angles(["2018-01-01"], 0, 100), "no place in degrees"),
        (lambda: Network((), (), (), 0, ((0, 1),), (0, 1), (), (0, 8), 0.2), "3 angles|three angles"),
        (lambda: Network(((0.0,) * 11,), (), (0.0,), 0, ((0, 1),) * 11, (0, 1), ((0, 1),) * 8, (0, 8), 0.2), "biases"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
