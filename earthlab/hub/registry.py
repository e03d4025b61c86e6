"""What the hub tells services that are not on its machine: here an ssh door, of users' keys."""

from dataclasses import asdict
from typing import Any, ClassVar

from jupyterhub.apihandlers.base import APIHandler
from tornado.web import HTTPError

from earthlab.errors import BadRequest
from earthlab.hub.hostkeys import public_file
from earthlab.hub.keys import KeyStore, parse_public_key
from earthlab.hub.layout import Layout

REGISTRY = "cles/registre"

SCOPE = "custom:earthlab:keys"
"""What the door's token needs: to look up public keys, never to change whose they are."""


class Registry(APIHandler):  # type: ignore[misc]  # JupyterHub has no types
    """A book of the hub's, for a service with the right to it."""

    scope: ClassVar[str]

    async def prepare(self) -> None:
        """Turn away whoever may not."""
        await super().prepare()
        # Not by JupyterHub's decorator, which knows no scope before the configuration was read.
        if self.scope not in self.expanded_scopes:
            raise HTTPError(403, f"This token lacks {self.scope}.")


class RegistryHandler(Registry):
    """``GET`` a user's key by its fingerprint, ``POST`` that it was used, ``PUT`` the door's own public key."""

    scope = SCOPE

    def initialize(self, layout: Layout) -> None:
        """Take where the books are."""
        self._layout = layout
        self._store = KeyStore(layout.keys)

    async def get(self) -> None:
        """The key, or 404."""
        found = self._store.find(self.get_query_argument("user"), self.get_query_argument("fingerprint"))
        if found is None:
            raise HTTPError(404)
        self.finish(asdict(found))

    async def post(self) -> None:
        """Remember the use."""
        self._store.note_use(self.get_query_argument("user"), self.get_query_argument("fingerprint"))
        self.set_status(204)

    async def put(self) -> None:
        """Remember the door's key, which the page of keys shows."""
        try:
            key = parse_public_key(self.get_query_argument("key"))
        except BadRequest as exc:
            raise HTTPError(400, str(exc)) from exc
        self._layout.ssh.mkdir(mode=0o700, parents=True, exist_ok=True)
        public_file(self._layout.ssh).write_text(f"{key.line}\n", encoding="ascii")
        self.set_status(204)


def registry_handler(layout: Layout) -> tuple[str, type[RegistryHandler], dict[str, Any]]:
    """The route of the registry."""
    return rf"/{REGISTRY}", RegistryHandler, {"layout": layout}
