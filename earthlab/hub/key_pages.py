"""The page on which users see how to come in by ssh, and register the keys by which they do."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.handlers import BaseHandler
from tornado.web import authenticated

from earthlab.errors import EarthlabError, SetupError
from earthlab.hub.hostkeys import Address, read_host_key
from earthlab.hub.keys import KeyStore
from earthlab.hub.layout import Layout, people_ssh
from earthlab.settings import Settings

KEYS = "cles"


class KeysHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``GET /hub/cles``: the signed-in user's keys; ``POST``: one more, or one less."""

    def initialize(self, layout: Layout, settings: Settings) -> None:
        """Take what the lab's configuration says."""
        self._layout, self._settings = layout, settings
        self._store = KeyStore(layout.keys)

    @authenticated
    async def get(self) -> None:
        """The page, for nobody but the user."""
        await self._show()

    @authenticated
    async def post(self) -> None:
        """Register the key in ``key``, or forget the one whose fingerprint is in ``remove``."""
        name = self.current_user.name
        try:
            if fingerprint := self.get_body_argument("remove", ""):
                self._store.remove(name, fingerprint)
            else:
                self._store.add(name, self.get_body_argument("key", ""))
        except EarthlabError as exc:
            self.set_status(400)
            await self._show(str(exc))
        else:
            self.redirect(self.request.path, status=303)

    async def _show(self, refusal: str = "") -> None:
        self.set_header("Cache-Control", "no-store")
        address = self._address()
        page = await self.render_template(
            "keys.html",
            keys=self._store.keys(self.current_user.name),
            address=address,
            config=address.config(self.current_user.name) if address else "",
            refusal=refusal,
            moment=_render_moment,
        )
        self.finish(page)

    def _address(self) -> Address | None:
        try:
            key = read_host_key(self._layout)
        except SetupError:
            # The door has never been open yet: the page says so.
            return None
        return Address(*people_ssh(self._settings, resolve_host(self.request.host)), key)


def resolve_host(host: str) -> str:
    """The name by which the lab was reached, in the header ``Host``; no more than a name."""
    name = urlsplit(f"//{host}").hostname or ""
    return name if re.fullmatch(r"[0-9A-Za-z.:-]{1,253}", name) else "localhost"


def _render_moment(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else "—"


def key_handler(layout: Layout, settings: Settings) -> tuple[str, type[KeysHandler], dict[str, Any]]:
    """The route of the page.

    Raises
    ------
    SetupError
        Where the settings have no address for the door that could be shown.
    """
    people_ssh(settings, "")
    return rf"/{KEYS}", KeysHandler, {"layout": layout, "settings": settings}
