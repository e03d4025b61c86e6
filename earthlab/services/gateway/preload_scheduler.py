"""Preload of each scheduler: no plain HTTP, and an end some seconds after the last client is gone."""

import asyncio
import logging
import os
import time
from typing import Any

from distributed import SchedulerPlugin

from earthlab.compute.pages import close_pages
from earthlab.services.gateway.leases import LEASE, Attendance

START_GRACE = 60.0
"""Seconds a new cluster waits for its first client."""

_log = logging.getLogger("distributed.scheduler")


async def dask_setup(scheduler: Any) -> None:
    """Close the HTTP server and begin to watch for clients."""
    close_pages(scheduler)
    watch = ClientWatch(float(os.environ[LEASE]))
    scheduler.add_plugin(watch)
    scheduler.earthlab_lease = asyncio.create_task(watch.run(scheduler))


class ClientWatch(SchedulerPlugin):
    """Closes its scheduler when no client has been there for `lease` seconds."""

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self.attendance = Attendance(time.monotonic())

    def add_client(self, scheduler: Any, client: str) -> None:  # noqa: ARG002  the plugin's signature
        """Note a client that comes, however short it stays."""
        self._look(scheduler)

    def _look(self, scheduler: Any) -> None:
        clients = sum(name != "fire-and-forget" for name in scheduler.clients)
        self.attendance = self.attendance.seen(time.monotonic(), clients=clients)

    async def run(self, scheduler: Any) -> None:
        """Look from time to time, and end the scheduler when the lease is over."""
        while not self.attendance.ended(time.monotonic(), lease=self.lease, grace=START_GRACE):
            await asyncio.sleep(min(2.0, self.lease / 4))
            self._look(scheduler)
        _log.warning("No client for %.0f s: the cluster ends", self.lease)
        await scheduler.close(reason="no client")
