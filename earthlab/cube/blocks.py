"""One block of a cube: all the dates of the bands asked for, on one tile, read in one task."""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from itertools import groupby

import numpy as np
from odc.geo.geobox import GeoBox

from earthlab.cube.faults import MASK, Fault, Spans, is_transient, record_read
from earthlab.cube.masks import Masks, find_masks
from earthlab.cube.physical import clear_pixels, fill_missing, lay
from earthlab.cube.plan import CubePlan, Layer, Source
from earthlab.cube.radiometry import doubt_radiometry
from earthlab.cube.readers import Window, find_reader
from earthlab.cube.readers.opened import is_remote
from earthlab.cube.readers.window import Array
from earthlab.cube.retries import read_patiently
from earthlab.errors import ReadFault
from earthlab.settings import ReadingSettings, load_settings

Block = tuple[int, int, int]

REMOTE_READS = 32
"""Windows that one process fetches at once from remote stores: latency is hidden, and their servers are spared."""

_AHEAD_BYTES = 64 * 2**20
"""Raw windows of one block that may wait to be laid: a column of many dates takes no more memory than one of few."""

Outcome = Window | ReadFault | None
Outcomes = list[Window | None] | ReadFault
Pending = Callable[[], Outcome]


@dataclass(frozen=True, slots=True)
class _Request:
    """One window wanted: of which layer of which date, as which band."""

    date: int
    layer: Layer
    band: str
    source: Source
    resampling: str

    @property
    def is_mask(self) -> bool:
        """Whether it is the layer's mask; its name does not tell, for a band may be called mask too."""
        return self.source is self.layer.mask


@dataclass(slots=True)
class _Reading:
    """One block being read."""

    plan: CubePlan
    bands: tuple[int, ...]
    block: Block
    spans: Spans
    tile: GeoBox
    strict: bool
    in_turn: bool
    masks: Masks
    limits: ReadingSettings
    faults: list[Fault] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """The bands' names, in the order asked for."""
        return tuple(self.plan.bands[at] for at in self.bands)

    @property
    def times(self) -> slice:
        """The dates of the plan that the block has."""
        return self.spans[0]

    @property
    def dates(self) -> int:
        """How many dates the block has."""
        return int(self.times.stop - self.times.start)

    def note(self, request: _Request, fault: ReadFault) -> None:
        """Enter a failed read, or raise it where reading is strict."""
        if self.strict:
            raise ReadFault(
                f"Item {request.layer.item!r}, band {request.band!r}: {fault} Leave the item out (ids=, or items[…]), "
                "mend the source, or open without strict=True."
            ) from fault
        cause = str(fault)
        self.faults.append(
            Fault(
                self.plan.token,
                request.layer.item,
                request.band,
                self.block,
                cause,
                is_transient(cause),
                self.plan.collection_of(request.layer),
                tuple((span.start, span.stop) for span in self.spans),
            )
        )


def read_block(
    plan: CubePlan, bands: Sequence[int], block: Block, *, strict: bool = False, in_turn: bool = False
) -> Array:
    """The values of bands on one block, float32, axes band, time, y, x; NaN where there is no clear observation.

    Parameters
    ----------
    plan : CubePlan
        What the cube is.
    bands : sequence of int
        Places of the bands in the plan.
    block : tuple of int
        Place of the block along time, y and x.
    strict : bool
        Raise at the first read that fails for good, instead of leaving nodata and noting a `Fault`.
    in_turn : bool
        Of a remote file read one window at a time, so that what two windows share is fetched once. For builders of
        cubes, which read whole files; whoever waits for one window is served sooner without.

    Raises
    ------
    ReadFault
        With ``strict``: the message names the item, the band and the cause. A failed read never becomes a value.
    """
    reading = _begin(plan, tuple(bands), block, strict=strict, in_turn=in_turn)
    out = np.empty((len(reading.bands), reading.dates, *reading.tile.shape), "float32")
    fresh = np.ones(out.shape[:2], bool)
    for request, window, clear in _windows(
        reading, lambda date: bool(fresh[:, date].any() or np.isnan(out[:, date]).any())
    ):
        at, date = reading.names.index(request.band), request.date
        lay(out[at, date], window, request.source, clear, fresh=bool(fresh[at, date]))
        fresh[at, date] = False
    fill_missing(out, fresh)
    record_read(plan, reading.names, reading.spans, reading.faults)
    for at, name in enumerate(reading.names):
        doubt_radiometry(plan, name, out[at])
    return out


def trace_block(plan: CubePlan, band: int, block: Block) -> tuple[Array, Array]:
    """Which item each pixel of a band comes from, and how many items observed it clearly.

    Returns
    -------
    source : numpy.ndarray
        int32, axes time, y, x: place of the item among the layers of the plan, from 0; -1 where no item has a value.
    count : numpy.ndarray
        uint16, same shape.
    """
    reading = _begin(plan, (band,), block, strict=False, in_turn=False)
    shape = (reading.dates, *reading.tile.shape)
    source, count_ = np.full(shape, -1, "int32"), np.zeros(shape, "uint16")
    places = {id(layer): place for place, layer in enumerate(plan.layers())}
    one = np.empty(shape[1:], "float32")
    for request, window, clear in _windows(reading, lambda _: True):
        lay(one, window, request.source, clear, fresh=True)
        seen = np.isfinite(one)
        source[request.date][seen & (source[request.date] < 0)] = places[id(request.layer)]
        count_[request.date] += seen
    record_read(plan, reading.names, reading.spans, reading.faults)
    return source, count_


