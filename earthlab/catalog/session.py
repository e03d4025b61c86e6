"""How the lab asks other people's services: by name, patiently, and not twice for what has not changed.

Every request names EarthLab and its version, has a time limit, and is tried again with growing pauses where a service
is busy, after ``Retry-After`` where it says so. Answers that may be kept lie in the user's own cache folder and are
revalidated by ``ETag`` or ``Last-Modified``; an answer to a request that carried a credential is never kept. A
credential goes to the address it is meant for and to no other, not after a redirect either.
"""

import json
import os
import sqlite3
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_cache import CacheMixin
from requests_cache.backends.sqlite import SQLiteCache
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as PoolTimeout
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry

from earthlab.catalog.signing import unsigned
from earthlab.errors import (
    BadRequest,
    CatalogueUnavailable,
    EarthlabError,
    FallbackWarning,
    NotAllowed,
)
from earthlab.settings import Settings, parse_bytes
from earthlab.witness import tell

Credential = Callable[[str], Mapping[str, str]]
"""The headers that a request to an address has to carry; none where it is not meant for that address."""

LARGEST = 8_000_000
"""Bytes of the largest answer that is kept."""

MOST_BYTES = 256_000_000
"""Bytes, unpacked, of the largest answer that is taken at all."""

USER_AGENT = f"EarthLab/{version('earthlab')}"

_BUSY = (429, 502, 503, 504)
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "access-key", "secret-key"})


@dataclass(frozen=True)
class Service:
    """A service at one address; ``url`` is its root without query or credentials."""

    url: str
    session: requests.Session = field(repr=False)
    timeout: float

    def get(self, url: str, words: Sequence[tuple[str, Any]] = (), *, also: Collection[int] = ()) -> requests.Response:
        """The good answer to a GET, or one with a status among ``also``. Raises as `answering`."""
        with answering(self.url, self.timeout):
            answer = self.session.get(url, params=list(words), timeout=self.timeout)
            return answer if answer.status_code in also else _good(answer, self.url)

    def get_json(self, url: str, words: Sequence[tuple[str, Any]] = ()) -> Any:
        """The JSON that answers a GET. Raises as `answering`."""
        answer = self.get(url, words)
        with answering(self.url, self.timeout):
            return answer.json()

    def post(self, url: str, body: bytes, media_type: str) -> requests.Response:
        """The good answer to a POST. Raises as `answering`."""
        with answering(self.url, self.timeout):
            headers = {"Content-Type": media_type}
            return _good(self.session.post(url, data=body, headers=headers, timeout=self.timeout), self.url)

    def post_json(self, url: str, body: Mapping[str, Any]) -> Any:
        """The JSON that answers a POST of JSON. Raises as `answering`."""
        answer = self.post(url, json.dumps(body).encode(), "application/json")
        with answering(self.url, self.timeout):
            return answer.json()


def open_service(root: str, settings: Settings, credential: Credential | None = None) -> Service:
    """The service at ``root``; no request is made.

    Raises
    ------
    BadRequest
        Where ``root`` is no http(s) address.
    """
    if urlsplit(root).scheme not in {"http", "https"}:
        raise BadRequest(f"catalog: found {root!r}, expected the http(s) address of a service.")
    return Service(shown(root), open_session(settings, credential), settings.catalogue.timeout)


