"""Instants and intervals as RFC 3339 and STAC write them."""

import re
from datetime import UTC, datetime
from typing import Any

from earthlab.errors import BadRequest

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
OPEN = frozenset({"", ".."})


def parse_interval(text: Any) -> tuple[datetime | None, datetime | None]:
    """Both ends of an instant or interval as RFC 3339 writes them; None is open.

    Raises
    ------
    BadRequest
        Where it is neither, or ends before it begins.
    """
    if text is None:
        return None, None
    if not isinstance(text, str):
        raise _bad_datetime(text)
    sides = text.split("/")
    if len(sides) == 1:
        moment = read_instant(text)
        if moment is None:
            raise _bad_datetime(text)
        return moment, moment
    if len(sides) != 2 or all(side in OPEN for side in sides):
        raise _bad_datetime(text)
    begins, ends = (None if side in OPEN else _parse_side(side, text) for side in sides)
    if begins and ends and begins > ends:
        raise BadRequest(f"datetime: {text!r} ends before it begins. Turn it round.")
    return begins, ends


def read_instant(text: str) -> datetime | None:
    """The instant that an RFC 3339 text names, in UTC; None where it names none."""
    found = _RFC3339.fullmatch(text)
    if not found:
        return None
    day, clock, fraction, zone = found.groups()
    second = (fraction or ".0")[1:7].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}.{second}{zone.upper().replace('Z', '+00:00')}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def write_instant(microseconds: int) -> str:
    """The RFC 3339 text of so many microseconds after the beginning of 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    return moment.isoformat(timespec="microseconds" if rest else "seconds").replace("+00:00", "Z")


def _parse_side(side: str, whole: str) -> datetime:
    moment = read_instant(side)
    if moment is None:
        raise _bad_datetime(whole)
    return moment


def _bad_datetime(found: Any) -> BadRequest:
    return BadRequest(
        f"datetime: found {str(found)[:80]!r}, expected an RFC 3339 instant as 2018-07-08T00:00:00Z, or an interval "
        "of two of them with a slash between; .. leaves one side open."
    )
