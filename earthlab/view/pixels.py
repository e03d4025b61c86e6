"""The values of bands that are open in a kernel, on the part of a grid that a picture or a question needs.

A band that is still one of its plan is read from its files, one date at a time, from the overview that fits. What can
be sliced is sliced. Of what is only a recipe blocks are computed, few at a time, and the last ones are kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Protocol

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.warp import transform_bounds

from earthlab.cube import CubePlan
from earthlab.cube.blocks import read_block
from earthlab.cube.faults import collect_faults
from earthlab.cube.plan import Layer, Step
from earthlab.cube.readers.placed import Marks, resample
from earthlab.cube.readers.placement import Placement, place
from earthlab.cube.readers.window import Array
from earthlab.errors import AskLess, ReadFault
from earthlab.view.computed import ComputedBlocks, Lazy

MOST_LAYERS = 64
"""Items of one date that may lie under one picture."""

MOST_READ = 2**26
"""Source pixels that one picture may need of what has no overviews."""

MOST_STORED = 2**22
"""Pixels of a store that one picture may need: their chunks hold other dates too."""

MOST_BLOCKS = 16
"""Blocks that may be computed for one picture."""

MOST_BLOCKS_ALONG = 64
"""Blocks that may be computed for all the steps of a pixel or an area."""

_SAMPLE = 256
"""Longest side, in pixels, of the picture from which colours are chosen."""

_FINE = 4
"""What is drawn far from its own resolution is thinned to so many of its pixels a pixel of the picture."""

_NEAR = 2.0
"""Pixels of a shared cube without levels along one of a picture, up to which it is read itself."""

_Read = Callable[[slice, slice], Array]
_Parts = Sequence[tuple[slice, slice]]

ZOOM_IN = "Zoom in, or .compute() or .persist() it first."


@dataclass(frozen=True, slots=True)
class Cut:
    """Some rows and columns of a grid: what is read there follows from the whole grid, so that cuts have no seams."""

    whole: GeoBox
    rows: slice
    columns: slice

    @property
    def grid(self) -> GeoBox:
        """The part, as a grid of its own."""
        return self.whole[self.rows, self.columns]

    @property
    def corner(self) -> tuple[float, float]:
        """Where the whole grid begins: x and y."""
        return (self.whole.transform.c, self.whole.transform.f)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)


class Pixels(Protocol):
    """One or several bands that are open; NaN is no observation."""

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """One step on a grid of any CRS: float32, axes band, row, column; None where nothing of it lies there.

        Raises
        ------
        AskLess
            Where that takes too much.
        ReadFault
            Where nothing could be read.
        """
        ...

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """Some steps of a part of its own grid, as they are: axes band, step, row, column.

        Raises
        ------
        AskLess
            Where that takes too much.
        ReadFault
            Where nothing could be read.
        """
        ...

    def sample(self, step: int) -> Array:
        """Some values of a step, few, of wherever they are cheap."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PlanPixels:
    """Bands of a plan, read from their files.

    Parameters
    ----------
    plan : CubePlan
        What the cube is.
    bands : tuple of int
        Places of the bands in the plan.
    places : tuple of int
        Which dates of the plan the steps are.
    grid : GeoBox
        The plan's, or a part of it; nothing is shown outside.
    corner : tuple of int
        Row and column of the plan's grid at which it begins.
    strict : bool
        Raise at the first read that fails, in place of where nothing could be read.
    """

    plan: CubePlan
    bands: tuple[int, ...]
    places: tuple[int, ...]
    grid: GeoBox
    corner: tuple[int, int] = (0, 0)
    strict: bool = False

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """One date on a grid: with the plan's radiometry, mask and order of items."""
        inside = footprint(self.grid, cut)
        if not inside.any():
            return None
        date = self._moved(self.plan.steps[self.places[step]], cut.whole)
        self._require_little(date, cut)
        values = self._read((date,), cut)[:, 0]
        values[:, ~inside] = np.nan
        return values

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """The cube's own pixels, of these alone."""
        down, across = self.corner
        cut = Cut(self.plan.geobox, _shifted(rows, down), _shifted(columns, across))
        return self._read(tuple(self.plan.steps[place] for place in self.places[steps]), cut)

    def sample(self, step: int) -> Array:
        """The whole date as a small picture."""
        return _small_picture(self, self.grid, step)

    def _moved(self, date: Step, whole: GeoBox) -> Step:
        if str(whole.crs) == self.plan.crs:
            return date
        return replace(date, layers=tuple(_in_crs(layer, self.plan.crs, str(whole.crs)) for layer in date.layers))

    def _require_little(self, date: Step, cut: Cut) -> None:
        tile = cut.grid
        under = [layer for layer in date.layers if layer.overlaps(tile)]
        if len(under) > MOST_LAYERS:
            raise AskLess(f"{len(under)} items of one date lie here, at most {MOST_LAYERS} are drawn at once. Zoom in.")
        kinds = {source.kind for layer in under for at in self.bands if (source := layer.sources[at])}
        fetched = math.prod(cut.shape) * shrinkage(self.grid, cut.whole) ** 2
        if fetched > MOST_READ and kinds - {"raster"}:
            raise AskLess(
                f"{fetched:,.0f} pixels of files without overviews lie here; at most {MOST_READ:,} are read for one "
                f"picture. {ZOOM_IN}"
            )

    def _read(self, dates: tuple[Step, ...], cut: Cut) -> Array:
        (rows, row), (columns, column) = (
            _around(part, length) for part, length in zip((cut.rows, cut.columns), cut.whole.shape.yx, strict=True)
        )
        narrow = replace(
            self.plan,
            steps=dates,
            crs=str(cut.whole.crs),
            transform=tuple(cut.whole.transform)[:6],
            shape=cut.whole.shape.yx,
            chunks=((len(dates),), rows, columns),
            # Whether reflectance can be true is asked of the cube, not of each of its pictures.
            units=("",) * len(self.plan.bands),
        )
        with collect_faults() as faults:
            values = read_block(narrow, self.bands, (0, row, column), strict=self.strict)
        if faults and not np.isfinite(values).any():
            raise ReadFault(f"Item {faults[0].item!r}, band {faults[0].band!r}: {faults[0].cause}")
        return values


