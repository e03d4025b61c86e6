"""Bands of finished cubes, from the bytes of their shards: the chunks that a picture needs, and the last ones kept.

Only what the lab itself writes is understood (`earthlab.cube.shared.codecs`): Zarr's sharding with its index at the
end, chunks compressed by Blosc, both with a CRC-32C. No metadata of the store says how to decode anything.

Sources: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html,
https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
"""

import math
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, cast

import google_crc32c
import numpy as np
from numcodecs import blosc  # type: ignore[import-untyped]

from earthlab.cube.plan import Encoding
from earthlab.cube.readers.window import Array
from earthlab.cube.shared.levels import Block, Level
from earthlab.errors import ReadFault
from earthlab.services.tiles.shelf import Shelf, Volume

MOST_KEPT = 64 * 2**20
"""Bytes of chunks that the service keeps, over all cubes."""

_NOWHERE = 2**64 - 1
"""Where the index of a shard says a chunk is that was not written: it is all nodata."""

_CRC = 4
_BLOSC_HEADER = struct.Struct("<BBBBIII")
_BLOSC_OVERHEAD = _BLOSC_HEADER.size

Key = tuple[str, Block]
"""Of an array and a chunk in it, or a shard: those of arrays end with ``/c``, those of shards with ``/i``."""


