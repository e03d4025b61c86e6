"""A connection as asyncssh speaks it, but bounded in what it keeps for a client, and quick with large files."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, cast

import asyncssh
from asyncssh.channel import SSHServerChannel, SSHTCPChannel
from asyncssh.connection import SSHServerConnection
from asyncssh.constants import MSG_IGNORE, OPEN_RESOURCE_SHORTAGE

from earthlab.services.ssh.flows import SMALL

WINDOW, PACKET = 1 << 22, 1 << 18
"""Bytes that a client may send ahead, and at once."""

FULL = 1 << 20
"""Bytes on their way to a client, from which on nothing more is read for it; at 4 times as many it is cut off."""

UNREAD = 1 << 20
"""Bytes from a client that wait while an answer to it is thought over, from which on nothing more is taken."""

LEAST_PACKET = 1 << 10
"""Bytes that a client must take at once: each packet costs the door some 50 µs, whatever is in it."""

MOST_WAITING = 100
"""Connections of one source that wait to be heard."""

_PENALTY, _LONGEST_WAIT = 0.1, 5.0
"""Seconds that a source waits for each connection of its that came to nothing, and in all."""

_EARLY = 1 << 14
"""Bytes that somebody may say who is not heard yet."""

_LOG = logging.getLogger("earthlab.ssh")


def resolve_source(address: str) -> str:
    """Who an address belongs to: itself, or the network of 64 bits that one customer has of IPv6."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
    return str(found)


