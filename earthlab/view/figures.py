"""Figures in the notebook: interactive with hvPlot, with a picture beside that survives in a saved notebook.

Colours are those of Okabe and Ito, which people who do not see all colours can tell apart; a figure without words and
units on its axes is refused.
"""

import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.errors import BadRequest, did_you_mean
from earthlab.view.colours import PNG

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
"""Okabe and Ito (2008), Color Universal Design."""

Kind = Literal["line", "points", "scatter", "step", "bar", "hist"]
_ALONG = ("line", "points", "step")
_KINDS = ("line", "points", "scatter", "step", "bar", "hist")
_WIDTH, _HEIGHT = 720, 360
_BINS = 30
_PNG_DPI = 110
_MOST_SERIES = len(COLOURS)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: an axis, the series over it, and around each its interval."""

    kind: Kind
    table: pd.DataFrame
    """The axis as index, one column a series."""
    low: pd.DataFrame
    high: pd.DataFrame
    """Ends of the intervals, for the series that have one."""
    xlabel: str
    ylabel: str
    title: str
    references: Mapping[str, float]
    """Horizontal lines with their names."""
    logx: bool = False
    logy: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure; ``plot`` is the HoloViews object, to be laid over others with ``*``.

    In a notebook it shows as a page of its own that carries all it needs: it asks no other site for programs or
    styles. Where a page cannot be shown, there is the same figure as a PNG.
    """

    drawing: Drawing
    plot: Any

    def __repr__(self) -> str:
        """Title, and for each series how many values and from where to where: what a test can compare."""
        table = self.drawing.table
        lines = [f"Figure « {self.drawing.title} » · {self.drawing.xlabel} · {self.drawing.ylabel}"]
        for name in table.columns:
            seen = table[name].dropna()
            extent = f", {seen.min():.3g} … {seen.max():.3g}" if len(seen) else ""
            lines.append(f"  {name}: {len(seen)}{extent}")
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": repr(self), "text/html": self._repr_html_(), "image/png": render_static(self.drawing)}

    def _repr_html_(self) -> str:
        import holoviews as hv  # as in `draw_interactive`
        from bokeh.embed import components
        from bokeh.resources import Resources

        # Not bokeh's file_html: it adds what Panel has registered, by address.
        script, place = components(hv.render(self.plot, backend="bokeh"))
        library = "".join(f"<script>{text}</script>" for text in Resources("inline", components=["bokeh"]).js_raw)
        page = f'<!DOCTYPE html><html lang="fr"><meta charset="utf-8"><body>{library}{place}{script}</body></html>'
        frame = f"width:{_WIDTH + 20}px;height:{_HEIGHT + 20}px;border:0;max-width:100%"
        return f'<iframe class="earthlab-curve" style="{frame}" srcdoc="{html.escape(page)}"></iframe>'


def curve(series: xr.DataArray | pd.DataFrame, *, title: str = "", ylabel: str | None = None) -> Figure:
    """An interactive curve along time, computed if it is lazy.

    Parameters
    ----------
    series : DataArray or DataFrame
        With an axis or index ``time`` and at most one further axis: one curve each.
    title, ylabel : str, optional
        By default the name and unit of the series.

    Returns
    -------
    Figure
        Lines with their points; the vertical axis states the unit.

    Raises
    ------
    BadRequest
        Where the series has no axis ``time`` or more than one other.
    """
    words = ylabel or _label(series)
    return plot(_along_time(series), kind="points", xlabel="date (UTC)", ylabel=words, title=title)


