"""Oxygen: the toolbox's own values, units that are never guessed, flags, planted layers, and a real float."""

import gsw
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from earthlab.analysis.oxygen import (
    accept,
    apparent_utilisation,
    convert,
    low_oxygen_layer,
    potential_density,
    saturation,
    solubility,
)
from earthlab.cube import tables
from earthlab.errors import BadRequest

NAN = float("nan")
PLACE = {"longitude": 140.0, "latitude": 20.0}


def test_solubility_is_the_published_check_value():
    # Garcia and Gordon (1992): 274.61 µmol/kg at 10 °C and salinity 35, with the coefficients of Benson and Krause.
    assert float(solubility(35.0, 10.0, 0.0, **PLACE)) == pytest.approx(274.61, abs=0.02)


def test_tables_arrays_and_numbers_agree_and_carry_units():
    frame = pd.DataFrame({"o": [200.0, NAN], "s": [35.0, 35.0], "t": [20.0, 20.0], "p": [5.0, 5.0]})
    column = saturation(frame.o, frame.s, frame.t, frame.p, **PLACE)
    cube = xr.DataArray(np.full((2, 2), 200, "float32"), dims=("y", "x"), attrs={"units": "µmol/kg"})
    bare = cube.drop_attrs()
    lazy = saturation(cube.chunk(x=1), xr.full_like(bare, 35).chunk(x=1), xr.full_like(bare, 20), 5.0, **PLACE)
    number = saturation(200.0, 35.0, 20.0, 5.0, **PLACE)
    assert column.tolist()[0] == pytest.approx(number)
    assert np.isnan(column[1])
    np.testing.assert_allclose(lazy.compute(scheduler="sync"), number, rtol=1e-6)
    assert lazy.attrs["units"] == column.attrs["units"] == "%"
    used = apparent_utilisation(200.0, 35.0, 20.0, 5.0, **PLACE)
    assert 200 + used == pytest.approx(solubility(35.0, 20.0, 5.0, **PLACE))


@pytest.fixture(scope="module")
def float_2902746(shared_data) -> pd.DataFrame:
    return tables.table(shared_data / "argo_bgc" / "2902746_Sprof.nc")


def test_the_surface_of_a_real_float_is_at_98_9_percent(float_2902746):
    table = float_2902746.dropna(subset=["DOXY"])
    place = {"longitude": table.LONGITUDE, "latitude": table.LATITUDE}
    raw = saturation(table.DOXY, table.PSAL, table.TEMP, table.PRES, **place)
    assert raw.iloc[0] == pytest.approx(98.9, abs=0.05)
    mended = saturation(table.DOXY_ADJUSTED, table.PSAL, table.TEMP, table.PRES, **place)
    assert mended[table.PRES < 10].median() == pytest.approx(99.9, abs=0.05)


def test_values_flagged_bad_do_not_pass(float_2902746, shared_data):
    assert accept(float_2902746.DOXY, float_2902746.DOXY_QC).notna().sum() == 0
    assert accept(float_2902746.DOXY_ADJUSTED, float_2902746.DOXY_ADJUSTED_QC).notna().sum() == 9219
    core = tables.table(shared_data / "argo_bgc" / "6900388_prof.nc")
    assert core.TEMP.max() > 55
    assert accept(core.TEMP, core.TEMP_QC).max() < 20
    assert accept(core.PRES, core.PRES_QC).max() < 2100


def test_flags_are_read_as_words_bytes_and_numbers():
    values = pd.Series(np.arange(6.0))
    for flags in (
        ["1", "2", "3", "4", "5", "8"],
        [b"1", b"2", b"3", b"4", b"5", b"8"],
        [1, 2, 3, 4, 5, 8],
        [1.0, 2, 3, 4, 5, 8],
    ):
        assert accept(values, pd.Series(flags)).dropna().tolist() == [0, 1, 4, 5]
    assert accept(values, pd.Series([None, NAN, "", "1 ", 9, 2])).dropna().tolist() == [3, 5]
    assert accept(xr.DataArray([1.0, 2.0]), xr.DataArray([2, 6]), good=(2,)).values.tolist() == [
        1,
        pytest.approx(NAN, nan_ok=True),
    ]
    with pytest.raises(BadRequest, match="one a value"):
        accept(values, pd.Series([1]))


@settings(max_examples=50, deadline=None)
@given(st.floats(1, 500), st.floats(1.0, 1.05), st.sampled_from(["umol l-1", "ml l-1", "mg l-1", "umol kg-1"]))
def test_units_go_there_and_back(value, density, unit):
    there = convert(value, "umol kg-1", unit, density=density)
    assert convert(there, unit, "umol kg-1", density=density) == pytest.approx(value)


