"""`CubePlan`: everything that will be read, as one frozen value."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from affine import Affine
from odc.geo.geobox import GeoBox

from earthlab.catalog import MaskRecipe
from earthlab.cube.globe import full_turn, turns_between
from earthlab.errors import BadRequest
from earthlab.types import canonical_json, content_token, parse_moment

if TYPE_CHECKING:
    from earthlab.cube.explain import Explanation

VERSION = 3
"""Part of every token: raised when the same plan would give other pixels."""

Chunks = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Source:
    """One band of one item as it will be read: physical value = DN · ``scale`` + ``offset``.

    ``href`` is unsigned: a graph carries nothing else. ``None`` for ``scale``, ``offset`` and ``nodata`` means what the
    file itself states. ``kind`` names the reader; ``variable`` and ``at`` say which array within a NetCDF or Zarr, and
    where along its dimensions other than y and x.
    """

    href: str
    index: int = 1
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    kind: str = "raster"
    variable: str = ""
    at: tuple[tuple[str, int], ...] = ()

    @property
    def array(self) -> tuple[str, str, str, int]:
        """What several sources share that one read can serve."""
        return (self.href, self.kind, self.variable, self.index)


@dataclass(frozen=True, slots=True)
class Layer:
    """One item's contribution to one date: a source a band, ``None`` where it lacks the band."""

    item: str
    sources: tuple[Source | None, ...]
    mask: Source | None = None
    bounds: tuple[float, float, float, float] | None = None
    """Left, bottom, right, top in the CRS of the grid, where known: blocks outside are not read. Longitudes may be any
    number of turns from the grid's."""
    updated: str | None = None
    """When the catalogue says the item last changed: a changed item makes another cube."""
    collection: str = ""
    """Stated where the plan has items of several collections."""

    def overlaps(self, tile: GeoBox) -> bool:
        """Whether any pixel of a tile may lie within the layer."""
        if self.bounds is None:
            return True
        left, bottom, right, top = self.bounds
        box = tile.boundingbox
        across = turns_between((left, right), (box.left, box.right), full_turn(tile.crs))
        return bool(across and box.bottom < top and bottom < box.top)


@dataclass(frozen=True, slots=True)
class Step:
    """One date of the cube: its layers, the first valid one on top."""

    time: datetime
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a band is stored as integers without loss: DN = (physical - ``offset``) / ``scale``; ``fill`` is nodata."""

    dtype: str
    scale: float
    offset: float
    fill: int


@dataclass(frozen=True)
class CubePlan:
    """What a cube is, before it is read: frozen, comparable, and written as JSON.

    Equal plans have equal `token` values, and their cubes equal pixels. ``chunks`` are those along time, y and x;
    ``transform`` holds the six affine numbers in units of ``crs``. Values are float32 in the bands' ``units``, NaN
    where there is no clear observation; ``encodings`` are for writing them. ``access`` is ``"open"`` or the access
    class that a reader must be entitled to.
    """

    bands: tuple[str, ...]
    units: tuple[str, ...]
    steps: tuple[Step, ...]
    crs: str
    transform: tuple[float, ...]
    shape: tuple[int, int]
    chunks: Chunks
    resampling: tuple[str, ...]
    mask: MaskRecipe | None = None
    collections: tuple[str, ...] = ()
    citation: str = ""
    simulated: bool = False
    encodings: tuple[Encoding | None, ...] = ()
    access: str = "open"
    licences: tuple[str, ...] = ()

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

    def collection_of(self, layer: Layer) -> str:
        """Id of the collection that the layer's item is of."""
        return layer.collection or next(iter(self.collections), "")

    def spans(self, block: tuple[int, int, int]) -> tuple[slice, slice, slice]:
        """Where a block, counted along time, y and x, lies within the cube."""
        time, y, x = (_span(sizes, at) for sizes, at in zip(self.chunks, block, strict=True))
        return time, y, x

    def explain(self) -> "Explanation":
        """What opening and computing this cube takes; prints as text and shows as a table. Nothing is read."""
        from earthlab.cube.explain import explain  # explaining reads plans; plans do not need explaining to exist

        return explain(self)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain JSON values; what is at its default is left out of sources and layers."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["steps"] = [
            {"time": step.time.isoformat(), "layers": [_layer_dict(layer) for layer in step.layers]}
            for step in self.steps
        ]
        values["mask"] = asdict(self.mask) if self.mask else None
        values["encodings"] = [asdict(encoding) if encoding else None for encoding in self.encodings]
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
            values["encodings"] = tuple(Encoding(**e) if e else None for e in values["encodings"])
            return cls(**{name: _frozen(value) for name, value in values.items()})
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
            raise BadRequest(f"CubePlan: not a document of CubePlan.to_json() ({exc!r}).") from exc

    def __hash__(self) -> int:
        return hash(int(self.token, 16))

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"<CubePlan {self.token}: {len(self.steps)} dates × {rows} × {columns}, {', '.join(self.bands)}>"

    def _repr_html_(self) -> str:
        return self.explain()._repr_html_()


def _span(sizes: tuple[int, ...], at: int) -> slice:
    start = sum(sizes[:at])
    return slice(start, start + sizes[at])


_SOURCE_DEFAULTS = tuple((f.name, None if f.default is MISSING else f.default) for f in fields(Source))
_LAYER_EXTRAS = tuple((f.name, f.default) for f in fields(Layer) if f.name in {"bounds", "updated", "collection"})


def _source_dict(source: Source) -> dict[str, Any]:
    return {name: value for name, default in _SOURCE_DEFAULTS if (value := getattr(source, name)) != default}


def _layer_dict(layer: Layer) -> dict[str, Any]:
    values: dict[str, Any] = {"item": layer.item, "sources": [s and _source_dict(s) for s in layer.sources]}
    if layer.mask:
        values["mask"] = _source_dict(layer.mask)
    extras = ((name, getattr(layer, name), default) for name, default in _LAYER_EXTRAS)
    return values | {name: value for name, value, default in extras if value != default}


def _parse_step(values: dict[str, Any]) -> Step:
    return Step(parse_moment(values["time"]), tuple(_parse_layer(layer) for layer in values["layers"]))


def _parse_layer(values: dict[str, Any]) -> Layer:
    sources = tuple(_parse_source(s) if s else None for s in values["sources"])
    mask = _parse_source(values["mask"]) if values.get("mask") else None
    extras = {name: _frozen(values.get(name, default)) for name, default in _LAYER_EXTRAS}
    return Layer(values["item"], sources, mask, **extras)


def _parse_source(values: Mapping[str, Any]) -> Source:
    return Source(**{name: _frozen(value) for name, value in values.items()})


def _parse_mask(values: dict[str, Any] | None) -> MaskRecipe | None:
    return MaskRecipe(**{name: _frozen(value) for name, value in values.items()}) if values else None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value
