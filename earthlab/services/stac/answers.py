"""The answers of the STAC API: one function an address."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse

from earthlab.errors import AskLess, BadRequest, NothingFound
from earthlab.services.stac import links
from earthlab.services.stac.aggregations import describe_aggregations, parse_aggregations, parse_interval_name
from earthlab.services.stac.description import CONFORMANCE, write_page
from earthlab.services.stac.jsontext import parse_json
from earthlab.services.stac.paging import write_token
from earthlab.services.stac.queryables import describe_queryables
from earthlab.services.stac.search import Search, known_name, parse_search
from earthlab.services.stac.store import Store
from earthlab.services.stac.words import (
    AGGREGATE_WORDS,
    ITEM_WORDS,
    SEARCH_WORDS,
    query_of_words,
    refuse_unknown,
    words_of_query,
)

LARGEST_BODY = 2_000_000


class Json(JSONResponse):
    """An answer in JSON. A bare dict FastAPI would walk through first, value by value, to see that JSON can hold it."""

    def render(self, content: Any) -> bytes:
        """The bytes; answers are large, and orjson writes them in a tenth of the time."""
        return orjson.dumps(content)


class GeoJSON(Json):
    """An answer of items."""

    media_type = links.GEOJSON


class OpenAPI(Json):
    """An answer that describes the service itself."""

    media_type = links.OPENAPI


class Schema(Json):
    """An answer that is a JSON Schema."""

    media_type = links.SCHEMA


def landing(request: Request) -> Json:
    """Who this is, what it conforms to, and where all else is."""
    root = _root(request)
    known = _store(request).collections()
    children = [
        links.link("child", links.collection_href(root, name), title=doc.get("title", name))
        for name, doc in known.items()
    ]
    return Json(
        {
            "type": "Catalog",
            "id": "earthlab",
            "stac_version": "1.1.0",
            "title": "EarthLab – catalogue embarqué / embedded catalogue",
            "description": "Données réelles et archive simulée, jamais confondues. / "
            "Real data and a simulated archive, never confused.",
            "conformsTo": list(CONFORMANCE),
            "links": [*links.landing_links(root), *children],
        }
    )


def conformance(request: Request) -> Json:
    """The conformance classes."""
    _root(request)
    return Json({"conformsTo": list(CONFORMANCE)})


def api(request: Request) -> OpenAPI:
    """The service in OpenAPI."""
    _root(request)
    return OpenAPI(request.app.openapi())


def api_page(request: Request) -> HTMLResponse:
    """The same as a page to read."""
    _root(request)
    return HTMLResponse(write_page(request.app.openapi()))


def collections(request: Request) -> Json:
    """Every collection's document."""
    root = _root(request)
    documents = [links.with_collection_links(doc, root) for doc in _store(request).collections().values()]
    return Json(
        {
            "collections": documents,
            "links": [links.link("self", f"{root}/collections"), links.link("root", f"{root}/")],
            "numberMatched": len(documents),
            "numberReturned": len(documents),
        }
    )


def collection(request: Request, collection_id: str) -> Json:
    """A collection's document."""
    root = _root(request)
    return Json(links.with_collection_links(_known_collection(request, collection_id), root))


def queryables(request: Request) -> Schema:
    """The properties that a filter may name."""
    root = _root(request)
    names = _store(request).queryables(None)
    return Schema(describe_queryables(f"{root}/queryables", "EarthLab", names))


def collection_queryables(request: Request, collection_id: str) -> Schema:
    """The properties that items of a collection have and a filter may name."""
    root = _root(request)
    title = _known_collection(request, collection_id).get("title", collection_id)
    names = _store(request).queryables(collection_id)
    return Schema(describe_queryables(f"{links.collection_href(root, collection_id)}/queryables", title, names))


def items(request: Request, collection_id: str) -> GeoJSON:
    """A page of items, latest first unless another order is asked for."""
    root, said = _root_of(request), _read_query(request, ITEM_WORDS)
    here = f"{links.collection_href(root, collection_id)}/items"
    return _answer_page(request, here, _within(request, collection_id, said), _following_query(here, said))


def item(request: Request, collection_id: str, item_id: str) -> GeoJSON:
    """An item."""
    root = _root(request)
    _known_collection(request, collection_id)
    page = _store(request).find(Search(collections=(collection_id,), ids=(item_id,)))
    if not page.items:
        raise NothingFound(f"There is no item {item_id[:80]!r} in {collection_id}. Search for what there is.")
    return GeoJSON(links.with_item_links(page.items[0], root))


def search_by_query(request: Request) -> GeoJSON:
    """A page of items, latest first unless another order is asked for."""
    root, said = _root_of(request), _read_query(request, SEARCH_WORDS)
    here = f"{root}/search"
    return _answer_page(request, here, said, _following_query(here, said))