@dataclass(frozen=True, slots=True, eq=False)
class SlicedPixels:
    """A band of which any part can be had at once: in memory, or in a store.

    ``source`` is indexed by (step,) row, column. ``most`` bounds the pixels that one picture may take of a store.
    """

    source: Any
    grid: GeoBox
    nodata: float | None = None
    most: int | None = None

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """The nearest pixels of one step."""
        found = _gather(partial(self._slice, step), self._require_little, self.grid, cut)
        return None if found is None else found[None]

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """The pixels themselves."""
        values = np.asarray(self.source[(steps, rows, columns)[-len(self.source.shape) :]])
        return _observed(values.reshape(1, -1, *values.shape[-2:]), self.nodata)

    def sample(self, step: int) -> Array:
        """The whole step, thinned."""
        return _small_picture(self, self.grid, step)

    def _slice(self, step: int, rows: slice, columns: slice) -> Array:
        values = np.asarray(self.source[(step, rows, columns)[-len(self.source.shape) :]])
        return _observed(values, self.nodata)

    def _require_little(self, parts: _Parts) -> None:
        asked = sum(math.prod(part.stop - part.start for part in both) for both in parts)
        if self.most is not None and asked > self.most:
            raise AskLess(f"{asked:,} pixels lie here, at most {self.most:,} are read for one picture. {ZOOM_IN}")


@dataclass(frozen=True, slots=True, eq=False)
class SharedPixels:
    """A band of a shared cube: pictures from its level that has about their pixels, numbers from the cube itself.

    Parameters
    ----------
    levels : mapping of int to SlicedPixels
        By how many pixels of the cube are along one of theirs: 1 is the cube.
    far : PlanPixels, optional
        What is read from afar where the cube has no levels: its sources have overviews.
    """

    levels: Mapping[int, SlicedPixels]
    far: PlanPixels | None = None

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """One step; from the store too where a source is not there any more, or not for us."""
        along = shrinkage(self.levels[1].grid, cut.whole)
        nearest = self.levels[max(factor for factor in self.levels if factor <= max(along, 1))]
        if self.far is None or len(self.levels) > 1 or along <= _NEAR:
            return nearest.on_grid(step, cut)
        try:
            return self.far.on_grid(step, cut)
        except ReadFault:
            # The cube outlives its sources.
            return nearest.on_grid(step, cut)

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """The cube's own pixels."""
        return self.levels[1].within(steps, rows, columns)

    def sample(self, step: int) -> Array:
        """The whole step as a small picture."""
        return _small_picture(self, self.levels[1].grid, step)


