"""Whose data it is, in words that can be pasted into a report."""

from typing import Any

from earthlab.catalog.itemset import ItemSet
from earthlab.catalog.profiles import find_profile
from earthlab.errors import BadRequest


def cite(subject: Any) -> str:
    """The citation and the licence of items, of a cube, or of a collection.

    Parameters
    ----------
    subject : ItemSet, xarray.Dataset, xarray.DataArray or str
        Items, a cube that `earthlab.open` made, or a collection's id.

    Returns
    -------
    str
        One line a collection: citation, licence, number of items where known.

    Raises
    ------
    BadRequest
        Where there is nothing to cite: the message says what was expected.
    """
    if isinstance(subject, ItemSet):
        return "\n".join(_line(name, _count(subject, name)) for name in subject.collections)
    if isinstance(subject, str):
        return _line(subject, None)
    stated = getattr(subject, "attrs", {}).get("references")
    if not stated:
        raise BadRequest(
            f"cite: found {type(subject).__name__} without a citation, expected an ItemSet, a cube of el.open(...) "
            "or a collection's id. Computed layers lose it: cite the cube they came from."
        )
    return str(stated)


def _count(items: ItemSet, collection: str) -> int:
    return sum(item.collection == collection for item in items)


def _line(collection: str, count: int | None) -> str:
    profile = find_profile(collection)
    words = profile.citation if profile else f"Collection {collection}."
    licence = (
        f" Licence : {profile.licence}." if profile and profile.licence else " Licence : non précisée / not stated."
    )
    return words + licence + (f" {count} items." if count else "")
