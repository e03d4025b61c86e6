"""Series of shoreline positions: free of the tide and of spikes, their trends, and how far methods disagree.

Positions are metres seawards from the start of a transect, so that a negative trend is erosion.
"""

import itertools
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis import composite
from earthlab.analysis.frames import as_dates
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns, moments_in, numbers_in
from earthlab.analysis.trends import theil_sen
from earthlab.analysis.units import check_units, numbers_of
from earthlab.errors import BadRequest, did_you_mean


def correct_for_tide(position: Any, tide: Any, slope: Any, *, level: float = 0.0) -> Any:
    """The position the shoreline would have with the sea at ``level``: ``position + (tide - level) / slope``.

    Parameters
    ----------
    position : array_like, pandas.Series, pandas.DataFrame or xarray.DataArray
        Metres seawards, of the line seen in the image; a DataFrame has a row a date and a column a transect.
    tide : like position
        Height of the sea at the image's moment, in metres above the same datum as ``level``; of a DataFrame a Series.
        A Series is found by the dates (or other labels) of the positions.
    slope : float or like position
        Slope of the beach face, tan β, without unit; of a DataFrame also a mapping or Series by transect.
    level : float
        Height, in metres, of the contour of the beach that is wanted: 0 for mean sea level.

    Returns
    -------
    Like position
        Metres; lazy and labelled as xarray and pandas do. NaN where position or tide are.

    Raises
    ------
    BadRequest
        For a slope that is not positive, units other than metres, or a tide of none of the dates.

    References
    ----------
    Vos et al. (2019), Sub-annual to multi-decadal shoreline variability from publicly available satellite imagery,
    doi:10.1016/j.coastaleng.2019.04.004.
    """
    verb = "correct_for_tide"
    if isinstance(position, pd.DataFrame):
        known = dict(slope) if isinstance(slope, Mapping | pd.Series) else dict.fromkeys(position, slope)
        lacking = [str(name) for name in position if name not in known]
        if lacking:
            raise BadRequest(f"{verb}: no slope for the transect {lacking[0]!r}. Give one for each, or one for all.")
        columns = [correct_for_tide(position[name], tide, known[name], level=level) for name in position]
        return pd.concat(columns, axis=1, keys=list(position)) if columns else position.copy()
    _check_slope(slope, verb)
    for values, what in ((position, "position"), (tide, "tide")):
        check_units(values, "m", verb=verb, what=what)
    seen, height, gradient = _beside(verb, position=position, tide=tide, slope=slope)
    return seen + (height - level) / gradient


def implied_tide(raw: Any, corrected: Any, slope: Any, *, level: float = 0.0) -> Any:
    """The tide that a correction used, in metres: `correct_for_tide` read backwards.

    All transects of one image must give the same, which proves how a published series was made.

    Parameters
    ----------
    raw, corrected : array_like, pandas.Series or xarray.DataArray
        Positions before and after the correction, in metres.
    slope, level
        As for `correct_for_tide`.

    Returns
    -------
    Like raw

    Raises
    ------
    BadRequest
        As for `correct_for_tide`.
    """
    verb = "implied_tide"
    _check_slope(slope, verb)
    for values, what in ((raw, "raw"), (corrected, "corrected")):
        check_units(values, "m", verb=verb, what=what)
    before, after, gradient = _beside(verb, raw=raw, corrected=corrected, slope=slope)
    return (after - before) * gradient + level


def _beside(verb: str, **named: Any) -> list[Any]:
    """The values as numbers, each Series found by the labels of the first: pandas would sort and widen them."""
    values: dict[str, Any] = {
        name: given if isinstance(given, np.ma.MaskedArray) else numbers_of(given) for name, given in named.items()
    }
    columns = [name for name in values if isinstance(values[name], pd.Series)]
    for name in columns[1:]:
        first = columns[0]
        there, here = values[name], values[first].index
        if isinstance(there.index, pd.DatetimeIndex) and isinstance(here, pd.DatetimeIndex):
            there, here = there.set_axis(as_dates(there.index)), as_dates(here)
        if not there.index.equals(here):
            if not there.index.is_unique or not here.isin(there.index).any():
                raise BadRequest(
                    f"{verb}: {name} has none of the dates of {first}, or some twice. Bring it to them first: "
                    f"{name}.reindex({first}.index, method='nearest')."
                )
            there = there.reindex(here)
        values[name] = there.set_axis(values[first].index)
    return list(values.values())


