"""Units: what is said is believed, and a contradiction is refused."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.analysis.units import aligned, check_units, convert, is_in, labelled, numbers_of, unit_of
from earthlab.errors import BadRequest


def stated(unit):
    return xr.DataArray([1.0], dims="x", attrs={"units": unit})


@pytest.mark.parametrize("unit", ["m s-1", "m/s", "M/S"])
def test_spellings_of_one_unit_are_one_unit(unit):
    assert check_units(stated(unit), "m s-1", verb="try", what="wind") == "m s-1"


def test_what_says_no_unit_is_believed():
    assert check_units(np.ones(3), "m", verb="try", what="height") is None
    assert check_units(3.0, "m", verb="try", what="height") is None


def test_a_contradiction_is_refused_and_says_what_would_do():
    with pytest.raises(BadRequest, match=r"try: wind has units 'knot', expected 'm s-1' or 'm'\. Convert"):
        check_units(stated("knot"), "m s-1", "m", verb="try", what="wind")


def test_a_column_finds_its_unit_among_those_of_its_table():
    table = pd.DataFrame({"height": [1.0], "area": [2.0]})
    table.attrs = {"units": {"height": "ft"}}
    assert (unit_of(table["height"]), unit_of(table["area"])) == ("ft", None)
    with pytest.raises(BadRequest, match="height has units 'ft'"):
        check_units(table["height"], "m", verb="try", what="height")


def test_what_arithmetic_brings_along_and_is_no_longer_true_goes():
    before = xr.DataArray([1.0], dims="x", attrs={"standard_name": "height", "comment": "SIMULÉ", "units": "m"})
    assert labelled(before * 2, "depth", "mm", "hauteur / depth").attrs == {
        "comment": "SIMULÉ",
        "long_name": "hauteur / depth",
        "units": "mm",
    }
    assert convert(before, "cm").attrs == {"standard_name": "height", "comment": "SIMULÉ", "units": "cm"}


def test_results_say_what_they_are_where_they_can():
    series = labelled(pd.Series([1.0]), "depth", "mm", "hauteur / depth")
    array = labelled(xr.DataArray([1.0], dims="x"), "depth", "mm", "hauteur / depth", method="x")
    assert (series.name, series.attrs["units"], array.name, array.attrs["method"]) == ("depth", "mm", "depth", "x")
    assert labelled(2.5, "depth", "mm", "hauteur / depth") == 2.5


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"a": [1, 2], "b": [1]}, r"same length, found shapes a \(2,\), b \(1,\)"),
        ({"a": [[1, 2]]}, r"found shapes a \(1, 2\)"),
        ({"a": ["x"]}, "a is no series of numbers"),
    ],
)
def test_series_that_do_not_fit_are_refused(named, words):
    with pytest.raises(BadRequest, match=words):
        aligned("try", **named)


@pytest.mark.parametrize(
    ("value", "given", "unit", "expected"),
    [
        (300.0, "K", "degC", 26.85),
        (26.85, "degC", "K", 300.0),
        (86.4, "km day-1", "m s-1", 1.0),
        (36.0, "km/h", "m s-1", 10.0),
        (100.0, "W m-2", "MJ m-2 day-1", 8.64),
        (0.93, "1", "%", 93.0),
        (1013.0, "hPa", "kPa", 101.3),
        (305600.0, "ha", "km2", 3056.0),
        (7.0, "m", "m", 7.0),
    ],
)
def test_units_convert_and_say_so(value, given, unit, expected):
    assert convert(value, unit, given=given) == pytest.approx(expected)
    series = pd.Series([value], name="x")
    series.attrs = {"units": {"x": given}}
    found = convert(series, unit)
    assert (found.iloc[0], found.attrs["units"], found.name) == (pytest.approx(expected), unit, "x")
    array = convert(xr.DataArray([value], dims="t", attrs={"units": given}), unit)
    assert (float(array[0]), array.attrs["units"]) == (pytest.approx(expected), unit)
    assert check_units(found, unit, verb="try", what="x") == unit


@pytest.mark.parametrize(
    ("values", "unit", "words"),
    [
        (pd.Series([1.0]), "m", "the values state no unit. Say which they are in: given="),
        (stated("m"), "kPa", "there is no way from 'm' to 'kPa'. Known: kPa, hPa, Pa"),
        (stated("m"), "mile", "there is no way from 'm' to 'mile'. Known: m, km"),
    ],
)
def test_what_cannot_be_converted_is_refused(values, unit, words):
    with pytest.raises(BadRequest, match=re.escape(words)):
        convert(values, unit)


@pytest.mark.parametrize(
    ("unit", "spellings"),
    [
        ("W m-2", ["W/m²", "W m**-2", "W.m-2", "W m⁻²", "W·m⁻²"]),
        ("ug m-3", ["µg.m-3", "ug m**-3", "μg·m⁻³", "µg/m^3"]),
        ("m s-1", ["m s**-1", "m.s-1", "metre/second", "m s⁻¹"]),
        ("umol m-2 s-1", ["µmol CO2 m-2 s-1", "µmolCO2 m-2 s-1", "micromol/m2/s", "µmol.m-2.s-1"]),
        ("W m-2 sr-1 um-1", ["W/(m^2 sr um)", "W/(m2 sr µm)", "W m**-2 sr**-1 um**-1", "W/m2/sr/um"]),
        ("m3 s-1", ["m³.s⁻¹", "m**3 s**-1"]),
        ("degC", ["C", "deg C", "°c"]),
    ],
)
def test_a_unit_is_known_however_its_powers_are_written(unit, spellings):
    for spelling in spellings:
        assert check_units(xr.DataArray(1.0, attrs={"units": spelling}), unit, verb="f", what="x") == unit


@pytest.mark.parametrize(("unit", "other"), [("W m-2", "W m2"), ("mm", "m"), ("m s-1", "m s-2"), ("1", "m-1")])
def test_other_powers_are_other_units(unit, other):
    with pytest.raises(BadRequest, match="has units"):
        check_units(xr.DataArray(1.0, attrs={"units": other}), unit, verb="f", what="x")


def test_columns_of_pandas_own_types_are_numbers_and_words_are_none():
    assert numbers_of(pd.Series(["1.5", None])).dtype == "float64"
    assert np.isnan(numbers_of(pd.Series([1, None], dtype="Int64"))[1])
    with pytest.raises(BadRequest, match="values that are none"):
        numbers_of(["low"])


def test_series_of_other_dates_are_not_aligned_by_their_place():
    days = pd.date_range("2020-01-01", periods=3)
    first, later = pd.Series([1.0, 2, 3], days), pd.Series([1.0, 2, 3], days + pd.Timedelta(days=1))
    assert set(aligned("f", a=first, b=first.to_numpy(), c=xr.DataArray(first.rename_axis("time")))) == {"a", "b", "c"}
    with pytest.raises(BadRequest, match="a and b are indexed by other dates"):
        aligned("f", a=first, b=later)


def test_the_unit_wanted_may_be_spelled_in_any_way():
    found = convert(xr.DataArray([0.0, 1.0], attrs={"units": "Celsius"}), "kelvin")
    assert found.attrs["units"] == "K"
    np.testing.assert_allclose(found, [273.15, 274.15])
    np.testing.assert_allclose(convert([1.0], "metres", given="kilometers"), [1000])


def test_what_a_masked_array_hides_is_missing():
    hidden = np.ma.masked_array([1, 2], [False, True])
    np.testing.assert_array_equal(convert(hidden, "m", given="km"), [1000, np.nan])


@pytest.mark.parametrize(
    ("stated", "unit", "same"), [("Radians", "rad", True), ("M", "m", True), ("mm", "m", False), (None, "m", False)]
)
def test_a_unit_is_known_in_any_spelling(stated, unit, same):
    assert is_in(xr.DataArray(0.0, attrs={} if stated is None else {"units": stated}), unit) is same
