"""A page's line to a kernel that loses nothing when it breaks and is taken up again.

Jupyter keeps what a kernel says while nobody listens, but not what was on its way when the line broke: a cell that
ended at that moment would seem to run for ever. Here a message is kept until the page's browser has confirmed it, by
the pong that RFC 6455 (§5.5.3) has every browser send.

Nor does Jupyter's keeping have an end: a cell that goes on printing behind a closed laptop would fill the user's
memory, and cost every kernel its life. Here it has one, and the cell says what is left out.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

from jupyter_client.session import DELIM
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClosedError

_ASK_AFTER = 0.2
"""Seconds between a message and the ping that asks whether it has come."""

_SHARES = {
    b'"stream"': 4 * 2**20,
    b'"update_display_data"': 4 * 2**20,
    b'"comm_msg"': 4 * 2**20,
    b'"error"': 4 * 2**20,
    b"": 16 * 2**20,
}
"""Bytes of each kind of what a kernel says that are kept while nobody listens; the last is all else: pictures, results.

Words have little more than Jupyter lets through in one go: a browser takes long over megabytes of text in a cell.
"""

_NEWS = (b'"status"', b'"execute_input"')
"""What is said a few times for each request of a page, and so has an end by itself."""

_NOTICE = b"earthlab.left_out"
"""The topic of what says that something was left out; browsers do not see topics."""

_MOST_KEPT = 8 * 2**20
"""Bytes of unconfirmed messages that are kept whole: more than a page that hears takes long to confirm."""


@dataclass(slots=True)
class Gap:
    """What was left out of a cell's output: where it begins, how many messages, how many bytes they said."""

    first: int
    messages: int = 0
    bytes: int = 0

    def widen(self, number: int, size: int) -> None:
        """One more is left out."""
        self.first = min(self.first, number)
        self.messages += 1
        self.bytes += size


class Unheard:
    """What a kernel says while nobody listens, in order; the newest of each kind, up to so many bytes.

    Who comes back wants to know how it went and where it is now: the newest, for the page shows what came before it
    was gone. A kind has its share to itself, so that neither words without end nor a progress bar's thousand moves
    cost a picture its place. States and answers are kept whatever they take: without them a cell would seem to run for
    ever, and there are no more of them than requests.

    It stands where Jupyter has a list, and has of a list what Jupyter uses.

    Parameters
    ----------
    tell : callable
        Makes the message that stands for a gap, of the bytes of the header of the request concerned.
    shares : mapping
        The bytes that are kept, by what a message's header contains: the first kind that fits is the message's.
    """

    def __init__(self, tell: Callable[[bytes, Gap], list[bytes]], shares: Mapping[bytes, int] = _SHARES) -> None:
        self._tell = tell
        self._shares = shares
        self._said = 0
        self._news: deque[tuple[int, str, list[bytes]]] = deque()
        self._kept: dict[bytes, deque[tuple[int, str, list[bytes]]]] = {kind: deque() for kind in shares}
        self._bytes = dict.fromkeys(shares, 0)
        self._gaps: dict[bytes, Gap] = {}

    def append(self, said: tuple[str, list[bytes]]) -> None:
        """Keep a message, with its channel, and no more than its kind's share."""
        channel, message = said
        self._said += 1
        kind = self._find_kind(channel, message)
        if kind is None:
            self._news.append((self._said, channel, message))
            return
        self._kept[kind].append((self._said, channel, message))
        self._bytes[kind] += _size(message)
        while self._bytes[kind] > self._shares[kind]:
            self._leave_out_first(kind)

    def __iter__(self) -> Iterator[tuple[str, list[bytes]]]:
        """Those that are left, each with its channel; a notice where a gap begins."""
        gaps = sorted(self._gaps.items(), key=lambda gap: gap[1].first)
        notices = ((gap.first, "iopub", self._tell(parent, gap)) for parent, gap in gaps)
        for _, channel, message in heapq.merge(self._news, *self._kept.values(), notices, key=itemgetter(0)):
            yield channel, message

    def __len__(self) -> int:
        """How many there are, with the notices."""
        return len(self._news) + sum(map(len, self._kept.values())) + len(self._gaps)

    def _find_kind(self, channel: str, message: list[bytes]) -> bytes | None:
        if channel != "iopub" or message[0] == _NOTICE:
            return None
        # There may be thousands a second: none is parsed.
        header = message[message.index(DELIM) + 2]
        if any(news in header for news in _NEWS):
            return None
        return next(kind for kind in self._shares if kind in header)

    def _leave_out_first(self, kind: bytes) -> None:
        number, _, message = self._kept[kind].popleft()
        self._bytes[kind] -= _size(message)
        start = message.index(DELIM)
        self._gaps.setdefault(message[start + 3], Gap(number)).widen(number, _size(message[start + 5 :]))


