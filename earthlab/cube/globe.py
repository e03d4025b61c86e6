"""Coordinates that go round the globe: longitudes, and eastings of cylindrical projections."""

import math
from functools import lru_cache

from odc.geo.crs import CRS

_CYLINDERS = {"1024", "1026", "1028", "1029", "1044", "9804", "9805", "9834", "9835"}
"""EPSG's codes of the methods in which x is a longitude times a length: Mercator of several kinds, equidistant
cylindrical, and Lambert's cylindrical equal area."""

_FAR = 1e6

Span = tuple[float, float]
"""Left and right."""


def full_turn(crs: CRS | None) -> float:
    """How far x goes once round the globe, in units of the CRS; 0 where x does not go round."""
    return 0.0 if crs is None else _full_turn(str(crs))


@lru_cache(maxsize=256)
def _full_turn(text: str) -> float:
    crs = CRS(text)
    if crs.geographic:
        return round(2 * math.pi / crs.proj.axis_info[0].unit_conversion_factor, 9)
    method = crs.proj.coordinate_operation
    if method is None or method.method_code not in _CYLINDERS:
        return 0.0
    way = crs.transformer_to_crs(CRS("EPSG:4326"))
    start, end = (way(x, 0.0)[0] for x in (0.0, _FAR))
    return float(360 * _FAR / ((end - start) % 360))


def turns_between(span: Span, wanted: Span, turn: float) -> range:
    """By how many turns a span of x can be moved, to the east or (negative) to the west, so as to touch another."""
    (left, right), (west, east) = span, wanted
    if not turn:
        return range(int(left < east and west < right))
    return range(math.floor((west - right) / turn) + 1, math.ceil((east - left) / turn))
