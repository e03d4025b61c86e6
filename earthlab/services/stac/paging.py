"""Tokens of pages: the place where a page begins, and the search that the page belongs to."""

import base64
import hashlib
import math
from collections.abc import Mapping
from typing import Any

from earthlab.errors import BadRequest
from earthlab.services.stac.jsontext import parse_json
from earthlab.services.stac.sorting import Key, Order
from earthlab.types import canonical_json

Place = tuple[Any, ...]
"""The row after which a page begins: its values of the keys of the order."""

_WHOLE = 2**63
_UNBOUND = frozenset({"token", "limit"})


def write_token(place: Place, said: Mapping[str, Any]) -> str:
    """The opaque token of the page after a row of this search."""
    text = canonical_json([*place, _fingerprint(said)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_token(value: Any, order: Order, said: Mapping[str, Any]) -> Place | None:
    """The place of a token; None for None.

    Raises
    ------
    BadRequest
        Where it is no token of this service, or one of another search.
    """
    if value is None:
        return None
    try:
        parts = parse_json(base64.urlsafe_b64decode(str(value) + "=" * (-len(str(value)) % 4)))
    except ValueError as exc:
        raise _bad_token() from exc
    if not isinstance(parts, list) or not parts:
        raise _bad_token()
    *place, fingerprint = parts
    if fingerprint != _fingerprint(said):
        raise BadRequest("token: it belongs to another search. Follow next links unchanged, or begin without token.")
    if len(place) != len(order) or not all(map(_fits, place, order)):
        raise _bad_token()
    return tuple(place)


def _fits(value: Any, key: Key) -> bool:
    if value is None or isinstance(value, str):
        return value is None or key.holds_text
    if key.holds_text or isinstance(value, bool):
        return False
    return -_WHOLE <= value < _WHOLE if isinstance(value, int) else isinstance(value, float) and math.isfinite(value)


def _fingerprint(said: Mapping[str, Any]) -> str:
    asked = {word: value for word, value in said.items() if word not in _UNBOUND and value is not None}
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:12]


def _bad_token() -> BadRequest:
    return BadRequest("token: this is no page of this service. Take it from a next link, unchanged.")
