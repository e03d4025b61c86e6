"""The two tables a newcomer opens first: which poles there are, and which collections."""

from typing import Any

import pandas as pd

from earthlab.catalog.profiles import Pole, find_profile, load_poles
from earthlab.catalog.stac_api import StacApi, open_stac_api
from earthlab.errors import BadRequest, NothingFound, did_you_mean


def catalogs() -> pd.DataFrame:
    """One row a pole: id, titles, how many of its collections the lab's catalogue holds, portal.

    One request goes to the lab's catalogue.

    Raises
    ------
    CatalogueUnavailable
        Where the lab's catalogue does not answer.
    """
    held = {c["id"] for c in open_stac_api().collections()}
    return pd.DataFrame([_pole_row(pole, held) for pole in load_poles()]).set_index("id")


def collections(*, pole: str | None = None, theme: str | None = None, catalog: str | None = None) -> pd.DataFrame:
    """One row a collection that the catalogue holds: id, title, pole, themes, period, licence, access.

    Parameters
    ----------
    pole : str, optional
        Keep those of one pole, by its id in `catalogs`.
    theme : str, optional
        Keep those whose themes contain the word, in French or English.
    catalog : str, optional
        Root of another STAC API; by default the lab's own.

    Raises
    ------
    BadRequest
        For a pole that does not exist.
    NothingFound
        Where no collection has the theme; the message lists the themes there are.
    CatalogueUnavailable
        Where the catalogue does not answer.
    """
    if pole is not None and pole not in {p.id for p in load_poles()}:
        raise BadRequest(f"pole: {pole!r} is not known. {did_you_mean(pole, [p.id for p in load_poles()])}")
    rows = [_collection_row(document) for document in _documents(open_stac_api(catalog))]
    kept = [row for row in rows if pole in {None, row["pole"]} and _has_theme(row, theme)]
    if not kept and theme is not None:
        known = {word for row in rows for word in row["themes"]}
        raise NothingFound(f"theme: no collection has {theme!r}. {did_you_mean(theme, known)}")
    columns = ["id", "title", "pole", "themes", "start", "end", "licence", "access", "simulated"]
    return pd.DataFrame(kept, columns=columns).set_index("id")


def _documents(api: StacApi) -> list[dict[str, Any]]:
    return sorted(api.collections(), key=lambda document: str(document["id"]))


def _pole_row(pole: Pole, held: set[str]) -> dict[str, Any]:
    stock = sum(profile.id in held for profile in pole.collections)
    return {
        "id": pole.id,
        "title": pole.title["fr"],
        "title_en": pole.title["en"],
        "collections": len(pole.collections),
        "in_stock": stock,
        "portal": pole.portal,
    }


def _collection_row(document: dict[str, Any]) -> dict[str, Any]:
    profile = find_profile(document["id"])
    start, end = (document["extent"]["temporal"]["interval"] or [[None, None]])[0]
    words = [*profile.themes["fr"], *profile.themes["en"]] if profile else document.get("keywords") or []
    return {
        "id": document["id"],
        "title": document.get("title") or document["id"],
        "pole": profile.pole if profile else "",
        "themes": tuple(dict.fromkeys(words)),
        "start": (start or "")[:10],
        "end": (end or "")[:10],
        "licence": (profile.licence if profile else "") or document.get("license", ""),
        "access": profile.access if profile else "",
        "simulated": profile is not None and profile.pole == "simulation",
    }


def _has_theme(row: dict[str, Any], theme: str | None) -> bool:
    return theme is None or any(theme.casefold() in word.casefold() for word in row["themes"])
