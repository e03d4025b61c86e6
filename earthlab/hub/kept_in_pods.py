"""Taking a seat's work into a real account on a cluster: from the seat's pod to the user's own, through the hub."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from jupyterhub import orm
from jupyterhub.handlers import BaseHandler

from earthlab.errors import BadRequest
from earthlab.hub.kept_work import BROKEN, MOST_BYTES, PATIENCE, WORK, Kept, judge_kept

_STARTED_WITHIN = 600.0
_LOOKS_EVERY = 0.2
_PIECE = 1 << 20

_NOT_OPEN = (
    "Ouvrez d’abord JupyterLab dans ce compte, puis revenez à cette page : votre code reste bon. · "
    "Open JupyterLab in this account first, then come back to this page: your code stays good."
)
_NO_START = (
    "La place n’a pas pu être rouverte et rien n’a été gardé : réessayez plus tard avec un nouveau code. · "
    "The seat could not be opened again and nothing was kept: try later with a new code."
)


@dataclass(frozen=True, slots=True)
class Pod:
    """A server that runs, and a token that enters it for a while."""

    url: str
    token: str = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """With which the server knows the hub."""
        return {"Authorization": f"token {self.token}"}


def require_open(user: Any) -> None:
    """Nothing, where somebody's own server runs, in which their home is.

    Raises
    ------
    BadRequest
        Where it does not.
    """
    if not user.spawner.ready:
        raise BadRequest(_NOT_OPEN)


async def open_server(handler: BaseHandler, user: Any) -> None:
    """Start somebody's server, unless it runs, and wait until it answers.

    Raises
    ------
    BadRequest
        Where it does not come up.
    """
    spawner = user.spawner
    try:
        async with asyncio.timeout(_STARTED_WITHIN):
            if not spawner.active:
                await handler.spawn_single_user(user)
            while spawner.pending:  # noqa: ASYNC110 - JupyterHub tells it by nothing else
                await asyncio.sleep(_LOOKS_EVERY)
    except TimeoutError as exc:
        raise BadRequest(_NO_START) from exc
    if not spawner.ready:
        raise BadRequest(_NO_START)


@contextmanager
def entering(handler: BaseHandler, user: Any) -> Iterator[Pod]:
    """Somebody's server with a token for it alone, which ends with the context."""
    name = user.name
    token = user.new_api_token(
        note="earthlab: travail d'un atelier · work of a workshop",
        expires_in=int(PATIENCE) + 60,
        scopes=[f"access:servers!server={name}/"],
    )
    try:
        yield Pod(str(user.spawner.server.url), token)
    finally:
        found = orm.APIToken.find(handler.db, token)
        if found is not None:
            handler.db.delete(found)
            handler.db.commit()


async def keep_work_of_pod(giver: Pod, taker: Pod, folder: str) -> Kept:
    """Copy what a seat's holder made into ``folder``, or ``folder-2``…, of a user's home; see `keep_work`.

    Raises
    ------
    AskLess, NothingFound, BadRequest
        Where it is too much, nothing, or interrupted: then nothing has arrived.
    """
    limit = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, raise_for_status=True, trust_env=False) as session,
            session.get(f"{giver.url}{WORK}", params={"most": str(MOST_BYTES)}, headers=giver.headers) as given,
            session.post(
                f"{taker.url}{WORK}", params={"folder": folder}, headers=taker.headers, data=_pieces(given)
            ) as taken,
        ):
            return judge_kept(await taken.read())
    except (aiohttp.ClientError, TimeoutError) as exc:
        raise BadRequest(BROKEN) from exc


async def _pieces(given: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for piece in given.content.iter_chunked(_PIECE):
        yield piece
