"""Preload of each worker: it bounds its memory, and what listens there asks for the cluster's certificate."""

import os
import resource
from pathlib import Path
from typing import Any

from earthlab.compute.pages import close_pages
from earthlab.hub.parts import read_memory
from earthlab.kernel.identity import lower
from earthlab.kernel.memory import trim_at_rest

STARTED = "EARTHLAB_WORKER_STARTED"
"""Variable with the path of a file that is there once the worker could start."""


def dask_setup(worker: Any) -> None:
    """Close the worker's plain HTTP server, bound its memory and have it give back what tasks leave; it has started."""
    close_pages(worker)
    trim_at_rest()
    count_own_memory(worker)
    if limit := worker.memory_manager.memory_limit:
        bound_memory(limit)
    Path(os.environ[STARTED]).touch()


def count_own_memory(worker: Any) -> None:
    """Have the worker leave out what it shared with others at its start: a copy is born with all of its template's.

    By what it counts it decides when to write blocks to disk and when to take no further task.
    """
    measure, memory = worker.monitor.get_process_memory, read_memory(os.getpid())
    assert memory is not None
    shared = measure() - memory.private
    worker.monitor.get_process_memory = lambda: max(0, measure() - shared)


def bound_memory(limit: int) -> None:
    """Let this process have so many bytes beyond those it has: who asks for more gets a `MemoryError`."""
    lower(resource.RLIMIT_DATA, _own_data() + limit)


def _own_data() -> int:
    # What RLIMIT_DATA bounds, getrlimit(2): for a copy all of its template's counts, though it is shared.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmData:")) * 1024
