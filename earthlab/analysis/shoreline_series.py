"""Series of shoreline positions: free of the tide and of spikes, their trends, and how far methods disagree.

Positions are metres seawards from the start of a transect, so that a negative trend is erosion.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis import composite
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns
from earthlab.analysis.trends import theil_sen
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest, did_you_mean


def correct_for_tide(position: Any, tide: Any, slope: Any, *, level: float = 0.0) -> Any:
    """The position the shoreline would have with the sea at ``level``: ``position + (tide - level) / slope``.

    Parameters
    ----------
    position : array_like, pandas.Series or xarray.DataArray
        Metres seawards, of the line seen in the image.
    tide : like position
        Height of the sea at the image's moment, in metres above the same datum as ``level``.
    slope : float or like position
        Slope of the beach face, tan β, without unit.
    level : float
        Height, in metres, of the contour of the beach that is wanted: 0 for mean sea level.

    Returns
    -------
    Like position
        Metres; lazy and labelled as xarray and pandas do. NaN where position or tide are.

    Raises
    ------
    BadRequest
        For a slope that is not positive, or units other than metres.

    References
    ----------
    Vos et al. (2019), Sub-annual to multi-decadal shoreline variability from publicly available satellite imagery,
    doi:10.1016/j.coastaleng.2019.04.004.
    """
    _check_slope(slope, "correct_for_tide")
    for values, what in ((position, "position"), (tide, "tide")):
        check_units(values, "m", verb="correct_for_tide", what=what)
    return position + (tide - level) / slope


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
    _check_slope(slope, "implied_tide")
    for values, what in ((raw, "raw"), (corrected, "corrected")):
        check_units(values, "m", verb="implied_tide", what=what)
    return (corrected - raw) * slope + level


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
        As given, NaN in place of each spike.

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
    values = position.to_numpy("float64", na_value=np.nan).copy()
    kept = np.argsort(times, kind="stable")
    kept = kept[np.isfinite(values[kept])]
    while len(kept) > 2:
        height = _spike_heights(values[kept])
        worst = int(height.argmax())
        if not height[worst] > max_change:
            break
        values[kept[worst]] = np.nan
        kept = np.delete(kept, worst)
    return pd.Series(values, position.index, name=position.name)


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
    lags: int = 0,
) -> pd.DataFrame:
    """The trend of each series of positions, in metres a year, from its means by season.

    Seasons of many images count as much as those of few, so that neither the season nor the satellite that sees most
    makes the trend.

    Parameters
    ----------
    table : pandas.DataFrame
        One row an observation.
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
        used). Series of fewer than three means are left NaN.

    Raises
    ------
    BadRequest
        For missing columns or what holds no dates.
    """
    names = [by] if isinstance(by, str) else list(by)
    check_columns(table, (position, time, *names), "shoreline_trends")
    rows = []
    for label, part in table.groupby(names, sort=True):
        slopes = _trend(_series(part, position, time), period, confidence, lags)
        rows.append((*label, *slopes))
    found = pd.DataFrame(rows, columns=[*names, "slope", "slope_low", "slope_high", "observations"]).astype(
        {"observations": int}
    )
    found.attrs["units"] = {"slope": "m year-1", "slope_low": "m year-1", "slope_high": "m year-1", "observations": "1"}
    return found


def _trend(series: xr.DataArray, period: str | None, confidence: float, lags: int) -> tuple[float, float, float, int]:
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

    References
    ----------
    The measures are those of Vos et al. (2023), doi:10.1038/s43247-023-01001-2.
    """
    verb = "compare_shorelines"
    check_columns(table, (position, method, transect, time), verb)
    methods = sorted(table[method].unique())
    if len(methods) < 2:
        raise BadRequest(f"{verb}: found {len(methods)} method in {method!r}, expected two or more.")
    if reference is not None and reference not in methods:
        raise BadRequest(f"{verb}: no method {reference!r}. {did_you_mean(reference, map(str, methods))}")
    span = _span(within, verb)
    pairs = (
        itertools.combinations(methods, 2) if reference is None else [(m, reference) for m in methods if m != reference]
    )
    tidy = pd.DataFrame(
        {
            "method": table[method].to_numpy(),
            "transect": table[transect].to_numpy(),
            "time": _naive(pd.DatetimeIndex(table[time])),
            "position": table[position].to_numpy("float64", na_value=np.nan),
        }
    ).dropna(subset=["position", "time"])
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
        for _, part in tidy.groupby("transect", sort=False)
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


def dates_of(series: pd.Series, verb: str) -> pd.DatetimeIndex:
    """The dates of a series, in UTC and without saying so.

    Raises
    ------
    BadRequest
        For another index.
    """
    if not isinstance(series, pd.Series) or not isinstance(series.index, pd.DatetimeIndex):
        raise BadRequest(f"{verb}: expected a Series indexed by dates. Use table.set_index('time')['position'].")
    return _naive(series.index)


def _naive(times: pd.DatetimeIndex) -> pd.DatetimeIndex:
    return times if times.tz is None else times.tz_convert(None)


def _series(part: pd.DataFrame, position: str, time: str) -> xr.DataArray:
    seen = part[[time, position]].dropna()
    try:
        times = _naive(pd.DatetimeIndex(seen[time]))
        values = seen[position].to_numpy("float64")
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"shoreline_trends: expected dates in {time!r} and numbers in {position!r}: {exc}.") from exc
    return xr.DataArray(values, {"time": times}, ("time",), position, {"units": "m"})


def _span(within: str | pd.Timedelta, verb: str) -> pd.Timedelta:
    try:
        span = pd.Timedelta(within)
    except ValueError as exc:
        raise BadRequest(f"{verb}: within is {within!r}, expected a span of time, such as '10D'.") from exc
    if not span >= pd.Timedelta(0):
        raise BadRequest(f"{verb}: within is {within!r}, expected a span of time from 0, such as '10D'.")
    return span
