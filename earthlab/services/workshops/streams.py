"""The lines to the walls: one picture at the beginning, then what changes, four times a second at most."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress

from earthlab.services.workshops.rooms import Broadcast, Room

PERIOD = 0.25
_KEEP_ALIVE = 15.0
_MOST_WAITING = 200


class Streams:
    """All lines; of each room changes are worked out once, however many watch.

    Parameters
    ----------
    names : callable
        What the participants of a workshop want to be called, by seat.
    """

    def __init__(self, names: Callable[[str], Mapping[int, str]]) -> None:
        self._names = names
        self._channels: dict[str, _Channel] = {}

    async def follow(self, room: Room) -> AsyncGenerator[str, None]:
        """Server-sent events for one wall. It ends where the wall takes too little: it comes back for a picture."""
        channel = self._channels.get(room.entry.slug)
        if channel is None or channel.broadcast.room is not room:
            slug = room.entry.slug
            channel = self._channels[slug] = _Channel(Broadcast(room, lambda: self._names(slug)))
        async with aclosing(channel.follow()) as events:
            async for event in events:
                yield event


class _Channel:
    """The walls of one room."""

    def __init__(self, broadcast: Broadcast) -> None:
        self.broadcast = broadcast
        self._walls: set[asyncio.Queue[str | None]] = set()
        self._task: asyncio.Task[None] | None = None

    async def follow(self) -> AsyncGenerator[str, None]:
        # What has changed goes to the others first, so that the picture is of the same moment for all.
        self._send()
        queue: asyncio.Queue[str | None] = asyncio.Queue(_MOST_WAITING)
        first = self.broadcast.picture()
        self._walls.add(queue)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        try:
            yield first
            while True:
                event: str | None = ": \n\n"
                with suppress(TimeoutError):
                    event = await asyncio.wait_for(queue.get(), _KEEP_ALIVE)
                if event is None:
                    return
                yield event
        finally:
            self._walls.discard(queue)
            if not self._walls and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            self._send()

    def _send(self) -> None:
        if not self._walls:
            return
        event = self.broadcast.change()
        for queue in tuple(self._walls) if event else ():
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._walls.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
