"""The colour of water: formulas worked by hand, the tables of SISPPEO, and its two defects kept as what they are."""

import re

import dask.array as da
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from hypothesis import given
from hypothesis import strategies as st

from earthlab.analysis import water_colour
from earthlab.analysis.water_colour import chlorophyll, has_offset, mndwi, suspended_matter, turbidity, water_mask
from earthlab.errors import BadRequest

NAN = float("nan")


def cube(dtype="float64", **bands) -> xr.Dataset:
    return xr.Dataset({name: ("x", np.asarray(values, dtype)) for name, values in bands.items()})


@pytest.fixture(scope="module")
def tables(shared_data):
    def read(name):
        text = (shared_data / "water_quality_calibrations" / f"{name}.yaml").read_text(encoding="utf-8")
        return yaml.safe_load(text)

    return read


def test_coefficients_are_those_of_the_tables(tables):
    dogliotti = tables("turbi_dogliotti")["Dogliotti_2015"]
    assert (dogliotti["switch_inf"], dogliotti["switch_sup"]) == water_colour.DOGLIOTTI_SWITCH
    low, high = water_colour.DOGLIOTTI_RED, water_colour.DOGLIOTTI_NIR
    assert list(dogliotti["S2"].values()) == [low.a, low.c, high.a, high.c]
    nechad = tables("spm_nechad")
    for year in (2010, 2016):
        found = water_colour.NECHAD[f"nechad{year}"]
        assert nechad[f"Nechad_{year}"]["S2"]["B4"] == {"a": found.a, "c": found.c}
    get = tables("spm_get")["GET_2018"]
    assert (get["S2"]["coef_br"], get["S2"]["exp_br"]) == water_colour.GET_RATIO
    assert (get["switch_inf"], get["switch_sup"]) == water_colour.GET_SWITCH
    assert tuple(tables("chla-oc")["OC3"]["S2"].values()) == water_colour.OC3
    gitelson = tables("chla-gitelson")["Gitelson_2008"]["S2"]
    assert (gitelson["a_3bands"], gitelson["b_3bands"]) == water_colour.GITELSON
    gons = tables("chla-gons")["Gons_2004"]["S2"]
    assert list(gons.values()) == [1.56, 0.4, 0.7, 1.05, 0.015]
    limits = {"dogliotti2015": dogliotti, "get2018": get, "nechad2010": nechad["Nechad_2010"]}
    assert all(water_colour._LIMITS[name] == table["validity_limit"] for name, table in limits.items())


def red_branch(rho):
    return 228.1 * rho / (1 - rho / 0.1641)


def nir_branch(rho):
    return 3078.9 * rho / (1 - rho / 0.2112)


def test_turbidity_by_hand_on_both_branches_and_between():
    found = turbidity(cube(red=[0.021, 0.06, 0.10], nir=[0.01, 0.03, 0.05]))
    mixed = 0.5 * red_branch(0.06) + 0.5 * nir_branch(0.03)
    np.testing.assert_allclose(found, [red_branch(0.021), mixed, nir_branch(0.05)])
    assert float(found[0]) == pytest.approx(5.5, abs=0.05)
    assert (found.attrs["units"], found.name) == ("FNU", "turbidity")


def test_turbidity_of_sisppeo_is_reproducible_but_wrong():
    water = cube(red=[0.03, 0.10], nir=[0.01, 0.05])
    theirs = turbidity(water, nir="red")
    np.testing.assert_allclose(theirs, [red_branch(0.03), nir_branch(0.10)])
    right = turbidity(water)
    np.testing.assert_allclose(right, [red_branch(0.03), nir_branch(0.05)])
    assert float(theirs[1] / right[1]) > 2.5


def test_suspended_matter_by_hand():
    water = cube(red=[0.021, 0.105, 0.15], nir=[0.01, 0.08, 0.12])
    old, new, rivers = (suspended_matter(water, method=name) for name in ("nechad2010", "nechad2016", "get2018"))
    low = 610.94 * 0.105 / (1 - 0.105 / 0.2324)
    high = 691.13 * (0.08 / 0.105) ** 2.5411
    np.testing.assert_allclose(old[0], 342.1 * 0.021 / (1 - 0.021 / 0.19563))
    assert float(new[0]) == pytest.approx(14, abs=0.2)
    np.testing.assert_allclose(rivers[1:], [0.5 * low + 0.5 * high, 691.13 * 0.8**2.5411])
    assert float(rivers[0]) == float(new[0])
    assert np.isnan(old[2])
    assert (new.attrs["units"], new.attrs["method"]) == ("mg l-1", "nechad2016")


