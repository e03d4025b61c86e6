"""Providers that want a signature or a key, over real HTTP, and the contract that every named signer passes.

A `FakeProvider` is a signing service and the store whose files it opens, on a free port of this machine. Its store
checks what it gave: a signature that is altered, expired or another path's does not open. To check a signer, run every
check of `CHECKS` that applies::

    @pytest.mark.parametrize(("case", "check"), contract())
    def test_the_contract(case, check, tmp_path):
        CHECKS[check](CASES[case], tmp_path)

Written from the providers' own descriptions, without the signers.
"""

import hashlib
import hmac
import json
import logging
import pickle
import re
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from earthlab.catalog.signing import NamedSigner, Signed, make_signer
from earthlab.catalog.signing.keeping import MARGIN, UNSTATED
from earthlab.cube.readers.ranged import open_remote
from earthlab.errors import CatalogueUnavailable, EarthlabError, NotAllowed

PLANTED = "planted"
"""Stands in every key and every signature here: what must not be found again."""

CONTENT = b"what only those may read who are allowed to " * 20
_SECRET = b"of the fake provider alone"


Reply = tuple[int, Mapping[str, str], bytes]
"""Status, headers, body."""


class Asked(NamedTuple):
    """One request that a fake provider had. ``urls`` counts the addresses that it was asked to sign."""

    host: str
    path: str
    status: int
    urls: int
    headers: Mapping[str, str]
    query: str


