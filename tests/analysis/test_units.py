"""Units: what is said is believed, and a contradiction is refused."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.analysis.units import aligned, check_units, convert, labelled, unit_of
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
