"""Where the pixels of a tile lie in a source: computed once, shared by all dates and bands on the same grid.

PROJ is asked at the nodes of a lattice anchored to the cube's corner. Within a cell of it positions are interpolated; a
cell in which that strays by more than a thousandth of a pixel gets finer nodes, down to each pixel its own. All is
decided by the cell alone, so that a tile's size and place never change a pixel.
"""

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from earthlab.cube.globe import full_turn
from earthlab.cube.readers.gather import CELL, Lattice, measure_extent
from earthlab.cube.readers.window import Array

TOLERANCE = 1e-3
"""Source pixels by which an interpolated position may stray from PROJ's, at the middles of a cell and of its edges."""

MOST_READ = 2**25
"""Source pixels read at once, at most: a tile that needs more is filled in pieces."""

MOST_KEPT = 64 * 2**20
"""Bytes of placements that a process keeps."""

_ALWAYS_KEPT = 2
"""Placements kept whatever their size: one that is dropped between two dates would be computed for each."""

_SHRINKS = {"nearest": 2.0, "bilinear": 1 / 0.95}
"""Source pixels per pixel of the target up to which these kernels do what GDAL does: from there on GDAL widens the
bilinear kernel, and picking single pixels would mean reading many more than are used."""

_LATTICE_TOLERANCE = 0.01
"""Pixels by which the cube's corner may stray from the tile's lattice."""

