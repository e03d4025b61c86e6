"""What the catalogue does not describe: the headers of NetCDF, HDF5, Zarr and zip assets say it.

A NetCDF of a year of days is one asset of one item in its catalogue. Here it becomes an item a day, with a band a
variable, so that all that follows sees what it sees of rasters. Only headers and coordinates are read.

A dimension that is neither y, x nor time is chosen in the name of the band: ``"thetao@depth=10"`` takes the level
nearest to 10 in the units of the file, ``"t@level=850,step=0"`` chooses along two. Without a choice the first level is
taken and a warning says which: it is the surface in what the oceanographers of ODATIS and most models of AERIS write.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from earthlab.catalog import Band, Item, ItemSet, find_profile
from earthlab.catalog.profiles import CollectionProfile
from earthlab.cube.readers.archive import expand_archive
from earthlab.cube.readers.cf import (
    Grid,
    NotAGrid,
    Points,
    Swath,
    bounds_of,
    find_coordinate,
    is_coordinate,
    parse_packing,
    role,
)
from earthlab.cube.readers.cf_times import moments_of, parse_times
from earthlab.cube.readers.containers import Array, ArrayHead
from earthlab.cube.readers.gridded import OpenContainer, reading, shown
from earthlab.cube.readers.netcdf import open_netcdf
from earthlab.cube.readers.opened import Lender, signed_and_stamped
from earthlab.cube.readers.zarr import open_zarr, split_root
from earthlab.errors import AskLess, BadRequest, FallbackWarning, NothingFound, ReadFault, did_you_mean

MOST_DATES = 100_000
"""Dates that files may hold together before less is asked for."""

_AT_ONCE = 8
_MOST_KEPT = 2048
_OPAQUE = {"netcdf", "zarr", "zip"}


@dataclass(frozen=True, slots=True)
class _Variable:
    """One grid found in a file: a band but for its date and the levels chosen."""

    band: Band
    time: str = ""
    """Its dimension of dates; empty where it has none."""
    levels: Mapping[str, Array] = field(default_factory=dict)
    """The other dimensions longer than one: their coordinates, or their positions."""


@dataclass(frozen=True, slots=True)
class _Inside:
    """What a file holds: variables, the dates of each dimension of dates, and what is no grid, with why."""

    variables: tuple[_Variable, ...]
    times: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One name of a band as it was asked for: ``name@dimension=value``."""

    text: str
    name: str
    levels: Mapping[str, float]


def expand_items(items: ItemSet, bands: Sequence[str] | None) -> ItemSet:
    """The items with every array of their files as a band, and every date of their files as an item.

    Parameters
    ----------
    items : ItemSet
        What a search found. Where rasters answer all that is asked, it comes back as it is.
    bands : sequence of str, optional
        The names asked for, with levels as ``"name@dimension=value"``; only what could answer them is opened.

    Returns
    -------
    ItemSet
        A file of several dates gives items ``<id>#<date>``, those in the period of the search. Scale, offset and nodata
        of variables are None: their file states them.

    Raises
    ------
    ReadFault
        Where a file cannot be read; the message names every item concerned.
    BadRequest
        Where what is asked is a table, a swath, points, an irregular grid, or a level that does not exist.
    AskLess
        Where the files hold more than 100,000 dates.
    NothingFound
        Where none of their dates is in the period of the search.
    """
    if all(band.kind == "raster" for item in items for band in item.bands):
        return items
    asked = (
        None if bands is None else tuple(_parse_asked(name) for name in ([bands] if isinstance(bands, str) else bands))
    )
    wanted = [_to_open(item, asked) for item in items]
    if not any(wanted):
        _refuse_tables(items, asked)
        return items
    inside = _look_inside(items, wanted)
    found = replace(items, items=tuple(_expanded(items, wanted, inside, asked)))
    if not found.items:
        raise NothingFound(
            f"The files of {len(items)} items hold no date in the period of the search. Search another with time=."
        )
    _refuse_what_is_no_grid(found, [known for group in inside for known in group], asked)
    return found


def _parse_asked(text: str) -> _Asked:
    name, mark, choice = text.partition("@")
    pairs = [part.partition("=") for part in choice.split(",")] if mark else []
    try:
        levels = {dimension.strip(): float(value) for dimension, _, value in pairs}
    except ValueError as exc:
        raise BadRequest(f'bands: {text!r} chooses a level that is no number. Write it as "thetao@depth=10".') from exc
    return _Asked(text, name, levels)


