"""HTTP on a socket of the file system, for processes of the same user alone: a thread that accepts, few that answer.

It is part of a process whose main thread is busy with something else. It ends with it, and no fork of it serves.
"""

import errno
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from earthlab.errors import SetupError

MOST_CONNECTIONS = 32
"""That are served or wait for their turn; others wait in the machine's own queue."""

MOST_BYTES = 1_000_000
"""Of the body of a request."""

PATIENCE = 10.0
"""Seconds for a request to be sent, or an answer to be taken."""

_WAITS = 20.0
"""Seconds for which a thread waits for another connection."""

_STALE = 60.0
"""Seconds after which a socket at which nobody listens is nobody's: it is bound a moment before."""

_MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked: the parts of the path, the words of the address, and the body."""

    method: str
    parts: tuple[str, ...]
    words: Mapping[str, str]
    body: bytes = field(repr=False)
    is_wanted: Callable[[], bool]
    """Whether who asked still waits."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer."""

    status: int
    kind: str
    content: bytes = field(repr=False)


Answer = Callable[[Request], Reply]


class SocketServer:
    """Answers requests at a socket until it is closed.

    Parameters
    ----------
    path : Path
        Of the socket: it is made with mode 0600 in a folder that only we can look into. One that is left there by a
        process that has ended is replaced.
    answer : callable
        Gives the reply to each request, in a thread of its own; it must not fail.

    Raises
    ------
    SetupError
        Where the folder is not ours alone.
    OSError
        Where the socket cannot be made.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path, self.answer = path, answer
        self._owner = os.getpid()
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._crew = _Crew(self._serve)
        _prepare_folder(path.parent)
        _sweep(path.parent)
        self._listener = _listen_at(path)
        threading.Thread(target=self._accept, name="earthlab-layers", daemon=True).start()

    def close(self) -> None:
        """Listen no more, and remove the socket. In a fork of the process that has made it: let it alone."""
        if self._owner == os.getpid():
            with suppress(OSError):  # closed already
                # What waits for a connection is woken by it, and not by the closing.
                self._listener.shutdown(socket.SHUT_RDWR)
            self.path.unlink(missing_ok=True)
            self._crew.dismiss()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            self._places.acquire()
            try:
                connection, _ = self._listener.accept()
            except OSError as exc:
                self._places.release()
                if exc.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED}:
                    return
                time.sleep(0.1)
                continue
            try:
                self._crew.take(connection)
            except RuntimeError:  # the user may have no further thread
                connection.close()
                self._places.release()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                if is_own(connection):
                    _Handler(connection, ("", 0), self)  # type: ignore[arg-type]  # the library knows no others
        except OSError:
            return  # whoever asked has gone
        finally:
            self._places.release()


class _Crew:
    """Threads that serve connections, and wait a while for the next: PROJ prepares each transformation a thread anew.

    Those that wait are as many as are idle and as there are connections in the queue.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._waiting: SimpleQueue[socket.socket | None] = SimpleQueue()
        self._idle = 0
        self._lock = threading.Lock()

    def take(self, connection: socket.socket) -> None:
        """Have a connection served, by who is idle or by a new thread.

        Raises
        ------
        RuntimeError
            Where the user may have no further thread.
        """
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._waiting.put(connection)
                return
        threading.Thread(target=self._work, args=(connection,), name="earthlab-layer", daemon=True).start()

    def dismiss(self) -> None:
        """Have those end who are idle."""
        with self._lock:
            for _ in range(self._idle):
                self._waiting.put(None)
            self._idle = 0

    def _work(self, connection: socket.socket | None) -> None:
        while connection is not None:
            self._serve(connection)
            connection = self._next()

    def _next(self) -> socket.socket | None:
        with self._lock:
            self._idle += 1
        try:
            return self._waiting.get(timeout=_WAITS)
        except Empty:
            pass
        with self._lock:
            try:  # given in the moment in which the waiting was over
                return self._waiting.get_nowait()
            except Empty:
                self._idle -= 1
                return None


class _Handler(BaseHTTPRequestHandler):
    server: SocketServer  # type: ignore[assignment]
    timeout = PATIENCE
    server_version, sys_version = "earthlab", ""

    def do_GET(self) -> None:
        self._reply(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            self.send_error(413)
            return
        self._reply(self.rfile.read(int(length)))

    def log_message(self, *_args: Any) -> None:
        """Say nothing: what is written here would stand below the user's cell."""

    def _reply(self, body: bytes) -> None:
        address = urlsplit(self.path)
        parts = tuple(unquote(part) for part in address.path.strip("/").split("/"))
        words = dict(parse_qsl(address.query, max_num_fields=20))
        request = Request(self.command, parts, words, body, lambda: _is_open(self.connection))
        reply = self.server.answer(request)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)


def is_own(connection: socket.socket) -> bool:
    """Whether a process of our own user, or of root, is at the other end of a connection."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", packed)
    return uid in {os.getuid(), 0}


def _is_open(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return not poll.poll(0)


def _prepare_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise SetupError(
            f"{folder} is of user {state.st_uid} with mode {stat.S_IMODE(state.st_mode):o}; a folder of our own with "
            f"mode 700 was expected. Make it so: chmod 700 {folder}."
        )


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Another name of a path while it is used: sockets have 107 bytes for theirs, unix(7)."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _listen_at(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # The mode that the socket's file gets, whatever the umask, which is of all threads.
        os.fchmod(listener.fileno(), 0o600)
        with short_path(path) as name:
            listener.bind(name)
        listener.listen(_MOST_WAITING)
    except BaseException:
        listener.close()
        raise
    return listener


def _sweep(folder: Path) -> None:
    """Remove the sockets of processes that could not do it themselves."""
    for path in folder.glob("earthlab-*.sock"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _STALE and not _answers(path):
                path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as line:
        line.settimeout(0.5)
        try:
            with short_path(path) as name:
                line.connect(name)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True
