"""The two tables a newcomer opens first: which poles and catalogues there are, and which collections."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import requests

from earthlab.catalog.dialects import open_catalogue
from earthlab.catalog.profiles import CollectionProfile, Endpoint, Pole, find_profile, load_poles
from earthlab.catalog.session import open_session
from earthlab.catalog.signing import request_headers
from earthlab.catalog.themes import has_theme
from earthlab.errors import BadRequest, CatalogueUnavailable, NothingFound, did_you_mean
from earthlab.settings import Settings, load_settings

LAB = "lab"
_AT_ONCE = 16
_COLUMNS = [
    "id", "title", "title_en", "pole", "themes", "start", "end", "licence", "access", "where", "stock", "simulated",
]  # fmt: skip


def catalogs(*, check: bool = False) -> pd.DataFrame:
    """Poles and providers, each followed by its endpoints; an endpoint called as its provider has no row of its own.

    Parameters
    ----------
    check : bool
        Ask every endpoint for a sign of life, all at once; otherwise one request goes to the lab's own catalogue.

    Returns
    -------
    pandas.DataFrame
        By id: ``kind`` (pole, provider, endpoint), ``pole``, titles, ``dialect``, ``state``, ``collections`` described,
        ``in_stock`` in the lab's catalogue, ``url``. ``state`` of an endpoint: ``"open"``, ``"key set"``, ``"key
        wanted"`` (for its data), ``"portal"`` (for people alone, at ``url``); with ``check``, ``"answers"`` or
        ``"silent"`` for all but portals.

    Raises
    ------
    CatalogueUnavailable
        Where the lab's catalogue is set and does not answer.
    """
    settings = load_settings()
    held = {c["id"] for c in open_catalogue(None, settings).collections()} if settings.catalogue.url else set()
    endpoints = [endpoint for pole in load_poles() for endpoint in pole.endpoints]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        states = pool.map(lambda endpoint: _state(endpoint, settings, check=check), endpoints)
        state_of = dict(zip((endpoint.id for endpoint in endpoints), states, strict=True))
    rows = [row for pole in load_poles() for row in _pole_rows(pole, held, state_of)]
    return pd.DataFrame(rows).set_index("id")


def collections(*, pole: str | None = None, theme: str | None = None, catalog: str | None = None) -> pd.DataFrame:
    """One row a collection that can be searched: those of the lab's catalogue, then those described at other endpoints.

    Parameters
    ----------
    pole : str, optional
        Keep those of one pole or provider, by its id in `catalogs`.
    theme : str, optional
        Keep those that have a theme of that name, or a narrower one: a word or synonym in French or English, the
        beginning of one, or the address of a concept.
    catalog : str, optional
        What one other catalogue says of itself: id of an endpoint, or root of a STAC API.

    Returns
    -------
    pandas.DataFrame
        By id: titles, pole, themes, ``start`` and ``end``, licence, access, ``where`` it is (``"lab"`` or an endpoint's
        id), ``stock``: what is really there, ``simulated``.

    Raises
    ------
    BadRequest
        For a pole or a catalogue that does not exist.
    NothingFound
        Where no collection has the theme; the message lists the themes there are.
    CatalogueUnavailable
        Where the catalogue does not answer.
    """
    if pole is not None and pole not in {p.id for p in load_poles()}:
        raise BadRequest(f"pole: {pole!r} is not known. {did_you_mean(pole, [p.id for p in load_poles()])}")
    rows = list(_rows(catalog))
    kept = [row for row in rows if pole in {None, row["pole"]} and (theme is None or has_theme(theme, row["themes"]))]
    if not kept and theme is not None:
        known = {word for row in rows for word in row["themes"]}
        raise NothingFound(f"theme: no collection has {theme!r}. {did_you_mean(theme, known)}")
    return pd.DataFrame(kept, columns=_COLUMNS).set_index("id")


def _rows(catalog: str | None) -> Iterator[dict[str, Any]]:
    settings = load_settings()
    held = set[str]()
    if catalog or settings.catalogue.url:
        documents = open_catalogue(catalog, settings).collections()
        held = {str(document["id"]) for document in documents}
        for document in sorted(documents, key=lambda document: str(document["id"])):
            yield _held_row(document, catalog or LAB)
    if not catalog:
        described = (profile for pole in load_poles() for profile in pole.collections)
        yield from (_described_row(profile) for profile in described if profile.endpoint and profile.id not in held)


def _state(endpoint: Endpoint, settings: Settings, *, check: bool) -> str:
    if endpoint.dialect == "portal":
        return "portal"
    url = settings.catalogue.endpoints.get(endpoint.id, endpoint.url)
    if check:
        return "answers" if _answers(url, settings) else "silent"
    if endpoint.account == "none":
        return "open"
    return "key set" if request_headers(url) else "key wanted"


def _answers(url: str, settings: Settings) -> bool:
    """Whether a server that is not broken is there; what it says of the root alone does not matter."""
    try:
        answer = open_session(settings).get(url, timeout=settings.catalogue.timeout)
    except requests.RequestException:
        return False
    except CatalogueUnavailable:  # it asks to come again later
        return True
    return answer.status_code < 500


def _pole_rows(pole: Pole, held: set[str], state_of: dict[str, str]) -> Iterator[dict[str, Any]]:
    own = next((endpoint for endpoint in pole.endpoints if endpoint.id == pole.id), None)
    yield {
        "id": pole.id,
        "kind": pole.kind,
        "pole": pole.id,
        "title": pole.title["fr"],
        "title_en": pole.title["en"],
        "dialect": own.dialect if own else "",
        "state": state_of[own.id] if own else "",
        "collections": len(pole.collections),
        "in_stock": sum(profile.id in held for profile in pole.collections),
        "url": own.url if own else pole.portal,
    }
    for endpoint in pole.endpoints:
        if endpoint is not own:
            yield _endpoint_row(endpoint, pole, state_of[endpoint.id])


def _endpoint_row(endpoint: Endpoint, pole: Pole, state: str) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "kind": "endpoint",
        "pole": pole.id,
        "title": endpoint.title["fr"],
        "title_en": endpoint.title["en"],
        "dialect": endpoint.dialect,
        "state": state,
        "collections": sum(profile.endpoint == endpoint.id for profile in pole.collections),
        "in_stock": 0,
        "url": endpoint.url,
    }


def _held_row(document: dict[str, Any], where: str) -> dict[str, Any]:
    profile = find_profile(document["id"])
    start, end = (document["extent"]["temporal"]["interval"] or [[None, None]])[0]
    return {
        "id": document["id"],
        "title": document.get("title") or (profile.title["fr"] if profile else document["id"]),
        "title_en": profile.title["en"] if profile else document.get("title") or document["id"],
        "pole": profile.pole if profile else "",
        "themes": _themes(profile) if profile else tuple(document.get("keywords") or ()),
        "start": (start or "")[:10],
        "end": (end or "")[:10],
        "licence": (profile.licence if profile else "") or document.get("license", ""),
        "access": profile.access if profile else "",
        "where": where,
        "stock": profile.stock.get("fr", "") if profile else "",
        "simulated": profile is not None and profile.pole == "simulation",
    }


def _described_row(profile: CollectionProfile) -> dict[str, Any]:
    start, end = profile.period or ("", "")
    return {
        "id": profile.id,
        "title": profile.title["fr"],
        "title_en": profile.title["en"],
        "pole": profile.pole,
        "themes": _themes(profile),
        "start": start.replace("..", ""),
        "end": end.replace("..", ""),
        "licence": profile.licence,
        "access": profile.access,
        "where": profile.endpoint,
        "stock": profile.stock.get("fr", ""),
        "simulated": profile.pole == "simulation",
    }


def _themes(profile: CollectionProfile) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*profile.themes["fr"], *profile.themes["en"], *profile.concepts]))
