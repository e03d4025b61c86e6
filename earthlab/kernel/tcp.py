"""Who holds the ends of this machine's TCP connections, and who waits for some, proc_net(5)."""

import ctypes
import errno
import os
import socket
import stat
from collections.abc import Container, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

Address = IPv4Address | IPv6Address

_ALL = {4: {"0.0.0.0", "::"}, 6: {"::"}}  # noqa: S104 - nothing is bound
"""Where somebody listens whom any address of that kind meets."""

_LIBC = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438
"""The number of pidfd_getfd(2), the same on every machine; the C library has no name for it before version 2.36."""

_LISTENS = "0A"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))

_LOOKS = 3
"""How often an end is looked for: a table that changes while it is read may leave out a line."""


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One end of a connection, or where some are waited for; the inode tells it from a later one at the same place."""

    address: Address
    port: int
    peer: tuple[Address, int]
    uid: int
    inode: int
    """Nought where nobody holds it, and yet it is said to be root's."""


def parse_sockets(table: str, *, listening: bool) -> list[TcpSocket]:
    """Those who wait for connections in the text of ``/proc/net/tcp`` or ``/proc/net/tcp6``, or all others."""
    rows = (line.split() for line in table.splitlines()[1:])
    return [
        TcpSocket(*_parse_end(row[1]), _parse_end(row[2]), int(row[7]), int(row[9]))
        for row in rows
        if (row[3] == _LISTENS) == listening
    ]


def _parse_end(text: str) -> tuple[Address, int]:
    address, port = text.split(":")
    # Words of four bytes, each as this machine holds it: the last byte first.
    words = bytes.fromhex(address)
    return _norm(ip_address(b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4)))), int(port, 16)


def _norm(address: Address) -> Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def read_listeners() -> list[TcpSocket]:
    """All of this machine who wait for connections."""
    return _read(listening=True)


def _read(*, listening: bool) -> list[TcpSocket]:
    texts = (table.read_text(encoding="ascii") for table in _TABLES if table.exists())
    return [one for text in texts for one in parse_sockets(text, listening=listening)]


def find_met(listeners: Iterable[TcpSocket], address: str, port: int) -> frozenset[TcpSocket]:
    """Those whom a connection to this address and port may meet."""
    met = {address} | _ALL[ip_address(address).version]
    return frozenset(one for one in listeners if one.port == port and str(one.address) in met)


def share_listener(pid: int, listeners: Iterable[TcpSocket]) -> socket.socket:
    """The one of these sockets that a process has, held here too: nobody else can bind its place until both close it.

    Raises
    ------
    OSError
        Where it has none of them, or the machine does not let us look into it: that takes the right to trace it,
        ptrace(2).
    """
    inodes = {one.inode for one in listeners}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        # It may close some meanwhile.
        with suppress(FileNotFoundError):
            found = entry.stat()
            if found.st_ino in inodes and stat.S_ISSOCK(found.st_mode):
                return _share(pid, int(entry.name), inodes)
    raise FileNotFoundError(errno.ENOENT, f"process {pid} has none of these sockets")


def _share(pid: int, number: int, inodes: Container[int]) -> socket.socket:
    handle = os.pidfd_open(pid)
    try:
        found = _LIBC.syscall(_PIDFD_GETFD, handle, number, 0)
    finally:
        os.close(handle)
    if found < 0:
        raise OSError(code := ctypes.get_errno(), f"pidfd_getfd: {os.strerror(code)}")
    if os.fstat(found).st_ino not in inodes:
        os.close(found)
        raise FileNotFoundError(errno.ENOENT, f"process {pid} has another file of that number by now")
    return socket.socket(fileno=found)


def find_owners(client: tuple[Any, ...], server: tuple[Any, ...]) -> set[int]:
    """Which accounts hold the client's end of a connection within this machine: one; none once it is closed.

    Parameters
    ----------
    client, server
        Both ends, as `socket` has addresses.
    """
    (host, port), peer = ((_norm(ip_address(end[0])), end[1]) for end in (client, server))
    for _ in range(_LOOKS):
        ends = (one for one in _read(listening=False) if (one.address, one.port, one.peer) == (host, port, peer))
        if owners := {one.uid for one in ends if one.inode}:
            return owners
    return set()