def test_with_red_for_infrared_the_ratio_of_get_is_a_constant_as_in_sisppeo():
    water = cube(red=[0.15, 0.2], nir=[0.05, 0.2])
    np.testing.assert_allclose(suspended_matter(water, method="get2018", nir="red"), 691.13)
    assert float(suspended_matter(water, method="get2018")[0]) < 50


def test_chlorophyll_by_hand():
    water = cube(coastal=[0.02], blue=[0.03], green=[0.02], red=[0.02], rededge071=[0.025], rededge075=[0.012])
    water["rededge078"] = ("x", [0.01])
    x = np.log10(1.5)
    oc3 = 10 ** (0.2424 - 2.2146 * x + 1.15193 * x**2 - 0.7702 * x**3 - 0.4291 * x**4)
    np.testing.assert_allclose(chlorophyll(water, method="oc3"), [oc3])
    bb = 1.56 * 0.01 / (0.082 - 0.6 * 0.01)
    np.testing.assert_allclose(chlorophyll(water, method="gons2004"), [(1.25 * (0.7 + bb) - 0.4 - bb**1.05) / 0.015])
    np.testing.assert_allclose(
        chlorophyll(water, method="gitelson2008"), [23.09 + 117.4 * (1 / 0.02 - 1 / 0.025) * 0.012]
    )
    n = 0.005 / 0.045
    np.testing.assert_allclose(chlorophyll(water, method="ndci"), [14.039 + 86.115 * n + 194.325 * n**2])


def test_oc3_with_the_natural_logarithm_as_in_sisppeo_is_another_number():
    water = cube(coastal=[0.02], blue=[0.04], green=[0.02])
    theirs = 10 ** np.polynomial.polynomial.polyval(np.log(2.0), water_colour.OC3)
    assert float(chlorophyll(water, method="oc3")[0]) / theirs > 2


@given(st.floats(0.001, 0.12), st.floats(0.001, 0.12), st.floats(0.001, 0.12))
def test_rho_is_pi_times_rrs(red, edge, nir):
    rho = cube(red=[red], rededge071=[edge], rededge078=[nir], nir=[nir])
    rrs = rho / np.pi
    for find in (turbidity, suspended_matter):
        np.testing.assert_allclose(find(rrs, quantity="rrs"), find(rho), rtol=1e-9)
    for method in ("gons2004", "ndci"):
        first, second = chlorophyll(rrs, method=method, quantity="rrs"), chlorophyll(rho, method=method)
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-6)


@given(st.lists(st.floats(0, 0.16), min_size=2, max_size=12))
def test_turbidity_grows_with_reflectance_where_both_bands_say_the_same(values):
    red = np.sort(np.array(values))
    # The infrared that belongs to the turbidity the red band sees, so that the branches join.
    level = red_branch(np.minimum(red, 0.163))
    nir = level / (3078.9 + level / 0.2112)
    found = turbidity(cube(red=red, nir=nir)).dropna("x")
    assert (np.diff(found) >= -1e-6 * (1 + found[:-1])).all()


def test_negative_missing_and_saturated_reflectance_have_no_value():
    found = turbidity(cube(red=[-0.01, NAN, 0.1, 0.03], nir=[0.01, 0.01, 0.3, NAN]))
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
    assert np.isnan(suspended_matter(cube(red=[0.24]))).all()
    empty = cube(coastal=[NAN], blue=[0.01], green=[0.01])
    assert np.isnan(chlorophyll(empty, method="oc3")).all()


