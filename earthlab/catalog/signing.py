"""Signing: an href travels unsigned, and is signed by whoever reads it, when it is read.

Nothing that can be pickled, logged or shown holds a signature. A worker finds its signers by the setting
``catalogue.signers``, so that only their names travel. Signed addresses are kept in memory until shortly before they
expire.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from earthlab.errors import BadRequest, SetupError
from earthlab.settings import load_settings

_MARGIN = 60.0
"""Seconds before its expiry from which a signed address is not used any more."""

_PROOF = re.compile(r"^(x-(amz|goog)-signature|sig|signature)$", re.IGNORECASE)
_SIGNED_WITH = re.compile(
    r"^(x-(amz|goog)-.*|sig|signature|s[eprtv]|sk.{1,3}|spr|expires|awsaccesskeyid|googleaccessid|key-pair-id|policy)$",
    re.IGNORECASE,
)
_BEARER = re.compile(r"^(token|access_token|api_?key|auth)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Signed:
    """An address that opens, and until when. Its repr shows neither."""

    href: str = field(repr=False)
    expires: float = float("inf")
    """Seconds since 1970, UTC."""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """GDAL configuration for the read, such as ``GDAL_HTTP_HEADERS``."""


class Signer(Protocol):
    """Whoever can sign the addresses of one provider."""

    def match(self, href: str) -> bool:
        """Whether the address is one of this provider's: the host compared whole."""
        ...

    def sign(self, href: str) -> Signed:
        """The signed address.

        Raises
        ------
        NotAllowed
            Where the provider or the user's rights refuse it.
        """
        ...


_kept: dict[str, Signed] = {}
_lock = threading.Lock()


def sign(href: str) -> Signed:
    """The address to open now: that of the first signer that knows the provider, or the address itself.

    Raises
    ------
    SetupError
        Where a signer of the setting ``catalogue.signers`` cannot be imported.
    NotAllowed
        Where the signer refuses.
    """
    kept = _kept.get(href)
    if kept is not None and time.time() < kept.expires - _MARGIN:
        return kept
    signer = next((s for s in _configured() if s.match(href)), None)
    if signer is None:
        return Signed(href)
    signed = signer.sign(href)
    with _lock:
        _forget_expired()
        _kept[href] = signed
    return signed


def unsigned(href: str) -> str:
    """The address without signature or credentials: what may travel.

    Raises
    ------
    BadRequest
        Where a user name or password stands in it: those belong in a signer.
    """
    if "?" not in href and "@" not in href:
        return href
    parts = urlsplit(href)
    if re.search(r"//[^/@]*@", href):
        raise BadRequest(
            f"An address at {parts.hostname or 'a provider'} carries a user name or password. Take them out of the "
            "catalogue and give them to a signer (setting catalogue.signers)."
        )
    if not parts.query:
        return href
    words = parse_qsl(parts.query, keep_blank_values=True)
    signature = any(_PROOF.match(name) for name, _ in words)
    kept = [w for w in words if not (_BEARER.match(w[0]) or (signature and _SIGNED_WITH.match(w[0])))]
    return href if len(kept) == len(words) else urlunsplit(parts._replace(query=urlencode(kept)))


def _configured() -> tuple[Signer, ...]:
    return _load_all(os.environ.get("EARTHLAB__CATALOGUE__SIGNERS"))


@lru_cache(maxsize=1)
def _load_all(_changed: str | None) -> tuple[Signer, ...]:
    names = load_settings().catalogue.signers.split(",")
    return tuple(_load(name.strip()) for name in names if name.strip())


def _load(name: str) -> Signer:
    module, _, attribute = name.partition(":")
    try:
        made: Callable[[], Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SetupError(
            f"catalogue.signers names {name!r}, which cannot be imported ({exc}). Expected package.module:factory."
        ) from exc
    signer: Signer = made()
    return signer


def _forget_expired() -> None:
    now = time.time()
    for href in [href for href, signed in _kept.items() if signed.expires <= now]:
        del _kept[href]
