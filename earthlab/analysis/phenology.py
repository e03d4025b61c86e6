"""The course of a season from a vegetation index: when it peaks, how far it swings, when it ends.

A first, small set for monthly series; the indicators follow the definitions of TIMESAT (Jönsson and Eklundh 2004,
Computers & Geosciences 30, 833-845) with linear interpolation between dates.
"""

from typing import Any

import numpy as np
import xarray as xr

from earthlab.errors import BadRequest

_DAY = np.timedelta64(1, "D")


def season(index: xr.DataArray, *, fraction: float = 0.5) -> xr.Dataset:
    """Peak, amplitude and end of the season in each pixel.

    Parameters
    ----------
    index : xarray.DataArray
        A vegetation index with an axis ``time`` of one season, ascending; NaN is no observation. Time must be one
        chunk where it is a dask array.
    fraction : float
        Share of the amplitude at which the season is said to end, between 0 and 1.

    Returns
    -------
    xarray.Dataset
        ``peak`` and ``amplitude`` in the index's unit; ``peak_day`` and ``end_day`` as days of the year (1 is the
        first of January of the first date's year), interpolated between dates; ``end_day`` is NaN where the index
        never falls so far after its peak. Lazy if the index is.

    Raises
    ------
    BadRequest
        Without an ascending axis ``time`` of two dates or more, or for a fraction outside ]0, 1[.
    """
    dates = index.indexes.get("time")
    if "time" not in index.dims or dates is None or len(dates) < 2 or not dates.is_monotonic_increasing:
        raise BadRequest("season: expected an ascending axis 'time' of two dates or more.")
    if len(index.chunksizes.get("time", ())) > 1:
        raise BadRequest("season: expected all dates in one chunk. Write index.chunk(time=-1).")
    if not 0 < fraction < 1:
        raise BadRequest(f"season: fraction is {fraction!r}, expected a number between 0 and 1.")
    days = _days_of_year(index.time.values)
    measured = xr.apply_ufunc(
        _season,
        index,
        kwargs={"days": days, "fraction": fraction},
        input_core_dims=[["time"]],
        output_core_dims=[["indicator"]],
        dask="parallelized",
        output_dtypes=[np.dtype("float32")],
        dask_gufunc_kwargs={"output_sizes": {"indicator": 4}},
    )
    return _named(measured, str(index.attrs.get("units", "1")))


def _days_of_year(times: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    first_of_january = times[0].astype("datetime64[Y]").astype(times.dtype)
    return np.asarray((times - first_of_january) / _DAY + 1.0)


def _season(values: Any, *, days: Any, fraction: float) -> Any:
    observed = np.isfinite(values)
    any_date = observed.any(axis=-1)
    filled = np.where(observed, values, -np.inf)
    at = filled.argmax(axis=-1)
    peak = np.where(any_date, np.take_along_axis(filled, at[..., None], -1)[..., 0], np.nan)
    low = np.where(any_date, np.where(observed, values, np.inf).min(axis=-1), np.nan)
    level = low + fraction * (peak - low)
    out = (peak, np.where(any_date, days[at], np.nan), peak - low, _falls_below(values, days, at, level))
    return np.stack(out, axis=-1).astype("float32")


def _falls_below(values: Any, days: Any, peak_at: Any, level: Any) -> Any:
    end = np.full(level.shape, np.nan)
    last_value, last_day = np.full(level.shape, np.nan), np.full(level.shape, np.nan)
    for step, day in enumerate(days):
        now = values[..., step]
        crossing = (step > peak_at) & np.isnan(end) & (now < level) & (last_value >= level)
        share = (last_value - level) / np.where(crossing, last_value - now, 1.0)
        end = np.where(crossing, last_day + share * (day - last_day), end)
        seen = np.isfinite(now)
        last_value, last_day = np.where(seen, now, last_value), np.where(seen, day, last_day)
    return end


def _named(measured: xr.DataArray, unit: str) -> xr.Dataset:
    words = {
        "peak": ("maximum de la saison / peak of the season", unit),
        "peak_day": ("jour du maximum / day of the peak", "day of year"),
        "amplitude": ("amplitude de la saison / amplitude of the season", unit),
        "end_day": ("fin de saison / end of the season", "day of year"),
    }
    return xr.Dataset(
        {
            name: measured.isel(indicator=at, drop=True).assign_attrs(
                long_name=title, units=units, grid_mapping="spatial_ref"
            )
            for at, (name, (title, units)) in enumerate(words.items())
        }
    )
