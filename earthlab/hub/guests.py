"""Who else may be in a seat's server: a line of anybody whom its participant let in ends when they may no longer.

JupyterHub believes for five minutes what it was told of a token, and asks nothing any more once a line is open: consent
that was taken back would go on that long, or for ever.
"""

import os
from collections.abc import Collection
from typing import Any
from weakref import WeakSet

from jupyter_server.serverapp import ServerApp
from tornado.websocket import WebSocketClosedError, WebSocketHandler

_LINES: WeakSet[WebSocketHandler] = WeakSet()
"""Every line that is open, or about to be: to notebooks, kernels, terminals and what else there may be."""

_POLICY = 1008
"""Why a line is closed, in the words of RFC 6455 (§7.4.1)."""


class Door:
    """Knows who is let into this server, and shows others out.

    Parameters
    ----------
    owner : str, optional
        Whose server it is; as JupyterHub says where not given.
    """

    def __init__(self, owner: str = "") -> None:
        self._owner = owner or os.environ.get("JUPYTERHUB_USER", "")
        self._guests: frozenset[str] = frozenset()

    def admit(self, guests: Collection[str]) -> None:
        """Let in these and nobody else beside the owner; who is in and may not be is out."""
        now = frozenset(guests)
        gone = {line for line in _LINES if _person(line) not in {self._owner, *now}}
        if gone or self._guests - now:
            _forget_tokens()
        self._guests = now
        for line in gone:
            try:
                line.close(_POLICY, "not let in any longer")
            except WebSocketClosedError:
                continue


def note_lines() -> None:
    """From now on every line is known that is opened in this process; tornado itself keeps no list of them."""
    if WebSocketHandler.get is not _get:
        WebSocketHandler.get = _get  # type: ignore[method-assign]


_TORNADOS_GET = WebSocketHandler.get


async def _get(self: WebSocketHandler, *args: Any, **kwargs: Any) -> None:
    _LINES.add(self)
    await _TORNADOS_GET(self, *args, **kwargs)


def _person(line: WebSocketHandler) -> str:
    return str(getattr(line.current_user, "username", ""))


def _forget_tokens() -> None:
    # The hub is asked anew about each.
    if ServerApp.initialized():
        auth = getattr(ServerApp.instance().identity_provider, "hub_auth", None)
        if auth is not None:
            auth.cache.clear()