def test_units_by_hand():
    assert convert(1.0, "ml l-1", "umol l-1") == pytest.approx(44.6596)
    assert convert(1.0, "ml l-1", "mg l-1") == pytest.approx(1.42905, abs=1e-4)
    assert convert(5.0, "ml l-1", "umol kg-1", density=1.025) == pytest.approx(217.85, abs=0.01)


def test_the_density_is_that_of_the_toolbox_and_carries_units():
    column = potential_density(pd.Series([35.0]), pd.Series([10.0]), 1000.0, **PLACE)
    assert column[0] == pytest.approx(1.0270, abs=2e-4)
    assert column.attrs["units"] == "kg l-1"
    assert convert(5.0, "ml l-1", "umol kg-1", density=column)[0] == pytest.approx(5 * 44.6596 / column[0])


def profile(depths, oxygen, cycle=1, error=0.0) -> pd.DataFrame:
    pressure = gsw.p_from_z(-np.asarray(depths, "float64"), 20.0)
    return pd.DataFrame({"cycle": cycle, "PRES": pressure, "DOXY_ADJUSTED": oxygen, "LATITUDE": 20.0, "err": error})


def test_a_planted_layer_is_found_to_the_metre_whatever_the_order():
    depths = np.arange(0, 1501, 10.0)
    oxygen = np.interp(depths, [0, 100, 300, 500, 900, 1500], [200, 200, 40, 40, 80, 150])
    table = pd.concat([profile(depths, oxygen), profile(depths, oxygen + 200, cycle=2)]).sample(frac=1, random_state=0)
    found = low_oxygen_layer(table, profile=["cycle"])
    assert found.loc[1, "top"] == pytest.approx(275, abs=0.01)
    assert found.loc[1, "bottom"] == pytest.approx(700, abs=0.01)
    assert found.loc[1, "thickness"] == pytest.approx(425, abs=0.01)
    assert found.loc[1, "minimum"] == pytest.approx(40)
    assert found.loc[2, "thickness"] == 0
    assert np.isnan(found.loc[2, "top"])
    assert found.attrs["units"]["thickness"] == "m"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 120), min_size=2, max_size=12))
def test_thickness_is_that_of_a_fine_interpolation(oxygen):
    depths = np.arange(len(oxygen)) * 100.0
    found = low_oxygen_layer(profile(depths, oxygen), profile=["cycle"])["thickness"].iloc[0]
    fine = np.linspace(0, depths[-1], 20001)
    wanted = (np.interp(fine, depths, oxygen) < 60).mean() * depths[-1]
    assert found == pytest.approx(wanted, abs=depths[-1] / 2000)


def test_two_layers_and_an_open_end_and_the_error_of_the_sensor():
    depths = np.array([0.0, 100, 200, 300, 400, 500])
    table = profile(depths, [100, 20, 100, 100, 20, 20], error=10.0)
    row = low_oxygen_layer(table, profile=["cycle"], uncertainty="err").iloc[0]
    assert row["thickness"] == pytest.approx(50 + 50 + 50 + 100, abs=0.01)
    assert row["goes_on"]
    assert row["thickness_low"] < row["thickness"] < row["thickness_high"]
    unknown = low_oxygen_layer(table.assign(err=[NAN, *[10.0] * 5]), profile=["cycle"], uncertainty="err").iloc[0]
    assert np.isnan(unknown["thickness_low"])
    assert unknown["thickness"] == row["thickness"]


def test_short_and_empty_profiles_are_missing():
    table = pd.concat([profile([5.0], [100.0]), profile([5.0, 10.0], [NAN, NAN], cycle=2)])
    found = low_oxygen_layer(table, profile=["cycle"])
    assert found["thickness"].isna().all()
    assert found["levels"].tolist() == [1, 0]


def test_the_interval_of_a_sensor_error_holds_the_planted_thickness():
    random = np.random.default_rng(5)
    depths = np.arange(0, 1501, 10.0)
    truth = np.interp(depths, [0, 100, 300, 500, 900, 1500], [200, 200, 40, 40, 80, 150])
    shifts = random.normal(0, 5, 200)
    table = pd.concat([profile(depths, truth + shift, cycle, 5.0) for cycle, shift in enumerate(shifts)])
    found = low_oxygen_layer(table, profile=["cycle"], uncertainty="err")
    held = (found["thickness_low"] <= 425) & (found["thickness_high"] >= 425)
    assert 0.60 <= held.mean() <= 0.76  # one standard error on each side: 68 %
    assert abs(found["thickness"].mean() - 425) < 4 * found["thickness"].std() / 200**0.5 + 2


