"""The ledger of failed reads: which item, band and block, and why; never a value in place of a read.

A block that is read on a worker tells its scheduler, under one topic a cube, and the client that opened the cube
listens. A block that is read in this process writes straight into the ledger.
"""

import re
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from earthlab.errors import EarthlabWarning, FaultWarning

if TYPE_CHECKING:
    from distributed import Client, Worker

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

    @property
    def place(self) -> tuple[str, str, str, tuple[int, int, int]]:
        """What a later fault of the same read replaces."""
        return (self.token, self.item, self.band, self.block)


_ledger: dict[str, dict[Any, Fault]] = {}
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


def record_faults(faults: Sequence[Fault]) -> None:
    """Write the faults of one block into the ledger of whoever asked for it, and warn."""
    if not faults:
        return
    collecting = _collecting.get()
    if collecting is not None:
        collecting.extend(faults)
        return
    first = faults[0]
    words = (
        f"{len(faults)} reads of cube {first.token} failed in block {first.block}; their pixels are nodata. First: "
        f"item {first.item!r}, band {first.band!r}: {first.cause} All of them: cube.earthlab.faults."
    )
    worker = _worker()
    if worker is None:
        _write(faults)
    else:
        worker.log_event(_topic(first.token), [asdict(fault) for fault in faults])
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
        client.subscribe_topic(_topic(token), _hear)


def find_faults(token: str) -> tuple[Fault, ...]:
    """Every fault of a cube that this process has read, or heard of from the workers of its current client."""
    client = _client()
    if client is not None:
        for event in client.get_events(_topic(token)):
            _hear(event)
    with _lock:
        return tuple(sorted(_ledger.get(token, {}).values(), key=lambda fault: fault.place))


def forget_faults(token: str) -> None:
    """Empty the ledger of a cube: what is computed from now on is told anew."""
    with _lock:
        _ledger.pop(token, None)


def fault_table(faults: Sequence[Fault]) -> pd.DataFrame:
    """The ledger as a table: item, band, block, cause, transient."""
    columns = ["item", "band", "block", "cause", "transient"]
    return pd.DataFrame([{name: getattr(fault, name) for name in columns} for fault in faults], columns=columns)


def _topic(token: str) -> str:
    return f"earthlab-faults-{token}"


def _client() -> "Client | None":
    if "distributed" not in sys.modules:
        return None
    from distributed import default_client  # loaded already, and slow to load for those who do without

    try:
        client = default_client()
    except ValueError:
        return None
    return client if not client.asynchronous and client.status == "running" else None


def _hear(event: tuple[float, Any]) -> None:
    _, told = event
    _write([Fault(**{**values, "block": tuple(values["block"])}) for values in told])


def _write(faults: Sequence[Fault]) -> None:
    with _lock:
        for fault in faults:
            _ledger.setdefault(fault.token, {})[fault.place] = fault
