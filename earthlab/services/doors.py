"""Who may come in: every request carries a token, and the hub says whose it is and what it may do."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection as Incoming
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from earthlab.errors import CatalogueUnavailable, EarthlabError, NotAllowed, SetupError


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token a request carries, and what the hub says of them."""

    name: str
    scopes: frozenset[str] = frozenset()
    groups: tuple[str, ...] = ()


Authenticate = Callable[[str], Awaitable[Caller | None]]
"""The owner of a token, or None for an unknown token; raises `NotAllowed` where the owner may not come in."""

_AUTHORIZATION = re.compile(r"(?:token|bearer) +([A-Za-z0-9._~+/=-]{1,1000})", re.IGNORECASE | re.ASCII)
KEPT_SECONDS = 30.0
_MOST_KEPT = 2048
_HUB_TIMEOUT = 10.0


class Door:
    """Middleware that lets nothing past, whatever the path, without a token that `authenticate` knows."""

    def __init__(self, app: ASGIApp, authenticate: Authenticate) -> None:
        self._app = app
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the refusal, or hand the request on."""
        if scope["type"] == "http":
            met = await self._meet(Incoming(scope).headers)
            if isinstance(met, JSONResponse):
                await met(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = met
        await self._app(scope, receive, send)

    async def _meet(self, headers: Mapping[str, str]) -> Caller | JSONResponse:
        token = token_of(headers.get("authorization", ""))
        if token is None:
            return _refuse(401, "NotSignedIn", f"No token was sent. {_HOW}")
        try:
            owner = await self._authenticate(token)
        except NotAllowed as exc:
            return _refuse(403, "NotAllowed", str(exc))
        except EarthlabError as exc:
            return _refuse(503, "HubUnavailable", str(exc))
        return owner or _refuse(401, "NotSignedIn", f"This token is unknown or has expired. {_HOW}")


def token_of(authorization: str) -> str | None:
    """The token of an ``Authorization`` header of the form ``token …`` or ``Bearer …``."""
    found = _AUTHORIZATION.fullmatch(authorization.strip())
    return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Hub:
    """Where the hub's API is, and what it calls this service."""

    url: str
    service: str

    @property
    def accepted(self) -> frozenset[str]:
        """The scopes of which a token needs one."""
        return frozenset({"access:services", f"access:services!service={self.service}"})


def resolve_hub(environ: Mapping[str, str]) -> Hub:
    """The hub that started this process.

    Raises
    ------
    SetupError
        Where none did.
    """
    url, service = environ.get("JUPYTERHUB_API_URL", ""), environ.get("JUPYTERHUB_SERVICE_NAME", "")
    if urlsplit(url).scheme not in {"http", "https"} or not service:
        raise SetupError(
            "This service is started by the hub, which tells it JUPYTERHUB_API_URL and JUPYTERHUB_SERVICE_NAME: "
            "neither may be missing. Start the lab with: make lab"
        )
    return Hub(url.rstrip("/"), service)


@dataclass(slots=True)
class HubTokens:
    """Asks the hub about tokens, and keeps the answers for ``keep`` seconds; of the tokens only digests are kept."""

    hub: Hub
    clock: Callable[[], float] = time.monotonic
    keep: float = KEPT_SECONDS
    """Seconds an answer is good for; 0 asks each time, so that a token that expired is refused at once."""
    _known: dict[bytes, tuple[float, Caller | None]] = field(default_factory=dict, init=False, repr=False)

    async def __call__(self, token: str) -> Caller | None:
        """The owner of a token, or None where the hub does not know the token.

        Raises
        ------
        NotAllowed
            Where the token lacks the scope that opens this service.
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        caller = await self._find(token)
        if caller is not None and self.hub.accepted.isdisjoint(caller.scopes):
            raise NotAllowed(
                f"This token of {caller.name} may not use this service: it lacks "
                f"access:services!service={self.hub.service}. Take the token of your own server, "
                "or ask for one with this scope."
            )
        return caller

    async def _find(self, token: str) -> Caller | None:
        key, now = hashlib.sha256(token.encode()).digest(), self.clock()
        kept = self._known.get(key)
        if kept is None or kept[0] <= now:
            model = await asyncio.to_thread(ask_hub, self.hub, token, "user")
            kept = (now + self.keep, _caller(model))
            self._remember(key, kept)
        return kept[1]

    def _remember(self, key: bytes, found: tuple[float, Caller | None]) -> None:
        self._known.pop(key, None)
        while len(self._known) >= _MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[key] = found


def _caller(model: Mapping[str, Any] | None) -> Caller | None:
    if model is None or not model.get("name"):
        return None
    # No user is called with a colon: a service never passes for one.
    name = str(model["name"]) if model.get("kind") == "user" else f"service:{model['name']}"
    return Caller(name, frozenset(model.get("scopes") or ()), tuple(model.get("groups") or ()))


def ask_hub(hub: Hub, token: str, path: str) -> Mapping[str, Any] | None:
    """What the hub says at a path of its API to the bearer of a token; None where it refuses or knows nothing there.

    Never through a proxy, and never to where a redirect leads.

    Raises
    ------
    CatalogueUnavailable
        Where it cannot be asked.
    """
    parts = urlsplit(hub.url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=_HUB_TIMEOUT)
    try:
        connection.request("GET", f"{parts.path}/{path}", headers={"Authorization": f"token {token}"})
        answer = connection.getresponse()
        content = answer.read()
        model: Mapping[str, Any] | None = json.loads(content) if answer.status == 200 else None
    except (OSError, HTTPException, ValueError) as exc:
        raise CatalogueUnavailable(f"The hub cannot be asked ({type(exc).__name__}). Try again.") from exc
    finally:
        connection.close()
    if answer.status not in {200, 401, 403, 404}:
        raise CatalogueUnavailable(f"The hub answered {answer.status}. Try again.")
    return model


_HOW = "Send the header Authorization: token …, with a token of the hub; in the lab, earthlab does so by itself."


def _refuse(status: int, code: str, description: str) -> JSONResponse:
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": 'Bearer realm="EarthLab"'} if status == 401 else {})
    return JSONResponse({"code": code, "description": description}, status, headers)
