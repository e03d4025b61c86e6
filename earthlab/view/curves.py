"""A curve along time with hvPlot: units on every axis, gaps where nothing was observed."""

from typing import Any

import pandas as pd
import xarray as xr

from earthlab.errors import BadRequest


def curve(series: xr.DataArray | pd.DataFrame, *, title: str = "", ylabel: str | None = None) -> Any:
    """An interactive curve along time, computed if it is lazy.

    Parameters
    ----------
    series : DataArray or DataFrame
        With an axis or index ``time`` and at most one further axis: one curve each.
    title, ylabel : str, optional
        By default the name and unit of the series.

    Returns
    -------
    holoviews.Overlay
        Lines with their points; the vertical axis states the unit.

    Raises
    ------
    BadRequest
        Where the series has no axis ``time`` or more than one other.
    """
    import holoviews as hv  # seconds to import, and only needed once something is drawn

    if not hv.Store.loaded_backends():
        # Before hvPlot, which would load Bokeh itself, from a site outside of the lab.
        hv.extension("bokeh", inline=True, logo=False)
    import hvplot.pandas  # noqa: F401 - registers .hvplot

    table = _table(series)
    words = ylabel or _label(series)
    options: dict[str, Any] = {"xlabel": "date (UTC)", "ylabel": words, "title": title, "grid": True}
    columns = [str(c) for c in table.columns]
    return table.hvplot.line(y=columns, **options) * table.hvplot.scatter(y=columns, size=30, **options)


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
