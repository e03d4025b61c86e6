"""Writing a cube's overviews: of the shards that were just written, a task a square, before anybody sees the cube."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import dask.array as da
import numpy as np
import xarray as xr
import zarr

from earthlab.cube.description import PLAN_ATTRIBUTE, describe_cube
from earthlab.cube.plan import CubePlan, Encoding
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.coarsening import coarsen_mean, coarsen_sample
from earthlab.cube.shared.codecs import fast_zarr
from earthlab.cube.shared.conventions import multiscales_attributes
from earthlab.cube.shared.levels import (
    FOLDER,
    Block,
    Level,
    Square,
    is_sampled,
    kept_encodings,
    level_of,
    plan_levels,
    plan_of_level,
    plan_squares,
    whole_level,
)
from earthlab.cube.shared.reading import StoredBand
from earthlab.cube.shared.stores import open_store
from earthlab.cube.shared.tasks import run_tasks
from earthlab.cube.shared.writing import (
    OnBlock,
    Target,
    Written,
    hollow_bands,
    naming_refusals,
    put_shard,
    stored_type,
    while_building,
    write_frame,
)

_ROWS, _COLUMNS = 128, 1024
"""Pixels of the cube that are read at a time at least, and at most: whole chunks."""

LevelShard = tuple[int, str, Block]
"""Factor, band and place."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a task must know of the band it reads, beside the plan."""

    shards: Block
    encoding: Encoding | None
    empty: tuple[Block, ...]
    """Those of the shards that it may meet which hold no observation."""


def write_overviews(
    plan: CubePlan,
    target: Target,
    written: Written,
    *,
    on_square: OnBlock,
    lost: threading.Event,
    patience: float,
) -> tuple[LevelShard, ...]:
    """Write all levels of a cube whose shards are written; those of the levels' shards without any observation.

    Parameters
    ----------
    plan : CubePlan
        What the cube is.
    target, written
        Where it was written, and what came of it.
    on_square : callable
        Called with the squares done and the squares in all.
    lost : threading.Event
        Set when the builder is not to go on.
    patience : float
        Seconds to wait for a cluster that has no worker at all.

    Raises
    ------
    LeaseLost
        When ``lost`` is set.
    ComputeUnavailable
        Where the cluster that is at work dies.
    ReadFault
        Where a shard of the cube has gone.
    AskLess, SetupError
        Where the store is full or cannot be written.
    """
    squares = plan_squares(plan)
    if not squares:
        return ()
    encodings = dict(zip(plan.bands, kept_encodings(plan, written.encoded), strict=True))
    _write_frames(plan, target, encodings)
    unseen = _empty_by_band(plan, written)

    def source(square: Square) -> Source:
        name = plan.bands[square.band]
        return Source(written.shards, encodings[name], _near(unseen[name], written.shards, _reach(plan, square)))

    calls = ((target, source(square), square) for square in squares)
    empty: list[LevelShard] = []
    with closing(run_tasks(plan, write_square, calls, lost=lost, patience=patience)) as results:
        for done, found in enumerate(results, 1):
            empty.extend(found)
            on_square(done, len(squares))
    return tuple(sorted(empty))


def _empty_by_band(plan: CubePlan, written: Written) -> dict[str, Array]:
    """Which shards of each band hold no observation: bool, along time, y and x."""
    grid = whole_level(plan, written.shards).grid
    found = {name: np.zeros(grid, bool) for name in plan.bands}
    for name, place in written.empty:
        found[name][place] = True
    return found


