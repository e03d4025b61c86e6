"""The door's side of users' servers that run as pods: by WebSockets of their own servers, through the hub's proxy.

The other side is `earthlab.services.ssh.inside`, which a pod's server loads.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from earthlab.errors import CatalogueUnavailable, NotAllowed
from earthlab.services.ssh.flows import BLOCK
from earthlab.services.ssh.lines import HOLD, PORT, PROGRAM, STDERR, STDIN, STDOUT, Request
from earthlab.services.ssh.places import Size, Terminal, Wish
from earthlab.services.ssh.servers import Servers

LOST = 255
"""The exit code where the line to the pod was lost before the program's end was told."""

_WITHIN = 30.0
"""Seconds for a pod to answer."""
_BEAT = 30.0
"""Seconds between signs of life, after which a line is given up."""

_AWAY = "Votre serveur ne répond pas, réessayez. · Your server does not answer, try again."
_NO_DOOR = (
    "Votre serveur n’a pas d’entrée ssh : arrêtez-le et revenez. · "
    "Your server has no way in by ssh: stop it and come again."
)


@dataclass(frozen=True, slots=True)
class Pods:
    """Servers behind the hub's proxy."""

    proxy: str
    """Its address, without a path."""
    servers: Servers

    async def reach(self, user: str, mark: str) -> "Pod":
        """Have the pod know of the connection, which ends what it has started when the line does."""
        pod = Pod(self.proxy + await self.servers.find_path(user), self.servers.token, mark)
        await pod.hold()
        return pod

    def sweep(self) -> None:
        """Nothing: a pod ends what the connections of an earlier door have left, whose lines are gone."""


@dataclass(slots=True)
class Pod:
    """Inside a server in a pod."""

    url: str
    """Of the server, with a slash at its end."""
    token: str = field(repr=False)
    mark: str
    _hold: "Line | None" = None
    _task: asyncio.Task[None] | None = None

    async def hold(self) -> None:
        """Take the line that stands for the connection."""
        self._hold = await open_line(f"{self.url}{HOLD}?mark={self.mark}", self.token)
        self._task = asyncio.create_task(self._until_lost(self._hold))

    async def start(self, wish: Wish, terminal: Terminal | None, words: Mapping[str, str]) -> "Far":
        """Start it in the pod, over a line of its own."""
        line = await open_line(f"{self.url}{PROGRAM}", self.token, Request(wish, terminal, words).render())
        return Far(line, terminal=terminal is not None)

    async def connect(self, port: int) -> socket.socket:
        """By the pod's own loopback address."""
        line = await open_line(f"{self.url}{PORT}?port={port}", self.token)
        ours, theirs = _pair()
        _keep(_carry(line, {STDIN: theirs}, lambda _: None))
        return ours

    def stands(self) -> bool:
        """Whether the line is there."""
        return self._task is not None and not self._task.done()

    async def leave(self) -> None:
        """Give up the line: the pod ends what has begun."""
        if self._hold is not None:
            await self._hold.close()
        if self._task is not None:
            await self._task

    async def _until_lost(self, line: "Line") -> None:
        async for _ in line.messages():
            # The inside has nothing to say here.
            continue
        await line.close()


class Far:
    """A program in a pod, with the streams of one on this machine."""

    def __init__(self, line: "Line", *, terminal: bool) -> None:
        self._line = line
        self._code = LOST
        self.handle = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        pairs = {stream: _pair() for stream in ((STDIN,) if terminal else (STDIN, STDOUT, STDERR))}
        ours = {stream: pair[0].detach() for stream, pair in pairs.items()}
        self.stdin, self.stdout = ours[STDIN], ours.get(STDOUT, ours[STDIN])
        self.stderr = ours.get(STDERR)
        self._task = _keep(self._run({stream: pair[1] for stream, pair in pairs.items()}))

    def send(self, name: str) -> None:
        """Have it signalled in the pod."""
        _keep(self._line.tell(signal=name))

    def resize(self, size: Size) -> None:
        """Have its terminal told."""
        _keep(self._line.tell(size=size))

    def reap(self) -> int:
        """As the pod has told."""
        return self._code

    def close(self) -> None:
        """Forget it, and give up its line."""
        handle, self.handle = self.handle, -1
        os.close(handle)
        self._task.cancel()

    async def _run(self, ends: Mapping[int, socket.socket]) -> None:
        try:
            await _carry(self._line, ends, self._note_exit)
        finally:
            if self.handle >= 0:
                os.eventfd_write(self.handle, 1)

    def _note_exit(self, code: int) -> None:
        self._code = code
        if self.handle >= 0:
            os.eventfd_write(self.handle, 1)


