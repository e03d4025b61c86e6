"""Steepest-descent paths over a triangulated noisy ground: continuous, not from cell to cell.

The centres of pixels are the corners of triangles; each square between four of them is cut along one of its
diagonals, which chance picks. Within a triangle the ground is a plane and a path follows its fall; where two triangles
fall towards their common edge, it follows the edge. Noise and diagonals come from a hash of path and place: no array of
them is held.
"""

from typing import Any

import numba
import numpy as np

from earthlab.analysis.kernels.compiling import Array, compiled, inlined

_NEAR = 1e-9
_SPLIT = 0.25
"""A segment is looked at every quarter of a pixel for the pixels it passes through."""

_PIT, _CORNER, _EDGE, _UNKNOWN = 0, 1, 2, 3
"""Where a path goes next: nowhere, to a corner, to a point of an edge, beyond known ground."""

STOPPED, LEFT, ENDED = 0, 1, 2
"""How a path ends: too many steps, beyond known ground, at the longest length."""


@inlined
def _mixed(value: Any) -> Any:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@numba.njit(nogil=True, error_model="numpy")
def _hashed(key: Any, row: int, column: int) -> Any:
    place = np.uint64(row) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(column) * np.uint64(0xD1B54A32D192ED03)
    return _mixed(key + _mixed(place))


