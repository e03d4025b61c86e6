"""The STAC API 1.0 of the embedded catalogue as an application: addresses, a door, and who may call."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.middleware.cors import CORSMiddleware

from earthlab.services.doors import Authenticate, Door
from earthlab.services.stac import answers
from earthlab.services.stac.answers import GeoJSON, Json, OpenAPI, Schema
from earthlab.services.stac.description import describe_answers, describe_body, describe_parameters
from earthlab.services.stac.refusals import HANDLERS
from earthlab.services.stac.store import Store
from earthlab.services.stac.words import AGGREGATE_WORDS, ITEM_WORDS, SEARCH_WORDS

SEARCHES_AT_ONCE = 3


@dataclass(frozen=True, slots=True)
class _Route:
    path: str
    answer: Callable[..., Any]
    response: type[Response] = Json
    method: str = "GET"
    described: Mapping[str, Any] = field(default_factory=dict)


_ROUTES = (
    _Route("/", answers.landing),
    _Route("/conformance", answers.conformance),
    _Route("/api", answers.api, OpenAPI),
    _Route("/api.html", answers.api_page, HTMLResponse),
    _Route("/queryables", answers.queryables, Schema),
    _Route("/aggregations", answers.aggregations),
    _Route("/aggregate", answers.aggregate_by_query, described=describe_parameters(AGGREGATE_WORDS)),
    _Route("/aggregate", answers.aggregate_by_body, method="POST", described=describe_body(AGGREGATE_WORDS)),
    _Route("/collections", answers.collections),
    _Route("/collections/{collection_id}", answers.collection),
    _Route("/collections/{collection_id}/queryables", answers.collection_queryables, Schema),
    _Route("/collections/{collection_id}/aggregations", answers.collection_aggregations),
    _Route(
        "/collections/{collection_id}/aggregate",
        answers.collection_aggregate,
        described=describe_parameters(AGGREGATE_WORDS),
    ),
    _Route("/collections/{collection_id}/items", answers.items, GeoJSON, described=describe_parameters(ITEM_WORDS)),
    _Route("/collections/{collection_id}/items/{item_id}", answers.item, GeoJSON),
    _Route("/search", answers.search_by_query, GeoJSON, described=describe_parameters(SEARCH_WORDS)),
    _Route("/search", answers.search_by_body, GeoJSON, "POST", describe_body(SEARCH_WORDS)),
)


def create_app(store: Store, authenticate: Authenticate, *, prefix: str = "", origins: Sequence[str] = ()) -> FastAPI:
    """The service as an ASGI application.

    Parameters
    ----------
    store : Store
        The catalogue to serve.
    authenticate : callable
        Says whose token a request carries; without a known token no route answers.
    prefix : str
        The path under which the proxy hands requests on, as ``/services/stac``.
    origins : sequence of str
        The web origins whose pages may call the service with a token, as ``https://carte.example``. Their browsers'
        questions whether they may (``OPTIONS``) are answered without a token, and nothing else is.
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
    for route in _ROUTES:
        app.add_api_route(
            app.state.prefix + route.path,
            route.answer,
            methods=[route.method],
            response_class=route.response,
            responses=describe_answers(route.response.media_type or ""),
            openapi_extra=dict(route.described),
            response_model=None,
        )
    if app.state.prefix:
        app.add_api_route(app.state.prefix, answers.landing, methods=["GET"], include_in_schema=False)
    app.add_middleware(Door, authenticate=authenticate)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    for kind, answer in HANDLERS.items():
        app.add_exception_handler(kind, answer)
    return app


@asynccontextmanager
async def _few_threads(_: FastAPI) -> AsyncIterator[None]:
    # Each thread that searches keeps its own heap: more of them cost memory and answer no sooner.
    to_thread.current_default_thread_limiter().total_tokens = SEARCHES_AT_ONCE
    yield
