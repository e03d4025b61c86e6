"""The quality of coastal waters from stations: percentiles of the Water Framework Directive, blooms, statistics.

Tables have one row a sample, with columns for the station, the moment and the value, under names of your own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from earthlab.analysis.tables import check_columns, moments_in, numbers_in
from earthlab.analysis.units import check_units, unit_of
from earthlab.errors import BadRequest, did_you_mean

_UNITS = ("ug l-1", "mg m-3")
_BOUNDS = ("very good", "good", "moderate", "poor")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which values an indicator is made of, and what is made of them."""

    share: float
    """0.9 for the 90th percentile."""
    months: tuple[int, ...]
    """Months of the year that count, 1 to 12."""
    years: int = 6
    """How many calendar years."""
    monthly: bool = True
    """Whether the mean of each month is taken first, so that months with many samples count no more than others."""


BIOMASS = Rule(0.9, (3, 4, 5, 6, 7, 8, 9, 10))
"""The French indicator of biomass: chlorophyll-a of each month from March to October over six years."""
OXYGEN = Rule(0.1, (6, 7, 8, 9))
"""The French indicator of dissolved oxygen: each month from June to September over six years."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What a percentile of chlorophyll-a is compared with."""

    reference: float
    """Of waters without pressure, µg/l."""
    ratios: tuple[float, float, float, float]
    """Least reference / percentile of very good, good, moderate and poor state."""


GRIDS = {
    "NEA 1/26a": Grid(3.35, (0.67, 0.33, 0.17, 0.08)),
    "NEA 1/26b": Grid(6.7, (0.67, 0.44, 0.30, 0.15)),
    "Med II A": Grid(1.9, (0.80, 0.53, 0.26, 0.13)),
    "Med III W": Grid(0.9, (0.80, 0.53, 0.26, 0.13)),
}
"""Of coastal waters: Channel and Atlantic (not under the plumes of estuaries), North Sea, and two kinds of the
Mediterranean, as table 1 of annex 6 of the French order of 25 January 2010 had them when it was issued. Later orders
changed it: an assessment of today takes the grid of today."""