def _to_open(item: Item, asked: tuple[_Asked, ...] | None) -> tuple[Band, ...]:
    """The assets whose inside is not known and could answer; none where rasters do."""
    opaque = {band.href: band for band in reversed(item.bands) if band.kind in _OPAQUE}
    rasters = [band for band in item.bands if band.kind == "raster"]
    if asked is None:
        return () if any(band.common_name for band in rasters) else tuple(opaque.values())
    missing = {one.name for one in asked} - _names(rasters)
    named = {href: band for href, band in opaque.items() if missing & _names([b for b in item.bands if b.href == href])}
    if missing - _names([band for band in item.bands if band.href in named]):
        return tuple(opaque.values())
    return tuple((named | _masks(item, opaque)).values()) if named else ()


def _names(bands: Sequence[Band]) -> set[str | None]:
    return {name for band in bands for name in (band.common_name, band.asset, band.name)}


def _masks(item: Item, opaque: Mapping[str, Band]) -> dict[str, Band]:
    profile = find_profile(item.collection)
    names = {name for recipe in profile.masks.values() for name in recipe.assets} if profile else set()
    return {href: band for href, band in opaque.items() if names & {band.asset, band.name}}


def _refuse_tables(items: ItemSet, asked: tuple[_Asked, ...] | None) -> None:
    for one in asked or ():
        band = next((b for item in items if (b := item.find_band(one.name))), None)
        if band is not None and band.kind == "table":
            raise BadRequest(f"bands: {one.name!r} is a table, not a map. Read it with earthlab.table(…).")


def _look_inside(items: ItemSet, wanted: Sequence[tuple[Band, ...]]) -> list[list[_Inside]]:
    """What is in the files of each item; headers are read side by side, each file's once."""
    assets = {
        (band.href, item.collection): (band, item) for item, bands in zip(items, wanted, strict=True) for band in bands
    }
    with ThreadPoolExecutor(min(_AT_ONCE, len(assets))) as pool:
        answers = dict(zip(assets, pool.map(lambda pair: _probed(*pair), assets.values()), strict=True))
    failed = {key: answer for key, answer in answers.items() if isinstance(answer, ReadFault)}
    if failed:
        _refuse_broken(items, wanted, failed)
    return [
        [known for band in bands if isinstance(known := answers[band.href, item.collection], _Inside)]
        for item, bands in zip(items, wanted, strict=True)
    ]


def _probed(band: Band, item: Item) -> "_Inside | ReadFault":
    try:
        return _probe(band, item)
    except ReadFault as exc:
        return exc


def _refuse_broken(
    items: ItemSet, wanted: Sequence[tuple[Band, ...]], failed: Mapping[tuple[str, str], ReadFault]
) -> None:
    hit = [
        item.id
        for item, bands in zip(items, wanted, strict=True)
        if any((band.href, item.collection) in failed for band in bands)
    ]
    names = ", ".join(map(repr, hit[:5])) + (f" and {len(hit) - 5} more" if len(hit) > 5 else "")
    first = next(iter(failed.values()))
    raise ReadFault(f"Item {names}: {str(first).rstrip('.')}. Leave the item out, or try again later.") from first


_kept: Lender[_Inside] = Lender(close=lambda _: None, most=_MOST_KEPT)


def _probe(band: Band, item: Item) -> _Inside:
    profile = find_profile(item.collection)
    described = tuple((b.name, b.common_name) for b in item.bands if b.href == band.href)
    key = (*signed_and_stamped(band.href)[1], band.asset, item.collection, described)
    with _kept.borrow(key, lambda: _open_and_list(band, described, profile)) as inside:
        return inside


def _open_and_list(
    band: Band, described: Sequence[tuple[str, str | None]], profile: CollectionProfile | None
) -> _Inside:
    names = {name.lower(): common for name, common in described if common}
    if band.kind == "zip":
        bands = expand_archive(band.href, band)
        return _Inside(tuple(_Variable(replace(b, common_name=_common(b.name, names, profile, {}))) for b in bands))
    href, within = (band.href, "") if band.kind == "netcdf" else split_root(band.href)
    opener: AbstractContextManager[OpenContainer] = open_netcdf(href) if band.kind == "netcdf" else open_zarr(href)
    with reading(band.href), opener as container:
        return _list_variables(container, replace(band, href=href), within, names, profile)


def _list_variables(
    container: OpenContainer,
    band: Band,
    within: str,
    names: Mapping[str, str],
    profile: CollectionProfile | None,
) -> _Inside:
    variables: list[_Variable] = []
    times: dict[str, tuple[datetime, ...]] = {}
    refused: dict[str, str] = {}
    bounds = bounds_of(container)
    heads = [
        head
        for path, head in container.heads().items()
        if _lies_within(path, within) and head.name not in bounds and not is_coordinate(head)
    ]
    if within and not heads:
        raise ReadFault(f"{shown(band.href)} holds nothing at {within!r}.")
    for head in heads:
        try:
            grid = container.grid(head.path)
            time = _time_axis(container, grid, times)
        except NotAGrid as exc:
            refused[head.name] = f"{exc}. {_remedy(exc, band)}"
            continue
        common = _common(head.name, names, profile, head.attrs)
        whole = len(heads) == 1 or head.path == within
        made = _band(band, head, grid, common, asset=band.asset if whole else f"{band.asset}/{head.path}")
        variables.append(_Variable(made, time, _levels(container, grid, time)))
    return _Inside(tuple(variables), times, refused)


