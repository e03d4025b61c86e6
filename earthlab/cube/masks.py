"""The clear pixels of blocks being read, kept for a moment, a bit a pixel: the bands of a block share them."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from earthlab.cube.plan import CubePlan, Layer
from earthlab.cube.readers.window import Array

MOST_BYTES = 64 * 2**20
"""Of one process: the masks of the blocks that its threads are at. A planned block takes 1/32 of its largest band."""

MOST_BLOCKS = 64

T = TypeVar("T")
Spans = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class _Bits:
    """Where a layer is clear; what is so everywhere or nowhere takes no room."""

    packed: Array
    shape: tuple[int, ...]

    def clear(self) -> Array:
        if self.packed.dtype == bool:
            return np.broadcast_to(self.packed, self.shape)
        return np.unpackbits(self.packed, axis=1, count=self.shape[1]).view(bool)


def _pack(clear: Array) -> _Bits:
    alike = bool(clear.all()) or not clear.any()
    return _Bits(np.array(clear[0, 0]) if alike else np.packbits(clear, axis=1), clear.shape)


class _Shared:
    """A read that several threads wait for: the first of them does it."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._found: list[Any] = []

    def __call__(self) -> Any:
        with self._lock:
            if not self._found:
                self._found.append(self._read())
        return self._found[0]


@dataclass(slots=True, eq=False)
class Masks:
    """The masks of one block by layer."""

    plan: CubePlan
    nbytes: int = 0
    _clear: dict[int, _Bits] = field(default_factory=dict)
    _reads: "WeakValueDictionary[int, _Shared]" = field(default_factory=WeakValueDictionary)

    def get(self, layer: Layer) -> Array | None:
        """Where the layer is clear, if it is known already."""
        kept = self._clear.get(id(layer))
        return None if kept is None else kept.clear()

    def keep(self, layer: Layer, clear: Array) -> None:
        """Remember where the layer is clear, as long as there is room: blocks not asked for of late make room."""
        bits = _pack(clear)
        with _lock:
            if id(layer) not in self._clear and _has_room(self, bits.packed.nbytes):
                self._clear[id(layer)] = bits
                self.nbytes += bits.packed.nbytes

    def share(self, layer: Layer, start: Callable[[], Callable[[], T]]) -> Callable[[], T]:
        """What reads the layer's mask: as ``start`` gives it, or what another band of the block is about to read."""
        with _lock:
            shared = self._reads.get(id(layer))
            if shared is None:
                shared = self._reads[id(layer)] = _Shared(start())
        return shared

    def end_sharing(self) -> None:
        """Let whoever comes next read for himself: of reads that failed an exception may hold on to the outcome."""
        with _lock:
            self._reads.clear()


_kept: OrderedDict[tuple[int, str], Masks] = OrderedDict()
_lock = threading.Lock()


def find_masks(plan: CubePlan, spans: Spans) -> Masks:
    """What this process remembers of a block's masks; empty for a block it has not been at of late."""
    key = (id(plan), str(spans))
    with _lock:
        found = _kept.setdefault(key, Masks(plan))
        _kept.move_to_end(key)
        while len(_kept) > MOST_BLOCKS:
            _kept.popitem(last=False)
    return found


def _has_room(masks: Masks, wanted: int) -> bool:
    used = sum(one.nbytes for one in _kept.values())
    while used + wanted > MOST_BYTES and next(iter(_kept.values()), masks) is not masks:
        used -= _kept.popitem(last=False)[1].nbytes
    return used + wanted <= MOST_BYTES and any(one is masks for one in _kept.values())
