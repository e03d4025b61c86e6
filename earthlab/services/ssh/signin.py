"""Who comes in by ssh: by a token of the hub in place of a password, or by a key of their page."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import asyncssh

from earthlab.errors import BadRequest, EarthlabError
from earthlab.hub.accounts import norm_user
from earthlab.hub.keys import KeyStore
from earthlab.hub.links import GuessLimit
from earthlab.services.doors import Authenticate
from earthlab.services.ssh.servers import Servers

MOST_TOKENS, MOST_KEYS = 3, 20
"""What one connection may try."""

_GUESSES = 60
"""Wrong tokens a minute from one address, behind which a whole class may be."""

_PAUSE = 1.0
"""Seconds that a wrong token costs, twice as many for each further one."""


@dataclass(frozen=True, slots=True)
class Register:
    """Whom the hub and the users' pages know."""

    authenticate: Authenticate
    servers: Servers
    keys: KeyStore
    guesses: GuessLimit = field(default_factory=lambda: GuessLimit(_GUESSES, 10 * _GUESSES))


class Refused(Exception):
    """The connection has tried enough."""


@dataclass(slots=True)
class SignIn:
    """One connection's way in."""

    register: Register
    address: str
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
        user = self._ask_as(name, "token")
        if self._tokens > MOST_TOKENS or self.register.guesses.exceeded(self.address):
            self.why = "too many tries"
            raise Refused(_TOO_MANY)
        caller = None
        try:
            caller = await self.register.authenticate(token)
            self.why = "unknown, expired, or somebody else's token"
        except EarthlabError as exc:
            self.why = str(exc)
        if caller is not None and user and caller.name == user:
            self.user, self.by = user, "token"
            return True
        self.register.guesses.count(self.address)
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
        found = await asyncio.to_thread(self.register.keys.find, user, fingerprint) if user else None
        if found is None:
            self.why = "a key that is not the user's"
            return False
        try:
            created = await self.register.servers.find_created(found.user)
        except EarthlabError as exc:
            self.why = str(exc)
            return False
        # A user of the same name who was made later is somebody else.
        if created is None or created > datetime.fromtimestamp(found.added, UTC):
            self.why = "a key of a user who is gone"
            return False
        self.user, self.by = found.user, f"key {fingerprint}"
        return True

    async def note_success(self) -> None:
        """What is remembered of somebody who has come in."""
        kind, _, fingerprint = self.by.partition(" ")
        if kind == "key":
            await asyncio.to_thread(self.register.keys.note_use, self.user, fingerprint)

    def _ask_as(self, name: str, by: str) -> str:
        self.asked = name[:64]
        self.tried = [*self.tried[-MOST_KEYS:], by]
        try:
            return norm_user(name)
        except BadRequest:
            return ""


_TOO_MANY = "Trop d’essais : attendez une minute. · Too many tries: wait a minute."
