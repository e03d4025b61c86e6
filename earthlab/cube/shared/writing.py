"""Writing one generation of a cube: a Zarr group with all its metadata, then its shards, a task a block."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from obstore.exceptions import BaseError as ObjectStoreError

from earthlab.cube.blocks import read_block
from earthlab.cube.description import describe_cube
from earthlab.cube.faults import Fault, collect_faults
from earthlab.cube.plan import CubePlan, Encoding
from earthlab.cube.shared.codecs import fast_zarr, regular_chunks, shard_shape, storage
from earthlab.cube.shared.conventions import geozarr_attributes
from earthlab.cube.shared.encoding import encode
from earthlab.cube.shared.stores import FULL, StoreAddress, open_store
from earthlab.errors import AskLess, EarthlabError, SetupError

OnBlock = Callable[[int, int], None]
Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """Where tasks write, on whichever worker: an address and a prefix, no key and no connection."""

    address: StoreAddress
    prefix: str


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


class LeaseLost(EarthlabError):
    """Another builder has taken over."""


class _Inexact(Exception):
    """A band's values are not those of its integers."""

    def __init__(self, band: int) -> None:
        super().__init__(band)
        self.band = band


def write_cube(plan: CubePlan, target: Target, *, on_block: OnBlock, lost: threading.Event) -> Written:
    """Write all of a cube, on the current dask client or else on threads of this process.

    Bands of which the plan knows integers are written as those, unless a value turns out not to be one of theirs.

    Parameters
    ----------
    plan : CubePlan
        What the cube is; its chunks are made regular.
    target : Target
        An empty prefix.
    on_block : callable
        Called with the blocks done and the blocks in all.
    lost : threading.Event
        Set when the builder is not to go on.

    Raises
    ------
    LeaseLost
        When ``lost`` is set.
    AskLess, SetupError
        Where the store is full or cannot be written.
    """
    shards = shard_shape(plan)
    regular = replace(plan, chunks=regular_chunks((len(plan.steps), *plan.shape), shards))
    encodings = plan.encodings or (None,) * len(plan.bands)
    while True:
        with _naming_refusals():
            _write_frame(regular, target, shards, encodings)
        try:
            blocks = _write_blocks(regular, target, encodings, on_block, lost)
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
    if encoding is None:
        return {"dtype": "float32", "_FillValue": np.float32(np.nan), **storage(shards, 4)}
    dtype = np.dtype(encoding.dtype)
    return {
        "dtype": dtype,
        "scale_factor": encoding.scale,
        "add_offset": encoding.offset,
        "_FillValue": dtype.type(encoding.fill),
        **storage(shards, dtype.itemsize),
    }


def _write_blocks(
    plan: CubePlan,
    target: Target,
    encodings: tuple[Encoding | None, ...],
    on_block: OnBlock,
    lost: threading.Event,
) -> list[WrittenBlock]:
    times, rows, columns = (range(len(sizes)) for sizes in plan.chunks)
    blocks = list(product(times, rows, columns))
    written: list[WrittenBlock] = []
    on_block(0, len(blocks))
    for done, found in enumerate(_run(plan, target, encodings, blocks), 1):
        if lost.is_set():
            raise LeaseLost(f"The build of cube {plan.token} was taken over by another builder.")
        written.append(found)
        on_block(done, len(blocks))
    return written


def _run(
    plan: CubePlan, target: Target, encodings: tuple[Encoding | None, ...], blocks: list[Block]
) -> Iterator[WrittenBlock]:
    """The results as they come; what has not begun is called off when the caller stops asking."""
    with _executor(plan) as (executor, shared):
        futures: list[Future[WrittenBlock]] = [
            executor.submit(write_block, shared, target, encodings, block) for block in blocks
        ]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


@contextmanager
def _executor(plan: CubePlan) -> Iterator[tuple[Executor, Any]]:
    """What runs tasks, and the plan as those take it: on a cluster it travels once, and not with each task."""
    client = _client()
    if client is not None:
        yield client.get_executor(pure=False), client.submit(CubePlan.from_json, plan.to_json(), pure=False)
        return
    threads = 1 if dask.config.get("scheduler", None) in {"sync", "synchronous", "single-threaded"} else None
    workers = threads or dask.config.get("num_workers", None) or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers, thread_name_prefix="earthlab-build") as executor:
        yield executor, plan


def _client() -> Any:
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        client = distributed.default_client()
    except ValueError:
        return None
    return None if client.asynchronous else client


def write_block(plan: CubePlan, target: Target, encodings: tuple[Encoding | None, ...], block: Block) -> WrittenBlock:
    """Read all the bands of one block, write its shards, and give the reads that failed."""
    with collect_faults() as faults:
        values = read_block(plan, range(len(plan.bands)), block, in_turn=True)
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
            _array(target, name, os.getpid())[region] = stored
    return WrittenBlock(tuple(empty), tuple(faults))


@lru_cache(maxsize=64)
def _array(target: Target, name: str, _process: int) -> zarr.Array[Any]:
    store = open_store(target.address).open_zarr(target.prefix, read_only=False)
    with fast_zarr():
        return zarr.open_array(store, path=name, mode="r+")


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
