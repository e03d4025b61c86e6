"""What reading from a NetCDF and from a Zarr share: sources of one array onto a tile, many dates in one read."""

import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from affine import Affine
from obstore.exceptions import BaseError as StoreError
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from earthlab.cube.globe import full_turn
from earthlab.cube.readers.cf import Grid, NotAGrid, Packing, describe_grid
from earthlab.cube.readers.containers import Array, Container, Indexed
from earthlab.cube.readers.resample import MOST_FETCHED, place
from earthlab.cube.readers.window import Window, norm_nodata, overlay
from earthlab.errors import ReadFault, did_you_mean

if TYPE_CHECKING:
    from earthlab.cube.plan import Source

MOST_CHUNK = 2**31
"""Bytes of a chunk, at most: a larger one comes from a broken or hostile header, or would end the process."""

_FEW = 32
"""Layers warped together, at most."""

_Positions = tuple[int, ...]
_View = tuple[GeoBox, Callable[[slice, slice], list[tuple[slice, slice]]]]


def shown(text: str) -> str:
    """An address, or a message with one, without query string or credentials."""
    return re.sub(r"(?<=//)[^/@\s]*@", "", re.sub(r"\?\S*", "", text))


@contextmanager
def reading(href: str, variable: str = "") -> Iterator[None]:
    """Whatever goes wrong within becomes a ReadFault that names the file and the variable.

    Raises
    ------
    ReadFault
        In place of what the libraries raise; the cause is told in words, which survive the way back from a worker.
    """
    what = f"{shown(href)}, variable {variable!r}," if variable else shown(href)
    try:
        yield
    except ReadFault:
        raise
    except NotAGrid as exc:
        raise ReadFault(f"{what} {exc}") from None
    except (*_MISHAPS, *_FOREIGN) as exc:
        raise ReadFault(f"{what} cannot be read: {_cause(exc)}") from None


_MISHAPS = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
_FOREIGN = (StoreError, ProjError, RasterioError, CPLE_BaseError, BadZipFile, struct.error, EOFError)


def _cause(exc: BaseException) -> str:
    told = exc.strerror if isinstance(exc, OSError) else None
    text = told if isinstance(told, str) else str(exc).strip()
    return shown(text.splitlines()[0] if text else type(exc).__name__)[:200]


def find_grid(container: Indexed, variable: str) -> Grid:
    """The grid of a variable by its path.

    Raises
    ------
    NotAGrid
        Where it does not exist or is no regular grid.
    """
    heads = container.heads()
    if variable not in heads:
        raise NotAGrid(f"does not exist. {did_you_mean(variable, heads)}")
    return describe_grid(container, heads[variable])


class OpenContainer(Indexed):
    """A container that remembers the grids of its variables too."""

    def __init__(self, container: Container) -> None:
        super().__init__(container)
        self._grids: dict[str, Grid] = {}

    def grid(self, variable: str) -> Grid:
        """The grid of a variable, by its path; raises as `find_grid` does."""
        if variable not in self._grids:
            self._grids[variable] = find_grid(self, variable)
        return self._grids[variable]


def read_grid(
    container: Container,
    grid: Grid,
    sources: Sequence["Source"],
    geobox: GeoBox,
    *,
    resampling: str,
    anchor: tuple[float, float],
) -> list[Window | None]:
    """One window a source, ``None`` where the grid does not touch the tile; longitudes are taken round the globe.

    Raises
    ------
    NotAGrid
        Where a source's ``at`` is not a place of the array.
    """
    wanted = [_positions(grid, source) for source in sources]
    _refuse_huge_chunks(grid)
    stated = norm_nodata(sources[0].nodata, grid.packing.dtype or grid.head.dtype)
    packing = grid.packing if stated is None else replace(grid.packing, nodata=stated, also=())
    found: dict[_Positions, Window] = {}
    for together in _batches(sorted(set(wanted)), grid, geobox):
        windows = _read_round(container, replace(grid, packing=packing), together, geobox, resampling, anchor)
        if windows is not None:
            found |= zip(together, windows, strict=True)
    return [_described(found[at], packing) if at in found else None for at in wanted]


def _refuse_huge_chunks(grid: Grid) -> None:
    size = math.prod(grid.head.chunks or (1,)) * grid.head.dtype.itemsize
    if size > MOST_CHUNK:
        raise NotAGrid(f"is stored in pieces of {size / 2**30:.1f} GiB, each of which must be held to read one number")


def _described(window: Window, packing: Packing) -> Window:
    return replace(window, nodata=packing.nodata, scale=packing.scale, offset=packing.offset)


def _positions(grid: Grid, source: "Source") -> _Positions:
    asked = dict(source.at)
    unknown = set(asked) - set(grid.others)
    if unknown:
        raise NotAGrid(f"has no dimension {min(unknown)!r}. {did_you_mean(min(unknown), grid.others)}")
    for dim, size in grid.others.items():
        if dim not in asked and size != 1:
            raise NotAGrid(f"has a dimension {dim!r} of {size}: which of them is not said")
        if not 0 <= asked.get(dim, 0) < size:
            raise NotAGrid(f"has {size} along {dim!r}, position {asked[dim]} was expected")
    return tuple(asked.get(dim, 0) for dim in grid.others)


