"""The four ways to sign that the named signers know."""

import hashlib
import hmac
import re
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

from earthlab.catalog.signing.asking import (
    USER_AGENT,
    Answer,
    Question,
    ask,
    host_of,
    parse_expiry,
    refuse,
    require_answer,
    require_future,
)
from earthlab.catalog.signing.gathering import Gatherer
from earthlab.catalog.signing.hosts import parse_address
from earthlab.catalog.signing.keeping import UNSTATED, Keeper
from earthlab.catalog.signing.keys import Key
from earthlab.catalog.signing.providers import MANY, Provider
from earthlab.catalog.signing.signed import Hidden, NamedSigner, Signed
from earthlab.errors import CatalogueUnavailable

_CONTAINER = re.compile(r"/([a-z0-9$-]{1,63})/.")
_MOST_HOPS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
PRESIGNED_FOR = 3600
"""Seconds for which an address is signed with keys of S3."""


class UrlSigner:
    """Kind ``urls``: the service signs each address; those that threads want at the same time share a request.

    The contract is that of the Maison de la Télédétection: ``POST sign_urls {"urls": […]}`` gives
    ``{"hrefs": {unsigned: signed}, "expiry": …}``.
    """

    def __init__(self, provider: Provider, key: Key) -> None:
        self._provider, self._key = provider, key
        self._keeper: Keeper[str] = Keeper()
        self._gatherer = Gatherer(self._sign_some, MANY)

    def match(self, href: str) -> bool:
        """Whether the address is one of the provider's."""
        return self._provider.match(href)

    def sign(self, href: str) -> Signed:
        """The address with its signature."""
        return self._keeper.get(href, lambda: self._gatherer.sign(href))

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """Each address with its signature, 64 a request; refused where one of them is."""
        wanted = list(dict.fromkeys(hrefs))
        found = {href: kept for href in wanted if (kept := self._keeper.peek(href))}
        missing = [href for href in wanted if href not in found]
        for start in range(0, len(missing), MANY):
            some = self._sign_some(missing[start : start + MANY])
            found |= {href: self._keeper.put(href, signed) for href, signed in some.items()}
        return {href: found[href] for href in wanted}

    def _sign_some(self, hrefs: list[str]) -> dict[str, Signed]:
        provider = self._provider
        url = f"{provider.url.rstrip('/')}/sign_urls"
        question = Question(provider, url, self._key, key_headers(provider, self._key), {"urls": hrefs})
        answer = ask(question)
        require_answer(question, answer)
        words = answer.words()
        expires = require_future(provider, parse_expiry(words.get("expiry"), answer.skew))
        return {href: Signed(self._checked(words.get("hrefs"), href), expires) for href in hrefs}

    def _checked(self, hrefs: Any, href: str) -> str:
        """What an address was signed to: another web address, and never a file of this machine."""
        signed = hrefs.get(href) if isinstance(hrefs, dict) else None
        address = parse_address(signed) if isinstance(signed, str) else None
        if address is None or address.scheme not in {"https", urlsplit(href).scheme.lower()}:
            raise CatalogueUnavailable(
                f"{self._provider.title} ({host_of(self._provider.url)}) answers without a web address for one that "
                f"it was asked to sign ({urlsplit(href).path}). Try again, or tell its keeper."
            )
        assert isinstance(signed, str)
        return signed


class ContainerSigner:
    """Kind ``containers``: one token opens all of a container of a storage account, and is appended here."""

    def __init__(self, provider: Provider, key: Key) -> None:
        self._provider, self._key = provider, key
        self._keeper: Keeper[tuple[str, str]] = Keeper()

    def match(self, href: str) -> bool:
        """Whether the address is one of the provider's, and of something within a container."""
        address = parse_address(href)
        return bool(address and _CONTAINER.match(address.path)) and self._provider.match(href)

    def sign(self, href: str) -> Signed:
        """The address with the token of its container; as it is, where the service knows no such container."""
        address = parse_address(href)
        found = _CONTAINER.match(address.path) if address else None
        assert address
        assert found
        container = (address.host.partition(".")[0], found[1])
        token = self._keeper.get(container, lambda: self._ask(*container))
        if not token.href:
            return Signed(href, token.expires)
        return Signed(f"{href}{'&' if '?' in href else '?'}{token.href}", token.expires)

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """Each address with the token of its container."""
        return {href: self.sign(href) for href in hrefs}

    def _ask(self, account: str, container: str) -> Signed:
        provider = self._provider
        url = f"{provider.url.rstrip('/')}/token/{account}/{quote(container)}"
        question = Question(provider, url, self._key, key_headers(provider, self._key))
        answer = ask(question)
        if answer.status == HTTPStatus.NOT_FOUND:
            return Signed("")
        require_answer(question, answer)
        words = answer.words()
        if not isinstance(words.get("token"), str) or not words["token"]:
            raise CatalogueUnavailable(
                f"{provider.title} ({host_of(provider.url)}) answers without a token for {account}/{container}. "
                "Try again in a while."
            )
        expires = require_future(provider, parse_expiry(words.get("msft:expiry"), answer.skew))
        return Signed(words["token"].lstrip("?"), expires)