@dataclass(slots=True)
class KeptChunks:
    """The chunks that were read last, bounded in bytes. Safe for several threads."""

    most: int = MOST_KEPT
    nbytes: int = 0
    _kept: "OrderedDict[Key, Array]" = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Key) -> Array | None:
        """What is kept under a key."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Key, values: Array) -> None:
        """Keep something, and let the oldest go for it."""
        with self._lock:
            if key in self._kept or values.nbytes > self.most:
                return
            self._kept[key] = values
            self.nbytes += values.nbytes
            while self.nbytes > self.most:
                self.nbytes -= self._kept.popitem(last=False)[1].nbytes


@dataclass(frozen=True, eq=False)
class StoredArray:
    """One band of one level; what is sliced of it is read, checked and decoded: float32, NaN is no observation.

    Parameters
    ----------
    shelf, prefix
        Where its shards are: ``prefix`` is the array's, without a slash at the end.
    level : Level
        How it is stored.
    encoding : Encoding, optional
        Of the integers; without one it holds float32.
    empty : ndarray of bool
        Which shards hold no observation, and are not stored.
    """

    shelf: Shelf = field(repr=False)
    prefix: str
    level: Level
    encoding: Encoding | None
    empty: Array = field(repr=False)
    kept: KeptChunks = field(repr=False)

    @property
    def shape(self) -> Block:
        """Pixels along time, y and x."""
        return self.level.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is stored."""
        return np.dtype(self.encoding.dtype if self.encoding else "float32").newbyteorder("<")

    def __getitem__(self, key: tuple[int | slice, slice, slice]) -> Array:
        """Steps, rows and columns; an integer among them takes its axis away.

        Raises
        ------
        ReadFault
            Where a shard is missing or damaged.
        """
        wanted = [_range_of(part, length) for part, length in zip(key, self.shape, strict=True)]
        out = np.full([len(part) for part in wanted], np.nan, "float32")
        for shard, chunks in self._by_shard(wanted).items():
            for chunk, values in self._read(shard, chunks):
                here = [_common(part, at, n) for part, at, n in zip(wanted, chunk, self.level.chunks, strict=True)]
                target, source = (tuple(sides) for sides in zip(*here, strict=True))
                out[target] = self._physical(values[source])
        return out[tuple(0 if isinstance(part, int) else slice(None) for part in key)]

    def _by_shard(self, wanted: Sequence[range]) -> dict[Block, list[Block]]:
        touched = (_touched(part, n) for part, n in zip(wanted, self.level.chunks, strict=True))
        found: dict[Block, list[Block]] = {}
        for chunk in product(*touched):
            begins = (at * n for at, n in zip(chunk, self.level.chunks, strict=True))
            shard = tuple(at // side for at, side in zip(begins, self.level.shards, strict=True))
            found.setdefault(cast("Block", shard), []).append(cast("Block", chunk))
        return found

    def _read(self, shard: Block, chunks: Sequence[Block]) -> Iterator[tuple[Block, Array]]:
        """Those of the chunks of a shard that hold anything."""
        if self.empty[shard]:
            return
        known = {chunk: self.kept.get((f"{self.prefix}/c", chunk)) for chunk in chunks}
        yield from ((chunk, values) for chunk, values in known.items() if values is not None)
        missing = [chunk for chunk, values in known.items() if values is None]
        if not missing:
            return
        with self.shelf.open(f"{self.prefix}/c/{'/'.join(map(str, shard))}") as volume:
            if volume is None:
                raise self._fault(shard, "is missing")
            index = self._read_index(volume, shard)
            for chunk in missing:
                values = self._read_chunk(volume, index[self._place_in(chunk, shard)], shard)
                if values is not None:
                    self.kept.put((f"{self.prefix}/c", chunk), values)
                    yield chunk, values

    def _place_in(self, chunk: Block, shard: Block) -> Block:
        first = (at * side // n for at, side, n in zip(shard, self.level.shards, self.level.chunks, strict=True))
        return cast("Block", tuple(at - begin for at, begin in zip(chunk, first, strict=True)))

    def _read_index(self, volume: Volume, shard: Block) -> Array:
        kept = self.kept.get((f"{self.prefix}/i", shard))
        if kept is not None:
            return kept
        shape = chunks_a_shard(self.level)
        length = 16 * math.prod(shape)
        content = volume.read(max(0, volume.size - length - _CRC), length + _CRC)
        if len(content) != length + _CRC or not _is_intact(content):
            raise self._fault(shard, "is damaged")
        index = np.frombuffer(content[:-_CRC], "<u8").reshape(*shape, 2)
        self.kept.put((f"{self.prefix}/i", shard), index)
        return index

    def _read_chunk(self, volume: Volume, where: Array, shard: Block) -> Array | None:
        start, length = (int(number) for number in where)
        if start == length == _NOWHERE:
            return None
        size = math.prod(self.level.chunks) * self.dtype.itemsize
        if length > size + _BLOSC_OVERHEAD + _CRC or start + length > volume.size:
            raise self._fault(shard, "is damaged")
        content = volume.read(start, length)
        if len(content) != length or not _is_intact(content) or not _announces(content[:-_CRC], size):
            raise self._fault(shard, "is damaged")
        values = np.empty(self.level.chunks, self.dtype)
        try:
            blosc.decompress(content[:-_CRC], values)
        except (RuntimeError, ValueError) as exc:
            raise self._fault(shard, "is damaged") from exc
        return values

    def _physical(self, stored: Array) -> Array:
        """As `earthlab.cube.shared.encoding.decode`: rounded once, from float64."""
        if self.encoding is None:
            return stored
        values = (stored * np.float64(self.encoding.scale) + self.encoding.offset).astype("float32")
        return np.where(stored == self.encoding.fill, np.float32(np.nan), values)

    def _fault(self, shard: Block, why: str) -> ReadFault:
        band = self.prefix.rpartition("/")[2]
        return ReadFault(
            f"Shard {shard} of band {band!r} of a shared cube {why}. The cube was evicted or damaged: build it again "
            "with el.open(..., share=True)."
        )


def chunks_a_shard(level: Level) -> Block:
    """How many chunks a shard has along time, y and x."""
    time, y, x = (-(-side // n) for side, n in zip(level.shards, level.chunks, strict=True))
    return time, y, x


def _is_intact(content: bytes) -> bool:
    said = int.from_bytes(content[-_CRC:], "little")
    return len(content) > _CRC and google_crc32c.value(content[:-_CRC]) == said


def _announces(content: bytes, size: int) -> bool:
    """Whether a Blosc buffer says that it is as long as it is, and becomes as long as a chunk."""
    if len(content) < _BLOSC_OVERHEAD:
        return False
    *_, becomes, _, length = _BLOSC_HEADER.unpack_from(content)
    return bool(becomes == size and length == len(content))


def _range_of(part: int | slice, length: int) -> range:
    return range(part % length, part % length + 1) if isinstance(part, int) else range(length)[part]


def _touched(wanted: range, size: int) -> range:
    if not wanted:
        return range(0)
    first, last = min(wanted), max(wanted)
    return range(first // size, last // size + 1)


def _common(wanted: range, chunk: int, size: int) -> tuple[slice, slice]:
    """Where those that are wanted of a chunk go, and where they are in the chunk."""
    begin = chunk * size
    first = max(0, -(-(begin - wanted.start) // wanted.step))
    last = min(len(wanted), -(-(begin + size - wanted.start) // wanted.step))
    if first >= last:
        return slice(0, 0), slice(0, 0)
    return slice(first, last), slice(wanted[first] - begin, wanted[last - 1] - begin + 1, wanted.step)
