"""Who comes in by ssh: by a token of the hub in place of a password, or by a key of their page."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import asyncssh

from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, NotAllowed
from earthlab.hub.accounts import norm_user
from earthlab.hub.keys import Key
from earthlab.hub.links import GuessLimit
from earthlab.services.doors import Authenticate
from earthlab.services.ssh.connections import resolve_source
from earthlab.services.ssh.servers import Servers

MOST_TOKENS, MOST_KEYS = 3, 20
"""What one connection may try."""

_GUESSES = 60
"""Wrong tokens a minute from one address, behind which a whole class may be."""

_PAUSE = 1.0
"""Seconds that a wrong token costs, twice as many for each further one."""


class Keys(Protocol):
    """The keys of users' pages, asked in a thread that may wait."""

    def find(self, user: str, fingerprint: str) -> Key | None:
        """A user's key.

        Raises
        ------
        CatalogueUnavailable
            Where nobody can be asked.
        """

    def note_use(self, user: str, fingerprint: str) -> None:
        """Remember that a user has just signed in by a key."""


@dataclass(frozen=True, slots=True)
class Register:
    """Whom the hub and the users' pages know."""

    authenticate: Authenticate
    servers: Servers
    keys: Keys
    guesses: GuessLimit = field(default_factory=lambda: GuessLimit(_GUESSES, 10 * _GUESSES))
    keys_are_near: bool = True
    """Whether keys are files of this machine, which cost nothing to look at every other second."""


class Refused(Exception):
    """The connection has tried enough."""


@dataclass(slots=True)
class SignIn:
    """One connection's way in."""

    register: Register
    address: str
    tell: Callable[[str], None] = lambda _: None
    """Takes words for whoever waits at the door."""
    user: str = ""
    by: str = ""
    """How somebody has signed in: ``token``, or ``key`` and its fingerprint."""
    asked: str = ""
    """As whom a client wanted to come in."""
    tried: list[str] = field(default_factory=list)
    why: str = ""
    """Why the last try was refused, for the book."""
    _tokens: int = 0
    _keys: set[str] = field(default_factory=set)
    _said: set[str] = field(default_factory=set)
    _token: str = field(default="", repr=False)
    """By which somebody has signed in, to ask whether it still is one."""

    @property
    def line(self) -> Mapping[str, Any]:
        """What the book says of a connection that did not come in."""
        return {
            "kind": "refused",
            "user": self.asked,
            "address": self.address,
            "by": ", ".join(dict.fromkeys(self.tried)),
            "why": self.why,
        }

    async def check_token(self, name: str, token: str) -> bool:
        """Whether a token is a user's own, and opens this door.

        Raises
        ------
        Refused
            Where this connection, or its address, has tried too often.
        """
        self._tokens += 1
        user, source = self._ask_as(name, "token"), resolve_source(self.address)
        if self._tokens > MOST_TOKENS or self.register.guesses.exceeded(source):
            self.why = "too many tries"
            raise Refused(_TOO_MANY)
        caller, words = None, _WRONG
        try:
            caller = await self.register.authenticate(token)
            self.why = "unknown, expired, or somebody else's token"
        except CatalogueUnavailable as exc:
            self.why, words = str(exc), _AWAY
        except NotAllowed as exc:
            self.why = str(exc)
        if caller is not None and user and caller.name == user:
            self.user, self.by, self._token = user, "token", token
            return True
        self._say(words)
        if words is _AWAY:
            return False
        self.register.guesses.count(source)
        await asyncio.sleep(_PAUSE * 2 ** (self._tokens - 1))
        return False

    async def check_key(self, name: str, key: asyncssh.SSHKey) -> bool:
        """Whether a key is on the page of a user whom the hub still knows.

        Raises
        ------
        Refused
            Where this connection has tried too many.
        """
        fingerprint = str(key.get_fingerprint())
        user = self._ask_as(name, f"key {fingerprint}")
        self._keys.add(fingerprint)
        if len(self._keys) > MOST_KEYS:
            self.why = "too many tries"
            raise Refused(_TOO_MANY)
        try:
            self.why = await self._doubt_key(user, fingerprint, ask=True)
        except EarthlabError as exc:
            self.why = str(exc)
            self._say(_AWAY)
        if self.why:
            return False
        self.user, self.by = user, f"key {fingerprint}"
        return True

    async def find_doubt(self, *, ask: bool) -> str:
        """Why whoever has come in may no longer be here; empty where nothing is known against it.

        Parameters
        ----------
        ask : bool
            Whether to ask the hub, too: about the token, or whether it still has the user of a key and lets them in.

        Raises
        ------
        CatalogueUnavailable
            Where it cannot be asked.
        """
        kind, _, fingerprint = self.by.partition(" ")
        if kind == "key":
            return await self._doubt_key(self.user, fingerprint, ask=ask)
        return await self._doubt_token() if ask else ""

    async def _doubt_key(self, user: str, fingerprint: str, *, ask: bool) -> str:
        if not (ask or self.register.keys_are_near):
            return ""
        found = await asyncio.to_thread(self.register.keys.find, user, fingerprint) if user else None
        if found is None:
            return "a key that is not the user's"
        if not ask:
            return ""
        created = await self.register.servers.find_created(user)
        # A user of the same name who was made later is somebody else.
        if created is None or created > datetime.fromtimestamp(found.added, UTC):
            return "a key of a user who is gone or blocked"
        return ""

    async def _doubt_token(self) -> str:
        try:
            caller = await self.register.authenticate(self._token)
        except NotAllowed as exc:
            return str(exc)
        return "" if caller is not None and caller.name == self.user else "a token that has ended"

    async def note_success(self) -> None:
        """What is remembered of somebody who has come in."""
        kind, _, fingerprint = self.by.partition(" ")
        if kind == "key":
            await asyncio.to_thread(self.register.keys.note_use, self.user, fingerprint)

    def _say(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self.tell(words)

    def _ask_as(self, name: str, by: str) -> str:
        self.asked = name[:64]
        self.tried = [*self.tried[-MOST_KEYS:], by]
        try:
            return norm_user(name)
        except BadRequest:
            return ""


_AWAY = "Le hub ne répond pas : réessayez dans un moment. · The hub does not answer: try again in a moment."
_WRONG = (
    "Ce jeton n’ouvre pas cette porte : inconnu, expiré, ou celui de quelqu’un d’autre. Prenez-en un sur la page "
    "/hub/token du labo. · This token does not open this door: unknown, expired, or somebody else’s. "
    "Take one from the lab’s page /hub/token."
)
_TOO_MANY = "Trop d’essais : attendez une minute. · Too many tries: wait a minute."
