"""The course of a season from a vegetation index: when it starts, peaks and ends, how far it swings, its sums.

The indicators follow the definitions of TIMESAT (Jönsson and Eklundh 2004, doi:10.1016/j.cageo.2004.05.006) with linear
interpolation between dates, the dynamic habitat indices and the harmonic model of each season. `season` is the first
look at a few monthly dates; `phenology` gives all of it, a season after the other.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME, map_columns, pick, whole_columns
from earthlab.analysis.harmonics import EPOCH, YEAR, harmonic_amplitudes, harmonic_design
from earthlab.analysis.indicators import HARMONIC, INDICATORS, Indicator
from earthlab.analysis.kernels.compiling import Array, as_columns, floats_for
from earthlab.analysis.kernels.least_squares import least_squares
from earthlab.analysis.kernels.season import season_indicators
from earthlab.analysis.series import (
    Seasons,
    check_series,
    constant,
    days_since,
    earliest_first,
    in_space,
    is_between,
    resolve_seasons,
    season_coordinates,
    space_of,
    unit_of,
)
from earthlab.errors import BadRequest, did_you_mean

_WAVES = ("mean", "sin_1", "cos_1", "sin_2", "cos_2", "sin_3", "cos_3")
_LEAST_FOR_WAVES = len(_WAVES) + 1

_DAY = np.timedelta64(1, "D")


def phenology(
    index: xr.DataArray,
    *,
    indicators: Iterable[str] | None = None,
    start: str = "01-01",
    months: int = 12,
    least: int = 4,
) -> xr.Dataset:
    """The indicators of each season in each pixel, 64 of them, in one compiled pass.

    `indicator_table` defines each. The season's peak is its largest observation; the bases are the least ones before
    and after it; dates are found from the peak outwards, by proportion between two observations. Noisy series are best
    smoothed first (`earthlab.analysis.smoothing`).

    Parameters
    ----------
    index : xarray.DataArray
        A vegetation index with dates along ``time`` in any order, over any number of years; NaN is no observation. Two
        observations of one instant are averaged.
    indicators : iterable of str, optional
        Names to compute. Default: all; fewer take less memory.
    start : str
        Month and day on which each season's window begins: ``"07-01"`` south of the equator, ``"09-01"`` for winter
        crops.
    months : int
        Length of the window, 1 to 12. A window holds one season: for two crops a year ask twice, such as from
        ``"01-01"`` and from ``"07-01"`` for six months each.
    least : int
        Fewest observations of a season; with fewer all is NaN but ``count``. The harmonic model needs 8.

    Returns
    -------
    xarray.Dataset
        One variable an indicator, axes ``season`` then those of the index but time, in the float dtype of the index.
        ``season`` is the year in which the window begins; days count from the first of January of that year, which is
        1, and go on beyond 366. A window that the series only partly covers is measured on what there is: leave out
        the first and last ``season`` where ``count`` is lower than in the others. Lazy if the index is.

    Raises
    ------
    BadRequest
        Without dates, for an unknown indicator or window, or fewer than ``least`` dates.

    References
    ----------
    Jönsson and Eklundh (2004), TIMESAT – a program for analyzing time-series of satellite sensor data,
    doi:10.1016/j.cageo.2004.05.006. Coops et al. (2008), The development of a Canadian dynamic habitat index using
    multi-temporal satellite estimates of canopy light absorbance, doi:10.1016/j.ecolind.2008.01.007.
    """
    chosen = _chosen(indicators)
    if not is_between(least, 0.5, np.inf):
        raise BadRequest(f"phenology: least is {least!r}, expected 1 or more.")
    series = check_series(index, "phenology", least=least)
    seasons = resolve_seasons(series, start, months, "phenology")
    design = harmonic_design(series.indexes[TIME], _WAVES, period=YEAR, epoch=EPOCH)
    function = partial(_indicators, seasons=seasons, chosen=chosen, least=least, design=design)
    number, dtype = len(seasons.periods), floats_for(series.dtype)
    stacked = map_columns(function, [series], layers=len(chosen), periods=number, dtype=dtype)
    unit = unit_of(series)
    layers = {
        each.name: (pick(stacked, at, drop_time=False), each.title, each.unit(unit)) for at, each in enumerate(chosen)
    }
    return xr.Dataset(in_space(series, layers, "season"), {**space_of(series), **season_coordinates(seasons)})


def indicator_table() -> pd.DataFrame:
    """The indicators of `phenology`: name, unit (for an index without unit) and definition, French and English."""
    rows = [(each.name, each.unit("1"), each.fr, each.en) for each in INDICATORS.values()]
    return pd.DataFrame(rows, columns=["indicator", "unit", "définition", "definition"]).set_index("indicator")


def _chosen(names: Iterable[str] | None) -> tuple[Indicator, ...]:
    wanted = tuple(INDICATORS if names is None else names)
    for name in wanted:
        if name not in INDICATORS:
            raise BadRequest(f"phenology: no indicator {name!r}. {did_you_mean(name, INDICATORS)}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise BadRequest(f"phenology: expected each indicator once, found {', '.join(wanted) or 'none'}.")
    return tuple(INDICATORS[name] for name in wanted)


def _indicators(values: Array, *, seasons: Seasons, chosen: tuple[Indicator, ...], least: int, design: Array) -> Array:
    columns = as_columns(values)
    number, pixels = len(seasons.periods), columns.shape[1]
    out = np.empty((len(chosen), number, pixels), columns.dtype)
    direct = [at for at, each in enumerate(chosen) if each.layer != HARMONIC]
    if direct:
        found = np.empty((len(direct), number, pixels), columns.dtype)
        layers = np.array([chosen[at].layer for at in direct])
        season_indicators(columns, constant(seasons.days), *seasons.periods.places, least, layers, found)
        out[direct] = found
    if len(direct) < len(chosen):
        waves = _season_waves(columns, seasons, design)
        for at in sorted(set(range(len(chosen))) - set(direct)):
            out[at] = waves[chosen[at].name]
    return out.reshape(*out.shape[:2], *values.shape[1:])


def _season_waves(columns: Array, seasons: Seasons, design: Array) -> dict[str, Array]:
    shape = (len(seasons.periods), columns.shape[1])
    found, inverse = np.empty((len(_WAVES), *shape)), np.empty((len(_WAVES), len(_WAVES), shape[0], 0))
    spread, count = np.empty(shape), np.empty(shape, "int32")
    places = seasons.periods.places
    least_squares(columns, constant(design), *places, _LEAST_FOR_WAVES, found, inverse, spread, count)
    amplitudes, phases = harmonic_amplitudes(found[1:], YEAR)
    phases = _within_window(phases, seasons)
    waves = {"harmonic_mean": found[0], "harmonic_rmse": spread}
    for at, (size, day) in enumerate(zip(amplitudes, phases, strict=True), start=1):
        waves |= {f"harmonic_amplitude_{at}": size, f"harmonic_phase_{at}": day}
    return waves


def _within_window(phases: Array, seasons: Seasons) -> Array:
    # From days since the epoch to days of the season's year, on the first crest in the window: a crest about New Year
    # then has one number in all years of a southern series.
    januaries = pd.DatetimeIndex(seasons.starts.values.astype("datetime64[Y]").astype("datetime64[ns]"))
    since, first = days_since(januaries, EPOCH)[:, None], days_since(seasons.starts, EPOCH)[:, None]
    lengths = (YEAR / np.arange(1, len(phases) + 1))[:, None, None]
    return np.asarray((phases - 1 - first) % lengths + first - since + 1)


def season(index: xr.DataArray, *, fraction: float = 0.5) -> xr.Dataset:
    """Peak, amplitude and end of one season in each pixel: the first look, from a few dates.

    Parameters
    ----------
    index : xarray.DataArray
        A vegetation index with dates of one season along ``time`` in any order; NaN is no observation.
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
        Without two dates along ``time``, or for a fraction outside ]0, 1[.
    """
    series = check_series(index, "season")
    if not is_between(fraction, 0, 1):
        raise BadRequest(f"season: fraction is {fraction!r}, expected a number between 0 and 1.")
    ordered = whole_columns(series.isel(time=earliest_first(series)))
    days = _days_of_year(ordered.indexes[TIME].values)
    measured = xr.apply_ufunc(
        _season,
        ordered,
        kwargs={"days": days, "fraction": fraction},
        input_core_dims=[["time"]],
        output_core_dims=[["indicator"]],
        dask="parallelized",
        output_dtypes=[np.dtype("float32")],
        dask_gufunc_kwargs={"output_sizes": {"indicator": 4}},
    )
    return _named(measured, unit_of(series))


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
