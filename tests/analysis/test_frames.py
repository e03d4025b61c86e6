"""What users bring as dates and values, before any analysis: time zones, words, packed numbers, marks of gaps."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.analysis import composite
from earthlab.analysis.breakpoints import structural_breaks
from earthlab.analysis.dieback import Rule, watch
from earthlab.analysis.frames import as_dates, check_cube, own_values
from earthlab.analysis.harmonics import harmonic_model
from earthlab.analysis.phenology import phenology, season
from earthlab.analysis.smoothing import double_logistic, savitzky_golay, whittaker
from earthlab.analysis.vegetation import ndvi
from earthlab.errors import BadRequest

DATES = pd.date_range("2019-01-09", periods=46, freq="16D")
RULE = Rule(training_end="2020-01-01", training_limit="2020-01-01")
ANALYSES = {
    "phenology": lambda index: phenology(index, start="07-01"),
    "season": season,
    "savitzky_golay": savitzky_golay,
    "whittaker": whittaker,
    "double_logistic": double_logistic,
    "harmonic_model": harmonic_model,
    "structural_breaks": structural_breaks,
    "watch": lambda index: watch(index, RULE),
    "median by month": lambda index: composite.median(index, period="month"),
    "mean by month": lambda index: composite.mean(index, period="mois"),
}


def index() -> xr.DataArray:
    days = np.asarray((DATES - pd.Timestamp("2015-01-01")).days)
    values = np.rint(2000 + 5000 * np.exp(3 * (np.cos(2 * np.pi * (days - 20) / 365.25) - 1))) / 1e4
    return xr.DataArray(values[:, None] - [0.0, 0.05], dims=("time", "x"), coords={"time": DATES}, name="ndvi")


LABELS = {
    "UTC": DATES.tz_localize("UTC"),
    "another zone": DATES.tz_localize("UTC").tz_convert("Indian/Reunion"),
    "words": DATES.strftime("%Y-%m-%d"),
    "words with a zone": pd.Index(DATES.strftime("%Y-%m-%dT%H:%M:%SZ")),
    "days of Python": pd.Index([dt.date(at.year, at.month, at.day) for at in DATES], dtype=object),
    "seconds": pd.DatetimeIndex(DATES.values.astype("datetime64[s]")),
}


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("labels", LABELS)
def test_dates_are_understood_as_users_have_them(analysis, labels):
    given = index().assign_coords(time=("time", LABELS[labels]))
    xr.testing.assert_allclose(ANALYSES[analysis](given), ANALYSES[analysis](index()))


def test_what_is_no_date_stays_as_it_is():
    for given in (["avant", "après"], [1, 2], ["01/02/2020"], []):
        labels = pd.Index(given)
        assert as_dates(labels) is labels


def packed(dtype="int16", fill=-3000, **attrs) -> xr.DataArray:
    """The index as MODIS stores it, with two holes."""
    stored = (index() * 1e4).round().astype(dtype)
    stored[3, 0], stored[25, 1] = fill, fill
    return stored.assign_attrs({"scale_factor": 1e-4, "_FillValue": np.asarray(fill, dtype)[()], **attrs})


def holed() -> xr.DataArray:
    plain = index()
    plain[3, 0], plain[25, 1] = np.nan, np.nan
    return plain


@pytest.mark.parametrize("chunks", [None, {"time": 10}])
@pytest.mark.parametrize("analysis", ANALYSES)
def test_packed_numbers_are_read_as_cf_says(analysis, chunks):
    given = packed() if chunks is None else packed().chunk(chunks)
    expected = ANALYSES[analysis](holed())
    found = ANALYSES[analysis](given)
    xr.testing.assert_allclose(found.compute(scheduler="sync"), expected, rtol=1e-4, atol=1e-3)
    assert "scale_factor" not in given.pipe(check_cube, "test").attrs


@pytest.mark.parametrize("analysis", sorted(set(ANALYSES) - {"median by month", "mean by month"}))
def test_an_infinite_index_is_no_observation(analysis):
    spoilt = holed().where(holed().notnull(), np.inf)
    xr.testing.assert_allclose(ANALYSES[analysis](spoilt), ANALYSES[analysis](holed()))


def test_the_index_of_packed_bands_knows_their_offset():
    truth = xr.Dataset({"red": ("x", [0.02, 0.05]), "nir": ("x", [0.3, 0.2])})
    stored = (truth * 1e4 + 1000).round().astype("uint16")
    for band in stored.values():
        band.attrs.update(scale_factor=1e-4, add_offset=-0.1, _FillValue=np.uint16(0))
    np.testing.assert_allclose(ndvi(stored), ndvi(truth), rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "dtype", "attrs", "expected"),
    [
        ([0, 5], "uint16", {"nodata": 0}, [np.nan, 5]),
        ([0, 1], "uint8", {"nodata": 0}, [0, 1]),
        ([0, 1], "int64", {"_FillValue": 0}, [0, 1]),
        ([255, 1], "uint8", {"_FillValue": 255}, [np.nan, 1]),
        ([-9999, 0.5], "float32", {"_FillValue": -9999.0, "scale_factor": 1e-4}, [np.nan, 0.5]),
        ([-3.4e38, 0.5], "float32", {"_FillValue": -3.4e38}, [np.nan, 0.5]),
        ([0, 0.5], "float32", {"_FillValue": 0.0}, [0, 0.5]),
        ([0, 0.5], "float32", {"_FillValue": np.nan, "missing_value": "none"}, [0, 0.5]),
    ],
)
def test_marks_of_gaps(values, dtype, attrs, expected):
    array = xr.DataArray(np.array(values, dtype), dims="x", attrs=attrs)
    np.testing.assert_array_equal(own_values(array, "test"), np.array(expected, "float32"))


def test_what_was_given_is_not_written_to():
    given = packed().assign_coords(time=("time", LABELS["UTC"]))
    before = given.copy(deep=True)
    phenology(given)
    xr.testing.assert_identical(given, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: phenology(packed(scale_factor=1e4)), "scale_factor 10000, by which CF multiplies and MODIS divides"),
        (lambda: phenology(index()[:, 0].to_pandas()), r"found Series. Write series.rename_axis\('time'\).to_xarray"),
        (lambda: phenology(index().drop_vars("time")), "expected dates along 'time', found no coordinate"),
        (lambda: phenology(index().assign_coords(time=np.arange(46))), "found int64. Convert them"),
        (
            lambda: phenology(index().assign_coords(time=DATES.where(np.arange(46) > 0))),
            r"with gaps \(NaT\). Convert them",
        ),
    ],
)
def test_refusals(call, words):
    with pytest.raises(BadRequest, match=words):
        call()
