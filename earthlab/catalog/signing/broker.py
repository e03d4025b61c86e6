"""What people tell the lab's signing broker, and ask of it: their rights, and the keys it keeps for them."""

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import urllib3

from earthlab.catalog.signing.keys import find_key
from earthlab.catalog.signing.making import change_provider
from earthlab.catalog.signing.providers import find_provider, load_providers
from earthlab.catalog.signing.signed import Hidden
from earthlab.catalog.signing.signers import key_headers
from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, NotAllowed, NothingFound, SetupError
from earthlab.settings import load_settings

_REFUSALS: Mapping[int, type[EarthlabError]] = {400: BadRequest, 401: NotAllowed, 403: NotAllowed, 404: NothingFound}
_TIMEOUT = 20.0


def my_rights() -> list[dict[str, Any]]:
    """What the user may read of all that is guarded: id, title, allowed, reason, how, category, orders, source.

    Raises
    ------
    SetupError
        Outside a lab, where there is no broker.
    NotAllowed, CatalogueUnavailable
        Where the broker refuses or does not answer.
    """
    rights: list[dict[str, Any]] = _ask("GET", "rights")["rights"]
    return rights


def kept_keys() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The providers that the broker can keep a key for, and those where it keeps the user's; raises as `my_rights`."""
    told = _ask("GET", "keys")
    return tuple(told["known"]), tuple(told["kept"])


def keep_key(provider: str, key: Mapping[str, str]) -> None:
    """Have the broker keep the user's key at a provider, sealed; it never gives it back. Raises as `my_rights`."""
    content = _Content(json.dumps({"key": dict(key)}).encode())
    del key  # a traceback may show what a frame holds
    _ask("PUT", f"keys/{quote(provider, safe='')}", content)


def forget_key(provider: str) -> None:
    """Have the broker forget the user's key at a provider.

    Raises
    ------
    NothingFound
        Where it keeps none; otherwise as `my_rights`.
    """
    _ask("DELETE", f"keys/{quote(provider, safe='')}")


def key_parts(provider: str) -> tuple[str, ...]:
    """The names of the parts of a provider's key, in the form that is asked for first.

    Raises
    ------
    BadRequest
        For a provider that is not known.
    """
    forms = find_provider(provider).keys
    return tuple(forms[0]) if forms else ()


def _ask(method: str, path: str, content: "_Content | None" = None) -> dict[str, Any]:
    url = load_settings().catalogue.signing
    known = load_providers()["broker"]
    token = find_key(known.id, known.keys, os.environ)
    if not url or token is None:
        raise SetupError(
            "There is no signing broker here: it belongs to a lab, which sets its address (catalogue.signing) and "
            "gives each server a token. Run this in a terminal or a notebook of the lab."
        )
    broker = change_provider(known, url)  # refused without TLS: the token, and a key, do not go there in the open
    status, told, failure = _request(method, f"{broker.url.rstrip('/')}/{path}", key_headers(broker, token), content)
    if failure:
        # Outside the except clause: what the transport raised has the token and the key in its frames.
        raise CatalogueUnavailable(f"The lab's signing broker does not answer ({failure}). Try again.")
    if status != HTTPStatus.OK:
        refusal = _REFUSALS.get(status, CatalogueUnavailable)
        raise refusal(str(told.get("description") or f"The signing broker answers {status}."))
    return told


def _request(method: str, address: str, headers: Hidden, content: "_Content | None") -> tuple[int, dict[str, Any], str]:
    """Status and words of the answer; else the name of what failed."""
    words = {**headers, "Content-Type": "application/json"}
    body = content.text if content else None
    try:
        answer = urllib3.request(method, address, body=body, headers=words, timeout=_TIMEOUT, redirect=False, retries=1)
        told = json.loads(answer.data)
    except (urllib3.exceptions.HTTPError, ValueError) as exc:
        return 0, {}, type(exc).__name__
    return (answer.status, told, "") if isinstance(told, dict) else (0, {}, "no JSON object")


class _Content:
    """A body with a key in it, which no traceback shows."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text
