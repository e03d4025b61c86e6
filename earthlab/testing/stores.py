"""A folder behind HTTP, as an object store serves it: ranges, latency, faults, and a count of all it sent.

The server is a process of its own (``python -m earthlab.testing.stores``), so that it takes no turn of the interpreter
that is being tested. It ends with its owner. It serves whoever asks on the loopback of this machine, and only reads.
"""

import asyncio
import json
import mimetypes
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from email.utils import formatdate
from fnmatch import fnmatch
from hashlib import blake2b
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from earthlab.errors import BadRequest, SetupError

KINDS = ("404", "503", "truncated", "stalled")
_SMALL = 256 * 1024
"""Bytes up to which an answer leaves as one piece; longer ones go from file to socket inside the kernel."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Which requests go wrong, and how: the same ones for the same seed, in whatever order they come.

    ``share`` of the byte ranges asked for (``per="request"``) or of the files (``per="path"``) are bad, each in one of
    ``kinds``: the answer 404 or 503, a body cut after half its bytes, or one that stops for ``stall`` seconds and is
    then cut. ``times`` tries of a bad range (or file) fail and later ones succeed; ``None``: it never mends.
    Only files that match one of ``paths`` (patterns, relative to the folder) are concerned, and of those only
    ranges that reach beyond byte ``beyond`` (so that headers can be spared).
    """

    share: float = 0.05
    kinds: tuple[str, ...] = KINDS
    per: Literal["request", "path"] = "request"
    seed: int = 0
    times: int | None = None
    paths: tuple[str, ...] = ()
    beyond: int = 0
    stall: float = 600.0
    methods: tuple[str, ...] = ("GET",)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise BadRequest(f"share: found {self.share!r}, expected a number from 0 to 1.")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise BadRequest(f"kinds: found {self.kinds!r}, expected some of {', '.join(KINDS)}.")
        if self.per not in {"request", "path"}:
            raise BadRequest(f'per: found {self.per!r}, expected "request" or "path".')

    def draw(self, method: str, path: str, start: int, stop: int) -> str | None:
        """The kind of fault of these bytes of this file, or None; says nothing of how often they were tried."""
        if method not in self.methods or stop <= self.beyond:
            return None
        if self.paths and not any(fnmatch(path, pattern) for pattern in self.paths):
            return None
        digest = blake2b("|".join((str(self.seed), *self.key(path, start, stop))).encode()).digest()
        if int.from_bytes(digest[:8]) >= self.share * 2**64:
            return None
        return self.kinds[digest[8] % len(self.kinds)]

    def key(self, path: str, start: int, stop: int) -> tuple[str, ...]:
        """What counts as the same thing tried again."""
        return (path,) if self.per == "path" else (path, f"{start}-{stop}")


class Sent(NamedTuple):
    """One answered request: bytes ``start`` to ``stop`` (excluded) of a file were asked for, and how it went.

    ``path`` is relative to the folder. ``fault`` is the kind of fault that was played, or empty. ``query`` is what
    followed the question mark.
    """

    method: str
    path: str
    start: int
    stop: int
    status: int
    fault: str = ""
    query: str = ""


