"""Asking the hub whose servers run, with the least right that tells it: ``list:users``."""

from typing import Any

import aiohttp

_PAGED = "application/jupyterhub-pagination+json"
_TIMEOUT = aiohttp.ClientTimeout(total=10)


async def ask_owners(session: aiohttp.ClientSession, hub_api: str, token: str) -> frozenset[str]:
    """The names of all users who have a server that runs or is being started.

    Raises
    ------
    aiohttp.ClientError, TimeoutError
        Where the hub does not answer, or not with such a list.
    """
    names: set[str] = set()
    offset: int | None = 0
    while offset is not None:
        page = await _ask_page(session, hub_api, token, offset)
        names.update(user["name"] for user in page["items"])
        following = page["_pagination"]["next"]
        offset = following["offset"] if following else None
    return frozenset(names)


async def _ask_page(session: aiohttp.ClientSession, hub_api: str, token: str, offset: int) -> Any:
    headers = {"Authorization": f"token {token}", "Accept": _PAGED}
    query = {"state": "active", "offset": str(offset), "limit": "200"}
    async with session.get(
        f"{hub_api}/users", params=query, headers=headers, timeout=_TIMEOUT, raise_for_status=True
    ) as answer:
        return await answer.json()
