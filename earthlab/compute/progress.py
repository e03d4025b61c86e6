"""The progress of a computation, in the cell that waits for it."""

import sys
import time
from typing import Any, TypeVar

from earthlab.compute.cluster import THEIRS, computes_shared
from earthlab.errors import BadRequest
from earthlab.notice import Notice

T = TypeVar("T")


def progress(lazy: T, *, delay: float = 1.0) -> T:
    """The same object computed and held where it is computed; meanwhile a line counts the blocks that are done.

    On a cluster the blocks stay in the workers' memory, else in this process. Dask's own bar only moves once the cell
    is over, because the cell itself keeps the notebook busy; this one is written from the cell that waits.

    Parameters
    ----------
    lazy : xarray.Dataset, xarray.DataArray, dask collection
        What is to be computed.
    delay : float
        Seconds before the line appears; a computation that is faster shows nothing.

    Returns
    -------
    Same type as `lazy`
        Still chunked. ``.compute()`` brings the blocks into the kernel.

    Raises
    ------
    BadRequest
        Where there is nothing lazy to compute.
    """
    from dask.base import is_dask_collection  # 0.1 s to import: not with `import earthlab`

    if not is_dask_collection(lazy):
        raise BadRequest(f"progress: found {type(lazy).__name__} without lazy blocks, expected an open cube.")
    with Notice(delay) as notice:
        held: T = _on_cluster(lazy, notice) if _has_client() else _in_process(lazy, notice)
    return held


def _has_client() -> bool:
    if "distributed" not in sys.modules:
        return False
    from distributed import default_client  # loaded already

    try:
        default_client()
    except ValueError:
        return False
    return True


def _on_cluster(lazy: Any, notice: Notice) -> Any:
    from distributed import default_client, futures_of  # loaded already

    place = f"{THEIRS} · " if computes_shared(default_client()) else ""
    held = lazy.persist()
    futures = futures_of(held)
    started = time.monotonic()
    while (done := sum(f.done() for f in futures)) < len(futures):
        notice.say(place + _bar(done, len(futures), time.monotonic() - started))
        time.sleep(0.2)
    notice.say(place + _bar(done, len(futures), time.monotonic() - started))
    for future in futures:
        if future.status == "error":
            future.result()
    return held


def _in_process(lazy: Any, notice: Notice) -> Any:
    from dask.callbacks import Callback  # as above

    started = time.monotonic()

    def say(_key: Any, _value: Any, _graph: Any, state: Any, _worker: Any) -> None:
        done = len(state["finished"])
        left = sum(len(state[name]) for name in ("ready", "waiting", "running"))
        notice.say(_bar(done, done + left, time.monotonic() - started))

    with Callback(posttask=say):
        return lazy.persist()


def _bar(done: int, total: int, seconds: float) -> str:
    full = round(20 * done / max(total, 1))
    left = f", ≈ {_duration(seconds / done * (total - done))}" if 0 < done < total else ""
    return f"{'█' * full}{'░' * (20 - full)} {done}/{total} blocs | blocks{left}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
