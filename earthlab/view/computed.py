"""Blocks of lazy arrays that were computed for a picture, kept for the next ones.

They are bounded in bytes, and go when their array does: nothing here keeps what its user has deleted.
"""

import math
import resource
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import dask.array as da
import dask.base
import numpy as np
from dask.highlevelgraph import MaterializedLayer

from earthlab.cube.faults import collect_faults
from earthlab.cube.readers.window import Array
from earthlab.errors import AskLess

MOST_BYTES = 256 * 2**20
"""Of blocks that are kept; an eighth of what this process may have, where that is less."""

MOST_BLOCK_BYTES = 512 * 2**20
"""Of one block that is computed for a picture."""

Place = tuple[int, int]
"""Of a block, along rows and columns."""
Block = tuple[int, int, int]
"""Of a block, along steps, rows and columns."""


@dataclass(frozen=True, eq=False)
class Lazy:
    """A lazy array with axes (step,) row, column; made for one request, and forgotten after it.

    ``owner`` is the array of the user's variable, of which ``data`` is another form: what is computed is kept as long
    as that lives.
    """

    data: da.Array
    owner: da.Array

    @property
    def steps(self) -> int:
        """How many there are; 1 without such an axis."""
        return int(self.data.shape[0]) if self.data.ndim == 3 else 1

    @cached_property
    def here(self) -> bool:
        """Whether its blocks are in this process's memory: computed before, or cut of an array."""
        return all(isinstance(each, np.ndarray) for each in self._given)

    @cached_property
    def held(self) -> bool:
        """Whether its blocks are in memory, here or on a cluster."""
        return all(isinstance(each, np.ndarray) or _is_future(each) for each in self._given)

    @cached_property
    def _given(self) -> Collection[object]:
        """What the graph has for each block, where that is all that it has."""
        layers = list(self.data.dask.layers.values())
        alone = len(layers) == 1 and isinstance(layers[0], MaterializedLayer)
        return list(layers[0].values()) if alone else [None]

    @cached_property
    def _starts(self) -> tuple[Array, ...]:
        chunks = self.data.chunks if self.data.ndim == 3 else ((1,), *self.data.chunks)
        return tuple(np.cumsum((0, *sizes)) for sizes in chunks)

    def by_block(self, steps: Iterable[int]) -> dict[int, list[int]]:
        """The steps, sorted by which block along them has each."""
        found: dict[int, list[int]] = {}
        for step in steps:
            found.setdefault(int(np.searchsorted(self._starts[0], step, side="right")) - 1, []).append(step)
        return found

    def steps_of(self, block: Block) -> range:
        """The steps that a block has."""
        return range(int(self._starts[0][block[0]]), int(self._starts[0][block[0] + 1]))

    def places(self, rows: slice, columns: slice) -> list[Place]:
        """The blocks that hold any of these rows and columns, which may have steps."""
        down, across = (_touched(starts, part) for starts, part in zip(self._starts[1:], (rows, columns), strict=True))
        return list(product(down, across))

    def corner(self, place: Place) -> tuple[int, int]:
        """Row and column at which a block begins."""
        return int(self._starts[1][place[0]]), int(self._starts[2][place[1]])

    def middle(self) -> Place:
        """The block in the middle."""
        return (len(self._starts[1]) - 1) // 2, (len(self._starts[2]) - 1) // 2

    def nbytes(self, block: Block) -> int:
        """Bytes of a block."""
        sizes = (int(starts[at + 1] - starts[at]) for starts, at in zip(self._starts, block, strict=True))
        return math.prod(sizes) * int(self.data.dtype.itemsize)

    def compute(self, block: Block) -> Array:
        """The values of a block, axes step, row, column.

        Raises
        ------
        AskLess
            Where the memory does not suffice.
        """
        wanted = self.data.blocks[block[-self.data.ndim :]]
        try:
            # The ledger and its warnings are for what a user computes: a picture says nothing into his cells.
            with collect_faults():
                values = np.asarray(wanted.compute(scheduler=dask.base.get_scheduler() or "synchronous"))
        except MemoryError as exc:
            raise AskLess(
                f"The kernel's memory does not suffice for a block of {self.nbytes(block):,} bytes. Delete what you do "
                "not need any more, or open the cube with smaller chunks=."
            ) from exc
        return values.reshape(-1, *values.shape[-2:])


def _is_future(value: object) -> bool:
    distributed = sys.modules.get("distributed")
    return distributed is not None and isinstance(value, distributed.Future)


def _touched(starts: Array, part: slice) -> list[int]:
    wanted = np.arange(*part.indices(int(starts[-1])))
    return [int(at) for at in np.unique(np.searchsorted(starts, wanted, side="right") - 1)]


_Key = tuple[str, int, int, int]
"""Name of the array, step, and place."""