class HeaderSigner:
    """Kind ``header``: the key goes with the request, to the provider's own hosts and to no other.

    GDAL sends headers wherever a redirect leads. So the address is asked for its first byte here, once, and where the
    provider leads elsewhere, as to a signed address of its store, that address is what is read, without the key.
    """

    def __init__(self, provider: Provider, key: Key) -> None:
        self._provider, self._key = provider, key
        self._keeper: Keeper[str] = Keeper()

    def match(self, href: str) -> bool:
        """Whether the address is one of the provider's."""
        return self._provider.match(href)

    def sign(self, href: str) -> Signed:
        """Where the file is, and the headers with which it opens there."""
        return self._keeper.get(href, lambda: self._resolve(href))

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """Each address, one after another."""
        return {href: self.sign(href) for href in hrefs}

    def headers(self) -> Hidden:
        """What goes with requests of our own to the provider."""
        return Hidden({**key_headers(self._provider, self._login()), "User-Agent": USER_AGENT})

    def _resolve(self, href: str) -> Signed:
        provider, key, place = self._provider, self._login(), href
        for _ in range(_MOST_HOPS):
            headers = Hidden({**key_headers(provider, key), "Range": "bytes=0-0"})
            question = Question(provider, place, key, headers)
            answer = ask(question)
            if answer.status not in _REDIRECTS:
                _require_open(question, answer)
                return Signed(place, options=_as_gdal_option(self.headers()))
            leads = self._follow(place, answer)
            if not provider.match(leads):
                return Signed(leads, require_future(provider, _stated_expiry(leads, answer.skew)))
            place = leads
        raise CatalogueUnavailable(
            f"{provider.title} ({host_of(href)}) leads from address to address, {_MOST_HOPS} times. Tell its keeper."
        )

    def _follow(self, place: str, answer: Answer) -> str:
        leads = urljoin(place, answer.headers.get("location", ""))
        address = parse_address(leads)
        if self._provider.url and address and address.host == host_of(self._provider.url):
            refuse(
                self._provider, "asks to sign in: the key is unknown or has expired, or terms are not accepted", place
            )
        if address is None or address.scheme not in {"https", urlsplit(place).scheme.lower()}:
            raise CatalogueUnavailable(
                f"{self._provider.title} ({host_of(place)}) leads to what is no https address. Tell its keeper."
            )
        return leads

    def _login(self) -> Key:
        """The key itself, or the token that the login service gives for a user name and a password."""
        if not self._key.has("password"):
            return self._key
        kept = self._keeper.get("", self._ask_token)
        return Key({"token": kept.href})

    def _ask_token(self) -> Signed:
        provider, key = self._provider, self._key
        pair = f"{key.part('username')}:{key.part('password')}".encode
        headers = Hidden({"Authorization": f"Basic {b64encode(pair()).decode()}"})
        question = Question(provider, f"{provider.url.rstrip('/')}/api/users/find_or_create_token", key, headers, {})
        answer = ask(question)
        require_answer(question, answer)
        words = answer.words()
        if not isinstance(words.get("access_token"), str):
            raise CatalogueUnavailable(
                f"{provider.title} ({host_of(provider.url)}) answers without a token. Try again."
            )
        return Signed(words["access_token"], _day_expiry(words.get("expiration_date")))


class BucketSigner:
    """Kind ``buckets``: keys of S3, as a presigned address, or as options where the server takes none.

    A folder, such as a Zarr store, has its objects signed one by one by whoever reads: it always goes with options.
    """

    def __init__(self, provider: Provider, key: Key) -> None:
        self._provider, self._key = provider, key
        self._keeper: Keeper[str] = Keeper()

    def match(self, href: str) -> bool:
        """Whether the address is in one of the provider's buckets."""
        return self._provider.match(href)

    def sign(self, href: str) -> Signed:
        """The address as it opens."""
        if self._provider.presigned and not _is_folder(href):
            return self._keeper.get(href, lambda: self._presign(href))
        return Signed(href, options=Hidden(self._options()))

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """Each address as it opens."""
        return {href: self.sign(href) for href in hrefs}

    def _presign(self, href: str) -> Signed:
        moment = datetime.now(UTC)
        return Signed(presign(self._provider, self._key, href, moment), moment.timestamp() + PRESIGNED_FOR)

    def _options(self) -> dict[str, str]:
        provider, endpoint = self._provider, urlsplit(self._provider.url)
        named = {"access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY"}
        keys = {option: self._key.part(part) for part, option in named.items()}
        token = {"AWS_SESSION_TOKEN": self._key.part("session_token")} if self._key.has("session_token") else {}
        payer = {"AWS_REQUEST_PAYER": provider.payer} if provider.payer else {}
        place = {
            "AWS_S3_ENDPOINT": endpoint.netloc,
            "AWS_HTTPS": "YES" if endpoint.scheme == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "AWS_REGION": provider.region,
        }
        return {**keys, **token, **payer, **place}


