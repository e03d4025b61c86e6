"""Which pixels a cube has: native where the items share a lattice, else as asked."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, Geometry, box
from pyproj.exceptions import CRSError

from earthlab.catalog import Band, Item, ItemSet
from earthlab.cube.globe import full_turn, turns_between
from earthlab.errors import AskLess, BadRequest
from earthlab.types import BBox

AXES = ("y", "x")
"""The dimensions of a grid's rows and columns in every cube, whatever its CRS."""

MOST_PIXELS = 2**36

_DENSE: Literal["auto"] = "auto"
"""Outlines get extra points on their way into another CRS, where straight lines bend."""


class _Place(NamedTuple):
    """Where a band is, as far as its item says."""

    crs: str
    transform: tuple[float, ...] | None
    shape: tuple[int, int] | None

    @property
    def pixel(self) -> tuple[float, float] | None:
        return (abs(self.transform[0]), abs(self.transform[4])) if self.transform else None


def resolve_grid(
    items: ItemSet,
    bands: Sequence[str],
    *,
    crs: Any = None,
    resolution: float | None = None,
    like: Any = None,
    bbox: BBox | None = None,
) -> GeoBox:
    """The grid of a cube: CRS, transform and shape, north up.

    Parameters
    ----------
    items : ItemSet
        Only their metadata is used; no file is opened.
    bands : sequence of str
        The bands that count for the native CRS, resolution and lattice.
    crs : str, int or CRS, optional
        By default the one most items have.
    resolution : float, optional
        Pixel size in units of the CRS; by default the finest native one.
    like : GeoBox or xarray object, optional
        Take this grid as it is; excludes the other words.
    bbox : BBox, optional
        Cut to this box (degrees), grown to whole pixels.

    Notes
    -----
    Where x goes round the globe (longitudes, or eastings of a cylindrical projection) a grid may go on beyond ±180
    degrees: it has the longitudes of ``bbox``, to the east of its west, or else the shortest way round all items.

    Raises
    ------
    BadRequest
        Where the words contradict each other, the CRS is unknown, an item states no projection and none was
        given, or the box misses every item.
    AskLess
        Where the grid has more than 2³⁶ pixels.
    """
    if like is not None:
        return _norm_like(like, crs=crs, resolution=resolution, bbox=bbox)
    places = _distinct_places(items, bands)
    wanted = norm_crs(crs) if crs is not None else _common_crs(places, items)
    pixel = _finest(places, wanted) if resolution is None else (_norm_resolution(resolution),) * 2
    boxes = _boxes(places, _loose_boxes(items, bands), wanted)
    extent = hull_round(boxes, wanted) if bbox is None else _cut(boxes, bbox, wanted)
    return _refuse_huge(_snap(extent, pixel, _origin(places, wanted), wanted))


def _distinct_places(items: ItemSet, names: Sequence[str]) -> Counter[_Place]:
    counts: Counter[_Place] = Counter()
    for item in items:
        for name in names:
            band = item.find_band(name)
            if band and band.crs:
                counts[_Place(band.crs, band.transform, band.shape)] += 1
                _require_crs(item, band)
    return counts


def _require_crs(item: Item, band: Band) -> None:
    if not _is_crs(band.crs or ""):
        raise BadRequest(
            f"Item {item.id!r}, asset {band.asset!r}: {(band.crs or '')[:80]!r} is not a CRS that PROJ knows. "
            "Leave the item out, for one with [i for i in items if …]."
        )


@lru_cache(maxsize=256)
def _is_crs(text: str) -> bool:
    try:
        CRS(text)
    except (CRSError, TypeError, ValueError):
        return False
    return True


def is_crs(text: str | None, crs: CRS | None) -> bool:
    """Whether a text means this CRS."""
    return text is not None and crs is not None and _means_same(text, str(crs))


@lru_cache(maxsize=1024)
def _means_same(one: str, other: str) -> bool:
    return bool(CRS(one) == CRS(other))


def _norm_like(like: Any, **others: Any) -> GeoBox:
    given = [word for word, value in others.items() if value is not None]
    if given:
        raise BadRequest(f"like= already sets the grid; leave out {', '.join(given)}.")
    geobox = like if isinstance(like, GeoBox) else getattr(getattr(like, "odc", None), "geobox", None)
    if not isinstance(geobox, GeoBox) or geobox.crs is None:
        raise BadRequest(
            f"like: {type(like).__name__} has no grid. Give an odc.geo GeoBox or a cube with x, y and a CRS."
        )
    return _refuse_huge(geobox)


