"""`el.plan`: everything that will be read, decided before a pixel is."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Self

from affine import Affine
from odc.geo.geobox import GeoBox

from earthlab.catalog import Band, Item, ItemSet, MaskRecipe, Query, cite, find_profile, run_query
from earthlab.cube.chunks import plan_chunks
from earthlab.cube.explain import Explanation, explain
from earthlab.cube.grid import resolve_grid
from earthlab.cube.readers.raster import norm_resampling
from earthlab.errors import BadRequest, did_you_mean
from earthlab.settings import load_settings, parse_bytes
from earthlab.types import BBox, canonical_json, content_token, norm_bbox, parse_moment

AUTO = "auto"
VERSION = 1
"""Part of every token: raised when the same plan would give other pixels."""


@dataclass(frozen=True, slots=True)
class Source:
    """One band of one item as it will be read: physical value = DN · ``scale`` + ``offset``."""

    href: str
    index: int
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """One item's contribution to one date: a source a band, ``None`` where it lacks the band."""

    item: str
    sources: tuple[Source | None, ...]
    mask: Source | None = None
    bounds: tuple[float, float, float, float] | None = None
    """Left, bottom, right, top in the CRS of the grid, where known: blocks outside are not read."""


@dataclass(frozen=True, slots=True)
class Step:
    """One date of the cube: its layers, the first valid one on top."""

    time: datetime
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class CubePlan:
    """What a cube is, before it is read: frozen, comparable, and written as JSON.

    Equal plans have equal `token` values, and their cubes equal pixels. ``chunks`` are those along time, y and x;
    ``transform`` holds the six affine numbers in units of ``crs``. Values are float32 in the bands' ``units``, NaN
    where there is no clear observation.
    """

    bands: tuple[str, ...]
    units: tuple[str, ...]
    steps: tuple[Step, ...]
    crs: str
    transform: tuple[float, ...]
    shape: tuple[int, int]
    chunks: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    resampling: tuple[str, ...]
    mask: MaskRecipe | None = None
    collections: tuple[str, ...] = ()
    citation: str = ""
    simulated: bool = False

    @cached_property
    def geobox(self) -> GeoBox:
        """The grid, as odc-geo has it."""
        return GeoBox(self.shape, Affine(*self.transform), self.crs)

    @property
    def times(self) -> tuple[datetime, ...]:
        """The dates of the cube, UTC."""
        return tuple(step.time for step in self.steps)

    @cached_property
    def token(self) -> str:
        """A name for the cube that depends on what it holds alone, not on how it is chunked."""
        values = self.to_dict()
        del values["chunks"]
        return content_token({**values, "version": VERSION})

    @property
    def nbytes(self) -> int:
        """Bytes of the whole cube in memory."""
        rows, columns = self.shape
        return 4 * len(self.bands) * len(self.steps) * rows * columns

    def layers(self) -> Iterator[Layer]:
        """Every layer of every date."""
        for step in self.steps:
            yield from step.layers

    def explain(self) -> Explanation:
        """What opening and computing this cube takes; prints as text and shows as a table. Nothing is read."""
        return explain(self)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["steps"] = [
            {"time": step.time.isoformat(), "layers": [asdict(layer) for layer in step.layers]} for step in self.steps
        ]
        values["mask"] = asdict(self.mask) if self.mask else None
        return values

    def to_json(self) -> str:
        """The plan as canonical JSON text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan that ``to_json`` wrote.

        Raises
        ------
        BadRequest
            For text that is not such a document.
        """
        try:
            values = json.loads(text)
            values["steps"] = tuple(_parse_step(step) for step in values["steps"])
            values["mask"] = _parse_mask(values["mask"])
            return cls(**{name: _frozen(value) for name, value in values.items()})
        except (json.JSONDecodeError, KeyError, TypeError) as exc:
            raise BadRequest(f"CubePlan: not a document of CubePlan.to_json() ({exc!r}).") from exc

    def __hash__(self) -> int:
        return hash(self.token)

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<CubePlan {self.token}: {len(self.steps)} dates × {rows} × {columns}, {', '.join(self.bands)}>"

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()


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
) -> CubePlan:
    """What a cube of these items would be, decided without reading a pixel.

    Parameters
    ----------
    items : ItemSet or Query
        What `earthlab.search` found; a question is searched first.
    bands : sequence of str, optional
        Common names, asset keys or band names; by default every band with a common name.
    resolution : float, optional
        Pixel size in units of the CRS; by default the finest native one.
    crs : str, int or CRS, optional
        By default the items' own.
    like : GeoBox or cube, optional
        The grid as it is there; excludes ``crs``, ``resolution`` and ``bbox``.
    bbox : BBox or four floats, optional
        In degrees; by default the box of the search, cut to where the items are.
    resampling : str or mapping of str to str
        GDAL's name, for all or by band; only used where a source is not on the grid's own lattice.
    group_by : {"time", "solar_day"}
        Items of one moment, or of one local solar day, become one date; the first valid pixel counts.
    mask : str, optional
        A mask recipe of the collection. By default ``"clear"`` where the collection has one; ``None`` for none.

    Returns
    -------
    CubePlan
        Chunks have time whole and space tiled, as the memory of a worker allows.

    Raises
    ------
    BadRequest
        For bands, masks, groupings or grids that do not exist; the message lists those that do.
    AskLess
        Where the cube cannot fit.
    """
    found = run_query(items) if isinstance(items, Query) else _require_items(items)
    names = _resolve_bands(found, bands)
    box = None if like is not None and bbox is None else _resolve_box(found, bbox)
    geobox = resolve_grid(found, names, crs=crs, resolution=resolution, like=like, bbox=box)
    recipe = _resolve_mask(found, mask)
    steps = tuple(_plan_step(time, group, names, recipe, geobox) for time, group in _grouped(found, group_by))
    draft = CubePlan(
        bands=names,
        units=tuple(_unit(found, name) for name in names),
        steps=steps,
        crs=_crs_text(geobox),
        transform=tuple(geobox.transform)[:6],
        shape=(geobox.shape.y, geobox.shape.x),
        chunks=((), (), ()),
        resampling=_resolve_resampling(resampling, names),
        mask=recipe,
        collections=found.collections,
        citation=cite(found),
        simulated=any(item.simulated for item in found),
    )
    return replace(draft, chunks=_plan_chunks(draft))


