"""The tasks of a build, on the current dask client or else on threads of this process, and waited for within bounds."""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, Protocol, TypeVar

import dask

from earthlab.cube.plan import CubePlan
from earthlab.cube.shared.lease import LeaseLost
from earthlab.errors import ComputeUnavailable, EarthlabError

_TICK = 1.0
"""Seconds without a result after which to look whether anybody is at work still."""

_ANSWER = 10.0
"""Seconds that a scheduler gets for an answer."""

T = TypeVar("T")


class ClusterLost(ComputeUnavailable):
    """The cluster that was at work is gone: its own misfortune, and not that of what was asked of it."""


class _Crew(Protocol):
    """Who does the tasks."""

    def submit(self, task: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """The future of a task on the plan."""
        ...

    def fetch(self, future: Any) -> Any:
        """The result of a future that is done, which is let go."""
        ...

    def call_off(self, futures: Iterable[Any]) -> None:
        """Have no future begun that is not yet."""
        ...

    def require_life(self) -> None:
        """Raise where nobody is left who would do what is pending."""
        ...


def run_tasks(
    plan: CubePlan,
    task: Callable[..., T],
    calls: Iterable[Sequence[Any]],
    *,
    lost: Event,
    patience: float,
) -> Generator[T, None, None]:
    """What a task makes of a plan and of each tuple of arguments, as the results come.

    What has not begun is called off when the caller stops asking. What has begun on a cluster goes on, and must see for
    itself that nobody wants it any more.

    Parameters
    ----------
    plan : CubePlan
        First argument of every call; to a cluster it travels once.
    task : callable
        To be found by its name on whichever worker.
    calls : iterable of tuple
        The other arguments of each call.
    lost : threading.Event
        Set when the builder is not to go on.
    patience : float
        Seconds to wait for a cluster that has no worker at all.

    Raises
    ------
    LeaseLost
        When ``lost`` is set.
    ClusterLost
        Where the scheduler is gone, or has had no worker for longer than ``patience``.
    ComputeUnavailable
        Where one task killed every worker that tried it.
    """
    finished: SimpleQueue[Any] = SimpleQueue()
    with _gathered_crew(plan, patience) as crew:
        pending: set[Any] = set()
        try:
            crew.require_life()
            for arguments in calls:
                future = crew.submit(task, arguments)
                pending.add(future)
                future.add_done_callback(finished.put)
            while pending:
                future = _next_finished(finished, crew, lost)
                yield crew.fetch(future)
                pending.discard(future)
        finally:
            crew.call_off(pending)


def _next_finished(finished: "SimpleQueue[Any]", crew: _Crew, lost: Event) -> Any:
    while not lost.is_set():
        try:
            return finished.get(timeout=_TICK)
        except Empty:
            crew.require_life()
    raise LeaseLost("The build of a shared cube was taken over by another builder.")


@contextmanager
def _gathered_crew(plan: CubePlan, patience: float) -> Iterator[_Crew]:
    client = _client()
    if client is not None:
        cluster = _Cluster(client, plan.token, patience)
        cluster.send(plan)
        yield cluster
        return
    threads = 1 if dask.config.get("scheduler", None) in {"sync", "synchronous", "single-threaded"} else None
    workers = threads or dask.config.get("num_workers", None) or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(workers, thread_name_prefix="earthlab-build") as pool:
        yield _Threads(pool, plan)


def _client() -> Any:
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        client = distributed.default_client()
    except ValueError:
        return None
    return None if client.asynchronous else client


@dataclass(frozen=True, slots=True)
class _Threads:
    """Threads of this process, which end with it."""

    pool: ThreadPoolExecutor
    plan: CubePlan

    def submit(self, task: Callable[..., Any], arguments: Sequence[Any]) -> Future[Any]:
        return self.pool.submit(task, self.plan, *arguments)

    def fetch(self, future: Future[Any]) -> Any:
        return future.result()

    def call_off(self, futures: Iterable[Future[Any]]) -> None:
        for future in futures:
            future.cancel()

    def require_life(self) -> None:
        """Threads are there for as long as who waits for them."""


@dataclass(slots=True)
class _Cluster:
    """Workers of a dask cluster, any of which may die, and the scheduler with all of them."""

    client: Any
    token: str
    patience: float
    plan: Any = None
    """The future of the plan."""
    _deserted: float | None = None
    """Since when no worker was seen."""

    def send(self, plan: CubePlan) -> None:
        """Have the plan over there, once for all tasks."""
        with self._translated():
            self.plan = self.client.submit(CubePlan.from_json, plan.to_json(), pure=False)

    def submit(self, task: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        with self._translated():
            return self.client.submit(task, self.plan, *arguments, pure=False)

    def fetch(self, future: Any) -> Any:
        """The result; and the future is let go at once, lest it be computed again when its worker dies."""
        with self._translated():
            while True:
                try:
                    result = future.result(timeout=_ANSWER)
                except TimeoutError:
                    if future.status == "error":
                        raise
                    self.require_life()
                else:
                    self._deserted = None
                    future.release()
                    return result

    def call_off(self, futures: Iterable[Any]) -> None:
        gone = list(futures)
        if gone and self.client.status == "running":
            with suppress(Exception):  # of a scheduler that dies in this moment nothing needs to be called off
                self.client.cancel(gone)

    def require_life(self) -> None:
        if self.client.status != "running":
            raise self._lost()
        if self._has_workers():
            self._deserted = None
            return
        now = time.monotonic()
        self._deserted = self._deserted or now
        if now - self._deserted > self.patience:
            raise ClusterLost(
                f"Le cluster qui construit le cube partagé {self.token} n'a plus aucun worker depuis "
                f"{self.patience:.0f} s. Prenez-en un autre, ou construisez sans cluster. | The cluster that builds "
                f"the shared cube {self.token} has had no worker for {self.patience:.0f} s. Take another "
                "(el.cluster()), or build without one."
            )

    def _has_workers(self) -> bool:
        try:
            return bool(self.client.nthreads(callback_timeout=_ANSWER))
        except OSError:  # nor is a worker of any use whose scheduler does not answer
            return False

    @contextmanager
    def _translated(self) -> Iterator[None]:
        from distributed import KilledWorker  # loaded already: there is a client
        from distributed.comm.core import CommClosedError

        try:
            yield
        except EarthlabError:
            raise
        except KilledWorker as exc:
            raise ComputeUnavailable(
                f"Un bloc du cube partagé {self.token} a tué {exc.allowed_failures + 1} workers de suite, le plus "
                "souvent faute de mémoire. Demandez des chunks plus petits ou des workers plus grands. | One block of "
                f"the shared cube {self.token} killed {exc.allowed_failures + 1} workers in a row, mostly for want of "
                "memory. Ask for smaller chunks (chunks=) or larger workers."
            ) from exc
        except Exception as exc:
            if isinstance(exc, CancelledError | CommClosedError) or self.client.status != "running":
                raise self._lost() from exc
            raise

    def _lost(self) -> ClusterLost:
        return ClusterLost(
            f"Le cluster qui construisait le cube partagé {self.token} a disparu : son scheduler ne répond plus. "
            "Fermez-le et relancez, avec un nouveau cluster ou sans. | The cluster that was building the shared cube "
            f"{self.token} is gone: its scheduler does not answer any more. Close it and run this again, with a new "
            "cluster (el.cluster()) or with none."
        )
