"""Whether a document answers a question, for catalogues that cannot tell by themselves."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from earthlab.catalog.profiles import find_profile
from earthlab.catalog.statements import (
    is_called,
    norm_box,
    norm_collection,
    norm_instruments,
    norm_platforms,
    norm_times,
)
from earthlab.types import BBox

if TYPE_CHECKING:
    from earthlab.catalog.query import Query

_Names = Callable[[Mapping[str, Any]], tuple[str, ...]]


def keeps(query: "Query", document: Mapping[str, Any]) -> bool:
    """See `Query.keeps`."""
    return (
        (not query.collections or norm_collection(document) in query.collections)
        and (not query.ids or document["id"] in query.ids)
        and _is_called_so(norm_platforms, query.platform, document)
        and _is_called_so(norm_instruments, query.instrument, document)
        and _is_clear(query.max_cloud, document["properties"].get("eo:cloud_cover"))
        and all(condition.holds(document) for condition in query.where)
        and _is_then(query, document)
        and _is_there(query, document)
    )


def _is_called_so(names: _Names, asked: tuple[str, ...], document: Mapping[str, Any]) -> bool:
    return not asked or any(is_called(name, one) for name in names(document) for one in asked)


def _is_clear(most: float | None, cover: Any) -> bool:
    return most is None or cover is None or float(cover) <= most


def _is_then(query: "Query", document: Mapping[str, Any]) -> bool:
    if query.period is None:
        return True
    start, end = norm_times(document["properties"], find_profile(norm_collection(document)))
    first, last = query.period.start, query.period.end
    return (first is None or end >= first) and (last is None or start <= last)


def _is_there(query: "Query", document: Mapping[str, Any]) -> bool:
    if query.bbox is None and query.geometry is None:
        return True
    area = _shape_of_text(query.geometry) if query.geometry else _shape_of_box(query.bbox)
    return area.intersects(_footprint(document))


def _footprint(document: Mapping[str, Any]) -> BaseGeometry:
    outline = _outline(document["geometry"]) if document.get("geometry") else shapely.Point()
    return outline if outline.is_valid and not outline.is_empty else _shape_of_box(norm_box(document))


def _outline(geometry: Any) -> BaseGeometry:
    try:
        return shape(geometry)
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as exc:
        raise ValueError(f"its geometry is not GeoJSON ({exc})") from exc


@lru_cache(maxsize=16)
def _shape_of_text(text: str) -> BaseGeometry:
    area = shape(json.loads(text))
    shapely.prepare(area)
    return area


@lru_cache(maxsize=16)
def _shape_of_box(box: BBox | None) -> BaseGeometry:
    return shapely.union_all([shapely.box(*part.as_tuple()) for part in box.parts()]) if box else shapely.Point()