def _near(empty: Array, shards: Block, reach: tuple[slice, slice, slice]) -> tuple[Block, ...]:
    """Those of the empty shards that lie in a part of the cube."""
    part = tuple(slice(r.start // side, -(-r.stop // side)) for r, side in zip(reach, shards, strict=True))
    places = np.argwhere(empty[part]) + [side.start for side in part]
    return tuple((int(time), int(y), int(x)) for time, y, x in places)


def _reach(plan: CubePlan, square: Square) -> tuple[slice, slice, slice]:
    """The pixels of the cube that a square stands for."""
    deep = level_of(plan, square.factors[0]).shards[0]
    sides, lengths = (deep, square.side, square.side), (len(plan.steps), *plan.shape)
    time, y, x = (
        slice(at * side, min((at + 1) * side, length))
        for at, side, length in zip(square.place, sides, lengths, strict=True)
    )
    return time, y, x


def describe_overview(plan: CubePlan, level: Level, arrays: Sequence[da.Array]) -> xr.Dataset:
    """The Dataset of a level, of arrays of its bands: as the cube's own, without its plan, which is of other pixels."""
    cube = describe_cube(plan_of_level(plan, level), arrays)
    for at, name in enumerate(plan.bands):
        # CF-1.11, section 7.3: what was done along which axes.
        cube[name].attrs["cell_methods"] = f"y: x: {'point' if is_sampled(plan, at) else 'mean'}"
    cube.attrs = {word: value for word, value in cube.attrs.items() if word not in {PLAN_ATTRIBUTE, "source"}}
    return cube.assign_attrs(earthlab_token=plan.token, earthlab_level=level.factor)


def _write_frames(plan: CubePlan, target: Target, encodings: Mapping[str, Encoding | None]) -> None:
    levels = [level_of(plan, factor) for factor in plan_levels(plan)]
    sampled = [is_sampled(plan, at) for at in range(len(plan.bands))]
    with naming_refusals(target.address), fast_zarr():
        store = open_store(target.address).open_zarr(target.prefix, read_only=False)
        root = zarr.open_group(store, mode="r+", use_consolidated=False)
        root.create_group(FOLDER)
        for level in levels:
            write_frame(describe_overview(plan, level, hollow_bands(plan, level)), target, level, encodings)
        root.update_attributes(multiscales_attributes(plan.geobox, levels, sampled=sampled))
        zarr.consolidate_metadata(store, zarr_format=3)


def write_square(plan: CubePlan, target: Target, source: Source, square: Square) -> tuple[LevelShard, ...]:
    """Make the shards that a square stands for of what is stored of the cube; gives those without any observation.

    A cluster may do this more than once, and after the builder has gone, as with a block.

    Raises
    ------
    LeaseLost
        Where the generation is not, or no longer, the one that is being built.
    ReadFault
        Where a shard of the cube is missing or damaged.
    """
    name = plan.bands[square.band]
    _, fill = stored_type(source.encoding)
    empty: list[LevelShard] = []
    made = _make_levels(plan, target, source, square)
    with while_building(plan, target):
        for factor, values in zip(square.factors, made, strict=True):
            if (np.isnan(values) if source.encoding is None else values == fill).all():
                empty.append((factor, name, square.place))
                continue
            level = level_of(plan, factor)
            begins = (at * side for at, side in zip(square.place, level.shards, strict=True))
            region = tuple(slice(at, at + length) for at, length in zip(begins, values.shape, strict=True))
            put_shard(target, level.path(name), region, values)
    return tuple(empty)


def _make_levels(plan: CubePlan, target: Target, source: Source, square: Square) -> list[Array]:
    band, (times, down, across) = _open_band(plan, target, source, square), _reach(plan, square)
    dtype, fill = stored_type(source.encoding)
    shape = (times.stop - times.start, down.stop - down.start, across.stop - across.start)
    made = [np.empty((shape[0], -(-shape[1] // f), -(-shape[2] // f)), dtype) for f in square.factors]
    step = max(_ROWS, square.factors[-1])
    for top in range(down.start, down.stop, step):
        for left in range(across.start, across.stop, _COLUMNS):
            rows = slice(top, min(top + step, down.stop))
            columns = slice(left, min(left + _COLUMNS, across.stop))
            stored = band.read_stored([times, rows, columns])
            parts = (
                coarsen_sample(stored, square.factors)
                if is_sampled(plan, square.band)
                else coarsen_mean(stored, fill, square.factors)
            )
            for factor, whole, part in zip(square.factors, made, parts, strict=True):
                at, beside = (top - down.start) // factor, (left - across.start) // factor
                whole[:, at : at + part.shape[1], beside : beside + part.shape[2]] = part
    return made


def _open_band(plan: CubePlan, target: Target, source: Source, square: Square) -> StoredBand:
    level = whole_level(plan, source.shards)
    empty: Array = np.zeros(level.grid, bool)
    for place in source.empty:
        empty[place] = True
    return StoredBand(target.address, target.prefix, plan.bands[square.band], plan.token, level, source.encoding, empty)
