"""Chunks solved from the workers' memory: time whole and space tiled, or one date a block."""

import math
from collections.abc import Mapping

import numpy as np

from earthlab.errors import AskLess, BadRequest, did_you_mean

TILE = 256
"""Tiles are multiples of this many pixels, the smallest usual block of a COG."""

USUAL_BLOCK = 512
"""The usual block of a COG: tiles at least as large are multiples of it, so that no block is decoded twice."""

COPIES = 6
"""Blocks' worth of memory one task may take: its values, the windows being read, a mask, and what analysis adds."""

_BLOCK_LIMIT = 128 * 2**20

_WARPED_LIMIT = 2 * _BLOCK_LIMIT
"""Where sources lie on another lattice a tile's edge cuts their blocks, which are then decoded for both sides: larger
tiles have less edge."""

Chunks = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def plan_chunks(
    steps: int,
    rows: int,
    columns: int,
    *,
    bands: int,
    itemsize: int,
    memory: int,
    layout: str | Mapping[str, int] = "series",
    warped: bool = False,
) -> Chunks:
    """The chunks along time, y and x, such that one task fits a thread of ``memory`` bytes.

    Parameters
    ----------
    steps, rows, columns : int
        Shape of the cube.
    bands, itemsize : int
        What one pixel of one date holds.
    memory : int
        Bytes one worker thread may use.
    layout : {"series", "map"} or mapping
        Time whole where it fits; one date a block; or pixels along ``time``, ``y`` and ``x``.
    warped : bool
        Whether the sources lie on another lattice than the grid.

    Raises
    ------
    BadRequest
        For another layout.
    AskLess
        Where even one date of the smallest tile does not fit, or the chunks asked for do not.
    """
    if isinstance(layout, Mapping):
        return _as_asked(layout, (steps, rows, columns), bands * itemsize, memory)
    if layout not in {"series", "map"}:
        raise BadRequest(f"chunks: found {layout!r}. {did_you_mean(layout, ['series', 'map'])} Or a mapping.")
    room = min(memory // COPIES, _WARPED_LIMIT if warped else _BLOCK_LIMIT)
    pixel = bands * itemsize
    tile_bytes = TILE * TILE * pixel
    if tile_bytes > room:
        raise AskLess(
            f"One tile of {TILE} × {TILE} pixels with {bands} bands takes {tile_bytes:,} bytes and a worker thread has "
            f"room for {room:,}. Ask for fewer bands, or raise EARTHLAB__COMPUTE__WORKER_MEMORY."
        )
    depth = min(steps, room // tile_bytes) if layout == "series" else 1
    side = _side(math.isqrt(room // (pixel * depth)))
    return _split(steps, depth), _split(rows, side), _split(columns, side)


def _side(pixels: int) -> int:
    block = USUAL_BLOCK if pixels >= USUAL_BLOCK else TILE
    return max(pixels // block, 1) * block


def _as_asked(layout: Mapping[str, int], shape: tuple[int, int, int], pixel: int, memory: int) -> Chunks:
    axes = ("time", "y", "x")
    for name, size in layout.items():
        if name not in axes:
            raise BadRequest(f"chunks: {name!r} is not an axis of the cube. {did_you_mean(name, axes)}")
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or (size < 1 and size != -1):
            raise BadRequest(f"chunks: {name} is {size!r}, expected a whole number of pixels, or -1 for all.")
    time, y, x = (
        min(length, int(wanted)) if (wanted := layout.get(name, -1)) > 0 else length
        for name, length in zip(axes, shape, strict=True)
    )
    if time * y * x * pixel * COPIES > memory:
        raise AskLess(
            f"chunks: blocks of {time} × {y} × {x} take {time * y * x * pixel:,} bytes each and a worker thread has "
            f"room for {memory // COPIES:,}. Make them smaller, or leave chunks= out."
        )
    return _split(shape[0], time), _split(shape[1], y), _split(shape[2], x)


def _split(length: int, step: int) -> tuple[int, ...]:
    whole, rest = divmod(length, step)
    return (step,) * whole + ((rest,) if rest else ())
