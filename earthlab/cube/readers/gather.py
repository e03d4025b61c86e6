"""From nodes to positions and from positions to values, compiled.

All in one file: a compiled function that is kept on disk does not notice that one of another file has changed.

One rule for nearest and bilinear, found by comparison with GDAL 3.10: a pixel is an observation where the source pixel
that it lies in is one. Bilinear then weighs those of the four neighbours that are observations, at the source's border
those within. NaN is never an observation.
"""

from typing import Any, NamedTuple

import numba
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

CELL = 32
"""Pixels a side of a cell of the lattice that is anchored to the cube's corner."""

_RAMP = np.arange(CELL, dtype="float64")

TIE = 1e-8
"""Source pixels by which a position that rounding has put just above or left of an edge still counts as on it."""


class Lattice(NamedTuple):
    """Positions of a tile's pixel centres in a source, as rows and columns from its corner.

    ``steps`` has for each cell the pixels between its nodes, ``starts`` where these begin in ``nodes`` (float64: row,
    column). The tile begins at pixel ``row`` and ``column`` of the first cell; ``height`` and ``width`` are the
    source's.
    """

    starts: Array
    steps: Array
    nodes: Array
    row: int
    column: int
    height: int
    width: int


class Given(NamedTuple):
    """A part of a source as the kernels take it; ``values[0, 0]`` lies at ``row`` and ``column`` of the whole."""

    values: Array
    row: int
    column: int
    nodata: Any
    marked: bool
    valid: Array
    masked: bool