KINDS: Mapping[str, Callable[[Provider, Key], NamedSigner]] = {
    "urls": UrlSigner,
    "containers": ContainerSigner,
    "header": HeaderSigner,
    "buckets": BucketSigner,
}


def presign(provider: Provider, key: Key, href: str, moment: datetime) -> str:
    """An address of an object in a bucket that opens for an hour: Signature Version 4 of AWS, in the query.

    References
    ----------
    AWS, "Authenticating requests: using query parameters (AWS Signature Version 4)".
    """
    endpoint, place = urlsplit(provider.url), urlsplit(href)
    path = quote(f"{endpoint.path.rstrip('/')}/{place.netloc}{place.path}", safe="/~")
    scope = f"{moment:%Y%m%d}/{provider.region}/s3/aws4_request"
    words = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{key.part('access_key')}/{scope}",
        "X-Amz-Date": f"{moment:%Y%m%dT%H%M%SZ}",
        "X-Amz-Expires": str(PRESIGNED_FOR),
        "X-Amz-SignedHeaders": "host",
        **({"X-Amz-Security-Token": key.part("session_token")} if key.has("session_token") else {}),
        **({"x-amz-request-payer": provider.payer} if provider.payer else {}),
    }
    query = urlencode(sorted(words.items()), quote_via=quote, safe="~")
    request = "\n".join(["GET", path, query, f"host:{endpoint.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    text = "\n".join(["AWS4-HMAC-SHA256", words["X-Amz-Date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    proof = _hmac(_signing_key(key, scope), text).hex()
    return f"{endpoint.scheme}://{endpoint.netloc}{path}?{query}&X-Amz-Signature={proof}"


def key_headers(provider: Provider, key: Key) -> Hidden:
    """The headers that carry a key to its provider."""
    scheme = f"{provider.scheme} " if provider.scheme else ""
    return Hidden({header: f"{scheme}{key.part(part)}" for part, header in provider.headers.items() if key.has(part)})


def _signing_key(key: Key, scope: str) -> bytes:
    proof = f"AWS4{key.part('secret_key')}".encode()
    for word in scope.split("/"):
        proof = _hmac(proof, word)
    return proof


def _hmac(secret: bytes, text: str) -> bytes:
    return hmac.new(secret, text.encode(), hashlib.sha256).digest()


def _is_folder(href: str) -> bool:
    path = urlsplit(href).path
    return path.endswith("/") or any(part.endswith(".zarr") for part in path.split("/"))


def _as_gdal_option(headers: Mapping[str, str]) -> Hidden:
    """Headers one a line: GDAL takes a comma for the end of a header otherwise."""
    return Hidden({"GDAL_HTTP_HEADERS": "\r\n".join(f"{name}: {value}" for name, value in headers.items())})


def _require_open(question: Question, answer: Answer) -> None:
    """Nothing, where the file opens, and where it is not there or gives no ranges: its reader says that better."""
    if answer.status not in _FOR_READERS:
        require_answer(question, answer)


_FOR_READERS = {200, 206, 404, 405, 410, 416}


def _stated_expiry(href: str, skew: float) -> float:
    """When a signed address says that it expires; minutes from now where it does not say."""
    words = {name.lower(): values[0] for name, values in parse_qs(urlsplit(href).query).items()}
    try:
        if "x-amz-date" in words:
            begun = datetime.strptime(words["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            return begun.timestamp() + float(words["x-amz-expires"]) - skew
        if "expires" in words:
            return float(words["expires"]) - skew
    except (KeyError, ValueError):
        return time.time() + UNSTATED
    return parse_expiry(words["se"], skew) if "se" in words else time.time() + UNSTATED


def _day_expiry(text: object) -> float:
    """The beginning of the day on which a token of Earthdata ends, written as in the United States."""
    try:
        return datetime.strptime(str(text), "%m/%d/%Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")
