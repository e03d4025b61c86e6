"""Season indicators against vectors worked by hand, and against a plain loop."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from earthlab.analysis.phenology import season
from earthlab.errors import BadRequest

TIMES = np.array(["2018-04-01", "2018-05-01", "2018-06-01", "2018-07-01", "2018-08-01"], "datetime64[ns]")
DAYS = np.array([91, 121, 152, 182, 213])
NAN = float("nan")


def series(values, times=TIMES) -> xr.DataArray:
    values = np.asarray(values, "float32")
    return xr.DataArray(values, dims=("time", *"yx"[: values.ndim - 1]), coords={"time": times}, attrs={"units": "1"})


HAND = [
    # peak, day, amplitude, end: half of the swing lies between two dates, found by proportion
    ([0.2, 0.4, 0.8, 0.6, 0.2], 0.8, 152, 0.6, 182 + 31 * (0.6 - 0.5) / 0.4),
    ([0.2, 0.4, 0.8, 0.7, 0.6], 0.8, 152, 0.6, NAN),
    ([0.8, 0.2, 0.2, 0.2, 0.2], 0.8, 91, 0.6, 91 + 30 * 0.5),
    ([0.2, NAN, 0.8, NAN, 0.2], 0.8, 152, 0.6, 152 + 61 * 0.5),
    ([0.2, 0.8, 0.4, 0.8, 0.2], 0.8, 121, 0.6, 121 + 31 * 0.75),
    ([NAN, NAN, 0.5, NAN, NAN], 0.5, 152, 0.0, NAN),
    ([0.3, 0.3, 0.3, 0.3, 0.3], 0.3, 91, 0.0, NAN),
    ([NAN] * 5, NAN, NAN, NAN, NAN),
]


@pytest.mark.parametrize(("values", "peak", "day", "amplitude", "end"), HAND)
def test_by_hand(values, peak, day, amplitude, end):
    found = season(series(values))
    for name, expected in (("peak", peak), ("peak_day", day), ("amplitude", amplitude), ("end_day", end)):
        np.testing.assert_allclose(float(found[name]), expected, rtol=1e-4, atol=1e-6, err_msg=name)


def by_loop(values: np.ndarray, fraction: float) -> tuple[float, float, float, float]:
    seen = [(d, float(v)) for d, v in zip(DAYS, values, strict=True) if np.isfinite(v)]
    if not seen:
        return (NAN, NAN, NAN, NAN)
    peak = max(v for _, v in seen)
    day = next(d for d, v in seen if v == peak)
    low = min(v for _, v in seen)
    level = low + fraction * (peak - low)
    after = [(d, v) for d, v in seen if d >= day]
    for (d0, v0), (d1, v1) in pairwise(after):
        if v0 >= level > v1:
            return peak, day, peak - low, d0 + (v0 - level) / (v0 - v1) * (d1 - d0)
    return peak, day, peak - low, NAN


VALUES = arrays("float32", (5, 3), elements=st.sampled_from([NAN, 0.0, 0.125, 0.25, 0.5, 0.75, 1.0]))


@settings(max_examples=150, deadline=None)
@given(VALUES, st.sampled_from([0.25, 0.5, 0.75]))
def test_against_a_plain_loop_and_under_dask(values, fraction):
    index = xr.DataArray(values, dims=("time", "x"), coords={"time": TIMES})
    found = season(index, fraction=fraction)
    stacked = np.stack([found[n] for n in ("peak", "peak_day", "amplitude", "end_day")], -1)
    expected = [by_loop(column, fraction) for column in values.T]
    np.testing.assert_allclose(stacked, np.array(expected, "float32"), rtol=1e-5, atol=1e-5)
    lazy = season(index.chunk(time=-1, x=2), fraction=fraction)
    xr.testing.assert_equal(lazy.compute(scheduler="sync"), found)


def test_days_go_on_beyond_new_year():
    times = np.array(["2018-11-01", "2018-12-01", "2019-01-11"], "datetime64[ns]")
    assert float(season(series([0.2, 0.4, 0.8], times)).peak_day) == 365 + 11


def test_a_simulated_index_stays_simulated_and_units_are_told():
    found = season(series([0.2, 0.4, 0.8, 0.6, 0.2]).assign_attrs(comment="DONNÉES SIMULÉES"))
    assert found.peak.attrs["units"] == "1"
    assert found.end_day.attrs["units"] == "day of year"
    assert all("SIMUL" in found[name].attrs["comment"] for name in found)


@pytest.mark.parametrize(
    ("index", "fraction", "words"),
    [
        (series([1, 2, 3, 4, 5]).rename(time="t"), 0.5, "ascending axis 'time'"),
        (series([1, 2, 3, 4, 5])[:1], 0.5, "two dates or more"),
        (series([1, 2, 3, 4, 5])[::-1], 0.5, "ascending"),
        (series([1, 2, 3, 4, 5]).drop_vars("time"), 0.5, "ascending axis 'time'"),
        (series([1, 2, 3, 4, 5]), 0, "between 0 and 1"),
        (series([1, 2, 3, 4, 5]), 1, "between 0 and 1"),
        (series([1, 2, 3, 4, 5]), NAN, "between 0 and 1"),
        (series([1, 2, 3, 4, 5]).chunk(time=2), 0.5, "one chunk"),
    ],
)
def test_an_index_without_a_season_is_refused(index, fraction, words):
    with pytest.raises(BadRequest, match=words):
        season(index, fraction=fraction)
