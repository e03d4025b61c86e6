"""Bands of a finished cube as lazy arrays: the very values that were read, and never a fill for a lost shard."""

import os
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import zarr

from earthlab.cube.plan import Encoding
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.codecs import fast_zarr, regular_chunks, whole_shards
from earthlab.cube.shared.encoding import decode
from earthlab.cube.shared.layout import Marker, Place
from earthlab.cube.shared.levels import Level
from earthlab.cube.shared.readers import Reading
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.errors import EarthlabError, ReadFault
from earthlab.types import content_token


@dataclass(frozen=True, eq=False)
class StoredBand:
    """One band in its store; what is sliced of it is read and decoded, and no more. It pickles small."""

    address: StoreAddress
    prefix: str
    name: str
    token: str
    level: Level
    encoding: Encoding | None
    empty: Array = field(repr=False)
    """Which shards hold no observation, and are not stored."""
    reading: Reading | None = field(default=None, repr=False)
    """Keeps the cube from being evicted while this process has it."""

    dtype = np.dtype("float32")
    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Pixels along time, y and x."""
        return self.level.shape

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "reading": None}

    def __dask_tokenize__(self) -> tuple[str, str]:
        return (self.prefix, self.level.path(self.name))

    def __getitem__(self, key: Any) -> Array:
        wanted = [_resolve(k, length) for k, length in zip(key, self.shape, strict=True)]
        if not all(part.stop for part, _ in wanted):
            nothing: Array = np.empty([part.stop - part.start for part, _ in wanted], "float32")
            return np.asarray(nothing[tuple(k for _, k in wanted)])
        stored = self.read_stored([part for part, _ in wanted])[tuple(k for _, k in wanted)]
        return np.asarray(stored if self.encoding is None else decode(stored, self.encoding))

    def read_stored(self, parts: list[slice]) -> Array:
        """What is stored of parts of the three axes: integers where the band has an encoding.

        Raises
        ------
        ReadFault
            Where a shard is missing or damaged.
        StoreUnavailable
            Where the store has not answered for as long as its address says.
        """
        # Whole chunks: of a part of one, the rust pipeline does not verify the checksum.
        chunks = self.level.chunks
        whole = [slice(p.start // n * n, -(-p.stop // n) * n) for p, n in zip(parts, chunks, strict=True)]
        path = self.level.path(self.name)
        try:
            stored = np.asarray(_array(self.address, self.prefix, path, os.getpid())[tuple(whole)])
        except EarthlabError:
            raise
        except Exception as exc:  # codecs of two languages raise whatever they like
            if refusal := open_store(self.address).explain(exc, "read"):
                raise refusal from exc
            cause = f"{type(exc).__name__}: {str(exc)[:160]}"
            raise self._fault(f"a shard of band {self.name!r} is damaged ({cause})") from exc
        if self._may_be_fill(stored):
            self._require_shards(parts)
        return stored[tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(parts, whole, strict=True))]

    def _may_be_fill(self, stored: Array) -> bool:
        return bool((np.isnan(stored) if self.encoding is None else stored == self.encoding.fill).any())

    def _require_shards(self, parts: list[slice]) -> None:
        """A shard that is missing reads as fill: where fill was read, all but the empty ones must be there."""
        store = open_store(self.address)
        touched = (range(p.start // n, (p.stop - 1) // n + 1) for p, n in zip(parts, self.level.shards, strict=True))
        for place in product(*touched):
            path = f"{self.prefix}{self.level.path(self.name)}/c/" + "/".join(map(str, place))
            if not self.empty[place] and store.size(path) is None:
                raise self._fault(f"shard {place} of band {self.name!r} is missing")

    def _fault(self, why: str) -> ReadFault:
        return ReadFault(
            f"The shared cube {self.token} in {open_store(self.address).locate(self.prefix)} cannot be read: {why}. "
            "It was evicted or damaged: build it again with el.open(..., share=True), or open the items without share=."
        )


def _resolve(key: Any, length: int) -> tuple[slice, Any]:
    """The part of an axis that a key touches, and the key within that part."""
    if not isinstance(key, slice):
        at = int(key) % length
        return slice(at, at + 1), 0
    places = range(length)[key]
    if not places:
        return slice(0, 0), slice(0, 0)
    first, last = min(places), max(places) + 1
    return slice(first, last), slice(None, None, places.step)


@lru_cache(maxsize=64)
def _array(address: StoreAddress, prefix: str, path: str, _process: int) -> zarr.Array[Any]:
    store = open_store(address).open_zarr(prefix, read_only=True)
    with fast_zarr():
        return whole_shards(zarr.open_array(store, path=path, mode="r"))


def _lazy(band: StoredBand) -> da.Array:
    array: da.Array = da.from_array(
        band,
        chunks=regular_chunks(band.shape, band.level.shards),
        name=f"earthlab-shared-{content_token([band.address.url, band.prefix, band.level.path(band.name)])}",
        lock=False,
        fancy=False,
        inline_array=True,
        meta=np.empty((0, 0, 0), "float32"),
    )
    return array


def stored_bands(place: Place, marker: Marker, reading: Reading | None, factor: int = 1) -> list[da.Array]:
    """A lazy array for each band of a cube or of one of its levels, axes time, y, x; dask chunks are its shards."""
    plan, level = marker.plan, marker.level(factor)
    prefix = place.generation(marker.generation)
    return [
        _lazy(
            StoredBand(
                place.store.address, prefix, name, plan.token, level, kept, marker.empty_shards(name, factor), reading
            )
        )
        for name, kept in zip(plan.bands, marker.kept_encodings, strict=True)
    ]
