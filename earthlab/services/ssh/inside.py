"""The inside of a pod, for who comes by ssh: routes of the user's own server by which the door starts programs in it.

Who may enter the server may use them, as they may open a terminal there. What a connection has started carries its
mark and ends with the line that stands for the connection, whatever has become of the door.
"""

import asyncio
import json
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from earthlab.errors import BadRequest, EarthlabError
from earthlab.hub.inside import Inside
from earthlab.kernel.identity import own_identity
from earthlab.services.ssh.flows import Sink, Source
from earthlab.services.ssh.lines import (
    HOLD,
    PORT,
    PROGRAM,
    STDERR,
    STDIN,
    STDOUT,
    parse_mark,
    parse_request,
    parse_size,
)
from earthlab.services.ssh.listeners import connect_to_own
from earthlab.services.ssh.places import MARK, Running, end_left, start_wish


@dataclass(slots=True)
class Connections:
    """Those that lead into this server: what each has started and runs, by its mark."""

    running: dict[str, list[Running]] = field(default_factory=dict)

    def start(self, mark: str, running: Running) -> None:
        """Note a program of a connection."""
        self.running[mark].append(running)

    def forget(self, mark: str, running: Running) -> None:
        """It has ended."""
        if running in (left := self.running.get(mark, [])):
            left.remove(running)

    async def end(self, mark: str) -> None:
        """End what a connection has left."""
        left = [each.copy() for each in self.running.pop(mark, [])]
        work = partial(end_left, left, f"{MARK}={mark}", os.getuid())
        await asyncio.get_running_loop().run_in_executor(None, work)


class LineHandler(WebSocketMixin, WebSocketHandler, JupyterHandler, ABC):
    """One line of the door's."""

    auth_resource = "terminals"

    def initialize(self, connections: Connections) -> None:
        """Take what all lines share."""
        super().initialize()
        self.connections = connections
        self._tasks: set[asyncio.Task[None]] = set()

    def set_default_headers(self) -> None:
        """None: this is no page."""

    def get_compression_options(self) -> None:
        """None: what is sent may be compressed already, and the door is near."""

    @ws_authenticated
    async def get(self, *args: Any, **words: Any) -> None:
        """Take the line of whoever may open a terminal here."""
        asked = self.authorizer.is_authorized(self, self.current_user, "execute", self.auth_resource)
        if not await ensure_async(asked):
            raise HTTPError(403)
        await super().get(*args, **words)

    async def open(self) -> None:
        """Begin, or say why not."""
        super().open()
        try:
            await self.begin()
        except (EarthlabError, OSError, ValueError) as exc:
            self.refuse(exc)

    @abstractmethod
    async def begin(self) -> None:
        """What a line of this kind begins with."""

    def refuse(self, why: Exception) -> None:
        """Say why not, and close."""
        self.tell(refused=str(why))
        self.close()

    def tell(self, **said: Any) -> None:
        """Say something that is no stream's."""
        self.send(json.dumps(said))

    def send(self, message: str | bytes) -> asyncio.Task[None]:
        """Send a message at once; the task is done when there is room for the next."""
        try:
            sent = self.write_message(message, binary=isinstance(message, bytes))
        except WebSocketClosedError:
            # Nobody is there to hear it.
            sent = asyncio.get_running_loop().create_future()
            sent.set_result(None)
        return self.keep(_until(sent))

    def keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something that outlives the moment."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class HoldHandler(LineHandler):
    """Stands for a connection."""

    mark = ""

    async def begin(self) -> None:
        """Note it."""
        mark = parse_mark(self.get_query_argument("mark", ""))
        if mark in self.connections.running:
            raise BadRequest("a connection's mark: it is held already.")
        self.connections.running[mark] = []
        self.mark = mark
        self.tell(ready=True)

    def on_message(self, message: str | bytes) -> None:
        """Nothing is said here."""

    def on_close(self) -> None:
        """End what it has begun."""
        if self.mark:
            self.keep(self.connections.end(self.mark))