def despike(position: pd.Series, *, max_change: float = 40.0) -> pd.Series:
    """The series without its spikes: positions that stand out from both neighbours, on the same side.

    The sharpest spike goes first, then the rest is looked at again. The first and the last position are held against
    the two next to them. A lasting step is no spike.

    Parameters
    ----------
    position : pandas.Series
        Metres, indexed by dates in any order; NaN is no observation and no neighbour.
    max_change : float
        Metres beyond which a position stands out.

    Returns
    -------
    pandas.Series
        As given, float64, NaN in place of each spike and of what is infinite.

    Raises
    ------
    BadRequest
        For an index that holds no dates, or a change that is not positive.

    References
    ----------
    After the despiking of CoastSat, Vos et al. (2019), doi:10.1016/j.envsoft.2019.104528, with one order of removal.
    """
    if not max_change > 0:
        raise BadRequest(f"despike: max_change is {max_change!r}, expected metres above 0.")
    times = dates_of(position, "despike")
    values = numbers_in(position.to_frame("position"), "position", "despike").copy()
    kept = np.argsort(times, kind="stable")
    kept = kept[np.isfinite(values[kept]) & times.notna()[kept]]
    while len(kept) > 2:
        height = _spike_heights(values[kept])
        worst = int(height.argmax())
        if not height[worst] > max_change:
            break
        values[kept[worst]] = np.nan
        kept = np.delete(kept, worst)
    found = pd.Series(values, position.index, name=position.name)
    found.attrs.update(position.attrs)
    return found


def _spike_heights(values: Array) -> Array:
    places = np.arange(len(values))
    # An end is held against the two next to it, so that it is not blamed for a spike beside it.
    first, second = np.clip(places - 1, 0, None), np.clip(places + 1, None, len(values) - 1)
    first[0], second[-1] = 2, len(values) - 3
    one, other = values - values[first], values - values[second]
    return np.where(one * other > 0, np.minimum(np.abs(one), np.abs(other)), 0.0)


def shoreline_trends(
    table: pd.DataFrame,
    *,
    position: str = "position",
    by: str | Sequence[str] = "transect",
    time: str = "time",
    period: str | None = "season",
    confidence: float = 0.95,
    lags: int | None = None,
) -> pd.DataFrame:
    """The trend of each series of positions, in metres a year, from its means by season.

    Seasons of many images count as much as those of few, so that neither the season nor the satellite that sees most
    makes the trend.

    Parameters
    ----------
    table : pandas.DataFrame
        One row an observation; of a table with a column a transect `pandas.DataFrame.melt` makes one.
    position, time : str
        Columns of metres and of dates; NaN is no observation.
    by : str or sequence of str
        Columns that tell the series apart.
    period : str, optional
        What is averaged before: ``"season"``, ``"month"``, ``"year"``; None for the observations themselves.
    confidence, lags
        As for `earthlab.analysis.trends.theil_sen`, which finds the slope.

    Returns
    -------
    pandas.DataFrame
        One row a series: the columns of ``by``, ``slope``, ``slope_low``, ``slope_high`` (m year-1), ``observations``
            (means used). Series of fewer than three means are left NaN.

    Raises
    ------
    BadRequest
        For missing columns or what holds no dates.
    """
    names = [by] if isinstance(by, str) else list(by)
    known = observations_of(table, position, time, names, "shoreline_trends")
    rows = []
    for label, part in known.groupby(names, sort=True, observed=True):
        series = xr.DataArray(
            part[position], {"time": pd.DatetimeIndex(part[time])}, ("time",), position, {"units": "m"}
        )
        slopes = _trend(series.dropna("time"), period, confidence, lags)
        rows.append((*label, *slopes))
    found = pd.DataFrame(rows, columns=[*names, "slope", "slope_low", "slope_high", "observations"]).astype(
        {"observations": int}
    )
    found.attrs["units"] = {"slope": "m year-1", "slope_low": "m year-1", "slope_high": "m year-1", "observations": "1"}
    return found


