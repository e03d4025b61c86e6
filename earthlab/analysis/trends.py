"""Trends of series and of whole cubes that outliers, gaps and uneven dates do not upset.

The slope of Theil and Sen with its interval, the test of Mann and Kendall, both also season by season, and series freed
of their season. Compiled, and on dask one task a block.
"""

from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr, ndtri

from earthlab.analysis import composite
from earthlab.analysis.columns import TIME, map_columns, pick
from earthlab.analysis.frames import as_dates, check_cube
from earthlab.analysis.kernels.compiling import Array, as_columns
from earthlab.analysis.kernels.slopes import FOUND, LAYERS, pair_trends
from earthlab.errors import AskLess, BadRequest

Series = xr.DataArray | pd.Series
Deseasonaliser = Literal["means", "line", "stl"]

DAYS_A_YEAR = 365.2425
"""The mean year of the calendar: slopes are per year of so many days."""

MOST_DATES = 4000
"""More dates make more than 8 million pairs a pixel."""

_FEWEST = 3
_SEASONS = {"month": ("MS", 12), "mois": ("MS", 12), "season": ("QS-DEC", 4), "saison": ("QS-DEC", 4)}
_TREND = {
    "slope": "pente de Theil-Sen / Theil-Sen slope",
    "slope_low": "borne basse de la pente / lower bound of the slope",
    "slope_high": "borne haute de la pente / upper bound of the slope",
    "intercept": "valeur au premier jour / value on the first day",
    "observations": "nombre d'observations / number of observations",
}
_TEST = {
    "statistic": "S de Mann-Kendall / Mann-Kendall S",
    "variance": "variance de S / variance of S",
    "z": "écart réduit / standard score",
    "p_value": "valeur p bilatérale / two-sided p-value",
    "tau": "tau-b de Kendall / Kendall's tau-b",
    "observations": _TREND["observations"],
}


def theil_sen(
    values: Series,
    *,
    confidence: float = 0.95,
    lags: int | None = None,
) -> xr.Dataset:
    """The median of the slopes between all pairs of dates, per year, with its interval.

    Parameters
    ----------
    values : xarray.DataArray or pandas.Series
        A series or cube with dates along ``time`` (the index of a pandas Series), in any order and at any spacing; NaN
        is no observation.
    confidence : float
        Share of such intervals that should hold the true slope.
    lags : int, optional
        How far the errors of one date resemble those of the next ones, which makes an interval for independent errors
        too short. By default that is found in the series, from eight observations on: the interval becomes as wide as
        the first run of positive autocorrelations of the residuals' ranks asks for, or the one at lag one without its
        bias, if that asks for more. A number takes the significant ones at so many first lags, counted in
        observations (Hamed and Rao), 0 none. The interval is never made shorter.

    Returns
    -------
    xarray.Dataset
        float64: ``slope``, ``slope_low`` and ``slope_high`` in the values' unit per year, ``intercept``, the line's
        value at the first date (attribute ``origin``), and ``observations``, their number. NaN for fewer than three.
        Other axes, coordinates and laziness are those of the values.

    Raises
    ------
    BadRequest
        Without three dates along ``time``, for values that are no numbers, or words outside their range.
    AskLess
        For more than 4,000 dates: average by day or month first.

    Notes
    -----
    How many of 100 intervals of 95 % hold the true slope, in 600 simulated series of each kind whose errors follow
    their forerunners with the autocorrelation given; in brackets with ``lags=3`` and with ``lags=0``:

    ============  ============  ============  ============  ============  ============
    observations  0             0.3           0.5           0.8           0.5, heavy
    ============  ============  ============  ============  ============  ============
    24            97 (96, 96)   96 (91, 91)   92 (81, 78)   87 (72, 59)   91 (80, 77)
    60            95 (95, 94)   93 (88, 86)   93 (84, 74)   93 (83, 53)   94 (88, 76)
    120           94 (94, 94)   94 (92, 85)   94 (91, 75)   94 (83, 52)   95 (90, 75)
    300           96 (95, 94)   94 (92, 85)   96 (94, 76)   95 (85, 52)   96 (93, 73)
    ============  ============  ============  ============  ============  ============

    Memory longer than that (autocorrelations that fall slowly, from 0.5 or less) leaves 79 to 92. A season in the
    values widens the interval; `deseasonalise` takes it away, `seasonal_slope` looks past it.

    References
    ----------
    Sen (1968), Estimates of the regression coefficient based on Kendall's tau, Journal of the American Statistical
    Association 63, 1379-1389, doi:10.1080/01621459.1968.10480934. Hamed and Rao (1998), A modified Mann-Kendall trend
    test for autocorrelated data, Journal of Hydrology 204, 182-196, doi:10.1016/S0022-1694(97)00125-X. Yue and Wang
    (2004), The Mann-Kendall test modified by effective sample size to detect trend in serially correlated hydrological
    series, Water Resources Management 18, 201-218, doi:10.1023/B:WARM.0000043140.61082.60, for the autocorrelation at
    lag one. Geyer (1992), Practical Markov chain Monte Carlo, Statistical Science 7, 473-483,
    for the first run.
    """
    array = _checked(values, "theil_sen")
    _check_words("theil_sen", confidence, lags)
    measure = partial(_measure, dates=_dates(array), deviate=_deviate(confidence), lags=_reach(lags))
    return _told(array, _layers(array, measure), _TREND)


