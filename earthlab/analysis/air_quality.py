"""The quality of the air from hourly measurements: checks, statistics, limit values, cycles and indices.

Series are of pandas, indexed by the hour at which each mean begins, with or without a time zone; NaN is no measurement.
`hourly` makes a regular series of whole days, which all the others ask for. Pollutants are ``no2``, ``o3``, ``pm10``,
``pm25``, ``so2``…, and in the networks' spelling too: ``NO2``, ``PM2.5``.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd

from earthlab.analysis.tables import check_columns, numbers_in
from earthlab.analysis.units import check_units, convert, labelled, numbers_of, unit_of
from earthlab.errors import BadRequest, did_you_mean

Averaging = Literal["hour", "day", "8 hours", "year"]
Cycle = Literal["hour", "weekday", "month"]

CAPTURE = 0.75
"""Share of hours that a mean needs: directive 2008/50/EC, annexes VII and XI."""
GAS_CONSTANT = 8.314462618
MOLAR_MASSES = {"no2": 46.0055, "no": 30.0061, "nox": 46.0055, "o3": 47.9982, "so2": 64.064, "co": 28.0101}
"""g/mol; NOx counts as NO2."""
_UNIT = "ug m-3"
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_REPEATED = 0.1
_HOURLY = pd.Timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit value, target or guideline for the air."""

    text: str
    pollutant: str
    averaging: Averaging
    threshold: float
    """µg/m³."""
    allowed: int = 0
    """How often a year it may be exceeded."""


EU_2008 = (
    Limit("2008/50/EC", "no2", "hour", 200, 18),
    Limit("2008/50/EC", "no2", "year", 40),
    Limit("2008/50/EC", "pm10", "day", 50, 35),
    Limit("2008/50/EC", "pm10", "year", 40),
    Limit("2008/50/EC", "pm25", "year", 25),
    Limit("2008/50/EC", "o3", "8 hours", 120, 25),
    Limit("2008/50/EC", "so2", "hour", 350, 24),
    Limit("2008/50/EC", "so2", "day", 125, 3),
    Limit("2008/50/EC", "co", "8 hours", 10_000),
)
"""Directive 2008/50/EC; its target for ozone is counted over three years."""
EU_2030 = (
    Limit("(EU) 2024/2881", "no2", "hour", 200, 3),
    Limit("(EU) 2024/2881", "no2", "year", 20),
    Limit("(EU) 2024/2881", "pm10", "day", 45, 18),
    Limit("(EU) 2024/2881", "pm10", "year", 20),
    Limit("(EU) 2024/2881", "pm25", "day", 25, 18),
    Limit("(EU) 2024/2881", "pm25", "year", 10),
)
"""Directive (EU) 2024/2881, to be met by 2030: those of its limits that we could confirm, not all."""
WHO_2021 = (
    Limit("WHO 2021", "no2", "day", 25, 3),
    Limit("WHO 2021", "no2", "year", 10),
    Limit("WHO 2021", "pm25", "day", 15, 3),
    Limit("WHO 2021", "pm25", "year", 5),
    Limit("WHO 2021", "pm10", "day", 45, 3),
    Limit("WHO 2021", "pm10", "year", 15),
    Limit("WHO 2021", "o3", "8 hours", 100, 3),
    Limit("WHO 2021", "so2", "day", 40, 3),
)
"""WHO global air quality guidelines (2021); those of a day are 99th percentiles: three or four days a year."""

ATMO_WORDS = (
    "bon / good",
    "moyen / fair",
    "dégradé / moderate",
    "mauvais / poor",
    "très mauvais / very poor",
    "extrêmement mauvais / extremely poor",
)
ATMO_BANDS = {
    "no2": (40, 90, 120, 230, 340),
    "o3": (50, 100, 130, 240, 380),
    "so2": (100, 200, 350, 500, 750),
    "pm10": (20, 40, 50, 100, 150),
    "pm25": (10, 20, 25, 50, 75),
}
"""Upper ends in µg/m³ of the first five of `ATMO_WORDS`: arrêté du 10 juillet 2020 (TRER2017892A), annex I."""
_ATMO_DAILY_MEANS = ("pm10", "pm25")