def plot(  # noqa: PLR0913 - the words of a figure
    table: pd.DataFrame | pd.Series | xr.DataArray,
    *,
    kind: Kind = "line",
    x: str | None = None,
    y: str | Sequence[str] | None = None,
    by: str | None = None,
    interval: Mapping[str, tuple[str, str]] | None = None,
    xlabel: str,
    ylabel: str,
    title: str = "",
    references: Mapping[str, float] | None = None,
    logx: bool = False,
    logy: bool = False,
) -> Figure:
    """A figure of the columns of a table: lines, points, bars or a histogram.

    Parameters
    ----------
    table : DataFrame, Series or DataArray
        A DataArray has one axis, or two of which the second gives the series.
    kind : str
        ``"line"``, ``"points"`` (lines with points), ``"scatter"``, ``"step"``, ``"bar"`` or ``"hist"`` (of the values
        of ``y``).
    x : str, optional
        The column of the axis; by default the index.
    y : str or sequence of str, optional
        The columns to draw; by default all numbers.
    by : str, optional
        A column whose values make one series each, of the one column ``y``.
    interval : mapping, optional
        For a column of ``y`` the columns that hold the ends of its interval: drawn as a band, or as bars with
        ``"bar"`` and ``"scatter"``.
    xlabel, ylabel : str
        What the axes are, French / English, with the unit.
    title : str
        French / English.
    references : mapping, optional
        Names and values of horizontal lines: a limit, a published figure.
    logx, logy : bool
        Logarithmic axes.

    Returns
    -------
    Figure

    Raises
    ------
    BadRequest
        For an unknown kind or column, more than eight series, an axis without words, or nothing to draw.
    """
    if kind not in _KINDS:
        raise BadRequest(f"plot: kind is {kind!r}. {did_you_mean(str(kind), _KINDS)}")
    for name, words in (("xlabel", xlabel), ("ylabel", ylabel)):
        if not words.strip():
            raise BadRequest(f"plot: {name} is empty, expected what the axis is, with its unit.")
    frame = _frame(table)
    series = _series(frame, x, y, by)
    if interval and kind == "bar" and series.shape[1] > 1:
        raise BadRequest(f"plot: bars with an interval are of one series, found {series.shape[1]}. Choose one with y=.")
    ends = [_ends(frame, x, interval or {}, side) for side in (0, 1)]
    drawing = Drawing(
        kind, series, ends[0], ends[1], xlabel, ylabel, title, dict(references or {}), logx=logx, logy=logy
    )
    return Figure(drawing, draw_interactive(drawing))


def draw_interactive(drawing: Drawing) -> Any:
    """The drawing as a HoloViews object with Bokeh as its backend."""
    # Seconds to import, and only needed once something is drawn. Not `hvplot.pandas`, which would at once have the
    # notebook load Bokeh and Panel from sites outside of the lab.
    import holoviews as hv
    import holoviews.plotting.bokeh
    from hvplot.plotting import hvPlot

    hv.Store.set_current_backend("bokeh")
    table, columns = drawing.table, [str(name) for name in drawing.table.columns]
    words = {"xlabel": drawing.xlabel, "ylabel": drawing.ylabel, "grid": True}
    look = {
        **words,
        "width": _WIDTH,
        "height": _HEIGHT,
        "title": drawing.title,
        "logx": drawing.logx,
        "logy": drawing.logy,
    }
    colours = list(COLOURS[: len(columns)])
    named = table.set_axis(columns, axis=1)
    draw = hvPlot(named.set_axis(named.index.map(str), axis=0) if drawing.kind == "bar" else named)
    if drawing.kind == "hist":
        drawn = draw.hist(y=columns, bins=_BINS, alpha=0.7, color=colours, **look)
    elif drawing.kind == "bar":
        drawn = _bars(draw, columns, colours, look)
    elif drawing.kind == "scatter":
        drawn = draw.scatter(y=columns, size=30, color=colours, **look)
    else:
        line = draw.step if drawing.kind == "step" else draw.line
        # Neighbours in the table are joined, as in the picture: hvPlot would sort them by date.
        drawn = line(y=columns, color=colours, sort_date=False, **look)
        if drawing.kind == "points":
            drawn = drawn * draw.scatter(y=columns, size=30, color=colours, **words)
    for name, colour in zip(columns, colours, strict=True):
        if name in drawing.low:
            drawn = drawn * _interval(hv, drawing, name, colour)
    for name, value in drawing.references.items():
        drawn = drawn * hv.HLine(value).opts(color="black", line_dash="dashed", line_width=1.5)
        if drawing.kind != "bar":  # an axis of names has no place for a text
            drawn = drawn * hv.Text(_first(drawing), value, name, halign="left", valign="bottom", fontsize=8)
    padding = {"padding": (0.03, 0.1)} if drawing.kind in _ALONG else {}
    return drawn.opts(title=_title(drawing), hooks=[_leave_the_wheel], **padding)


