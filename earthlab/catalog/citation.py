"""Whose data it is, in words that can be pasted into a report."""

import re
from collections.abc import Iterable
from typing import Any

from earthlab.catalog.itemset import Item, ItemSet
from earthlab.catalog.licences import UNKNOWN, norm_licence
from earthlab.catalog.profiles import CollectionProfile, find_profile
from earthlab.errors import BadRequest

_MOST_DOIS = 5


def cite(subject: Any) -> str:
    """The citation and the licence of items, of a cube, or of a collection.

    Parameters
    ----------
    subject : ItemSet, xarray.Dataset, xarray.DataArray or str
        Items, a cube that `earthlab.open` made, or a collection's id.

    Returns
    -------
    str
        One line a collection: citation, DOIs of the collection and of its items, licences as `licences_of` gives them,
        number of items where known.

    Raises
    ------
    BadRequest
        Where there is nothing to cite: the message says what was expected.
    """
    if isinstance(subject, ItemSet):
        return "\n".join(_line(name, [i for i in subject if i.collection == name]) for name in subject.collections)
    if isinstance(subject, str):
        return _line(subject, [])
    stated = getattr(subject, "attrs", {}).get("references")
    if not stated:
        raise BadRequest(
            f"cite: found {type(subject).__name__} without a citation, expected an ItemSet, a cube of el.open(...) "
            "or a collection's id. Computed layers lose it: cite the cube they came from."
        )
    return str(stated)


def licences_of(items: Iterable[Item]) -> tuple[str, ...]:
    """The licences that hold for items, spelt as `earthlab.catalog.licences` does, in alphabetical order.

    That of a collection's descriptor counts, and beside it what single items state otherwise; ``"other"`` only where
    nothing better is known of a collection.
    """
    by_collection: dict[str, list[Item]] = {}
    for item in items:
        by_collection.setdefault(item.collection, []).append(item)
    found = (_licences(find_profile(name), members) for name, members in by_collection.items())
    return tuple(sorted({licence for licences in found for licence in licences}))


def _licences(profile: CollectionProfile | None, items: Iterable[Item]) -> tuple[str, ...]:
    described = [profile.licence] if profile and profile.licence else []
    stated = {norm_licence(item.licence) for item in items} - {""}
    named = dict.fromkeys([*described, *sorted(stated)])
    return tuple(name for name in named if name != UNKNOWN) or tuple(named)


def _line(collection: str, items: list[Item]) -> str:
    profile = find_profile(collection)
    words = profile.citation if profile else f"Collection {collection}."
    licences = ", ".join(_licences(profile, items)) or "non précisée / not stated"
    count = f" {len(items)} items." if items else ""
    return f"{words}{_dois(profile, items)} Licence : {licences}.{count}"


def _dois(profile: CollectionProfile | None, items: Iterable[Item]) -> str:
    stated = sorted({str(dict(item.properties).get("sci:doi", "")) for item in items})
    own = [profile.doi] if profile and profile.doi else []
    found: dict[str, str] = {}
    for doi in (*own, *stated):
        if re.match(r"10\.\d{4,}/", doi):
            found.setdefault(doi.casefold(), f"https://doi.org/{doi}")
    names = list(found.values())
    more = f" … {len(names) - _MOST_DOIS} de plus / more" if len(names) > _MOST_DOIS else ""
    return f" {', '.join(names[:_MOST_DOIS])}{more}." if names else ""
