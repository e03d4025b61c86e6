"""Writing one generation of a cube: a Zarr group with all its metadata, then its shards, a task a block."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
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
    encodings = plan.encodings or (None,) * len(plan.bands)
    while True:
        target = begin()
        with _naming_refusals():
            _write_frame(regular, target, shards, encodings)
        try:
            blocks = _write_blocks(regular, target, encodings, on_block, lost, patience)
        except _Inexact as exc:
            encodings = tuple(None if at == exc.band else encoding for at, encoding in enumerate(encodings))
        else:
            empty = sorted(shard for block in blocks for shard in block.empty)
            faults = sorted((fault for block in blocks for fault in block.faults), key=lambda fault: fault.place)
            encoded = tuple(encoding is not None for encoding in encodings)
            return Written(shards, encoded, tuple(empty), tuple(faults))


def _write_frame(
    plan: CubePlan,
    target: Target,
    shards: tuple[int, int, int],
    encodings: tuple[Encoding | None, ...],
) -> None:
    hollow = da.zeros((len(plan.steps), *plan.shape), chunks=shards, dtype="float32")
    cube = describe_cube(plan, [hollow] * len(plan.bands)).assign_attrs(geozarr_attributes(plan.geobox))
    for name, encoding in zip(plan.bands, encodings, strict=True):
        cube[name].encoding = _encoding(shards, encoding)
    cube["time"].encoding = {"units": "microseconds since 1970-01-01", "dtype": "int64"}
    store = open_store(target.address).open_zarr(target.prefix, read_only=False)
    with fast_zarr():
        cube.to_zarr(store, mode="w", zarr_format=3, compute=False, consolidated=True, safe_chunks=False)


def _encoding(shards: tuple[int, int, int], encoding: Encoding | None) -> dict[str, Any]:
    dtype = np.dtype(encoding.dtype if encoding else "float32")
    fill = dtype.type(encoding.fill if encoding else np.nan)
    scaling = {"scale_factor": encoding.scale, "add_offset": encoding.offset} if encoding else {}
    # CF's _FillValue is an attribute alone; what a shard that is not there holds is zarr's fill_value, by default 0
    return {"dtype": dtype, "_FillValue": fill, "fill_value": fill, **scaling, **storage(shards, dtype.itemsize)}


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
    store = open_store(target.address)
    if not read_head(store, target.head).is_building(target.generation):
        raise _given_up(plan)
    region = plan.spans(block)
    empty = []
    for at, (name, encoding) in enumerate(zip(plan.bands, encodings, strict=True)):
        if np.isnan(values[at]).all():
            empty.append((name, block))
            continue
        stored = values[at] if encoding is None else encode(values[at], encoding)
        if stored is None:
            raise _Inexact(at)
        with _naming_refusals():
            _write_shard(_array(target, name, os.getpid()), region, stored)
    head = read_head(store, target.head)
    if not (head.is_building(target.generation) or head.current == target.generation):
        store.delete(target.prefix)
        raise _given_up(plan)
    return WrittenBlock(tuple(empty), tuple(faults))


def _given_up(plan: CubePlan) -> LeaseLost:
    return LeaseLost(f"The build of cube {plan.token} was given up or taken over by another builder.")


@lru_cache(maxsize=64)
def _array(target: Target, name: str, _process: int) -> zarr.Array[Any]:
    store = open_store(target.address).open_zarr(target.prefix, read_only=False)
    with fast_zarr():
        return whole_shards(zarr.open_array(store, path=name, mode="r+"))


def _write_shard(array: zarr.Array[Any], region: tuple[slice, ...], values: Array) -> None:
    """A shard to its very end, beyond the cube's edge: of a part zarr would first read what a killed worker left."""
    assert array.shards is not None
    whole = tuple(slice(part.start, part.start + side) for part, side in zip(region, array.shards, strict=True))
    beyond = [(0, full.stop - part.stop) for full, part in zip(whole, region, strict=True)]
    array[whole] = np.pad(values, beyond, constant_values=array.fill_value) if np.any(beyond) else values


@contextmanager
def _naming_refusals() -> Iterator[None]:
    """What zarr, its rust pipeline and object stores raise, in the lab's words."""
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
        reason = (exc.strerror if isinstance(exc, OSError) else None) or f"{type(exc).__name__}: {words[:160]}"
        raise SetupError(
            f"The store of shared cubes cannot be written: {reason}. Mend it, or name another by cubes.store."
        ) from exc
