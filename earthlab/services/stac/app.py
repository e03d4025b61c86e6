"""The STAC API 1.0 of the embedded catalogue: core, collections, features and item search."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from anyio import to_thread
from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from earthlab.errors import AskLess, BadRequest, CatalogueUnavailable, EarthlabError, NothingFound
from earthlab.services.stac import links
from earthlab.services.stac.cubes import Catalogue
from earthlab.services.stac.doors import Authenticate, Door
from earthlab.services.stac.search import (
    WORDS,
    Search,
    known_name,
    parse_json,
    parse_search,
    query_of_words,
    refuse_unknown,
    words_of_query,
    write_token,
)
from earthlab.services.stac.store import Page

CONFORMANCE = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
)
ITEM_WORDS = ("bbox", "collections", "datetime", "limit", "token")
LARGEST_BODY = 2_000_000
SEARCHES_AT_ONCE = 3


class GeoJSON(JSONResponse):
    """An answer of items."""

    media_type = links.GEOJSON


class OpenAPI(JSONResponse):
    """An answer that describes the service itself."""

    media_type = links.OPENAPI


def create_app(store: Catalogue, authenticate: Authenticate, *, prefix: str = "") -> FastAPI:
    """The service as an ASGI application.

    Parameters
    ----------
    store : Catalogue
        The catalogue to serve.
    authenticate : callable
        Says whose token a request carries; without a known token no route answers.
    prefix : str
        The path under which the proxy hands requests on, as ``/services/stac``.
    """
    app = FastAPI(
        title="EarthLab STAC API",
        version="1.0.0",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_few_threads,
    )
    app.state.store, app.state.prefix = store, prefix.rstrip("/")
    for method, path, answer, response in _ROUTES:
        extra = _BODY if method == "POST" else None
        app.add_api_route(
            app.state.prefix + path, answer, methods=[method], response_class=response, openapi_extra=extra
        )
    if app.state.prefix:
        app.add_api_route(app.state.prefix, landing, methods=["GET"], include_in_schema=False)
    app.add_middleware(Door, authenticate=authenticate)
    app.add_exception_handler(EarthlabError, _answer_refusal)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_failure)
    return app


@asynccontextmanager
async def _few_threads(_: FastAPI) -> AsyncIterator[None]:
    # Each thread that searches keeps its own heap: more of them cost memory and answer no sooner.
    to_thread.current_default_thread_limiter().total_tokens = SEARCHES_AT_ONCE
    yield


_BBox = Annotated[str | None, Query(description="west,south,east,north in degrees, or six numbers with heights")]
_DateTime = Annotated[
    str | None, Query(alias="datetime", description="RFC 3339 instant or interval, .. for an open side")
]
_Limit = Annotated[str | None, Query(description="items on a page, 1 to 10000; 10 by default")]
_Token = Annotated[str | None, Query(description="a page, as the next link gives it")]
_Names = Annotated[str | None, Query(description="names with commas between them")]
_Same = Annotated[str | None, Query(description="this collection or nothing, as some clients send it")]
_Shape = Annotated[str | None, Query(description="a GeoJSON geometry")]


def landing(request: Request) -> dict[str, Any]:
    """Who this is, what it conforms to, and where all else is."""
    root = _root(request)
    known = _store(request).collections()
    children = [
        links.link("child", links.collection_href(root, name), title=doc["title"]) for name, doc in known.items()
    ]
    return {
        "type": "Catalog",
        "id": "earthlab",
        "stac_version": "1.1.0",
        "title": "EarthLab – catalogue embarqué / embedded catalogue",
        "description": "Données réelles et archive simulée, jamais confondues. / "
        "Real data and a simulated archive, never confused.",
        "conformsTo": list(CONFORMANCE),
        "links": [*links.landing_links(root), *children],
    }


def conformance(request: Request) -> dict[str, Any]:
    """The conformance classes."""
    _root(request)
    return {"conformsTo": list(CONFORMANCE)}


def api(request: Request) -> OpenAPI:
    """The service in OpenAPI."""
    _root(request)
    return OpenAPI(request.app.openapi())


def collections(request: Request) -> dict[str, Any]:
    """Every collection's document."""
    root = _root(request)
    documents = [links.with_collection_links(doc, root) for doc in _store(request).collections().values()]
    return {
        "collections": documents,
        "links": [links.link("self", f"{root}/collections"), links.link("root", f"{root}/")],
        "numberMatched": len(documents),
        "numberReturned": len(documents),
    }


