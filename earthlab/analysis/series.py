"""What functions of dated series share: their dates, the seasons these fall into, and the frame of what they give."""

import re
from collections.abc import Hashable, Mapping
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME
from earthlab.analysis.frames import check_cube
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.periods import Periods
from earthlab.errors import BadRequest

_DAY = np.timedelta64(1, "D")
_MONTH_DAY = re.compile(r"(\d\d)-(\d\d)")


class Seasons(NamedTuple):
    """Dates sorted into seasons."""

    periods: Periods
    days: Array
    """The day of the year of each place of ``periods.order``, from the first of January before its season: 1, 2, …"""
    starts: pd.DatetimeIndex


def check_series(index: xr.DataArray, verb: str, *, least: int = 2) -> xr.DataArray:
    """The series as `check_cube` gives it, with time first, where it has numbers at dates.

    Raises
    ------
    BadRequest
        For a Dataset, without dates along ``time``, or with fewer than ``least``.
    """
    found = type(index).__name__
    way = "Write series.rename_axis('time').to_xarray()" if found == "Series" else "Choose one"
    if not isinstance(index, xr.DataArray):
        raise BadRequest(f"{verb}: expected one DataArray, such as an index, found {found}. {way}.")
    index = check_cube(index, verb)
    dates = index.indexes.get(TIME)
    if not isinstance(dates, pd.DatetimeIndex) or dates.hasnans:
        found = "no coordinate" if dates is None else f"{dates.dtype}{' with gaps (NaT)' * bool(dates.hasnans)}"
        raise BadRequest(
            f"{verb}: expected dates along 'time', found {found}. Convert them, as pandas.to_datetime or xarray's "
            "convert_calendar('standard') do."
        )
    if len(dates) < least:
        raise BadRequest(
            f"{verb}: expected at least {least} dates, found {len(dates)}. Widen the period of the search."
        )
    return index.transpose(TIME, ...)


def is_between(value: Any, low: float, high: float) -> bool:
    """Whether the value is one number, greater than ``low`` and less than ``high``."""
    return isinstance(value, Real) and low < float(value) < high


def days_since(times: Any, origin: Any) -> Array:
    """Days, float64, from the origin to each time."""
    return np.asarray((pd.DatetimeIndex(times) - pd.Timestamp(origin)) / pd.Timedelta(days=1), "float64")


def earliest_first(series: xr.DataArray) -> Array:
    """Places along time, int64, in the order of the dates."""
    return np.argsort(series.indexes[TIME], kind="stable").astype("int64")


def constant(array: Array) -> Array:
    """The array read-only, so that a kernel is compiled once whether it came from memory or from a worker's frames."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def dates_at(places: Any, dates: pd.DatetimeIndex) -> Any:
    """The dates (datetime64[ns]) at places along time, NaT for -1 and NaN; lazy if the places are."""
    take = partial(_take_dates, dates=dates.values.astype("datetime64[ns]"))
    if isinstance(places, da.Array):
        return da.map_blocks(take, places, dtype="datetime64[ns]")
    return take(places)


def _take_dates(places: Array, *, dates: Array) -> Array:
    known = places >= 0
    taken = dates[np.where(known, places, 0).astype("int64")]
    return np.where(known, taken, np.datetime64("NaT", "ns"))


def resolve_seasons(series: xr.DataArray, start: str, months: int, verb: str) -> Seasons:
    """The dates sorted into one season a year, from the one of the first date to the one of the last.

    Parameters
    ----------
    series : xarray.DataArray
        What `check_series` gave.
    start : str
        Month and day on which each season begins, such as ``"01-01"``.
    months : int
        Length of a season, 1 to 12. Dates between two seasons belong to none.
    verb : str
        Named in refusals.

    Raises
    ------
    BadRequest
        For a start that is no day of every year, or another length.
    """
    dates = series.indexes[TIME]
    match = _MONTH_DAY.fullmatch(str(start))
    try:
        month, day = (int(number) for number in match.groups()) if match else (0, 0)
        pd.Timestamp(2001, month, day)
    except ValueError as exc:
        raise BadRequest(
            f"{verb}: start={start!r} is no day of every year. Expected month and day, such as '01-01'."
        ) from exc
    if months not in range(1, 13):
        raise BadRequest(f"{verb}: months is {months!r}, expected a whole number from 1 to 12.")
    years = range(dates.min().year - 1, dates.max().year + 1)
    starts = pd.DatetimeIndex([pd.Timestamp(year, month, day) for year in years])
    ends = starts + pd.DateOffset(months=int(months))
    order = np.argsort(dates, kind="stable").astype("int64")
    ordered = dates[order]
    firsts, lasts = ordered.searchsorted(starts), ordered.searchsorted(ends)
    held = np.flatnonzero(lasts > firsts)
    if not held.size:
        raise BadRequest(f"{verb}: no date lies in the {months} months from {start}. Change start= or months=.")
    kept = slice(held[0], held[-1] + 1)
    places = [order[first:last] for first, last in zip(firsts[kept], lasts[kept], strict=True)]
    cuts = np.concatenate([[0], np.cumsum([len(place) for place in places])]).astype("int64")
    origins = np.repeat(starts[kept].values.astype("datetime64[Y]"), np.diff(cuts))
    joined = np.concatenate(places)
    days = (dates.values[joined] - origins.astype(dates.values.dtype)) / _DAY + 1.0
    return Seasons(Periods(joined, cuts), np.asarray(days, "float64"), starts[kept])


def season_coordinates(seasons: Seasons) -> dict[Hashable, Any]:
    """The coordinates of an axis ``season``: the year in which each begins, and the date."""
    words = {"long_name": "année où commence la saison / year in which the season begins"}
    begins = {"long_name": "début de la fenêtre / start of the window"}
    return {
        "season": ("season", np.asarray(seasons.starts.year, "int64"), words),
        "season_start": ("season", seasons.starts, begins),
    }


def kept_attributes(series: xr.DataArray) -> dict[str, Any]:
    """What stays true of anything measured on the series: where its CRS is, and that it was simulated."""
    return {"grid_mapping": "spatial_ref"} | {
        k: series.attrs[k] for k in ("grid_mapping", "comment") if k in series.attrs
    }


def unit_of(series: xr.DataArray) -> str:
    """The unit of the series; ``"1"`` where it names none."""
    return str(series.attrs.get("units", "1"))


def space_of(series: xr.DataArray) -> dict[Hashable, Any]:
    """The coordinates of the series that do not depend on time."""
    return {name: array for name, array in series.coords.items() if TIME not in array.dims}


def in_space(series: xr.DataArray, layers: Mapping[str, tuple[Any, str, str]], *leading: str) -> dict[Hashable, Any]:
    """Variables over the series' axes but time, after the ``leading`` ones, from data, title and unit of each."""
    axes = (*leading, *(str(name) for name in series.dims if name != TIME))
    kept = kept_attributes(series)
    return {
        name: (axes, data, {"long_name": title, "units": unit, **kept}) for name, (data, title, unit) in layers.items()
    }
