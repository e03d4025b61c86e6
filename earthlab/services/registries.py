"""What a service that is not on the hub's machine asks of the books that the hub keeps, by the service's own token."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from earthlab.errors import BadRequest, CatalogueUnavailable

_WITHIN = 10.0
_DIRECT = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Registry:
    """One of the hub's registries; each call waits for the answer.

    Parameters
    ----------
    api : str
        Address of the hub's API.
    token : str
        The service's.
    place : str
        Below the hub's own pages.
    """

    api: str
    token: str = field(repr=False)
    place: str

    def ask(self, method: str, words: Mapping[str, str], body: Mapping[str, Any] | None = None) -> Any:
        """What the hub answers to a request; None where it has nothing, or nothing to say.

        Raises
        ------
        BadRequest
            In the hub's own words, where it refuses what is asked.
        CatalogueUnavailable
            Where the hub cannot be asked, or does not answer.
        """
        url = f"{self.api.removesuffix('/api')}/{self.place}?{urlencode(words)}"
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with _DIRECT.open(Request(url, data, headers, method=method), timeout=_WITHIN) as answer:  # noqa: S310
                return json.loads(answer.read() or b"null")
        except HTTPError as exc:
            with exc:
                if exc.code == 404:
                    return None
                if exc.code == 400:
                    raise BadRequest(_words_of(exc)) from exc
            raise CatalogueUnavailable(f"The hub answered {exc.code}. Try again.") from exc
        except (OSError, HTTPException, ValueError) as exc:
            raise CatalogueUnavailable(f"The hub cannot be asked ({type(exc).__name__}). Try again.") from exc


def _words_of(refusal: HTTPError) -> str:
    try:
        said = json.loads(refusal.read())
        return str(said["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return "the hub refuses this without a word"
