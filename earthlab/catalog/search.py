"""`el.search`: from a question to the items, or to the filter that emptied it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from earthlab.catalog.dialects import Catalogue, open_catalogue
from earthlab.catalog.everywhere import Arrival, ask_everyone
from earthlab.catalog.itemset import Item, ItemSet
from earthlab.catalog.normalise import norm_item
from earthlab.catalog.query import Query, make_query
from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, NothingFound, did_you_mean
from earthlab.notice import Notice
from earthlab.types import BBox

_FILTERS = ("bbox", "geometry", "period", "ids", "max_cloud", "filter", "platform", "instrument", "where")
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
    theme: str | None = None,
    platform: str | Sequence[str] | None = None,
    instrument: str | Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    catalog: str | None = None,
    all_poles: bool = False,
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
        A region, department or commune of France, by name or INSEE code, or a city of the world; in place of ``bbox``.
    time : str, datetime or pair, optional
        ``"2018"``, ``"2018-07"``, ``"2018-04-01/2018-11-30"``; UTC, both ends included.
    ids : sequence of str, optional
        Item ids.
    max_cloud : float, optional
        Highest cloud cover in percent; an item that states none is kept.
    filter : str, optional
        CQL2 text, where the catalogue implements the Filter Extension.
    limit : int, optional
        Most items to return; with ``all_poles`` most items of each catalogue, 100 where it is not given.
    theme : str, optional
        A word of the thesauri in French or English, or a concept's URI: the collections that have it.
    platform, instrument : str or sequence of str, optional
        Satellites or constellations, and instruments; spelling does not matter.
    where : mapping, optional
        Comparisons of any property: ``{"view:off_nadir": ("<", 10)}``.
    catalog : str, optional
        Id of an endpoint of `earthlab.catalogs`, or the root of a STAC API; by default the lab's own catalogue.
    all_poles : bool
        Ask the lab's own catalogue and every endpoint that may hold an answer, all at once. ``report`` of the result
        says who gave how many, who failed and who was too slow.

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
        Where the catalogue is down, slow, answers nonsense, or refuses this user; with ``all_poles`` only where
        nobody answered.
    """
    if all_poles and catalog is not None:
        raise BadRequest("catalog and all_poles were given; they both say whom to ask. Give one of them.")
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
        theme=theme,
        platform=platform,
        instrument=instrument,
        where=where,
    )
    return run_query(query, catalog=catalog, all_poles=all_poles)


def run_query(query: Query, *, catalog: str | None = None, all_poles: bool = False) -> ItemSet:
    """The items that answer a `Query`; raises as `search` does."""
    if all_poles:
        return _run_everywhere(query)
    api = open_catalogue(catalog)
    if query.theme:
        query = _require_collections(api, query)
    try:
        items = tuple(_first(_items(api, query), query.limit))
    except EarthlabError:
        _require_collections(api, query)  # which says it better, where it is for want of one
        raise
    if not query.theme:
        # Where there are items of it, there is no need to ask whether the catalogue has it.
        _require_collections(api, replace(query, collections=_unseen(query, items)))
    if not items:
        raise NothingFound(_explain_nothing(api, query))
    ordered = sorted(items, key=lambda item: (item.moment, item.id))
    return ItemSet(tuple(ordered), query, api.url)


def _run_everywhere(query: Query) -> ItemSet:
    arrivals = list[Arrival]()
    with Notice() as notice:
        for arrival in ask_everyone(query):
            arrivals.append(arrival)
            notice.say(_progress(arrivals))
    outcomes = [arrival.outcome for arrival in arrivals if arrival.outcome is not None]
    report = tuple(sorted(outcomes, key=lambda outcome: (outcome.state != "answered", outcome.endpoint)))
    items = [item for arrival in arrivals for item in arrival.items]
    if not any(outcome.state == "answered" for outcome in report) and not items:
        said = " ; ".join(f"{outcome.endpoint}: {outcome.message}" for outcome in report)
        raise CatalogueUnavailable(f"None of {len(report)} catalogues answered. {said}")
    if not items:
        silent = [outcome.endpoint for outcome in report if outcome.state != "answered"]
        more = f" Not heard: {', '.join(silent)}." if silent else ""
        raise NothingFound(f"Nothing found in {len(report)} catalogues. Relax a filter.{more}")
    ordered = sorted(items, key=lambda item: (item.moment, item.id))
    return ItemSet(tuple(ordered), query, "", report)


def _progress(arrivals: Sequence[Arrival]) -> str:
    asked = {arrival.endpoint for arrival in arrivals}
    done = sum(arrival.outcome is not None for arrival in arrivals)
    count = sum(len(arrival.items) for arrival in arrivals)
    return f"{count} items, {done} / {len(asked)} catalogues : {', '.join(sorted(asked))}"


def _require_collections(api: Catalogue, query: Query) -> Query:
    """The question as the catalogue can take it: of a theme's collections those that it holds."""
    held = tuple(name for name in query.collections if api.has_collection(name))
    if len(held) == len(query.collections) or (query.theme and held):
        return replace(query, collections=held)
    name = next(name for name in query.collections if name not in held)
    known = [c["id"] for c in api.collections()]
    if query.theme:
        raise NothingFound(
            f"{api.url} holds no collection with the theme {query.theme!r}, of which there are "
            f"{', '.join(query.collections)}. Ask where they are with all_poles=True or catalog=."
        )
    raise BadRequest(f"{api.url} has no collection {name!r}. {did_you_mean(name, known)}")


def _unseen(query: Query, items: Sequence[Item]) -> tuple[str, ...]:
    seen = {item.collection for item in items}
    return tuple(name for name in query.collections if name not in seen)


def _items(api: Catalogue, query: Query) -> Iterator[Item]:
    checked = replace(query, collections=())  # whose names may differ at the provider
    checked_here = query.max_cloud is not None or query.platform or query.instrument or query.where
    for document in api.documents(query, None if checked_here else query.limit):
        item = norm_item(document)
        if checked.keeps(document):
            yield item


def _first(items: Iterable[Item], most: int | None) -> Iterator[Item]:
    for count, item in enumerate(items):
        if count == most:
            return
        yield item


def _explain_nothing(api: Catalogue, query: Query) -> str:
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


def _finds(api: Catalogue, query: Query) -> bool:
    return next(_items(api, query), None) is not None


def _shown(query: Query, name: str) -> str:
    asked = query.to_dict()
    return str(asked["place"] if name == "bbox" and query.place else asked[_WORDS.get(name, name)])
