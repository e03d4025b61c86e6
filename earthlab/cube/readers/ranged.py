"""A remote object as a file: only the bytes that are asked for are fetched, in blocks that are kept for a while.

Where a server gives no ranges, `open_download` takes the whole answer once, into a temporary file. ``http`` and
``https`` through urllib3, which keeps query strings and follows redirects; ``s3``, ``gs`` and ``az`` through obstore.
"""

import io
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import obstore
import urllib3
from obstore.store import from_url

from earthlab.catalog.signing import Signed
from earthlab.errors import AskLess

BLOCK = 2**17
MOST_BLOCKS = 256
"""Blocks kept for one open object: 32 MiB."""

_AT_ONCE = 8
"""Ranges of one object fetched side by side."""

_MOST_CONNECTIONS = 16
"""To one host."""

_ABSENT = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}

_TRIES = 3
"""How often a range is asked for whose answer breaks off."""

_USUAL_TIMEOUT = urllib3.Timeout(connect=10, read=30)
_PATIENCE = urllib3.Timeout(connect=10, read=120)
"""For answers that are computed before their first byte comes."""

_AT_A_TIME = 2**20
_SAID = 2000

_SCHEMES = {"http", "https", "s3", "s3a", "gs", "az", "abfs", "abfss"}
_KEY_HEADERS = ["Authorization", "Cookie", "X-API-Key"]
"""Not sent on to another host that a server redirects to."""

_RETRY: dict[str, Any] = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {"base": 2, "init_backoff": timedelta(seconds=0.5), "max_backoff": timedelta(seconds=5)},
}


class Refused(OSError):
    """A server's answer in place of the object: its ``status``, and what it ``said``, shortened."""

    def __init__(self, status: int, said: str) -> None:
        words = " ".join(said.split())[:300]
        super().__init__(f"its server answers {_named(status)}{f' ({words})' if words else ''}")
        self.status, self.said = status, said


