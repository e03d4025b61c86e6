"""`el.search`: from a question to the items, or to the filter that emptied it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from earthlab.catalog.itemset import Item, ItemSet
from earthlab.catalog.normalise import norm_item
from earthlab.catalog.query import Query, make_query
from earthlab.catalog.stac_api import StacApi, open_stac_api
from earthlab.errors import BadRequest, NothingFound, did_you_mean
from earthlab.types import BBox

_FILTERS = ("bbox", "geometry", "period", "ids", "max_cloud", "filter")
_WORDS = {"period": "time"}


def search(  # noqa: PLR0913 - the one public door
    *collection: str,
    collections: Sequence[str] = (),
    bbox: BBox | Sequence[float] | None = None,
    geometry: Any = None,
    place: str | None = None,
    time: Any = None,
    ids: Sequence[str] = (),
    max_cloud: float | None = None,
    filter: str | None = None,  # noqa: A002 - the standard's own word
    limit: int | None = None,
    catalog: str | None = None,
) -> ItemSet:
    """The items that answer the question, in order of time. Metadata alone is read, no pixel.

    Parameters
    ----------
    *collection, collections : str
        Ids of collections; `earthlab.collections` lists them. None searches all.
    bbox : BBox or four floats, optional
        West, south, east, north in degrees.
    geometry : mapping or shapely geometry, optional
        GeoJSON in degrees; in place of ``bbox``.
    place : str, optional
        A name of the lab's gazetteer; in place of ``bbox``.
    time : str, datetime or pair, optional
        ``"2018"``, ``"2018-07"``, ``"2018-04-01/2018-11-30"``; UTC, both ends included.
    ids : sequence of str, optional
        Item ids.
    max_cloud : float, optional
        Highest cloud cover in percent; an item that states none is kept.
    filter : str, optional
        CQL2 text, where the catalogue implements the Filter Extension.
    limit : int, optional
        Most items to return.
    catalog : str, optional
        Root of another STAC API; by default the lab's own.

    Returns
    -------
    ItemSet
        At least one item.

    Raises
    ------
    NothingFound
        Where no item answers; the message says which filter emptied the search.
    BadRequest
        For a word that cannot be understood or an unknown collection, with the nearest names.
    CatalogueUnavailable, NotAllowed
        Where the catalogue is down, slow, answers nonsense, or refuses this user.
    """
    query = make_query(
        *collection,
        collections=collections,
        bbox=bbox,
        geometry=geometry,
        place=place,
        time=time,
        ids=ids,
        max_cloud=max_cloud,
        filter=filter,
        limit=limit,
    )
    return run_query(query, catalog=catalog)


def run_query(query: Query, *, catalog: str | None = None) -> ItemSet:
    """The items that answer a `Query`; raises as `search` does."""
    api = open_stac_api(catalog)
    _require_collections(api, query)
    items = tuple(_first(_items(api, query), query.limit))
    if not items:
        raise NothingFound(_explain_nothing(api, query))
    ordered = sorted(items, key=lambda item: (item.moment, item.id))
    return ItemSet(tuple(ordered), query, api.url)


def _require_collections(api: StacApi, query: Query) -> None:
    for name in query.collections:
        if not api.has_collection(name):
            known = [c["id"] for c in api.collections()]
            raise BadRequest(f"{api.url} has no collection {name!r}. {did_you_mean(name, known)}")


def _items(api: StacApi, query: Query) -> Iterator[Item]:
    at_server = query.limit if query.max_cloud is None else None
    for document in api.documents(query, at_server):
        item = norm_item(document)
        if query.max_cloud is None or item.cloud_cover is None or item.cloud_cover <= query.max_cloud:
            yield item


def _first(items: Iterable[Item], most: int | None) -> Iterator[Item]:
    for count, item in enumerate(items):
        if count == most:
            return
        yield item


def _explain_nothing(api: StacApi, query: Query) -> str:
    where = ", ".join(query.collections) or api.url
    asked = [name for name in _FILTERS if getattr(query, name) not in {None, ()}]
    guilty = [name for name in asked if _finds(api, query.without(name))]
    if guilty:
        words = " or ".join(f"{_WORDS.get(name, name)}={_shown(query, name)}" for name in guilty)
        return f"Nothing found in {where}: {words} empties the search; without it there are items. Relax it."
    if len(asked) > 1 and _finds(api, Query(collections=query.collections)):
        words = ", ".join(_WORDS.get(name, name) for name in asked)
        return (
            f"Nothing found in {where}: the filters {words} empty the search together. Leave out two of them at a time."
        )
    return f"Nothing found: {where} holds no item at all. el.collections() lists what is in stock."


def _finds(api: StacApi, query: Query) -> bool:
    return next(_items(api, query), None) is not None


def _shown(query: Query, name: str) -> str:
    asked = query.to_dict()
    return str(asked["place"] if name == "bbox" and query.place else asked[_WORDS.get(name, name)])