def _begin(plan: CubePlan, bands: tuple[int, ...], block: Block, *, strict: bool, in_turn: bool) -> _Reading:
    spans = plan.spans(block)
    tile = plan.geobox[spans[1:]]
    return _Reading(plan, bands, block, spans, tile, strict, in_turn, find_masks(plan, spans), load_settings().reading)


def _windows(reading: _Reading, wanted: Callable[[int], bool]) -> Iterator[tuple[_Request, Window, Array | None]]:
    """The windows of a block in the order they are laid, each with where its layer is clear."""
    pending = _pending(reading, list(_requests(reading)))
    try:
        for (date, _), layer in groupby(pending, key=lambda found: (found[0].date, id(found[0].layer))):
            requests = list(layer)
            if wanted(date):
                yield from _layer_windows(reading, requests)
    finally:
        reading.masks.end_sharing()


def _layer_windows(
    reading: _Reading, requests: Sequence[tuple[_Request, Pending]]
) -> Iterator[tuple[_Request, Window, Array | None]]:
    clear = reading.masks.get(requests[0][0].layer)
    for request, pending in requests:
        if request.is_mask:
            clear = _read_clear(reading, request, pending) if clear is None else clear
            if clear is None or not clear.any():
                return
            continue
        outcome = pending()
        if isinstance(outcome, ReadFault):
            reading.note(request, outcome)
        elif outcome is not None:
            yield request, outcome, clear


def _read_clear(reading: _Reading, request: _Request, pending: Pending) -> Array | None:
    """Where a layer is clear: nowhere if its mask does not touch the tile, ``None`` if it cannot be read."""
    outcome = pending()
    if isinstance(outcome, ReadFault):
        reading.note(request, outcome)
        return None
    assert reading.plan.mask is not None
    nowhere = np.zeros(reading.tile.shape, bool)
    clear = nowhere if outcome is None else clear_pixels(outcome, reading.plan.mask, reading.tile)
    reading.masks.keep(request.layer, clear)
    return clear


def _requests(reading: _Reading) -> Iterator[_Request]:
    plan = reading.plan
    for date, step in enumerate(plan.steps[reading.times]):
        for layer in step.layers:
            if layer.overlaps(reading.tile):
                clear = reading.masks.get(layer) if layer.mask else None
                if clear is not None and not clear.any():
                    continue
                if layer.mask and clear is None:
                    yield _Request(date, layer, MASK, layer.mask, "nearest")
                for at in reading.bands:
                    if source := layer.sources[at]:
                        yield _Request(date, layer, plan.bands[at], source, plan.resampling[at])


def _pending(reading: _Reading, requests: Sequence[_Request]) -> Iterator[tuple[_Request, Pending]]:
    rows, columns = reading.tile.shape
    most = max(4, min(2 * REMOTE_READS, _AHEAD_BYTES // (2 * rows * columns)))
    shared = _shared_reads(reading, requests)
    waiting: deque[tuple[_Request, Pending]] = deque()
    for request in requests:
        start = partial(_single, reading, request)
        pending = shared.get(request.source)
        if pending is None:
            pending = reading.masks.share(request.layer, start) if request.is_mask else start()
        waiting.append((request, pending))
        if len(waiting) > most:
            yield waiting.popleft()
    yield from waiting


def _single(reading: _Reading, request: _Request) -> Pending:
    return partial(_nth, _start_reading(reading, request, [request.source]), 0)


def _shared_reads(reading: _Reading, requests: Sequence[_Request]) -> dict[Source, Pending]:
    groups: dict[tuple[str, str, str, int], dict[Source, _Request]] = {}
    for request in requests:
        if request.source.kind != "raster":
            groups.setdefault(request.source.array, {})[request.source] = request
    found: dict[Source, Pending] = {}
    for members in groups.values():
        sources = list(members)
        read = _start_reading(reading, next(iter(members.values())), sources)
        found.update({source: partial(_nth, read, at) for at, source in enumerate(sources)})
    return found


def _nth(read: Callable[[], Outcomes], at: int) -> Outcome:
    outcomes = read()
    return outcomes if isinstance(outcomes, ReadFault) else outcomes[at]


def _start_reading(reading: _Reading, request: _Request, sources: list[Source]) -> Callable[[], Outcomes]:
    anchor = (reading.plan.transform[2], reading.plan.transform[5])
    read = partial(find_reader(sources[0].kind), sources, reading.tile, resampling=request.resampling, anchor=anchor)
    attempt: Callable[[], Outcomes] = partial(
        read_patiently, read, request.source.href, partial(_asker, reading, request), reading.limits
    )
    if is_remote(request.source.href):
        if reading.in_turn:
            attempt = partial(_wait_turn, request.source.href, attempt)
        return _remote_reads(os.getpid()).submit(attempt).result
    return cache(attempt)


def _asker(reading: _Reading, request: _Request) -> Hashable:
    spans = tuple((span.start, span.stop) for span in reading.spans)
    return (reading.plan.token, reading.bands, spans, request.source)


_turns = tuple(threading.Lock() for _ in range(1024))


def _wait_turn(href: str, attempt: Callable[[], Outcomes]) -> Outcomes:
    with _turns[hash(href) % len(_turns)]:
        return attempt()


@lru_cache(maxsize=1)
def _remote_reads(_process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(REMOTE_READS, thread_name_prefix="earthlab-read")
