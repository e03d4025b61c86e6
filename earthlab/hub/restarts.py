"""The lab's services that end are started again within seconds: by itself, JupyterHub looks every half minute."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

EVERY = 2.0
"""Seconds between two looks."""

_SETTLED = 20.0
"""Seconds that a service must have run: what ends as it starts is left to JupyterHub's own, slower pace."""


@dataclass(slots=True)
class ServiceWatch:
    """Remembers since when the process of each service has run."""

    clock: Callable[[], float] = time.monotonic
    _since: dict[int, float] = field(default_factory=dict)

    async def look(self, services: Iterable[Any]) -> None:
        """Have JupyterHub start again what has ended.

        Parameters
        ----------
        services : iterable of jupyterhub.services.service.Service
            Those without a process of the hub's own are passed over.
        """
        now = self.clock()
        running = {service.proc.pid: service for service in services if service.managed and _is_watched(service)}
        self._since = {pid: self._since.get(pid, now) for pid in running}
        for pid, service in running.items():
            if now - self._since[pid] >= _SETTLED:
                await service.spawner.poll_and_notify()


def _is_watched(service: Any) -> bool:
    """Whether JupyterHub has started it and has not begun to stop it."""
    return bool(service.proc and service.spawner._poll_callback)  # noqa: SLF001 - it says so nowhere else
