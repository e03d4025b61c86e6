"""One request to a signing service: no redirect is followed, no key is shown, and every failure is one of ours."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from earthlab.catalog.signing.keys import Key
from earthlab.catalog.signing.providers import Provider
from earthlab.catalog.signing.signed import Hidden
from earthlab.errors import BadRequest, CatalogueUnavailable, NotAllowed
from earthlab.types import parse_moment

USER_AGENT = f"EarthLab/{version('earthlab')}"
"""Who we say we are: some providers turn away the names of common libraries."""

_MOST_BYTES = 2**21
_MOST_WORDS = 300
_ALIKE = 2.0
"""Seconds by which two clocks may differ and count as the same."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a provider, and with which key."""

    provider: Provider
    url: str
    key: Key
    headers: Hidden
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; its content may hold signatures, and its repr has none of it."""

    status: int
    skew: float = 0.0
    """Seconds by which the provider's clock is ahead of ours."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = field(default=b"", repr=False)

    def words(self) -> Hidden | Mapping[str, Any]:
        """The JSON object in it, or an empty one."""
        try:
            found = json.loads(self.content)
        except ValueError:
            return {}
        return _Words(found) if isinstance(found, dict) else {}


class _Words(dict[str, Any]):
    """A JSON object that no traceback shows."""

    def __repr__(self) -> str:
        return f"answer with {', '.join(self)}"


def ask(question: Question) -> Answer:
    """The provider's answer, whatever its status; a busy provider is asked again.

    Raises
    ------
    CatalogueUnavailable
        Where nothing answers, or not in time.
    """
    failure = ""
    answer: Answer | None = None
    try:
        answer = _request(question)
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as exc:
        failure = type(exc.reason if isinstance(exc, urllib3.exceptions.MaxRetryError) else exc).__name__
    if answer is None:
        # Outside the except clause: what the transport raised has the request, and so the key, in its frames.
        raise CatalogueUnavailable(
            f"{question.provider.title} ({host_of(question.url)}) cannot be reached to open an address ({failure}). "
            "Try again in a while."
        )
    return answer


def require_answer(question: Question, answer: Answer) -> None:
    """Nothing, for an answer of status 200.

    Raises
    ------
    NotAllowed
        For 401 and 403, with the provider's reason and the way to be let in.
    BadRequest
        For any other refusal of what was asked.
    CatalogueUnavailable
        Where the provider is busy, broken, or answers what it should not.
    """
    if answer.status == HTTPStatus.OK:
        return
    who = f"{question.provider.title} ({host_of(question.url)})"
    said = _reason(question, answer)
    match answer.status:
        case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
            refuse(question.provider, f"answers {answer.status}{said}", question.url)
        case status if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LATER:
            raise BadRequest(f"{who} does not understand what it was asked to sign: {status}{said}.")
        case status:
            raise CatalogueUnavailable(f"{who} answers {status}{said}. Try again in a while.")


def refuse(provider: Provider, reason: str, url: str) -> NoReturn:
    """Say that the provider does not open an address, and what to do."""
    raise NotAllowed(f"{provider.title} ({host_of(url)}) {reason.rstrip('.')}. {provider.way}")


def parse_expiry(text: object, skew: float) -> float:
    """Seconds since 1970 by our clock for an RFC 3339 text; without one infinity, which keepers take for minutes."""
    if not isinstance(text, str) or not text:
        return float("inf")
    try:
        return parse_moment(text).timestamp() - skew
    except BadRequest:
        return float("inf")


def require_future(provider: Provider, expires: float) -> float:
    """The expiry, where it lies ahead.

    Raises
    ------
    CatalogueUnavailable
        Where what was signed just now has expired: the clocks differ.
    """
    late = time.time() - expires
    if late > 0:
        raise CatalogueUnavailable(
            f"{provider.title} gave an address that expired {late:.0f} s ago. Check this machine's clock and try again."
        )
    return expires


def host_of(url: str) -> str:
    """The host of an address, for messages."""
    return urlsplit(url).hostname or "no host"


_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_RETRIES = urllib3.Retry(
    total=2,
    redirect=False,
    backoff_factor=0.3,
    status_forcelist=[429, 502, 503, 504],
    allowed_methods=None,
    raise_on_status=False,
    retry_after_max=10,
)


def _request(question: Question) -> Answer:
    sent = time.time()
    answer = _connections(os.getpid(), _proxy(question.url)).request(
        "GET" if question.body is None else "POST",
        question.url,
        headers={"User-Agent": USER_AGENT, "Accept": "*/*", **question.headers},
        json=question.body,
        preload_content=False,
        redirect=False,
    )
    try:
        content = answer.read(_MOST_BYTES)
    finally:
        answer.close()
        answer.release_conn()
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, _skew(headers.get("date"), (sent + time.time()) / 2), headers, content)


@lru_cache(maxsize=2)
def _connections(_process: int, proxy: str | None) -> urllib3.PoolManager:
    words: dict[str, Any] = {"retries": _RETRIES, "timeout": urllib3.Timeout(connect=10, read=30), "maxsize": 8}
    return urllib3.ProxyManager(proxy, **words) if proxy else urllib3.PoolManager(**words)


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _skew(date: str | None, now: float) -> float:
    try:
        skew = parsedate_to_datetime(date or "").timestamp() - now
    except ValueError:
        return 0.0
    return skew if abs(skew) > _ALIKE else 0.0


def _reason(question: Question, answer: Answer) -> str:
    words = answer.words()
    said = [words[name] for name in ("description", "how", "detail", "message") if isinstance(words.get(name), str)]
    text = question.key.strip_from(" ".join(" ".join(said).split()))
    return f" ({text[:_MOST_WORDS]})" if text else ""