Points = tuple[Array, Array]
Way = Callable[[Array, Array], Points]
Key = tuple[Any, ...]
Part = tuple[int, int, int, int]
"""Top, bottom, left and right of a part of a tile."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a tile and the part of the source that it needs: ``rows`` and ``columns`` of each."""

    rows: slice
    columns: slice
    source_rows: slice
    source_columns: slice

    @property
    def pixels(self) -> int:
        """How many pixels of the source it needs."""
        rows, columns = self.source_rows, self.source_columns
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where the pixel centres of one tile lie in one source.

    ``pieces`` are the parts of the tile that the source covers, none where it does not touch the tile; ``whole`` is
    whether every pixel of their common box lies in the source.
    """

    shape: tuple[int, int]
    lattice: Lattice
    pieces: tuple[Piece, ...] = ()
    whole: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes it takes."""
        return sum(int(array.nbytes) for array in (self.lattice.starts, self.lattice.steps, self.lattice.nodes))

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the tile that hold all its pieces; at least one piece is needed."""
        return (
            slice(min(p.rows.start for p in self.pieces), max(p.rows.stop for p in self.pieces)),
            slice(min(p.columns.start for p in self.pieces), max(p.columns.stop for p in self.pieces)),
        )


def serves(native: GeoBox, tile: GeoBox, resampling: str) -> bool:
    """Whether a placement and the kernels of `gather` do what GDAL would: the same for all the tiles of a cube.

    True for nearest and bilinear where a pixel of the tile is hardly larger than one of the source (up to 2 source
    pixels for nearest, 1/0.95 for bilinear) wherever in the source it lies.

    Raises
    ------
    pyproj.exceptions.ProjError
        Where there is no way from one CRS to the other.
    """
    if resampling not in _SHRINKS:
        return False
    step = tile.transform
    return _longest_step(_values(native), (step.a, step.b, step.d, step.e), str(tile.crs)) <= _SHRINKS[resampling]


def place(native: GeoBox, tile: GeoBox, anchor: tuple[float, float]) -> Placement:
    """Where the pixels of a tile lie in a source.

    Parameters
    ----------
    native : GeoBox
        The whole source.
    tile : GeoBox
        Any part of the cube's grid.
    anchor : tuple of float
        x and y of the cube's corner: the same for all its tiles.

    Returns
    -------
    Placement
        Within `TOLERANCE` source pixels of PROJ; exact where both grids have one CRS. Kept, and shared between
        threads: two that ask for the same at once compute it once.

    Raises
    ------
    pyproj.exceptions.ProjError
        Where there is no way from one CRS to the other.
    """
    return _kept.get((_values(native), _values(tile), anchor), partial(_compute, native, tile, anchor))


def _values(box: GeoBox) -> Key:
    return tuple(box.transform)[:6], box.shape.yx, str(box.crs)


@lru_cache(maxsize=256)
def _longest_step(source: Key, step: tuple[float, float, float, float], crs: str) -> float:
    transform, (rows, columns), source_crs = source
    native = GeoBox((rows, columns), Affine(*transform), source_crs)
    down, across = np.meshgrid(*(np.array([1, 3, 5]) / 6 * length for length in (rows, columns)), indexing="ij")
    x, y = _apply(native.transform, across, down)
    if native.crs != CRS(crs):
        assert native.crs is not None
        x, y = native.crs.transformer_to_crs(CRS(crs))(x, y)
    from_crs = partial(_in_pixels, native, CRS(crs))
    at = np.stack(from_crs(x, y))
    ends = (np.stack(from_crs(x + i, y + j)) for i, j in (step[::2], step[1::2]))
    with np.errstate(invalid="ignore"):
        lengths = np.concatenate([np.hypot(*(end - at)).ravel() for end in ends])
    known = lengths[np.isfinite(lengths)]
    return float(known.max()) if known.size else math.inf


@dataclass(slots=True)
class _Kept:
    """The latest placements; one that several threads want at once is computed by the first of them."""

    _found: "OrderedDict[Key, Future[Placement]]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        os.register_at_fork(after_in_child=self._forget)

    def get(self, key: Key, compute: Callable[[], Placement]) -> Placement:
        """The placement for a key, computed if need be."""
        fresh: Future[Placement] = Future()
        with self._lock:
            future = self._found.setdefault(key, fresh)
            self._found.move_to_end(key)
        if future is fresh:
            self._settle(key, fresh, compute)
        return future.result()

    def _settle(self, key: Key, fresh: "Future[Placement]", compute: Callable[[], Placement]) -> None:
        try:
            fresh.set_result(compute())
        except BaseException as exc:
            with self._lock:
                self._found.pop(key, None)
            fresh.set_exception(exc)
            raise
        self._shrink()

    def _shrink(self) -> None:
        with self._lock:
            done = [(key, found.result().nbytes) for key, found in self._found.items() if found.done()]
            excess = sum(size for _, size in done) - MOST_KEPT
            for key, size in done[:-_ALWAYS_KEPT]:
                if excess <= 0:
                    return
                del self._found[key]
                excess -= size

    def _forget(self) -> None:
        self._found, self._lock = OrderedDict(), threading.Lock()


_kept = _Kept()


def _compute(native: GeoBox, tile: GeoBox, anchor: tuple[float, float]) -> Placement:
    origin, (row, column) = _anchored(tile, anchor)
    rows, columns = tile.shape.yx
    down = np.arange(row // CELL, (row + rows - 1) // CELL + 1)
    across = np.arange(column // CELL, (column + columns - 1) // CELL + 1)
    starts, steps, nodes = _lay_nodes(partial(_positions, native, origin, tile.crs), down, across)
    height, width = native.shape.yx
    lattice = Lattice(starts, steps, nodes, row % CELL, column % CELL, height, width)
    return _with_pieces(Placement((rows, columns), lattice))


def _anchored(tile: GeoBox, anchor: tuple[float, float]) -> tuple[Affine, tuple[int, int]]:
    """The lattice's transform, and the row and column of it at which the tile begins."""
    step = tile.transform
    column, row = (-at for at in ~step @ anchor)
    left, top = round(column), round(row)
    if max(abs(column - left), abs(row - top)) > _LATTICE_TOLERANCE:
        anchor = step @ (-left, -top)
    return Affine(step.a, step.b, anchor[0], step.d, step.e, anchor[1]), (top, left)


def _positions(native: GeoBox, origin: Affine, crs: Any, rows: Array, columns: Array) -> Points:
    return _in_pixels(native, crs, *_apply(origin, columns + 0.5, rows + 0.5))


def _in_pixels(native: GeoBox, crs: Any, x: Array, y: Array) -> Points:
    if native.crs != crs:
        x, y = crs.transformer_to_crs(native.crs)(x, y)
    there = native.transform
    per_unit = ~Affine(there.a, there.b, 0, there.d, there.e, 0)
    column, row = _apply(per_unit, _unrolled(native, x) - there.c, y - there.f)
    return row, column


def _apply(transform: Affine, x: Array, y: Array) -> Points:
    a, b, c, d, e, f = tuple(transform)[:6]
    with np.errstate(invalid="ignore"):
        return a * x + b * y + c, d * x + e * y + f


