"""Which columns of a text table say where and when, under the names people give them."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from earthlab.errors import BadRequest

_LATITUDE = (
    "decimallatitude", "latitude", "lat", "gpslat", "latitudedeg", "latwgs84", "ywgs84", "coordonneesminy", "miny",
)  # fmt: skip
_LONGITUDE = (
    "decimallongitude", "longitude", "lon", "long", "lng", "gpslong", "gpslon", "longitudedeg", "lonwgs84", "xwgs84",
    "coordonneesminx", "minx",
)  # fmt: skip
_DATE = (
    "datetime", "dateheure", "timestamp", "yyyymmddthhmmsssss", "eventdate", "juld", "date", "time", "dateutc",
    "datetimeutc", "datemesure", "dateprelevement", "datedeprelevement", "samplingdate", "observationdate", "jour",
)  # fmt: skip
_HOUR = ("heure", "hour", "time", "heureutc", "timeutc", "eventtime", "hhmm")
_NOTHING: Mapping[str, str] = {}
_UNIT = re.compile(r"[\[(]([^\[\]()]+)[\])]\s*$")
_YEAR_LAST = r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}\b"
_SPOKEN = re.compile(r"^[A-Z][a-z]{2} ([A-Z][a-z]{2} \d{1,2}) (\d{2}:\d{2}:\d{2}) ([A-Z]{3,4}) (\d{4})$")
"""``Tue Apr 01 00:00:00 CET 1930``, as Java writes a moment and archives of GBIF hold it."""

_ZONES = {"UTC": "Z", "GMT": "Z", "CET": "+01:00", "CEST": "+02:00"}
_INTERVAL = re.compile(r"^(\d{4}-\d{2}[^/]*)/.*$")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that say where and when: ``time`` holds none, one, or a date and an hour."""

    longitude: str
    latitude: str
    time: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        return (self.longitude, self.latitude, *self.time)


def find_columns(names: Sequence[str], known: Mapping[str, str] = _NOTHING) -> Columns:
    """The columns of a table that say where and when.

    ``known`` are those that a catalogue names, by ``longitude``, ``latitude`` and ``time``. For the rest English,
    French, Darwin Core, ODV, SOMLIT and Quadrige names are known, whatever their case, accents and units.

    Raises
    ------
    BadRequest
        Where there is no longitude or no latitude; the message lists the columns.
    """
    longitude, latitude = _find_place(names, known)
    if longitude is None or latitude is None:
        shown = ", ".join(map(repr, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        raise BadRequest(
            f"table: found no longitude and latitude among the columns {shown}. Expected for one 'longitude' and "
            "'latitude' (or 'decimalLongitude', 'lon', 'gpsLong*', …) in degrees: rename the columns or add them."
        )
    date = known["time"] if known.get("time") in names else _first(names, _DATE)
    hour = _first([name for name in names if name != date], _HOUR)
    if date is None:
        return Columns(longitude, latitude)
    bare = _key(date.rpartition(":")[2]) in {"date", "jour", "dateutc", "datemesure", "dateprelevement"}
    return Columns(longitude, latitude, (date, hour) if bare and hour else (date,))


def has_place(names: Sequence[str], known: Mapping[str, str] = _NOTHING) -> bool:
    """Whether there are columns of longitude and latitude."""
    return None not in _find_place(names, known)


def _find_place(names: Sequence[str], known: Mapping[str, str]) -> tuple[str | None, str | None]:
    said = {role: name for role, name in known.items() if name in names}
    return said.get("longitude") or _first(names, _LONGITUDE), said.get("latitude") or _first(names, _LATITUDE)


def strip_units(names: Iterable[str]) -> tuple[str, ...]:
    """The names without the units in brackets at their end."""
    return tuple(_UNIT.sub("", name).strip() for name in names)


def find_units(names: Iterable[str]) -> dict[str, str]:
    """The units that stand in brackets at the end of names: ``"Depth [m]"``."""
    values = (name for name in names if not name.startswith("QV:"))  # ODV's quality flags bear the name of their values
    return {name: found.group(1).strip() for name in values if (found := _UNIT.search(name))}


def parse_times(frame: pd.DataFrame, names: tuple[str, ...]) -> "pd.Series[Any]":
    """The times of the rows in UTC, NaT where there is none; a time without zone is taken as UTC.

    ISO 8601, ``20180708``, ``2018/07/08`` and dates with the day first are read, and with the month first where a day
    beyond 12 proves it; of an interval its beginning. A zone by a name other than UTC, GMT, CET or CEST is not known.

    Raises
    ------
    BadRequest
        Where most cannot be read, or days and months come in either order: the message shows one.
    """
    if not names:
        return pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ns, UTC]")
    text = _text(frame[names[0]]).str.replace(_INTERVAL, r"\1", regex=True).str.replace(_SPOKEN, _written, regex=True)
    if len(names) == 2:
        hour = _text(frame[names[1]])
        text = text.where(hour.isna(), text + " " + hour.fillna(""))
    known = text.dropna()
    times = pd.to_datetime(known, utc=True, errors="coerce", dayfirst=_is_day_first(known, names[0]), format="mixed")
    if len(known) and times.isna().mean() > 0.5:
        raise BadRequest(
            f"table: column {names[0]!r} holds {known[times.isna()].iloc[0]!r}, which is no date that is known here. "
            "Expected 2018-07-08, 2018-07-08T10:50:00Z, 08/07/2018 or 20180708."
        )
    return times.reindex(frame.index).astype("datetime64[ns, UTC]")


def _written(spoken: re.Match[str]) -> str:
    day, hour, zone, year = spoken.groups()
    return f"{day} {year} {hour}{_ZONES[zone]}" if zone in _ZONES else "of unknown zone"


def _is_day_first(text: "pd.Series[Any]", name: str) -> bool:
    parts = text.str.extract(_YEAR_LAST).dropna().astype(int)
    first, second = (parts[parts[place] > 12].index for place in (0, 1))
    if len(first) and len(second):
        raise BadRequest(
            f"table: column {name!r} holds {text[first[0]]!r} and {text[second[0]]!r}: days and months in either order."
            " Write the dates as 2018-07-08."
        )
    return len(parts) > 0 and not len(second)


def _text(column: "pd.Series[Any]") -> "pd.Series[Any]":
    days = pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all())
    whole = column.astype("Int64") if days else column
    text: pd.Series[Any] = whole.astype("string").str.strip()
    return text.mask(text == "")


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    by_key: dict[str, str] = {}
    for name in names:
        for key in (_key(name), _key(name.rpartition(":")[2])):
            by_key.setdefault(key, name)
    return next((by_key[key] for key in known if key in by_key), None)


def _key(name: str) -> str:
    plain = unicodedata.normalize("NFKD", _UNIT.sub("", name)).casefold()
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())
