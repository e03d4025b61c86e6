"""The providers that the broker signs for, from the table of named signers."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from earthlab.catalog.signing import make_signer
from earthlab.catalog.signing.making import change_provider
from earthlab.catalog.signing.providers import Provider as Described
from earthlab.catalog.signing.providers import load_providers
from earthlab.services.signing.desk import Provider, Upstream

_MOST_OPEN = 256
"""Keys whose signers, with what they keep of signed addresses, stay in memory."""

_URLS = {"urls", "containers"}
"""Kinds that sign addresses. All others send a key along with each read, and that key cannot be handed on."""


def plan_providers(addresses: Mapping[str, str] | None = None) -> tuple[Provider, ...]:
    """Every named provider but the broker itself and those that are asked for by name only.

    Parameters
    ----------
    addresses : mapping, optional
        Other addresses of signing services by provider.
    """
    known = (found for found in load_providers().values() if found.id != "broker" and not found.by_name)
    return tuple(describe_provider(change_provider(found, (addresses or {}).get(found.id))) for found in known)


def describe_provider(found: Described) -> Provider:
    """A provider as the broker's desk knows it."""
    return Provider(
        id=found.id,
        match=found.match,
        open=_opener(found),
        keyless=found.anonymous,
        header=found.kind not in _URLS,
        parts=tuple(frozenset(form) for form in found.keys),
    )


def _opener(found: Described) -> Callable[[Mapping[str, str] | None], Upstream]:
    opened = lru_cache(maxsize=_MOST_OPEN)(partial(_open_signer, found))
    return lambda key: opened(None if key is None else tuple(sorted(key.items())))


def _open_signer(found: Described, parts: tuple[tuple[str, str], ...] | None) -> Upstream:
    key = None if parts is None else dict(parts)
    return make_signer(found.id, key=key, url=found.url or None, hosts=found.hosts)