def norm_crs(crs: Any) -> CRS:
    """The CRS for a code, a text or an object.

    Raises
    ------
    BadRequest
        For what PROJ does not know.
    """
    try:
        found = CRS(int(crs) if isinstance(crs, np.integer) else crs)
    except (CRSError, TypeError, ValueError) as exc:
        raise BadRequest(f'crs: {crs!r} is not a CRS that PROJ knows. Give for one "EPSG:2154".') from exc
    if not (found.projected or found.geographic):
        raise BadRequest(f'crs: {crs!r} has no map axes x and y. Give for one "EPSG:2154".')
    return found


def _norm_resolution(value: float) -> float:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not (real and math.isfinite(value) and value > 0):
        raise BadRequest(f"resolution: found {value!r}, expected a positive number in units of the CRS.")
    return float(value)


def _common_crs(places: Counter[_Place], items: ItemSet) -> CRS:
    counts: Counter[str] = Counter()
    for place, count in places.items():
        counts[place.crs] += count
    if not counts:
        name = items.items[0].id if items.items else "none"
        raise BadRequest(
            f"Item {name!r} states no projection (proj:code) and neither does any other. "
            "Say the grid: crs= and resolution=, or like=."
        )
    return norm_crs(counts.most_common(1)[0][0])


def _native(places: Iterable[_Place], crs: CRS) -> list[_Place]:
    return [place for place in places if place.transform and is_crs(place.crs, crs)]


def _finest(places: Iterable[_Place], crs: CRS) -> tuple[float, float]:
    sizes = [place.pixel for place in _native(places, crs) if place.pixel and all(place.pixel)]
    if not sizes:
        raise BadRequest(f"No item states a pixel size in {_short(crs)}. Give resolution= in its units, or like=.")
    return min(sizes)


def _origin(places: Iterable[_Place], crs: CRS) -> tuple[float, float]:
    native = _native(places, crs)
    if not native:
        return (0.0, 0.0)
    transform = min(native, key=lambda place: place.pixel or (math.inf, math.inf)).transform
    assert transform is not None
    return (transform[2], transform[5])


def _boxes(places: Iterable[_Place], loose: Iterable[BBox], crs: CRS) -> list[BoundingBox]:
    boxes = [_bounds(place, crs) for place in places if place.transform and place.shape]
    boxes += [_from_degrees(one, crs) for one in loose]
    if not boxes:
        raise BadRequest("The items state neither shape nor box. Give the grid with like=.")
    return boxes


def _bounds(place: _Place, crs: CRS) -> BoundingBox:
    assert place.transform is not None
    assert place.shape is not None
    if is_crs(place.crs, crs):
        return BoundingBox(*affine_bounds(place.shape, place.transform), crs)
    return _outline_bounds(GeoBox(place.shape, Affine(*place.transform), place.crs).extent, crs)


def _from_degrees(bbox: BBox, crs: CRS) -> BoundingBox:
    west, south, east, north = bbox.as_tuple()
    beyond = 360 if west > east else 0
    if is_crs("EPSG:4326", crs):
        return BoundingBox(west, south, east + beyond, north, crs)
    return _outline_bounds(box(west, south, east + beyond, north, "EPSG:4326"), crs)


def _outline_bounds(outline: Geometry, crs: CRS) -> BoundingBox:
    """The box of an outline in another CRS; where x goes round the globe, on its way round it."""
    there = outline.to_crs(crs, resolution=_DENSE)
    turn = full_turn(crs)
    if not turn:
        return there.boundingbox
    x = np.array(there.exterior.points)[:, 0]
    known = np.isfinite(x)
    along = np.unwrap(x, period=turn) if known.all() else x[known]
    if not along.size:
        return there.boundingbox
    left = float(x[known][along.argmin()])
    width = min(float(np.ptp(along)), turn)
    return BoundingBox(left, there.boundingbox.bottom, left + width, there.boundingbox.top, crs)


