"""Who waits for connections on this machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_ALL = {4: {"0.0.0.0", "::"}, 6: {"::"}}  # noqa: S104 - nothing is bound
"""Where somebody listens whom any address of that kind meets."""

_LISTENS = "0A"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody who waits for connections; the inode tells one from a later one at the same place."""

    address: IPv4Address | IPv6Address
    port: int
    uid: int
    inode: int


def parse_listeners(table: str) -> list[Listener]:
    """Those in the text of ``/proc/net/tcp`` or ``/proc/net/tcp6``, proc_net(5)."""
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENS:
            address, port = fields[1].split(":")
            found.append(Listener(_parse_address(address), int(port, 16), int(fields[7]), int(fields[9])))
    return found


def _parse_address(text: str) -> IPv4Address | IPv6Address:
    # Words of four bytes, each as this machine holds it: the last byte first.
    words = bytes.fromhex(text)
    found = ip_address(b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4)))
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def read_listeners() -> list[Listener]:
    """All of this machine."""
    return [one for table in _TABLES if table.exists() for one in parse_listeners(table.read_text(encoding="ascii"))]


def find_met(listeners: Iterable[Listener], address: str, port: int) -> frozenset[Listener]:
    """Those whom a connection to this address and port may meet."""
    met = {address} | _ALL[ip_address(address).version]
    return frozenset(one for one in listeners if one.port == port and str(one.address) in met)
