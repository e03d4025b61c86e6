"""What the workshops ask of the hub: to forget seats, and to let somebody into a server for a while."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from earthlab.errors import BadRequest, CatalogueUnavailable

_PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class HubClient:
    """The hub's REST API. ``token`` is the service's own, which may remove users and end shares, and nothing else."""

    url: str
    token: str = field(repr=False)

    async def remove_user(self, user: str) -> None:
        """Stop a user's server and forget the user; waits for a server that is just starting or stopping.

        Raises
        ------
        CatalogueUnavailable
            Where the hub does not in time.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            status, said = await self._ask("DELETE", f"users/{quote(user)}", self.token)
            if status in {204, 404}:
                return
            if time.monotonic() > until:
                raise CatalogueUnavailable(f"the hub would not remove {user}: {status} {said.get('message', '')}")
            await asyncio.sleep(1)

    async def share(self, token: str, owner: str, seconds: int) -> str:
        """A code that lets whoever brings it to the hub into a server.

        Parameters
        ----------
        token : str
            The owner's own: the right to let others in is theirs.
        seconds : int
            For how long the code is good, 60 at least.

        Raises
        ------
        BadRequest
            Where the hub refuses.
        """
        body = {"expires_in": max(60, seconds)}
        status, said = await self._ask("POST", f"share-codes/{quote(owner)}/", token, body)
        if status != 200 or "code" not in said:
            raise BadRequest(
                "Ouvrez d’abord JupyterLab, puis dites oui de nouveau. Open JupyterLab first, then say yes again. "
                f"(The hub does not share this server: {status} {said.get('message', '')})"
            )
        return str(said["code"])

    async def share_with(self, token: str, owner: str, guest: str) -> None:
        """Let one person into a server, and nobody else, until it is ended.

        Parameters
        ----------
        token : str
            The owner's own: the right to let others in is theirs.

        Raises
        ------
        BadRequest
            Where the hub refuses.
        """
        status, said = await self._ask("POST", f"shares/{quote(owner)}/", token, {"user": guest})
        if status != 200:
            raise BadRequest(
                "Ouvrez d’abord JupyterLab, puis invitez de nouveau. Open JupyterLab first, then invite again. "
                f"(The hub does not share this server: {status} {said.get('message', '')})"
            )

    async def unshare_all(self, token: str, owner: str) -> None:
        """End every share of a server and every code for one, by the owner's own token."""
        for kind in ("share-codes", "shares"):
            await self._ask("DELETE", f"{kind}/{quote(owner)}/", token)

    async def end_share(self, guest: str, owner: str) -> None:
        """End one person's access to a server; one that there is not is not missed.

        Raises
        ------
        CatalogueUnavailable
            Where the hub does not do it.
        """
        path = f"users/{quote(guest)}/shared/{quote(owner)}/"
        status, said = await self._ask("DELETE", path, self.token)
        if status not in {204, 404}:
            raise CatalogueUnavailable(f"the hub would not end a share: {status} {said.get('message', '')}")

    async def _ask(
        self, method: str, path: str, token: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        request = HTTPRequest(
            f"{self.url}/{path}",
            method,
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
            body=None if body is None else json.dumps(body),
            follow_redirects=False,
            request_timeout=60,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request, raise_error=False)
            said = json.loads(answer.body or b"{}")
        except (OSError, HTTPClientError, ValueError) as exc:
            raise CatalogueUnavailable(f"The hub cannot be asked ({type(exc).__name__}). Try again.") from exc
        return answer.code, said if isinstance(said, dict) else {}
