"""Which pixels a cube has: native where the items share a lattice, else as asked."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, box
from pyproj.exceptions import CRSError

from earthlab.catalog import Band, ItemSet
from earthlab.errors import AskLess, BadRequest
from earthlab.types import BBox

MOST_PIXELS = 2**36

_DENSE = "auto"
"""Outlines get extra points on their way into another CRS, where straight lines bend."""


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
    used = [band for item in items for name in bands if (band := item.find_band(name))]
    wanted = _norm_crs(crs) if crs is not None else _common_crs(used, items)
    pixel = _norm_resolution(resolution) if resolution is not None else _finest(used, wanted)
    extent = _extent(items, used, wanted)
    if bbox is not None:
        extent = _cut(extent, bbox, wanted)
    return _refuse_huge(_snap(extent, pixel, _origin(used, wanted), wanted))


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


def _finest(used: Sequence[Band], crs: CRS) -> float:
    sizes = [band.pixel for band in _native(used, crs) if band.pixel]
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


def _extent(items: ItemSet, used: Sequence[Band], crs: CRS) -> BoundingBox:
    placed = {(b.crs, b.transform, b.shape) for b in used if b.crs and b.transform and b.shape}
    outlines = [GeoBox(shape, Affine(*transform), own).extent for own, transform, shape in placed]
    if not outlines:
        outlines = [box(*item.bbox.as_tuple(), "EPSG:4326") for item in items if item.bbox]
    if not outlines:
        raise BadRequest("The items state neither shape nor box. Give the grid with like=.")
    bounds = [outline.to_crs(crs, resolution=_DENSE).boundingbox for outline in outlines]
    return BoundingBox(
        min(b.left for b in bounds),
        min(b.bottom for b in bounds),
        max(b.right for b in bounds),
        max(b.top for b in bounds),
        crs,
    )


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


def _snap(extent: BoundingBox, pixel: float, origin: tuple[float, float], crs: CRS) -> GeoBox:
    x0, y0 = origin
    first = math.floor((extent.left - x0) / pixel + 1e-6)
    last = math.ceil((extent.right - x0) / pixel - 1e-6)
    top = math.floor((y0 - extent.top) / pixel + 1e-6)
    bottom = math.ceil((y0 - extent.bottom) / pixel - 1e-6)
    transform = Affine(pixel, 0.0, x0 + first * pixel, 0.0, -pixel, y0 - top * pixel)
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