def seasonal_slope(
    values: Series, *, season: str = "month", confidence: float = 0.95, lags: int | None = None
) -> xr.Dataset:
    """The median of the slopes between the same months (or seasons) of different years, per year, with its interval.

    Parameters
    ----------
    values, confidence, lags
        As for `theil_sen`, with ranks within each month. Several dates within one month count as their median.
    season : str
        ``"month"`` or ``"season"`` (of three months, from December); mois, saison.

    Returns
    -------
    xarray.Dataset
        As for `theil_sen`, without ``intercept``; ``observations`` is the number of months with an observation.

    Raises
    ------
    BadRequest, AskLess
        As for `theil_sen`, and for an unknown season.

    References
    ----------
    Hirsch, Slack and Smith (1982), Techniques of trend analysis for monthly water quality data, Water Resources
    Research 18, 107-121, doi:10.1029/WR018i001p00107.
    """
    _check_words("seasonal_slope", confidence, lags)
    array, measure = _seasonal(values, "seasonal_slope", season, _deviate(confidence), lags)
    words = {name: title for name, title in _TREND.items() if name != "intercept"}
    return _told(array, _layers(array, measure), words)


def mann_kendall(values: Series, *, lags: int | None = None) -> xr.Dataset:
    """Mann and Kendall's test of whether values rise or fall with time more often than chance would have it.

    Parameters
    ----------
    values, lags
        As for `theil_sen`.

    Returns
    -------
    xarray.Dataset
        float64: ``statistic`` (S), its ``variance`` with ties and autocorrelation taken into account (with ``lags=0``
        ties only), ``z`` with the correction for continuity, two-sided ``p_value``, ``tau`` (tau-b), and
        ``observations``, their number; NaN for fewer than three. Axes and laziness as for `theil_sen`.

    Raises
    ------
    BadRequest, AskLess
        As for `theil_sen`.

    References
    ----------
    Mann (1945), Nonparametric tests against trend, Econometrica 13, 245-259, doi:10.2307/1907187; Hamed and Rao (1998),
    as for `theil_sen`.
    """
    array = _checked(values, "mann_kendall")
    _check_words("mann_kendall", lags=lags)
    return _tested(array, partial(_measure, dates=_dates(array), deviate=0.0, lags=_reach(lags)))