def collection(request: Request, collection_id: str) -> dict[str, Any]:
    """A collection's document."""
    root = _root(request)
    return links.with_collection_links(_known_collection(request, collection_id), root)


def items(
    request: Request,
    collection_id: str,
    bbox: _BBox = None,  # noqa: ARG001 - declared for the description; read by `words_of_query`
    collections: _Same = None,  # noqa: ARG001
    when: _DateTime = None,  # noqa: ARG001
    limit: _Limit = None,  # noqa: ARG001
    token: _Token = None,  # noqa: ARG001
) -> GeoJSON:
    """A page of items, latest first."""
    root = _root(request, ITEM_WORDS)
    _known_collection(request, collection_id)
    said = words_of_query(request.query_params.multi_items())
    if said.get("collections", [collection_id]) != [collection_id]:
        raise BadRequest(
            f"collections: this address has the items of {collection_id} only. Leave it out, or use /search."
        )
    whole = {**said, "collections": [collection_id]}
    page = _store(request).find(parse_search(whole))
    here = f"{links.collection_href(root, collection_id)}/items"
    following = links.next_by_query(here, _kept(said), write_token(page.next, whole)) if page.next else None
    return GeoJSON(_feature_collection(page, root, here, following))


def item(request: Request, collection_id: str, item_id: str) -> GeoJSON:
    """An item."""
    root = _root(request)
    _known_collection(request, collection_id)
    page = _store(request).find(Search(collections=(collection_id,), ids=(item_id,)))
    if not page.items:
        raise NothingFound(f"There is no item {item_id[:80]!r} in {collection_id}. Search for what there is.")
    return GeoJSON(links.with_item_links(page.items[0], root))


def search_by_query(
    request: Request,
    bbox: _BBox = None,  # noqa: ARG001 - declared for the description; read by `words_of_query`
    intersects: _Shape = None,  # noqa: ARG001
    when: _DateTime = None,  # noqa: ARG001
    ids: _Names = None,  # noqa: ARG001
    collections: _Names = None,  # noqa: ARG001
    limit: _Limit = None,  # noqa: ARG001
    token: _Token = None,  # noqa: ARG001
) -> GeoJSON:
    """A page of items, latest first."""
    root = _root(request, WORDS)
    said = words_of_query(request.query_params.multi_items())
    page = _store(request).find(parse_search(said))
    here = f"{root}/search"
    following = links.next_by_query(here, _kept(said), write_token(page.next, said)) if page.next else None
    return GeoJSON(_feature_collection(page, root, here, following))


async def search_by_body(request: Request) -> GeoJSON:
    """A page of items, latest first."""
    root = _root(request)
    said = _parse_body(await _read_body(request))
    return await run_in_threadpool(_search_by_body, _store(request), root, said)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
                "collections": {"type": "array", "items": {"type": "string"}},
                "datetime": {"type": "string"},
                "ids": {"type": "array", "items": {"type": "string"}},
                "intersects": {"type": "object", "description": "a GeoJSON geometry"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 10000},
                "token": {"type": "string"},
            },
        }}},
    },
}  # fmt: skip
_ROUTES: tuple[tuple[str, str, Callable[..., Any], type[JSONResponse]], ...] = (
    ("GET", "/", landing, JSONResponse),
    ("GET", "/conformance", conformance, JSONResponse),
    ("GET", "/api", api, OpenAPI),
    ("GET", "/collections", collections, JSONResponse),
    ("GET", "/collections/{collection_id}", collection, JSONResponse),
    ("GET", "/collections/{collection_id}/items", items, GeoJSON),
    ("GET", "/collections/{collection_id}/items/{item_id}", item, GeoJSON),
    ("GET", "/search", search_by_query, GeoJSON),
    ("POST", "/search", search_by_body, GeoJSON),
)


