"""Figures: units on the axes, one line a place, intervals, a picture beside, refusals."""

import html
import io
import re

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from earthlab.errors import BadRequest
from earthlab.view import curve, plot
from earthlab.view.figures import COLOURS, render_static

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


AXES = {"xlabel": "ville / city", "ylabel": "NO₂ (µg/m³)"}
CITIES = pd.DataFrame(
    {"city": ["Paris", "Anvers", "Londres"], "mean": [27.7, 25.8, 24.8], "low": [27.0, 25, 24], "high": [28.0, 27, 26]}
)
SERIES = pd.DataFrame({"ndvi": [0.2, 0.8, np.nan, 0.4], "other": [1.0, 2, 3, 4], "kind": list("aabb")}, TIMES)


@pytest.mark.parametrize("kind", ["line", "points", "scatter", "step", "bar", "hist"])
def test_every_kind_is_drawn_twice_with_its_words(kind):
    figure = plot(SERIES, kind=kind, y=["ndvi", "other"], title="Essai / trial", **AXES)
    drawn = hv.render(figure.plot)
    assert drawn.title.text == "Essai / trial"
    assert (drawn.xaxis[0].axis_label, drawn.yaxis[0].axis_label) == (AXES["xlabel"], AXES["ylabel"])
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/png"}
    assert Image.open(io.BytesIO(bundle["image/png"])).size[0] > 600


@pytest.mark.parametrize("kind", ["bar", "scatter", "points"])
def test_an_interval_and_a_limit_are_drawn_around_the_values(kind):
    ends = {"mean": ("low", "high")}
    table = CITIES if kind == "bar" else CITIES.assign(city=[1, 2, 3])
    figure = plot(table, kind=kind, x="city", y="mean", interval=ends, references={"OMS / WHO": 10.0}, **AXES)
    assert hv.render(figure.plot) is not None
    with_it = render_static(figure.drawing)
    without = render_static(plot(table, kind=kind, x="city", y="mean", **AXES).drawing)
    assert with_it != without


def test_the_text_of_a_figure_tells_its_data_and_is_the_same_each_time():
    figure = plot(SERIES, kind="line", y="ndvi", title="Essai", **AXES)
    assert repr(figure) == "Figure « Essai » · ville / city · NO₂ (µg/m³)\n  ndvi: 3, 0.2 … 0.8"


def test_a_column_of_names_makes_one_series_each():
    drawing = plot(SERIES, y="other", by="kind", **AXES).drawing
    assert list(drawing.table.columns) == ["a", "b"]
    assert drawing.table["a"].dropna().tolist() == [1.0, 2.0]


def test_times_are_drawn_in_utc_whatever_their_zone():
    paris = SERIES.set_axis(TIMES.tz_localize("Europe/Paris"), axis=0)
    drawn = plot(paris, y="ndvi", **AXES).drawing.table.index
    assert drawn[0] == pd.Timestamp("2018-03-31 22:00")


def test_arrays_are_drawn_with_their_second_axis_as_series():
    array = xr.DataArray(np.eye(3), {"x": [1, 2, 3], "band": ["a", "b", "c"]}, ("x", "band"), "r").chunk(x=1)
    assert list(plot(array, **AXES).drawing.table.columns) == ["a", "b", "c"]
    assert list(plot(array[:, 0], **AXES).drawing.table.columns) == ["r"]


def test_colours_are_eight_and_all_different():
    assert len(set(COLOURS)) == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"kind": "pie"}, "kind is 'pie'"),
        ({"ylabel": " "}, "ylabel is empty"),
        ({"y": "nvdi"}, "no column 'nvdi'.*ndvi"),
        ({"x": "date"}, "no column 'date'"),
        ({"by": "kind"}, "splits one column, found 2"),
        ({"y": "ndvi", "interval": {"ndvi": ("low", "high")}}, "no column 'low' for an interval"),
        ({"kind": "bar", "interval": {"ndvi": ("ndvi", "other")}}, "bars with an interval are of one series"),
    ],
)
def test_what_cannot_be_drawn_is_refused(words, message):
    with pytest.raises(BadRequest, match=message):
        plot(SERIES, **{**AXES, **words})


def test_too_many_series_and_no_numbers_are_refused():
    with pytest.raises(BadRequest, match="at most 8 can be told apart"):
        plot(pd.DataFrame(np.ones((2, 9)), columns=list("abcdefghi")), **AXES)
    with pytest.raises(BadRequest, match="no number in the table"):
        plot(SERIES[["ndvi"]].iloc[2:3], **AXES)
    with pytest.raises(BadRequest, match="expected one or two"):
        plot(xr.DataArray(np.ones((2, 2, 2))), **AXES)


@pytest.mark.parametrize("kind", ["line", "points", "scatter", "step", "bar", "hist"])
def test_the_wheel_is_the_page_s(kind):
    limit = {} if kind == "hist" else {"OMS / WHO": 25.0}
    drawn = hv.render(plot(CITIES, kind=kind, y="mean", references=limit, **AXES).plot)
    assert drawn.toolbar.active_scroll is None


def test_lines_join_neighbours_of_the_table_as_the_picture_does():
    days = pd.to_datetime(["2006-06-19", "2006-10-02", "2006-10-02", "2006-08-28", "2006-12-11", "2006-12-11"])
    pairs = pd.DataFrame({"pair": [0, 0, np.nan, 1, 1, np.nan]}, index=days)
    drawn = hv.render(plot(pairs, kind="points", xlabel="date", ylabel="paire / pair").plot)
    (line,) = [each for each in drawn.renderers if type(each.glyph).__name__ == "Line"]
    heights = np.asarray(line.data_source.data[line.glyph.y])
    np.testing.assert_array_equal(heights, pairs["pair"].to_numpy())