def seasonal_mann_kendall(values: Series, *, season: str = "month", lags: int | None = None) -> xr.Dataset:
    """The test of Mann and Kendall that compares each month (or season) with the same of other years only.

    Parameters
    ----------
    values, season, lags
        As for `seasonal_slope`; with ``lags=0`` the months are taken as independent of each other.

    Returns
    -------
    xarray.Dataset
        As for `mann_kendall`: ``statistic`` and ``variance`` are the sums over the months.

    Raises
    ------
    BadRequest, AskLess
        As for `seasonal_slope`.

    References
    ----------
    Hirsch, Slack and Smith (1982), as for `seasonal_slope`.
    """
    _check_words("seasonal_mann_kendall", lags=lags)
    return _tested(*_seasonal(values, "seasonal_mann_kendall", season, 0.0, lags))


def deseasonalise(
    values: Series,
    *,
    season: str = "month",
    method: Deseasonaliser = "line",
    smoothing: int = 7,
    robust: bool = False,
) -> xr.DataArray:
    """The values without what returns every year, at their mean level.

    Parameters
    ----------
    values : xarray.DataArray or pandas.Series
        As for `theil_sen`. For ``"stl"`` one value a month (or season), none left out: `composite.mean` makes them.
    season : str
        ``"month"`` or ``"season"``, as for `seasonal_slope`.
    method : {"line", "means", "stl"}
        ``"line"`` takes away by how much each month lies above or below a line that is fitted together with the
        months, at any dates. ``"means"`` takes the plain mean of each month over all years away, and with it a part of
        a trend: 28 % of the slope over two whole years, 13 % over three, 5 % over five, 1 % over ten. ``"stl"`` takes
        away a season that may change with the years (statsmodels); gaps are bridged by straight lines for it and stay
        gaps.
    smoothing : int
        Of ``"stl"``: over how many years the season is smoothed, an odd number of 3 or more.
    robust : bool
        Of ``"stl"``: whether outliers count less.

    Returns
    -------
    xarray.DataArray
        float64, axes as the values with time first, dates ascending; lazy if the values are.

    Raises
    ------
    BadRequest
        As for `theil_sen`, for an unknown season or method, and for ``"stl"`` where dates are missing, lie twice in one
        period, or make less than two years.

    References
    ----------
    Cleveland, Cleveland, McRae and Terpenning (1990), STL: a seasonal-trend decomposition procedure based on loess,
    Journal of Official Statistics 6, 3-73.
    """
    array = _checked(values, "deseasonalise")
    _, number = _season("deseasonalise", season)
    array = array.isel({TIME: np.argsort(array.indexes[TIME], kind="stable")})
    periods = _running(array.indexes[TIME], number)
    if method in ("line", "means"):
        years = (array.indexes[TIME] - array.indexes[TIME][0]) / pd.Timedelta(days=DAYS_A_YEAR)
        remove = partial(_without_means, codes=periods % number, years=np.asarray(years) * (method == "line"))
    elif method == "stl":
        _check_stl(periods, number, smoothing, season)
        remove = partial(_without_stl, period=number, smoothing=smoothing, robust=robust)
    else:
        raise BadRequest(f"deseasonalise: method is {method!r}, expected 'line', 'means' or 'stl'.")
    dtype = np.dtype("float64")
    stacked = map_columns(remove, [array], layers=1, periods=array.sizes[TIME], dtype=dtype)
    return array.copy(data=pick(stacked, 0, drop_time=False))


def _checked(values: Series, verb: str) -> xr.DataArray:
    if isinstance(values, pd.Series):
        values = _from_pandas(values, verb)
    if not isinstance(values, xr.DataArray):
        raise BadRequest(
            f"{verb}: expected a DataArray or Series, found {type(values).__name__}. Choose one: cube['…']."
        )
    array = check_cube(values, verb).transpose(TIME, ...)
    times = array.indexes.get(TIME)
    if not isinstance(times, pd.DatetimeIndex) or times.hasnans:
        raise BadRequest(
            f"{verb}: expected dates along 'time', all of them known. Convert them: pandas.to_datetime(…)."
        )
    if times.nunique() < _FEWEST:
        raise BadRequest(f"{verb}: found {times.nunique()} date(s), expected {_FEWEST} or more. Widen the period.")
    return array