@numba.njit(nogil=True, cache=True)
def locate(rows: Array, columns: Array, lattice: Lattice, i: int, j: int) -> None:
    """Positions of a run of pixels, to the right of pixel ``i``, ``j`` of the tile."""
    starts, steps, nodes = lattice.starts, lattice.steps, lattice.nodes
    row, column, at = lattice.row + i, lattice.column + j, 0
    while at < rows.size:
        step = steps[row // CELL, column // CELL]
        side, lower, lead = CELL // step + 1, row % CELL % step / step, column % CELL % step
        node = starts[row // CELL, column // CELL] + row % CELL // step * side + column % CELL // step
        run = min(step - lead, rows.size - at)
        if step == 1:
            rows[at], columns[at] = nodes[node, 0], nodes[node, 1]
        else:
            left_row, row_step = _line(nodes, node, side, lower, 0)
            left_column, column_step = _line(nodes, node, side, lower, 1)
            for k in range(run):
                rows[at + k] = left_row + _RAMP[lead + k] * (row_step / step)
                columns[at + k] = left_column + _RAMP[lead + k] * (column_step / step)
        at += run
        column += run


@numba.njit(nogil=True, cache=True)
def _line(nodes: Array, node: int, side: int, lower: float, axis: int) -> tuple[float, float]:
    left = nodes[node, axis] + (nodes[node + side, axis] - nodes[node, axis]) * lower
    right = nodes[node + 1, axis] + (nodes[node + side + 1, axis] - nodes[node + 1, axis]) * lower
    return left, right - left


@numba.njit(nogil=True, cache=True)
def lies_in(row: float, column: float, height: int, width: int) -> bool:
    """Whether a position is in a source of that shape; False for one that PROJ could not give."""
    return (row >= -TIE) & (row < height - TIE) & (column >= -TIE) & (column < width - TIE)


@numba.njit(nogil=True, cache=True)
def measure_extent(
    lattice: Lattice, part: tuple[int, int, int, int]
) -> tuple[int, tuple[int, int, int, int], tuple[float, float, float, float]]:
    """Of a part of the tile (top, bottom, left, right): pixels in the source, their box, and the reach of positions."""
    top, bottom, left, right = part
    rows, columns = np.empty(right - left), np.empty(right - left)
    count, first, last, leftmost, rightmost = 0, bottom, top - 1, right, left - 1
    least_row, most_row, least_column, most_column = np.inf, -np.inf, np.inf, -np.inf
    for i in range(top, bottom):
        locate(rows, columns, lattice, i, left)
        for j in range(right - left):
            if lies_in(rows[j], columns[j], lattice.height, lattice.width):
                count += 1
                first, last = min(first, i), max(last, i)
                leftmost, rightmost = min(leftmost, left + j), max(rightmost, left + j)
                least_row, most_row = min(least_row, rows[j]), max(most_row, rows[j])
                least_column, most_column = min(least_column, columns[j]), max(most_column, columns[j])
    box = (first, last + 1, leftmost, rightmost + 1)
    return count, box, (least_row, most_row, least_column, most_column)


@numba.njit(nogil=True, cache=True)
def gather_nearest(
    out: Array, seen: Array, lattice: Lattice, given: Given, part: tuple[int, int, int, int], origin: tuple[int, int]
) -> None:
    """The value of the source pixel in which each pixel of the part lies, and whether it is in the source and valid.

    ``part`` is top, bottom, left and right on the tile, ``origin`` where ``out[0, 0]`` lies on it; pixels outside the
    source are left as they are.
    """
    top, bottom, left, right = part
    rows, columns = np.empty(right - left), np.empty(right - left)
    for i in range(top, bottom):
        locate(rows, columns, lattice, i, left)
        for j in range(right - left):
            if lies_in(rows[j], columns[j], lattice.height, lattice.width):
                row, column = np.uintp(int(rows[j] + TIE) - given.row), np.uintp(int(columns[j] + TIE) - given.column)
                out[i - origin[0], left + j - origin[1]] = given.values[row, column]
                seen[i - origin[0], left + j - origin[1]] = (not given.masked) or given.valid[row, column]


@numba.njit(nogil=True, cache=True)
def gather_bilinear(
    out: Array, lattice: Lattice, given: Given, part: tuple[int, int, int, int], origin: tuple[int, int]
) -> None:
    """The weighted mean of the four source pixels around each pixel of the part; other words as `gather_nearest`."""
    top, bottom, left, right = part
    values, valid, masked = given.values, given.valid, given.masked
    height, width, first, start = lattice.height, lattice.width, given.row, given.column
    rows, columns = np.empty(right - left), np.empty(right - left)
    for i in range(top, bottom):
        locate(rows, columns, lattice, i, left)
        line = out[i - origin[0], left - origin[1] : right - origin[1]]
        for j in range(right - left):
            row, column = rows[j], columns[j]
            if not lies_in(row, column, height, width):
                continue
            below, beyond = int(row + 0.5), int(column + 0.5)
            down, across = row + 0.5 - below, column + 0.5 - beyond
            upper, lower = np.uintp(max(below - 1, 0) - first), np.uintp(min(below, height - 1) - first)
            west, east = np.uintp(max(beyond - 1, 0) - start), np.uintp(min(beyond, width - 1) - start)
            nw, ne, sw, se = values[upper, west], values[upper, east], values[lower, west], values[lower, east]
            seen = (
                _observed(nw, given.nodata, given.marked),
                _observed(ne, given.nodata, given.marked),
                _observed(sw, given.nodata, given.marked),
                _observed(se, given.nodata, given.marked),
            )
            if masked:
                seen = (
                    seen[0] & valid[upper, west],
                    seen[1] & valid[upper, east],
                    seen[2] & valid[lower, west],
                    seen[3] & valid[lower, east],
                )
            if seen[0] & seen[1] & seen[2] & seen[3]:
                north, south = nw * (1 - across) + ne * across, sw * (1 - across) + se * across
                line[j] = north * (1 - down) + south * down
            else:
                line[j] = _mean_of_seen((nw, ne, sw, se), seen, down, across)


@numba.njit(nogil=True, cache=True)
def _observed(value: Any, nodata: Any, marked: bool) -> bool:  # noqa: FBT001
    seen: bool = (value == value) & ((not marked) | (value != nodata))  # noqa: PLR0124 - a NaN is not itself
    return seen


@numba.njit(nogil=True, cache=True)
def _mean_of_seen(
    values: tuple[Any, Any, Any, Any], seen: tuple[bool, bool, bool, bool], down: float, across: float
) -> float:
    nearest = (2 if down + TIE >= 0.5 else 0) + (1 if across + TIE >= 0.5 else 0)
    if not seen[nearest]:
        return np.nan
    weights = ((1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across)
    total = weight = 0.0
    for k in range(4):
        if seen[k]:
            total += values[k] * weights[k]
            weight += weights[k]
    return total / weight
