"""Which pixels a cube has: native where the items share a lattice, else as asked."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, Geometry, box
from pyproj.exceptions import CRSError

from earthlab.catalog import Band, Item, ItemSet
from earthlab.errors import AskLess, BadRequest
from earthlab.types import BBox

MOST_PIXELS = 2**36

_DENSE: Literal["auto"] = "auto"
"""Outlines get extra points on their way into another CRS, where straight lines bend."""

_Place = BBox | tuple[tuple[int, int], tuple[float, ...], str]
"""Where an item is: its box in degrees, or the shape, transform and CRS of a band."""


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
    used = [band for item in items for band in _used(item, bands)]
    wanted = _norm_crs(crs) if crs is not None else _common_crs(used, items)
    pixel = _finest(used, wanted) if resolution is None else (_norm_resolution(resolution),) * 2
    extent = _extent(items, bands, wanted)
    if bbox is not None:
        extent = _cut(extent, bbox, wanted)
    return _refuse_huge(_snap(extent, pixel, _origin(used, wanted), wanted))


def _used(item: Item, names: Sequence[str]) -> list[Band]:
    found = [band for name in names if (band := item.find_band(name))]
    for band in found:
        if band.crs and not _is_crs(band.crs):
            raise BadRequest(
                f"Item {item.id!r}, asset {band.asset!r}: {band.crs[:80]!r} is not a CRS that PROJ knows. "
                "Leave the item out, for one with [i for i in items if …]."
            )
    return found


@lru_cache(maxsize=256)
def _is_crs(text: str) -> bool:
    try:
        CRS(text)
    except (CRSError, TypeError, ValueError):
        return False
    return True


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


def _norm_crs(crs: Any) -> CRS:
    try:
        return CRS(crs)
    except (CRSError, TypeError, ValueError) as exc:
        raise BadRequest(f'crs: {crs!r} is not a CRS that PROJ knows. Give for one "EPSG:2154".') from exc


def _norm_resolution(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise BadRequest(f"resolution: found {value!r}, expected a positive number in units of the CRS.")
    return float(value)


def _common_crs(used: Sequence[Band], items: ItemSet) -> CRS:
    counts = Counter(band.crs for band in used if band.crs)
    if not counts:
        name = items.items[0].id if items.items else "none"
        raise BadRequest(
            f"Item {name!r} states no projection (proj:code) and neither does any other. "
            "Say the grid: crs= and resolution=, or like=."
        )
    return _norm_crs(counts.most_common(1)[0][0])


def _native(used: Iterable[Band], crs: CRS) -> list[Band]:
    return [band for band in used if band.transform and band.crs and CRS(band.crs) == crs]


def _finest(used: Sequence[Band], crs: CRS) -> tuple[float, float]:
    sizes = [(abs(b.transform[0]), abs(b.transform[4])) for b in _native(used, crs) if b.pixel and b.transform]
    if not sizes:
        raise BadRequest(f"No item states a pixel size in {_short(crs)}. Give resolution= in its units, or like=.")
    return min(sizes)


def _origin(used: Sequence[Band], crs: CRS) -> tuple[float, float]:
    native = _native(used, crs)
    if not native:
        return (0.0, 0.0)
    finest = min(native, key=lambda band: band.pixel or math.inf)
    transform = Affine(*(finest.transform or ()))
    return (transform.c, transform.f)


def _extent(items: ItemSet, names: Sequence[str], crs: CRS) -> BoundingBox:
    places = {place for item in items for place in _places(item, names)}
    if not places:
        raise BadRequest("The items state neither shape nor box. Give the grid with like=.")
    bounds = [_outline(place).to_crs(crs, resolution=_DENSE).boundingbox for place in places]
    return BoundingBox(
        min(b.left for b in bounds),
        min(b.bottom for b in bounds),
        max(b.right for b in bounds),
        max(b.top for b in bounds),
        crs,
    )


def _places(item: Item, names: Sequence[str]) -> Iterator[_Place]:
    used = _used(item, names)
    placed = [(b.shape, b.transform, b.crs) for b in used if b.crs and b.transform and b.shape]
    yield from placed
    if used and not placed and item.bbox:
        yield from item.bbox.parts()


def _outline(place: _Place) -> Geometry:
    if isinstance(place, BBox):
        return box(*place.as_tuple(), "EPSG:4326")
    shape, transform, crs = place
    return GeoBox(shape, Affine(*transform), crs).extent


def _cut(extent: BoundingBox, bbox: BBox, crs: CRS) -> BoundingBox:
    if bbox.west > bbox.east:
        raise BadRequest("A cube's bbox cannot cross the antimeridian in one grid. Give like=, or open the two halves.")
    asked = box(*bbox.as_tuple(), "EPSG:4326").to_crs(crs, resolution=_DENSE).boundingbox
    both = BoundingBox(
        max(extent.left, asked.left),
        max(extent.bottom, asked.bottom),
        min(extent.right, asked.right),
        min(extent.top, asked.top),
        crs,
    )
    if both.left >= both.right or both.bottom >= both.top:
        raise BadRequest(f"bbox {bbox.as_tuple()} misses every item. Ask with the box of the search, or leave it out.")
    return both


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