def _batches(wanted: list[_Positions], grid: Grid, geobox: GeoBox) -> Iterator[list[_Positions]]:
    """Positions that one read can serve: they differ along one dimension, and few enough to be held."""
    rows, columns = geobox.shape
    most = max(min(_FEW, MOST_FETCHED // max(rows * columns, 1)), 1)
    free = _free_axis(wanted)
    fixed = lambda at: (*at[:free], *at[free + 1 :])  # noqa: E731 - the key of sorting and of grouping
    for _, group in groupby(sorted(wanted, key=fixed), key=fixed):
        members = list(group)
        step = max(most, _chunk(grid, free))
        for start in range(0, len(members), step):
            yield members[start : start + step]


def _free_axis(wanted: Sequence[_Positions]) -> int:
    if not wanted or not wanted[0]:
        return 0
    return max(range(len(wanted[0])), key=lambda axis: len({at[axis] for at in wanted}))


def _chunk(grid: Grid, other: int) -> int:
    """How many layers one chunk of the file holds along one of the other dimensions."""
    if grid.head.chunks is None or not grid.others:
        return 1
    axis = grid.head.dims.index(list(grid.others)[other])
    return grid.head.chunks[axis]


def _read_round(
    container: Container,
    grid: Grid,
    together: Sequence[_Positions],
    geobox: GeoBox,
    resampling: str,
    anchor: tuple[float, float],
) -> list[Window] | None:
    """On the globe the same pixel has several longitudes: each view that touches the tile counts."""

    def fetch_through(view: _View) -> Callable[[slice, slice], Array]:
        return lambda rows, columns: np.concatenate(
            [_fetch(container, grid, together, *part) for part in view[1](rows, columns)], axis=2
        )

    seen = [
        windows
        for view in _views(grid)
        if (
            windows := place(
                fetch_through(view), grid.packing.judge, view[0], geobox, resampling=resampling, anchor=anchor
            )
        )
    ]
    if not seen:
        return None
    shape = geobox.shape.yx
    return [window for layers in zip(*seen, strict=True) if (window := overlay(layers, shape))]


def _views(grid: Grid) -> Iterator[_View]:
    if grid.turn:
        yield _three_turns(grid)
        return
    turn = full_turn(grid.geobox.crs)
    for x in (0, -turn, turn) if turn else (0,):
        moved = GeoBox(grid.geobox.shape, Affine.translation(x, 0) @ grid.geobox.transform, grid.geobox.crs)
        yield moved, lambda rows, columns: [(rows, columns)]


def _three_turns(grid: Grid) -> _View:
    rows, turn = grid.geobox.shape
    whole = GeoBox((rows, 3 * turn), grid.geobox.transform @ Affine.translation(-turn, 0), grid.geobox.crs)

    def parts(down: slice, across: slice) -> list[tuple[slice, slice]]:
        spans = []
        start = across.start
        while start < across.stop:
            stop = min(across.stop, (start // turn + 1) * turn)
            spans.append((down, slice(start % turn, start % turn + stop - start)))
            start = stop
        return spans

    return whole, parts


def _fetch(container: Container, grid: Grid, together: Sequence[_Positions], rows: slice, columns: slice) -> Array:
    """Raw values with axes layer, row (north to south), column (west to east)."""
    free = _free_axis(together)
    spans = grid.slices(rows, columns)
    dims = list(grid.others)
    layers: list[Array] = []
    for run in _runs(together, free, _chunk(grid, free)):
        others = {grid.head.dims.index(dim): slice(at, at + 1) for dim, at in zip(dims, run[0], strict=True)}
        if dims:
            others[grid.head.dims.index(dims[free])] = slice(run[0][free], run[-1][free] + 1)
        raw = container.read(grid.head.path, [({**spans, **others})[axis] for axis in range(len(grid.head.dims))])
        stack = _oriented(grid, raw, dims, free)
        layers.append(stack[[at[free] - run[0][free] for at in run]] if dims else stack)
    return grid.packing.meant(np.concatenate(layers) if len(layers) > 1 else layers[0])


def _runs(together: Sequence[_Positions], free: int, chunk: int) -> Iterator[list[_Positions]]:
    """Positions near enough to be read as one stretch: no chunk is read for nothing."""
    run: list[_Positions] = []
    for at in together:
        if run and at[free] // chunk > run[-1][free] // chunk + 1:
            yield run
            run = []
        run.append(at)
    if run:
        yield run


def _oriented(grid: Grid, raw: Array, dims: Sequence[str], free: int) -> Array:
    order = [grid.head.dims.index(dim) for dim in dims]
    first = [order[free]] if dims else []
    rest = [axis for axis in order if axis not in first]
    turned = raw.transpose(*first, *rest, grid.y, grid.x)
    stack = turned.reshape(-1, *turned.shape[-2:])
    stack = stack[:, ::-1] if grid.ascending else stack
    return stack[:, :, ::-1] if grid.descending else stack
