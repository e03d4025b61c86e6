"""The hub's services as this user's server asks them: with the server's own token, which goes nowhere else."""

import json
import os
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from earthlab.errors import BadRequest, EarthlabError, NotAllowed, NothingFound

TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the variable's name
SERVICES = "EARTHLAB_SERVICES"
"""Variable with the address below which the hub's services are."""

_PATIENCE = 10.0
_MOST_SAID = 2000


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the hub. Its repr shows no token.

    Parameters
    ----------
    address : str
        Of its API, without a slash at its end.
    token : str
        This server's own.
    kind : str
        The word before the token in the header.
    away : type
        The refusal that tells that nobody answers.
    """

    address: str
    token: str = field(repr=False)
    kind: str = "token"
    away: type[EarthlabError] = EarthlabError

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """What the service answers; None where that is nothing.

        Raises
        ------
        BadRequest, NotAllowed, NothingFound
            As it refuses, in its own words.
        EarthlabError
            Of the kind ``away``, where it does not answer, or not as it should.
        """
        answer = await self._fetch(method, path + (f"?{urlencode(query)}" if query else ""), body)
        if answer.code >= 300:
            raise self._refusal(answer)
        try:
            return json.loads(answer.body) if answer.body else None
        except ValueError as exc:
            raise self._silent("ne répond pas en JSON", "does not answer in JSON") from exc

    async def _fetch(self, method: str, path: str, body: Any) -> HTTPResponse:
        headers = {"Authorization": f"{self.kind} {self.token}", "Content-Type": "application/json"}
        request = HTTPRequest(
            f"{self.address}/{path}",
            method,
            headers=headers,
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=_PATIENCE,
            connect_timeout=_PATIENCE / 2,
        )
        try:
            return await AsyncHTTPClient().fetch(request, raise_error=False)
        except (HTTPClientError, TimeoutError, OSError) as exc:
            raise self._silent("ne répond pas", "does not answer") from exc

    def _refusal(self, answer: HTTPResponse) -> EarthlabError:
        said = _words_of(answer)
        if answer.code == 403 and said:
            return NotAllowed(said)
        if answer.code in {401, 403}:
            return NotAllowed(
                f"{self._name} n’accepte pas votre jeton : redémarrez votre serveur. | "
                f"{self._name} does not accept your token: restart your server."
            )
        if answer.code == 404:
            return NothingFound(said or f"{self._name} ne connaît pas cela. | {self._name} knows no such thing.")
        if answer.code in {400, 409, 413, 422, 429} and said:
            return BadRequest(said)
        return self._silent(f"a répondu {answer.code}", f"answered {answer.code}")

    def _silent(self, french: str, english: str) -> EarthlabError:
        return self.away(
            f"{self._name} {french} : réessayez dans une minute. | {self._name} {english}: try again in a minute."
        )

    @property
    def _name(self) -> str:
        return urlsplit(self.address).path.rstrip("/").removesuffix("/api/v1") or self.address


def own_token() -> str:
    """The token that this server has of the hub.

    Raises
    ------
    NotAllowed
        Where this server is not one of a hub.
    """
    token = os.environ.get(TOKEN, "")
    if not token:
        raise NotAllowed(
            "Ce serveur n’est pas celui d’un laboratoire : aucun service ne saurait qui vous êtes. Ouvrez JupyterLab "
            "depuis le hub. | This server is not one of a lab: no service could tell who you are. Open JupyterLab from "
            "the hub."
        )
    return token


def _words_of(answer: HTTPResponse) -> str:
    """What a service says of its refusal, in either of the two forms that services have."""
    try:
        said = json.loads(answer.body)
    except ValueError:
        return ""
    words = (said.get("message") or said.get("error")) if isinstance(said, dict) else ""
    return words[:_MOST_SAID] if isinstance(words, str) else ""
