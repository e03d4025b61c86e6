"""A real dask cluster of processes on this machine, each of which can be killed."""

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

from distributed import Scheduler, Worker

_START = 120.0
"""Seconds that a scheduler gets to listen, and a worker to find it."""

_END = 30.0
"""Seconds that a process gets to be gone once it was told to, or lost its scheduler."""


@dataclass(slots=True)
class KillableCluster:
    """A scheduler and workers of one thread, without nannies: what is killed stays dead until another is started."""

    context: ForkServerContext
    address: str
    """Of the scheduler, for a ``distributed.Client``."""
    scheduler: ForkServerProcess
    workers: list[ForkServerProcess] = field(default_factory=list)

    def start_worker(self) -> None:
        """One more worker; it joins a moment later."""
        worker = self.context.Process(target=_work, args=(self.address,), daemon=True)
        worker.start()
        self.workers.append(worker)

    def kill_scheduler(self) -> None:
        """End the scheduler by SIGKILL."""
        _kill(self.scheduler)

    def kill_worker(self) -> None:
        """End the oldest worker by SIGKILL."""
        _kill(self.workers.pop(0))

    def is_gone(self) -> bool:
        """Whether every process ends by itself, as they do without a scheduler; who still looks for it, later."""
        for process in (self.scheduler, *self.workers):
            process.join(_START + _END)
        return not any(process.is_alive() for process in (self.scheduler, *self.workers))


@contextmanager
def start_cluster(workers: int = 2) -> Iterator[KillableCluster]:
    """A cluster of so many workers on the loopback address, forked off a template that has imported the cube engine.

    All of its processes are gone at the end of the block.

    Raises
    ------
    TimeoutError
        Where the scheduler does not come up.
    """
    context = multiprocessing.get_context("forkserver")
    listening, tells = context.Pipe(duplex=False)
    scheduler = context.Process(target=_schedule, args=(tells,), daemon=True)
    scheduler.start()
    try:
        if not listening.poll(_START):
            raise TimeoutError(f"The scheduler of a test did not listen within {_START:.0f} s.")
        cluster = KillableCluster(context, listening.recv(), scheduler)
        try:
            for _ in range(workers):
                cluster.start_worker()
            yield cluster
        finally:
            for worker in cluster.workers:
                _kill(worker)
    finally:
        _kill(scheduler)


def _kill(process: ForkServerProcess) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
    process.join(_END)


def _schedule(tells: "Connection[str, Any]") -> None:
    async def live() -> None:
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as scheduler:
            tells.send(scheduler.address)
            await scheduler.finished()

    _run_quietly(live())


def _work(address: str) -> None:
    async def live() -> None:
        async with Worker(
            address, nthreads=1, dashboard=False, dashboard_address="127.0.0.1:0", death_timeout=_START
        ) as worker:
            await worker.finished()

    _run_quietly(live())


def _run_quietly(life: Any) -> None:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    asyncio.run(life)
