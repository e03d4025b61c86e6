"""The line between a page and a kernel, in the user's server: it says in the running cell why its kernel is gone."""

import json
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from jupyter_client.jsonutil import json_default
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from tornado.ioloop import IOLoop

from earthlab.hub.following import FollowedConnection
from earthlab.kernel.groups import Group, Use, count_kills, own_group, read_use
from earthlab.kernel.memory import NEXT_STEPS

_PROTOCOL = "v1.kernel.websocket.jupyter.org"


@dataclass(frozen=True, slots=True)
class Running:
    """The cell that a kernel runs: the header of its request, and how often memory had run out when it began."""

    request: dict[str, Any]
    kills: int


_RUNNING: MutableMapping[Any, Running] = WeakKeyDictionary()
"""By the manager of the kernel: a page that comes back has a new connection to the same kernel."""


class LabKernelConnection(FollowedConnection):
    """One that lasts and follows a workshop's cells; says in a running one that memory has cost its kernel its life."""

    def handle_outgoing_message(self, stream: Any, outgoing_msg: list[bytes]) -> None:
        """Pass on what a kernel says, and take note of which cell it runs."""
        if _own_group() and "iopub" in (stream, getattr(stream, "channel", None)):
            self._note(self.session.feed_identities(outgoing_msg)[1])
        super().handle_outgoing_message(stream, outgoing_msg)

    def on_kernel_restarted(self) -> None:
        """Say why, then that the kernel restarts."""
        self._explain()
        super().on_kernel_restarted()

    def on_restart_failed(self) -> None:
        """Say why, then that the kernel is dead."""
        self._explain()
        super().on_restart_failed()  # type: ignore[no-untyped-call]

    def _note(self, parts: Sequence[Any]) -> None:
        # Most messages are neither of the two, and are not worth the parsing.
        _, header, parent, _, content = (bytes(part) for part in parts[:5])
        if b'"execute_input"' in header:
            group = _own_group()
            assert group is not None
            _RUNNING[self.kernel_manager] = Running(self.session.unpack(parent), count_kills(group))
        elif b'"status"' in header and b'"idle"' in content:
            running = _RUNNING.get(self.kernel_manager)
            if running and self.session.unpack(parent).get("msg_id") == running.request["msg_id"]:
                del _RUNNING[self.kernel_manager]

    def _explain(self) -> None:
        # What the kernel said before its end comes first, and may tell that the cell had come to its own.
        self.channels["iopub"].flush()
        group, running = _own_group(), _RUNNING.get(self.kernel_manager)
        if group is None or running is None:
            return
        # Further pages of the same kernel are told now too.
        IOLoop.current().add_callback(_RUNNING.pop, self.kernel_manager, None)
        use = read_use(group)
        if use.kills > running.kills:
            self.log.warning("kernel %s was ended for memory: %s", self.kernel_id, use)
            self._say(self.session.msg("error", content=render_kill(use), parent=running.request))

    def _say(self, message: dict[str, Any]) -> None:
        if self.subprotocol == _PROTOCOL:
            packed = serialize_msg_to_ws_v1(message, "iopub", self.session.pack)  # type: ignore[no-untyped-call]
            self.write_message(packed, binary=True)
        else:
            self.write_message(json.dumps(message | {"channel": "iopub"}, default=json_default))


@cache
def _own_group() -> Group | None:
    """The group of this server and its kernels, where one counts."""
    group = own_group()
    return group if group and _counts(group) else None


def _counts(group: Group) -> bool:
    try:
        read_use(group)
    except FileNotFoundError:
        # The machine's topmost group.
        return False
    return True


def render_kill(use: Use) -> dict[str, Any]:
    """The content of the error that a cell shows whose kernel was ended for memory, Jupyter messaging.

    Parameters
    ----------
    use : Use
        What the user's processes have after it.
    """
    left = f"{use.memory / 2**30:.1f}"
    if use.limit is None:
        french, english = "la machine n'a plus de mémoire", "the machine has no memory left"
    else:
        limit = f"{use.limit / 2**30:.1f}"
        french = f"vos programmes ont atteint ensemble leur limite, {limit.replace('.', ',')} Gio"
        english = f"your programs together have reached their limit, {limit} GiB"
    french_more = (
        f"{french}. Le noyau de ce carnet a été arrêté et redémarre vide : ses variables sont perdues, vos fichiers "
        f"sont là. Ce qui tourne encore (serveur, autres notebooks, terminaux) occupe {left.replace('.', ',')} Gio."
    )
    english_more = (
        f"{english}. The kernel of this notebook was ended and restarts empty: its variables are lost, your files are "
        f"there. What still runs (server, other notebooks, terminals) holds {left} GiB."
    )
    return {
        "ename": "MemoryError",
        "evalue": f"{french} | {english}",
        "traceback": [*(f"\x1b[31mMemoryError\x1b[39m: {each}" for each in (french_more, english_more)), NEXT_STEPS],
    }