def _leave_the_wheel(plotted: Any, _element: Any) -> None:
    # Whoever scrolls down a notebook must not be caught in its figures: the wheel zooms once its tool is chosen.
    plotted.state.toolbar.active_scroll = None


def _bars(draw: Any, columns: list[str], colours: list[str], look: dict[str, Any]) -> Any:
    if len(columns) == 1:
        return draw.bar(y=columns[0], color=colours[0], rot=30, **look)
    # The series by their colours: by their names, a second row of words would lie over the first.
    return draw.bar(y=columns, cmap=colours, rot=30, **look).opts(multi_level=False, show_legend=True)


def _title(drawing: Drawing) -> str:
    if drawing.kind != "bar" or not drawing.references:
        return drawing.title
    return f"{drawing.title} (– – {', '.join(drawing.references)})"


def render_static(drawing: Drawing) -> bytes:
    """The drawing as a PNG, by matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(_WIDTH / 100, _HEIGHT / 100), layout="constrained")
    axes = canvas.subplots()
    for number, name in enumerate(drawing.table.columns):
        _draw_static(axes, drawing, str(name), number)
    for name, value in drawing.references.items():
        axes.axhline(value, color="black", linestyle="--", linewidth=1.2)
        axes.annotate(name, (0.01, value), xycoords=("axes fraction", "data"), va="bottom", fontsize=8)
    axes.set(xlabel=drawing.xlabel, ylabel=drawing.ylabel, title=drawing.title)
    if drawing.logx:
        axes.set_xscale("log")
    if drawing.logy:
        axes.set_yscale("log")
    if drawing.kind == "bar":
        axes.set_xticks(range(len(drawing.table)), [str(each) for each in drawing.table.index], rotation=30, ha="right")
    elif drawing.kind != "hist" and pd.api.types.is_datetime64_any_dtype(drawing.table.index):
        few = AutoDateLocator(maxticks=7)
        axes.xaxis.set_major_locator(few)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(few))
    axes.grid(alpha=0.3)
    if drawing.table.shape[1] > 1:
        axes.legend(fontsize=8)
    buffer = io.BytesIO()
    FigureCanvasAgg(canvas).print_figure(buffer, format="png", dpi=_PNG_DPI, pil_kwargs=PNG)
    return buffer.getvalue()


def _draw_static(axes: Any, drawing: Drawing, name: str, number: int) -> None:
    values = drawing.table[name]
    colour, at = COLOURS[number], drawing.table.index
    has_interval = name in drawing.low
    if drawing.kind == "hist":
        axes.hist(values.dropna(), bins=_BINS, color=colour, alpha=0.7, label=name)
        return
    if drawing.kind in {"bar", "scatter"}:
        width = 0.8 / drawing.table.shape[1]
        places = np.arange(len(at)) - 0.4 + width * (number + 0.5) if drawing.kind == "bar" else at
        if drawing.kind == "bar":
            axes.bar(places, values, width, color=colour, label=name)
        else:
            axes.scatter(places, values, s=14, color=colour, label=name)
        if has_interval:
            sides = np.abs([values - drawing.low[name], drawing.high[name] - values])
            axes.errorbar(places, values, sides, fmt="none", ecolor="black", capsize=2, linewidth=1)
        return
    marker = "o" if drawing.kind == "points" else None
    axes.plot(at, values, color=colour, marker=marker, markersize=4, label=name, drawstyle=_STYLES[drawing.kind])
    if has_interval:
        axes.fill_between(at, drawing.low[name], drawing.high[name], color=colour, alpha=0.2, linewidth=0)


_STYLES = {"line": "default", "points": "default", "step": "steps-mid"}


def _interval(hv: Any, drawing: Drawing, name: str, colour: str) -> Any:
    at, values = drawing.table.index, drawing.table[name].to_numpy("float64")
    low, high = (side[name].to_numpy("float64") for side in (drawing.low, drawing.high))
    if drawing.kind in {"bar", "scatter"}:
        places = [str(each) for each in at] if drawing.kind == "bar" else at
        return hv.ErrorBars(
            (places, values, np.abs(values - low), np.abs(high - values)), vdims=["y", "below", "above"]
        )
    return hv.Area((at, low, high), vdims=["low", "high"]).opts(color=colour, alpha=0.2, line_alpha=0)


def _first(drawing: Drawing) -> Any:
    return float(np.nanmin(drawing.table.to_numpy("float64"))) if drawing.kind == "hist" else drawing.table.index[0]


def _frame(table: pd.DataFrame | pd.Series | xr.DataArray) -> pd.DataFrame:
    if isinstance(table, pd.DataFrame):
        return pd.DataFrame(table.drop(columns="geometry", errors="ignore"))
    if isinstance(table, pd.Series):
        return table.to_frame(str(table.name or "valeur / value"))
    if table.ndim not in (1, 2):
        raise BadRequest(f"plot: found axes {table.dims}, expected one or two. Reduce the rest first.")
    named = table.rename(str(table.name or "valeur / value")).compute()
    wide = named.drop_vars([name for name in named.coords if name not in named.dims]).to_pandas()
    return (
        wide.to_frame(str(named.name))
        if isinstance(wide, pd.Series)
        else wide.set_axis([str(c) for c in wide.columns], axis=1)
    )


def _series(frame: pd.DataFrame, x: str | None, y: str | Sequence[str] | None, by: str | None) -> pd.DataFrame:
    names = [y] if isinstance(y, str) else list(y) if y is not None else _numbers(frame, (x, by))
    for name in filter(None, [x, by, *names]):
        if name not in frame:
            raise BadRequest(f"plot: the table has no column {name!r}. {did_you_mean(name, map(str, frame.columns))}")
    placed = frame.set_index(x) if x else frame
    if by is not None:
        if len(names) != 1:
            raise BadRequest(f"plot: by={by!r} splits one column, found {len(names)}. Name it: y='…'.")
        parts = {str(key): part[names[0]] for key, part in placed.groupby(by, observed=True)}
        chosen = pd.concat({key: _unique(part) for key, part in parts.items()}, axis=1) if parts else pd.DataFrame()
    else:
        chosen = placed[names].set_axis([str(name) for name in names], axis=1)
    if chosen.shape[1] > _MOST_SERIES:
        raise BadRequest(f"plot: {chosen.shape[1]} series, at most {_MOST_SERIES} can be told apart. Choose with y=.")
    if chosen.empty or not chosen.notna().to_numpy().any():
        raise BadRequest(
            "plot: there is nothing to draw: no number in the table. Look at its columns with table.head()."
        )
    return _plain_times(chosen)


def _unique(part: "pd.Series[Any]") -> "pd.Series[Any]":
    return part.groupby(level=0).mean() if part.index.has_duplicates else part


def _numbers(frame: pd.DataFrame, taken: Sequence[str | None]) -> list[str]:
    return [str(name) for name in frame.select_dtypes("number").columns if name not in taken]


def _ends(frame: pd.DataFrame, x: str | None, interval: Mapping[str, tuple[str, str]], side: int) -> pd.DataFrame:
    for pair in interval.values():
        for name in pair:
            if name not in frame:
                words = did_you_mean(name, map(str, frame.columns))
                raise BadRequest(f"plot: the table has no column {name!r} for an interval. {words}")
    placed = frame.set_index(x) if x else frame
    return _plain_times(pd.DataFrame({name: placed[pair[side]] for name, pair in interval.items()}, index=placed.index))


def _plain_times(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its times in UTC and without a zone, which Bokeh would put into the browser's."""
    index = frame.index
    if isinstance(index, pd.DatetimeIndex) and index.tz is not None:
        return frame.set_axis(index.tz_convert("UTC").tz_localize(None), axis=0)
    return frame


def _along_time(series: xr.DataArray | pd.DataFrame) -> pd.DataFrame:
    if isinstance(series, pd.DataFrame):
        return series
    others = [d for d in series.dims if d != "time"]
    if "time" not in series.dims or len(others) > 1:
        raise BadRequest(
            f"curve: found axes {series.dims}, expected 'time' and at most one other. Reduce the rest first."
        )
    return _frame(series.transpose("time", *others))


def _label(series: xr.DataArray | pd.DataFrame) -> str:
    name = str(series.attrs.get("long_name") or getattr(series, "name", None) or "valeur / value")
    unit = str(series.attrs.get("units", ""))
    return name if unit in {"", "1"} else f"{name} ({unit})"
