"""Jupyter Server's way to start a kernel, without its wait."""

import asyncio
import inspect
from typing import Any

from jupyter_client.ioloop.manager import AsyncIOLoopKernelManager
from jupyter_client.manager import KernelManager
from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

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


class LabKernelManager(ServerKernelManager, _PromptKernelManager):
    """What a server of the lab's has for each kernel."""