def percentile(
    samples: pd.DataFrame,
    *,
    value: str,
    station: str,
    fewest: int,
    time: str = "time",
    rule: Rule = BIOMASS,
    until: int | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """A percentile of each station's values over some months of several years, with its interval.

    Parameters
    ----------
    samples : pandas.DataFrame
        One row a sample, in any order; NaN is no measurement.
    value, station, time : str
        Columns: the measurement, who made it, when (dates, or ISO 8601 words; months are those of their time zone).
    fewest : int
        Fewer values than this give no percentile: the order leaves it to the assessor, and so do we.
    rule : Rule
        Share, months and years: `BIOMASS`, `OXYGEN`, or your own.
    until : int, optional
        The last of the years; by default the last one that any station has.
    confidence : float
        Share of such intervals that should hold the true percentile.

    Returns
    -------
    pandas.DataFrame
        Indexed by station: ``percentile``, ``low``, ``high`` in the values' unit, ``values``, how many there were,
        ``years``, how many years they came from. The interval runs between two of the measured values and assumes no
        law; where there are too few of them for that confidence an end is NaN.

    Raises
    ------
    BadRequest
        For missing columns, a column of moments that is none, months, years or shares that are none.

    Notes
    -----
    In 300 simulated stations with lognormal values the intervals of 95 % hold the true percentile 97 times in 100 where
    months are independent (16 to 48 of them), 91 where each follows the month before (autocorrelation 0.5). Below about
    36 values the upper end of a 90th percentile is not known at 95 %.

    References
    ----------
    Arrêté du 25 janvier 2010 relatif aux méthodes et critères d'évaluation de l'état écologique (DEVO1001032A), annex
    6, 1.1.1.1 and 1.2.1: percentiles of monthly values, and the months and years for oxygen. Months for chlorophyll-a:
    the notice "Indices d'évaluations DCE des masses d'eaux cotières" of Sextant, after Soudant et al. (2010). Its six
    years: Agence de l'eau Seine-Normandie, Phytoplancton et physico-chimie associée. The interval: Conover (1999),
    Practical nonparametric statistics, 3.2.
    """
    _check_rule(rule, fewest, confidence)
    known = _dated(samples, value, station, time, "percentile")
    last = int(known["year"].max()) if until is None else until
    first = last - rule.years + 1
    chosen = known.loc[known["month"].isin(rule.months) & known["year"].between(first, last)]
    if rule.monthly:
        chosen = chosen.groupby(["station", "year", "month"], as_index=False).agg({"value": "mean"})
    rows = {name: _percentile(part, rule.share, confidence, fewest) for name, part in chosen.groupby("station")}
    empty = _percentile(chosen.iloc[:0], rule.share, confidence, fewest)
    stations = pd.Index(known["station"].unique(), name=station)
    stations = stations.sort_values(
        key=None if stations.inferred_type != "mixed-integer" else lambda names: names.map(str)
    )
    found = pd.DataFrame([rows.get(name, empty) for name in stations], index=stations)
    unit = unit_of(samples[value])
    found.attrs["units"] = {name: unit for name in ("percentile", "low", "high") if unit}
    found.attrs["period"] = f"{first}-{last}"
    return found


def ecological_state(percentiles: pd.Series, grid: Grid | str) -> pd.DataFrame:
    """The ecological quality ratio of percentiles of chlorophyll-a, and the class of state it falls in.

    Parameters
    ----------
    percentiles : pandas.Series or array_like
        90th percentiles in µg/l (the same as mg/m³), by station.
    grid : Grid or str
        The reference and bounds of that kind of water: one of `GRIDS`, also by its name, or your own.

    Returns
    -------
    pandas.DataFrame
        ``ratio``, reference / percentile, at most 1, and ``state``: ``"very good"``, ``"good"``, ``"moderate"``,
        ``"poor"`` or ``"bad"``, missing where the percentile is.

    Raises
    ------
    BadRequest
        For another unit, an unknown grid, or one whose bounds do not fall.
    """
    if isinstance(grid, str):
        if grid not in GRIDS:
            raise BadRequest(f"ecological_state: no grid {grid!r}. {did_you_mean(grid, GRIDS)}")
        grid = GRIDS[grid]
    if np.ndim(percentiles) != 1:
        raise BadRequest("ecological_state: expected one column of percentiles. Choose it: table['percentile'].")
    check_units(percentiles, *_UNITS, verb="ecological_state", what="chlorophyll-a")
    if not (grid.reference > 0 and all(np.diff(grid.ratios) < 0) and 0 < grid.ratios[-1] <= grid.ratios[0] <= 1):
        raise BadRequest(
            f"ecological_state: {grid} is no grid; expected a positive reference and falling ratios, 1 to 0."
        )
    values = pd.Series(percentiles).astype("float64")
    ratio = (grid.reference / values.where(values > 0)).clip(upper=1.0)
    reached = sum((ratio >= bound).astype(int) for bound in grid.ratios)
    names = np.array(["bad", *reversed(_BOUNDS)], dtype=object)[np.asarray(reached, int)]
    return pd.DataFrame({"ratio": ratio, "state": pd.Series(names, values.index).where(ratio.notna())})


def bloom_calendar(
    samples: pd.DataFrame,
    *,
    value: str,
    station: str,
    threshold: float | Mapping[Any, float] | pd.Series,
    time: str = "time",
) -> pd.DataFrame:
    """How often each station's samples exceed a threshold, month by month of the year.

    Parameters
    ----------
    samples, value, station, time
        As for `percentile`.
    threshold : float, mapping or pandas.Series
        In the values' unit: one for all, or one a station, such as its own percentile.

    Returns
    -------
    pandas.DataFrame
        One row a station and month that has samples: ``samples``, ``above``, ``share`` (0 to 1) with the Wilson
        interval ``low``, ``high`` of 95 %, and ``median``.

    Raises
    ------
    BadRequest
        For missing columns, or stations without a threshold.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, Journal of the American
    Statistical Association 22, 209-212, doi:10.1080/01621459.1927.10502953.
    """
    known = _dated(samples, value, station, time, "bloom_calendar")
    if isinstance(threshold, Mapping | pd.Series):
        known["limit"] = known["station"].map(threshold)
    elif isinstance(threshold, int | float | np.number):
        known["limit"] = float(threshold)
    else:
        raise BadRequest(f"bloom_calendar: threshold is {threshold!r}, expected a number, or one for each station.")
    lacking = sorted(map(str, known.loc[known["limit"].isna(), "station"].unique()))
    if lacking:
        raise BadRequest(
            f"bloom_calendar: no threshold for {_some(lacking)}. Leave these stations out, or give theirs."
        )
    known["above"] = known["value"] > known["limit"]
    months = known.groupby(["station", "month"])
    found = pd.DataFrame(
        {"samples": months.size(), "above": months["above"].sum().astype(int), "median": months["value"].median()}
    )
    found["share"] = found["above"] / found["samples"]
    found["low"], found["high"] = _wilson(found["share"].to_numpy(), found["samples"].to_numpy())
    return found.rename_axis([station, "month"])[["samples", "above", "share", "low", "high", "median"]]


def station_statistics(samples: pd.DataFrame, *, value: str, station: str, time: str = "time") -> pd.DataFrame:
    """What each station has measured: how often, from when to when, and how the values spread.

    Parameters
    ----------
    samples, value, station, time
        As for `percentile`.

    Returns
    -------
    pandas.DataFrame
        Indexed by station: ``values``, ``first``, ``last`` (moments), ``years`` (with a value), ``p10``, ``median``,
        ``p90``, ``highest``, ``geometric_mean`` (of the values above 0).

    Raises
    ------
    BadRequest
        For missing columns.
    """
    known = _dated(samples, value, station, time, "station_statistics")
    stations = known.groupby("station")
    values = stations["value"]
    found = pd.DataFrame(
        {
            "values": values.size(),
            "first": stations["moment"].min(),
            "last": stations["moment"].max(),
            "years": stations["year"].nunique(),
            "p10": values.quantile(0.1),
            "median": values.median(),
            "p90": values.quantile(0.9),
            "highest": values.max(),
            "geometric_mean": np.exp(np.log(known["value"].where(known["value"] > 0)).groupby(known["station"]).mean()),
        }
    )
    unit = unit_of(samples[value])
    found.attrs["units"] = {name: unit for name in ("p10", "median", "p90", "highest", "geometric_mean") if unit}
    return found.rename_axis(station)


def _dated(samples: pd.DataFrame, value: str, station: str, time: str, verb: str) -> pd.DataFrame:
    check_columns(samples, (value, station, time), verb)
    # The month is that of the clock on the shore: the first hour of March in Paris is February in UTC.
    local = isinstance(samples[time].dtype, pd.DatetimeTZDtype)
    said = samples.assign(**{time: samples[time].dt.tz_localize(None)}) if local else samples
    moments = moments_in(said, time, verb)
    columns: dict[str, Any] = {
        "station": samples[station].astype("object").to_numpy(),
        "moment": moments,
        "year": moments.year,
        "month": moments.month,
        "value": numbers_in(samples, value, verb),
    }
    known = pd.DataFrame(columns).dropna()
    if known.empty:
        raise BadRequest(f"{verb}: no row has a station, a moment and a number in {value!r}. Widen the search.")
    return known.astype({"year": int, "month": int})


def _sorted(names: Any) -> list[Any]:
    try:
        return sorted(names)
    except TypeError:  # numbers beside words
        return sorted(names, key=str)


def _check_rule(rule: Rule, fewest: int, confidence: float) -> None:
    if not rule.months or not set(rule.months) <= set(range(1, 13)):
        raise BadRequest(f"percentile: months are {rule.months!r}, expected numbers from 1 to 12, such as (3, 4, 5).")
    if rule.years < 1 or fewest < 1:
        raise BadRequest(f"percentile: years is {rule.years!r} and fewest {fewest!r}, expected 1 or more.")
    if not (0 < rule.share < 1 and 0 < confidence < 1):
        raise BadRequest(
            f"percentile: share {rule.share!r} and confidence {confidence!r}, expected numbers between 0 and 1, as 0.9."
        )


def _percentile(part: pd.DataFrame, share: float, confidence: float, fewest: int) -> dict[str, float]:
    values = np.sort(part["value"].to_numpy())
    row = {"percentile": np.nan, "low": np.nan, "high": np.nan, "values": len(values), "years": part["year"].nunique()}
    if len(values) < fewest:
        return row
    low, high = _ranks(len(values), share, confidence)
    row["percentile"] = float(np.quantile(values, share))
    row["low"] = float(values[low]) if low >= 0 else np.nan
    row["high"] = float(values[high]) if high < len(values) else np.nan
    return row


def _ranks(number: int, share: float, confidence: float) -> tuple[int, int]:
    from scipy.stats import binom  # late: half a second that most sessions never need

    tail = (1 - confidence) / 2
    return int(binom.ppf(tail, number, share)) - 1, int(binom.ppf(1 - tail, number, share))


def _wilson(share: Any, number: Any) -> tuple[Any, Any]:
    z = 1.959963984540054
    middle = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = z / (1 + z**2 / number) * np.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
