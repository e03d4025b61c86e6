"""What a search asks: the words of STAC API item search, parsed once into a frozen value; whatever else is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shapely.geometry.base import BaseGeometry

from earthlab.errors import BadRequest, did_you_mean
from earthlab.services.stac.conditions import Condition
from earthlab.services.stac.fields import Fields, parse_fields
from earthlab.services.stac.filters import CRS84, JSON, TEXT, compile_filter, parse_filter
from earthlab.services.stac.instants import parse_interval
from earthlab.services.stac.paging import Place, parse_token
from earthlab.services.stac.shapes import parse_box, parse_geometry
from earthlab.services.stac.sorting import LATEST_FIRST, Order, parse_sortby
from earthlab.services.stac.stacql import parse_query
from earthlab.services.stac.words import MOST_ITEMS, MOST_NAMES, SEARCH_WORDS, refuse_unknown

DEFAULT_LIMIT = 10
_CRS84 = (CRS84, CRS84.replace("http:", "https:"), "urn:ogc:def:crs:OGC:1.3:CRS84")


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search. Empty means: any."""

    collections: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    area: BaseGeometry | None = None
    begins: datetime | None = None
    ends: datetime | None = None
    where: Condition = field(default_factory=Condition)
    """What ``filter`` and ``query`` ask for, together."""
    order: Order = LATEST_FIRST
    limit: int = DEFAULT_LIMIT
    after: Place | None = None
    fields: Fields | None = None


def parse_search(said: Mapping[str, Any], *, known: Sequence[str] = SEARCH_WORDS) -> Search:
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
    begins, ends = parse_interval(said.get("datetime"))
    order = parse_sortby(said.get("sortby"))
    return Search(
        collections=parse_names("collections", said.get("collections")),
        ids=parse_names("ids", said.get("ids")),
        area=_parse_area(said.get("bbox"), said.get("intersects")),
        begins=begins,
        ends=ends,
        where=_parse_where(said),
        order=order,
        limit=_parse_limit(said.get("limit")),
        after=parse_token(said.get("token"), order, said),
        fields=parse_fields(said["fields"]) if "fields" in said else None,
    )


def parse_names(word: str, value: Any) -> tuple[str, ...]:
    """The names of a list, each once, or the one of a text, which some clients send; none for None.

    Raises
    ------
    BadRequest
        Where it is no list of names, or has more than `MOST_NAMES`.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name for name in value):
        raise BadRequest(f"{word}: found {str(value)[:80]!r}, expected a list of names. Leave {word} out for any.")
    if len(value) > MOST_NAMES:
        raise BadRequest(f"{word}: found {len(value)} names, at most {MOST_NAMES} are taken. Ask in several searches.")
    return tuple(dict.fromkeys(value))


def known_name(word: str, name: str, known: Sequence[str]) -> str:
    """A clause for a name that does not exist: what was looked for, and the nearest."""
    return f"There is no {word} {name[:80]!r}. {did_you_mean(name[:80], known)}"


def _parse_area(box: Any, shape: Any) -> BaseGeometry | None:
    if box is not None and shape is not None:
        raise BadRequest("bbox and intersects are both given, and only one is understood. Leave one of them out.")
    if box is not None:
        return parse_box(box)
    return None if shape is None else parse_geometry(shape)


def _parse_where(said: Mapping[str, Any]) -> Condition:
    crs, language = said.get("filter-crs"), said.get("filter-lang")
    if crs is not None and crs not in _CRS84:
        raise BadRequest(f"filter-crs: found {str(crs)[:80]!r}, and only {CRS84} is implemented. Leave it out.")
    if language not in (None, TEXT, JSON):
        raise BadRequest(f"filter-lang: found {str(language)[:40]!r}, expected {TEXT} or {JSON}.")
    parts = []
    if said.get("filter") is not None:
        parts.append(parse_filter(said["filter"], language or JSON))
    if said.get("query") is not None:
        parts.append(parse_query(said["query"]))
    return compile_filter({"op": "and", "args": parts}) if parts else Condition()


def _parse_limit(value: Any) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequest(f"limit: found {str(value)[:40]!r}, expected a whole number from 1 to {MOST_ITEMS}.")
    # OGC 17-069r4, 7.15.2: more than the most is no error, and gives the most.
    return min(value, MOST_ITEMS)