@dataclass(frozen=True, slots=True, eq=False)
class LazyPixels:
    """A band that is to be computed, block by block; the last blocks are kept in ``blocks``."""

    lazy: Lazy
    grid: GeoBox
    blocks: ComputedBlocks
    nodata: float | None = None

    def on_grid(self, step: int, cut: Cut) -> Array | None:
        """The nearest pixels of one step, of at most `MOST_BLOCKS` blocks that are not computed yet."""
        found = _gather(partial(self._one_step, step), partial(self._require_few, step), self.grid, cut)
        return None if found is None else found[None]

    def within(self, steps: slice, rows: slice, columns: slice) -> Array:
        """The pixels of these steps, of at most `MOST_BLOCKS_ALONG` blocks that are not computed yet."""
        wanted = range(*steps.indices(self.lazy.steps))
        self.blocks.require(self.lazy, wanted, self.lazy.places(rows, columns), MOST_BLOCKS_ALONG)
        return self._assemble(wanted, rows, columns)[None]

    def sample(self, step: int) -> Array:
        """The whole step where that takes few blocks, else the block in the middle."""
        try:
            return _small_picture(self, self.grid, step)
        except AskLess:
            middle = self.lazy.middle()
            self.blocks.require(self.lazy, [step], [middle], 1)
            (along,) = self.lazy.by_block([step])
            return _observed(self.blocks.layers(self.lazy, (along, *middle), [step])[0], self.nodata)

    def _require_few(self, step: int, parts: _Parts) -> None:
        places = {at for rows, columns in parts for at in self.lazy.places(rows, columns)}
        self.blocks.require(self.lazy, [step], places, MOST_BLOCKS)

    def _one_step(self, step: int, rows: slice, columns: slice) -> Array:
        values: Array = self._assemble(range(step, step + 1), rows, columns)[0]
        return values

    def _assemble(self, steps: range, rows: slice, columns: slice) -> Array:
        down, across = (
            range(*part.indices(length)) for part, length in zip((rows, columns), self.grid.shape, strict=True)
        )
        out = np.empty((len(steps), len(down), len(across)), _float_for(self.lazy.data.dtype))
        for along, wanted in self.lazy.by_block(steps).items():
            for at in self.lazy.places(rows, columns):
                top, left = self.lazy.corner(at)
                for step, layer in zip(wanted, self.blocks.layers(self.lazy, (along, *at), wanted), strict=True):
                    to_rows, of_rows = _common(down, top, layer.shape[0])
                    to_columns, of_columns = _common(across, left, layer.shape[1])
                    part = _observed(layer[of_rows, of_columns], self.nodata)
                    out[step - steps.start, to_rows, to_columns] = part
        return out


def footprint(grid: GeoBox, cut: Cut) -> Array:
    """Which pixels of a cut have their centre in a grid: bool, rows and columns of the cut."""
    inside = np.zeros(cut.shape, bool)
    thinned = _thinned(grid, _thinning(grid, cut.whole))
    placement = place(thinned, cut.grid, cut.corner)
    if placement.pieces and placement.whole:
        inside[placement.box] = True
    elif placement.pieces:
        inside[placement.box] = np.isfinite(_nearest(_ones, placement))
    return inside


def shrinkage(grid: GeoBox, whole: GeoBox) -> float:
    """How many pixels of a grid lie along one of another's, in the middle of the first; 1 where that cannot be said."""
    step = whole.transform
    return _shrinkage(grid, (step.a, step.b, step.d, step.e), str(whole.crs))


@lru_cache(maxsize=1024)
def _shrinkage(grid: GeoBox, step: tuple[float, float, float, float], crs: str) -> float:
    assert grid.crs is not None
    rows, columns = grid.shape
    back = CRS(crs).transformer_to_crs(grid.crs)
    x, y = grid.crs.transformer_to_crs(CRS(crs))(*(grid.transform @ (columns / 2, rows / 2)))
    ends = [~grid.transform @ back(x + i, y + j) for i, j in ((0, 0), step[::2], step[1::2])]
    (u, v), *others = ends
    longest = max(math.hypot(a - u, b - v) for a, b in others)
    return longest if 0 < longest < math.inf else 1.0