def _trend(
    series: xr.DataArray, period: str | None, confidence: float, lags: int | None
) -> tuple[float, float, float, int]:
    if not series.size:
        return np.nan, np.nan, np.nan, 0
    means = series if period is None else composite.mean(series, period=period)
    seen = int(means.notnull().sum())
    if seen < 3:
        return np.nan, np.nan, np.nan, seen
    found = theil_sen(means, confidence=confidence, lags=lags)
    return float(found.slope), float(found.slope_low), float(found.slope_high), int(found.observations)


def compare_shorelines(
    table: pd.DataFrame,
    *,
    position: str = "position",
    method: str = "algorithm",
    transect: str = "transect",
    time: str = "time",
    within: str | pd.Timedelta = "1D",
    reference: str | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How far methods disagree about the same shore on the same days.

    Two positions are compared where each is the other's nearest in time on that transect, within ``within``. Transects
    of one date share the image and the tide; the interval of the bias takes each date as one observation.

    Parameters
    ----------
    table : pandas.DataFrame
        One row an observation, of all methods.
    position, method, transect, time : str
        Its columns: metres, names of methods and transects, dates. NaN positions do not count.
    within : str or pandas.Timedelta
        Longest time between two positions compared.
    reference : str, optional
        The method all others are held against, such as a survey on the ground. Default: every pair of methods.
    confidence : float
        Share of such intervals that should hold the true bias.

    Returns
    -------
    pandas.DataFrame
        One row a pair: ``first``, ``second``, ``n``, ``dates``, ``bias`` (mean of first - second), ``bias_low``,
        ``bias_high``, ``std``, ``rmse``, ``q90`` (of the absolute difference), all in metres. NaN without a pair.

    Raises
    ------
    BadRequest
        For missing columns, fewer than two methods, an unknown reference, or what is no span of time.

    Notes
    -----
    In simulated comparisons the intervals of 95 % hold the true bias 93 to 95 times in 100, of 5 to 100 dates, with
    errors that the transects of a date share and with heavy tails. Where the errors of one date follow those of the
    date before (autocorrelation 0.6) 85 times.

    References
    ----------
    The measures are those of Vos et al. (2023), doi:10.1038/s43247-023-01001-2.
    """
    verb = "compare_shorelines"
    check_columns(table, (position, method, transect, time), verb)
    if not 0 < confidence < 1:
        raise BadRequest(f"{verb}: confidence is {confidence!r}, expected a share between 0 and 1, such as 0.95.")
    methods = sorted(table[method].dropna().unique(), key=str)
    if len(methods) < 2:
        raise BadRequest(f"{verb}: found {len(methods)} method in {method!r}, expected two or more.")
    if reference is not None and reference not in methods:
        raise BadRequest(f"{verb}: no method {reference!r}. {did_you_mean(reference, map(str, methods))}")
    span = _span(within, verb)
    pairs = (
        itertools.combinations(methods, 2) if reference is None else [(m, reference) for m in methods if m != reference]
    )
    words = {position: "position", method: "method", transect: "transect", time: "time"}
    tidy = observations_of(table, position, time, [method, transect], verb).rename(columns=words).dropna()
    rows = []
    for first, second in pairs:
        matched = _matched(tidy, first, second, span)
        rows.append({"first": first, "second": second, **_measures(matched, confidence)})
    found = pd.DataFrame(rows)
    found.attrs["units"] = dict.fromkeys(("bias", "bias_low", "bias_high", "std", "rmse", "q90"), "m")
    return found


_NONE = pd.DataFrame({"time": np.array([], "datetime64[ns]"), "difference": np.array([], "float64")})


def _matched(tidy: pd.DataFrame, first: Any, second: Any, span: pd.Timedelta) -> pd.DataFrame:
    found = [
        _nearest(part[part["method"] == first], part[part["method"] == second], span)
        for _, part in tidy.groupby("transect", sort=False, observed=True)
    ]
    return pd.concat([_NONE, *found])


def _nearest(first: pd.DataFrame, second: pd.DataFrame, span: pd.Timedelta) -> pd.DataFrame:
    if not len(first) or not len(second):
        return _NONE
    here, there = (part.sort_values("time", kind="stable").reset_index(drop=True) for part in (first, second))
    forth, back = _closest(here["time"], there["time"]), _closest(there["time"], here["time"])
    rows = np.arange(len(here))
    apart = np.abs(here["time"].to_numpy() - there["time"].to_numpy()[forth])
    kept = (back[forth] == rows) & (apart <= span.to_timedelta64())
    difference = here["position"].to_numpy()[kept] - there["position"].to_numpy()[forth[kept]]
    return pd.DataFrame({"time": here["time"][kept].to_numpy(), "difference": difference})


def _closest(times: pd.Series, among: pd.Series) -> Array:
    # Of dates that are equally near, the earliest.
    wanted, known = times.to_numpy(), among.to_numpy()
    after = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1) if len(known) > 1 else np.zeros(len(wanted), int)
    before = np.maximum(after - 1, 0)
    nearer = np.where(np.abs(wanted - known[before]) <= np.abs(known[after] - wanted), before, after)
    return np.asarray(np.searchsorted(known, known[nearer]))


def _measures(matched: pd.DataFrame, confidence: float) -> dict[str, float]:
    from scipy.stats import t as student

    difference = matched["difference"].to_numpy("float64")
    number = len(difference)
    dates = matched["time"].nunique()
    names = ("bias", "bias_low", "bias_high", "std", "rmse", "q90")
    if not number:
        return {"n": 0, "dates": 0, **dict.fromkeys(names, np.nan)}
    bias = difference.mean()
    away = np.nan
    if dates > 1:
        sums = matched.assign(rest=difference - bias).groupby("time")["rest"].sum()
        error = np.sqrt((sums**2).sum() * dates / (dates - 1)) / number
        away = error * student.ppf(0.5 + confidence / 2, dates - 1)
    rmse = np.sqrt((difference**2).mean())
    q90 = np.quantile(np.abs(difference), 0.9)
    values = (bias, bias - away, bias + away, difference.std(), rmse, q90)
    return {"n": number, "dates": dates, **dict(zip(names, map(float, values), strict=True))}


def _check_slope(slope: Any, verb: str) -> None:
    found = np.asarray(slope, "float64")
    if not (found[np.isfinite(found)] > 0).all() or not np.isfinite(found).any():
        raise BadRequest(
            f"{verb}: slope is {slope!r}, expected tan β above 0, such as 0.05 (metres up a metre across)."
        )


def observations_of(table: pd.DataFrame, position: str, time: str, names: Sequence[str], verb: str) -> pd.DataFrame:
    """The columns of a table of positions, as numbers (NaN for infinite ones) at dates in UTC.

    Raises
    ------
    BadRequest
        For missing columns, what holds no dates or no numbers, or units other than metres.
    """
    check_columns(table, (position, time, *names), verb)
    check_units(table[position], "m", verb=verb, what=position)
    columns = {name: table[name].to_numpy() for name in names}
    return pd.DataFrame(
        {**columns, time: moments_in(table, time, verb), position: numbers_in(table, position, verb)}
    ).dropna(subset=[time])


def dates_of(series: pd.Series, verb: str) -> pd.DatetimeIndex:
    """The dates of a series, in UTC and without saying so.

    Raises
    ------
    BadRequest
        For another index.
    """
    if not isinstance(series, pd.Series) or not isinstance(as_dates(series.index), pd.DatetimeIndex):
        raise BadRequest(f"{verb}: expected a Series indexed by dates. Use table.set_index('time')['position'].")
    return pd.DatetimeIndex(as_dates(series.index))


def _span(within: str | pd.Timedelta, verb: str) -> pd.Timedelta:
    try:
        # pandas takes a bare number for nanoseconds, which nobody means.
        span = pd.Timedelta(within if isinstance(within, str | timedelta | np.timedelta64) else "none")
    except ValueError as exc:
        raise BadRequest(f"{verb}: within is {within!r}, expected a span of time, such as '10D'.") from exc
    if not span >= pd.Timedelta(0):
        raise BadRequest(f"{verb}: within is {within!r}, expected a span of time from 0, such as '10D'.")
    return span
