"""Connections to what the user's own processes serve on this machine, and to nothing else of it."""

import asyncio
import socket
from collections.abc import Iterable

from earthlab.errors import NotAllowed
from earthlab.kernel.tcp import TcpSocket, find_met, read_listeners

_WAYS = ("127.0.0.1", "::1")
"""By which address to come."""

HERE = frozenset({"localhost", "127.0.0.1", "::1", "ip6-localhost"})
"""What a client may call the machine of their server."""


def resolve_target(listeners: Iterable[TcpSocket], port: int, uid: int) -> tuple[str, frozenset[TcpSocket]]:
    """By which address to reach a port that is a user's alone, and who listens there.

    Raises
    ------
    NotAllowed
        Where nobody listens at that port, or anybody who is not the user.
    """
    there = [one for one in listeners if one.port == port]
    for way in _WAYS:
        found = find_met(there, way, port)
        if found and all(one.uid == uid for one in found):
            return way, found
    # The same words for others' ports and for nobody's: who asks learns nothing of them.
    raise NotAllowed(f"port {port}: no process of yours listens there")


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


def _refuse_change(port: int, uid: int, before: frozenset[TcpSocket]) -> None:
    # Whoever listens now and did before was the one who was there in between.
    if resolve_target(read_listeners(), port, uid)[1] != before:
        raise NotAllowed(f"port {port}: it has just changed hands")
