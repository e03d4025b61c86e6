"""What the named signers are, as data: ``providers.toml`` beside this file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib.resources import files
from typing import Any

from earthlab.catalog.signing.hosts import is_among
from earthlab.errors import BadRequest, did_you_mean

MANY = 64
"""Addresses that one request to a service of kind ``urls`` may carry."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who asks for signatures or keys; the file says what each field means."""

    id: str
    title: str
    kind: str
    hosts: tuple[str, ...]
    keys: tuple[Mapping[str, str], ...] = field(hash=False)
    way: str
    source: tuple[str, ...]
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    scheme: str = ""
    subdomains: bool = False
    anonymous: bool = False
    presigned: bool = True
    region: str = "us-east-1"
    payer: str = ""
    by_name: bool = False

    def match(self, href: str) -> bool:
        """Whether the address is at one of this provider's hosts."""
        return is_among(href, self.hosts, subdomains=self.subdomains)


def find_provider(name: str) -> Provider:
    """The provider of a named signer.

    Raises
    ------
    BadRequest
        For an unknown name.
    """
    known = load_providers()
    if name not in known:
        raise BadRequest(f"signer: found {name!r}. {did_you_mean(name, ['none', *known])}")
    return known[name]


@lru_cache(maxsize=1)
def load_providers() -> Mapping[str, Provider]:
    """Every provider by its id, in the order of the file."""
    text = (files("earthlab.catalog.signing") / "providers.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    return {name: _parse_provider(name, _with_hosts(table, tables)) for name, table in tables.items()}


def _with_hosts(table: dict[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    served = table.pop("serves", ())
    return {**table, "hosts": [host for name in served for host in tables[name]["hosts"]]} if served else table


def _parse_provider(name: str, table: Mapping[str, Any]) -> Provider:
    known = {f.name for f in fields(Provider)}
    assert table.keys() <= known, f"providers.toml, [{name}]: {table.keys() - known}"
    frozen: dict[str, Any] = {word: tuple(value) if isinstance(value, list) else value for word, value in table.items()}
    return Provider(id=name, **frozen)
