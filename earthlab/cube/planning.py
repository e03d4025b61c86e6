"""`el.plan`: everything that will be read, decided before a pixel is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import shapely
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from earthlab.catalog import Band, Item, ItemSet, MaskRecipe, Query, cite, find_profile, run_query
from earthlab.catalog.citation import licences_of
from earthlab.catalog.signing import unsigned
from earthlab.cube.chunks import plan_chunks
from earthlab.cube.expansion import expand_items
from earthlab.cube.grid import AXES, affine_bounds, hull_round, is_crs, resolve_grid
from earthlab.cube.plan import Chunks, CubePlan, Encoding, Layer, Source, Step
from earthlab.cube.readers.raster import norm_resampling
from earthlab.errors import BadRequest, did_you_mean
from earthlab.rights import OPEN, load_rules, norm_address
from earthlab.settings import load_settings, parse_bytes
from earthlab.types import BBox, norm_bbox

AUTO = "auto"

_FIRST_DATE, _LAST_DATE = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)
"""What a cube's dates, which are 64-bit nanoseconds, can hold; beyond, they would silently be others."""

_Bands = tuple[Band | None, ...]
"""The bands of one item in the order of the plan, ``None`` where it lacks one."""


def plan(  # noqa: PLR0913 - the one public door
    items: ItemSet | Query,
    bands: Sequence[str] | None = None,
    *,
    resolution: float | None = None,
    crs: Any = None,
    like: Any = None,
    bbox: BBox | Sequence[float] | None = None,
    resampling: str | Mapping[str, str] = "nearest",
    group_by: str = "time",
    mask: str | None = AUTO,
    chunks: str | Mapping[str, int] = "series",
) -> CubePlan:
    """What a cube of these items would be, decided without reading a pixel.

    Parameters
    ----------
    items : ItemSet or Query
        What `earthlab.search` found; a question is searched first.
    bands : sequence of str, optional
        Common names, asset keys or band names; by default every band with a common name. A level of a variable with
        further dimensions is chosen by ``"name@dimension=value"`` (the nearest counts); by default the first.
    resolution : float, optional
        Pixel size in units of the CRS; by default the finest native one.
    crs : str, int or CRS, optional
        By default the items' own.
    like : GeoBox or cube, optional
        The grid as it is there; excludes ``crs``, ``resolution`` and ``bbox``.
    bbox : BBox or four floats, optional
        In degrees; by default the box of the search, or of its geometry, cut to where the items are.
    resampling : str or mapping of str to str
        GDAL's name, for all or by band; only used where a source is not on the grid's own lattice.
    group_by : {"time", "solar_day", "month", "granule"}
        Items of one moment, of one local solar day or of one month (UTC) become one date, on which the first valid
        pixel counts; with ``"granule"`` each item is a date of its own.
    mask : str, optional
        A mask recipe of the collection. By default ``"clear"`` where the collection has one; ``None`` for none.
    chunks : {"series", "map"} or mapping
        ``"series"`` keeps time whole and tiles space, for composites and curves; ``"map"`` makes one date a block, for
        maps and animations; ``{"time": …, "y": …, "x": …}`` says it in pixels.

    Returns
    -------
    CubePlan
        Chunked as the memory of a worker allows.

    Raises
    ------
    BadRequest
        For bands, masks, groupings or grids that do not exist; the message lists those that do.
    AskLess
        Where the cube cannot fit.
    """
    found = run_query(items) if isinstance(items, Query) else _require_items(items)
    found = expand_items(found, bands)
    _require_dates(found)
    names = _resolve_bands(found, bands)
    box = None if like is not None and bbox is None else _resolve_box(found, bbox)
    chosen = {id(item): tuple(item.find_band(name) for name in names) for item in found}
    geobox = resolve_grid(found, names, crs=crs, resolution=resolution, like=like, bbox=box)
    _require_free_names(found, names)
    recipe = _resolve_mask(found, mask)
    several = len(found.collections) > 1
    steps = tuple(
        Step(
            time.astimezone(UTC),
            tuple(_plan_layer(item, chosen[id(item)], recipe, geobox, several=several) for item in group),
        )
        for time, group in _grouped(found, group_by)
    )
    resamplings = _resolve_resampling(resampling, names)
    draft = CubePlan(
        bands=names,
        units=tuple(_unit(column) for column in zip(*chosen.values(), strict=True)),
        steps=steps,
        crs=_crs_text(geobox),
        transform=tuple(geobox.transform)[:6],
        shape=(geobox.shape.y, geobox.shape.x),
        chunks=((), (), ()),
        resampling=resamplings,
        mask=recipe,
        collections=found.collections,
        citation=cite(found),
        simulated=any(item.simulated for item in found),
        encodings=tuple(
            _encoding(column, how) for column, how in zip(zip(*chosen.values(), strict=True), resamplings, strict=True)
        ),
        access=_access(found),
        licences=licences_of(found),
    )
    warped = any(band.crs and not is_crs(band.crs, geobox.crs) for bands in chosen.values() for band in bands if band)
    return replace(draft, chunks=_plan_chunks(draft, chunks, warped=warped))


