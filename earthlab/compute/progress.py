"""The progress of a computation, in the cell that waits for it."""

import time
from typing import Any, TypeVar

from earthlab.compute.notice import Notice
from earthlab.errors import BadRequest

T = TypeVar("T")


def progress(lazy: T, *, delay: float = 1.0) -> T:
    """The same object computed and held in the cluster's memory; meanwhile a line counts the blocks that are done.

    Dask's own bar only moves once the cell is over, because the cell itself keeps the notebook busy; this one is
    written from the cell that waits.

    Parameters
    ----------
    lazy : xarray.Dataset, xarray.DataArray, dask collection
        What is to be computed.
    delay : float
        Seconds before the line appears; a computation that is faster shows nothing.

    Returns
    -------
    Same type as `lazy`
        Still chunked; its blocks are in the workers' memory. ``.compute()`` brings them into the kernel.

    Raises
    ------
    BadRequest
        Where there is no cluster to compute on, or nothing lazy to compute.
    """
    from distributed import futures_of  # imported when a cluster is at hand, which has imported it

    held: Any = _persisted(lazy)
    futures = futures_of(held)
    with Notice(delay) as notice:
        while (done := sum(f.done() for f in futures)) < len(futures):
            notice.say(_bar(done, len(futures)))
            time.sleep(0.2)
        notice.say(_bar(done, len(futures)))
    _raise_first_fault(futures)
    return held  # type: ignore[no-any-return]


def _persisted(lazy: Any) -> Any:
    from dask.base import is_dask_collection  # as above
    from distributed import default_client

    if not is_dask_collection(lazy):
        raise BadRequest(f"progress: found {type(lazy).__name__} without lazy blocks, expected an open cube.")
    try:
        default_client()
    except ValueError as exc:
        raise BadRequest("progress: there is no cluster. Start one: with el.cluster() as client: …") from exc
    return lazy.persist()


def _raise_first_fault(futures: list[Any]) -> None:
    for future in futures:
        if future.status == "error":
            future.result()


def _bar(done: int, total: int) -> str:
    full = round(20 * done / total)
    return f"{'█' * full}{'░' * (20 - full)} {done}/{total} blocs | blocks"
