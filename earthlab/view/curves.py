"""A curve along time with hvPlot: units on every axis, gaps where nothing was observed."""

import html
from dataclasses import dataclass
from typing import Any

import pandas as pd
import xarray as xr

from earthlab.errors import BadRequest

_WIDTH, _HEIGHT = 720, 360


@dataclass(frozen=True, slots=True)
class Curve:
    """A drawn curve; ``plot`` is the HoloViews object, to be laid over others with ``*``.

    In a notebook it shows as a page of its own that carries all it needs: it asks no other site for programs or
    styles, and looks the same when the notebook is opened the next day.
    """

    plot: Any

    def _repr_html_(self) -> str:
        import holoviews as hv  # as in `curve`
        from bokeh.embed import components
        from bokeh.resources import Resources

        # Not bokeh's file_html: it adds what Panel has registered, by address.
        script, place = components(hv.render(self.plot, backend="bokeh"))
        library = "".join(f"<script>{text}</script>" for text in Resources("inline", components=["bokeh"]).js_raw)
        page = f'<!DOCTYPE html><html lang="fr"><meta charset="utf-8"><body>{library}{place}{script}</body></html>'
        frame = f"width:{_WIDTH + 20}px;height:{_HEIGHT + 20}px;border:0;max-width:100%"
        return f'<iframe class="earthlab-curve" style="{frame}" srcdoc="{html.escape(page)}"></iframe>'


def curve(series: xr.DataArray | pd.DataFrame, *, title: str = "", ylabel: str | None = None) -> Curve:
    """An interactive curve along time, computed if it is lazy.

    Parameters
    ----------
    series : DataArray or DataFrame
        With an axis or index ``time`` and at most one further axis: one curve each.
    title, ylabel : str, optional
        By default the name and unit of the series.

    Returns
    -------
    Curve
        Lines with their points; the vertical axis states the unit.

    Raises
    ------
    BadRequest
        Where the series has no axis ``time`` or more than one other.
    """
    table = _table(series)
    words = ylabel or _label(series)
    options: dict[str, Any] = {"xlabel": "date (UTC)", "ylabel": words, "grid": True}
    columns = [str(c) for c in table.columns]
    draw = _hvplot(table)
    lines = draw.line(y=columns, title=title, width=_WIDTH, height=_HEIGHT, **options)
    points = draw.scatter(y=columns, size=30, **options)
    return Curve((lines * points).opts(padding=(0.03, 0.1)))


def _hvplot(table: pd.DataFrame) -> Any:
    # Seconds to import, and only needed once something is drawn. Not `hvplot.pandas`, which would at once have the
    # notebook load Bokeh and Panel from sites outside of the lab.
    import holoviews as hv
    import holoviews.plotting.bokeh
    from hvplot.plotting import hvPlot

    hv.Store.set_current_backend("bokeh")
    return hvPlot(table)


def _table(series: xr.DataArray | pd.DataFrame) -> pd.DataFrame:
    if isinstance(series, pd.DataFrame):
        return series
    others = [d for d in series.dims if d != "time"]
    if "time" not in series.dims or len(others) > 1:
        raise BadRequest(
            f"curve: found axes {series.dims}, expected 'time' and at most one other. Reduce the rest first."
        )
    named = series.rename(series.name or "valeur").drop_vars(
        [c for c in series.coords if c not in {"time", *others}], errors="ignore"
    )
    values = named.transpose("time", *others).compute()
    columns = [str(v) for v in values[others[0]].values] if others else [str(named.name)]
    return pd.DataFrame(values.values.reshape(values.sizes["time"], -1), values.indexes["time"], columns)


def _label(series: xr.DataArray | pd.DataFrame) -> str:
    name = str(series.attrs.get("long_name") or getattr(series, "name", None) or "valeur / value")
    unit = str(series.attrs.get("units", ""))
    return name if unit in {"", "1"} else f"{name} ({unit})"
