"""While the hub's database is away: whoever asks is told to wait, and not taken for a stranger.

JupyterHub takes a request whose user it cannot look up for one of nobody's (`BaseHandler.prepare`): to people who are
signed in the sign-in page would be shown, and services would be told that a good token is none.
"""

import asyncio
from typing import Any, ClassVar

from jupyterhub.handlers import BaseHandler
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from tornado.web import HTTPError

_WORDS = (
    "La base du labo ne répond pas ; ce qui tourne chez vous continue, et rien n’est perdu. Réessayez dans une minute :"
    " un lien ou un passe que vous avez en main reste bon. · The lab’s database does not answer; what you run goes on, "
    "and nothing is lost. Try again in a minute: a link or pass that you have at hand stays good."
)
_QUESTION = text("SELECT 1")
_LOOK_EVERY = 1.0
_PAUSE = "30"
"""Seconds after which programs may ask again."""


def refuse_without_database() -> None:
    """From now on this hub answers 503 where it cannot look up who asks."""
    prepare = BaseHandler.prepare

    async def prepare_or_refuse(self: Any) -> None:
        try:
            await _look_up(self)
        except SQLAlchemyError as exc:
            raise absence(self) from exc
        except Exception:
            # As JupyterHub has it: a request of nobody's, which it is from now on.
            self.log.exception("Failed to get current user")
        await prepare(self)

    BaseHandler.prepare = prepare_or_refuse


def require_database(handler: BaseHandler) -> None:
    """Look whether the database answers, before anything is used up that lets somebody in only once.

    Raises
    ------
    HTTPError
        503, with words a person can read.
    """
    try:
        handler.db.execute(_QUESTION)
    except SQLAlchemyError:
        handler.db.rollback()
        try:
            handler.db.execute(_QUESTION)
        except SQLAlchemyError as exc:
            raise absence(handler) from exc


async def _look_up(handler: Any) -> None:
    """Find out who asks, a second time where a connection was left from before the database restarted."""
    try:
        await handler.get_current_user()
    except SQLAlchemyError:
        handler.db.rollback()
        del handler._jupyterhub_user  # noqa: SLF001 - what it was found to be, which was nobody
        await handler.get_current_user()


async def wait_for_database(spawner: Any) -> None:
    """Wait until the database answers: JupyterHub writes down a start between its steps, and fails where it cannot.

    Whoever awaits this sets a limit.
    """
    while True:
        try:
            spawner.db.execute(_QUESTION)
        except SQLAlchemyError:
            spawner.db.rollback()
            await asyncio.sleep(_LOOK_EVERY)
        else:
            return


class Absence(HTTPError):
    """Says when to ask again: JupyterHub takes an error's headers into its page."""

    headers: ClassVar = {"Retry-After": _PAUSE}


def absence(handler: Any) -> Absence:
    """The refusal of a request for which the hub cannot look anything up: 503, in words a person can read."""
    handler.db.rollback()
    handler._resolve_roles_and_scopes()  # noqa: SLF001 - what JupyterHub's page of errors asks for
    return Absence(503, _WORDS)