def _require_items(items: object) -> ItemSet:
    if not isinstance(items, ItemSet):
        raise BadRequest(f"items: found {type(items).__name__}, expected what el.search(...) returns.")
    if not len(items):
        raise BadRequest("items: the selection is empty. Search again with fewer filters.")
    return items


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


def _resolve_box(items: ItemSet, bbox: BBox | Sequence[float] | None) -> BBox | None:
    return items.query.bbox if bbox is None else norm_bbox(bbox)


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
    if len({(r.kind, r.assets, r.keep) for r in recipes if r}) > 1:
        raise BadRequest(f"mask: {', '.join(items.collections)} mask in different ways. Plan one collection at a time.")
    return recipes[0]


def _recipe(collection: str, mask: str) -> MaskRecipe | None:
    profile = find_profile(collection)
    return profile.masks.get("clear" if mask == AUTO else mask) if profile else None


def _unit(items: ItemSet, name: str) -> str:
    bands = [band for item in items if (band := item.find_band(name))]
    if all(band.scale is None and band.offset is None and band.unit is None for band in bands):
        return "DN"
    return next((band.unit for band in bands if band.unit), "1")


def _resolve_resampling(resampling: str | Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(resampling, Mapping):
        return (norm_resampling(resampling),) * len(names)
    for name in resampling:
        if name not in names:
            raise BadRequest(f"resampling: {name!r} is not a band of the plan. {did_you_mean(name, names)}")
    return tuple(norm_resampling(resampling.get(name, "nearest")) for name in names)


def _grouped(items: ItemSet, group_by: str) -> list[tuple[datetime, list[Item]]]:
    keys: dict[str, Callable[[Item], datetime]] = {"time": _exact_time, "solar_day": _solar_day}
    if group_by not in keys:
        raise BadRequest(f"group_by: found {group_by!r}. {did_you_mean(group_by, keys)}")
    groups: dict[datetime, list[Item]] = {}
    for item in sorted(items, key=lambda item: (item.moment, item.id)):
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


def _plan_step(
    time: datetime, group: Sequence[Item], names: Sequence[str], recipe: MaskRecipe | None, geobox: GeoBox
) -> Step:
    return Step(time.astimezone(UTC), tuple(_plan_layer(item, names, recipe, geobox) for item in group))


def _plan_layer(item: Item, names: Sequence[str], recipe: MaskRecipe | None, geobox: GeoBox) -> Layer:
    bands = [item.find_band(name) for name in names]
    mask = None
    if recipe and recipe.kind == "classes":
        flags = next((band for name in recipe.assets if (band := item.find_band(name))), None)
        if flags is None:
            raise BadRequest(
                f"mask: item {item.id!r} has no asset {' or '.join(map(repr, recipe.assets))}, "
                f"which recipe {recipe.name!r} needs. Leave the item out, or give mask=None."
            )
        mask = Source(flags.href, flags.index)
    return Layer(item.id, tuple(_plan_source(b) if b else None for b in bands), mask, _bounds(bands, geobox))


def _plan_source(band: Band) -> Source:
    scale = 1.0 if band.scale is None else band.scale
    return Source(band.href, band.index, scale, band.offset or 0.0, band.nodata)


def _bounds(bands: Sequence[Band | None], geobox: GeoBox) -> tuple[float, float, float, float] | None:
    known = [b for b in bands if b]
    if not known or any(not (b.transform and b.shape and b.crs) for b in known):
        return None
    boxes = [GeoBox(b.shape, Affine(*b.transform), b.crs) for b in known if b.transform and b.shape]
    if any(box.crs != geobox.crs for box in boxes):
        return None
    edges = [box.boundingbox for box in boxes]
    return (
        min(e.left for e in edges),
        min(e.bottom for e in edges),
        max(e.right for e in edges),
        max(e.top for e in edges),
    )


def _crs_text(geobox: GeoBox) -> str:
    assert geobox.crs is not None
    return f"EPSG:{geobox.crs.epsg}" if geobox.crs.epsg else str(geobox.crs.to_wkt())


def _plan_chunks(draft: CubePlan) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    compute = load_settings().compute
    memory = parse_bytes(compute.worker_memory, "compute.worker_memory") // max(compute.worker_cores, 1)
    rows, columns = draft.shape
    return plan_chunks(len(draft.steps), rows, columns, bands=len(draft.bands), itemsize=4, memory=memory)


def _parse_step(values: dict[str, Any]) -> Step:
    return Step(parse_moment(values["time"]), tuple(_parse_layer(layer) for layer in values["layers"]))


def _parse_layer(values: dict[str, Any]) -> Layer:
    sources = tuple(Source(**s) if s else None for s in values["sources"])
    mask = Source(**values["mask"]) if values["mask"] else None
    return Layer(values["item"], sources, mask, _frozen(values["bounds"]))


def _parse_mask(values: dict[str, Any] | None) -> MaskRecipe | None:
    return MaskRecipe(**{name: _frozen(value) for name, value in values.items()}) if values else None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
