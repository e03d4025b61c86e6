"""What a search asks: the words of STAC API item search, parsed once into a frozen value; whatever else is refused."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from earthlab.errors import BadRequest, did_you_mean
from earthlab.types import BBox, canonical_json

WORDS = ("bbox", "collections", "datetime", "ids", "intersects", "limit", "token")
DEFAULT_LIMIT = 10
MOST_ITEMS = 10_000
MOST_POINTS = 20_000
MOST_NAMES = 1_000

_GEOMETRIES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
)  # fmt: skip
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Place:
    """The row after which a page begins, in the order of answers: latest first, then by id and collection."""

    moment: int
    """Microseconds since 1970."""
    id: str
    collection: str


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search. Empty means: any."""

    collections: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    area: BaseGeometry | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    limit: int = DEFAULT_LIMIT
    after: Place | None = None


def parse_search(said: Mapping[str, Any], *, known: Sequence[str] = WORDS) -> Search:
    """The search for the words of a request.

    Parameters
    ----------
    said : mapping
        As in the body of ``POST /search``: lists are lists and geometries are objects.
    known : sequence of str
        The words that this address understands.

    Raises
    ------
    BadRequest
        For a word that is not known, and for a value that cannot be understood; the message names it.
    """
    refuse_unknown(said, known)
    if said.get("bbox") is not None and said.get("intersects") is not None:
        raise BadRequest("bbox and intersects are both given, and only one is understood. Leave one of them out.")
    begins, ends = parse_interval(said.get("datetime"))
    search = Search(
        collections=_parse_names("collections", said.get("collections")),
        ids=_parse_names("ids", said.get("ids")),
        area=_parse_bbox(said.get("bbox")) or _parse_geometry(said.get("intersects")),
        begins=begins,
        ends=ends,
        limit=_parse_limit(said.get("limit")),
    )
    return replace(search, after=_parse_token(said.get("token"), said))


def refuse_unknown(said: Mapping[str, Any], known: Sequence[str]) -> None:
    """Nothing, where every word is known.

    Raises
    ------
    BadRequest
        Where one is not; the message names it and lists what is known.
    """
    unknown = sorted(set(said) - set(known))
    if unknown:
        named = ", ".join(repr(word[:60]) for word in unknown[:5])
        listed = ", ".join(known) if known else "none"
        raise BadRequest(
            f"This service does not implement {named}. Parameters known here: {listed}. Leave out what is not known."
        )


