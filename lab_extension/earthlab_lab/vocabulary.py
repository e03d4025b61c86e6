"""What there is to choose from: poles, themes, collections, endpoints, and the places of a name."""

from collections.abc import Iterable
from typing import Any

from earthlab.errors import BadRequest, CatalogueUnavailable
from earthlab_lab.schemas import (
    BOX,
    COUNT,
    FLAG,
    WORDS,
    Schema,
    listed,
    maybe,
    named,
    one_of,
    render_words,
    shape,
    text,
)

_PERIOD = listed(text(10), 2, least=2)
VOCABULARY: Schema = shape(
    {
        "poles": listed(shape({"id": text(), "kind": one_of("pole", "provider"), "title": WORDS, "portal": text()})),
        "themes": listed(shape({"id": text(), "title": WORDS, "collections": listed(text())})),
        "collections": listed(
            shape(
                {
                    "id": text(), "pole": text(), "title": WORDS, "period": _PERIOD, "licence": text(),
                    "access": text(), "where": text(), "platforms": listed(text()), "instruments": listed(text()),
                    "stock": WORDS, "simulated": FLAG,
                }
            )
        ),
        "endpoints": listed(shape({"id": text(), "pole": text(), "title": WORDS, "dialect": text(), "url": text()})),
        "rules": named(shape({"title": WORDS, "how": WORDS})),
        "silent": maybe(text(4000)),
    }
)  # fmt: skip

PLACES_ASKED: Schema = shape({"text": text(120)})
PLACES: Schema = listed(shape({"label": text(), "kind": text(), "population": COUNT, "bbox": BOX}), 10)


def read_vocabulary() -> dict[str, Any]:
    """All of it, in both languages. Asks the lab's catalogue what it holds; where that is silent, says so."""
    from earthlab.catalog import load_poles
    from earthlab.rights import load_rules

    poles = load_poles()
    rows, silent = _read_collections()
    return {
        "poles": [
            {"id": pole.id, "kind": pole.kind, "title": dict(pole.title), "portal": pole.portal} for pole in poles
        ],
        "themes": list(_themes({row["id"] for row in rows})),
        "collections": rows,
        "endpoints": [
            {
                "id": endpoint.id, "pole": pole.id, "title": dict(endpoint.title), "dialect": endpoint.dialect,
                "url": endpoint.url,
            }
            for pole in poles
            for endpoint in pole.endpoints
        ],
        "rules": {rule.id: {"title": dict(rule.title), "how": dict(rule.how)} for rule in load_rules()},
        "silent": silent,
    }  # fmt: skip


def suggest(typed: str) -> list[dict[str, Any]]:
    """The places whose names begin with what was typed."""
    from earthlab.catalog import suggest_places

    return [
        {
            "label": place.label,
            "kind": place.kind,
            "population": place.population,
            "bbox": list(place.bbox.as_tuple()),
        }
        for place in suggest_places(typed)
    ]


def _read_collections() -> tuple[list[dict[str, Any]], str | None]:
    from earthlab.catalog import collections, find_profile, load_poles

    try:
        table, silent = collections(), None
    except CatalogueUnavailable as exc:
        profiles = [profile for pole in load_poles() for profile in pole.collections if profile.endpoint]
        return [_described(profile.id, profile, profile.endpoint) for profile in profiles], str(exc)
    rows = []
    for name, row in table.iterrows():
        profile = find_profile(str(name))
        told = _described(str(name), profile, row["where"])
        rows.append({**told, "title": {"fr": row["title"], "en": row["title_en"]}, "pole": row["pole"],
                     "period": [row["start"], row["end"]], "licence": row["licence"], "access": row["access"],
                     "simulated": bool(row["simulated"])})  # fmt: skip
    return rows, silent


def _described(name: str, profile: Any, where: str) -> dict[str, Any]:
    period = (profile.period if profile else None) or ("", "")
    return {
        "id": name,
        "pole": profile.pole if profile else "",
        "title": dict(profile.title) if profile else {"fr": name, "en": name},
        "period": [side.replace("..", "") for side in period],
        "licence": profile.licence if profile else "",
        "access": profile.access if profile else "",
        "where": where,
        "platforms": list(profile.platforms) if profile else [],
        "instruments": list(profile.instruments) if profile else [],
        "stock": render_words(profile.stock if profile else {}),
        "simulated": profile is not None and profile.pole == "simulation",
    }


def _themes(known: set[str]) -> Iterable[dict[str, Any]]:
    from earthlab.catalog.themes import load_themes, resolve_theme

    for theme in load_themes().values():
        try:
            found = resolve_theme(theme.fr[0])
        except BadRequest:  # a theme that no collection has
            continue
        having = [name for name in found if name in known]
        if having:
            yield {"id": theme.id, "title": {"fr": theme.fr[0], "en": theme.en[0]}, "collections": having}