def _require_items(items: object) -> ItemSet:
    if not isinstance(items, ItemSet):
        raise BadRequest(f"items: found {type(items).__name__}, expected what el.search(...) returns.")
    if not len(items):
        raise BadRequest("items: the selection is empty. Search again with fewer filters.")
    return items


def _require_dates(items: ItemSet) -> None:
    strange = next((item for item in items if not _FIRST_DATE <= item.moment < _LAST_DATE), None)
    if strange is not None:
        raise BadRequest(
            f"Item {strange.id!r} is of {strange.moment:%Y-%m-%d}; a cube holds dates from {_FIRST_DATE:%Y} to "
            f"{_LAST_DATE.year - 1}. Leave it out with time= or ids=."
        )


def _resolve_bands(items: ItemSet, bands: Sequence[str] | None) -> tuple[str, ...]:
    if bands is None:
        common = tuple(dict.fromkeys(b.common_name for item in items for b in item.bands if b.common_name))
        if not common:
            raise BadRequest(f"bands: say which ones. All bands: {', '.join(items.band_names()) or 'none'}.")
        return common
    names = (bands,) if isinstance(bands, str) else tuple(bands)
    if not names:
        raise BadRequest(f"bands: the list is empty. All bands: {', '.join(items.band_names()) or 'none'}.")
    for name in names:
        items.require_band(name)
    return tuple(dict.fromkeys(names))


def _require_free_names(items: ItemSet, names: Sequence[str]) -> None:
    axes = {"time", "spatial_ref", *AXES}
    taken = next((name for name in names if name in axes), None)
    if taken is None:
        return
    bands = (band for item in items if (band := item.find_band(taken)))
    others = {name for band in bands for name in (band.common_name, band.asset, band.name) if name} - {taken}
    remedy = f"Ask for the band as {' or '.join(map(repr, sorted(others)))}." if others else "Leave the band out."
    raise BadRequest(f"bands: {taken!r} is the name of a coordinate of the cube. {remedy}")


def _resolve_box(items: ItemSet, bbox: BBox | Sequence[float] | None) -> BBox | None:
    if bbox is not None:
        return norm_bbox(bbox)
    return items.query.bbox or _box_around(items.query.geometry)


def _box_around(geometry: str | None) -> BBox | None:
    """The box of a shape in degrees, across the antimeridian where that is narrower; none for a point."""
    if geometry is None:
        return None
    degrees = CRS("EPSG:4326")
    parts = shapely.bounds(shapely.get_parts(shapely.from_geojson(geometry))).tolist()
    boxes = [BoundingBox(west, south, east, north, degrees) for west, south, east, north in parts]
    west, south, east, north = hull_round(boxes, degrees).bbox
    if west >= east or south >= north:
        return None
    return BBox(west, south, east - 360 if east > 180 else east, north)


def _resolve_mask(items: ItemSet, mask: str | None) -> MaskRecipe | None:
    if mask is None:
        return None
    recipes = [_recipe(collection, mask) for collection in items.collections]
    if mask == AUTO and None in recipes:
        return None
    for collection, recipe in zip(items.collections, recipes, strict=True):
        if recipe is None:
            profile = find_profile(collection)
            raise BadRequest(
                f"mask: collection {collection!r} has no recipe {mask!r}. "
                f"{did_you_mean(mask, profile.masks if profile else ())} Or give mask=None."
            )
    if len({(r.kind, r.assets, r.keep, r.bits) for r in recipes if r}) > 1:
        raise BadRequest(f"mask: {', '.join(items.collections)} mask in different ways. Plan one collection at a time.")
    return recipes[0]


def _recipe(collection: str, mask: str) -> MaskRecipe | None:
    profile = find_profile(collection)
    return profile.masks.get("clear" if mask == AUTO else mask) if profile else None


def _unit(column: _Bands) -> str:
    bands = [band for band in column if band]
    stated = next((band.unit for band in bands if band.unit), None)
    if stated is None and all(band.scale is None and band.offset is None for band in bands):
        return "DN"
    return stated or "1"