@dataclass(slots=True)
class Patience:
    """Makes sources wait that come again and again and never sign in: each time costs an exchange of keys."""

    clock: Callable[[], float] = time.monotonic
    waiting: Counter[str] = field(default_factory=Counter)
    _until: dict[str, float] = field(default_factory=dict)

    def count(self, source: str) -> None:
        """Note a connection that came to nothing."""
        now = self.clock()
        self._until = {each: until for each, until in self._until.items() if until > now}
        self._until[source] = min(max(now, self._until.get(source, now)) + _PENALTY, now + _LONGEST_WAIT)

    def compute_wait(self, source: str) -> float:
        """Seconds until the next of a source is heard."""
        return max(0.0, self._until.get(source, 0.0) - self.clock())


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes of which the first are taken away again and again, without moving the rest; as far as asyncssh asks."""

    data: bytes = b""
    at: int = 0

    def __len__(self) -> int:
        return len(self.data) - self.at

    def __add__(self, more: bytes) -> "Input":
        return Input(self.data[self.at :] + more)

    def __getitem__(self, part: slice) -> "bytes | Input":
        if part.stop is None:
            return Input(self.data, self.at + part.start)
        return self.data[self.at + (part.start or 0) : self.at + part.stop]

    def find(self, piece: bytes, start: int, stop: int) -> int:
        """The place of a piece, as of bytes."""
        found = self.data.find(piece, self.at + start, self.at + stop)
        return found - self.at if found >= 0 else -1


class _Held:
    """A channel that sends nothing while the way to the client is full, as if the client took nothing."""

    _conn: Any
    _recv_buf: list[tuple[bytes, Any]]
    _recv_paused: Any

    def process_open(self, send_chan: int, send_window: int, send_pktsize: int, session: Any) -> None:
        """Refuse who wants everything in crumbs."""
        if send_pktsize < LEAST_PACKET:
            if asyncio.iscoroutine(session):
                session.close()
            self._conn.remove_channel(self._recv_chan)  # type: ignore[attr-defined]
            raise asyncssh.ChannelOpenError(OPEN_RESOURCE_SHORTAGE, f"packets of {LEAST_PACKET} bytes must be taken")
        super().process_open(send_chan, send_window, send_pktsize, session)  # type: ignore[misc]

    def flush(self) -> None:
        """Send what waits, unless the way is full."""
        self._flush_send_buf()

    def _flush_send_buf(self) -> None:
        if self._conn is not None and self._conn.is_full:
            self._pause_resume_writing()  # type: ignore[attr-defined]
        elif self._conn is None:
            super()._flush_send_buf()  # type: ignore[misc]
        else:
            with self._conn.in_one_breath():
                super()._flush_send_buf()  # type: ignore[misc]

    def _accept_data(self, data: bytes, datatype: Any = None) -> None:
        if self._recv_paused and self._recv_buf and len(self._recv_buf[-1][0]) + len(data) < SMALL:
            # As if both had come at once.
            data = self._recv_buf[-1][0] + data
            self._recv_window += len(self._recv_buf.pop()[0])  # type: ignore[attr-defined]
        super()._accept_data(data, datatype)  # type: ignore[misc]


class SessionChannel(_Held, SSHServerChannel[bytes]):
    """The channel of a shell, command or transfer."""

    def _process_env_request(self, _packet: Any) -> bool:
        # They would be kept, however many, and none is ever looked at.
        return False


class TunnelChannel(_Held, SSHTCPChannel[bytes]):
    """The channel of a forwarded connection."""


class Connection(SSHServerConnection):
    """One client's."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions, patience: Patience
    ) -> None:
        super().__init__(loop, options)
        self._patience = patience
        self._inpbuf = cast("bytes", Input())
        self._is_congested = self._is_held = False
        self._breath: list[bytes] | None = None
        self._early: Any = None
        """The way to a client who is not heard yet."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent now: the client does not take it, or keys are being exchanged."""
        return self._is_congested or not self._kex_complete

    def connection_made(self, transport: Any) -> None:
        """Begin, now or a little later."""
        source = resolve_source(str(transport.get_extra_info("peername")[0]))
        wait = self._patience.compute_wait(source)
        if not wait:
            self._begin(transport)
        elif self._patience.waiting[source] >= MOST_WAITING:
            transport.abort()
        else:
            self._patience.waiting[source] += 1
            self._early = transport
            self._loop.call_later(wait, self._begin_after_all, transport, source)

    def _begin_after_all(self, transport: Any, source: str) -> None:
        self._patience.waiting -= Counter([source])
        self._early = None
        if not transport.is_closing():
            self._begin(transport)
            self.data_received(b"")

    def _begin(self, transport: Any) -> None:
        transport.set_write_buffer_limits(FULL)
        super().connection_made(transport)

    def pause_writing(self) -> None:
        """The way to the client is full."""
        self._is_congested = True

    def resume_writing(self) -> None:
        """It is free again."""
        self._is_congested = False
        self._flush()

    def data_received(self, data: bytes, datatype: Any = None) -> None:
        """Take what the client sends, and no more than can be looked at."""
        if self._early is not None:
            self._inpbuf += data
            if len(self._inpbuf) > _EARLY:
                self._early.abort()
            return
        super().data_received(data, datatype)
        if len(self._inpbuf) > UNREAD and self._transport is not None:
            self._is_held = True
            cast("Any", self._transport).pause_reading()

    def send_packet(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        """Send a packet; none of the empty ones between, which ciphers of yesterday need, RFC 4251 section 9.3.1."""
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def create_server_channel(self, *_: Any, **__: Any) -> SessionChannel:
        """A channel with the door's own bounds."""
        self._update_recv_pktlen(PACKET)
        return SessionChannel(self, self._loop, True, False, False, 0, 0, None, "strict", WINDOW, PACKET)  # noqa: FBT003 - asyncssh's

    def create_tcp_channel(self, *_: Any, **__: Any) -> TunnelChannel:
        """A channel with the door's own bounds."""
        self._update_recv_pktlen(PACKET)
        return TunnelChannel(self, self._loop, None, "strict", WINDOW, PACKET)

    def show_out(self, words: str) -> None:
        """End the connection, the words first: clients whose channels close leave without reading on."""
        self._send_disconnect(asyncssh.DISC_BY_APPLICATION, words, "")
        self._force_close(None)

    def internal_error(self, exc_info: Any = None, error_logger: Any = None) -> None:
        """What must not happen: the connection ends, and the operator can read why."""
        # Who has not signed in could fill the log.
        if self._auth_complete:
            _LOG.error("A connection has failed", exc_info=exc_info or True)
        super().internal_error(exc_info, error_logger)

    @contextmanager
    def in_one_breath(self) -> Iterator[None]:
        """Hand all packets of a while to the machine together, which is quicker."""
        if self._breath is not None:
            yield
            return
        self._breath = []
        try:
            yield
        finally:
            packets, self._breath = self._breath, None
            if packets:
                self._send(b"".join(packets))

    def _send(self, data: bytes) -> None:
        if self._breath is not None:
            self._breath.append(data)
            return
        super()._send(data)
        # Answers go also to who reads none.
        if self._transport is not None and cast("Any", self._transport).get_write_buffer_size() > 4 * FULL:
            self.abort()

    def _send_deferred_packets(self) -> None:
        super()._send_deferred_packets()
        self._flush()

    def _finish_recv_packet(self, *args: Any, **words: Any) -> None:
        super()._finish_recv_packet(*args, **words)
        if self._is_held and len(self._inpbuf) <= UNREAD and self._transport is not None:
            self._is_held = False
            cast("Any", self._transport).resume_reading()

    def _flush(self) -> None:
        channels = cast("Mapping[int, Any]", self._channels)
        for channel in [*channels.values()]:
            if isinstance(channel, _Held):
                channel.flush()
