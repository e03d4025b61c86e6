"""The lives "scheduler" and "worker" of copies of the lab's template: distributed's own commands, imported already."""

from importlib import import_module
from typing import Any, NoReturn

import click
from distributed.cli import dask_scheduler, dask_worker

from earthlab.hub.layout import MARKER
from earthlab.kernel.fresh import renew_settings
from earthlab.kernel.memory import go_first
from earthlab.kernel.process import show_environment
from earthlab.services.gateway.processes import CLUSTER_MARK, SCORES

_LATE = (
    "dask_gateway.scheduler_preload",
    "earthlab.services.gateway.preload_scheduler",
    "earthlab.services.gateway.preload_worker",
)
"""What schedulers and workers import only as they start: here the template does it for all."""

for name in _LATE:
    import_module(name)


def run_scheduler(content: dict[str, Any]) -> NoReturn:
    """Be a scheduler; ``arguments`` are those of the command line."""
    _run(dask_scheduler.main, SCORES["scheduler"], content)


def run_worker(content: dict[str, Any]) -> NoReturn:
    """Be a worker; ``arguments`` are those of the command line."""
    _run(dask_worker.main, SCORES["worker"], content)


def _run(command: click.Command, score: int, content: dict[str, Any]) -> NoReturn:
    go_first(score)
    show_environment((MARKER, CLUSTER_MARK))
    renew_settings()
    command.main(args=content["arguments"])
