"""Boxes and geometries that requests give: in degrees, finite, sound, and not too many points."""

import json
import math
from collections.abc import Mapping
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from earthlab.errors import BadRequest
from earthlab.types import BBox

MOST_POINTS = 20_000
_KINDS = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection",
)  # fmt: skip


def parse_box(value: Any, word: str = "bbox") -> BaseGeometry:
    """The area of four numbers (west, south, east, north), or of six with heights, which are not compared.

    Raises
    ------
    BadRequest
        Where it is neither, or not in degrees; the message begins with ``word``.
    """
    if not isinstance(value, list) or len(value) not in {4, 6} or not all(map(_is_number, value)):
        raise BadRequest(f"{word}: found {str(value)[:80]!r}, expected four numbers (west,south,east,north), or six.")
    corners = value if len(value) == 4 else [value[0], value[1], value[3], value[4]]
    if len(value) == 6 and value[2] > value[5]:
        raise BadRequest(f"{word}: the lowest height {value[2]} is above the highest {value[5]}. Turn them round.")
    parts = BBox(*map(float, corners)).parts()
    return shapely.union_all([shapely.box(*part.as_tuple()) for part in parts])


def parse_geometry(value: Any, word: str = "intersects") -> BaseGeometry:
    """The shape of a GeoJSON geometry.

    Raises
    ------
    BadRequest
        Where it is none, is empty or crosses itself, has more than `MOST_POINTS` points, or is not in degrees; the
        message begins with ``word``.
    """
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind not in _KINDS:
        raise BadRequest(
            f"{word}: found {str(kind or value)[:80]!r}, expected a GeoJSON geometry of type "
            f"{', '.join(_KINDS)}. Of a Feature, give its geometry."
        )
    try:
        geometry = shapely.from_geojson(json.dumps(value))
    except (shapely.errors.ShapelyError, ValueError, TypeError, RecursionError) as exc:
        raise BadRequest(f"{word}: this {kind} is not GeoJSON: {str(exc)[:120]}. Mend its coordinates.") from exc
    return _checked(geometry, word)


def _checked(geometry: BaseGeometry, word: str) -> BaseGeometry:
    points = shapely.get_num_coordinates(geometry)
    if geometry.is_empty or not math.isfinite(math.fsum(geometry.bounds)):
        raise BadRequest(f"{word}: the geometry is empty or not finite. Give coordinates in degrees.")
    if points > MOST_POINTS:
        raise BadRequest(f"{word}: found {points} points, at most {MOST_POINTS} are taken. Simplify the geometry.")
    if not geometry.is_valid:
        raise BadRequest(f"{word}: the geometry is not valid: {shapely.is_valid_reason(geometry)}. Mend it.")
    west, south, east, north = geometry.bounds
    if west < -180 or east > 180 or south < -90 or north > 90:
        raise BadRequest(
            f"{word}: the geometry reaches from {west}, {south} to {east}, {north}, beyond -180…180, -90…90. "
            "Give longitude and latitude in degrees, longitude first; cut it in two at the antimeridian."
        )
    return geometry


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
