"""The effective mesh size of 10,000² pixels, block by block, beside scipy's labels of the whole array."""

import math
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from _duel import Array, Duel, run
from scipy import ndimage

from earthlab.analysis.fragmentation import fragmentation_of_raster

TILE, GRAIN, NATURE, PIXEL = 1000, 8, 0.58, 10.0
"""Pixels a tile, pixels a side of what is alike, its share (near percolation: patches of all sizes), metres."""


def landscape(rows: int) -> xr.DataArray:
    """A square of as many pixels, made tile by tile in the tasks; patches cross the tiles."""
    side = math.isqrt(rows * 1000)
    whole, rest = divmod(side, TILE)
    cuts = (TILE,) * whole + ((rest,) if rest else ())
    tiles = da.map_blocks(_tile, chunks=(cuts, cuts), dtype="uint8", meta=np.empty((0, 0), "uint8"))
    places = PIXEL * np.arange(side)
    return xr.DataArray(tiles, dims=("y", "x"), coords={"y": -places, "x": places})


def _tile(block_info: Any = None) -> Array:
    (top, bottom), (left, right) = block_info[None]["array-location"]
    grains = [
        np.random.default_rng([7, row]).random(right // GRAIN + 1) < NATURE
        for row in range(top // GRAIN, bottom // GRAIN + 1)
    ]
    coarse = np.array(grains, "uint8")[:, left // GRAIN :].repeat(GRAIN, 0).repeat(GRAIN, 1)
    return coarse[top % GRAIN :, left % GRAIN :][: bottom - top, : right - left]


def ours(rows: int) -> Array:
    """By blocks."""
    found = fragmentation_of_raster(landscape(rows), connectivity=8, unit="km2").iloc[0]
    return np.array([found.patches, found.mesh_size, found.division], float)


def peer(rows: int) -> Array:
    """The array in memory, its labels, their sizes."""
    values = landscape(rows).values
    labels, count = ndimage.label(values, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:] * PIXEL**2 / 1e6
    total = values.size * PIXEL**2 / 1e6
    squares = float((areas**2).sum())
    return np.array([count, squares / total, 1 - squares / total**2])


if __name__ == "__main__":
    run(
        Duel(
            "mesh",
            1,
            ours,
            peer,
            "scipy.ndimage.label, whole",
            rows=(100_000, 4_000),
            peer_rows=(100_000, 4_000),
            tolerance=1e-6,
        )
    )
