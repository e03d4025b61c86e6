"""Patches of a raster of any size, block by block: each block is labelled alone, then only its borders are compared.

A block leaves a short account: sums over the patches that lie wholly within it, and one row for each patch that
touches its border. The borders tell which of these are one. No label of the whole raster is ever held; who wants the
labels asks `label_patches`, which runs over the blocks a second time.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.base import compute
from dask.delayed import delayed
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from earthlab.analysis.grids import flat
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.kernels.patches import label_block
from earthlab.errors import BadRequest

Connectivity = Literal[4, 8]
"""Neighbours of a pixel: 4 share an edge with it, 8 an edge or a corner (the rule of FRAGSTATS)."""

BLOCK = 1024
_SUMMED = ("patches", "cells", "squares", "products")
_OUTSIDE = -1
"""Group of the pixels that belong to no landscape: nodata, or outside every zone."""

Keying = Callable[..., tuple[Array, Array]]
"""From blocks of the rasters to keys (neighbours of one key are one patch, 0 is none) and groups (-1 is outside)."""


def tally_patches(
    keying: Keying, rasters: Sequence[xr.DataArray], *, connectivity: Connectivity = 8, block: int = BLOCK
) -> pd.DataFrame:
    """What the patches of a raster add up to in each group, in pixels, with the memory of a few blocks.

    Parameters
    ----------
    keying : callable
        From one block of each raster to ``(keys, groups)``, integers of the block's shape. A key says what grows
        together (0: nothing there), a group says what is counted together (-1: outside the landscape). It must be
        picklable.
    rasters : sequence of xarray.DataArray
        Axes y, x, of the same shape. Lazy ones are computed block by block on the scheduler at hand, others in threads.
    connectivity : {8, 4}
        Whether pixels that touch at a corner are one patch.
    block : int
        Pixels along a side of a block, for rasters that are not lazy.

    Returns
    -------
    pandas.DataFrame
        By ``group``: ``total``, pixels of the group; ``patches``, how many have a part in it; ``cells``, pixels of
        patches; ``squares``, the sum of squares of the parts; ``products``, the sum of each part times its whole patch;
        ``largest``, the largest part. All as float64, exact up to 2**53.
    """
    check_connectivity(connectivity)
    account = partial(_account, keying=keying, diagonal=connectivity == 8)
    blocks = _blocks(rasters, block)
    eager = all(raster.chunks is None for raster in rasters)
    tasks = [[delayed(account)(*parts) for parts in row] for row in blocks]
    rows: list[list[_Account]] = list(compute(*tasks, scheduler="threads" if eager else None))
    return _merge(rows, diagonal=connectivity == 8)


def label_patches(keys: xr.DataArray, *, connectivity: Connectivity = 8, block: int = BLOCK) -> xr.DataArray:
    """The number of each pixel's patch, from 1; 0 where the key is 0.

    Parameters
    ----------
    keys : xarray.DataArray
        Integers or booleans with axes y, x: neighbours with the same key are one patch.
    connectivity : {8, 4}
        Whether pixels that touch at a corner are one patch.
    block : int
        Pixels along a side of a block, for a raster that is not lazy.

    Returns
    -------
    xarray.DataArray
        int64, with the coordinates of ``keys``; lazy if it is. The first pass, over all blocks, is made at once and
        keeps one number a patch and block; the second is made when a block of labels is asked for. The numbers depend
        on the blocks; which pixels share one does not.

    Raises
    ------
    BadRequest
        For axes that are not two, values that are no integers, or a connectivity that is neither 4 nor 8.
    """
    check_connectivity(connectivity)
    keys = checked_raster(keys, "label_patches")
    if keys.dtype.kind not in "iub":
        raise BadRequest(f"label_patches: found {keys.dtype} values, expected integers or booleans.")
    diagonal = connectivity == 8
    blocks = _blocks([keys], block)
    tasks = [[delayed(_borders)(*parts, diagonal=diagonal) for parts in row] for row in blocks]
    rows = list(compute(*tasks, scheduler="threads" if keys.chunks is None else None))
    names = _names_of_patches(rows, diagonal=diagonal)
    lazy = keys.data if keys.chunks is not None else da.from_array(keys.values, chunks=block, name=False)
    meta = np.empty((0, 0), np.int64)
    labels = da.map_blocks(_relabel, lazy, names=names, diagonal=diagonal, dtype=meta.dtype, meta=meta)
    found = keys.copy(data=labels if keys.chunks is not None else labels.compute(scheduler="threads"))
    return found.rename("patch").assign_attrs(long_name="tache / patch", units="1")


def check_connectivity(connectivity: object) -> None:
    """Nothing, for 4 and 8.

    Raises
    ------
    BadRequest
        For anything else.
    """
    if connectivity not in get_args(Connectivity):
        raise BadRequest(f"connectivity is {connectivity!r}, expected 8 (edges and corners) or 4 (edges only).")


def checked_raster(raster: object, verb: str) -> xr.DataArray:
    """The raster with axes rows, columns, without leading axes of one, such as the band of a file.

    Raises
    ------
    BadRequest
        For what is no array, has more axes, or no pixels.
    """
    if not isinstance(raster, xr.DataArray):
        names = list(getattr(raster, "data_vars", ()))
        choose = f" Choose one: cube[{str(names[0])!r}]." if names else ""
        raise BadRequest(f"{verb}: expected a DataArray with axes y, x, found {type(raster).__name__}.{choose}")
    found = flat(raster)
    if found.ndim != 2 or found.size == 0:
        axes = ", ".join(f"{name} ({size})" for name, size in found.sizes.items()) or "none"
        raise BadRequest(f"{verb}: expected a raster with axes y, x, found {axes}. Choose one date: .isel(time=0).")
    return found


class _Borders(NamedTuple):
    """Patches and keys along the four sides of a block; patches numbered from 1 among the ``open`` ones, 0 is none."""

    open: int
    top: tuple[Array, Array]
    bottom: tuple[Array, Array]
    left: tuple[Array, Array]
    right: tuple[Array, Array]


class _Parts(NamedTuple):
    """How many pixels a patch and a group share: one entry a pair of them."""

    patch: Array
    group: Array
    cells: Array


class _Sums(NamedTuple):
    """Sums by group; the columns of ``values`` are those of `_SUMMED`, then the largest part."""

    group: Array
    values: Array


class _Account(NamedTuple):
    borders: _Borders
    totals: tuple[Array, Array]
    closed: _Sums
    open: _Parts


def _blocks(rasters: Sequence[xr.DataArray], side: int) -> list[list[tuple[Any, ...]]]:
    first = next((raster for raster in rasters if raster.chunks is not None), None)
    if first is None:
        height, width = rasters[0].shape
        return [
            [
                tuple(raster.values[top : top + side, left : left + side] for raster in rasters)
                for left in range(0, width, side)
            ]
            for top in range(0, height, side)
        ]
    chunks = dict(zip(first.dims, first.chunks or (), strict=True))
    parts = [raster.chunk(chunks).data.to_delayed() for raster in rasters]
    rows, columns = parts[0].shape
    return [[tuple(part[row, column] for part in parts) for column in range(columns)] for row in range(rows)]


def _account(*blocks: Array, keying: Keying, diagonal: bool) -> _Account:
    keys, groups = keying(*blocks)
    labels, count = _label(keys, diagonal=diagonal)
    is_closed = _closed(labels, count)
    parts = _parts_of(labels, groups, count)
    inside = is_closed[parts.patch]
    closed, opened = (_Parts(*(column[chosen] for column in parts)) for chosen in (inside, ~inside))
    renamed = opened._replace(patch=_compact(is_closed)[opened.patch])
    return _Account(_sides(labels, keys, is_closed), _cells_of_groups(groups), _sum_up(closed), renamed)


def _label(keys: Array, *, diagonal: bool) -> tuple[Array, int]:
    labels = np.empty(keys.shape, np.int32)
    # Of two types at most, so that the scan is compiled for these; and in this machine's order of bytes.
    plain = np.ascontiguousarray(keys, np.uint8 if keys.dtype.kind == "b" else np.int64)
    return labels, label_block(plain, labels, diagonal)


def _closed(labels: Array, count: int) -> Array:
    closed = np.ones(count + 1, bool)
    for side in _four_sides(labels):
        closed[side] = False
    closed[0] = True
    return closed


def _compact(closed: Array) -> Array:
    return np.where(closed, 0, np.cumsum(~closed))


def _sides(labels: Array, keys: Array, closed: Array) -> _Borders:
    names = _compact(closed)
    lines = zip(_four_sides(labels), _four_sides(keys), strict=True)
    return _Borders(int((~closed).sum()), *((names[label], key.astype(np.int64)) for label, key in lines))


def _four_sides(block: Array) -> tuple[Array, ...]:
    return block[0], block[-1], block[:, 0], block[:, -1]


def _parts_of(labels: Array, groups: Array, count: int) -> _Parts:
    lowest = int(groups.min())
    span = int(groups.max()) - lowest + 1
    codes = labels.ravel().astype(np.int64) * span + (groups.ravel() - lowest)
    found, cells = _count(codes, (count + 1) * span)
    there = found >= span  # label 0 is no patch
    return _Parts(found[there] // span, found[there] % span + lowest, cells[there])


def _cells_of_groups(groups: Array) -> tuple[Array, Array]:
    lowest = int(groups.min())
    found, cells = _count(groups.ravel().astype(np.int64) - lowest, int(groups.max()) - lowest + 1)
    inside = found + lowest != _OUTSIDE
    return found[inside] + lowest, cells[inside]


def _count(codes: Array, codes_there_are: int) -> tuple[Array, Array]:
    if codes_there_are > 4 * codes.size:
        found, cells = np.unique(codes, return_counts=True)
    else:
        table = np.bincount(codes)
        found = np.flatnonzero(table)
        cells = table[found]
    return found, cells.astype(float)


def _sum_up(parts: _Parts) -> _Sums:
    whole = np.bincount(parts.patch, parts.cells)[parts.patch] if parts.patch.size else parts.cells
    inside = parts.group != _OUTSIDE
    group, place = np.unique(parts.group[inside], return_inverse=True)
    cells = parts.cells[inside]
    added = (np.ones_like(cells), cells, cells**2, cells * whole[inside])
    largest = np.zeros(group.size)
    np.maximum.at(largest, place, cells)
    sums = [np.bincount(place, each, minlength=group.size) for each in added]
    return _Sums(group, np.stack([*sums, largest], axis=1))


def _merge(rows: list[list[_Account]], *, diagonal: bool) -> pd.DataFrame:
    accounts = [account for row in rows for account in row]
    names = _names_of_patches([[account.borders for account in row] for row in rows], diagonal=diagonal)
    opened = [
        account.open._replace(patch=name[account.open.patch]) for account, name in zip(accounts, names, strict=True)
    ]
    sums = [*(account.closed for account in accounts), _sum_up(_joined(opened))]
    table = pd.DataFrame(
        np.concatenate([each.values for each in sums]),
        pd.Index(np.concatenate([each.group for each in sums]), name="group"),
        [*_SUMMED, "largest"],
    )
    by_group = table.groupby(level="group")
    groups, cells = (np.concatenate(columns) for columns in zip(*(a.totals for a in accounts), strict=True))
    totals = pd.Series(cells, pd.Index(groups, name="group"), name="total").groupby(level="group").sum()
    return totals.to_frame().join(by_group.sum().assign(largest=by_group["largest"].max())).fillna(0.0)


def _joined(opened: Sequence[_Parts]) -> _Parts:
    """The parts of one patch in several blocks as one."""
    patch, group, cells = (np.concatenate(columns) for columns in zip(*opened, strict=True))
    pairs, place = np.unique(np.stack([patch, group]), axis=1, return_inverse=True)
    return _Parts(pairs[0], pairs[1], np.bincount(place.ravel(), cells, minlength=pairs.shape[1]))


def _names_of_patches(rows: list[list[_Borders]], *, diagonal: bool) -> list[Array]:
    """For each block, row by row, the name in the whole raster of its patches that touch a border; the first is 0."""
    flat = [borders for row in rows for borders in row]
    starts = np.concatenate([[0], np.cumsum([borders.open for borders in flat])])
    pairs = list(_neighbours(rows, starts, diagonal=diagonal))
    one, other = np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), np.int64)
    total = int(starts[-1])
    graph = coo_array((np.ones(one.size, bool), (one - 1, other - 1)), shape=(total, total))
    _, component = connected_components(graph, directed=False)
    return [np.concatenate([[0], component[start:stop] + 1]) for start, stop in pairwise(starts)]


def _neighbours(rows: list[list[_Borders]], starts: Array, *, diagonal: bool) -> Iterator[Array]:
    width = len(rows[0])
    for at in range(len(rows) - 1):
        above = _line([b.bottom for b in rows[at]], starts[at * width :])
        below = _line([b.top for b in rows[at + 1]], starts[(at + 1) * width :])
        yield from _touching(above, below, diagonal=diagonal)
    for at in range(width - 1):
        left = _line([row[at].right for row in rows], starts[at::width])
        right = _line([row[at + 1].left for row in rows], starts[at + 1 :: width])
        yield from _touching(left, right, diagonal=diagonal)


def _line(sides: Sequence[tuple[Array, Array]], starts: Array) -> tuple[Array, Array]:
    shifted = [np.where(names > 0, names + start, 0) for (names, _), start in zip(sides, starts, strict=False)]
    return np.concatenate(shifted), np.concatenate([keys for _, keys in sides])


def _touching(one: tuple[Array, Array], other: tuple[Array, Array], *, diagonal: bool) -> Iterator[Array]:
    size = one[0].size
    for shift in (0, 1, -1) if diagonal else (0,):
        here, there = slice(max(0, -shift), size - max(0, shift)), slice(max(0, shift), size - max(0, -shift))
        same = (one[1][here] == other[1][there]) & (one[1][here] != 0)
        yield np.stack([one[0][here][same], other[0][there][same]])


def _borders(keys: Array, *, diagonal: bool) -> _Borders:
    labels, count = _label(keys, diagonal=diagonal)
    return _sides(labels, keys, np.arange(count + 1) == 0)


def _relabel(keys: Array, *, names: list[Array], diagonal: bool, block_info: Any = None) -> Array:
    labels, _ = _label(keys, diagonal=diagonal)
    row, column = block_info[0]["chunk-location"]
    place = row * block_info[0]["num-chunks"][1] + column
    return np.asarray(names[place][labels], np.int64)
