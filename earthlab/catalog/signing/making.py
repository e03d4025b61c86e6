"""Signers by name."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from earthlab.catalog.signing.hosts import LOOPBACK
from earthlab.catalog.signing.keys import NO_KEY, Key, find_key
from earthlab.catalog.signing.providers import Provider, find_provider
from earthlab.catalog.signing.signed import NamedSigner, Signed
from earthlab.catalog.signing.signers import KINDS
from earthlab.errors import BadRequest, SetupError


class Nobody:
    """The signer ``none``: everything opens as it is."""

    def match(self, href: str) -> bool:  # noqa: ARG002 - the protocol's
        """Any address."""
        return True

    def sign(self, href: str) -> Signed:
        """The address itself."""
        return Signed(href)

    def sign_many(self, hrefs: list[str]) -> dict[str, Signed]:
        """The addresses themselves."""
        return {href: Signed(href) for href in hrefs}


def make_signer(
    name: str,
    *,
    key: Key | Mapping[str, str] | str | None = None,
    url: str | None = None,
    hosts: Sequence[str] | None = None,
    **changes: Any,
) -> NamedSigner:
    """A signer with a key of its own: what it keeps is seen by nobody else.

    Parameters
    ----------
    name : str
        ``none``, ``mtd``, ``planetary-computer``, ``geodes``, ``hydroweb``, ``earthdata``, ``s3``,
        ``s3-requester-pays`` or ``broker``.
    key : Key, mapping or str, optional
        The key by its parts, or the only part of one; the user's own by default (see `find_key`).
    url : str, optional
        Address of the signing service (of ``s3``: the endpoint) in place of the known one; of the broker it is needed.
    hosts : sequence of str, optional
        Whose addresses are signed, in place of the known ones: ``host``, ``host:port`` or ``s3://bucket``.
    **changes
        Other fields of `earthlab.catalog.signing.providers.Provider`, such as ``presigned``.

    Raises
    ------
    BadRequest
        For an unknown name, or an address without TLS that is not of this machine.
    SetupError
        Where a key is needed and there is none.
    """
    if name == "none":
        return Nobody()
    provider = change_provider(find_provider(name), url, hosts, **changes)
    if provider.kind in {"urls", "containers"} and not provider.url:
        raise SetupError(f"signer {name}: the address of {provider.title} is not set (setting catalogue.signing).")
    given = _norm_key(provider, key) if key is not None else find_key(name, provider.keys, os.environ)
    if given is None and not provider.anonymous:
        raise SetupError(f"signer {name}: there is no key. {provider.way}")
    return build_signer(provider, given or NO_KEY)


def build_signer(provider: Provider, key: Key) -> NamedSigner:
    """The signer of a provider with a key."""
    return KINDS[provider.kind](provider, key)


def change_provider(
    provider: Provider, url: str | None = None, hosts: Sequence[str] | None = None, **changes: Any
) -> Provider:
    """The provider at another address or with other hosts.

    The lab's own broker may also be where the hub says that its services are: on a cluster that is behind its proxy, to
    which every token of the lab goes within the cluster's network.

    Raises
    ------
    BadRequest
        Where a key would leave this machine, or the lab's own cluster, without TLS.
    """
    if url:
        parts = urlsplit(url)
        sealed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not (sealed or (provider.id == "broker" and _is_own_service(url))) or "@" in url:
            raise BadRequest(
                f"signer {provider.id}: its address at {parts.hostname or 'no host'} is not https, and keys would go "
                "there in the open. Give an https address."
            )
        provider = replace(provider, url=url)
    return replace(provider, **changes, hosts=provider.hosts if hosts is None else tuple(hosts))


def _is_own_service(url: str) -> bool:
    services = os.environ.get("EARTHLAB_SERVICES", "").rstrip("/")
    return bool(services) and url.startswith(f"{services}/")


def _norm_key(provider: Provider, key: Key | Mapping[str, str] | str) -> Key:
    if isinstance(key, Key):
        return key
    if not isinstance(key, str):
        return Key(key)
    single = next((form for form in provider.keys if len(form) == 1), None)
    if single is None:
        raise BadRequest(
            f"signer {provider.id}: its key has the parts {', '.join(provider.keys[0])}. Give each by name."
        )
    return Key(dict.fromkeys(single, key))
