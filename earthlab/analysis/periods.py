"""Which dates go together: calendar months, decades of ten days, seasons, or any step of time."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from earthlab.errors import BadRequest

Array = np.ndarray[Any, np.dtype[Any]]

MOST_PERIODS = 10_000
"""More periods than this are a slip of the pen: 27 years of days."""

_NAMES = {
    "month": "MS",
    "mois": "MS",
    "season": "QS-DEC",
    "saison": "QS-DEC",
    "week": "W",
    "semaine": "W",
    "quarter": "QS",
    "trimestre": "QS",
    "year": "YS",
    "année": "YS",
}
_DEKADS = ("dekad", "décade", "decade")
_NAMED_BY_THEIR_END = (
    pd.offsets.MonthEnd,
    pd.offsets.QuarterEnd,
    pd.offsets.YearEnd,
    pd.offsets.BMonthEnd,
    pd.offsets.BQuarterEnd,
    pd.offsets.BYearEnd,
    pd.offsets.Week,
)
_DEKAD_DAYS = (1, 11, 21)


@dataclass(frozen=True, slots=True)
class Periods:
    """Dates sorted into periods: period ``g`` holds the places ``order[cuts[g]:cuts[g + 1]]`` along time.

    Attributes
    ----------
    order, cuts : numpy.ndarray
        int64. The places of each period's dates, earliest first.
    edges : numpy.ndarray or None
        datetime64[ns]: period ``g`` goes from ``edges[g]`` until just before ``edges[g + 1]``. None for one period
        that is as long as the cube.
    """

    order: Array
    cuts: Array
    edges: Array | None = None

    def __len__(self) -> int:
        return len(self.cuts) - 1

    @property
    def places(self) -> tuple[Array, Array]:
        """``order`` and ``cuts``, read-only wherever they come from, so that a kernel is compiled for one type."""
        return _read_only(self.order), _read_only(self.cuts)


def whole_time(times: pd.Index) -> Periods:
    """All dates as one period, earliest first.

    Parameters
    ----------
    times : pandas.Index
        The dates in any order; where they cannot be ordered, they are taken as they come.
    """
    order = np.argsort(times, kind="stable") if isinstance(times, pd.DatetimeIndex) else np.arange(len(times))
    return Periods(np.asarray(order, "int64"), np.array([0, len(times)], "int64"))


def resolve_periods(times: pd.Index, period: str | pd.DateOffset) -> Periods:
    """The dates sorted into consecutive periods, from the one of the first date to the one of the last.

    Parameters
    ----------
    times : pandas.Index
        Dates in any order.
    period : str or pandas.DateOffset
        ``"month"``, ``"season"`` (from December), ``"year"``, ``"dekad"`` (a calendar decade: days 1 to 10, 11 to 20,
        and 21 to the end of the month), in English or French, or an offset of pandas (``"10D"`` counts from the
        first day, ``"MS"``, ``"W"``, …).

    Returns
    -------
    Periods
        Periods without a date are kept, so that the axis of time is regular.

    Raises
    ------
    BadRequest
        Where the period is unknown, or the dates are no dates.
    """
    if not isinstance(times, pd.DatetimeIndex) or times.hasnans:
        raise BadRequest(
            f"period={period!r} needs dates along 'time', found {times.dtype} values"
            f"{' with gaps (NaT)' if times.hasnans else ''}. Convert them, or leave out period=."
        )
    edges = _edges(times.min().normalize(), times.max(), period)
    found = edges.searchsorted(times, side="right") - 1
    order = np.lexsort((np.arange(len(times)), times, found))
    cuts = np.searchsorted(found[order], np.arange(len(edges)))
    return Periods(order.astype("int64"), cuts.astype("int64"), np.asarray(edges.values.astype("datetime64[ns]")))


def _edges(first: pd.Timestamp, last: pd.Timestamp, period: str | pd.DateOffset) -> pd.DatetimeIndex:
    if isinstance(period, str) and period.casefold() in _DEKADS:
        return _dekads(first, last)
    step = _step(period)
    _check_number(first, last, step, period)
    if isinstance(step, _NAMED_BY_THEIR_END):
        ends = pd.date_range(first - step, last + 2 * step, freq=step) + pd.Timedelta(days=1)
        return _covering(ends, first, last)
    start = first if isinstance(step, pd.offsets.Tick) else step.rollback(first)
    return _covering(pd.date_range(start, last + 2 * step, freq=step), first, last)


def _step(period: str | pd.DateOffset) -> pd.offsets.BaseOffset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of pandas' older names, and of names it does not know
            step = pd.tseries.frequencies.to_offset(_NAMES.get(str(period).casefold(), period))
    except (ValueError, TypeError) as exc:
        raise BadRequest(_unknown(period)) from exc
    if step is None or pd.Timestamp("2000-01-03") + step <= pd.Timestamp("2000-01-03"):
        raise BadRequest(_unknown(period))
    return step


def _unknown(period: object) -> str:
    return (
        f"period={period!r} is not known. Expected 'month', 'season', 'year', 'dekad' (mois, saison, année, décade), "
        "or a forward offset of pandas such as '10D', 'W' or 'QS'."
    )


def _check_number(first: pd.Timestamp, last: pd.Timestamp, step: pd.offsets.BaseOffset, period: object) -> None:
    number = math.ceil((last - first) / ((first + step) - first)) if last > first else 1
    if number > MOST_PERIODS:
        raise BadRequest(
            f"period={period!r} cuts the time from {first:%Y-%m-%d} to {last:%Y-%m-%d} into {number:,} periods, and "
            f"{MOST_PERIODS:,} is the most. Ask for longer periods."
        )


def _covering(edges: pd.DatetimeIndex, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    start = int(edges.searchsorted(first, side="right")) - 1
    stop = int(edges.searchsorted(last, side="right")) + 1
    return edges[max(start, 0) : stop]


def _dekads(first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    months = pd.date_range(first.replace(day=1), last + pd.DateOffset(months=1), freq="MS")
    starts = [month.replace(day=day) for month in months for day in _DEKAD_DAYS]
    return _covering(pd.DatetimeIndex(starts), first, last)


def _read_only(places: Array) -> Array:
    view = places.view()
    view.flags.writeable = False
    return view
