"""Writing one generation of a cube: a Zarr group with all its metadata, then its shards, a task a block."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from obstore.exceptions import BaseError as ObjectStoreError

from earthlab.cube.blocks import read_block
from earthlab.cube.description import describe_cube
from earthlab.cube.faults import Fault, collect_faults
from earthlab.cube.plan import CubePlan, Encoding
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.codecs import fast_zarr, regular_chunks, shard_shape, storage, whole_shards
from earthlab.cube.shared.conventions import geozarr_attributes
from earthlab.cube.shared.encoding import encode
from earthlab.cube.shared.lease import LeaseLost, read_head
from earthlab.cube.shared.levels import Level, whole_level
from earthlab.cube.shared.stores import FULL, StoreAddress, open_store
from earthlab.cube.shared.tasks import run_tasks
from earthlab.errors import AskLess, EarthlabError, SetupError

OnBlock = Callable[[int, int], None]
Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """Where tasks write, on whichever worker: an address and a generation, no key and no connection."""

    address: StoreAddress
    head: str
    """The key that says who builds what."""
    generation: str

    @property
    def prefix(self) -> str:
        """Where the generation is, ending with a slash."""
        return f"{self.head.rpartition('/')[0]}/{self.generation}/"


@dataclass(frozen=True, slots=True)
class Written:
    """What came of writing a generation."""

    shards: tuple[int, int, int]
    """Pixels of a shard along time, y and x."""
    encoded: tuple[bool, ...]
    """Which bands were written as integers."""
    empty: tuple[tuple[str, Block], ...]
    """Band and place of each shard without any observation, which was not written."""
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class WrittenBlock:
    """What came of writing the shards of one block."""

    empty: tuple[tuple[str, Block], ...]
    faults: tuple[Fault, ...]


class _Inexact(Exception):
    """A band's values are not those of its integers."""

    def __init__(self, band: int) -> None:
        super().__init__(band)
        self.band = band


def write_cube(
    plan: CubePlan,
    begin: Callable[[], Target],
    *,
    on_block: OnBlock,
    lost: threading.Event,
    patience: float,
) -> Written:
    """Write all of a cube, on the current dask client or else on threads of this process.

    Bands of which the plan knows integers are written as those, unless a value turns out not to be one of theirs.

    Parameters
    ----------
    plan : CubePlan
        What the cube is; its chunks are made regular.
    begin : callable
        Gives a generation under the builder's lease that nothing was written to; called once an attempt, because tasks
        of an attempt before may still be at work on a cluster.
    on_block : callable
        Called with the blocks done and the blocks in all.
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
    AskLess, SetupError
        Where the store is full or cannot be written.
    """
    shards = shard_shape(plan)
    regular = replace(plan, chunks=regular_chunks((len(plan.steps), *plan.shape), shards))
    level = whole_level(plan, shards)
    frame = describe_cube(regular, hollow_bands(plan, level))
    encodings = plan.encodings or (None,) * len(plan.bands)
    while True:
        target = begin()
        write_frame(frame, target, level, dict(zip(plan.bands, encodings, strict=True)))
        try:
            blocks = _write_blocks(regular, target, encodings, on_block, lost, patience)
        except _Inexact as exc:
            encodings = tuple(None if at == exc.band else encoding for at, encoding in enumerate(encodings))
        else:
            empty = sorted(shard for block in blocks for shard in block.empty)
            faults = sorted((fault for block in blocks for fault in block.faults), key=lambda fault: fault.place)
            encoded = tuple(encoding is not None for encoding in encodings)
            return Written(shards, encoded, tuple(empty), tuple(faults))


def hollow_bands(plan: CubePlan, level: Level) -> list[da.Array]:
    """Arrays of the form of a level's bands, of which nothing is ever read."""
    return [da.zeros(level.shape, chunks=level.shards, dtype="float32")] * len(plan.bands)


def write_frame(cube: xr.Dataset, target: Target, level: Level, encodings: Mapping[str, Encoding | None]) -> None:
    """Write the group of one level: coordinates, attributes and the metadata of all bands, without their values.

    Parameters
    ----------
    cube : xarray.Dataset
        What the group says of itself, with `hollow_bands`.
    target, level
        Where, and how it is stored.
    encodings : mapping of str to Encoding
        How each band is stored as integers; ``None`` for float32.

    Raises
    ------
    AskLess, SetupError
        Where the store is full or cannot be written.
    """
    placed = cube.assign_attrs(geozarr_attributes(cube.odc.geobox))
    for name, encoding in encodings.items():
        placed[name].encoding = _encoding(level, encoding)
    placed["time"].encoding = {"units": "microseconds since 1970-01-01", "dtype": "int64"}
    words: dict[str, Any] = {"zarr_format": 3, "compute": False, "consolidated": True, "safe_chunks": False}
    with naming_refusals(target.address), fast_zarr():
        store = open_store(target.address).open_zarr(target.prefix, read_only=False)
        placed.to_zarr(store, mode="w", group=level.group or None, **words)


def stored_type(encoding: Encoding | None) -> tuple[np.dtype[Any], Any]:
    """The type in which a band is stored, and the value for nodata."""
    dtype = np.dtype(encoding.dtype if encoding else "float32")
    return dtype, dtype.type(encoding.fill if encoding else np.nan)