async def search_by_body(request: Request) -> GeoJSON:
    """A page of items, latest first unless another order is asked for."""
    root, said = _root(request), await _read_body(request)
    here = f"{root}/search"
    return await run_in_threadpool(
        _answer_page, request, here, said, lambda token: links.next_by_body(here, said, token)
    )


def aggregations(request: Request) -> Json:
    """What can be counted."""
    root = _root(request)
    return _describe_counts(f"{root}/aggregations", root)


def collection_aggregations(request: Request, collection_id: str) -> Json:
    """What can be counted of the items of a collection."""
    root = _root(request)
    _known_collection(request, collection_id)
    return _describe_counts(f"{links.collection_href(root, collection_id)}/aggregations", root)


def aggregate_by_query(request: Request) -> Json:
    """Counts over everything that a search finds."""
    root, said = _root_of(request), _read_query(request, AGGREGATE_WORDS)
    return _answer_counts(request, f"{root}/aggregate", said)


async def aggregate_by_body(request: Request) -> Json:
    """Counts over everything that a search finds."""
    root, said = _root(request), await _read_body(request)
    return await run_in_threadpool(_answer_counts, request, f"{root}/aggregate", said)


def collection_aggregate(request: Request, collection_id: str) -> Json:
    """Counts over everything that a search finds in a collection."""
    root, said = _root_of(request), _read_query(request, AGGREGATE_WORDS)
    here = f"{links.collection_href(root, collection_id)}/aggregate"
    return _answer_counts(request, here, _within(request, collection_id, said))


def _answer_page(
    request: Request, here: str, said: Mapping[str, Any], following: Callable[[str], Mapping[str, Any]]
) -> GeoJSON:
    search = parse_search(said)
    page = _store(request).find(search)
    root = _root_of(request)
    found = [links.with_item_links(one, root) for one in page.items]
    further = [following(write_token(page.next, said))] if page.next else []
    return GeoJSON(
        {
            "type": "FeatureCollection",
            "features": [search.fields.pick(one) for one in found] if search.fields else found,
            "links": [links.link("self", here, links.GEOJSON), links.link("root", f"{root}/"), *further],
            "numberMatched": page.matched,
            "numberReturned": len(page.items),
        }
    )


def _answer_counts(request: Request, here: str, said: Mapping[str, Any]) -> Json:
    refuse_unknown(said, AGGREGATE_WORDS)
    names = parse_aggregations(said.get("aggregations"))
    interval = parse_interval_name(said.get("datetime_frequency_interval"))
    filters = {word: value for word, value in said.items() if word in SEARCH_WORDS}
    counted = _store(request).aggregate(parse_search(filters), names, interval)
    own = [links.link("self", here), links.link("root", f"{_root_of(request)}/")]
    return Json({"type": "AggregationCollection", "aggregations": counted, "links": own})


def _describe_counts(here: str, root: str) -> Json:
    own = [links.link("self", here), links.link("root", f"{root}/")]
    return Json({"type": "AggregationCollection", "aggregations": describe_aggregations(), "links": own})


def _following_query(here: str, said: Mapping[str, Any]) -> Callable[[str], Mapping[str, Any]]:
    kept = query_of_words({word: value for word, value in said.items() if word != "token"})
    return lambda token: links.next_by_query(here, kept, token)


def _within(request: Request, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """The same words, of one collection, which some clients name again."""
    _known_collection(request, name)
    if said.get("collections", [name]) != [name]:
        raise BadRequest(f"collections: this address is about {name} only. Leave it out, or use /search or /aggregate.")
    return {**said, "collections": [name]}


def _read_query(request: Request, known: tuple[str, ...]) -> dict[str, Any]:
    return words_of_query(request.query_params.multi_items(), known)


async def _read_body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise AskLess(f"The body of the search is larger than {LARGEST_BODY} bytes. Simplify the geometry.")
    expected = f"an object with: {', '.join(SEARCH_WORDS)}"
    try:
        said = parse_json(bytes(content))
    except ValueError as exc:
        raise BadRequest(f"The body is not JSON ({str(exc)[:80]}). Send {expected}.") from exc
    if not isinstance(said, dict):
        raise BadRequest(f"The body is a JSON {type(said).__name__}, expected {expected}.")
    return said


def _root(request: Request) -> str:
    """The service's address as the client sees it, where nothing can be asked for: every word is refused on the way."""
    refuse_unknown(request.query_params, ())
    return _root_of(request)


def _root_of(request: Request) -> str:
    return links.resolve_root(request, request.app.state.prefix)


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _known_collection(request: Request, name: str) -> dict[str, Any]:
    known = _store(request).collections()
    if name not in known:
        raise NothingFound(known_name("collection", name, list(known)))
    return known[name]