class StreamHandler(LineHandler):
    """Carries streams."""

    def initialize(self, connections: Connections) -> None:
        """Nothing flows yet."""
        super().initialize(connections)
        self.sources: dict[int, Source] = {}
        self._takes = asyncio.Event()
        self._takes.set()
        # What tornado waits for before it reads on, so that a slow program holds its sender up.
        self.sink = Sink(self._takes.clear, self._takes.set)

    async def on_message(self, message: str | bytes) -> None:
        """Hand on bytes, or hear what is said."""
        if isinstance(message, str):
            self.hear(json.loads(message))
        elif message[:1] == bytes([STDIN]):
            self.sink.put(message[1:])
            await self._takes.wait()

    def hear(self, said: Mapping[str, Any]) -> None:
        """The end of a stream: of what we read, the door wants no more."""
        if said.get("end") == STDIN:
            self.end_input()
        elif said.get("end") in self.sources:
            self.sources[said["end"]].close()

    def end_input(self) -> None:
        """Nothing more comes."""
        self.sink.end()

    def listen(self, stream: int, file: int) -> None:
        """Send what a descriptor gives, as fast as it is taken."""
        source = Source(file, lambda data: self._give(stream, data), lambda: self.note_end(stream))
        self.sources[stream] = source
        source.resume()

    def note_end(self, stream: int) -> None:
        """A stream has ended."""
        self.tell(end=stream)

    def _give(self, stream: int, data: bytes) -> None:
        self.sources[stream].pause()
        sent = self.send(bytes([stream]) + data)
        sent.add_done_callback(lambda _: self.sources[stream].resume())

    def on_close(self) -> None:
        """Read and write no more."""
        self._takes.set()
        self.sink.close()
        for source in self.sources.values():
            source.close()


class ProgramHandler(StreamHandler):
    """A program, started by the first message; it goes on as long as its connection, also without this line."""

    running: Running | None = None
    is_terminal = False

    async def begin(self) -> None:
        """Wait for what is to be started."""

    async def on_message(self, message: str | bytes) -> None:
        """Start it, then hand on."""
        if self.running is not None:
            await super().on_message(message)
            return
        try:
            self._start(str(message))
        except (EarthlabError, OSError, ValueError) as exc:
            self.refuse(exc)

    def _start(self, message: str) -> None:
        request = parse_request(message)
        mark = request.words[MARK]
        if mark not in self.connections.running:
            raise BadRequest("a connection's mark: nobody holds it.")
        inside = Inside(own_identity(), dict(os.environ), str(Path.home()))
        # In this thread: what is started is tied to the one that has started it.
        self.running = running = start_wish(inside, request.wish, request.terminal, request.words)
        self.connections.start(mark, running)
        self.is_terminal = request.terminal is not None
        self.tell(ready=True)
        self.listen(STDIN if self.is_terminal else STDOUT, running.stdout)
        if running.stderr is not None:
            self.listen(STDERR, running.stderr)
        # Of its own: the two ends of a terminal are closed one after the other.
        self.sink.open(os.dup(running.stdin) if self.is_terminal else running.stdin)
        asyncio.get_running_loop().add_reader(running.handle, self._note_exit, mark, running)

    def hear(self, said: Mapping[str, Any]) -> None:
        """A signal, or the size of a terminal, too."""
        assert self.running is not None
        if "signal" in said and self.running.handle >= 0:
            self.running.send(str(said["signal"]))
        elif "size" in said and self.is_terminal and self.sources[STDIN].file >= 0:
            self.running.resize(parse_size(said["size"]))
        else:
            super().hear(said)

    def end_input(self) -> None:
        """Nothing more comes; of a terminal that means that nobody looks at it any more."""
        if self.is_terminal:
            self.sink.close()
            self.sources[STDIN].close()
        else:
            super().end_input()

    def _note_exit(self, mark: str, running: Running) -> None:
        asyncio.get_running_loop().remove_reader(running.handle)
        code = running.reap()
        self.connections.forget(mark, running)
        running.close()
        self.tell(exit=code)


class PortHandler(StreamHandler):
    """A port of the user's own."""

    async def begin(self) -> None:
        """Connect to it."""
        line = await connect_to_own(int(self.get_query_argument("port", "")), os.getuid())
        with line:
            self.tell(ready=True)
            self.listen(STDIN, os.dup(line.fileno()))
            self.sink.open(os.dup(line.fileno()), _finish)

    def note_end(self, stream: int) -> None:
        """It says no more; where we have nothing more to say either, that was all."""
        super().note_end(stream)
        if self.sink.ended:
            self.close()

    def end_input(self) -> None:
        """We have nothing more to say; where it has not either, that was all."""
        super().end_input()
        if self.sources[STDIN].file < 0:
            self.close()


async def _until(sent: Awaitable[None]) -> None:
    with suppress(WebSocketClosedError):
        await sent


def _finish(file: int) -> None:
    # The other side may have been quicker.
    with socket.socket(fileno=file) as line, suppress(OSError):
        line.shutdown(socket.SHUT_WR)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    connections = {"connections": Connections()}
    base = serverapp.web_app.settings["base_url"]
    ways = {HOLD: HoldHandler, PROGRAM: ProgramHandler, PORT: PortHandler}
    serverapp.web_app.add_handlers(
        ".*$", [(url_path_join(base, path), kind, connections) for path, kind in ways.items()]
    )
