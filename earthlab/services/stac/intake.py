"""What may come into the catalogue: one STAC document at a time, made ready to be stored or refused with its reason."""

import re
import sys
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin

import numpy as np
import shapely

from earthlab.services.stac.geoparquet import QUERYABLES


class Unfit(Exception):
    """A document that cannot be stored; its text says why."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that was left out."""

    where: str
    """The file and line or row, or the address, that it came from."""
    id: str | None
    reason: str


def norm_item(document: Any, base: str | None, reserved: Container[str] = ()) -> dict[str, Any]:
    """The item that a document holds, fit for `earthlab.services.stac.geoparquet.Rows`, its asset hrefs absolute.

    Parameters
    ----------
    document : object
        What the JSON says; an item of STAC 0.9 to 1.1 is kept as it is but for its asset hrefs and a missing bbox.
    base : str, optional
        The address or absolute path that relative hrefs start from where the item has no absolute link to itself.
    reserved : container of str
        Collections that the lab makes itself: nothing else may come into them.

    Raises
    ------
    Unfit
        Where the document is not an item, or something in it that searches compare is not what it should be.
    """
    item = _object(document, "the document")
    if item.get("type") != "Feature":
        raise Unfit(f"type is {_shown(item.get('type'))}, expected 'Feature': this is not a STAC item")
    _check(item, "id", _is_name, "a text that is not empty", needed=True)
    _check_collection_id(item, "collection", reserved)
    properties = _object(item.get("properties"), "properties")
    _check_times(properties)
    for name in _TYPES.keys() & properties.keys():
        _check(properties, name, *_TYPES[name])
    links = item.get("links") or []
    return {
        **item,
        "bbox": _norm_box(item),
        "properties": properties,
        "links": links,
        "assets": _norm_assets(item.get("assets"), _self_of(links) or base),
    }


def norm_collection(document: Mapping[str, Any], reserved: Container[str] = ()) -> dict[str, Any]:
    """The collection that a document holds, with what every answer about it needs.

    Raises
    ------
    Unfit
        Where its id or its links cannot be used, or it is one of those ``reserved``.
    """
    _check_collection_id(document, "id", reserved)
    _check(document, "title", _is_name, "a text that is not empty")
    links = document.get("links")
    if links is not None and not (isinstance(links, list) and all(map(_is_link, links))):
        raise Unfit("links is not a list of objects with rel and href")
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "title": document["id"],
        "description": document["id"],
        "license": "other",
        "links": [],
        **{name: value for name, value in document.items() if value is not None},
    }


def _check_collection_id(said: Mapping[str, Any], name: str, reserved: Container[str]) -> None:
    _check(said, name, _is_name, "a text that is not empty", needed=True)
    if len(quote(said[name])) > _LONGEST_ID:
        raise Unfit(f"{name} is {_shown(said[name])} and longer than {_LONGEST_ID} characters")
    if said[name] in reserved:
        raise Unfit(f"collection {said[name]!r} is the lab's own: give the collection another id")


# It becomes the name of a file.
_LONGEST_ID = 200


def _check_times(properties: Mapping[str, Any]) -> None:
    moments = {name: _moment(properties, name) for name in _TIMES}
    begins, ends = moments["start_datetime"], moments["end_datetime"]
    if moments["datetime"] is None and (begins is None or ends is None):
        raise Unfit("datetime is null, and start_datetime and end_datetime are not both given")
    if begins and ends and begins > ends:
        raise Unfit("start_datetime is after end_datetime")


_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated")


def _moment(properties: Mapping[str, Any], name: str) -> datetime | None:
    text = properties.get(name)
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Unfit(f"{name} is {_shown(text)}, expected an RFC 3339 instant with a zone as 2018-07-08T00:00:00Z")


def _norm_box(item: Mapping[str, Any]) -> list[float]:
    box = item.get("bbox")
    if box is None:
        return _box_of(item.get("geometry"))
    if not isinstance(box, list) or len(box) not in {4, 6} or not all(map(_is_number, box)):
        raise Unfit(f"bbox is {_shown(box)}, expected four numbers, or six")
    half = len(box) // 2
    if abs(box[0]) > _EAST or abs(box[half]) > _EAST or not -_NORTH <= box[1] <= box[half + 1] <= _NORTH:
        raise Unfit(f"bbox is {_shown(box)}, expected west, south, east and north in degrees")
    return box


# Archives round: the millionth part of a degree beyond is no fault.
_EAST, _NORTH = 180.000001, 90.000001


def _box_of(geometry: Any) -> list[float]:
    try:
        bounds = shapely.geometry.shape(geometry).bounds
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError) as exc:
        raise Unfit("geometry is not GeoJSON") from exc
    if len(bounds) != 4 or not np.isfinite(bounds).all():
        raise Unfit("geometry is empty")
    return list(bounds)


def _norm_assets(assets: Any, base: str | None) -> dict[str, Any]:
    found = _object(assets, "assets")
    return (
        found if all(map(_is_whole_asset, found.values())) else {k: _norm_asset(k, v, base) for k, v in found.items()}
    )


def _is_whole_asset(asset: Any) -> bool:
    return isinstance(asset, dict) and isinstance(href := asset.get("href"), str) and _is_absolute(href)


def _norm_asset(key: str, asset: Any, base: str | None) -> dict[str, Any]:
    said = _object(asset, f"asset {key!r}")
    href = said.get("href")
    if not isinstance(href, str) or not href:
        raise Unfit(f"asset {key!r} has href {_shown(href)}, expected an address or a path")
    if _is_absolute(href):
        return said
    if base is None:
        raise Unfit(f"asset {key!r} has the relative href {_shown(href)}, and the item no absolute link to itself")
    return {**said, "href": urljoin(base, href)}


def _self_of(links: Any) -> str | None:
    if not isinstance(links, list) or not all(map(_is_link, links)):
        raise Unfit("links is not a list of objects with rel and href")
    return next((link["href"] for link in links if link["rel"] == "self" and _is_absolute(link["href"])), None)


def _is_absolute(href: str) -> bool:
    return _ABSOLUTE.match(href) is not None


_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:", re.ASCII)


def _object(value: Any, named: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unfit(f"{named} is {_shown(value)}, expected an object")
    return value


def _check(
    said: Mapping[str, Any], name: str, is_so: Callable[[Any], bool], wanted: str, *, needed: bool = False
) -> None:
    value = said.get(name)
    if (value is not None or needed) and not is_so(value):
        raise Unfit(f"{name} is {_shown(value)}, expected {wanted}")


def _shown(value: Any) -> str:
    return "missing" if value is None else f"{str(value)[:60]!r}"


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


_LARGEST = sys.float_info.max


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_link(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("rel"), str) and isinstance(value.get("href"), str)


_KINDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "string": (_is_text, "a text"),
    "number": (_is_number, "a number"),
    "integer": (_is_whole, "a whole number"),
    "array": (_is_texts, "a list of texts"),
}


def _property_types() -> Iterator[tuple[str, tuple[Callable[[Any], bool], str]]]:
    for name, queryable in QUERYABLES.items():
        if name not in {"id", "collection", *_TIMES}:
            yield name, _KINDS[queryable.schema["type"]]
    yield "proj:epsg", _KINDS["integer"]


_TYPES = dict(_property_types())
