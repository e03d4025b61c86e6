"""Licences in one spelling, and what several of them ask together.

Providers write ``CC-NC-BY-SA``, ``proprietary``, a sentence or an address; the lab writes SPDX ids, names that begin
with ``LicenseRef-`` for licences without one, and ``other`` (STAC 1.1) where nobody knows what is allowed.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

UNKNOWN = "other"
"""What STAC 1.1 writes for a licence that has no SPDX id; here: nobody knows what it allows."""

_CURRENT = "4.0"
_BOUND = frozenset({"sa", "nd"})
"""Conditions that no other licence meets: what is derived has the very same licence, or must not be."""

_LETTERS = {
    "attribution": "by",
    "noncommercial": "nc",
    "commercial": "nc",
    "sharealike": "sa",
    "alike": "sa",
    "noderivatives": "nd",
    "noderivs": "nd",
    "derivatives": "nd",
}
"""Words of Creative Commons' titles, and what each stands for."""


@dataclass(frozen=True, slots=True)
class _Table:
    conditions: Mapping[str, frozenset[str]]
    spellings: Mapping[str, str]
    addresses: tuple[tuple[str, str], ...]


def norm_licence(stated: str | None) -> str:
    """The licence in the lab's spelling.

    Parameters
    ----------
    stated : str or None
        What a provider writes: an SPDX id in any case, a title, the address of a licence's text, or a placeholder.

    Returns
    -------
    str
        An SPDX id, a ``LicenseRef-…``, or ``"other"`` for what is not known, is several (``various``) or the provider's
        own (``proprietary``). Empty where nothing is stated.

    Notes
    -----
    Creative Commons without a version is read as 4.0, the current one, since SPDX has no id without; where a text and
    the address in it disagree, the conditions of both hold.
    """
    text = (stated or "").strip()
    if not text:
        return ""
    table = _table()
    named = table.spellings.get(_bare(text))
    if named is not None:
        return named
    address = re.sub(r"^https?://(www\.)?", "", text.casefold())
    at = next((name for beginning, name in table.addresses if address.startswith(beginning)), None)
    return at or _creative_commons(text) or (text if is_licence(text) else UNKNOWN)


def is_licence(name: str) -> bool:
    """Whether a name is one that descriptors may use: a known SPDX id, ``LicenseRef-…`` or ``other``."""
    return name == UNKNOWN or name in _table().conditions or bool(re.fullmatch(r"LicenseRef-[A-Za-z0-9.-]+", name))


def most_restrictive(licences: Iterable[str | None]) -> str:
    """The licence for what is made of data under several licences.

    Parameters
    ----------
    licences : iterable of str or None
        In any spelling; empty ones are passed over.

    Returns
    -------
    str
        The one that asks for all that the others ask (the last in the alphabet where several do); ``"other"`` where one
        is not known, or none is stated. Where no single one does, as with two different share-alike licences, all that
        count, joined by ``AND`` as in an SPDX expression: they hold together, or the product cannot be passed on.
    """
    named = {norm_licence(licence) for licence in licences} - {""}
    known = _table().conditions
    if not named or any(name not in known for name in named):
        return UNKNOWN
    ranked = sorted(named, reverse=True)
    ranked.sort(key=lambda name: (-len(known[name]), name.startswith("LicenseRef-")))
    kept: list[str] = []
    for name in ranked:
        if not any(_covers(known, other, name) for other in kept):
            kept.append(name)
    return " AND ".join(sorted(kept))


def _covers(conditions: Mapping[str, frozenset[str]], strict: str, lax: str) -> bool:
    return conditions[lax] <= conditions[strict] and _BOUND.isdisjoint(conditions[lax])


def _creative_commons(text: str) -> str | None:
    tokens = re.findall(r"[a-z]+|\d\.\d", re.sub(r"non[- ]commercial", "noncommercial", text.casefold()))
    if not ({"cc", "creativecommons"} & set(tokens) or "creative commons" in text.casefold()):
        return None
    letters = {_LETTERS.get(token, token) for token in tokens} & {"by", "nc", "nd", "sa"}
    if not letters:
        return None
    order = [letter.upper() for letter in ("by", "nc", "nd", "sa") if letter in {*letters, "by"}]
    version = next((token for token in tokens if token[0].isdigit()), _CURRENT)
    name = "-".join(["CC", *order, version])
    return name if name in _table().conditions else None


def _bare(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[^a-z0-9.]", "", plain).strip(".")


@lru_cache(maxsize=1)
def _table() -> _Table:
    tables = tomllib.loads((files("earthlab.catalog") / "licences.toml").read_text("utf-8"))
    conditions = {name: frozenset(name.casefold().split("-")[1:-1]) for name in tables["creative_commons"]}
    conditions |= {name: frozenset(table["conditions"]) for name, table in tables["licences"].items()}
    spellings = {_bare(name): name for name in conditions}
    spellings |= {_bare(also): name for name, table in tables["licences"].items() for also in table.get("also", ())}
    addresses = ((url, name) for name, table in tables["licences"].items() for url in table.get("urls", ()))
    return _Table(conditions, spellings, tuple(sorted(addresses, key=lambda pair: -len(pair[0]))))