def hourly(
    values: pd.Series, *, lowest: float = 0.0, highest: float | None = None, longest_repeat: int | None = None
) -> pd.Series:
    """A regular series of hours over whole days, without the values that cannot be.

    Parameters
    ----------
    values : pandas.Series
        Of one station and pollutant, indexed by time, in any order; several values within an hour are averaged.
    lowest, highest : float
        Values outside, and infinite ones, are removed, in the series' unit. Where concentrations are close to nothing
        an instrument's noise goes below zero: to keep the mean from rising, set ``lowest`` to the detection limit with
        a minus.
    longest_repeat : int, optional
        A value repeated more than so many hours running is a stuck instrument: all of them are removed.

    Returns
    -------
    pandas.Series
        float64. ``attrs`` are kept, with ``rejected`` beside: the number of values ``out_of_range`` and ``stuck``.

    Raises
    ------
    BadRequest
        Without an index of moments, without values, where they are no numbers, or where most moments come several times
        with different values, as in a table of several stations.
    """
    _check_moments(values, "hourly")
    given = pd.Series(_numbers(values), values.index)
    known = given[given.notna().to_numpy() & values.index.notna()].sort_index()
    if known.empty:
        raise BadRequest("hourly: the series holds no measurement. Widen the search, or choose another column.")
    _check_single(known)
    possible = known.between(lowest, math.inf if highest is None else highest) & np.isfinite(known)
    moments = pd.DatetimeIndex(known.index)
    mean = known[possible].groupby(_hours(moments[possible])).mean()
    first, last = moments[0].normalize(), moments[-1].normalize() + pd.DateOffset(days=1)
    regular = mean.reindex(pd.date_range(first, last, freq="h", inclusive="left"))
    stuck = _stuck(regular, longest_repeat)
    out: pd.Series = regular.where(~stuck)
    out.name = values.name
    out.attrs = {**values.attrs, "rejected": {"out_of_range": int((~possible).sum()), "stuck": int(stuck.sum())}}
    return out


def daily(values: pd.Series, *, statistic: Literal["mean", "max"] = "mean", capture: float = CAPTURE) -> pd.Series:
    """The mean or maximum of each day that has enough hours.

    Parameters
    ----------
    values : pandas.Series
        As `hourly` gives it. Days are those of its time zone.
    statistic : {"mean", "max"}
        Of the hours of a day.
    capture : float
        Share of the day's hours that is needed.

    Returns
    -------
    pandas.Series
        One value a day, NaN where there were too few hours.

    Raises
    ------
    BadRequest
        For a series that is not hourly, or a share that is none.
    """
    _check_hourly(values, "daily")
    _check_share(capture, "daily")
    days = values.resample("D")
    found = days.mean() if statistic == "mean" else days.max()
    return _with_attrs(found.where(days.count() >= capture * days.size()), values)


def running_mean(values: pd.Series, *, hours: int = 8, capture: float = CAPTURE) -> pd.Series:
    """The mean of the hours up to and with each hour, where enough of them were measured.

    Parameters
    ----------
    values : pandas.Series
        As `hourly` gives it.
    hours : int
        Length of the window: 8 for ozone.
    capture : float
        Share of the window's hours that is needed: 6 of 8.

    Returns
    -------
    pandas.Series
        One value an hour. The daily maximum is that of `daily` with ``statistic="max"``, which asks for 18 of them.

    Raises
    ------
    BadRequest
        As for `daily`, and for a window shorter than an hour.
    """
    _check_hourly(values, "running_mean")
    _check_share(capture, "running_mean")
    if hours < 1:
        raise BadRequest(f"running_mean: hours is {hours!r}, expected 1 or more.")
    return _with_attrs(values.rolling(hours, min_periods=max(math.ceil(capture * hours), 1)).mean(), values)


