"""Catalogues that behave, and above all those that do not: small real HTTP servers on a free port of this machine.

STAC APIs are made here; `earthlab.testing.dialects` has the others. Any of them may be made busy, slow or forgetful.

Written from the STAC API specification alone, with the standard library: it shares nothing with the lab's own service,
so that an error in one cannot hide an error in the other.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

CORE = "https://api.stacspec.org/v1.0.0"
CONFORMS = tuple(f"{CORE}/{name}" for name in ("core", "collections", "item-search", "ogcapi-features"))

Answer = tuple[int, str, bytes] | tuple[int, str, bytes, Mapping[str, str]]
"""Status, media type, body, and further headers."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived: ``asked`` holds the words of the query string or of the JSON body."""

    root: str
    path: str
    asked: Mapping[str, Any]
    headers: Mapping[str, str]
    query: str = ""
    body: bytes = b""

    def words(self, name: str) -> list[str]:
        """Every value of a word of the query string, in order."""
        return parse_qs(self.query, keep_blank_values=True).get(name, [])


Behaviour = Callable[[Request], Answer]


@dataclass
class Provider:
    """A running catalogue: its address, and every request it has had."""

    url: str
    requests: list[Request] = field(default_factory=list)


@contextmanager
def provider(behave: Behaviour) -> Iterator[Provider]:
    """A catalogue that answers as ``behave`` says, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    running = Provider(f"http://127.0.0.1:{server.server_address[1]}/")
    server.RequestHandlerClass = _handler(running, behave)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_provider() -> Iterator[Provider]:
    """A catalogue that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Provider(f"http://127.0.0.1:{listening.getsockname()[1]}/")


def unreachable_url() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def json_answer(value: Any, status: int = 200, media_type: str = "application/json") -> Answer:
    """A JSON answer."""
    return status, media_type, json.dumps(value).encode()


def fixed(answer: Answer) -> Behaviour:
    """The same answer to every request."""
    return lambda _: answer


def fixed_after_landing(answer: Answer) -> Behaviour:
    """A good landing page, then the same answer to every other request."""
    return lambda request: json_answer(landing(request.root)) if request.path == "/" else answer


def busy(behave: Behaviour, *, times: int = 1, retry_after: str = "0", status: int = 429) -> Behaviour:
    """Too busy for the first requests, with ``Retry-After``; then as ``behave`` says."""
    refused = count(1)

    def answer(request: Request) -> Answer:
        if next(refused) <= times:
            return status, "text/plain", b"busy", {"Retry-After": retry_after}
        return behave(request)

    return answer


def slow(behave: Behaviour, seconds: float, *, after: int = 0) -> Behaviour:
    """As ``behave`` says, but late from the request ``after`` on."""
    asked = count()

    def answer(request: Request) -> Answer:
        if next(asked) >= after:
            time.sleep(seconds)
        return behave(request)

    return answer


def tagged(behave: Behaviour, **headers: str) -> Behaviour:
    """As ``behave`` says, with an ``ETag`` of the content and these headers; 304 to whoever has it already."""

    def answer(request: Request) -> Answer:
        status, media_type, body, *_ = behave(request)
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            return 304, media_type, b"", {"ETag": tag, **headers}
        return status, media_type, body, {"ETag": tag, **headers}

    return answer


def catalogue(
    items: Sequence[Mapping[str, Any]], *, page: int = 100, next_page: Callable[[int], int] = lambda at: at + 1
) -> Behaviour:
    """A catalogue that searches by collection, id and day, and pages; ``next_page`` may turn back to break it."""

    def behave(request: Request) -> Answer:
        if request.path == "/":
            return json_answer(landing(request.root))
        if request.path == "/search":
            return json_answer(_page(request, _matching(items, request.asked), page, next_page))
        return _collections(request, sorted({str(item["collection"]) for item in items}))

    return behave


def landing(root: str, search: str | None = None) -> dict[str, Any]:
    """The landing page of a STAC API at ``root``; ``search`` may name a search elsewhere."""
    places = {"self": root, "root": root, "data": f"{root}collections", "search": search or f"{root}search"}
    return {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "essai",
        "description": "A catalogue of the tests",
        "conformsTo": list(CONFORMS),
        "links": [
            *({"rel": rel, "href": href, "type": "application/json"} for rel, href in places.items()),
            {"rel": "search", "href": places["search"], "type": "application/geo+json", "method": "POST"},
        ],
    }


def collection(name: str) -> dict[str, Any]:
    """The smallest valid STAC Collection."""
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": name,
        "description": name,
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2018-01-01T00:00:00Z", None]]},
        },
        "links": [],
    }


def item(name: str, **changes: Any) -> dict[str, Any]:
    """The smallest valid STAC Item with one asset; ``changes`` replace its members."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "essai",
        "bbox": [1.0, 43.0, 2.0, 44.0],
        "geometry": {"type": "Polygon", "coordinates": [[[1, 43], [2, 43], [2, 44], [1, 44], [1, 43]]]},
        "properties": {"datetime": "2018-07-08T10:50:00Z", "eo:cloud_cover": 20},
        "assets": {"B4": {"href": "https://example.org/b4.tif", "type": "image/tiff", "roles": ["data"]}},
        "links": [],
        **changes,
    }


def _handler(running: Provider, behave: Behaviour) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
            self._answer(asked, b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            in_json = "json" in self.headers.get("content-type", "")
            self._answer(json.loads(body) if in_json and body else {}, body)

        def _answer(self, asked: Mapping[str, Any], sent: bytes) -> None:
            place = urlsplit(self.path)
            request = Request(running.url, place.path, asked, dict(self.headers.items()), place.query, sent)
            running.requests.append(request)
            status, media_type, body, *further = behave(request)
            self.send_response(status)
            self.send_header("content-type", media_type)
            self.send_header("content-length", str(len(body)))
            self.send_header("connection", "close")
            for name, value in (further[0] if further else {}).items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # a client that did not wait
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    return Handler


def _collections(request: Request, names: Sequence[str]) -> Answer:
    _, _, name = request.path.strip("/").partition("/")
    if not name:
        return json_answer({"collections": [collection(n) for n in names], "links": []})
    if name in names:
        return json_answer(collection(name))
    return json_answer({"code": "NotFound", "description": f"no collection {name}"}, 404)


def _matching(items: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [document for document in items if _matches(document, asked)]


def _matches(document: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    first, _, last = str(asked.get("datetime", "../..")).partition("/")
    moment = str(document["properties"]["datetime"])
    west, south, east, north = asked.get("bbox") or (-180, -90, 180, 90)
    left, bottom, right, top = document["bbox"]
    return (
        document["collection"] in (asked.get("collections") or [document["collection"]])
        and document["id"] in (asked.get("ids") or [document["id"]])
        and (first == ".." or first <= moment)
        and (last == ".." or moment <= last)
        and bool(left <= east and west <= right and bottom <= north and south <= top)
    )


def _page(
    request: Request, found: Sequence[Mapping[str, Any]], size: int, next_page: Callable[[int], int]
) -> dict[str, Any]:
    at = int(request.asked.get("page", 0))
    following = next_page(at)
    more = following * size < len(found)
    link = {
        "rel": "next",
        "method": "POST",
        "href": f"{request.root}search",
        "body": {**request.asked, "page": following},
    }
    features = list(found[at * size : (at + 1) * size])
    return {"type": "FeatureCollection", "features": features, "links": [link] if more else []}
