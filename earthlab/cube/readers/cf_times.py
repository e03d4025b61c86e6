"""Dates of a time axis, as the CF conventions (1.12, section 4.4) write them, in UTC."""

import re
from datetime import UTC, datetime
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_UNITS = re.compile(r"^\s*([a-z]+)\s+since\s+(\S.*?)\s*$", re.IGNORECASE)
_REFERENCE = re.compile(
    r"^(\d{1,4})-(\d{1,2})-(\d{1,2})"
    r"(?:[T ]+(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?)?)?"
    r"\s*(?:Z|UTC|GMT|([+-])(\d{1,2}):?(\d{2})?)?$",
    re.IGNORECASE,
)

_MICROSECONDS = {
    **dict.fromkeys(("microsecond", "microseconds"), 1),
    **dict.fromkeys(("millisecond", "milliseconds", "msec", "msecs"), 1_000),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), 1_000_000),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), 60_000_000),
    **dict.fromkeys(("hour", "hours", "hr", "hrs", "h"), 3_600_000_000),
    **dict.fromkeys(("day", "days", "d"), 86_400_000_000),
}
_DAY = _MICROSECONDS["day"]
_REAL = {"standard", "gregorian", "proleptic_gregorian"}
_WITHOUT_LEAP_DAYS = {"noleap", "365_day"}
_MONTH_STARTS = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])
"""Days of a year without leap day before each month."""


def is_time_unit(units: object) -> bool:
    """Whether a ``units`` attribute is one of dates: ``"days since 1950-01-01"``."""
    return isinstance(units, str) and _UNITS.match(units) is not None


def parse_times(values: Array, units: str, calendar: str = "standard") -> Array:
    """The dates of CF numbers, as ``datetime64[us]`` in UTC.

    The calendars with real dates are read as they are. ``noleap`` is too: each of its dates is one of ours.

    Raises
    ------
    ValueError
        For units that are no fixed length (months, years), for numbers that are none, and for calendars with dates
        that do not exist (``360_day``, ``all_leap``, ``julian``); the message says which.
    """
    found = _UNITS.match(units)
    step = _MICROSECONDS.get(found[1].lower()) if found else None
    if found is None or step is None:
        raise ValueError(f"its time units are {units!r}; expected seconds, minutes, hours or days since a date")
    if not np.isfinite(np.asarray(values, "float64")).all():
        raise ValueError("its time axis has values that are missing")
    origin = _parse_reference(found[2])
    since = _microseconds(values, step)
    name = calendar.lower()
    if name in _REAL:
        dates: Array = np.datetime64(origin, "us") + since.astype("timedelta64[us]")
        return _checked(dates)
    if name in _WITHOUT_LEAP_DAYS:
        return _checked(_without_leap_days(origin, since))
    raise ValueError(
        f"its calendar is {calendar!r}, with dates that do not exist; "
        "open it with xarray and the package cftime, and convert it (convert_calendar)"
    )


def _microseconds(values: Array, step: int) -> Array:
    if np.issubdtype(values.dtype, np.integer):
        counted: Array = values.astype("int64") * step
        return counted
    whole = np.floor(values.astype("float64"))
    rounded: Array = whole.astype("int64") * step + np.rint((values - whole) * step).astype("int64")
    return rounded


def _parse_reference(text: str) -> datetime:
    found = _REFERENCE.match(text)
    if found is None:
        raise ValueError(f"its time axis counts from {text!r}, which is not a date")
    year, month, day, hour, minute, second = (int(part) if part else 0 for part in found.groups()[:6])
    fraction = int((found[7] or "0").ljust(6, "0")[:6])
    moment = np.datetime64(datetime(year, month, day, hour, minute, second, fraction), "us")  # noqa: DTZ001
    if found[8]:
        away = np.timedelta64(int(found[9]) * 60 + int(found[10] or 0), "m")
        moment = moment - away if found[8] == "+" else moment + away
    parsed: datetime = moment.item()
    return parsed


def _without_leap_days(origin: datetime, since: Array) -> Array:
    if (origin.month, origin.day) == (2, 29):
        raise ValueError("its calendar has no leap days and counts from one")
    day = origin.year * 365 + int(_MONTH_STARTS[origin.month - 1]) + origin.day - 1
    clock = (origin.hour * 3600 + origin.minute * 60 + origin.second) * 1_000_000 + origin.microsecond
    days, clocks = np.divmod(since + clock, _DAY)
    years, day_of_year = np.divmod(days + day, 365)
    months = np.searchsorted(_MONTH_STARTS, day_of_year, side="right")
    starts = np.array([f"{y:04d}-{m:02d}" for y, m in zip(years, months, strict=True)], "datetime64[M]")
    dates = starts.astype("datetime64[D]") + (day_of_year - _MONTH_STARTS[months - 1]).astype("timedelta64[D]")
    moments: Array = dates.astype("datetime64[us]") + clocks.astype("timedelta64[us]")
    return moments


def _checked(times: Array) -> Array:
    first, last = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31T23:59:59", "us")
    if times.size and not (first <= times.min() and times.max() <= last):
        raise ValueError("its time axis leaves the years 1 to 9999")
    return times


def moments_of(times: Array) -> list[datetime]:
    """The dates of `parse_times` as datetimes in UTC."""
    return [moment.replace(tzinfo=UTC) for moment in times.tolist()]