def _lies_within(path: str, within: str) -> bool:
    return not within or path == within or path.startswith(f"{within}/")


def _time_axis(container: OpenContainer, grid: Grid, times: dict[str, tuple[datetime, ...]]) -> str:
    """The dimension of dates, whose dates are noted; empty where there is none."""
    for dim in grid.others:
        coordinate = find_coordinate(container, grid.head, dim)
        if coordinate is None or role(coordinate) != "t" or not coordinate.attrs.get("units"):
            continue
        if dim not in times:
            times[dim] = _dates(container, coordinate)
        return dim
    return ""


def _dates(container: OpenContainer, coordinate: ArrayHead) -> tuple[datetime, ...]:
    values = _numbers(container, coordinate)
    if len(values) > MOST_DATES:
        raise NotAGrid(f"has {len(values)} dates, more than {MOST_DATES}")
    attrs = coordinate.attrs
    try:
        return tuple(moments_of(parse_times(values, str(attrs["units"]), str(attrs.get("calendar", "standard")))))
    except ValueError as exc:
        raise NotAGrid(f"cannot be dated: {exc}") from exc


def _numbers(container: OpenContainer, head: ArrayHead) -> Array:
    packing = parse_packing(head)
    raw = packing.meant(container.coordinate(head))
    if raw.dtype.kind not in "iuf":
        return np.arange(len(raw))
    if packing.scale is None and packing.offset is None:
        return raw
    return raw * (packing.scale or 1.0) + (packing.offset or 0.0)


def _levels(container: OpenContainer, grid: Grid, time: str) -> dict[str, Array]:
    levels = {}
    for dim, size in grid.others.items():
        if dim != time and size > 1:
            coordinate = find_coordinate(container, grid.head, dim)
            levels[dim] = np.arange(size) if coordinate is None else _numbers(container, coordinate)
    return levels


def _band(band: Band, head: ArrayHead, grid: Grid, common: str | None, *, asset: str) -> Band:
    geobox = _near_greenwich(grid)
    code = geobox.crs.epsg if geobox.crs else None
    units = head.attrs.get("units")
    return replace(
        band,
        asset=asset,
        name=head.name,
        index=1,
        of=1,
        common_name=common,
        crs=f"EPSG:{code}" if code else str(geobox.crs),
        transform=tuple(geobox.transform)[:6],
        shape=(geobox.shape.y, geobox.shape.x),
        dtype=str(grid.packing.dtype or head.dtype.newbyteorder("=")),
        nodata=None,
        scale=None,
        offset=None,
        unit=units if isinstance(units, str) and units else "1",
        variable=head.path,
    )


def _near_greenwich(grid: Grid) -> GeoBox:
    """The same lattice with longitudes from -180 to 180, as searches and cubes have them."""
    geobox = grid.geobox
    if not grid.geographic:
        return geobox
    step, width = geobox.transform.a, geobox.shape.x
    left = geobox.transform.c
    if grid.turn:
        moved = round((-180 - left) / step)
        columns = moved if abs(left + moved * step + 180) <= step else 0
        return GeoBox(geobox.shape, geobox.transform @ Affine.translation(columns, 0), geobox.crs)
    away = -360 if left + step * width / 2 > 180 else 360 if left + step * width / 2 < -180 else 0
    return GeoBox(geobox.shape, Affine.translation(away, 0) @ geobox.transform, geobox.crs)


def _common(
    name: str, names: Mapping[str, str], profile: CollectionProfile | None, attrs: Mapping[str, Any]
) -> str | None:
    if name.lower() in names:
        return names[name.lower()]
    stated = attrs.get("common_name") or attrs.get("eo:common_name")
    if isinstance(stated, str):
        return stated
    known = {key.lower(): common for key, common in profile.bands.items()} if profile else {}
    return known.get(name.lower())


def _remedy(exc: NotAGrid, band: Band) -> str:
    if isinstance(exc, Points):
        return "Read it with earthlab.table(…)."
    if isinstance(exc, Swath) and band.kind == "netcdf":
        return (
            "It is never put on a grid silently: open it as it is with "
            f"earthlab.cube.readers.netcdf.open_swath({shown(band.href)!r}), and resample it with pyresample or xESMF."
        )
    return "Open it as it is with xarray, and interpolate it to a regular grid there."