def open_session(settings: Settings, credential: Credential | None = None) -> requests.Session:
    """A session as the lab asks with.

    Parameters
    ----------
    settings : Settings
        ``catalogue.timeout``, ``retries`` and ``cache`` count.
    credential : callable, optional
        See `Credential`. With one, nothing is kept.
    """
    options = settings.catalogue
    session: requests.Session
    if credential is not None:
        session = _Session(credential)
    else:
        session = _open_cached(parse_bytes(options.cache, "catalogue.cache"))
    adapter = _Bounded(max_retries=_Patience.of(options.retries, options.timeout))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def shown(url: str) -> str:
    """The address as it may be shown: without user name, password, query or fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


@contextmanager
def answering(url: str, timeout: float = 0.0, expected: str = "a document of its dialect") -> Iterator[None]:
    """What goes wrong on the way to a service, as a refusal that names it.

    Raises
    ------
    CatalogueUnavailable
        Where it is down, slow, busy, or answers what cannot be read.
    NotAllowed, BadRequest
        Where it refuses this user or this question.
    """
    try:
        yield
    except EarthlabError:
        raise
    except requests.JSONDecodeError as exc:
        raise nonsense(url, expected, exc) from exc
    except requests.RequestException as exc:
        raise refusal(url, timeout, exc) from exc
    except (AttributeError, LookupError, SyntaxError, TypeError, ValueError) as exc:  # lxml's are syntax errors
        raise nonsense(url, expected, exc) from exc


def nonsense(url: str, expected: str, exc: Exception) -> CatalogueUnavailable:
    """The refusal of an answer that cannot be read."""
    return CatalogueUnavailable(
        f"{url} answered nonsense: expected {expected}, could not read it ({type(exc).__name__}). "
        "Check that the address is the root of the service and its dialect the right one, or try later."
    )


def refusal(url: str, timeout: float, exc: Exception, status: int | None = None, said: str = "") -> EarthlabError:
    """What to tell of a request that failed: by its HTTP status where it has one, else by its cause."""
    if status in {401, 403}:
        return NotAllowed(
            f"{url} refuses this sign-in ({status}). In the lab, restart your server from the hub's page; "
            "elsewhere, this catalogue wants an access of its own."
        )
    if status == 400:
        return BadRequest(f"{url} refuses the search: {said}")
    if _was_slow(exc):
        return CatalogueUnavailable(
            f"{url} did not answer within {timeout:g} s. Try again, or raise EARTHLAB__CATALOGUE__TIMEOUT."
        )
    found = f"answered {status}" if status else "cannot be reached"
    return CatalogueUnavailable(f"{url} {found}. Check that the service runs and the address is right, then try again.")


def description(text: str) -> str:
    """What a service says of its refusal, shortened: the words of a JSON answer, else the text."""
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:300]
    return str(answer.get("description") or answer.get("detail") or answer)[:300] if isinstance(answer, Mapping) else ""


def _good(answer: requests.Response, url: str) -> requests.Response:
    if answer.ok:
        return answer
    failed = requests.HTTPError(f"status {answer.status_code}")
    raise refusal(url, 0.0, failed, answer.status_code, description(answer.text))


class _Session(requests.Session):
    """Asks by name, with the credential where it belongs; takes no cookie and no password from ``~/.netrc``."""

    def __init__(self, credential: Credential | None = None) -> None:
        super().__init__()
        self._credential = credential
        self._secret = set(_SECRET_HEADERS)
        self.auth = _no_auth
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.update({"User-Agent": USER_AGENT, "Accept-Language": "fr, en;q=0.8"})

    def send(self, request: requests.PreparedRequest, **words: Any) -> requests.Response:
        """Also what a redirect leads to, so that the credential is decided anew for each address."""
        if self._credential is not None:
            for name in self._secret:
                request.headers.pop(name, None)
            headers = self._credential(str(request.url))
            self._secret |= {name.lower() for name in headers}
            request.headers.update(headers)
        tell("asked", host=urlsplit(str(request.url)).hostname or "")
        return super().send(request, **words)


class _Bounded(HTTPAdapter):
    """Reads no more of an answer than fits, also of one that a few bytes unpack to."""

    def send(self, request: requests.PreparedRequest, *args: Any, **words: Any) -> requests.Response:
        answer = super().send(request, *args, **{**words, "stream": True})
        content = bytearray()
        for piece in answer.iter_content(2**16):
            content += piece
            if len(content) > MOST_BYTES:
                answer.close()
                raise CatalogueUnavailable(
                    f"{shown(str(request.url))} sends more than {MOST_BYTES:,} bytes at once. Ask for less, or tell "
                    "its keeper."
                )
        answer._content = bytes(content)  # noqa: SLF001 - where requests itself keeps what it has read
        return answer


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _CachedSession(CacheMixin, _Session):
    """Keeps what may be kept of what carried no credential."""

    def send(self, request: requests.PreparedRequest, **words: Any) -> Any:  # type: ignore[override]
        if _carries_credential(request):
            return _Session.send(self, request, **words)
        try:
            return super().send(request, **words)
        except sqlite3.Error:  # locked, full or broken: nothing that a search should fail of
            return _Session.send(self, request, **words)


def _carries_credential(request: requests.PreparedRequest) -> bool:
    url = str(request.url)
    if not _SECRET_HEADERS.isdisjoint(name.lower() for name in request.headers):
        return True
    return bool(urlsplit(url).username) or unsigned(url) != url


def _open_cached(most: int) -> requests.Session:
    file = _cache_folder() / "answers.sqlite"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.parent.chmod(0o700)
        return _open_cache(file, most)
    except (OSError, sqlite3.OperationalError) as exc:
        warnings.warn(
            f"Answers of catalogues are not kept: {file.parent} cannot be used ({exc}). Mend the folder or set "
            "XDG_CACHE_HOME.",
            FallbackWarning,
            stacklevel=4,
        )
        return _Session()
    except sqlite3.DatabaseError:
        file.unlink()
        return _open_cache(file, most)


def _open_cache(file: Path, most: int) -> requests.Session:
    cache = SQLiteCache(file, serializer="json", busy_timeout=5000)
    if file.stat().st_size >= most:
        cache.clear()  # type: ignore[no-untyped-call]
    return _CachedSession(
        backend=cache,
        cache_control=True,
        expire_after=0,  # what states no lifetime is asked for again, and kept only where it can be revalidated
        filter_fn=lambda answer: len(answer.content) <= LARGEST and file.stat().st_size < most,
    )


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "earthlab" / "catalogues"


class _Patience(Retry):
    """Tries again where a service is busy, and not where it asks for a longer pause than a person would wait."""

    @classmethod
    def of(cls, retries: int, longest: float) -> "_Patience":
        return cls(
            total=retries,
            backoff_factor=0.3,
            backoff_jitter=0.3,
            status_forcelist=_BUSY,
            allowed_methods=("GET", "HEAD", "POST"),  # a search by POST changes nothing
            raise_on_status=False,
            retry_after_max=round(longest),
        )

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        *rest: Any,
        **words: Any,
    ) -> Self:
        pause = _seconds(response.headers.get("Retry-After")) if response is not None else None
        if response is not None and pause is not None and pause > self.retry_after_max:
            raise CatalogueUnavailable(
                f"A catalogue answered {response.status} and asks to come again in {pause:.0f} s. It is busy or this "
                "user has asked too much of it: try then."
            )
        return super().increment(method, url, response, *rest, **words)


def _seconds(value: str | None) -> float | None:
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None


def _was_slow(exc: BaseException | None) -> bool:
    while exc is not None:
        if isinstance(exc, NewConnectionError):  # a refused connection, though urllib3 files it under timeouts
            return False
        if isinstance(exc, requests.Timeout | PoolTimeout | TimeoutError):
            return True
        if any(isinstance(a, BaseException) and _was_slow(getattr(a, "reason", None)) for a in exc.args):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