@dataclass(eq=False)
class FakeProvider:
    """A running provider; change how it behaves at any time."""

    kind: str
    key: Mapping[str, str] = field(repr=False)
    folder: Path
    port: int = 0
    lifetime: float = 3600.0
    """Seconds for which what it signs opens."""
    state: Literal["open", "refusing", "down"] = "open"
    states_expiry: bool = True
    skew: float = 0.0
    """Seconds by which its clock is ahead."""
    leads_away: bool = False
    """Whether its store leads to a signed address of another host (``localhost``)."""
    requests: list[Asked] = field(default_factory=list, repr=False)
    refused: tuple[str, ...] = ()
    """Parts of addresses that it never signs."""
    instead: "Callable[[str], Reply | None]" = field(default=lambda _: None, repr=False)
    """What it answers for a path in place of the truth."""

    @property
    def place(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The signing service."""
        return f"http://{self.place}"

    @property
    def now(self) -> float:
        """What time it is there."""
        return time.time() + self.skew

    def href(self, name: str = "a.bin") -> str:
        """The unsigned address of a file of its folder."""
        return f"s3://data/{name}" if self.kind == "buckets" else f"{self.url}/data/{name}"

    def asked(self) -> list[Asked]:
        """The requests to the signing service; of a provider that takes a key with each read, those of one byte."""
        if self.kind == "header":
            return [row for row in self.requests if row.headers.get("range") == "bytes=0-0"]
        return [row for row in self.requests if not row.path.startswith("/data/")]


@contextmanager
def serve_provider(kind: str, key: Mapping[str, str], folder: Path, **behaviour: Any) -> Iterator[FakeProvider]:
    """A provider of a kind (see ``providers.toml``) that lets in whoever has ``key``, until the block ends."""
    provider = FakeProvider(kind, key, folder, **behaviour)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    server.daemon_threads = True
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(provider: FakeProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}"))

        def _reply(self, body: Mapping[str, Any]) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            target = urlsplit(self.path)
            host = headers.get("host", "").partition(":")[0]
            status, extra, content = _behave(provider, target.path, target.query, headers, body, host)
            row = Asked(host, target.path, status, len(body.get("urls", ())), headers, target.query)
            provider.requests.append(row)
            self.send_response_only(status)
            self.send_header("Date", formatdate(provider.now, usegmt=True))
            for name, value in {**extra, "Content-Length": str(len(content)), "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self._reply({})

        def log_message(self, *_: Any) -> None:
            return

    return Handler


def _behave(
    provider: FakeProvider, path: str, query: str, headers: Mapping[str, str], body: Mapping[str, Any], host: str
) -> Reply:
    instead = provider.instead(path)
    if instead is not None:
        return instead
    if path.startswith("/data/"):
        return _serve_data(provider, path, query, headers, host)
    return _serve_signing(provider, path, headers, body)


def _serve_signing(provider: FakeProvider, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Reply:
    if provider.state == "down":
        return json_reply({"detail": "maintenance"}, 503)
    if provider.state == "refusing" or not _has_key(provider, headers):
        said = " ".join(headers.values())
        return json_reply({"code": "NotAllowed", "description": f"This account has no right ({said})"}, 403)
    match path.strip("/").split("/"):
        case ["sign_urls"]:
            return _sign_urls(provider, body)
        case ["token", _, container]:
            expiry = {"msft:expiry": _rfc3339(provider)} if provider.states_expiry else {}
            return json_reply({"token": _container_token(provider, container), **expiry})
        case ["api", "users", "find_or_create_token"]:
            day = datetime.fromtimestamp(provider.now + 60 * 86400, UTC)
            return json_reply({"access_token": _bearer(provider), "expiration_date": f"{day:%m/%d/%Y}"})
    return json_reply({"detail": "unknown"}, 404)


def _sign_urls(provider: FakeProvider, body: Mapping[str, Any]) -> Reply:
    urls = body.get("urls", [])
    if not 1 <= len(urls) <= 64:
        return json_reply({"detail": f"{len(urls)} urls, at most 64"}, 400)
    if any(part in url for url in urls for part in provider.refused):
        return json_reply({"code": "NotAllowed", "description": "charter", "how": "Sign the charter."}, 403)
    expiry = {"expiry": _rfc3339(provider)} if provider.states_expiry else {}
    return json_reply({"hrefs": {url: f"{url}?{_signature(provider, urlsplit(url).path)}" for url in urls}, **expiry})


def _serve_data(provider: FakeProvider, path: str, query: str, headers: Mapping[str, str], host: str) -> Reply:
    if not _opens(provider, path, query, headers, host):
        if provider.kind == "header" and provider.state == "down":
            return json_reply({"detail": "maintenance"}, 503)
        return json_reply({"detail": f"who are you? ({' '.join(headers.values())})"}, 403)
    if provider.leads_away and host == "127.0.0.1":
        away = f"http://localhost:{provider.port}{path}?{_signature(provider, path)}"
        return 303, {"Location": away}, b""
    file = provider.folder / unquote(path).removeprefix("/data/")
    if not file.is_file():
        return json_reply({"detail": "no such file"}, 404)
    content = file.read_bytes()
    span = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
    if span is None:
        return 200, {"Accept-Ranges": "bytes"}, content
    start, stop = int(span[1]), min(int(span[2] or len(content)) + 1, len(content))
    return 206, {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}, content[start:stop]


def _opens(provider: FakeProvider, path: str, query: str, headers: Mapping[str, str], host: str) -> bool:
    words = {name: values[0] for name, values in parse_qs(query).items()}
    match provider.kind:
        case "containers":
            good = words.get("sig") == _proof("container", path.split("/")[1], words.get("se", ""))
            return good and _moment(words["se"]) > provider.now
        case "header" if host == "127.0.0.1":
            return provider.state == "open" and _has_key(provider, headers)
        case "buckets":
            begun = datetime.strptime(words.get("X-Amz-Date", "19700101T000000Z"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            lives = begun.timestamp() + int(words.get("X-Amz-Expires", 0)) > provider.now
            names_key = words.get("X-Amz-Credential", "").startswith(provider.key["access_key"] + "/")
            return lives and names_key and len(words.get("X-Amz-Signature", "")) == 64
    good = words.get("Signature") == _proof("path", path, words.get("Expires", ""))
    return good and float(words["Expires"]) > provider.now


def _has_key(provider: FakeProvider, headers: Mapping[str, str]) -> bool:
    """Whether the key is in the request, in whatever header: which one it is, the cases' tests say."""
    if "password" in provider.key:
        return bool(headers.get("authorization", "").startswith("Basic ")) or _bearer(provider) in str(headers)
    return all(value in " ".join(headers.values()).split() for value in provider.key.values())


def _bearer(provider: FakeProvider) -> str:
    return f"{PLANTED}-bearer-{provider.port}"


def _signature(provider: FakeProvider, path: str) -> str:
    expires = f"{provider.now + provider.lifetime:.3f}" if provider.states_expiry else f"{provider.now + 1e6:.3f}"
    return f"Expires={expires}&Signature={_proof('path', path, expires)}"


def _container_token(provider: FakeProvider, container: str) -> str:
    until = _rfc3339(provider)
    return f"se={until}&sp=rl&sig={_proof('container', container, until)}"


def _proof(*words: str) -> str:
    return f"{PLANTED}-{hmac.new(_SECRET, '|'.join(words).encode(), hashlib.sha256).hexdigest()}"


def _rfc3339(provider: FakeProvider) -> str:
    return datetime.fromtimestamp(provider.now + provider.lifetime, UTC).isoformat().replace("+00:00", "Z")


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def json_reply(value: Any, status: int = 200) -> Reply:
    """A JSON answer."""
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@dataclass(frozen=True)
class SigningCase:
    """A named signer, the provider that it is for, and a key that the provider takes."""

    name: str
    kind: str
    key: Mapping[str, str] = field(repr=False)
    changes: Mapping[str, Any] = field(default_factory=dict)
    asks: bool = True
    """Whether signing asks the provider anything."""

    def make(self, provider: FakeProvider, key: Mapping[str, str] | None = None) -> NamedSigner:
        """The signer, for the fake provider in place of the real one."""
        hosts = ("s3://data",) if self.kind == "buckets" else (provider.place,)
        url = None if self.kind == "header" else provider.url
        if self.name == "earthdata":
            url = provider.url.replace("127.0.0.1", "localhost")
        return make_signer(self.name, key=key or self.key, url=url, hosts=hosts, **self.changes)

    @contextmanager
    def running(self, folder: Path, **behaviour: Any) -> Iterator[tuple[FakeProvider, NamedSigner]]:
        """The provider with one file, and its signer."""
        (folder / "a.bin").write_bytes(CONTENT)
        with serve_provider(self.kind, self.key, folder, **behaviour) as provider:
            yield provider, self.make(provider)

    def other_key(self) -> Mapping[str, str]:
        """A key of somebody whom the provider does not know."""
        return {part: f"{value}-other" for part, value in self.key.items()}


CASES: Mapping[str, SigningCase] = {
    "mtd": SigningCase("mtd", "urls", {"access_key": f"{PLANTED}-mtd-1", "secret_key": f"{PLANTED}-mtd-2"}),
    "broker": SigningCase("broker", "urls", {"token": f"{PLANTED}-token"}),
    "planetary-computer": SigningCase(
        "planetary-computer", "containers", {"subscription_key": f"{PLANTED}-subscription"}, {"subdomains": False}
    ),
    "geodes": SigningCase("geodes", "header", {"key": f"{PLANTED}-geodes"}),
    "hydroweb": SigningCase("hydroweb", "header", {"key": f"{PLANTED}-hydroweb"}),
    "earthdata": SigningCase("earthdata", "header", {"token": f"{PLANTED}-earthdata"}),
    "s3": SigningCase(
        "s3",
        "buckets",
        {"access_key": f"{PLANTED}-s3", "secret_key": f"{PLANTED}-s3-secret"},
        {"presigned": True},
        asks=False,
    ),
}
"""Every named signer that opens anything."""


def read_signed(signed: Signed) -> bytes:
    """What lies at a signed address, as the lab's own readers fetch it."""
    with open_remote(signed) as file:
        return bytes(file.read())


def opens_what_is_closed(case: SigningCase, folder: Path) -> None:
    """The signed address opens; the unsigned one does not."""
    with case.running(folder) as (provider, signer):
        href = provider.href()
        assert signer.match(href)
        assert read_signed(signer.sign(href)) == CONTENT
        assert read_signed(signer.sign_many([href, href])[href]) == CONTENT
        closed = href.replace("s3://", f"{provider.url}/")
        assert "403" in _failure(lambda: read_signed(Signed(closed)), OSError)


def knows_no_lookalike(case: SigningCase, folder: Path) -> None:
    """Nothing but the very host matches."""
    with case.running(folder) as (provider, signer):
        scheme, rest = provider.href().split("://", 1)
        place, _, path = rest.partition("/")
        host = place.partition(":")[0]
        port = "" if scheme == "s3" else f":{provider.port}"
        hosts = (
            f"evil-{host}",
            f"evil.{host}",
            f"{host}.evil.test",
            f"{host}.",
            f"{host}@evil.test",
            f"{host}#@evil.test",
        )
        foreign = [f"{scheme}://{other}{port}/{path}" for other in hosts]
        foreign += [f"{scheme}://user:pass@{place}/{path}", f"{scheme}://{place}\\@evil.test/{path}"]
        foreign += [
            f"{scheme}://evil.test/{place}/{path}",
            f"{scheme}://evil.test?{place}/{path}",
            f"ftp://{place}/{path}",
        ]
        foreign += [
            f"https://{host}:{provider.port + 1}/{path}",
            f"/{place}/{path}",
            "",
            f"{scheme}://{host}\n{port}/{path}",
        ]
        assert not [href for href in foreign if signer.match(href)]


def asks_once(case: SigningCase, folder: Path) -> None:
    """Threads that want the same address, and later ones, share one answer."""
    with case.running(folder) as (provider, signer), ThreadPoolExecutor(16) as pool:
        signed = list(pool.map(lambda _: signer.sign(provider.href()), range(32)))
        assert len({one.href for one in signed}) == 1
        assert len(provider.asked()) == case.asks


def signs_anew_before_expiry(case: SigningCase, folder: Path) -> None:
    """What expires is signed anew while the old one still opens."""
    with case.running(folder, lifetime=MARGIN + 1) as (provider, signer):
        first = signer.sign(provider.href())
        assert abs(first.expires - time.time() - MARGIN - 1) < 1
        time.sleep(1.1)
        second = signer.sign(provider.href())
        assert second.href != first.href
        assert read_signed(first) == read_signed(second) == CONTENT


def takes_no_expiry_for_minutes(case: SigningCase, folder: Path) -> None:
    """A provider that states no expiry is asked again after minutes, not never."""
    with case.running(folder, states_expiry=False) as (provider, signer):
        assert signer.sign(provider.href()).expires <= time.time() + UNSTATED


def minds_the_clocks(case: SigningCase, folder: Path) -> None:
    """The provider's clock may be an hour off: the expiry is by ours."""
    for skew in (3600.0, -3600.0):
        with case.running(folder, lifetime=600.0, skew=skew) as (provider, signer):
            signed = signer.sign(provider.href())
            assert abs(signed.expires - time.time() - 600) < 5
            assert read_signed(signed) == CONTENT


def refuses_with_reason_and_way(case: SigningCase, folder: Path) -> None:
    """A refusal says who refuses and what to do, holds no key, and is not asked for again at once."""
    with case.running(folder, state="refusing") as (provider, signer):
        said = _failure(lambda: signer.sign(provider.href()), NotAllowed)
        assert "403" in said
        assert "http" in said or "page" in said
        asked = len(provider.asked())
        assert _failure(lambda: signer.sign(provider.href()), NotAllowed)
        assert len(provider.asked()) == asked


def says_when_the_provider_is_down(case: SigningCase, folder: Path) -> None:
    """A provider that is down is said to be, and is asked again the next time."""
    with case.running(folder, state="down") as (provider, signer):
        assert "503" in _failure(lambda: signer.sign(provider.href()), CatalogueUnavailable)
        provider.state = "open"
        assert read_signed(signer.sign(provider.href())) == CONTENT
    later = provider.href("b.bin") if case.kind != "containers" else provider.href().replace("/data/", "/other/")
    assert "cannot be reached" in _failure(lambda: signer.sign(later), CatalogueUnavailable)


def shares_nothing_between_keys(case: SigningCase, folder: Path) -> None:
    """What was signed for one person is not given to another in the same process."""
    with case.running(folder) as (provider, signer):
        mine = signer.sign(provider.href())
        theirs = case.make(provider, case.other_key())
        if case.asks:
            assert _failure(lambda: theirs.sign(provider.href()), NotAllowed)
        else:
            assert theirs.sign(provider.href()).href != mine.href


def leaves_its_secrets_nowhere(case: SigningCase, folder: Path) -> None:
    """No repr, pickle or log has the key or a signature."""
    with case.running(folder) as (provider, signer), _everything_logged() as lines:
        signed = signer.sign(provider.href())
        read_signed(signed)
        shown = [repr(signer), str(vars(signer)), repr(signed), repr(signed.options), repr(case), *lines]
        assert not [text for text in shown if PLANTED in text]
        for thing in (signer, signed):
            assert _unpicklable(thing)


Check = Callable[[SigningCase, Path], None]

CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        opens_what_is_closed,
        knows_no_lookalike,
        asks_once,
        signs_anew_before_expiry,
        takes_no_expiry_for_minutes,
        minds_the_clocks,
        refuses_with_reason_and_way,
        says_when_the_provider_is_down,
        shares_nothing_between_keys,
        leaves_its_secrets_nowhere,
    )
}

