"""A server that is away for a while: a relay before it that hands every connection on, or answers 503 to all."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from earthlab.testing.ports import free_row

_AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_PIECE = 1 << 16


@dataclass(slots=True)
class Relay:
    """Stands before a server of this machine."""

    port: int
    target: int
    loop: asyncio.AbstractEventLoop = field(repr=False)
    is_away: bool = False
    _lines: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where to ask it."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def away(self) -> Iterator[None]:
        """For the length of the block everybody gets 503; what is being answered is cut."""
        self.is_away = True
        self.loop.call_soon_threadsafe(self.cut)
        try:
            yield
        finally:
            self.is_away = False

    def cut(self) -> None:
        """End every connection in the middle."""
        for line in self._lines:
            line.transport.abort()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand one connection on, or send it away."""
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            if self.is_away:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_AWAY)
                await writer.drain()
            else:
                await self._hand_on(reader, writer)
        writer.close()

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", self.target)
        self._lines |= {writer, on}
        try:
            await asyncio.gather(_pour(reader, on), _pour(back, writer))
        finally:
            self._lines -= {writer, on}
            on.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(_PIECE):
        sink.write(piece)
        await sink.drain()
    sink.close()


@contextmanager
def serve_relay(target: int) -> Iterator[Relay]:
    """A relay before a port of this machine; it is gone with the block."""
    found: list[Relay] = []
    stop, serves = asyncio.Event(), threading.Event()

    async def serve() -> None:
        relay = Relay(free_row(1), target, asyncio.get_running_loop())
        async with await asyncio.start_server(relay.answer, "127.0.0.1", relay.port):
            found.append(relay)
            serves.set()
            await stop.wait()
            relay.cut()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    serves.wait()
    try:
        yield found[0]
    finally:
        found[0].loop.call_soon_threadsafe(stop.set)
        thread.join()
