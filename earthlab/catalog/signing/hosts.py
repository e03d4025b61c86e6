"""Whose address it is: hosts are compared whole, since a key that goes to a look-alike is a key lost."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

LOOPBACK = frozenset({"127.0.0.1", "localhost"})
"""Hosts to which a key may go without TLS: this machine."""

_PORTS = {"https": 443, "http": 80, "s3": None}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.ASCII)
_NOT_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f\\]")
"""What URL parsers disagree about: some drop these characters, some take them for a slash."""


class Address(NamedTuple):
    """Where an address leads. ``port`` is None where it is the scheme's own."""

    scheme: str
    host: str
    """In lower case; of ``s3://`` the bucket."""
    port: int | None
    path: str


def parse_address(href: str) -> Address | None:
    """The parts of an ``https``, ``http`` or ``s3`` address, or None for any other text.

    None also for what no provider writes and parsers read differently: a user name, a port that is no number, a host
    that is not plain ASCII or ends with a dot, no path, a backslash, blanks and control characters. And for ``http``
    to another machine: no key goes there in the open.
    """
    if "://" not in href or _NOT_IN_ADDRESSES.search(href):
        return None
    try:
        parts = urlsplit(href)
        port = parts.port
    except ValueError:
        return None
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme not in _PORTS or "@" in parts.netloc or not _HOST.fullmatch(host) or ".." in host:
        return None
    if (scheme == "http" and host not in LOOPBACK) or not parts.path.startswith("/"):
        return None
    return Address(scheme, host, None if port == _PORTS[scheme] else port, parts.path)


def is_among(href: str, hosts: Iterable[str], *, subdomains: bool = False) -> bool:
    """Whether an address is at one of the hosts.

    Parameters
    ----------
    href : str
        Any text; what is no address matches nothing.
    hosts : iterable of str
        ``host``, ``host:port``, or ``s3://bucket``.
    subdomains : bool
        Whether the hosts one name below these are meant, such as ``a.host``, in place of these themselves.
    """
    address = parse_address(href)
    if address is None:
        return False
    if address.scheme == "s3":
        return f"s3://{address.host}" in hosts
    place = address.host if address.port is None else f"{address.host}:{address.port}"
    return (place.partition(".")[2] if subdomains else place) in hosts
