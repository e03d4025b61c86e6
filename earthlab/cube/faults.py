"""The ledger of failed reads: which item, band and block, and why; never a value in place of a read.

A block that is read on a worker tells its scheduler, under topics of the cube, and the client that opened the cube
listens. A block that is read in this process writes straight into the ledger. What is read later, and succeeds, clears
what failed before at the same place.
"""

import math
import re
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from earthlab.errors import EarthlabWarning, FaultWarning
from earthlab.witness import tell as tell_witness

if TYPE_CHECKING:
    from distributed import Client, Worker

    from earthlab.cube.plan import CubePlan

MASK = "mask"
"""What the ledger calls the band of a layer's mask."""

Spans = tuple[slice, slice, slice]

_PERMANENT = re.compile(
    r"\b(400|401|403|404|410|416)\b|does not exist|no such file|permission denied|states no CRS|was expected",
    re.IGNORECASE,
)
_FOREIGN = re.compile(r"not recognized|not a supported", re.IGNORECASE)
"""What GDAL says of a file of another kind, and of a remote one whose header came with 503."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One read that failed for good: the pixels of its band and item in this block are nodata."""

    token: str
    item: str
    band: str
    block: tuple[int, int, int]
    """Place of the block along time, y and x."""
    cause: str
    transient: bool
    """Whether asking again later may help."""
    collection: str = ""
    """Of the item, whose id is its own within the collection only."""
    pixels: tuple[tuple[int, int], ...] = ()
    """First and end of the block along time, y and x: a cube may be read in blocks of several sizes."""

    @property
    def place(self) -> tuple[Any, ...]:
        """What a later fault of the same read replaces."""
        return (self.token, self.collection, self.item, self.band, self.pixels, self.block)

    def lies_within(self, spans: Spans) -> bool:
        """Whether all of its block lies in a part of the cube."""
        if not self.pixels:
            return False
        return all(
            part.start <= first and end <= part.stop for (first, end), part in zip(self.pixels, spans, strict=True)
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """The fault of a document that `dataclasses.asdict` made, sent or stored meanwhile."""
        pixels = tuple((first, end) for first, end in values.get("pixels", ()))
        return cls(**{**values, "block": tuple(values["block"]), "pixels": pixels})


_Row = tuple[tuple[Any, ...], str | None]
"""Place of a fault, and the band that lacks the read: of a mask each band that waited for it. ``None`` in what a shared
cube tells of its building, which no later read mends."""

_ledger: dict[str, dict[_Row, Fault]] = {}
_newest: dict[tuple[str, str], float] = {}
"""When the latest event was told that a client has heard of a cube."""
_lock = threading.Lock()
_collecting: ContextVar[list[Fault] | None] = ContextVar("earthlab_faults", default=None)


def is_transient(cause: str) -> bool:
    """Whether the cause of a failed read may pass: anything but a missing, forbidden or foreign file."""
    return not (_PERMANENT.search(cause) or (_FOREIGN.search(cause) and "://" not in cause))


@contextmanager
def collect_faults() -> Iterator[list[Fault]]:
    """The faults of the blocks read within, by this thread; they are not warned of and not told to anybody else."""
    found: list[Fault] = []
    mark = _collecting.set(found)
    try:
        yield found
    finally:
        _collecting.reset(mark)


def record_read(plan: "CubePlan", bands: Sequence[str], spans: Spans, faults: Sequence[Fault]) -> None:
    """Tell the ledger of whoever asked for a block what failed when bands were read there; warn if anything did.

    Earlier faults of these bands within the block are cleared.
    """
    collecting = _collecting.get()
    if collecting is not None:
        collecting.extend(faults)
        return
    worker = _worker()
    if worker is not None:
        told = {
            "bands": list(bands),
            "spans": [(part.start, part.stop) for part in spans],
            "faults": [asdict(fault) for fault in faults],
        }
        worker.log_event(_topics(plan.token)[not faults], told)
    else:
        tell_witness("read", token=plan.token, bands=tuple(bands), spans=spans, faults=tuple(faults))
        if faults or _ledger:
            _write(plan.token, bands, spans, faults)
    if faults:
        _warn(faults)


def record_building(token: str, faults: Sequence[Fault]) -> None:
    """Enter what a shared cube tells of its building in place of what it told before, and warn if there is any."""
    with _lock:
        rows = {row: fault for row, fault in _ledger.pop(token, {}).items() if row[1] is not None}
        rows |= {(fault.place, None): fault for fault in faults}
        if rows:
            _ledger[token] = rows
    if faults:
        _warn(faults)


def _warn(faults: Sequence[Fault]) -> None:
    first = faults[0]
    words = (
        f"{len(faults)} reads of cube {first.token} failed in block {first.block}; their pixels are nodata. First: "
        f"item {first.item!r}, band {first.band!r}: {first.cause} All of them: cube.earthlab.faults."
    )
    tell(words, FaultWarning)


def tell(words: str, kind: type[EarthlabWarning]) -> None:
    """Warn the user, who is at the client where this runs on a worker."""
    if _worker() is None:
        warnings.warn(words, kind, stacklevel=3)
    else:
        from distributed import warn  # loaded already: this is a worker

        warn(words, kind)


def _worker() -> "Worker | None":
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker  # loaded already, and slow to load for those who do without

    try:
        return get_worker()
    except ValueError:
        return None


def listen_for_faults(token: str) -> None:
    """Have the current client, if there is one, write what workers tell of a cube into the ledger."""
    client = _client()
    if client is not None:
        for topic in _topics(token):
            client.subscribe_topic(topic, partial(_hear, client.id, token))


def find_faults(token: str) -> tuple[Fault, ...]:
    """Every fault of a cube that this process has read, or heard of from the workers of its current client."""
    client = _client()
    if client is not None:
        told = [event for topic in _topics(token) for event in client.get_events(topic)]
        for event in sorted(told, key=lambda event: event[0]):
            if event[0] > _newest.get((client.id, token), -math.inf):
                _hear(client.id, token, event)
    with _lock:
        found = {fault.place: fault for fault in _ledger.get(token, {}).values()}
    return tuple(sorted(found.values(), key=lambda fault: fault.place))


def forget_faults(token: str) -> None:
    """Empty the ledger of a cube: what is computed from now on is told anew."""
    with _lock:
        _ledger.pop(token, None)


def fault_table(faults: Sequence[Fault]) -> pd.DataFrame:
    """The ledger as a table: collection, item, band, block, pixels, cause, transient."""
    columns = ["collection", "item", "band", "block", "pixels", "cause", "transient"]
    return pd.DataFrame([{name: getattr(fault, name) for name in columns} for fault in faults], columns=columns)


def _topics(token: str) -> tuple[str, str]:
    """Of blocks with faults and of those without: a scheduler keeps but so many events of a topic."""
    return f"earthlab-faults-{token}", f"earthlab-reads-{token}"


def _client() -> "Client | None":
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client  # loaded already, and slow to load for those who do without

    try:
        client = default_client()
    except ValueError:
        return None
    return client if not client.asynchronous and client.status == "running" else None


def _hear(client: str, token: str, event: tuple[float, Any]) -> None:
    at, told = event
    time, y, x = (slice(*ends) for ends in told["spans"])
    faults = [Fault.parse(values) for values in told["faults"]]
    tell_witness("read", token=token, bands=tuple(told["bands"]), spans=(time, y, x), faults=tuple(faults))
    _write(token, told["bands"], (time, y, x), faults)
    _newest[client, token] = max(at, _newest.get((client, token), at))


def _write(token: str, bands: Sequence[str], spans: Spans, faults: Sequence[Fault]) -> None:
    with _lock:
        rows = _ledger.pop(token, {})
        rows = {row: fault for row, fault in rows.items() if row[1] not in bands or not fault.lies_within(spans)}
        for fault in faults:
            lacking = bands if fault.band == MASK else [fault.band]
            rows |= {(fault.place, band): fault for band in lacking}
        if rows:
            _ledger[token] = rows