def _expanded(
    items: ItemSet,
    wanted: Sequence[tuple[Band, ...]],
    inside: Sequence[list[_Inside]],
    asked: tuple[_Asked, ...] | None,
) -> Iterator[Item]:
    total = 0
    for item, opened, known in zip(items, wanted, inside, strict=True):
        if not opened:
            yield item
            continue
        dated = _by_date(item, known, asked)
        total += len(dated)
        if total > MOST_DATES:
            raise AskLess(f"The files hold more than {MOST_DATES:,} dates. Search a shorter period with time=.")
        plain = tuple(band for band in item.bands if band.kind not in _OPAQUE)
        yield from _items_of(item, plain, dated, items)


def _by_date(item: Item, inside: Sequence[_Inside], asked: tuple[_Asked, ...] | None) -> dict[datetime, list[Band]]:
    """The bands of each date; those without dates are on every date."""
    dated: dict[datetime, list[Band]] = {}
    always: list[Band] = []
    for known in inside:
        for variable in known.variables:
            for band in _chosen(variable, asked):
                if not variable.time:
                    always.append(band)
                for place, moment in enumerate(known.times.get(variable.time, ())):
                    at = ((variable.time, place), *band.at)
                    dated.setdefault(moment, []).append(replace(band, at=at))
    only = next(iter(dated)) if len(dated) == 1 else None
    if only is not None and _is_of(only, item):
        dated = {item.moment: dated[only]}
    for moment in dated or ({item.moment: []} if always else {}):
        dated.setdefault(moment, []).extend(always)
    return dict(sorted(dated.items()))


def _is_of(moment: datetime, item: Item) -> bool:
    """A single date on the item's own day is the item's: the middle of a day stands for the day."""
    return item.start == item.end and abs(moment - item.start) < timedelta(days=1)


def _chosen(variable: _Variable, asked: tuple[_Asked, ...] | None) -> Iterator[Band]:
    """The variable as each name asks for it, or at its first levels."""
    names = {variable.band.common_name, variable.band.asset, variable.band.name}
    asking = [one for one in asked or () if one.name in names]
    for one in asking:
        unknown = set(one.levels) - set(variable.levels)
        if unknown:
            raise BadRequest(
                f"bands: {one.text!r}: {one.name!r} has no levels along {min(unknown)!r}. "
                f"{did_you_mean(min(unknown), variable.levels)}"
            )
        at = tuple((dim, _nearest(one, dim, values)) for dim, values in variable.levels.items())
        name = one.text if one.levels else variable.band.name
        yield replace(variable.band, name=name, at=at)
    if not asking:
        yield replace(variable.band, at=tuple((dim, 0) for dim in variable.levels))


def _nearest(one: _Asked, dim: str, values: Array) -> int:
    if dim not in one.levels:
        warnings.warn(
            f"{one.text!r} has {len(values)} levels along {dim!r}: the first one, {values[0]:g}, is taken. "
            f'Choose another as "{one.name}@{dim}={values[-1]:g}".',
            FallbackWarning,
            stacklevel=2,
        )
        return 0
    value = one.levels[dim]
    away = np.abs(values.astype("float64") - value)
    place = int(np.argmin(away))
    steps = np.abs(np.diff(values.astype("float64")))[max(place - 1, 0) : place + 1]
    if away[place] > steps.max():
        raise BadRequest(
            f"bands: {one.text!r}: the levels along {dim!r} go from {values.min():g} to {values.max():g}; "
            f"the nearest to {value:g} is {values[place]:g}."
        )
    return place


def _items_of(
    item: Item, plain: tuple[Band, ...], dated: Mapping[datetime, list[Band]], items: ItemSet
) -> Iterator[Item]:
    if set(dated) <= {item.moment}:
        yield replace(item, bands=(*plain, *dated.get(item.moment, ())))
        return
    if plain:
        yield replace(item, bands=plain)
    period = items.query.period
    for moment, bands in dated.items():
        if period and ((period.start and moment < period.start) or (period.end and moment > period.end)):
            continue
        yield replace(item, id=f"{item.id}#{_iso(moment)}", start=moment, end=moment, bands=tuple(bands))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _refuse_what_is_no_grid(found: ItemSet, inside: Sequence[_Inside], asked: tuple[_Asked, ...] | None) -> None:
    refused = {name: why for known in reversed(inside) for name, why in known.refused.items()}
    if not refused:
        return
    missing = [one.text for one in asked or () if not any(item.find_band(one.text) for item in found)]
    named = [name for name in refused if name in {text.partition("@")[0] for text in missing}]
    if named:
        raise BadRequest(f"bands: {named[0]!r} {refused[named[0]]}")
    if (missing or asked is None) and not any(known.variables for known in inside):
        name, why = next(iter(refused.items()))
        more = f" So it is with all {len(refused)} arrays." if len(refused) > 1 else ""
        raise BadRequest(f"bands: the files hold no regular grid. {name!r} {why}{more}")