LITRES = pd.Series([5.0], name="O")
LITRES.attrs["units"] = {"O": "ml/l"}
KELVIN = xr.DataArray([280.0], attrs={"units": "K"})
TABLE = profile([0.0, 10.0], [50.0, 40.0])
REFUSED = [
    (lambda: saturation(LITRES, 35.0, 10.0, **PLACE), "expected 'umol kg-1'"),
    (lambda: apparent_utilisation(LITRES, 35.0, 10.0, **PLACE), "expected 'umol kg-1'"),
    (lambda: solubility(35.0, KELVIN, **PLACE), "expected 'degC'"),
    (lambda: convert(5.0, "ml l-1", "umol kg-1"), "Give density="),
    (lambda: convert(5.0, "ml l-1", "umol kg-1", density=1025.0), "Divide kg/m³ by 1000"),
    (lambda: convert(5.0, "ppm", "umol kg-1"), "no unit of oxygen"),
    (lambda: convert(LITRES, "mg l-1", "ml l-1"), "expected 'mg l-1'"),
    (lambda: low_oxygen_layer(TABLE, profile=["float"]), "no column 'float'"),
    (lambda: low_oxygen_layer(TABLE, profile=["cycle"], threshold=0), "above 0"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_what_would_be_guessing_is_refused(call, words):
    with pytest.raises(BadRequest, match=words):
        call()


def test_units_are_understood_in_the_spellings_of_their_files():
    for word in ("mL/L", "ml.l-1", "mL L-1"):
        assert convert(5.0, word, "µmol/L") == pytest.approx(5 * 44.6596)
    for word in ("µmol/kg", "micromole/kg", "umol kg**-1"):
        assert convert(100.0, word, "mmol m-3", density=1.025) == pytest.approx(102.5)


def test_what_a_masked_array_hides_is_not_known():
    hidden = np.ma.masked_array([5.0, 99999.0], [False, True])
    np.testing.assert_allclose(convert(hidden, "ml l-1", "mg l-1"), [7.14527, np.nan], rtol=1e-5)
    np.testing.assert_array_equal(accept(hidden, np.ma.masked_array([1, 1], [False, True])), [5.0, np.nan])
    assert np.isnan(solubility(np.ma.masked_array([99999.0], [True]), 10.0, **PLACE)).all()


def test_columns_of_other_rows_are_never_mixed():
    values, turned = pd.Series([200.0, 300.0]), pd.Series([35.0, 36.0])[::-1]
    with pytest.raises(BadRequest, match="columns of other rows"):
        saturation(values, turned, pd.Series([10.0, 20.0]), **PLACE)
    with pytest.raises(BadRequest, match="columns of other rows"):
        accept(values, pd.Series(["1", "4"])[::-1])
    with pytest.raises(BadRequest, match="found 2 of salinity, 3 of temperature"):
        solubility(turned, np.array([1.0, 2.0, 3.0]), **PLACE)
    with pytest.raises(BadRequest, match="columns of a table beside arrays"):
        solubility(xr.DataArray([35.0, 36.0], dims="x"), pd.Series([1.0, 2.0]), **PLACE)


def test_flags_go_to_their_values_whatever_the_order_of_their_axes():
    values = xr.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("profile", "level"))
    flags = xr.DataArray([["1", "4"], ["1", "4"]], dims=("profile", "level"))
    expected = [[1.0, NAN], [3.0, NAN]]
    for each in (flags, flags.transpose("level", "profile"), flags.chunk(level=1)):
        np.testing.assert_array_equal(accept(values, each), expected)


def test_flags_of_plain_arrays_of_numbers_with_a_point_and_one_good_one_are_understood():
    np.testing.assert_array_equal(accept([1.0, 2.0, 3.0], ["1.0", "4.0", "nan"]), [1.0, NAN, NAN])
    np.testing.assert_array_equal(
        accept(pd.Series([1.0, 2.0]), pd.Series([2, None], dtype="Int64"), good=2), [1.0, NAN]
    )


def test_kelvins_and_absolute_salinity_are_refused_even_unsaid():
    with pytest.raises(BadRequest, match="Are they kelvins"):
        solubility(35.0, np.array([283.0, 290.0, NAN]), **PLACE)
    with pytest.raises(BadRequest, match="absolute salinity"):
        solubility(xr.DataArray([35.0], attrs={"units": "g/kg"}), 10.0, **PLACE)
    spiked = solubility(35.0, np.array([10.0, 11.0, 130.0]), **PLACE)
    assert np.isfinite(spiked[:2]).all()


def test_density_may_be_unknown_or_of_no_row():
    for values in ([np.nan], []):
        column = pd.Series(values, dtype=float)
        assert convert(column, "ml l-1", "umol kg-1", density=column).isna().all()


def test_one_column_may_name_the_profiles_and_infinite_oxygen_is_none():
    table = pd.DataFrame(
        {"cycle": 1, "DOXY_ADJUSTED": [200.0, 20.0, np.inf], "PRES": [5.0, 300.0, 900.0], "LATITUDE": 10}
    )
    found = low_oxygen_layer(table, profile="cycle")
    assert found.levels[1] == 2
    with pytest.raises(BadRequest, match="no row names its profile in cycle"):
        low_oxygen_layer(table.iloc[:0], profile="cycle")