@numba.njit(nogil=True, error_model="numpy")
def _height(ground: Array, noise: float, key: Any, row: int, column: int) -> Any:
    if row < 0 or column < 0 or row >= ground.shape[0] or column >= ground.shape[1]:
        return np.nan
    if noise == 0.0:
        return ground[row, column]
    share = (_hashed(key, row, column) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
    return ground[row, column] + noise * (2.0 * share - 1.0)


@numba.njit(nogil=True, error_model="numpy")
def _falls_right(key: Any, row: int, column: int) -> Any:
    # Whether the diagonal of a square goes from its first corner to the one across.
    return (_hashed(key ^ np.uint64(0xA5A5A5A5), row, column) & np.uint64(1)) == np.uint64(0)


@numba.njit(nogil=True, error_model="numpy")
def _fall(first: Array, second: Array, third: Array) -> tuple[float, float, float]:
    # The fall of the plane through three points (x, y, z), in shares of the edges from the first; and its steepness.
    ux, uy, uz = second[0] - first[0], second[1] - first[1], second[2] - first[2]
    vx, vy, vz = third[0] - first[0], third[1] - first[1], third[2] - first[2]
    area = ux * vy - uy * vx
    east, north = (uz * vy - vz * uy) / area, (vz * ux - uz * vx) / area
    along = (-east * vy + north * vx) / area
    beside = (-north * ux + east * uy) / area
    return along, beside, np.sqrt(east * east + north * north)


@numba.njit(nogil=True, error_model="numpy")
def _place(ground: Array, size: Array, noise: float, key: Any, row: int, column: int, out: Array) -> Any:
    out[0], out[1] = column * size[1], row * size[0]
    out[2] = _height(ground, noise, key, row, column)
    return np.isfinite(out[2])


@numba.njit(nogil=True, error_model="numpy")
def _leave_corner(
    ground: Array, size: Array, noise: float, key: Any, node: Array, edge: Array, work: Array
) -> tuple[int, float]:
    # Where a path goes from a corner: to a corner, or through a triangle to its far edge.
    steepest, kind = _along_edges(ground, size, noise, key, node, edge, work)
    if kind == _UNKNOWN:
        return kind, 0.0
    share = 0.0
    for down in (-1, 1):
        for right in (-1, 1):
            first, second = node[0] + min(down, 0), node[1] + min(right, 0)
            cut = _falls_right(key, first, second) == (down == right)
            for half in range(2 if cut else 1):
                # A square cut at this corner has two triangles here, which share the corner across.
                a_column = node[1] + (right if cut and half == 1 else 0)
                b_row = node[0] + (down if cut and half == 0 else 0)
                _place(ground, size, noise, key, node[0] + down, a_column, work[1])
                _place(ground, size, noise, key, b_row, node[1] + right, work[2])
                along, beside, steep = _fall(work[0], work[1], work[2])
                if along > 0 and beside > 0 and steep > steepest:
                    steepest, kind, share = steep, _EDGE, beside / (along + beside)
                    edge[0], edge[1], edge[2], edge[3] = node[0] + down, a_column, b_row, node[1] + right
                    edge[4], edge[5] = node[0], node[1]
    return kind, share


@numba.njit(nogil=True, error_model="numpy")
def _along_edges(
    ground: Array, size: Array, noise: float, key: Any, node: Array, edge: Array, work: Array
) -> tuple[float, int]:
    steepest, kind = 0.0, _PIT
    known = _place(ground, size, noise, key, node[0], node[1], work[0])
    for down in range(-1, 2):
        for right in range(-1, 2):
            if down == 0 and right == 0:
                continue
            known &= _place(ground, size, noise, key, node[0] + down, node[1] + right, work[1])
            slanted = down != 0 and right != 0
            first, second = node[0] + min(down, 0), node[1] + min(right, 0)
            if slanted and _falls_right(key, first, second) != (down == right):
                continue
            away = np.sqrt((work[1, 0] - work[0, 0]) ** 2 + (work[1, 1] - work[0, 1]) ** 2)
            steep = (work[0, 2] - work[1, 2]) / away
            if steep > steepest:
                steepest, kind = steep, _CORNER
                edge[0], edge[1] = node[0] + down, node[1] + right
    return steepest, (kind if known else _UNKNOWN)


@numba.njit(nogil=True, error_model="numpy")
def _third_corner(key: Any, edge: Array) -> tuple[int, int]:
    # The corner of the triangle on the other side of an edge (a, b) from the corner the path came from.
    a_row, a_column, b_row, b_column = edge[0], edge[1], edge[2], edge[3]
    if a_row != b_row and a_column != b_column:
        other = (a_row, b_column)
        return (b_row, a_column) if other[0] == edge[4] and other[1] == edge[5] else other
    if a_row == b_row:
        beyond = a_row + (1 if edge[4] < a_row else -1)
        first, second = min(a_row, beyond), min(a_column, b_column)
        left = min(b_column, a_column)
        right = a_column + b_column - left
        upper = a_row == first
        # The diagonal from the first corner to the one across leaves the triangle with the edge's other end.
        falls = _falls_right(key, first, second)
        return (beyond, right if falls == upper else left)
    beyond = a_column + (1 if edge[5] < a_column else -1)
    first, second = min(a_row, b_row), min(a_column, beyond)
    top = min(b_row, a_row)
    bottom = a_row + b_row - top
    falls = _falls_right(key, first, second)
    return (bottom if falls == (a_column == second) else top, beyond)


@numba.njit(nogil=True, error_model="numpy")
def _cross(
    ground: Array, size: Array, noise: float, key: Any, edge: Array, share: float, work: Array
) -> tuple[int, float]:
    # Where a path goes from a point of an edge: to the corner now in edge[0:2], or to a point of the edge now there.
    row, column = _third_corner(key, edge)
    known = _place(ground, size, noise, key, edge[0], edge[1], work[0])
    known &= _place(ground, size, noise, key, edge[2], edge[3], work[1])
    known &= _place(ground, size, noise, key, row, column, work[2])
    if not known:
        return _UNKNOWN, 0.0
    along, beside, _steep = _fall(work[0], work[1], work[2])
    if beside <= 0:
        if work[1, 2] < work[0, 2]:
            edge[0], edge[1] = edge[2], edge[3]
        return _CORNER, 0.0
    to_first = -share / along if along < 0 else np.inf
    to_second = (1 - share) / (along + beside) if along + beside > 0 else np.inf
    far = min(to_first, to_second) * beside
    if far > 1 - _NEAR:
        edge[0], edge[1] = row, column
        return _CORNER, 0.0
    if to_first <= to_second:
        edge[4], edge[5] = edge[2], edge[3]
    else:
        edge[4], edge[5] = edge[0], edge[1]
        edge[0], edge[1] = edge[2], edge[3]
    edge[2], edge[3] = row, column
    return (_CORNER, 0.0) if far < _NEAR else (_EDGE, far)


@numba.njit(nogil=True, error_model="numpy")
def _mark(counts: Array, seen: Array, path: int, frame: Array, ends: Array) -> None:
    # frame: x and y of the first pixel's outer corner, and a pixel's width and height, signed.
    way = np.sqrt((ends[2] - ends[0]) ** 2 + (ends[3] - ends[1]) ** 2)
    parts = int(way / (_SPLIT * min(abs(frame[2]), abs(frame[3])))) + 1
    for part in range(parts):
        share = (part + 0.5) / parts
        column = int(np.floor((ends[0] + share * (ends[2] - ends[0]) - frame[0]) / frame[2]))
        row = int(np.floor((ends[1] + share * (ends[3] - ends[1]) - frame[1]) / frame[3]))
        inside = 0 <= row < counts.shape[0] and 0 <= column < counts.shape[1]
        if inside and seen[row, column] != path + 1:
            seen[row, column] = path + 1
            counts[row, column] += 1


@numba.njit(nogil=True, error_model="numpy")
def _trace(
    path: int,
    ground: Array,
    size: Array,
    start: Array,
    numbers: Array,
    key: Any,
    marks: tuple[Array, Array, Array],
    line: Array,
) -> tuple[int, float, int]:
    # One path: how it ended, its length, and the number of its points.
    node, edge = start.copy(), np.empty(6, np.int64)
    work, segment = np.empty((3, 3)), np.empty(4)
    segment[2], segment[3] = node[1] * size[1], node[0] * size[0]
    line[0, 0], line[0, 1] = segment[2], segment[3]
    noise, kind, share, tries, length, points = numbers[1], _CORNER, 0.0, 0, 0.0, 1
    for _step in range(int(numbers[5])):
        if kind == _EDGE:
            kind, share = _cross(ground, size, noise, key, edge, share, work)
        else:
            kind, share = _leave_corner(ground, size, noise, key, node, edge, work)
        if kind == _UNKNOWN:
            return LEFT, length, points
        if kind == _PIT:
            tries += 1
            key = _mixed(key + np.uint64(1))
            if tries > numbers[2]:
                ground[node[0], node[1]] += numbers[3]
                tries = 0
            continue
        segment[0], segment[1], tries = segment[2], segment[3], 0
        if kind == _CORNER:
            node[0], node[1] = edge[0], edge[1]
            share = 0.0
        segment[2] = (edge[1] + share * (edge[3] - edge[1])) * size[1]
        segment[3] = (edge[0] + share * (edge[2] - edge[0])) * size[0]
        _mark(marks[0], marks[1], path, marks[2], segment)
        length += np.sqrt((segment[2] - segment[0]) ** 2 + (segment[3] - segment[1]) ** 2)
        if points < line.shape[0]:
            line[points, 0], line[points, 1] = segment[2], segment[3]
        points += 1
        if length >= numbers[4]:
            return ENDED, length, points
    return STOPPED, length, points


@compiled
def descend(
    ground: Array,
    size: Array,
    start: Array,
    numbers: Array,
    seed: int,
    marks: tuple[Array, Array, Array],
    ends: Array,
    line: Array,
) -> int:
    """Trace paths, count in how many of them each pixel lies, and give the number of points of the last one.

    Parameters
    ----------
    ground : numpy.ndarray
        Heights, float64, NaN where unknown. Its pits are raised.
    size, start : numpy.ndarray
        Height and width of a pixel in metres; row and column that paths start from.
    numbers : numpy.ndarray
        Paths, noise in metres, redraws of the noise before a pit is raised, metres it is raised by, longest length in
        metres, most steps.
    seed : int
        Of the noise.
    marks : tuple of numpy.ndarray
        Counts of paths by pixel, written; a place for the last path of each pixel, 0; and x and y of the first pixel's
        outer corner with its width and height, in metres from the ground's first centre.
    ends : numpy.ndarray
        (path, 2), written: how it ended, and its length in metres.
    line : numpy.ndarray
        (point, 2), written: x and y of the last path, as many points as fit, at least one.
    """
    points = 0
    for path in range(int(numbers[0])):
        key = _mixed(np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(path + 1))
        state, length, points = _trace(path, ground, size, start, numbers, key, marks, line)
        ends[path, 0], ends[path, 1] = state, length
    return points