def _gather(read: _Read, require: Callable[[_Parts], None], grid: GeoBox, cut: Cut) -> Array | None:
    """The nearest pixels of a grid on a cut; ``read`` gives float32 of rows and columns, which may have steps."""
    step = _thinning(grid, cut.whole)
    placement = place(_thinned(grid, step), cut.grid, cut.corner)
    if not placement.pieces:
        return None
    parts = [(_spread(p.source_rows, step), _spread(p.source_columns, step)) for p in placement.pieces]
    require(parts)
    out = np.full(cut.shape, np.nan, "float32")
    out[placement.box] = _nearest(lambda rows, columns: read(_spread(rows, step), _spread(columns, step)), placement)
    return out


def _nearest(read: _Read, placement: Placement) -> Array:
    window = resample(read, placement, dtype="float32", resampling="nearest", marks=Marks())
    assert window is not None
    return window.values


def _ones(rows: slice, columns: slice) -> Array:
    return np.ones((rows.stop - rows.start, columns.stop - columns.start), "float32")


def _thinning(grid: GeoBox, whole: GeoBox) -> int:
    return min(max(1, int(shrinkage(grid, whole) / _FINE)), grid.shape.y, grid.shape.x)


def _thinned(grid: GeoBox, step: int) -> GeoBox:
    """The grid of every so many rows and columns, of which `_spread` takes the middle ones."""
    if step == 1:
        return grid
    rows, columns = (-(-(length - step // 2) // step) for length in grid.shape)
    return GeoBox((rows, columns), grid.transform @ Affine.scale(step), grid.crs)


def _spread(part: slice, step: int) -> slice:
    """The rows or columns of a grid that those of the thinned one are."""
    first = part.start * step + step // 2
    return slice(first, first + (part.stop - part.start - 1) * step + 1, step)


def _observed(values: Array, nodata: float | None) -> Array:
    """The values in floats that hold them, NaN where there is no observation."""
    plain = values.astype(_float_for(values.dtype), copy=False)
    return plain if nodata is None else np.where(values == nodata, plain.dtype.type(np.nan), plain)


def _float_for(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.result_type(dtype, np.float32) if dtype.kind == "f" else np.promote_types(dtype, np.float32)


def _small_picture(pixels: Pixels, grid: GeoBox, step: int) -> Array:
    longest = max(grid.shape)
    small = grid if longest <= _SAMPLE else grid.zoom_to(_SAMPLE)
    found = pixels.on_grid(step, Cut(small, slice(0, small.shape.y), slice(0, small.shape.x)))
    return np.full((1, 1, 1), np.nan, "float32") if found is None else found


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _around(part: slice, length: int) -> tuple[tuple[int, ...], int]:
    """Chunks of which one is the part, and which."""
    sizes = (part.start, part.stop - part.start, length - part.stop)
    return tuple(size for size in sizes if size), int(part.start > 0)


def _common(wanted: range, start: int, length: int) -> tuple[slice, slice]:
    """Where the wanted rows that a block has go, and where they are in the block."""
    first = max(0, -(-(start - wanted.start) // wanted.step))
    last = min(len(wanted), -(-(start + length - wanted.start) // wanted.step))
    return slice(first, last), slice(wanted[first] - start, wanted[last - 1] - start + 1, wanted.step)


def _in_crs(layer: Layer, crs: str, other: str) -> Layer:
    return replace(layer, bounds=_bounds_in(layer.bounds, crs, other) if layer.bounds else None)


@lru_cache(maxsize=4096)
def _bounds_in(
    bounds: tuple[float, float, float, float], crs: str, other: str
) -> tuple[float, float, float, float] | None:
    """The box in another CRS; None, which is anywhere, where it reaches round the globe or to a pole."""
    if CRS(crs).geographic and (bounds[0] < -180 or bounds[2] > 180):
        return None
    left, bottom, right, top = transform_bounds(crs, other, *bounds, densify_pts=21)
    return (left, bottom, right, top) if left < right and all(map(math.isfinite, (left, bottom, right, top))) else None