def hull_round(boxes: Sequence[BoundingBox], crs: CRS) -> BoundingBox:
    """The box of all; where x goes round the globe the narrowest, which may go on beyond ±180 degrees."""
    turn = full_turn(crs)
    hull = _hull(boxes, crs)
    if not turn or hull.right - hull.left <= turn / 2:
        return hull
    west = _after_widest_gap(boxes, hull.left, turn)
    round_ = _hull([_moved(one, -turn * math.floor((one.left - west) / turn + 1e-9)) for one in boxes], crs)
    widest = max(turn, *(one.right - one.left for one in boxes))
    return BoundingBox(round_.left, round_.bottom, min(round_.right, round_.left + widest), round_.top, crs)


def _after_widest_gap(boxes: Sequence[BoundingBox], first: float, turn: float) -> float:
    lefts = np.array([one.left for one in boxes])
    starts = (lefts - first) % turn
    order = np.argsort(starts)
    starts = starts[order]
    reach = np.maximum.accumulate(starts + np.array([one.right - one.left for one in boxes])[order])
    gaps = np.append(starts[1:], turn) - np.maximum(reach, reach[-1] - turn)
    widest = int(gaps.argmax())
    return first if gaps[widest] <= gaps[-1] + 1e-9 * turn else float(lefts[order[widest + 1]])


def affine_bounds(shape: tuple[int, int], transform: tuple[float, ...]) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of so many rows and columns, in the transform's own CRS."""
    a, b, c, d, e, f = transform
    rows, columns = shape
    xs = [c + a * i + b * j for i in (0, columns) for j in (0, rows)]
    ys = [f + d * i + e * j for i in (0, columns) for j in (0, rows)]
    return min(xs), min(ys), max(xs), max(ys)


def _loose_boxes(items: ItemSet, names: Sequence[str]) -> set[BBox]:
    return {item.bbox for item in items if item.bbox and _is_unplaced(item, names)}


def _is_unplaced(item: Item, names: Sequence[str]) -> bool:
    used = [band for name in names if (band := item.find_band(name))]
    return bool(used) and not any(band.crs and band.transform and band.shape for band in used)


def _cut(boxes: Sequence[BoundingBox], bbox: BBox, crs: CRS) -> BoundingBox:
    asked = _from_degrees(bbox, crs)
    turn = full_turn(crs)
    touching = [
        _moved(one, times * turn)
        for one in boxes
        if one.bottom < asked.top and asked.bottom < one.top
        for times in turns_between((one.left, one.right), (asked.left, asked.right), turn)
    ]
    if not touching:
        raise BadRequest(f"bbox {bbox.as_tuple()} misses every item. Ask with the box of the search, or leave it out.")
    extent = _hull(touching, crs)
    return BoundingBox(
        max(extent.left, asked.left),
        max(extent.bottom, asked.bottom),
        min(extent.right, asked.right),
        min(extent.top, asked.top),
        crs,
    )


def _moved(one: BoundingBox, x: float) -> BoundingBox:
    return BoundingBox(one.left + x, one.bottom, one.right + x, one.top, one.crs)


def _hull(boxes: Sequence[BoundingBox], crs: CRS) -> BoundingBox:
    return BoundingBox(
        min(b.left for b in boxes),
        min(b.bottom for b in boxes),
        max(b.right for b in boxes),
        max(b.top for b in boxes),
        crs,
    )


def _snap(extent: BoundingBox, pixel: tuple[float, float], origin: tuple[float, float], crs: CRS) -> GeoBox:
    (wide, high), (x0, y0) = pixel, origin
    first = math.floor((extent.left - x0) / wide + 1e-6)
    last = math.ceil((extent.right - x0) / wide - 1e-6)
    top = math.floor((y0 - extent.top) / high + 1e-6)
    bottom = math.ceil((y0 - extent.bottom) / high - 1e-6)
    transform = Affine(wide, 0.0, x0 + first * wide, 0.0, -high, y0 - top * high)
    return GeoBox((max(bottom - top, 1), max(last - first, 1)), transform, crs)


def _refuse_huge(geobox: GeoBox) -> GeoBox:
    rows, columns = geobox.shape
    if rows * columns > MOST_PIXELS:
        raise AskLess(
            f"The grid has {rows} × {columns} pixels; the most is {MOST_PIXELS:,}. "
            "Give a coarser resolution= or a smaller bbox=."
        )
    return geobox


def _short(crs: CRS) -> str:
    return f"EPSG:{crs.epsg}" if crs.epsg else "this CRS"