@dataclass(slots=True)
class Store:
    """A running server; its methods may be called from any thread of the process that started it."""

    url: str
    """The folder's address, with a slash at the end."""
    pid: int
    _pipes: tuple[IO[str], IO[str]] = field(repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def requests(self) -> list[Sent]:
        """Everything answered since the start or the last `reset`, in order of the answers."""
        return [Sent(*row) for row in self._ask("requests")]

    def ranges(self) -> Counter[tuple[str, int, int]]:
        """How often each (path, start, stop) was sent whole to a GET."""
        sent = (row for row in self.requests() if row.method == "GET" and row.status in {200, 206} and not row.fault)
        return Counter((row.path, row.start, row.stop) for row in sent)

    def reset(self) -> None:
        """Forget the requests so far, and how often each fault was tried."""
        self._ask("reset")

    def behave(self, *, latency: float = 0.0, fail: "Faults | None" = None) -> None:
        """Answer from now on with this latency and these faults, and with no others."""
        self._ask("behave", latency=latency, fail=asdict(fail) if fail else None)

    def _ask(self, what: str, **words: Any) -> Any:
        there, back = self._pipes
        answer = ""
        with self._turn, suppress(BrokenPipeError, ValueError):
            there.write(json.dumps({"do": what, **words}) + "\n")
            there.flush()
            answer = back.readline()
        if not answer:
            raise SetupError(f"The store server (process {self.pid}) has ended: start another with serve_files(…).")
        return json.loads(answer)


@contextmanager
def serve_files(
    folder: Path | str, *, latency: float = 0.0, fail: Faults | float | None = None, seed: int | None = None
) -> Iterator[Store]:
    """A real HTTP/1.1 server of a folder's files, in a process of its own, until the block ends or its owner dies.

    Parameters
    ----------
    folder : path
        What is served; files that appear or change later are served as they then are.
    latency : float
        Seconds from a request to the first byte of its answer; requests wait side by side.
    fail : Faults or float, optional
        Which requests fail; a number is the share of byte ranges that do, in all kinds.
    seed : int, optional
        In place of the seed of ``fail``.

    Yields
    ------
    Store
        Its address, and what it has sent.

    Raises
    ------
    BadRequest
        Where the folder is none.
    SetupError
        Where the server does not start.

    Notes
    -----
    GET and HEAD of single ranges (also ``bytes=-n`` and ``bytes=n-``), keep-alive, ``ETag``, ``Last-Modified``,
    ``If-Range``; several ranges in one request are answered with the whole file, as RFC 9110 allows.
    """
    if not Path(folder).is_dir():
        raise BadRequest(f"{folder} is not a folder: give one whose files shall be served.")
    faults = Faults(share=fail) if isinstance(fail, int | float) else fail
    if faults and seed is not None:
        faults = replace(faults, seed=seed)
    with _process(Path(folder)) as process:
        assert process.stdin
        assert process.stdout
        first = process.stdout.readline()
        if not first:
            raise SetupError(f"The store server of {folder} ended as it began: its message stands on standard error.")
        store = Store(f"http://127.0.0.1:{json.loads(first)}/", process.pid, (process.stdin, process.stdout))
        store.behave(latency=latency, fail=faults)
        yield store


@contextmanager
def _process(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "earthlab.testing.stores", str(folder.resolve())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class _Asked(NamedTuple):
    method: str
    path: str
    query: str
    headers: Mapping[str, str]


class _Answer(NamedTuple):
    status: int
    start: int = 0
    stop: int = 0
    headers: tuple[tuple[str, str], ...] = ()


class _Server:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.latency = 0.0
        self.faults: Faults | None = None
        self.sent: list[Sent] = []
        self.tries: Counter[tuple[str, ...]] = Counter()

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError)
        with suppress(*ended):
            while await self._serve_one(reader, writer):
                pass
        writer.close()
        with suppress(*ended):
            await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = _parse_request(await reader.readuntil(b"\r\n\r\n"))
        if asked is None:
            writer.write(_head(_Answer(HTTPStatus.BAD_REQUEST)))
            return False
        file = _find(self.folder, asked.path)
        wanted = _resolve(asked, file)
        fault = self._fault(asked, wanted)
        answer = _Answer(int(fault)) if fault in {"404", "503"} else wanted
        if self.latency:
            await asyncio.sleep(self.latency)
        self.sent.append(Sent(asked.method, asked.path, wanted.start, wanted.stop, answer.status, fault, asked.query))
        if asked.method == "HEAD" or file is None or answer.status not in {200, 206}:
            writer.write(_head(answer))
        elif fault:
            await self._cut(fault, file, answer, reader, writer)
            return False
        else:
            await _send(file, answer, writer)
        await writer.drain()
        return asked.headers.get("connection", "").lower() != "close"

    def _fault(self, asked: _Asked, answer: _Answer) -> str:
        if self.faults is None or answer.status not in {200, 206}:
            return ""
        kind = self.faults.draw(asked.method, asked.path, answer.start, answer.stop)
        if kind is None:
            return ""
        key = (asked.method, *self.faults.key(asked.path, answer.start, answer.stop))
        self.tries[key] += 1
        return kind if self.faults.times is None or self.tries[key] <= self.faults.times else ""

    async def _cut(
        self, fault: str, file: Path, answer: _Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert self.faults
        half = answer._replace(stop=answer.start + (answer.stop - answer.start) // 2)
        writer.write(_head(answer))
        with file.open("rb") as stream:
            writer.write(os.pread(stream.fileno(), half.stop - half.start, half.start))
        await writer.drain()
        if fault == "stalled":
            await asyncio.wait_for(reader.read(1), self.faults.stall)

    def control(self, order: dict[str, Any]) -> Any:
        match order["do"]:
            case "requests":
                return self.sent
            case "behave":
                fail = order["fail"]
                self.latency = order["latency"]
                self.faults = Faults(**{key: _tupled(value) for key, value in fail.items()}) if fail else None
                self.tries.clear()
            case _:
                self.sent.clear()
                self.tries.clear()
        return None


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _parse_request(head: bytes) -> _Asked | None:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[0] not in {"GET", "HEAD"}:
        return None
    pairs = (line.partition(":") for line in lines)
    target = urlsplit(words[1])
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return _Asked(words[0], unquote(target.path).lstrip("/"), target.query, headers)


def _find(folder: Path, path: str) -> Path | None:
    try:
        found = (folder / path).resolve(strict=True)
    except (OSError, ValueError):
        return None
    return found if found.is_file() and found.is_relative_to(folder) else None


def _resolve(asked: _Asked, file: Path | None) -> _Answer:
    if file is None:
        return _Answer(HTTPStatus.NOT_FOUND)
    state = file.stat()
    mark = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
    about = (
        ("Accept-Ranges", "bytes"),
        ("ETag", mark),
        ("Last-Modified", formatdate(state.st_mtime, usegmt=True)),
        ("Content-Type", mimetypes.guess_type(file.name)[0] or "application/octet-stream"),
    )
    size, wanted = state.st_size, asked.headers.get("range", "")
    if not wanted or asked.headers.get("if-range", mark) != mark:
        return _Answer(HTTPStatus.OK, 0, size, about)
    try:
        span = _parse_range(wanted, size)
    except ValueError:
        return _Answer(HTTPStatus.OK, 0, size, about)
    if span is None:
        return _Answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=(("Content-Range", f"bytes */{size}"),))
    place = ("Content-Range", f"bytes {span[0]}-{span[1] - 1}/{size}")
    return _Answer(HTTPStatus.PARTIAL_CONTENT, *span, (*about, place))


def _parse_range(text: str, size: int) -> tuple[int, int] | None:
    unit, _, span = text.partition("=")
    first, dash, last = (part.strip() for part in span.partition("-"))
    if unit.strip() != "bytes" or not dash or not (first or last):
        raise ValueError(text)
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    return (start, stop) if start < stop else None


def _head(answer: _Answer) -> bytes:
    status = HTTPStatus(answer.status)
    length = ("Content-Length", str(answer.stop - answer.start))
    lines = [f"{name}: {value}" for name, value in (*answer.headers, length)]
    return "\r\n".join([f"HTTP/1.1 {status.value} {status.phrase}", *lines, "", ""]).encode("latin-1")


async def _send(file: Path, answer: _Answer, writer: asyncio.StreamWriter) -> None:
    length = answer.stop - answer.start
    with file.open("rb") as stream:
        if length <= _SMALL:
            writer.write(_head(answer) + os.pread(stream.fileno(), length, answer.start))
            return
        writer.write(_head(answer))
        await asyncio.get_running_loop().sendfile(writer.transport, stream, answer.start, length)


async def _serve(folder: Path) -> None:
    store = _Server(folder)
    server = await asyncio.start_server(store.connection, "127.0.0.1", 0, backlog=1024)
    _reply(server.sockets[0].getsockname()[1])
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    owner = os.getppid()
    while os.getppid() == owner:
        try:
            line = await asyncio.wait_for(orders.readline(), 1)
        except TimeoutError:
            continue
        if not line:
            return
        _reply(store.control(json.loads(line)))


def _reply(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _main(arguments: Iterable[str]) -> None:
    (folder,) = arguments
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(Path(folder)))


if __name__ == "__main__":
    _main(sys.argv[1:])