def _encoding(level: Level, encoding: Encoding | None) -> dict[str, Any]:
    dtype, fill = stored_type(encoding)
    kept = storage(level.shards, level.chunks, dtype.itemsize)
    scaling = {"scale_factor": encoding.scale, "add_offset": encoding.offset} if encoding else {}
    # CF's _FillValue is an attribute alone; what a shard that is not there holds is zarr's fill_value, by default 0
    return {"dtype": dtype, "_FillValue": fill, "fill_value": fill, **scaling, **kept}


def _write_blocks(
    plan: CubePlan,
    target: Target,
    encodings: tuple[Encoding | None, ...],
    on_block: OnBlock,
    lost: threading.Event,
    patience: float,
) -> list[WrittenBlock]:
    blocks = list(product(*(range(len(sizes)) for sizes in plan.chunks)))
    calls = ((target, encodings, block) for block in blocks)
    written: list[WrittenBlock] = []
    on_block(0, len(blocks))
    with closing(run_tasks(plan, write_block, calls, lost=lost, patience=patience)) as results:
        for found in results:
            written.append(found)
            on_block(len(written), len(blocks))
    return written


def write_block(plan: CubePlan, target: Target, encodings: tuple[Encoding | None, ...], block: Block) -> WrittenBlock:
    """Read all the bands of one block, write its shards, and give the reads that failed.

    A cluster may do this more than once, and after the builder has gone: what nobody builds any more is not written to,
    and what was given up meanwhile is removed, for nobody else would.

    Raises
    ------
    LeaseLost
        Where the generation is not, or no longer, the one that is being built.
    """
    with collect_faults() as faults:
        values = read_block(plan, range(len(plan.bands)), block, in_turn=True)
    empty = []
    with while_building(plan, target):
        for at, (name, encoding) in enumerate(zip(plan.bands, encodings, strict=True)):
            if np.isnan(values[at]).all():
                empty.append((name, block))
                continue
            stored = values[at] if encoding is None else encode(values[at], encoding)
            if stored is None:
                raise _Inexact(at)
            put_shard(target, name, plan.spans(block), stored)
    return WrittenBlock(tuple(empty), tuple(faults))


@contextmanager
def while_building(plan: CubePlan, target: Target) -> Iterator[None]:
    """Write for a builder that holds its lease, and for no other: what was given up meanwhile is removed.

    Raises
    ------
    LeaseLost
        Where the generation is not, or no longer, the one that is being built.
    """
    store = open_store(target.address)
    if not read_head(store, target.head).is_building(target.generation):
        raise _given_up(plan)
    yield
    head = read_head(store, target.head)
    if not (head.is_building(target.generation) or head.current == target.generation):
        store.delete(target.prefix)
        raise _given_up(plan)


def put_shard(target: Target, path: str, region: tuple[slice, ...], stored: Array) -> None:
    """Write one shard of the array at a path below the generation.

    Raises
    ------
    AskLess, SetupError
        Where the store is full or cannot be written.
    """
    with naming_refusals(target.address):
        _write_shard(_array(target, path, os.getpid()), region, stored)


def _given_up(plan: CubePlan) -> LeaseLost:
    return LeaseLost(f"The build of cube {plan.token} was given up or taken over by another builder.")


@lru_cache(maxsize=64)
def _array(target: Target, path: str, _process: int) -> zarr.Array[Any]:
    store = open_store(target.address).open_zarr(target.prefix, read_only=False)
    with fast_zarr():
        return whole_shards(zarr.open_array(store, path=path, mode="r+"))


def _write_shard(array: zarr.Array[Any], region: tuple[slice, ...], values: Array) -> None:
    """A shard to its very end, beyond the cube's edge: of a part zarr would first read what a killed worker left."""
    assert array.shards is not None
    whole = tuple(slice(part.start, part.start + side) for part, side in zip(region, array.shards, strict=True))
    beyond = [(0, full.stop - part.stop) for full, part in zip(whole, region, strict=True)]
    array[whole] = np.pad(values, beyond, constant_values=array.fill_value) if np.any(beyond) else values


@contextmanager
def naming_refusals(address: StoreAddress) -> Iterator[None]:
    """What zarr, its rust pipeline and object stores raise, in the lab's words.

    Raises
    ------
    AskLess, SetupError
        Where the store is full or cannot be written.
    """
    try:
        yield
    except EarthlabError:
        raise
    except (OSError, RuntimeError, ValueError, ObjectStoreError) as exc:
        words = str(exc)
        full = (isinstance(exc, OSError) and exc.errno in FULL) or any(os.strerror(e) in words for e in FULL)
        if full:
            raise AskLess(
                "The store of shared cubes is full. Evict cubes (earthlab cubes evict --to SIZE), or ask for less."
            ) from exc
        if refusal := open_store(address).explain(exc, "changed"):
            raise refusal from exc
        reason = (exc.strerror if isinstance(exc, OSError) else None) or f"{type(exc).__name__}: {words[:160]}"
        raise SetupError(
            f"The store of shared cubes cannot be written: {reason}. Mend it, or name another by cubes.store."
        ) from exc
