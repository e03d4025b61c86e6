"""One person's browser: its connections, cookies and cache; every answer that a person would notice is a failure."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from errno import ECONNRESET, EPIPE
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from earthlab.rehearsal.story import Kind

_PER_HOST = 6  # as Chromium and Firefox have it for HTTP/1.1
_FRESH = re.compile(r"immutable|max-age=[1-9]")
_STAMP = re.compile(r"[?&]1\d{12}\b")  # JupyterLab's way around every cache
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 EarthLab-rehearsal"


class Trouble(Exception):
    """Something that a person would see go wrong; ``kind`` counts it, the text tells it."""

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(what)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Page:
    """What a person looks at after a click: the address in the end, the status and the text."""

    url: str
    status: int
    text: str
    retry_after: float = 0.0


@dataclass(slots=True)
class Browser:
    """A browser of one person. Bodies of files are read and forgotten; the cache keeps only what lets it ask anew.

    Parameters
    ----------
    origin : str
        The lab's address without a path.
    note : callable
        Told of each failure that does not end what the person does: a file that did not come.
    patience : float
        Seconds to wait for the beginning of an answer, and for each part of it.
    """

    origin: str
    note: Callable[[Kind, str], None]
    patience: float = 120.0
    requests: int = 0
    bytes_read: int = 0
    _session: aiohttp.ClientSession = field(init=False)
    _kept: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Headers of the next question by address; empty for what needs not be asked again."""

    def open(self) -> None:
        """Start; call it in the event loop that the browser is to live in."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit_per_host=_PER_HOST),
            # An address of numbers keeps its cookies too, as a browser has it.
            cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),
            headers={"User-Agent": _AGENT, "Accept-Language": "fr-FR,fr;q=0.9,en;q=0.5"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.patience, sock_read=self.patience),
        )

    async def close(self) -> None:
        """Close the window and all of its connections, without a word to the server."""
        await self._session.close()

    async def visit(self, url: str) -> Page:
        """Open a page and follow where it leads; a refusal is the page that it shows."""
        async with self._ask("GET", url, headers={"Accept": "text/html"}) as answer:
            text = await answer.text(errors="replace")
            self.bytes_read += len(text)
            self._blame(answer, str(answer.url))
            wait = answer.headers.get("Retry-After", "")
            return Page(str(answer.url), answer.status, text, float(wait) if wait.isdigit() else 0.0)

    async def fetch(self, url: str, expected: int = 200) -> None:
        """Get a file or an answer of the server as a page does, from the cache where it is fresh there."""
        kept = self._kept.get(url)
        if kept is not None and not kept:
            return
        async with self._ask("GET", url, headers={**(kept or {}), **self._token(url)}) as answer:
            async for part in answer.content.iter_chunked(1 << 16):
                self.bytes_read += len(part)
            if answer.status not in {expected, 304}:
                self._blame(answer, url)
            elif answer.status == 200:
                self._keep(url, answer.headers)

    async def call(self, method: str, url: str, body: Any = None) -> Any:
        """The server's JSON answer, or ``None`` for an empty one.

        Raises
        ------
        Trouble
            For any refusal: without this answer the person cannot go on.
        """
        async with self._ask(method, url, json=body, headers=self._token(url)) as answer:
            raw = await answer.read()
            self.bytes_read += len(raw)
            if answer.status >= 400:
                raise Trouble(_kind(answer.status), f"{answer.status} {method} {_plain(url)}: {raw[:200]!r}")
            return await answer.json(content_type=None) if raw else None

    async def follow(self, url: str) -> AsyncIterator[str]:
        """The events of a stream (``EventSource``), each the text of its data."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=self.patience)
        async with self._ask("GET", url, headers={"Accept": "text/event-stream"}, timeout=timeout) as answer:
            self._blame(answer, url)
            async for line in answer.content:
                if line.startswith(b"data:"):
                    self.bytes_read += len(line)
                    yield line[5:].strip().decode()

    async def connect(self, url: str, protocol: str | None = None) -> aiohttp.ClientWebSocketResponse:
        """An open WebSocket.

        Raises
        ------
        Trouble
            Where the server does not open it.
        """
        self.requests += 1
        address = self.origin.replace("http", "ws", 1) + url
        try:
            return await self._session.ws_connect(
                address,
                origin=self.origin,
                protocols=(protocol,) if protocol else (),
                compress=15,
                max_msg_size=0,
                autoping=True,
            )
        except aiohttp.WSServerHandshakeError as exc:
            raise Trouble(_kind(exc.status), f"{exc.status} WebSocket {_plain(url)}") from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise Trouble("connection", f"WebSocket {_plain(url)}: {_words(exc)}") from exc

    @asynccontextmanager
    async def _ask(self, method: str, url: str, **words: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        self.requests += 1
        try:
            async with await self._send(method, urljoin(self.origin, url), **words) as answer:
                yield answer
        except TimeoutError as exc:
            raise Trouble("timeout", f"{method} {_plain(url)}: no answer within {self.patience:.0f} s") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Trouble("connection", f"{method} {_plain(url)}: {_words(exc)}") from exc

    async def _send(self, method: str, url: str, **words: Any) -> aiohttp.ClientResponse:
        # Connections that are kept may have been closed at the other end meanwhile: browsers then ask on another,
        # whatever they ask.
        for _ in range(_PER_HOST):
            try:
                return await self._session.request(method, url, **words)
            except aiohttp.ServerDisconnectedError:
                continue
            except aiohttp.ClientOSError as exc:
                # Without a number: it was closed while the body was written.
                if exc.errno not in {ECONNRESET, EPIPE, None}:
                    raise
        return await self._session.request(method, url, **words)

    def _token(self, url: str) -> dict[str, str]:
        # What the page's own scripts read from the cookie: the one whose path is nearest.
        mine = [c for c in self._session.cookie_jar if c.key == "_xsrf" and urlsplit(url).path.startswith(c["path"])]
        nearest = max(mine, key=lambda cookie: len(cookie["path"]), default=None)
        return {"X-XSRFToken": nearest.value} if nearest else {}

    def _keep(self, url: str, headers: Mapping[str, str]) -> None:
        control = headers.get("Cache-Control", "")
        if "no-store" in control or _STAMP.search(url):
            return
        if _FRESH.search(control):
            self._kept[url] = {}
        elif "ETag" in headers:
            self._kept[url] = {"If-None-Match": headers["ETag"]}
        elif "Last-Modified" in headers:
            self._kept[url] = {"If-Modified-Since": headers["Last-Modified"]}

    def _blame(self, answer: aiohttp.ClientResponse, url: str) -> None:
        if answer.status >= 400:
            self.note(_kind(answer.status), f"{answer.status} {answer.method} {_plain(url)}")


def _kind(status: int) -> Kind:
    if status == 429:
        return "HTTP 429"
    return "HTTP 5xx" if status >= 500 else "HTTP 4xx"


def _plain(url: str) -> str:
    # A sign-in code or a token must not end up in a report.
    return urlsplit(url).path


def _words(exc: BaseException) -> str:
    return f"{type(exc).__name__} {exc}".strip()[:200]
