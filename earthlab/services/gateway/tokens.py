"""Tokens of the hub for workers: their user's, good for a quarter of an hour, and for the signing broker alone."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from earthlab.rights import Rule, load_rules

LIFETIME = 900
"""Seconds that a worker's token lives; a new one is written when half of them are over."""

BROKER_SCOPE = "access:services!service=signing"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class HubTokensApi:
    """The hub's API, and the gateway's own token for it. Its repr shows no token."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"HubTokensApi({self.url!r})"

    async def mint(self, session: aiohttp.ClientSession, user: str, note: str) -> tuple[str, str]:
        """A new token of a user, and its id.

        Raises
        ------
        aiohttp.ClientError, TimeoutError
            Where the hub does not answer, or refuses.
        """
        groups = (await self._ask(session, "GET", f"users/{_part(user)}")).get("groups", [])
        body = {"expires_in": LIFETIME, "scopes": [*worker_scopes(groups, load_rules())], "note": note}
        found = await self._ask(session, "POST", f"users/{_part(user)}/tokens", json=body)
        return found["token"], found["id"]

    async def revoke(self, session: aiohttp.ClientSession, user: str, token_id: str) -> None:
        """End a token before its time; one that is gone already is no fault.

        Raises
        ------
        aiohttp.ClientError, TimeoutError
            Where the hub does not answer, or refuses.
        """
        headers = {"Authorization": f"token {self.token}"}
        path = f"{self.url}/users/{_part(user)}/tokens/{_part(token_id)}"
        async with session.delete(path, headers=headers, timeout=_TIMEOUT) as answer:
            if answer.status != 404:
                answer.raise_for_status()

    async def _ask(self, session: aiohttp.ClientSession, method: str, path: str, **words: Any) -> Any:
        headers = {"Authorization": f"token {self.token}"}
        async with session.request(
            method, f"{self.url}/{path}", headers=headers, timeout=_TIMEOUT, raise_for_status=True, **words
        ) as answer:
            return await answer.json()


def worker_scopes(groups: list[str], rules: tuple[Rule, ...]) -> tuple[str, ...]:
    """What a worker's token may do: use the broker, with the rights on licensed data that its user's groups give."""
    return (BROKER_SCOPE, *(rule.scope for rule in rules if not set(rule.readers).isdisjoint(groups)))


def _part(name: str) -> str:
    return quote(name, safe="")
