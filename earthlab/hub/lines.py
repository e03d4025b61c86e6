"""A page's line to a kernel that loses nothing when it breaks and is taken up again.

Jupyter keeps what a kernel says while nobody listens, but not what was on its way when the line broke: a cell that
ended at that moment would seem to run for ever. Here a message is kept until the page's browser has confirmed it, by
the pong that RFC 6455 (§5.5.3) has every browser send.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError

_ASK_AFTER = 0.2
"""Seconds between a message and the ping that asks whether it has come."""

_MOST_KEPT = 8 * 2**20
"""Bytes of unconfirmed messages; of more, the oldest are given up, as Jupyter does with all."""


class Unconfirmed:
    """Messages that were sent and may not have arrived, in order, up to so many bytes."""

    def __init__(self, most: int = _MOST_KEPT) -> None:
        self.sent = 0
        self._most = most
        self._bytes = 0
        self._kept: deque[tuple[int, str, list[bytes]]] = deque()

    def keep(self, channel: str, message: list[bytes]) -> None:
        """Note one that is being sent."""
        self.sent += 1
        self._kept.append((self.sent, channel, message))
        self._bytes += _size(message)
        while self._bytes > self._most:
            self._drop_first()

    def confirm(self, sent: int) -> None:
        """All of the first so many have arrived."""
        while self._kept and self._kept[0][0] <= sent:
            self._drop_first()

    def messages(self) -> list[tuple[str, list[bytes]]]:
        """Those that are left, each with its channel."""
        return [(channel, message) for _, channel, message in self._kept]

    def _drop_first(self) -> None:
        self._bytes -= _size(self._kept.popleft()[2])


class LastingConnection(ZMQChannelsWebsocketConnection):
    """Jupyter's own, which repeats to a page that comes back what may not have reached it.

    What it repeats can be more than was lost, never less; JupyterLab takes no notice of what belongs to a cell that
    has ended.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._unconfirmed = Unconfirmed()
        self._asked = False
        self._kept_channels: Any = None

    def connect(self) -> Any:
        """Handle a connection, and its pongs."""
        handler = self.websocket_handler
        handler.on_pong = partial(self._on_pong, handler.on_pong)  # type: ignore[method-assign]
        if kept := self._kept():
            self._kept_channels = kept["channels"]
        return super().connect()

    def nudge(self) -> Any:
        """See that the kernel is heard, where it has not been all the time.

        Jupyter's own throws away what it hears first: of a cell that begins as its page comes back, the first words.
        """
        if self.channels is self._kept_channels and self.kernel_manager.execution_state == "idle":
            heard = asyncio.get_running_loop().create_future()
            heard.set_result(None)
            return heard
        return super().nudge()

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Pass on what a kernel says, and keep it until it has arrived."""
        channel = stream if isinstance(stream, str) else stream.channel
        self._unconfirmed.keep(channel, outgoing_msg)
        super().handle_outgoing_message(stream, outgoing_msg)
        if not self._asked:
            self._asked = True
            IOLoop.current().call_later(_ASK_AFTER, self._ask)

    def disconnect(self) -> None:  # type: ignore[override]  # as Jupyter's own does
        """Handle a disconnect: what has not arrived goes before what nobody hears from now on."""
        super().disconnect()  # type: ignore[no-untyped-call]
        if kept := self._kept():
            kept["buffer"][:0] = self._unconfirmed.messages()

    async def _register_session(self) -> None:
        # A page that comes back before we know that it was gone: Jupyter says goodbye to the old line and waits.
        if stale := self._open_sessions.get(f"{self.kernel_id}:{self.session.session}"):
            stale.on_connection_close()
        await super()._register_session()  # type: ignore[no-untyped-call]

    def _kept(self) -> dict[str, Any] | None:
        kept = self.multi_kernel_manager._kernel_buffers.get(self.kernel_id)  # noqa: SLF001 - Jupyter has no other way
        return kept if kept and kept["session_key"] == self.session_key else None

    def _ask(self) -> None:
        try:
            self.websocket_handler.ping(str(self._unconfirmed.sent).encode())
        except WebSocketClosedError:
            # `disconnect` has been called, or is about to be.
            return

    def _on_pong(self, note: Any, data: bytes) -> None:
        note(data)
        if data.isdigit():
            self._unconfirmed.confirm(int(data))
            self._asked = int(data) < self._unconfirmed.sent
            if self._asked:
                IOLoop.current().call_later(_ASK_AFTER, self._ask)


def _size(message: list[bytes]) -> int:
    return sum(len(part) for part in message)
