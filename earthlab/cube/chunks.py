"""Chunks solved from the workers' memory: time whole and space tiled, so that a composite is one pass."""

import math

from earthlab.errors import AskLess

TILE = 256
"""Tiles are multiples of this many pixels, the smallest usual block of a COG."""

_COPIES = 6
"""Blocks' worth of memory one task may take: its values, the windows being read, a mask, and what analysis adds."""

_BLOCK_LIMIT = 128 * 2**20


def plan_chunks(
    steps: int, rows: int, columns: int, *, bands: int, itemsize: int, memory: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The chunks along time, y and x, such that one task fits a thread of ``memory`` bytes.

    Parameters
    ----------
    steps, rows, columns : int
        Shape of the cube.
    bands, itemsize : int
        What one pixel of one date holds.
    memory : int
        Bytes one worker thread may use.

    Raises
    ------
    AskLess
        Where even one date of the smallest tile does not fit.
    """
    room = min(memory // _COPIES, _BLOCK_LIMIT)
    pixel = bands * itemsize
    tile_bytes = TILE * TILE * pixel
    if tile_bytes > room:
        raise AskLess(
            f"One tile of {TILE} × {TILE} pixels with {bands} bands takes {tile_bytes:,} bytes and a worker thread has "
            f"room for {room:,}. Ask for fewer bands, or raise EARTHLAB__COMPUTE__WORKER_MEMORY."
        )
    depth = min(steps, room // tile_bytes)
    side = max(math.isqrt(room // (pixel * depth)) // TILE, 1) * TILE
    return _split(steps, depth), _split(rows, side), _split(columns, side)


def _split(length: int, step: int) -> tuple[int, ...]:
    whole, rest = divmod(length, step)
    return (step,) * whole + ((rest,) if rest else ())
