"""The line between a page and a kernel, in the server of a workshop's participant: it follows which cells run."""

import os
from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1

from earthlab.hub.lines import LastingConnection
from earthlab.hub.progress import Follower, Progress, State, resolve_progress

_FOLLOWERS: WeakKeyDictionary[Any, "_Seen"] = WeakKeyDictionary()
"""By the manager of the kernel: a page that comes back has a new connection to the same kernel."""


class FollowedConnection(LastingConnection):
    """One that lasts, and tells the workshop's service which of its cells run, are done and have failed."""

    def connect(self) -> Any:
        """Handle a connection; from now on the notebook of its kernel is known."""
        if seen := self._seen():
            seen.progress.keep(self._find_place(seen))
        return super().connect()

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        """Pass on what a page says, and take note of the cell that it wants run."""
        if (seen := self._seen()) and isinstance(incoming_msg, bytes):
            channel, parts = deserialize_msg_from_ws_v1(incoming_msg)  # type: ignore[no-untyped-call]
            if channel == "shell" and b'"execute_request"' in bytes(parts[0]):
                header, metadata = (self.session.unpack(bytes(parts[index])) for index in (0, 2))
                if cell := metadata.get("cellId"):
                    seen.follower.on_request(str(header["msg_id"]), str(cell))
                    seen.progress.keep(self._find_place(seen))
        super().handle_incoming_message(incoming_msg)

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[Any]) -> None:
        """Pass on what a kernel says, and take note of how its cells fare."""
        if (seen := self._seen()) and "iopub" in (stream, getattr(stream, "channel", None)):
            parts: Sequence[Any] = self.session.feed_identities(outgoing_msg)[1]
            _, header, parent, _, content = (bytes(part) for part in parts[:5])
            for kind in ("execute_input", "error", "status"):
                if f'"{kind}"'.encode() in header:
                    asked = self.session.unpack(parent).get("msg_id", "")
                    # Of a cell's own words only those are unpacked that an error or a state is made of.
                    said = {} if kind == "execute_input" else self.session.unpack(content)
                    seen.follower.on_said(asked, kind, said)
        super().handle_outgoing_message(stream, outgoing_msg)

    def on_kernel_restarted(self) -> None:
        """Note that what ran has failed, then say that the kernel restarts."""
        if seen := self._seen():
            seen.follower.on_death()
        super().on_kernel_restarted()  # type: ignore[no-untyped-call]

    def _seen(self) -> "_Seen | None":
        progress = own_progress()
        if progress is None:
            return None
        if self.kernel_manager not in _FOLLOWERS:
            _FOLLOWERS[self.kernel_manager] = _Seen(progress)
        return _FOLLOWERS[self.kernel_manager]

    async def _find_place(self, seen: "_Seen") -> None:
        sessions = self.websocket_handler.settings["session_manager"]
        for session in await sessions.list_sessions():
            if session["kernel"]["id"] == self.kernel_id:
                seen.path = session["path"]


class _Seen:
    """What is seen of one kernel: its notebook and its cells."""

    def __init__(self, progress: Progress) -> None:
        self.path = ""
        self.follower = Follower(self._tell)
        self.progress = progress

    def _tell(self, cell: str, state: State, error: str) -> None:
        self.progress.tell(self.path, cell, state, error)


@cache
def own_progress() -> Progress | None:
    """The way to the workshops' service of this process, running from the first question on; none at no workshop."""
    progress = resolve_progress(os.environ)
    if progress is not None:
        progress.start()
    return progress