def _from_pandas(series: pd.Series, verb: str) -> xr.DataArray:
    stamps = series.index.to_timestamp() if isinstance(series.index, pd.PeriodIndex) else series.index
    series = series.set_axis(as_dates(stamps))
    if not isinstance(series.index, pd.DatetimeIndex):
        raise BadRequest(
            f"{verb}: expected a Series indexed by dates, found {series.index.dtype}. Use set_index('time')."
        )
    try:
        numbers = series.to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"{verb}: {series.name!r} holds {series.dtype} values, expected numbers. Convert it.") from exc
    return xr.DataArray(numbers, {TIME: series.index.rename(TIME)}, (TIME,), series.name, series.attrs)


def _check_words(verb: str, confidence: float = 0.95, lags: int | None = None) -> None:
    if not 0 < confidence < 1:
        raise BadRequest(f"{verb}: confidence is {confidence!r}, expected a share between 0 and 1, such as 0.95.")
    if lags is not None and not (isinstance(lags, int | np.integer) and lags >= 0):
        raise BadRequest(f"{verb}: lags is {lags!r}, expected a whole number of observations, 0 for none.")


def _reach(lags: int | None) -> int:
    return FOUND if lags is None else int(lags)


def _deviate(confidence: float) -> float:
    return float(ndtri(0.5 + confidence / 2))


def _dates(array: xr.DataArray, seasons: Array | None = None) -> tuple[Array, Array, Array]:
    times = array.indexes[TIME]
    if len(times) > MOST_DATES:
        raise AskLess(
            f"{array.name or 'values'}: {len(times):,} dates are more than the {MOST_DATES:,} whose pairs can be "
            "compared. Average them first: earthlab.analysis.composite.mean(values, period='month')."
        )
    order = np.argsort(times, kind="stable")
    years = ((times - times.min()) / pd.Timedelta(days=DAYS_A_YEAR)).to_numpy()[order]
    codes = np.zeros(len(times), "int64") if seasons is None else seasons[order]
    return order, years, codes


def _season(verb: str, season: str) -> tuple[str, int]:
    if season not in _SEASONS:
        raise BadRequest(f"{verb}: season is {season!r}, expected 'month' or 'season' (mois, saison).")
    return _SEASONS[season]