def words_of_query(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The words of a query string in the form of a POST body.

    Raises
    ------
    BadRequest
        For a word given twice, and for numbers or GeoJSON that cannot be read.
    """
    said: dict[str, Any] = {}
    for word, text in pairs:
        if word in said:
            raise BadRequest(f"{word[:60]!r} is given twice. Give it once; several values go with commas between them.")
        said[word] = _READERS.get(word, lambda value: value)(text)
    return said


def query_of_words(said: Mapping[str, Any]) -> dict[str, str]:
    """The words of a query string, as `words_of_query` reads them back."""
    return {word: _written(value) for word, value in said.items() if value is not None}


def write_token(place: Place, said: Mapping[str, Any]) -> str:
    """The opaque token of the page after a row of this search."""
    parts = [place.moment, place.id, place.collection, _fingerprint(said)]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


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
        moment = _parse_moment(text, text)
        return moment, moment
    if len(sides) != 2 or all(side in {"", ".."} for side in sides):
        raise _bad_datetime(text)
    begins, ends = (None if side in {"", ".."} else _parse_moment(side, text) for side in sides)
    if begins and ends and begins > ends:
        raise BadRequest(f"datetime: {text!r} ends before it begins. Turn it round.")
    return begins, ends


def _parse_moment(text: str, whole: str) -> datetime:
    found = _RFC3339.fullmatch(text)
    if not found:
        raise _bad_datetime(whole)
    day, clock, fraction, zone = found.groups()
    second = (fraction or ".0")[1:7].ljust(6, "0")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}.{second}{zone.upper().replace('Z', '+00:00')}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise _bad_datetime(whole) from exc


def _bad_datetime(found: Any) -> BadRequest:
    return BadRequest(
        f"datetime: found {str(found)[:80]!r}, expected an RFC 3339 instant as 2018-07-08T00:00:00Z, or an interval "
        "of two of them with a slash between; .. leaves one side open."
    )


def _parse_names(word: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise BadRequest(f"{word}: found {str(value)[:80]!r}, expected a list of names. Leave {word} out for any.")
    if len(value) > MOST_NAMES:
        raise BadRequest(f"{word}: found {len(value)} names, at most {MOST_NAMES} are taken. Ask in several searches.")
    return tuple(dict.fromkeys(value))


def _parse_limit(value: Any) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_ITEMS:
        raise BadRequest(f"limit: found {str(value)[:40]!r}, expected a whole number from 1 to {MOST_ITEMS}.")
    return value


def _parse_bbox(value: Any) -> BaseGeometry | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) not in {4, 6} or not all(map(_is_number, value)):
        raise BadRequest(f"bbox: found {str(value)[:80]!r}, expected four numbers (west,south,east,north), or six.")
    corners = value if len(value) == 4 else [value[0], value[1], value[3], value[4]]
    if len(value) == 6 and value[2] > value[5]:
        raise BadRequest(f"bbox: the lowest height {value[2]} is above the highest {value[5]}. Turn them round.")
    parts = BBox(*map(float, corners)).parts()
    return shapely.union_all([shapely.box(*part.as_tuple()) for part in parts])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _parse_geometry(value: Any) -> BaseGeometry | None:
    if value is None:
        return None
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind not in _GEOMETRIES:
        raise BadRequest(
            f"intersects: found {str(kind or value)[:80]!r}, expected a GeoJSON geometry of type "
            f"{', '.join(_GEOMETRIES)}. Of a Feature, give its geometry."
        )
    try:
        geometry = shapely.from_geojson(json.dumps(value))
    except (shapely.errors.ShapelyError, ValueError, TypeError) as exc:
        raise BadRequest(f"intersects: this {kind} is not GeoJSON: {str(exc)[:120]}. Mend its coordinates.") from exc
    return _checked(geometry)


def _checked(geometry: BaseGeometry) -> BaseGeometry:
    points = shapely.get_num_coordinates(geometry)
    if geometry.is_empty or not math.isfinite(math.fsum(geometry.bounds)):
        raise BadRequest("intersects: the geometry is empty or not finite. Give coordinates in degrees.")
    if points > MOST_POINTS:
        raise BadRequest(f"intersects: found {points} points, at most {MOST_POINTS} are taken. Simplify the geometry.")
    if not geometry.is_valid:
        raise BadRequest(f"intersects: the geometry is not valid: {shapely.is_valid_reason(geometry)}. Mend it.")
    west, south, east, north = geometry.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:
        raise BadRequest(
            f"intersects: the geometry reaches from {west}, {south} to {east}, {north}, beyond -180…180, -90…90. "
            "Give longitude and latitude in degrees, longitude first; cut it in two at the antimeridian."
        )
    return geometry


def _parse_token(value: Any, said: Mapping[str, Any]) -> Place | None:
    if value is None:
        return None
    try:
        parts = json.loads(base64.urlsafe_b64decode(str(value) + "=" * (-len(str(value)) % 4)))
        moment, (name, collection, fingerprint) = int(parts[0]), map(str, parts[1:])
    except (ValueError, TypeError) as exc:
        raise BadRequest("token: this is no page of this service. Take it from a next link, unchanged.") from exc
    if fingerprint != _fingerprint(said):
        raise BadRequest("token: it belongs to another search. Follow next links unchanged, or begin without token.")
    return Place(moment, name, collection)


def _fingerprint(said: Mapping[str, Any]) -> str:
    asked = {word: value for word, value in said.items() if word not in {"token", "limit"} and value is not None}
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:12]


def _read_list(text: str) -> list[str]:
    return text.split(",")


def _read_numbers(text: str) -> list[Any]:
    return [_read_number(part) for part in text.split(",")]


def _read_number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _read_whole(text: str) -> Any:
    return int(text) if re.fullmatch(r"[+-]?\d{1,9}", text, re.ASCII) else text


def _read_object(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as exc:
        raise BadRequest(f"intersects: {str(exc)[:80]}. Give GeoJSON, percent-encoded.") from exc


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    ValueError
        Where it is not JSON, is nested too deeply, or holds NaN or Infinity, which are not JSON either.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_READERS = {
    "bbox": _read_numbers,
    "collections": _read_list,
    "ids": _read_list,
    "intersects": _read_object,
    "limit": _read_whole,
}


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(part) for part in value)
    return canonical_json(value) if isinstance(value, Mapping) else str(value)


def known_name(word: str, name: str, known: Sequence[str]) -> str:
    """A clause for a name that does not exist: what was looked for, and the nearest."""
    return f"There is no {word} {name[:80]!r}. {did_you_mean(name[:80], known)}"