class Unconfirmed:
    """Messages that were sent and may not have arrived, in order; beyond so many bytes, what `Unheard` keeps of them.

    A closed laptop's line breaks only after a minute or more, in which a cell can say any amount.

    Parameters
    ----------
    begin : callable
        Makes an empty `Unheard`.
    """

    def __init__(self, begin: Callable[[], Unheard], most: int = _MOST_KEPT) -> None:
        self.sent = 0
        self._begin = begin
        self._most = most
        self._bytes = 0
        self._kept: deque[tuple[int, str, list[bytes]]] = deque()
        self._older = begin()
        self._older_sent = 0

    def keep(self, channel: str, message: list[bytes]) -> None:
        """Note one that is being sent."""
        self.sent += 1
        self._kept.append((self.sent, channel, message))
        self._bytes += _size(message)
        while self._bytes > self._most:
            self._older_sent, channel, message = self._take_first()
            self._older.append((channel, message))

    def confirm(self, sent: int) -> None:
        """All of the first so many have arrived."""
        while self._kept and self._kept[0][0] <= sent:
            self._take_first()
        if 0 < self._older_sent <= sent:
            self._older, self._older_sent = self._begin(), 0

    def give_up(self) -> Unheard:
        """All that are left, as what nobody hears from now on is kept."""
        left, self._older, self._older_sent = self._older, self._begin(), 0
        while self._kept:
            _, channel, message = self._take_first()
            left.append((channel, message))
        return left

    def _take_first(self) -> tuple[int, str, list[bytes]]:
        first = self._kept.popleft()
        self._bytes -= _size(first[2])
        return first


class LastingConnection(ZMQChannelsWebsocketConnection):
    """Jupyter's own, which repeats to a page that comes back what may not have reached it.

    What it repeats can be more than was lost, never less; JupyterLab takes no notice of what belongs to a cell that
    has ended.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._unconfirmed = Unconfirmed(partial(Unheard, self._tell_gap))
        self._asked = False
        self._kept_channels: Any = None
        self._told = False

    def connect(self) -> Any:
        """Handle a connection, and its pongs."""
        handler = self.websocket_handler
        handler.on_pong = partial(self._on_pong, handler.on_pong)  # type: ignore[method-assign]
        if kept := self._kept():
            self._kept_channels = kept["channels"]
        connected = super().connect()
        if connected is not None:
            connected.add_done_callback(self._on_told)
        return connected

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
        # Of a line that breaks while its page is told what it missed, the rest has to be kept too.
        with suppress(WebSocketClosedError):
            super().handle_outgoing_message(stream, outgoing_msg)
        if not self._asked:
            self._asked = True
            IOLoop.current().call_later(_ASK_AFTER, self._ask)

    def disconnect(self) -> None:  # type: ignore[override]  # as Jupyter's own does
        """Handle a disconnect: what has not arrived goes before what nobody hears from now on."""
        super().disconnect()  # type: ignore[no-untyped-call]
        if kept := self._kept():
            # Jupyter looks its list up anew for each message, and adds to ours from now on.
            unheard = self._unconfirmed.give_up()
            for said in kept["buffer"]:
                unheard.append(said)
            kept["buffer"] = unheard

    async def _register_session(self) -> None:
        # A page that comes back before we know that it was gone: Jupyter says goodbye to the old line and waits.
        if stale := self._open_sessions.get(f"{self.kernel_id}:{self.session.session}"):
            stale.on_connection_close()
        await super()._register_session()  # type: ignore[no-untyped-call]

    def _limit_rate(self, channel: Any, msg: Any, msg_list: Any) -> Any:
        # What was kept has its bound. Jupyter's limit would let the oldest of it through, and neither the newest nor
        # the notice.
        return self._told and super()._limit_rate(channel, msg, msg_list)  # type: ignore[no-untyped-call]

    def _on_told(self, _: Any) -> None:
        self._told = True

    def _tell_gap(self, parent: bytes, gap: Gap) -> list[bytes]:
        content = {"name": "stderr", "text": render_gap(gap)}
        message = self.session.msg("stream", content, parent=self.session.unpack(parent))
        return self.session.serialize(message, ident=_NOTICE)

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


def render_gap(gap: Gap) -> str:
    """What a cell says where some of its output is missing.

    Parameters
    ----------
    gap : Gap
        What was left out.
    """
    messages = f"{gap.messages} message{'s' * (gap.messages > 1)}"
    size = f"{gap.bytes / 1e6:.1f}"
    return (
        "Pendant votre absence, cette cellule a dit plus que le serveur ne garde : il a laissé de côté "
        f"{messages} ({size.replace('.', ',')} Mo), en commençant par les plus anciens. Le calcul n'en pâtit pas.\n"
        "While you were away this cell said more than the server keeps: it has left out "
        f"{messages} ({size} MB), beginning with the oldest. What it computes is not affected.\n"
    )


def _size(message: list[bytes]) -> int:
    return sum(len(part) for part in message)