def test_lazy_is_the_same_and_float32_stays():
    rng = np.random.default_rng(0)
    names = ("coastal", "blue", "green", "red", "nir", "swir16", "rededge071", "rededge075", "rededge078")
    data = cube("float32", **{name: rng.uniform(0.001, 0.15, 40) for name in names})
    lazy = data.chunk(x=13)
    calls = [turbidity, mndwi, water_mask, lambda c: suspended_matter(c, method="get2018")]
    calls += [lambda c, m=m: chlorophyll(c, method=m) for m in ("oc3", "gons2004", "gitelson2008", "ndci")]
    for call in calls:
        found = call(lazy)
        assert isinstance(found.data, da.Array)
        np.testing.assert_array_equal(found.compute(), call(data))
        assert found.dtype in ("float32", "bool")


def test_the_scene_of_the_amazon_keeps_its_offset_until_it_is_taken_off(shared_data):
    with rasterio.open(shared_data / "s2_water_amazon" / "sen2_rstoolbox_L2A.tif") as source:
        names = source.descriptions
        pixels = source.read()
    raw = xr.Dataset({name: (("y", "x"), band) for name, band in zip(names, pixels, strict=True)})
    words = {"green": "B3", "swir": "B11"}
    assert has_offset(raw)
    scene = raw - 0.1
    assert not has_offset(scene)
    water = water_mask(scene, **words)
    assert float(water.mean()) == pytest.approx(0.128, abs=0.001)
    river = scene.where(water)
    assert float(river["B4"].median()) == pytest.approx(0.021, abs=0.001)
    assert float(suspended_matter(river, red="B4").median()) == pytest.approx(14, abs=0.5)
    found = float(turbidity(river, red="B4", nir="B8A").median())
    assert found == pytest.approx(5.5, abs=0.2)
    wrong = float(turbidity(raw.where(water), red="B4", nir="B8A").median())
    assert wrong > 50 * found


def test_water_is_where_green_beats_infrared_and_never_where_nothing_is_known():
    found = water_mask(cube(green=[0.1, 0.05, NAN], swir16=[0.02, 0.2, 0.1]))
    assert found.values.tolist() == [True, False, False]
    assert mndwi(cube(green=[0.1], swir16=[0.05])).item() == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: turbidity(c, nir="B8"), "turbidity: the cube has no band 'B8'. Known: nir, red"),
        (lambda c: turbidity(c, quantity="Rrs"), "quantity is 'Rrs', expected 'rho' (no unit) or 'rrs' (sr-1)"),
        (lambda c: turbidity(c.assign(red=c.red.assign_attrs(units="sr-1"))), "band 'red' has units 'sr-1'"),
        (lambda c: turbidity(c.assign(red=c.red.assign_attrs(units="1")), quantity="rrs"), "expected 'sr-1'"),
        (lambda c: suspended_matter(c, method="nechad"), "method is 'nechad', expected 'nechad2010'"),
        (lambda c: chlorophyll(c, method="oc4"), "method is 'oc4', expected one of oc3, gons2004"),
        (lambda c: chlorophyll(c, method="ndci", bands=("red",)), "1 bands for ndci, expected 2: red, rededge071"),
        (mndwi, "mndwi: the cube has no band 'green'"),
        (lambda c: has_offset(c * NAN), "a band has no value at all"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(call, words):
    with pytest.raises(BadRequest, match=re.escape(words)):
        call(cube(red=[0.02], nir=[0.01]))


def test_packed_bands_are_their_reflectance_and_bare_counts_none():
    water = xr.Dataset({"red": ("x", [0.03, 0.06]), "nir": ("x", [0.01, 0.03])})
    counts = (water * 10000).round().astype("uint16")
    packed = counts.assign({name: counts[name].assign_attrs(scale_factor=1e-4) for name in counts})
    np.testing.assert_allclose(turbidity(packed), turbidity(water), rtol=1e-3)
    for call in (turbidity, has_offset):
        with pytest.raises(BadRequest, match=r"holds uint16 values, expected reflectance.*10000"):
            call(counts)
    with pytest.raises(BadRequest, match="median of 450, expected reflectance"):
        suspended_matter(counts.astype("float64"))
    with pytest.raises(BadRequest, match=r"darkest pixel has 100|median of"):
        has_offset(counts.astype("float64"))
    with pytest.raises(BadRequest, match="expected a Dataset"):
        turbidity(water.to_dataarray("band"))
