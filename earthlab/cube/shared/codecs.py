"""Zarr arrays as shared cubes have them: compressed chunks that a checksum guards, gathered in shards.

The rust codec pipeline reads and writes them; the zarr of the user's own code keeps its own.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zarr
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.metadata import ArrayV3Metadata

from earthlab.cube.plan import CubePlan

_PIPELINE = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}
_lock = threading.RLock()

INNER = (32, 128, 128)
"""Pixels of a chunk along time, y and x: few for one pixel's series, and few for one date's tile."""


@contextmanager
def fast_zarr() -> Iterator[None]:
    """Arrays opened within keep the rust pipeline. Zarr's configuration is the process's: one at a time has it."""
    with _lock, zarr.config.set(_PIPELINE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", message="Object at .* is not recognized as a component of a Zarr hierarchy")
        warnings.filterwarnings("ignore", message="Successfully reconstructed a store", category=RuntimeWarning)
        yield


def shard_shape(plan: CubePlan) -> tuple[int, int, int]:
    """Pixels of a shard: the plan's chunks, made regular, and smaller where whole chunks would not fit in."""
    sizes = (_shard_side(sizes, inner) for sizes, inner in zip(plan.chunks, INNER, strict=True))
    time, y, x = sizes
    return time, y, x


def _shard_side(sizes: tuple[int, ...], inner: int) -> int:
    if len(sizes) == 1 or max(sizes) < inner:
        return max(sizes)
    return max(sizes) // inner * inner


def inner_shape(shards: tuple[int, int, int]) -> tuple[int, int, int]:
    """Pixels of a chunk within a shard."""
    time, y, x = (min(side, most) for side, most in zip(shards, INNER, strict=True))
    return time, y, x


def whole_shards(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """The same array, seen to the end of its last shards, so that those too are read by whole chunks."""
    metadata = array.metadata
    assert isinstance(metadata, ArrayV3Metadata)
    assert array.shards is not None
    shape = tuple(-(-length // side) * side for length, side in zip(array.shape, array.shards, strict=True))
    seen = zarr.AsyncArray(metadata.update_shape(shape), array.store_path, config=array.config)
    return zarr.Array(seen)


def storage(shards: tuple[int, int, int], inner: tuple[int, int, int], itemsize: int) -> dict[str, Any]:
    """Chunks, shards and codecs of a band, as zarr and xarray take them."""
    whole = tuple(-(-side // step) * step for side, step in zip(shards, inner, strict=True))
    blosc = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=itemsize)
    return {"chunks": inner, "shards": whole, "compressors": (blosc, Crc32cCodec())}


def regular_chunks(shape: tuple[int, int, int], shards: tuple[int, int, int]) -> Any:
    """Dask chunks that are the shards."""
    return tuple(_cut(length, side) for length, side in zip(shape, shards, strict=True))


def _cut(length: int, side: int) -> tuple[int, ...]:
    whole, rest = divmod(length, side)
    return (side,) * whole + ((rest,) if rest else ())
