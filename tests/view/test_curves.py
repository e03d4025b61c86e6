"""Curves: units on the axis, one line a place, refusals."""

import html
import re

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthlab.errors import BadRequest
from earthlab.view import curve

TIMES = pd.date_range("2018-04-01", periods=4, freq="MS")


def series(values, dims=("time",), **attrs) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, "float32"), {"time": TIMES}, dims, "ndvi", attrs)


def test_the_axis_tells_name_and_unit():
    drawn = hv.render(curve(series([1, 2, np.nan, 4], long_name="hauteur", units="m")).plot)
    assert drawn.yaxis[0].axis_label == "hauteur (m)"
    assert drawn.xaxis[0].axis_label == "date (UTC)"
    plain = hv.render(curve(series([1, 2, 3, 4], units="1")).plot)
    assert plain.yaxis[0].axis_label == "ndvi"


def test_lazy_series_and_one_line_for_each_place():
    two = series(np.arange(8).reshape(4, 2), ("time", "place")).chunk(time=2)
    lines = list(curve(two).plot)
    assert len(lines) >= 2
    assert curve(two.T) is not None


def test_a_table_is_drawn_as_it_is():
    assert curve(pd.DataFrame({"ndvi": [0.1, 0.2, 0.3, 0.4]}, TIMES.rename("time"))) is not None


@pytest.mark.parametrize(
    "wrong", [series([1, 2, 3, 4]).rename(time="t"), series(np.ones((4, 2, 2)), ("time", "y", "x"))]
)
def test_a_series_without_time_or_with_too_many_axes_is_refused(wrong):
    with pytest.raises(BadRequest, match="expected 'time' and at most one other"):
        curve(wrong)


def test_the_page_of_a_curve_carries_all_it_needs():
    page = curve(series([1, 2, 3, 4]))._repr_html_()
    assert page.startswith("<iframe")
    assert "srcdoc=" in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", html.unescape(page.split("srcdoc=")[1]))