class Ranges(Protocol):
    """Bytes of one object."""

    def size(self) -> int:
        """How many there are."""
        ...

    def fetch(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Those of each span: first, and last excluded."""
        ...

    def close(self) -> None:
        """Let the connections go."""
        ...


def is_remote(href: str) -> bool:
    """Whether the address is one of an object store or an HTTP server."""
    return urlsplit(href).scheme in _SCHEMES


def is_web(href: str) -> bool:
    """Whether the address is one of an HTTP server."""
    return urlsplit(href).scheme in {"http", "https"}


def local_path(href: str) -> Path:
    """The path of a local address: a plain one, or ``file://``."""
    parts = urlsplit(href)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(href)


def open_remote(signed: Signed) -> "RangedFile":
    """A remote object as a seekable file; its length is asked for.

    Raises
    ------
    OSError
        Where it cannot be reached, or its server gives no ranges.
    """
    if is_web(signed.href):
        return RangedFile(_WebObject(signed.href, http_headers(signed.options)))
    return RangedFile(_StoredObject(signed))


def open_download(signed: Signed, most: int, *, computed: bool = False) -> BinaryIO:
    """A remote object as a seekable file, also where its server gives no byte ranges: it is then fetched whole, once.

    Parameters
    ----------
    signed : Signed
        Where it is, and with what.
    most : int
        Bytes that may be fetched where the server gives no ranges.
    computed : bool
        Whether the answer is made for the question, so that it would be made again for each range.

    Returns
    -------
    BinaryIO
        Of what is fetched whole a temporary file without a name, which nobody else can open.

    Raises
    ------
    AskLess
        Where more than ``most`` bytes come, or the server itself finds the answer too large.
    Refused
        Where the server answers something else.
    OSError
        Where it cannot be reached, or breaks off again and again.
    """
    if not is_web(signed.href):
        return io.BufferedReader(open_remote(signed))
    headers = http_headers(signed.options)
    return (None if computed else _open_probed(signed.href, headers, most)) or _download(signed.href, headers, most)


def _open_probed(href: str, headers: Mapping[str, str], most: int) -> BinaryIO | None:
    """By ranges where the server gives them; else the whole that it sent in place of the first byte, if it all came."""
    with _answer(href, {**headers, "Range": "bytes=0-0"}, _PATIENCE) as answer:
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status == HTTPStatus.PARTIAL_CONTENT and total.isdigit():
            return io.BufferedReader(RangedFile(_WebObject(href, headers, int(total))))
        if answer.status == HTTPStatus.OK:
            with suppress(urllib3.exceptions.HTTPError):
                return _save(answer, most)
    return None


def _download(href: str, headers: Mapping[str, str], most: int) -> BinaryIO:
    for _ in range(_TRIES):
        with _answer(href, {**headers, "Accept-Encoding": "gzip"}, _PATIENCE) as answer:
            _require_whole(answer)
            with suppress(urllib3.exceptions.HTTPError):
                return _save(answer, most)
    raise OSError("its server breaks off its answers")


def _require_whole(answer: urllib3.BaseHTTPResponse) -> None:
    if answer.status == HTTPStatus.OK:
        return
    said = answer.read(_SAID).decode("utf-8", "replace")
    if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        words = " ".join(said.split())[:300]
        raise AskLess(
            f"its server finds the answer too large ({words}). Ask for less: narrow bbox=, time= or columns=."
        )
    raise Refused(answer.status, said)


def _save(answer: urllib3.BaseHTTPResponse, most: int) -> BinaryIO:
    file = cast("BinaryIO", tempfile.TemporaryFile(prefix="earthlab-"))  # noqa: SIM115 - handed on
    try:
        for piece in answer.stream(_AT_A_TIME, decode_content=True):
            _require_room(file.tell() + len(piece), most)
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _require_room(size: int, most: int) -> None:
    if size > most:
        raise AskLess(
            f"its server gives no byte ranges, and more than {most / 2**20:,.3g} MiB as a whole. Narrow bbox=, time= "
            "or columns=, or raise the setting reading.download (EARTHLAB__READING__DOWNLOAD)."
        )


def open_bucket(signed: Signed) -> Any:
    """The obstore store of an ``s3``, ``gs`` or ``az`` address under which objects lie; nothing is asked yet.

    Raises
    ------
    OSError
        In a process that was forked after such a store was used: its threads do not survive a fork.
    """
    parts = urlsplit(signed.href)
    config = _cloud_keys(parts.scheme, signed.options)
    return _store(urlunsplit(parts._replace(query="", fragment="")), config, http_headers(signed.options))


def http_headers(options: Mapping[str, str]) -> dict[str, str]:
    """The headers in GDAL's option ``GDAL_HTTP_HEADERS``, where signers put them."""
    lines = options.get("GDAL_HTTP_HEADERS", "").replace("\r\n", "\n").split("\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cloud_keys(scheme: str, options: Mapping[str, str]) -> dict[str, Any]:
    if scheme not in {"s3", "s3a"}:
        return {}
    known = {**os.environ, **options}
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION")
    keys: dict[str, Any] = {name.lower(): known[name] for name in names if known.get(name)}
    host = known.get("AWS_S3_ENDPOINT")
    if host:
        secure = known.get("AWS_HTTPS", "YES").upper() not in {"NO", "OFF", "FALSE"}
        keys["aws_endpoint"] = host if "://" in host else f"{'https' if secure else 'http'}://{host}"
    if known.get("AWS_REQUEST_PAYER", "").lower() == "requester":
        keys["aws_request_payer"] = True
    return keys if "aws_access_key_id" in keys else {**keys, "aws_skip_signature": True}


_first_user: list[int] = []
"""The process that used obstore first, if any did."""


def _store(url: str, config: dict[str, Any], headers: dict[str, str]) -> Any:
    if not _first_user:
        _first_user.append(os.getpid())
    if _first_user[0] != os.getpid():
        raise OSError("this process was forked after its parent read from a cloud; start it with spawn instead")
    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(seconds=60),
        "allow_http": True,
        **({"default_headers": headers} if headers else {}),
    }
    words = {"config": config} if config else {}
    return from_url(url, client_options=client, retry_config=_RETRY, **words)  # type: ignore[call-overload]


class _StoredObject:
    def __init__(self, signed: Signed) -> None:
        parts = urlsplit(signed.href)
        folder, _, name = parts.path.rpartition("/")
        self._store = _store(
            urlunsplit(parts._replace(path=folder, query="")),
            _cloud_keys(parts.scheme, signed.options),
            http_headers(signed.options),
        )
        self._name = unquote(name)

    def size(self) -> int:
        return int(obstore.head(self._store, self._name)["size"])

    def fetch(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        starts, ends = ([span[side] for span in spans] for side in (0, 1))
        return [bytes(part) for part in obstore.get_ranges(self._store, self._name, starts=starts, ends=ends)]

    def close(self) -> None:
        del self._store


class _WebObject:
    def __init__(self, href: str, headers: Mapping[str, str], size: int | None = None) -> None:
        self._href, self._headers, self._size = href, headers, size

    def size(self) -> int:
        if self._size is not None:
            return self._size
        with _answer(self._href, {**self._headers, "Range": "bytes=0-0"}) as answer:
            _require_part(answer.status)
            total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if not total.isdigit():
            raise OSError("its server does not say how large it is")
        return int(total)

    def fetch(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        if len(spans) == 1:
            return [self._part(spans[0])]
        with ThreadPoolExecutor(min(_AT_ONCE, len(spans))) as pool:
            return list(pool.map(self._part, spans))

    def close(self) -> None:
        """Connections are the process's, not this object's."""

    def _part(self, span: tuple[int, int]) -> bytes:
        start, stop = span
        data = b""
        for _ in range(_TRIES):
            with _answer(self._href, {**self._headers, "Range": f"bytes={start}-{stop - 1}"}) as answer:
                _require_part(answer.status)
                with suppress(urllib3.exceptions.HTTPError):
                    data = answer.read()
            if len(data) == stop - start:
                return data
        raise OSError(f"its server sent {len(data)} bytes where {stop - start} were asked for")


def fetch_object(href: str, headers: Mapping[str, str], span: str = "") -> bytes | None:
    """The bytes of a web address, or those of a span such as ``0-99``, ``100-`` or ``-20``; None where there is none.

    Raises
    ------
    OSError
        Where the server refuses, breaks off or cannot be reached.
    """
    asked = {**headers, "Range": f"bytes={span}"} if span else headers
    for _ in range(_TRIES):
        with _answer(href, asked) as answer:
            if answer.status in _ABSENT:
                return None
            if answer.status not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                raise _refusal(answer.status)
            with suppress(urllib3.exceptions.HTTPError):
                data: bytes = answer.read()
                return data if answer.status == HTTPStatus.PARTIAL_CONTENT or not span else _within(data, span)
    raise OSError("its server breaks off its answers")


def _within(data: bytes, span: str) -> bytes:
    first, _, last = span.partition("-")
    if not first:
        return data[-int(last) :]
    return data[int(first) : int(last) + 1 if last else None]


@contextmanager
def _answer(
    href: str, headers: Mapping[str, str], timeout: urllib3.Timeout = _USUAL_TIMEOUT
) -> Iterator[urllib3.BaseHTTPResponse]:
    try:
        answer = _connections(os.getpid(), _proxy(href)).request(
            "GET", href, headers=headers, preload_content=False, timeout=timeout
        )
    except urllib3.exceptions.HTTPError as exc:
        raise OSError(f"its server cannot be reached ({type(exc).__name__})") from None
    try:
        yield answer
    finally:
        answer.close()
        answer.release_conn()


@lru_cache(maxsize=4)
def _connections(_process: int, proxy: str | None) -> urllib3.PoolManager:
    """The connections of this process: a fork must not use those of its parent."""
    retries = urllib3.Retry(
        total=2,
        backoff_factor=0.5,
        status_forcelist=[429, 500, 502, 503, 504],
        raise_on_status=False,
        remove_headers_on_redirect=_KEY_HEADERS,
    )
    words: dict[str, Any] = {
        "maxsize": _MOST_CONNECTIONS,
        "block": True,
        "retries": retries,
    }
    return urllib3.ProxyManager(proxy, **words) if proxy else urllib3.PoolManager(**words)


def _proxy(href: str) -> str | None:
    """The proxy of the environment, unless the host is excepted."""
    parts = urlsplit(href)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _require_part(status: int) -> None:
    if status == HTTPStatus.OK:
        raise OSError("its server gives no byte ranges: the whole file would have to be downloaded")
    if status != HTTPStatus.PARTIAL_CONTENT:
        raise _refusal(status)


def _refusal(status: int) -> OSError:
    kind = FileNotFoundError if status in _ABSENT else OSError
    return kind(f"its server answers {_named(status)}")


def _named(status: int) -> str:
    known = {s.value: s.phrase for s in HTTPStatus}
    return f"{status} {known.get(status, '')}".rstrip()


class RangedFile(io.RawIOBase):
    """The object as a seekable, read-only file. Blocks read lately are kept; one thread at a time."""

    def __init__(self, source: Ranges) -> None:
        super().__init__()
        self._source = source
        self._size = source.size()
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self._size)
        if stop <= self._at:
            return 0
        self._read(self._at, stop, view)
        count, self._at = stop - self._at, stop
        return count

    def close(self) -> None:
        """Drop what is kept and the connections."""
        if not self.closed:
            self._blocks.clear()
            self._source.close()
        super().close()

    def prefetch(self, spans: Iterable[tuple[int, int]]) -> None:
        """Fetch side by side what will be read next: as much as can be kept."""
        wanted = sorted({at for start, stop in spans for at in _blocks(start, min(stop, self._size))})
        self._load([at for at in wanted if at not in self._blocks][: MOST_BLOCKS // 2])

    def _read(self, start: int, stop: int, view: memoryview) -> None:
        if stop - start > BLOCK * MOST_BLOCKS // 2:
            (view[: stop - start],) = self._source.fetch([(start, stop)])
            return
        wanted = _blocks(start, stop)
        self._load([at for at in wanted if at not in self._blocks])
        for at in wanted:
            self._blocks.move_to_end(at)
            low, high = max(start, at * BLOCK), min(stop, (at + 1) * BLOCK)
            view[low - start : high - start] = self._blocks[at][low - at * BLOCK : high - at * BLOCK]
        while len(self._blocks) > MOST_BLOCKS:
            self._blocks.popitem(last=False)

    def _load(self, missing: Sequence[int]) -> None:
        runs = list(_runs(missing))
        if not runs:
            return
        spans = [(first * BLOCK, min((last + 1) * BLOCK, self._size)) for first, last in runs]
        for (first, last), data in zip(runs, self._source.fetch(spans), strict=True):
            for at in range(first, last + 1):
                self._blocks[at] = data[(at - first) * BLOCK : (at - first + 1) * BLOCK]


def _blocks(start: int, stop: int) -> range:
    return range(start // BLOCK, -(-stop // BLOCK))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of consecutive numbers, of eight at most: long runs come in parts, side by side."""
    run: list[int] = []
    for number in numbers:
        if run and (number != run[-1] + 1 or len(run) == _AT_ONCE):
            yield run[0], run[-1]
            run = []
        run.append(number)
    if run:
        yield run[0], run[-1]
