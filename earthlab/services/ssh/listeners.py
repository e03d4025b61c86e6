"""Connections to what the user's own processes serve on this machine, and to nothing else of it."""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from earthlab.errors import NotAllowed

_WAYS = {"127.0.0.1": ("127.0.0.1", "0.0.0.0", "::"), "::1": ("::1", "::")}  # noqa: S104 - nothing is bound
"""By which address to come, and where somebody listens who is met by it."""

HERE = frozenset({"localhost", "127.0.0.1", "::1", "ip6-localhost"})
"""What a client may call the machine of their server."""

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


def resolve_target(listeners: Iterable[Listener], port: int, uid: int) -> tuple[str, frozenset[Listener]]:
    """By which address to reach a port that is a user's alone, and who listens there.

    Raises
    ------
    NotAllowed
        Where nobody listens at that port, or anybody who is not the user.
    """
    there = [one for one in listeners if one.port == port]
    for way, met in _WAYS.items():
        found = frozenset(one for one in there if str(one.address) in met)
        if found and all(one.uid == uid for one in found):
            return way, found
    # The same words for others' ports and for nobody's: who asks learns nothing of them.
    raise NotAllowed(f"port {port}: no process of yours listens there")


def read_listeners() -> list[Listener]:
    """All of this machine."""
    return [one for table in _TABLES if table.exists() for one in parse_listeners(table.read_text(encoding="ascii"))]


async def connect_to_own(port: int, uid: int) -> socket.socket:
    """A connection to a port that the user alone listens on.

    Raises
    ------
    NotAllowed
        Where it is not, or no longer.
    """
    address, before = resolve_target(read_listeners(), port, uid)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM)
    line.setblocking(False)  # noqa: FBT003 - the method's own way
    try:
        await asyncio.get_running_loop().sock_connect(line, (address, port))
        _refuse_change(port, uid, before)
    except OSError as exc:
        line.close()
        raise NotAllowed(f"port {port}: {exc.strerror}") from exc
    except BaseException:
        line.close()
        raise
    return line


def _refuse_change(port: int, uid: int, before: frozenset[Listener]) -> None:
    # Whoever listens now and did before was the one who was there in between.
    if resolve_target(read_listeners(), port, uid)[1] != before:
        raise NotAllowed(f"port {port}: it has just changed hands")