def _running(times: pd.DatetimeIndex, number: int) -> Array:
    months = times.year * 12 + times.month - 1
    return np.asarray(months if number == 12 else (months + 1) // 3, "int64")


def _seasonal(
    values: Series, verb: str, season: str, deviate: float, lags: int | None
) -> tuple[xr.DataArray, partial[Array]]:
    freq, number = _season(verb, season)
    array = composite.median(_checked(values, verb), period=freq)
    dates = _dates(array, _running(array.indexes[TIME], number) % number)
    return array, partial(_measure, dates=dates, deviate=deviate, lags=_reach(lags))


def _layers(array: xr.DataArray, measure: partial[Array]) -> dict[str, Any]:
    stacked = map_columns(measure, [array], layers=len(LAYERS), periods=1, dtype=np.dtype("float64"))
    return {name: pick(stacked, at, drop_time=True) for at, name in enumerate(LAYERS)}


def _measure(block: Array, *, dates: tuple[Array, Array, Array], deviate: float, lags: int) -> Array:
    order, years, seasons = dates
    columns = as_columns(block[order])
    out = np.empty((len(LAYERS), columns.shape[1]))
    pair_trends(columns, years, seasons, deviate, lags, out)
    return out.reshape(len(LAYERS), 1, *block.shape[1:])


def _tested(array: xr.DataArray, measure: partial[Array]) -> xr.Dataset:
    layers = _layers(array, measure)
    total, variance = layers["statistic"], layers["variance"]
    z = np.sign(total) * np.maximum(abs(total) - 1, 0) / np.sqrt(np.where(variance == 0, 1, variance))
    told = {**layers, "z": z}
    rest = array.isel({TIME: 0}, drop=True)
    p_value = xr.apply_ufunc(ndtr, -abs(rest.copy(data=z)), dask="parallelized", output_dtypes=["float64"])
    return _told(array, {**told, "p_value": 2 * p_value.data}, _TEST)


def _told(array: xr.DataArray, layers: dict[str, Any], words: dict[str, str]) -> xr.Dataset:
    rest = array.isel({TIME: 0}, drop=True)
    kept = {key: array.attrs[key] for key in ("grid_mapping", "comment") if key in array.attrs}
    unit = str(array.attrs.get("units", "1"))
    units = {"slope": _per_year(unit), "slope_low": _per_year(unit), "slope_high": _per_year(unit), "intercept": unit}
    origin = {"origin": f"{array.indexes[TIME].min():%Y-%m-%d}"}
    return xr.Dataset(
        {
            name: xr.DataArray(
                layers[name],
                rest.coords,
                rest.dims,
                attrs={
                    "units": units.get(name, "1"),
                    "long_name": title,
                    **kept,
                    **(origin if name == "intercept" else {}),
                },
            )
            for name, title in words.items()
        }
    )


def _per_year(unit: str) -> str:
    return "year-1" if unit in ("1", "") else f"{unit} year-1"


def _check_stl(periods: Array, number: int, smoothing: int, season: str) -> None:
    if len(periods) < 2 * number or not (np.diff(periods) == 1).all():
        raise BadRequest(
            f"deseasonalise: method='stl' needs one value every {season} over two years or more, none left out. "
            f"Make them: earthlab.analysis.composite.mean(values, period={season!r})."
        )
    if smoothing < 3 or smoothing % 2 == 0:
        raise BadRequest(f"deseasonalise: smoothing is {smoothing!r}, expected an odd number of 3 or more.")


def _without_means(block: Array, *, codes: Array, years: Array) -> Array:
    """Without the level of each season beside a line fitted with it; where all years are 0 the line is flat."""
    out = block.astype("float64")
    out[~np.isfinite(out)] = np.nan
    times = np.where(np.isfinite(out), years.reshape(-1, *(1,) * (out.ndim - 1)), np.nan)
    levels, places, along, both = (np.zeros_like(out) for _ in range(4))
    for code in np.unique(codes):
        at = codes == code
        levels[at], places[at] = _mean(out[at]), _mean(times[at])
        along[at], both[at] = (times[at] - places[at]) ** 2, (times[at] - places[at]) * (out[at] - levels[at])
    total, spread = np.nansum(both, axis=0), np.nansum(along, axis=0)
    slope = np.divide(total, spread, out=np.zeros_like(total), where=spread > 0)
    removed = np.where(np.isfinite(out), levels - slope * places, np.nan)
    return np.asarray(out - removed + _mean(removed))[None]


def _mean(values: Array) -> Array:
    seen = np.isfinite(values)
    total = np.where(seen, values, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(seen.sum(axis=0), 1))


def _without_stl(block: Array, *, period: int, smoothing: int, robust: bool) -> Array:
    columns = block.reshape(block.shape[0], -1).astype("float64")
    out = np.full(columns.shape, np.nan)
    for at, column in enumerate(columns.T):
        seen = np.isfinite(column)
        if seen.sum() >= period:
            out[seen, at] = (column - _stl_season(column, seen, period, smoothing, robust))[seen]
    return out.reshape(1, *block.shape)


def _stl_season(column: Array, seen: Array, period: int, smoothing: int, robust: bool) -> Array:  # noqa: FBT001
    from statsmodels.tsa.seasonal import STL  # late: a second that most sessions never need

    places = np.arange(len(column))
    whole = np.interp(places, places[seen], column[seen])
    return np.asarray(STL(whole, period=period, seasonal=smoothing, robust=robust).fit().seasonal)