_OF_SERVICES = {"refuses_with_reason_and_way", "says_when_the_provider_is_down"}
_OF_EXPIRY = {"signs_anew_before_expiry", "takes_no_expiry_for_minutes", "minds_the_clocks"}


def contract() -> list[tuple[str, str]]:
    """Every case with every check that applies: keys that go with a read do not expire, and keys of S3 ask nobody."""
    return [(case.name, check) for case in CASES.values() for check in CHECKS if _applies(case, check)]


def _applies(case: SigningCase, check: str) -> bool:
    if check in _OF_EXPIRY:
        return case.kind in {"urls", "containers"}
    return case.asks or check not in _OF_SERVICES


def _failure(act: Callable[[], object], kind: type[Exception]) -> str:
    """What the error says that must come, once neither it nor its traceback, variables and all, has a secret."""
    try:
        act()
    except kind as exc:
        shown = traceback.TracebackException.from_exception(exc, capture_locals=isinstance(exc, EarthlabError))
        assert PLANTED not in "".join(shown.format())
        return str(exc)
    raise AssertionError(f"{kind.__name__} was expected")


def _unpicklable(thing: object) -> bool:
    try:
        return PLANTED.encode() not in pickle.dumps(thing)
    except (TypeError, AttributeError):
        return True


@contextmanager
def _everything_logged() -> Iterator[list[str]]:
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, listener = logging.getLogger(), Listener()
    level = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(listener)
        root.setLevel(level)