def annual(values: pd.Series, *, capture: float = CAPTURE) -> pd.DataFrame:
    """The mean of each calendar year, and how much of the year it rests on.

    Parameters
    ----------
    values : pandas.Series
        As `hourly` gives it.
    capture : float
        Share of all the year's hours that is needed.

    Returns
    -------
    pandas.DataFrame
        Indexed by year: ``mean``, ``low`` and ``high`` (95 %, from how weeks differ from each other: how well the
        measured hours stand for the year, not how exact the instrument is; see `cycle` for what that leaves out),
        ``capture``, and ``enough``.

    Raises
    ------
    BadRequest
        As for `daily`.
    """
    _check_hourly(values, "annual")
    _check_share(capture, "annual")
    rows = {}
    for year, part in values.groupby(pd.DatetimeIndex(values.index).year):
        share = part.count() / (24 * (366 if pd.Timestamp(year=int(year), month=1, day=1).is_leap_year else 365))
        mean, half = _clustered(part)
        rows[year] = {
            "mean": mean,
            "low": mean - half,
            "high": mean + half,
            "capture": share,
            "enough": share >= capture,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("year")


def exceedances(
    values: pd.Series, limits: Iterable[Limit], pollutant: str, *, capture: float = CAPTURE
) -> pd.DataFrame:
    """Each limit value of a pollutant, each year: how often it was exceeded, and whether too often.

    Parameters
    ----------
    values : pandas.Series
        In µg/m³ or mg/m³, as `hourly` gives it; ppb are refused, see `to_micrograms`. Nothing is rounded before it is
        compared, so that counts can differ by a few from published ones, which may be of rounded means.
    limits : iterable of Limit
        `EU_2008`, `EU_2030`, `WHO_2021`, several of them added, or your own; those of other pollutants are left out.
    pollutant : str
        ``"no2"``, ``"o3"``, ``"pm10"``, ``"pm25"`` or ``"so2"``, or what your own limits say.
    capture : float
        Share of hours that a day, a window of eight hours and a year needs.

    Returns
    -------
    pandas.DataFrame
        One row a year and limit: ``text``, ``averaging``, ``threshold`` and ``found_mean`` (µg/m³, of a year),
        ``allowed``, ``found`` (times exceeded), ``capture``, and ``verdict``: ``"exceeded"``, ``"met"``, or
        ``"undecided"`` where too little of the year was measured to say that it was met.

    Raises
    ------
    BadRequest
        As for `daily`, for another unit, and where no limit is of that pollutant.

    References
    ----------
    Directive 2008/50/EC, annexes VII and XI; directive (EU) 2024/2881, annex I; WHO (2021), WHO global air quality
    guidelines.
    """
    _check_hourly(values, "exceedances")
    _check_share(capture, "exceedances")
    if check_units(values, _UNIT, "mg m-3", verb="exceedances", what=pollutant) == "mg m-3":
        values = convert(values, _UNIT)
    every = tuple(limits)
    chosen = [limit for limit in every if limit.pollutant in (pollutant, norm_pollutant(pollutant))]
    if not chosen:
        raise BadRequest(
            f"exceedances: no limit for {pollutant!r}. {did_you_mean(pollutant, {x.pollutant for x in every})}"
        )
    years = annual(values, capture=capture)
    series: dict[Averaging, pd.Series] = {
        "hour": values,
        "day": daily(values, capture=capture),
        "8 hours": daily(running_mean(values, capture=capture), statistic="max", capture=capture),
    }
    rows = [_judged(limit, year, facts, series) for year, facts in years.iterrows() for limit in chosen]
    found = pd.DataFrame(rows)
    found.attrs["units"] = {"threshold": _UNIT, "found_mean": _UNIT}
    return found


def cycle(values: pd.Series, by: Cycle, *, confidence: float = 0.95) -> pd.DataFrame:
    """The mean of each hour of the day, day of the week or month of the year, with its interval.

    Parameters
    ----------
    values : pandas.Series
        As `hourly` gives it; hours are those of its time zone: convert to local time to see the rush hours.
    by : {"hour", "weekday", "month"}
        0 to 23; 0 (Monday) to 6; 1 to 12.
    confidence : float
        Share of such intervals that should hold the true mean. Weeks, not hours, are taken as independent: of 200
        simulated series 95 % intervals held it in 91 to 97 % where the air forgets within a day, in 84 to 90 % where
        within four, and in 73 to 79 % where within eight.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``by``: ``mean``, ``low``, ``high``, ``hours`` (measured). The interval is missing where there are
        fewer than two weeks.

    Raises
    ------
    BadRequest
        As for `daily`, and for another cycle.
    """
    _check_hourly(values, "cycle")
    if by not in ("hour", "weekday", "month"):
        raise BadRequest(f"cycle: by is {by!r}, expected 'hour', 'weekday' or 'month'.")
    rows = {}
    for name, part in values.groupby(getattr(pd.DatetimeIndex(values.index), by)):
        mean, half = _clustered(part, confidence)
        rows[name] = {"mean": mean, "low": mean - half, "high": mean + half, "hours": part.count()}
    found = pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
    unit = unit_of(values)
    if unit is not None:
        found.attrs["units"] = dict.fromkeys(("mean", "low", "high"), unit)
    return found


def atmo_index(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """The sub-indices of the French index ATMO of each day, 1 (good) to 6 (extremely poor), and the worst of them.

    Parameters
    ----------
    table : pandas.DataFrame
        Hourly, in µg/m³, each column as `hourly` gives it.
    columns : mapping of str to str
        The column of each pollutant: ``no2``, ``o3``, ``so2`` (largest hour of the day), ``pm10``, ``pm25`` (mean).

    Returns
    -------
    pandas.DataFrame
        One row a day: a column a pollutant, ``index``, the largest, and ``pollutants``, of how many it is. The official
        index is that of a zone, of all five: with fewer it can only be too good. NaN where too few hours were measured.

    Raises
    ------
    BadRequest
        For an unknown pollutant, a missing column, another unit, or a table that is not hourly.

    References
    ----------
    Arrêté du 10 juillet 2020 relatif à l'indice de la qualité de l'air ambiant (TRER2017892A), annex I.
    """
    check_columns(table, tuple(columns.values()), "atmo_index")
    indices = {}
    for pollutant, column in columns.items():
        bounds = ATMO_BANDS.get(norm_pollutant(pollutant))
        if bounds is None:
            raise BadRequest(f"atmo_index: {pollutant!r} is not part of it. {did_you_mean(pollutant, ATMO_BANDS)}")
        check_units(table[column], _UNIT, verb="atmo_index", what=column)
        of_mean = norm_pollutant(pollutant) in _ATMO_DAILY_MEANS
        day = daily(table[column], statistic="mean" if of_mean else "max")
        band = np.searchsorted(bounds, day.to_numpy(), side="left") + 1.0
        indices[pollutant] = pd.Series(band, day.index).where(day.notna())
    found = pd.DataFrame(indices)
    return found.assign(index=found.max(axis=1), pollutants=found.notna().sum(axis=1))


def pollution_rose(
    table: pd.DataFrame,
    *,
    value: str,
    direction: str,
    speed: str,
    sectors: int = 16,
    bounds: Sequence[float],
    calm: float,
) -> pd.DataFrame:
    """How much is measured with wind from each direction.

    Parameters
    ----------
    table : pandas.DataFrame
        One row an hour.
    value, direction, speed : str
        Columns: the concentration; where the wind comes from, in degrees clockwise from north; its speed, in the unit
        of ``calm``.
    sectors : int
        How many directions, the first around north.
    bounds : sequence of float
        Ascending inner bounds of the classes of concentration, in its unit: at least one.
    calm : float
        Wind below this speed has no direction.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``sector`` (degrees of its middle; NaN for calm): ``hours``, ``share`` of all hours, ``mean``, and
        one column a class with its share of all hours, such as ``"40-90"``.

    Raises
    ------
    BadRequest
        For missing columns, bounds that do not ascend, directions outside 0 to 360, or no hour with all three.

    References
    ----------
    Henry, Chang and Spiegelman (2002), Locating nearby sources of air pollution by nonparametric regression of
    atmospheric concentrations on wind direction, doi:10.1016/S1352-2310(02)00164-4, for why the calm is set apart.
    """
    check_columns(table, (value, direction, speed), "pollution_rose")
    columns = {name: numbers_in(table, name, "pollution_rose") for name in (value, direction, speed)}
    known = pd.DataFrame(columns, table.index).dropna()
    if known.empty or sectors < 1 or not len(bounds) or not (np.diff(bounds) > 0).all():
        raise BadRequest(
            f"pollution_rose: {len(known)} hours with all three columns, {sectors} sectors, bounds {list(bounds)}; "
            "expected some hours, at least one sector, and one or more ascending bounds."
        )
    if not known[direction].between(0, 360).all():
        raise BadRequest(f"pollution_rose: {direction!r} goes beyond 0 to 360; expected degrees clockwise from north.")
    width = 360 / sectors
    middle = (known[direction] / width).round() % sectors * width
    sector = middle.where(known[speed] >= calm).rename("sector")
    edges = [-math.inf, *bounds, math.inf]
    names = [f"<{bounds[0]:g}", *(f"{a:g}-{b:g}" for a, b in pairwise(bounds)), f">{bounds[-1]:g}"]
    classes = pd.cut(known[value], edges, labels=names)
    shares = pd.crosstab(sector.fillna(-1.0), classes, dropna=False) / len(known)
    groups = known[value].groupby(sector.fillna(-1.0))
    found = pd.DataFrame({"hours": groups.size(), "share": groups.size() / len(known), "mean": groups.mean()})
    found = found.join(shares.rename(columns=str))
    found.index = pd.Index(np.where(found.index < 0, np.nan, found.index), name="sector")
    return found


def to_micrograms(values: Any, pollutant: str, *, temperature: float = 20.0, pressure: float = 1013.25) -> Any:
    """A mixing ratio in ppb as a concentration in µg/m³.

    Parameters
    ----------
    values : pandas.Series, xarray.DataArray or number
        ppb; an attribute ``units`` must agree. Lists count as arrays.
    pollutant : str
        A gas of `MOLAR_MASSES`; NOx counts as NO2.
    temperature, pressure : float
        Of the volume: by default 20 °C and 1013.25 hPa, as the European directives ask for gases.

    Returns
    -------
    pandas.Series, xarray.DataArray or number

    Raises
    ------
    BadRequest
        For an unknown gas, another unit, or conditions that cannot be.
    """
    values = numbers_of(values)
    check_units(values, "ppb", verb="to_micrograms", what=pollutant)
    return labelled(values * _factor(pollutant, temperature, pressure), pollutant, _UNIT, f"{pollutant} / {pollutant}")


def to_ppb(values: Any, pollutant: str, *, temperature: float = 20.0, pressure: float = 1013.25) -> Any:
    """A concentration in µg/m³ as a mixing ratio in ppb; words, result and errors as for `to_micrograms`."""
    values = numbers_of(values)
    check_units(values, _UNIT, verb="to_ppb", what=pollutant)
    return labelled(values / _factor(pollutant, temperature, pressure), pollutant, "ppb", f"{pollutant} / {pollutant}")


def norm_pollutant(name: str) -> str:
    """The name as the tables of this module write it: ``"pm25"`` for ``"PM2.5"``, ``"PM2,5"`` and ``"pm2_5"``."""
    return re.sub(r"[\s.,_-]", "", name).translate(_SUBSCRIPTS).lower()


def _factor(pollutant: str, temperature: float, pressure: float) -> float:
    mass = MOLAR_MASSES.get(norm_pollutant(pollutant))
    if mass is None:
        raise BadRequest(f"{pollutant!r} has no molar mass here. {did_you_mean(pollutant, MOLAR_MASSES)}")
    if not (-80 < temperature < 80 and 100 < pressure < 1200):
        raise BadRequest(
            f"Found {temperature!r} °C and {pressure!r} hPa, expected air near the ground, such as 20 and 1013."
        )
    return mass * pressure * 100 / (GAS_CONSTANT * (temperature + 273.15)) * 1e-3


def _numbers(values: pd.Series) -> Any:
    try:
        return values.to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"hourly: {values.name!r} holds {values.dtype} values, expected numbers. Convert it.") from exc


def _hours(moments: pd.DatetimeIndex) -> pd.DatetimeIndex:
    # Not floor("h"), which asks which of two hours is meant when clocks go back; a zone may be half an hour off UTC.
    seconds = pd.to_timedelta(moments.minute * 60 + moments.second, unit="s")
    return moments - seconds - pd.to_timedelta(moments.microsecond, unit="us") - pd.to_timedelta(moments.nanosecond)


def _stuck(values: pd.Series, longest: int | None) -> pd.Series:
    if longest is None:
        return pd.Series(data=False, index=values.index)
    runs = (values != values.shift()).cumsum()
    return values.notna() & (values.groupby(runs).transform("size") > longest)


def _with_attrs(found: pd.Series, values: pd.Series) -> pd.Series:
    found.attrs = {key: word for key, word in values.attrs.items() if key != "rejected"}
    return found


def _clustered(values: pd.Series, confidence: float = 0.95) -> tuple[float, float]:
    week = pd.DatetimeIndex(values.index).tz_localize(None).to_period("W")
    groups = values.groupby(week)
    number, total = groups.count(), groups.sum()
    weeks, hours = int((number > 0).sum()), number.sum()
    if not hours:
        return math.nan, math.nan
    mean = total.sum() / hours
    if weeks < 2:
        return mean, math.nan
    from scipy.special import stdtrit

    residuals = total - mean * number
    error = math.sqrt((residuals**2).sum() * weeks / (weeks - 1)) / hours
    return mean, error * float(stdtrit(weeks - 1, 0.5 + confidence / 2))


def _judged(limit: Limit, year: Any, facts: pd.Series, series: Mapping[Averaging, pd.Series]) -> dict[str, Any]:
    row = {
        "year": int(year),
        "text": limit.text,
        "averaging": limit.averaging,
        "threshold": limit.threshold,
        "found_mean": facts["mean"],
        "allowed": limit.allowed,
        "capture": facts["capture"],
    }
    if limit.averaging == "year":
        times, decided = int(facts["mean"] > limit.threshold), bool(facts["enough"])
        over = times > 0 and decided
    else:
        part = series[limit.averaging]
        times = int((part[pd.DatetimeIndex(part.index).year == year] > limit.threshold).sum())
        over, decided = times > limit.allowed, bool(facts["enough"])
    verdict = "exceeded" if over else "met" if decided else "undecided"
    return {**row, "found": times, "verdict": verdict}


def _check_moments(values: pd.Series, verb: str) -> None:
    if not isinstance(values, pd.Series) or not isinstance(values.index, pd.DatetimeIndex):
        found = f"a Series indexed by {values.index.dtype}" if isinstance(values, pd.Series) else type(values).__name__
        raise BadRequest(
            f"{verb}: expected a Series indexed by moments, found {found}. Write table.set_index('time')['…'], and "
            "make moments of text first: pandas.to_datetime(table['time'], dayfirst=…)."
        )


def _check_single(known: pd.Series) -> None:
    """Refuse what is a table of several stations; clocks that go back and files that overlap repeat few moments."""
    pairs = known[known.index.duplicated(keep=False)]
    differing = pairs.groupby(level=0).nunique() > 1
    moments = known.index.nunique()
    if differing.sum() > _REPEATED * moments:
        raise BadRequest(
            f"hourly: {int(differing.sum())} of {moments} moments come several times with different values. Choose one "
            "station and pollutant, or average them first: table.groupby('time')['…'].mean()."
        )


def _check_hourly(values: pd.Series, verb: str) -> None:
    _check_moments(values, verb)
    steps = pd.DatetimeIndex(values.index).to_series().diff().dropna()
    if len(steps) == 0 or not (steps == _HOURLY).all():
        raise BadRequest(f"{verb}: expected one value an hour, none left out. Write air_quality.hourly(values) first.")


def _check_share(share: float, verb: str) -> None:
    if not 0 <= share <= 1:
        raise BadRequest(f"{verb}: capture is {share!r}, expected a share between 0 and 1, such as 0.75.")