def _resolve_resampling(resampling: str | Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(resampling, Mapping):
        return (norm_resampling(resampling),) * len(names)
    for name in resampling:
        if name not in names:
            raise BadRequest(f"resampling: {name!r} is not a band of the plan. {did_you_mean(name, names)}")
    return tuple(norm_resampling(resampling.get(name, "nearest")) for name in names)


def _grouped(items: ItemSet, group_by: str) -> list[tuple[datetime, list[Item]]]:
    keys: dict[str, Callable[[Item], datetime]] = {"time": _exact_time, "solar_day": _solar_day, "month": _month}
    ordered = sorted(items, key=lambda item: (item.moment, item.id))
    if group_by == "granule":
        return [(_exact_time(item), [item]) for item in ordered]
    if group_by not in keys:
        raise BadRequest(f"group_by: found {group_by!r}. {did_you_mean(group_by, [*keys, 'granule'])}")
    groups: dict[datetime, list[Item]] = {}
    for item in ordered:
        groups.setdefault(keys[group_by](item), []).append(item)
    return sorted(groups.items())


def _exact_time(item: Item) -> datetime:
    return item.moment.replace(microsecond=0)


def _solar_day(item: Item) -> datetime:
    if item.bbox is None:
        raise BadRequest(
            f'group_by="solar_day": item {item.id!r} states no bbox, so no longitude. Use group_by="time".'
        )
    middle = item.bbox.middle_longitude
    return (item.moment + timedelta(hours=middle / 15)).replace(hour=0, minute=0, second=0, microsecond=0)


def _month(item: Item) -> datetime:
    return item.moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _plan_layer(item: Item, bands: _Bands, recipe: MaskRecipe | None, geobox: GeoBox, *, several: bool) -> Layer:
    mask = None
    if recipe and recipe.kind != "none":
        flags = next((band for name in recipe.assets if (band := item.find_band(name))), None)
        if flags is None:
            raise BadRequest(
                f"mask: item {item.id!r} has no asset {' or '.join(map(repr, recipe.assets))}, "
                f"which recipe {recipe.name!r} needs. Leave the item out, or give mask=None."
            )
        mask = Source(unsigned(flags.href), flags.index, kind=flags.kind, variable=flags.variable, at=flags.at)
    sources = tuple(_plan_source(band) if band else None for band in bands)
    collection = item.collection if several else ""
    return Layer(item.id, sources, mask, _bounds(bands, geobox), item.updated, collection)


def _plan_source(band: Band) -> Source:
    if band.kind in {"zip", "table"}:
        raise BadRequest(
            f"bands: asset {band.asset!r} is a {band.kind}, not an image. "
            + ("Use el.table(...)." if band.kind == "table" else "Its inside could not be described.")
        )
    return Source(
        unsigned(band.href), band.index, band.scale, band.offset, band.nodata, band.kind, band.variable, band.at
    )


def _bounds(bands: _Bands, geobox: GeoBox) -> tuple[float, float, float, float] | None:
    known = [band for band in bands if band]
    if not known or not all(band.transform and band.shape and band.crs for band in known):
        return None
    if not all(is_crs(band.crs, geobox.crs) for band in known):
        return None
    edges = {affine_bounds(band.shape, band.transform) for band in known if band.shape and band.transform}
    lefts, bottoms, rights, tops = zip(*edges, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def _encoding(column: _Bands, resampling: str) -> Encoding | None:
    bands = [band for band in column if band]
    agreed = {(band.dtype, band.scale, band.offset, band.nodata) for band in bands if band.kind == "raster"}
    if len(agreed) != 1 or len(bands) != len(column) or resampling not in {"nearest", "mode", "min", "max"}:
        return None
    dtype, scale, offset, nodata = agreed.pop()
    if dtype not in {"uint8", "int8", "uint16", "int16"}:
        return None
    stored, fill = _fill(dtype, nodata)
    return Encoding(stored, 1.0 if scale is None else scale, offset or 0.0, fill)


def _fill(dtype: str, nodata: float | None) -> tuple[str, int]:
    limits = np.iinfo(dtype)
    if nodata is not None and nodata == int(nodata) and limits.min <= nodata <= limits.max:
        return dtype, int(nodata)
    wider = "int16" if dtype in {"uint8", "int8"} else "int32"
    return wider, int(np.iinfo(wider).min)


def _access(items: ItemSet) -> str:
    """The class of whom the cube may be shared with: by its collections, and by the addresses that rules guard.

    A catalogue may call a collection as it likes; the addresses are where the pixels are.
    """
    profiles = [find_profile(collection) for collection in items.collections]
    named = {profile.access for profile in profiles if profile}
    return "--".join(sorted((named | _guarding(items)) - {OPEN})) or OPEN


def _guarding(items: ItemSet) -> set[str]:
    rules = [rule for rule in load_rules() if rule.hrefs]
    bare = {band.href.partition("?")[0] for item in items for band in item.bands} if rules else set()
    return {rule.id for rule in rules for href in bare if rule.guards(norm_address(href) or href)}


def _crs_text(geobox: GeoBox) -> str:
    assert geobox.crs is not None
    return f"EPSG:{geobox.crs.epsg}" if geobox.crs.epsg else str(geobox.crs.to_wkt())


def _plan_chunks(draft: CubePlan, chunks: str | Mapping[str, int], *, warped: bool) -> Chunks:
    compute = load_settings().compute
    memory = parse_bytes(compute.worker_memory, "compute.worker_memory") // max(compute.worker_cores, 1)
    rows, columns = draft.shape
    return plan_chunks(
        len(draft.steps),
        rows,
        columns,
        bands=len(draft.bands),
        itemsize=4,
        memory=memory,
        layout=chunks,
        warped=warped,
    )
