"""How long tests wait for what other processes do: as long as a busy machine may need; who waits in vain says so."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0


def eventually(found: Callable[[], Any], seconds: float = PATIENCE, *, what: str = "", every: float = 0.05) -> Any:
    """What a question gives, once it is true."""
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {what or found}"
        time.sleep(every)
    return answer


async def eventually_async(found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The same beside an event loop; a question may be a coroutine function."""
    until = time.monotonic() + seconds
    while not (answer := await answer if asyncio.iscoroutine(answer := found()) else answer):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {found}"
        await asyncio.sleep(0.05)
    return answer
