"""Asking the hub for users' servers: to start them, to wait for them, and to tell that they are used."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from earthlab.errors import CatalogueUnavailable, NotAllowed

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_MOST_STARTS = 3

Tell = Callable[[str], None]
"""Takes a line for the one who waits."""

ROLE = "user"
"""The role that everybody has at the hub but those who are blocked, and that opens this door."""

_AWAY = "Le hub ne répond pas, réessayez. · The hub does not answer, try again."
_FAILED = "Votre serveur n’a pas démarré. · Your server did not start."


@dataclass(frozen=True, slots=True)
class Servers:
    """The hub's side of it, with the ssh door's own token."""

    url: str
    """Of the hub's API."""
    token: str = field(repr=False)

    async def find_created(self, user: str) -> datetime | None:
        """When the hub made a user; ``None`` for one that it does not know, or that is blocked.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        async with self._ask("GET", f"/users/{user}") as answer:
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise CatalogueUnavailable(_AWAY)
            model = await answer.json()
            return datetime.fromisoformat(model["created"]) if ROLE in model["roles"] else None

    async def start(self, user: str, tell: Tell) -> None:
        """See to it that a user's server runs, however long that takes.

        Parameters
        ----------
        tell : callable
            Is told where the user stands in the queue, whenever that changes.

        Raises
        ------
        NotAllowed
            Where the server does not start, with the hub's own words.
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        said = _FAILED
        for _ in range(_MOST_STARTS):
            if await self._is_ready(user):
                return
            async with self._ask("POST", f"/users/{user}/server") as answer:
                # 400 where it runs by now, or has just ended: the next look tells.
                if answer.status not in {201, 202, 400}:
                    await _read(answer)
            said = await self._follow(user, tell) or said
        if not await self._is_ready(user):
            raise NotAllowed(said)

    async def find_path(self, user: str) -> str:
        """Where a user's server is below the hub's proxy, such as ``/user/ana/``.

        Raises
        ------
        NotAllowed
            Where it does not run.
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        async with self._ask("GET", f"/users/{user}") as answer:
            path = (await _read(answer))["servers"].get("", {}).get("url", "")
        if not path:
            raise NotAllowed(_FAILED)
        return str(path)

    async def note_activity(self, user: str) -> None:
        """Have the hub take a user's server for one that is used.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        now = datetime.now(UTC).isoformat()
        body = {"last_activity": now, "servers": {"": {"last_activity": now}}}
        async with self._ask("POST", f"/users/{user}/activity", body) as answer:
            answer.release()

    async def _is_ready(self, user: str) -> bool:
        async with self._ask("GET", f"/users/{user}") as answer:
            return bool((await _read(answer))["servers"].get("", {}).get("ready"))

    async def _follow(self, user: str, tell: Tell) -> str:
        """Tell what the hub tells of a start until it is over; why it has failed, where it has."""
        told = ""
        async with self._ask("GET", f"/users/{user}/server/progress", patience=None) as answer:
            if answer.status != 200:
                return ""
            async for event in _events(answer):
                if event.get("failed"):
                    return str(event.get("message", ""))
                if event.get("ready"):
                    return ""
                if (message := str(event.get("message", ""))) != told:
                    tell(message)
                    told = message
        return ""

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: Any = None, patience: float | None = 30.0
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"token {self.token}"}
        timeout = _TIMEOUT if patience else aiohttp.ClientTimeout(total=None)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
                session.request(method, self.url + path, json=body, allow_redirects=False) as answer,
            ):
                yield answer
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as exc:
            raise CatalogueUnavailable(_AWAY) from exc


async def _read(answer: aiohttp.ClientResponse) -> Any:
    if answer.status >= 300:
        said = json.loads(await answer.text() or "{}").get("message", "")
        if answer.status in {403, 404, 429, 500}:
            raise NotAllowed(f"{_FAILED} {said}".strip())
        raise CatalogueUnavailable(_AWAY)
    return await answer.json()


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.content:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))
