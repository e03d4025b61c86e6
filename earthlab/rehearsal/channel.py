"""The connection of an open notebook to its kernel, as JupyterLab holds it, with what a loss of it does."""

import asyncio
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from earthlab.rehearsal.browser import Browser, Trouble
from earthlab.rehearsal.messages import PROTOCOL, Message, execute, is_picture, pack, request, unpack, widget_model

_DEAD = {"restarting", "autorestarting", "dead"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one cell ended: ``picture`` is the event loop's time at which the first picture came."""

    error: str = ""
    picture: float | None = None


@dataclass(slots=True)
class Channel:
    """A kernel's channels on one WebSocket. The session's id is what lets a lost connection be taken up again."""

    browser: Browser
    url: str
    session: str = field(default_factory=lambda: str(uuid.uuid4()))
    bytes_read: int = 0
    _socket: aiohttp.ClientWebSocketResponse = field(init=False)
    _listener: asyncio.Task[None] = field(init=False)
    _heard: asyncio.Queue[Message | Trouble] = field(default_factory=asyncio.Queue)
    _widgets: dict[str, str] = field(default_factory=dict)
    _taken_up: dict[str, asyncio.Event] = field(default_factory=dict)
    """By the message that asks for a cell: set once the kernel says anything of it."""

    async def open(self) -> None:
        """Connect, for the first time or again."""
        self._socket = await self.browser.connect(f"{self.url}?session_id={self.session}", PROTOCOL)
        self._listener = asyncio.create_task(self._listen(self._socket))

    async def drop(self) -> None:
        """Lose the connection as a laptop that is shut loses it: nobody says goodbye."""
        self._listener.cancel()
        with suppress(asyncio.CancelledError):
            await self._listener
        line = self._socket.get_extra_info("socket")
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        await self._socket.close()

    async def greet(self, frames: Sequence[Mapping[str, Any]], patience: float) -> None:
        """Say what JupyterLab says to a kernel that it has just reached, and wait until the kernel has told who it is.

        Raises
        ------
        Trouble
            Where the kernel does not answer in time.
        """
        first = request("shell", "kernel_info_request", {})
        await self._send(first)
        await self._until(first, "kernel_info_reply", patience, "the kernel does not answer")
        control = uuid.uuid4().hex
        for frame in frames:
            if frame["msg_type"] not in {"kernel_info_request", "delete_subshell_request"}:
                content = dict(frame["content"])
                await self._send(
                    request(
                        frame["channel"],
                        frame["msg_type"],
                        content | ({"comm_id": control} if "comm_id" in content else {}),
                    )
                )

    async def start(self, code: str) -> Message:
        """Send a cell to be run; its outputs and its end are waited for by ``finish``."""
        sent = execute(code)
        self._taken_up[sent.msg_id] = asyncio.Event()
        await self._send(sent)
        return sent

    async def wait_for_begin(self, sent: Message, patience: float) -> None:
        """Wait until the kernel has taken up a cell: a request that the network swallows is run again by anybody.

        Raises
        ------
        Trouble
            Where it does not in time.
        """
        try:
            await asyncio.wait_for(self._taken_up[sent.msg_id].wait(), patience)
        except TimeoutError as exc:
            raise Trouble("timeout", "the cell has not begun (waited to the end of patience)") from exc

    async def finish(self, sent: Message, patience: float) -> Outcome:
        """Wait for all that a cell says until it has ended.

        Raises
        ------
        Trouble
            Where the kernel dies, the connection breaks, or no end comes in time.
        """
        replied = idle = False
        error, picture = "", None
        clock = asyncio.get_running_loop().time
        until = clock() + patience
        while not (replied and idle):
            message = await self._next(until - clock(), "the cell has not ended")
            if (model := widget_model(message)) is not None:
                self._widgets[model[0]] = model[1]
            if message.parent != sent.msg_id:
                continue
            if picture is None and is_picture(message, self._widgets):
                picture = clock()
            if message.msg_type == "error":
                error = f"{message.content.get('ename')}: {message.content.get('evalue')}"[:300]
            replied |= message.msg_type == "execute_reply"
            idle |= _state(message) == "idle"
        return Outcome(error, picture)

    async def _send(self, message: Message) -> None:
        try:
            await self._socket.send_bytes(pack(message, self.session))
        except (ConnectionError, aiohttp.ClientError) as exc:
            raise Trouble("connection", f"the kernel's WebSocket broke while sending: {exc}") from exc

    async def _until(self, sent: Message, kind: str, patience: float, otherwise: str) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + patience
        while True:
            message = await self._next(until - clock(), otherwise)
            if message.parent == sent.msg_id and message.msg_type == kind:
                return

    async def _next(self, patience: float, otherwise: str) -> Message:
        try:
            heard = await asyncio.wait_for(self._heard.get(), max(patience, 0.01))
        except TimeoutError as exc:
            raise Trouble("timeout", f"{otherwise} (waited to the end of patience)") from exc
        if isinstance(heard, Trouble):
            raise heard
        if heard.channel == "iopub" and _state(heard) in _DEAD:
            raise Trouble("kernel died", f"the server says that the kernel is {_state(heard)}")
        return heard

    async def _listen(self, line: aiohttp.ClientWebSocketResponse) -> None:
        async for frame in line:
            if frame.type == aiohttp.WSMsgType.BINARY:
                self.bytes_read += len(frame.data)
                message = _without_weight(unpack(frame.data))
                if message.parent in self._taken_up:
                    self._taken_up[message.parent].set()
                self._heard.put_nowait(message)
        self._heard.put_nowait(Trouble("connection", f"the kernel's WebSocket was closed (code {line.close_code})"))


def _without_weight(message: Message) -> Message:
    # What waits in a queue for a person who thinks must not hold pictures of megabytes.
    return Message(message.channel, message.msg_type, message.msg_id, message.content, message.parent)


def _state(message: Message) -> str:
    return str(message.content.get("execution_state", "")) if message.msg_type == "status" else ""
