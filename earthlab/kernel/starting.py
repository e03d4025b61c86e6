"""Jupyter Server's way to start a kernel, without its wait."""

import asyncio
import inspect
from typing import Any, cast
from weakref import WeakSet

from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import KernelManager
from jupyter_events import EventLogger
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager
from traitlets import default

_START = inspect.unwrap(vars(KernelManager)["_async_start_kernel"])


class _PromptKernelManager(AsyncIOLoopKernelManager):
    """Tells that its kernel has started when it has: jupyter_client lets 10 ms pass first, for its own tests."""

    async def _async_start_kernel(self, **words: Any) -> None:
        if self._attempted_start or not self._ready:
            self._ready = asyncio.get_running_loop().create_future()
        try:
            await _START(self, **words)
        except Exception as exc:
            self._ready.set_exception(exc)
            self.log.exception(self._ready.exception())
            raise
        if self.owns_kernel:
            self._ready.set_result(None)

    start_kernel = _async_start_kernel  # type: ignore[assignment]  # as AsyncKernelManager does


_KNOWING: WeakSet[EventLogger] = WeakSet()
"""Servers' loggers of events that have read what kernels may tell."""


class LabKernelManager(ServerKernelManager, _PromptKernelManager):
    """What a server of the lab's has for each kernel."""

    @default("event_logger")
    def _server_event_logger(self) -> EventLogger:
        """The server's, which reads the descriptions of events once: Jupyter Server does it for each kernel, 6 ms."""
        logger: EventLogger | None = getattr(getattr(self.parent, "parent", None), "event_logger", None)
        if logger is None or logger not in _KNOWING:
            logger = cast("EventLogger", self._default_event_logger())
            _KNOWING.add(logger)
        return logger
