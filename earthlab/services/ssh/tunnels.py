"""Connections to what the user's own processes serve on this machine, and to nothing else of it."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import asyncssh

from earthlab.errors import NotAllowed
from earthlab.services.ssh.flows import Sink, Source

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


class Tunnel(asyncssh.SSHTCPSession[bytes]):
    """A channel and a connection, each handing on to the other."""

    def __init__(
        self, line: socket.socket, port: int, touch: Callable[[], None], leave: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._line, self._port, self._touch, self._leave = line, port, touch, leave
        self._began = time.monotonic()

    def connection_made(self, chan: Any) -> None:
        """Take the channel."""
        self.chan: asyncssh.SSHTCPChannel[bytes] = chan
        self._sink = Sink(chan.pause_reading, chan.resume_reading)
        self._source = Source(os.dup(self._line.fileno()), self._give, self._note_end)

    def session_started(self) -> None:
        """Begin."""
        self._sink.open(os.dup(self._line.fileno()), self._finish)
        self._source.resume()

    def data_received(self, data: bytes, datatype: Any) -> None:  # noqa: ARG002 - asyncssh's
        """Hand on what the client sends."""
        self._touch()
        self._sink.put(data)

    def eof_received(self) -> bool:
        """The client sends no more, and goes on listening."""
        self._sink.end()
        if self._source.file < 0:
            self.chan.close()
        return True

    def pause_writing(self) -> None:
        """The client is slower."""
        self._source.pause()

    def resume_writing(self) -> None:
        """The client takes more."""
        self._source.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
        """End the connection too."""
        self._sink.close()
        self._source.close()
        self._line.close()
        seconds = round(time.monotonic() - self._began, 1)
        counts = {"bytes_in": self._sink.count, "bytes_out": self._source.count}
        self._leave({"kind": "forward", "port": self._port, "seconds": seconds, **counts})

    def _give(self, data: bytes) -> None:
        self._touch()
        if not self.chan.is_closing():
            self.chan.write(data)

    def _note_end(self) -> None:
        if not self.chan.is_closing():
            self.chan.write_eof()
            if self._sink.ended:
                self.chan.close()

    def _finish(self, file: int) -> None:
        os.close(file)
        try:
            self._line.shutdown(socket.SHUT_WR)
        except OSError:
            # The other side was quicker.
            return