@dataclass(slots=True, eq=False)
class ComputedBlocks:
    """What was computed last: of each block its steps, one by one, as people go through them.

    Parameters
    ----------
    most : callable
        Gives the bytes that may be kept: a copy of a template has its user's limit only later.
    """

    most: Callable[[], int]
    nbytes: int = 0
    _kept: "OrderedDict[_Key, Array]" = field(default_factory=OrderedDict)
    _owners: "dict[str, weakref.ref[da.Array]]" = field(default_factory=dict)
    _gone: deque[str] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _turns: tuple[threading.Lock, ...] = field(default_factory=lambda: tuple(threading.Lock() for _ in range(64)))

    def require(self, lazy: Lazy, steps: Iterable[int], places: Iterable[Place], most: int) -> None:
        """Go on only where few blocks are to be computed for these steps, and none is huge.

        Raises
        ------
        AskLess
            Else.
        """
        if lazy.held:
            return
        missing = self._missing(lazy, steps, list(places))
        if len(missing) > most:
            raise AskLess(
                f"{len(missing)} blocks of this array are not computed yet; for one answer at most {most} are. "
                "Zoom in, or .compute() or .persist() it first."
            )
        largest = max(map(lazy.nbytes, missing), default=0)
        if largest > MOST_BLOCK_BYTES:
            raise AskLess(
                f"A block of this array has {largest:,} bytes; of at most {MOST_BLOCK_BYTES:,} pictures are made. "
                "Use .compute() first, or give it smaller chunks."
            )

    def layers(self, lazy: Lazy, block: Block, steps: Sequence[int]) -> list[Array]:
        """Some steps of a block, axes row, column; computed if need be, by one thread at a time."""
        if lazy.here:
            return _chosen(lazy, lazy.compute(block), block, steps)
        keys = [(lazy.data.name, step, *block[1:]) for step in steps]
        if (found := self._find(keys)) is not None:
            return found
        with self._turns[hash((lazy.data.name, block)) % len(self._turns)]:
            if (found := self._find(keys)) is not None:
                return found
            values = lazy.compute(block)
            self._keep(lazy, values, block, steps)
        return _chosen(lazy, values, block, steps)

    def _missing(self, lazy: Lazy, steps: Iterable[int], places: Sequence[Place]) -> list[Block]:
        name, by_block = lazy.data.name, lazy.by_block(steps)
        with self._lock:
            return [
                (along, *place)
                for along, wanted in by_block.items()
                for place in places
                if not all((name, step, *place) in self._kept for step in wanted)
            ]

    def _find(self, keys: Sequence[_Key]) -> list[Array] | None:
        with self._lock:
            self._drop_gone()
            if not all(key in self._kept for key in keys):
                return None
            for key in keys:
                self._kept.move_to_end(key)
            return [self._kept[key] for key in keys]

    def _keep(self, lazy: Lazy, values: Array, block: Block, wanted: Sequence[int]) -> None:
        """Keep what is wanted in place of what was wanted before, and the rest of the block where there is room."""
        with self._lock:
            self._drop_gone()
            self._follow(lazy)
            # Those that are wanted go in first, and what makes room for others goes before them.
            for step in sorted(lazy.steps_of(block), key=lambda step: step not in wanted):
                layer = values[step - lazy.steps_of(block).start]
                self._put((lazy.data.name, step, *block[1:]), layer, wanted=step in wanted)

    def _put(self, key: _Key, layer: Array, *, wanted: bool) -> None:
        most = self.most()
        while wanted and self._kept and self.nbytes + layer.nbytes > most:
            self.nbytes -= self._kept.popitem(last=False)[1].nbytes
        if key not in self._kept and self.nbytes + layer.nbytes <= most:
            # A copy: a view would keep the whole block.
            self._kept[key] = layer.copy()
            self.nbytes += layer.nbytes
            self._kept.move_to_end(key, last=wanted)

    def _follow(self, lazy: Lazy) -> None:
        name, known = lazy.data.name, self._owners.get(lazy.data.name)
        if known is None or known() is not lazy.owner:
            self._owners[name] = weakref.ref(lazy.owner, lambda ref: self._forget(name, ref))

    def _forget(self, name: str, ref: "weakref.ref[da.Array]") -> None:
        """Called by the garbage collector, in whichever thread that runs, be it one that holds the lock."""
        if self._owners.get(name) is not ref:
            return
        self._gone.append(name)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_gone()
            finally:
                self._lock.release()

    def _drop_gone(self) -> None:
        while self._gone:
            name = self._gone.popleft()
            owner = self._owners.get(name)
            if owner is None or owner() is None:
                self._owners.pop(name, None)
                for key in [key for key in self._kept if key[0] == name]:
                    self.nbytes -= self._kept.pop(key).nbytes


def _chosen(lazy: Lazy, values: Array, block: Block, steps: Sequence[int]) -> list[Array]:
    first = lazy.steps_of(block).start
    return [values[step - first] for step in steps]


def resolve_most() -> int:
    """Bytes of blocks that this process may keep."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return MOST_BYTES if limit == resource.RLIM_INFINITY else min(MOST_BYTES, limit // 8)
