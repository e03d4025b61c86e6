"""The hub's services as this user's server asks them: with the server's own token, which goes nowhere else."""

import json
import os
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from earthlab.errors import BadRequest, ComputeUnavailable, EarthlabError, NotAllowed, NothingFound
from earthlab_lab.refusals import find_refusal

TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105 - the variable's name
SERVICES = "EARTHLAB_SERVICES"
"""Variable with the address below which the hub's services are."""

PATIENCE = 10.0
"""Seconds for an answer, where nothing has to be computed for it."""

_CONNECTS_WITHIN = 5.0
_MOST_SAID = 2000


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the hub. Its repr shows no token.

    Parameters
    ----------
    title : tuple of str
        What people call it, in French and in English, as a sentence begins with it.
    address : str
        Of its API, without a slash at its end.
    token : str
        This server's own.
    kind : str
        The word before the token in the header.
    away : type
        The refusal that tells that nobody answers.
    """

    title: tuple[str, str]
    address: str
    token: str = field(repr=False)
    kind: str = "token"
    away: type[EarthlabError] = ComputeUnavailable

    async def ask(
        self, method: str, path: str, body: Any = None, *, language: str = "fr", within: float = PATIENCE
    ) -> Any:
        """What the service answers; None where that is nothing.

        Raises
        ------
        EarthlabError
            As for `fetch`.
        """
        answer = await self.fetch(method, path, body, language=language, within=within)
        try:
            return json.loads(answer.body) if answer.body else None
        except ValueError as exc:
            raise self._silent("ne répond pas en JSON", "does not answer in JSON") from exc

    async def fetch(
        self, method: str, path: str, body: Any = None, *, language: str = "fr", within: float = PATIENCE
    ) -> HTTPResponse:
        """The answer of the service, within so many seconds.

        Raises
        ------
        EarthlabError
            As the service refuses, in its own words; of the kind ``away``, where it does not answer, or not as it
            should.
        """
        request = HTTPRequest(
            f"{self.address}/{path}",
            method,
            headers={
                "Authorization": f"{self.kind} {self.token}",
                "Content-Type": "application/json",
                "Accept-Language": language,
            },
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            follow_redirects=False,
            request_timeout=within,
            connect_timeout=_CONNECTS_WITHIN,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request, raise_error=False)
        except (HTTPClientError, TimeoutError, OSError) as exc:
            raise self._silent("ne répond pas", "does not answer") from exc
        if answer.code >= 300:
            raise self._refusal(answer)
        return answer

    def _refusal(self, answer: HTTPResponse) -> EarthlabError:
        french, english = self.title
        code, said = _read_refusal(answer)
        if (named := find_refusal(code, said)) is not None and said:
            return named
        if answer.code == 403 and said:
            return NotAllowed(said)
        if answer.code in {401, 403}:
            return NotAllowed(
                f"{french} n’accepte pas votre jeton : redémarrez votre serveur. | "
                f"{english} does not accept your token: restart your server."
            )
        if answer.code == 404 and said:
            return NothingFound(said)
        if answer.code in {400, 409, 413, 422, 429} and said:
            return BadRequest(said)
        return self._silent(f"a répondu {answer.code}", f"answered {answer.code}")

    def _silent(self, french: str, english: str) -> EarthlabError:
        return self.away(
            f"{self.title[0]} {french} : réessayez dans une minute. | {self.title[1]} {english}: try again in a minute."
        )


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


def _read_refusal(answer: HTTPResponse) -> tuple[str, str]:
    """The name and the words of a refusal, in any of the forms that services have; empty where there are none."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return "", ""
    if not isinstance(told, dict):
        return "", ""
    code = told.get("code")
    words = told.get("message") or told.get("error") or told.get("description")
    return code if isinstance(code, str) else "", words[:_MOST_SAID] if isinstance(words, str) else ""