def _search_by_body(store: Catalogue, root: str, said: Mapping[str, Any]) -> GeoJSON:
    page = store.find(parse_search(said))
    here = f"{root}/search"
    following = links.next_by_body(here, said, write_token(page.next, said)) if page.next else None
    return GeoJSON(_feature_collection(page, root, here, following))


def _feature_collection(page: Page, root: str, here: str, following: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "type": "FeatureCollection",
        "features": [links.with_item_links(found, root) for found in page.items],
        "links": [
            links.link("self", here, links.GEOJSON),
            links.link("root", f"{root}/"),
            *([following] if following else []),
        ],
        "numberMatched": page.matched,
        "numberReturned": len(page.items),
    }


async def _read_body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_BODY:
            raise AskLess(f"The body of the search is larger than {LARGEST_BODY} bytes. Simplify the geometry.")
    return bytes(content)


def _parse_body(content: bytes) -> dict[str, Any]:
    try:
        said = parse_json(content)
    except ValueError as exc:
        raise BadRequest(f"The body is not JSON ({str(exc)[:80]}). Send an object with: {', '.join(WORDS)}.") from exc
    if not isinstance(said, dict):
        raise BadRequest(f"The body is a JSON {type(said).__name__}, expected an object with: {', '.join(WORDS)}.")
    return said


def _root(request: Request, known: tuple[str, ...] = ()) -> str:
    """The service's address as the client sees it; refuses unknown words in the query on the way."""
    refuse_unknown(request.query_params, known)
    return links.resolve_root(request, request.app.state.prefix)


def _store(request: Request) -> Catalogue:
    store: Catalogue = request.app.state.store
    return store


def _known_collection(request: Request, name: str) -> dict[str, Any]:
    known = _store(request).collections()
    if name not in known:
        raise NothingFound(known_name("collection", name, list(known)))
    return known[name]


def _kept(said: Mapping[str, Any]) -> dict[str, str]:
    return query_of_words({word: value for word, value in said.items() if word != "token"})


_STATUS: tuple[tuple[type[EarthlabError], int], ...] = (
    (BadRequest, 400),
    (NothingFound, 404),
    (AskLess, 413),
    (CatalogueUnavailable, 503),
)


async def _answer_refusal(_: Request, exc: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUS if isinstance(exc, kind)), 500)
    return _error(status, type(exc).__name__, str(exc))


async def _answer_http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    known = "/, /conformance, /api, /collections, /collections/{id}, /collections/{id}/items, /search"
    said = {
        404: f"There is nothing at this address. Known: {known}, each under {request.app.state.prefix or '/'}.",
        405: f"{request.method} is not implemented here. Use GET; a search may also be a POST.",
    }.get(exc.status_code, str(exc.detail))
    return _error(exc.status_code, {404: "NotFound", 405: "MethodNotAllowed"}.get(exc.status_code, "Refused"), said)


async def _answer_invalid(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    named = ", ".join(sorted({str(error["loc"][-1]) for error in exc.errors()}))
    return _error(400, "BadRequest", f"Not understood: {named}. Known parameters: {', '.join(WORDS)}.")


async def _answer_failure(_: Request, __: Exception) -> JSONResponse:
    return _error(
        500, "Failure", "The catalogue failed to answer; its log has the cause. Try again, or tell the operator."
    )


def _error(status: int, code: str, description: str) -> JSONResponse:
    return JSONResponse({"code": code, "description": description}, status)