@dataclass(slots=True)
class Line:
    """A WebSocket to a pod."""

    session: aiohttp.ClientSession
    socket: aiohttp.ClientWebSocketResponse
    _closing: bool = False

    async def send(self, stream: int, data: bytes) -> None:
        """Bytes of a stream; on a line that is gone, nothing."""
        with suppress(ConnectionError):
            await self.socket.send_bytes(bytes([stream]) + data)

    async def tell(self, **said: Any) -> None:
        """Anything else; on a line that is gone, nothing."""
        with suppress(ConnectionError):
            await self.socket.send_json(said)

    async def messages(self) -> AsyncIterator[bytes | Mapping[str, Any]]:
        """What the pod says, until the line is gone."""
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                yield message.data
            elif message.type is aiohttp.WSMsgType.TEXT:
                yield json.loads(message.data)

    async def close(self) -> None:
        """Give it up, once: a second time in the midst of the first would cut off the pod's farewell."""
        if not self._closing:
            self._closing = True
            await self.socket.close()
            await self.session.close()


async def open_line(url: str, token: str, first: str = "") -> Line:
    """A line that the inside of a pod has taken.

    Parameters
    ----------
    first : str
        What is said first.

    Raises
    ------
    NotAllowed
        Where the inside refuses, with its words, or the pod has none.
    CatalogueUnavailable
        Where the pod cannot be reached.
    """
    session = aiohttp.ClientSession(headers={"Authorization": f"token {token}"})
    try:
        async with asyncio.timeout(_WITHIN):
            line = Line(session, await session.ws_connect(url, heartbeat=_BEAT, max_msg_size=2 * BLOCK))
            if first:
                await line.socket.send_str(first)
            said = json.loads(await line.socket.receive_str())
    except aiohttp.WSServerHandshakeError as exc:
        await session.close()
        if exc.status in {403, 404, 405}:
            raise NotAllowed(_NO_DOOR) from exc
        raise CatalogueUnavailable(_AWAY) from exc
    except (aiohttp.ClientError, TimeoutError, TypeError, ValueError) as exc:
        await session.close()
        raise CatalogueUnavailable(_AWAY) from exc
    except BaseException:
        await session.close()
        raise
    if "refused" in said:
        await line.close()
        raise NotAllowed(str(said["refused"]))
    return line


async def _carry(line: Line, ends: Mapping[int, socket.socket], note_exit: Callable[[int], None]) -> None:
    """Carry bytes between the line and our ends of the streams until the pod gives up the line, or we are cancelled."""
    streams = {stream: await asyncio.open_connection(sock=end, limit=BLOCK) for stream, end in ends.items()}
    up = [asyncio.create_task(_carry_up(line, stream, reader)) for stream, (reader, _) in streams.items()]
    try:
        async for message in line.messages():
            if isinstance(message, bytes):
                with suppress(ConnectionError, KeyError):
                    # Of a stream that its reader has closed, nothing is wanted any more.
                    writer = streams[message[0]][1]
                    writer.write(message[1:])
                    await writer.drain()
            elif "end" in message:
                with suppress(OSError):
                    streams[message["end"]][1].write_eof()
            elif "exit" in message:
                note_exit(int(message["exit"]))
    finally:
        for task in up:
            task.cancel()
        for _, writer in streams.values():
            writer.close()
        await line.close()


async def _carry_up(line: Line, stream: int, reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(BLOCK):
            await line.send(stream, data)
    await line.tell(end=stream)


def _pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)  # noqa: FBT003 - the method's own way
    return ours, theirs


_KEPT: set[asyncio.Task[None]] = set()


def _keep(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run something that nobody waits for."""
    task = asyncio.get_running_loop().create_task(work)
    _KEPT.add(task)
    task.add_done_callback(_KEPT.discard)
    return task
