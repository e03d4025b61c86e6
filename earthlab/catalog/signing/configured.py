"""Who signs in this process: what the settings name, then whomever the user has a key for.

A worker finds its signers by the setting ``catalogue.signers`` and its own environment, so that only names travel.
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from earthlab.catalog.signing.keeping import KeptSigner
from earthlab.catalog.signing.keys import NO_KEY, Key, find_key
from earthlab.catalog.signing.making import Nobody, build_signer, change_provider
from earthlab.catalog.signing.providers import Provider, find_provider, load_providers
from earthlab.catalog.signing.signed import NamedSigner, Signed, Signer
from earthlab.catalog.signing.signers import HeaderSigner
from earthlab.errors import SetupError, did_you_mean
from earthlab.settings import load_settings

_MOST_BUILT = 32


class OwnKeySigner:
    """A named signer with the key that the user has now; without one it knows no address."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._built: OrderedDict[Key, NamedSigner] = OrderedDict()

    def match(self, href: str) -> bool:
        """Whether the address is the provider's and there is a key, or none is needed."""
        return self.provider.match(href) and self.find() is not None

    def sign(self, href: str) -> Signed:
        """As the signer of the user's key does."""
        signer = self.find()
        assert signer is not None
        return signer.sign(href) if signer.match(href) else Signed(href)

    def find(self) -> NamedSigner | None:
        """The signer of the user's key: another key has another signer, and sees nothing that this one kept."""
        key = find_key(self.provider.id, self.provider.keys, os.environ)
        if key is None and not self.provider.anonymous:
            return None
        return self._signer_of(key or NO_KEY)

    def _signer_of(self, key: Key) -> NamedSigner:
        signer = self._built.get(key)
        if signer is None:
            signer = self._built.setdefault(key, build_signer(self.provider, key))
            while len(self._built) > _MOST_BUILT:
                self._built.popitem(last=False)
        return signer


def sign(href: str) -> Signed:
    """The address to open now: that of the first signer that knows the provider, or the address itself.

    Raises
    ------
    SetupError
        Where a signer of the setting ``catalogue.signers`` is unknown, or the file of keys is open to others.
    NotAllowed
        Where the signer refuses, with its reason and the way to be allowed.
    CatalogueUnavailable
        Where the provider cannot be asked.
    """
    signer = _find_signer(href)
    return signer.sign(href) if signer else Signed(href)


def request_headers(url: str) -> Mapping[str, str]:
    """The headers with the user's key for a request of our own, such as a search, to a provider that wants one.

    Returns
    -------
    mapping
        Empty for any other provider, and where the user has no key. Its repr hides the values. Do not follow
        redirects to other hosts with them.
    """
    for signer in configured_signers():
        if isinstance(signer, OwnKeySigner) and signer.match(url):
            found = signer.find()
            return found.headers() if isinstance(found, HeaderSigner) else {}
    return {}


def configured_signers() -> tuple[Signer, ...]:
    """Everyone who may sign, in the order in which they are asked."""
    return _load_all(*(os.environ.get(name) for name in _CHANGES))


def forget_signers() -> None:
    """Forget every signer and what it kept; the next address is signed anew."""
    _load_all.cache_clear()


_CHANGES = (
    "EARTHLAB__CATALOGUE__SIGNERS",
    "EARTHLAB__CATALOGUE__SIGNING",
    "EARTHLAB_CONFIG",
    "EARTHLAB_SERVICES",
    "HOME",
    "XDG_CONFIG_HOME",
)
"""Environment variables on which the settings below depend."""


def _find_signer(href: str) -> Signer | None:
    return next((signer for signer in configured_signers() if signer.match(href)), None)


@lru_cache(maxsize=4)
def _load_all(*_changed: str | None) -> tuple[Signer, ...]:
    settings = load_settings().catalogue
    named = [_load(name.strip(), settings.signing) for name in settings.signers.split(",") if name.strip()]
    if any(isinstance(signer, Nobody) for signer in named):
        return tuple(named)
    given = {signer.provider.id for signer in named if isinstance(signer, OwnKeySigner)}
    usual = (p for p in load_providers().values() if not p.by_name and p.id not in given)
    reachable = (change_provider(p, settings.signing) if p.id == "broker" else p for p in usual)
    return (*named, *(OwnKeySigner(p) for p in reachable if p.url or p.kind == "header"))


def _load(name: str, broker: str) -> Signer:
    if ":" in name.partition("=")[0]:
        return KeptSigner(_import(name))
    known, _, url = name.partition("=")
    if known == "none":
        return Nobody()
    if known not in load_providers():
        raise SetupError(
            f"catalogue.signers names {known!r}, which is no signer. "
            f"{did_you_mean(known, ['none', *load_providers()])} Or give package.module:factory."
        )
    provider = change_provider(find_provider(known), url or (broker if known == "broker" else None))
    return OwnKeySigner(provider)


def _import(name: str) -> Signer:
    module, _, attribute = name.partition(":")
    try:
        made: Callable[[], Any] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SetupError(
            f"catalogue.signers names {name!r}, which cannot be imported ({exc}). Expected package.module:factory."
        ) from exc
    signer: Signer = made()
    return signer
