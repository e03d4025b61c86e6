"""The aggregations of the STAC API aggregation extension: counts over everything a search finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from earthlab.errors import BadRequest, did_you_mean
from earthlab.services.stac.instants import write_instant
from earthlab.services.stac.queryables import column_of

MOST_BUCKETS = 1_000
INTERVALS = ("day", "week", "month", "quarter", "year")

_TERMS: Mapping[str, str] = {
    "collection_frequency": "collection",
    "platform_frequency": "platform",
    "constellation_frequency": "constellation",
    "grid_code_frequency": "grid:code",
    "orbit_state_frequency": "sat:orbit_state",
}
_RANGES: Mapping[str, tuple[str, int]] = {"cloud_cover_frequency": ("eo:cloud_cover", 10)}
_VALUES: Mapping[str, tuple[str, str]] = {
    "total_count": ("count(*)", "integer"),
    "datetime_min": ("min(moment)", "datetime"),
    "datetime_max": ("max(moment)", "datetime"),
}
_HISTOGRAM = "datetime_frequency"
NAMES = (*_VALUES, _HISTOGRAM, *_TERMS, *_RANGES)
DEFAULTS = ("total_count", "datetime_min", "datetime_max", "collection_frequency")
# Microseconds up to which the intervals of a histogram are days, then months; beyond, years.
_AUTOMATIC = ((62 * 86_400_000_000, "day"), (6 * 366 * 86_400_000_000, "month"))


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation to compute: its SQL and how its rows become a document."""

    name: str
    data_type: str
    columns: str
    """What is selected of the rows found."""
    grouped: bool = True
    width: int | None = None
    """Of the buckets, where these are ranges of numbers."""

    def select(self, found: str) -> str:
        """The SQL over a subquery of rows: a value, or bucket and count."""
        groups = " GROUP BY 1 HAVING bucket IS NOT NULL" if self.grouped else ""
        return f"SELECT {self.columns} FROM {found}{groups}"  # noqa: S608 - all parts are ours

    def document(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
        """The aggregation object of STAC for the rows of `select`."""
        known = {"name": self.name, "data_type": self.data_type}
        if not self.grouped:
            return {**known, "value": self._value(rows[0][0])}
        by_key = self.width is not None or self.name == _HISTOGRAM
        ordered = sorted(rows, key=lambda row: row[0] if by_key else (-row[1], row[0]))
        buckets = [self._bucket(*row) for row in ordered[:MOST_BUCKETS]]
        return {**known, "buckets": buckets, "overflow": sum(row[1] for row in ordered[MOST_BUCKETS:])}

    def _value(self, value: Any) -> Any:
        return write_instant(value) if self.data_type == "datetime" and value is not None else value

    def _bucket(self, key: Any, count: int) -> dict[str, Any]:
        if self.width is not None:
            low = int(key) * self.width
            ends = {"from": low, "to": low + self.width}
            return {"key": f"{low}-{low + self.width}", "data_type": "numeric", "frequency": count, **ends}
        text = write_instant(key) if self.name == _HISTOGRAM else key
        return {"key": text, "data_type": self.data_type, "frequency": count}


def parse_aggregations(value: Any) -> tuple[str, ...]:
    """The names of aggregations; `DEFAULTS` for None.

    Raises
    ------
    BadRequest
        Where one is not known; the message names it.
    """
    if value is None:
        return DEFAULTS
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise BadRequest(f"aggregations: found {str(value)[:80]!r}, expected a list of {', '.join(NAMES)}.")
    for name in value:
        if name not in NAMES:
            raise BadRequest(
                f"aggregations: there is no {name[:60]!r}. {did_you_mean(name[:60], NAMES, most=len(NAMES))} "
                "See /aggregations."
            )
    return tuple(dict.fromkeys(value))


def parse_interval_name(value: Any) -> str | None:
    """The interval of ``datetime_frequency``; None where it is to fit.

    Raises
    ------
    BadRequest
        Where it is none of `INTERVALS`.
    """
    if value is None or value in INTERVALS:
        return cast("str | None", value)
    raise BadRequest(f"datetime_frequency_interval: found {str(value)[:40]!r}, expected one of {', '.join(INTERVALS)}.")


def fit_interval(microseconds: int) -> str:
    """The interval that divides a time of this length into a readable histogram."""
    return next((name for longest, name in _AUTOMATIC if microseconds <= longest), "year")


def plan_aggregation(name: str, interval: str) -> Aggregation:
    """How to compute one of `NAMES`; the interval is that of ``datetime_frequency``."""
    if name in _VALUES:
        columns, data_type = _VALUES[name]
        return Aggregation(name, data_type, columns, grouped=False)
    if name in _TERMS:
        return Aggregation(name, "string", f"{column_of(_TERMS[name])} AS bucket, count(*)")
    if name in _RANGES:
        queryable, width = _RANGES[name]
        column = column_of(queryable)
        last = 100 // width - 1
        columns = (
            f"CASE WHEN {column} IS NOT NULL THEN least(floor({column} / {width}), {last}) END AS bucket, count(*)"
        )
        return Aggregation(name, "numeric", columns, width=width)
    columns = f"epoch_us(date_trunc('{interval}', make_timestamp(moment))) AS bucket, count(*)"
    return Aggregation(name, f"interval_{interval}", columns)


def describe_aggregations() -> list[dict[str, Any]]:
    """What can be asked for, as ``/aggregations`` lists it."""
    planned = [plan_aggregation(name, "month") for name in NAMES]
    return [{"name": one.name, "data_type": "datetime" if one.name == _HISTOGRAM else one.data_type} for one in planned]