def _unrolled(native: GeoBox, x: Array) -> Array:
    """Longitudes, or what goes round as they do, within half a turn of the source's middle.

    A source may begin at -180 or 0, or reach across 180 degrees.
    """
    turn = full_turn(native.crs)
    if not turn:
        return x
    middle = (native.transform @ (native.shape.x / 2, native.shape.y / 2))[0]
    with np.errstate(invalid="ignore"):
        unrolled: Array = x - turn * np.floor((x - middle) / turn + 0.5)
    return unrolled


def _lay_nodes(way: Way, down: Array, across: Array) -> tuple[Array, Array, Array]:
    starts, steps = np.empty((2, len(down), len(across)), "int64")
    laid: list[Array] = []
    used = 0
    for at, row in enumerate(down):
        for which, step, nodes in _cells(way, row, across):
            count = (CELL // step + 1) ** 2
            starts[at, which], steps[at, which] = used + count * np.arange(len(which)), step
            laid.append(nodes.reshape(-1, 2))
            used += nodes.size // 2
    return starts, steps, np.concatenate(laid)


def _cells(way: Way, row: int, columns: Array) -> Iterator[tuple[Array, int, Array]]:
    """Which of a row of cells need which step between nodes, and these nodes (cell, row, column, position)."""
    waiting, step = np.arange(len(columns)), CELL
    while waiting.size:
        fine = _nodes(way, row, columns[waiting], step // 2)
        good = _fits(fine)
        yield waiting[good], step, fine[good, ::2, ::2]
        waiting, rest = waiting[~good], fine[~good]
        if step == 2:  # the finer nodes are the pixels themselves
            yield waiting, 1, rest
            return
        step //= 2


def _nodes(way: Way, row: int, columns: Array, step: int) -> Array:
    within = np.arange(0, CELL + 1, step)
    down = np.broadcast_to((row * CELL + within)[None, :, None], (len(columns), len(within), len(within)))
    across = np.broadcast_to((columns[:, None] * CELL + within)[:, None, :], down.shape)
    return np.stack(way(down, across), axis=-1)


def _fits(fine: Array) -> Array:
    guess = fine.copy()
    with np.errstate(invalid="ignore"):
        guess[:, 1::2, ::2] = (fine[:, :-1:2, ::2] + fine[:, 2::2, ::2]) / 2
        guess[:, :, 1::2] = (guess[:, :, :-1:2] + guess[:, :, 2::2]) / 2
        good: Array = (np.abs(fine - guess) <= TOLERANCE).all(axis=(1, 2, 3))
    return good


def _with_pieces(placement: Placement) -> Placement:
    found = list(_pieces(placement))
    if not found:
        return placement
    placed = replace(placement, pieces=tuple(piece for _, piece in found))
    rows, columns = placed.box
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return replace(placed, whole=sum(count for count, _ in found) == area)


def _pieces(placement: Placement) -> Iterator[tuple[int, Piece]]:
    waiting: list[Part] = [(0, placement.shape[0], 0, placement.shape[1])]
    while waiting:
        count, box, reach = measure_extent(placement.lattice, waiting.pop())
        if not count:
            continue
        piece = Piece(slice(*box[:2]), slice(*box[2:]), *_needed(reach, placement.lattice))
        if piece.pixels > MOST_READ and max(box[1] - box[0], box[3] - box[2]) > 1:
            waiting += _halves(*box)
        else:
            yield count, piece


def _needed(reach: tuple[float, float, float, float], lattice: Lattice) -> tuple[slice, slice]:
    """Rows and columns of the source that the four neighbours of each position are in."""
    rows, columns = (
        slice(max(math.floor(least - 0.5), 0), min(math.floor(most - 0.5) + 2, length))
        for least, most, length in zip(reach[::2], reach[1::2], (lattice.height, lattice.width), strict=True)
    )
    return rows, columns


def _halves(top: int, bottom: int, left: int, right: int) -> list[Part]:
    if bottom - top >= right - left:
        middle = (top + bottom) // 2
        return [(top, middle, left, right), (middle, bottom, left, right)]
    middle = (left + right) // 2
    return [(top, bottom, left, middle), (top, bottom, middle, right)]
