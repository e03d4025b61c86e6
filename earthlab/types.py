"""The small exact words that travel between rooms: boxes, periods, tokens."""

import calendar
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from earthlab.errors import BadRequest

_DATE = re.compile(r"^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ].*)?)?)?$")


@dataclass(frozen=True, slots=True)
class BBox:
    """A box in degrees of longitude and latitude (OGC:CRS84), west to east and south to north.

    ``west > east`` means that the box crosses the antimeridian, as in GeoJSON (RFC 7946, section 5.2).
    """

    west: float
    south: float
    east: float
    north: float

    def __post_init__(self) -> None:
        if not (-180 <= self.west <= 180 and -180 <= self.east <= 180):
            raise BadRequest(
                f"bbox: longitudes {self.west}, {self.east} are outside -180…180. "
                "Give bbox=(west, south, east, north) in degrees; projected coordinates must be converted first."
            )
        if not (-90 <= self.south <= 90 and -90 <= self.north <= 90):
            raise BadRequest(
                f"bbox: latitudes {self.south}, {self.north} are outside -90…90. "
                "Give bbox=(west, south, east, north) in degrees: longitude comes first."
            )
        if self.south > self.north:
            raise BadRequest(
                f"bbox: south {self.south} is above north {self.north}. "
                f"Give (west, south, east, north), here ({self.west}, {self.north}, {self.east}, {self.south})."
            )

    def as_tuple(self) -> tuple[float, float, float, float]:
        """West, south, east, north."""
        return (self.west, self.south, self.east, self.north)

    @property
    def middle_longitude(self) -> float:
        """The longitude halfway from west to east, across the antimeridian where the box crosses it."""
        beyond = 360 if self.west > self.east else 0
        middle = (self.west + self.east + beyond) / 2
        return middle - 360 if middle > 180 else middle

    def parts(self) -> "tuple[BBox, ...]":
        """The box itself, or its two halves where it crosses the antimeridian."""
        if self.west <= self.east:
            return (self,)
        return (
            BBox(self.west, self.south, 180.0, self.north),
            BBox(-180.0, self.south, self.east, self.north),
        )


def norm_bbox(value: "BBox | Sequence[float]") -> BBox:
    """The box for a ``BBox`` or for four (or six, with heights) numbers.

    Raises
    ------
    BadRequest
        Where the numbers are not four finite ones in range and in the order west, south, east, north.
        West greater than east is only accepted from a ``BBox``, which says the antimeridian is meant.
    """
    if isinstance(value, BBox):
        return value
    given: Any = value
    try:
        numbers = [] if isinstance(given, str) else [float(v) for v in given]
    except (OverflowError, TypeError, ValueError) as exc:
        raise BadRequest(f"bbox: found {value!r}, expected four numbers (west, south, east, north).") from exc
    if len(numbers) == 6:
        numbers = [numbers[0], numbers[1], numbers[3], numbers[4]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise BadRequest(f"bbox: found {value!r}, expected four finite numbers (west, south, east, north).")
    west, south, east, north = numbers
    if west > east:
        raise BadRequest(
            f"bbox: west {west} is east of east {east}. Give (west, south, east, north); "
            "where the box does cross the antimeridian, say so with earthlab.types.BBox(...)."
        )
    return BBox(west, south, east, north)


@dataclass(frozen=True, slots=True)
class Period:
    """A closed interval of time in UTC; ``None`` leaves that side open."""

    start: datetime | None
    end: datetime | None

    def __post_init__(self) -> None:
        if self.start and self.end and self.start > self.end:
            raise BadRequest(
                f"time: it begins on {self.start:%Y-%m-%d} and ends on {self.end:%Y-%m-%d}, before it begins. "
                f'Turn it round: time="{self.end:%Y-%m-%d}/{self.start:%Y-%m-%d}".'
            )

    def as_stac(self) -> str:
        """The RFC 3339 interval that a STAC API takes as ``datetime``."""
        return f"{_stac_side(self.start)}/{_stac_side(self.end)}"


def _stac_side(moment: datetime | None) -> str:
    return ".." if moment is None else moment.isoformat().replace("+00:00", "Z")


def _bad_time(text: object) -> BadRequest:
    return BadRequest(
        f'time: found {text!r}, expected "2018", "2018-07", "2018-07-08", or two of them as "2018-04/2018-11".'
    )


def _first_moment(text: str) -> datetime:
    found = _DATE.match(text)
    if not found:
        raise _bad_time(text)
    if "T" in text or " " in text:
        return parse_moment(text)
    year, month, day = (int(g) if g else 1 for g in found.groups())
    try:
        return datetime(year, month, day, tzinfo=UTC)
    except ValueError as exc:
        raise BadRequest(f"time: {text!r} is not a date of the calendar ({exc}).") from exc


def _last_moment(text: str) -> datetime:
    first = _first_moment(text)
    if "T" in text or " " in text:
        return first
    match text.count("-"):
        case 0:
            last_day = first.replace(month=12, day=31)
        case 1:
            last_day = first.replace(day=calendar.monthrange(first.year, first.month)[1])
        case _:
            last_day = first
    return last_day.replace(hour=23, minute=59, second=59)


def parse_moment(text: str) -> datetime:
    """A moment in UTC for an RFC 3339 text; a text without zone is taken as UTC."""
    try:
        return _in_utc(datetime.fromisoformat(str.upper(text)))
    except (OverflowError, TypeError, ValueError) as exc:
        raise _bad_time(text) from exc


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def norm_period(value: "Period | str | datetime | Sequence[str | datetime | None]") -> Period:
    """The interval for a year, month or day, for a pair of them, or for a text ``"a/b"``.

    A bare year, month or day covers all of it; ``".."`` or ``None`` leaves a side open.

    Raises
    ------
    BadRequest
        Where a date cannot be read or the end lies before the start.
    """
    if isinstance(value, Period):
        return value
    sides: Sequence[str | datetime | None]
    if isinstance(value, str):
        sides = value.split("/") if "/" in value else (value, value)
    elif isinstance(value, datetime):
        sides = (value, value)
    else:
        sides = tuple(value) if isinstance(value, Sequence) else ()
    if len(sides) != 2:
        raise _bad_time(value)
    return Period(_side(sides[0], last=False), _side(sides[1], last=True))


def _side(value: str | datetime | None, *, last: bool) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return _in_utc(value)
    if not isinstance(value, str):
        raise _bad_time(value)
    text = value.strip()
    if text in {"", ".."}:
        return None
    return _last_moment(text) if last else _first_moment(text)


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_token(value: Any) -> str:
    """A stable name for a JSON value: the first 20 hex digits of the SHA-256 of its canonical text."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:20]
