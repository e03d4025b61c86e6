"""The keys of users' pages, and the door's own, where the door is not on the hub's machine: the hub keeps the books."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from earthlab.errors import CatalogueUnavailable
from earthlab.hub.keys import Key
from earthlab.hub.registry import REGISTRY

_WITHIN = 10.0
_DIRECT = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class HubKeys:
    """The hub's registry, asked by the door's own token."""

    url: str
    """Of the hub's API."""
    token: str = field(repr=False)

    def find(self, user: str, fingerprint: str) -> Key | None:
        """A user's key.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        found = self._ask("GET", {"user": user, "fingerprint": fingerprint})
        return Key(**found) if found else None

    def note_use(self, user: str, fingerprint: str) -> None:
        """Remember that a user has just signed in by a key.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        self._ask("POST", {"user": user, "fingerprint": fingerprint})

    def announce(self, line: str) -> None:
        """Say by what the door is known, for the page of keys; a line of ``known_hosts`` without the address.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be told.
        """
        self._ask("PUT", {"key": line})

    def _ask(self, method: str, words: Mapping[str, str]) -> Mapping[str, Any] | None:
        url = f"{self.url.removesuffix('/api')}/{REGISTRY}?{urlencode(words)}"
        headers = {"Authorization": f"token {self.token}"}
        try:
            with _DIRECT.open(Request(url, headers=headers, method=method), timeout=_WITHIN) as answer:  # noqa: S310
                found: Mapping[str, Any] | None = json.loads(answer.read() or b"null")
                return found
        except HTTPError as exc:
            if exc.code == 404:
                return None
            raise CatalogueUnavailable(f"The hub answered {exc.code}. Try again.") from exc
        except (OSError, HTTPException, ValueError) as exc:
            raise CatalogueUnavailable(f"The hub cannot be asked ({type(exc).__name__}). Try again.") from exc
