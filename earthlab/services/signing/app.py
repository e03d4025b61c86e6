"""The broker's doors: sign addresses, tell somebody's rights, and take their keys in."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from earthlab.errors import AskLess, BadRequest, EarthlabError, NothingFound
from earthlab.rights import Person, Rule, Verdict
from earthlab.services.bodies import read_object
from earthlab.services.doors import Authenticate, Caller, Door
from earthlab.services.refusals import status_of
from earthlab.services.signing.desk import LONGEST_LIFE, MOST_URLS, Desk

Persons = Callable[[Caller], Awaitable[Person]]
"""What the hub says of a caller: groups with their properties."""


def create_app(desk: Desk, authenticate: Authenticate, persons: Persons, *, prefix: str = "") -> Starlette:
    """The service as an ASGI application.

    Parameters
    ----------
    desk : Desk
        What signs.
    authenticate : callable
        Says whose token a request carries; without a known token no route answers.
    persons : callable
        Says what the hub knows of that person.
    prefix : str
        The path under which the proxy hands requests on, as ``/services/signing``.
    """
    at = prefix.rstrip("/")
    app = Starlette(
        routes=[
            Route(f"{at}/sign_urls", sign_urls, methods=["POST"]),
            Route(f"{at}/rights", rights, methods=["GET"]),
            Route(f"{at}/keys", keys, methods=["GET"]),
            Route(f"{at}/keys/{{provider}}", put_key, methods=["PUT"]),
            Route(f"{at}/keys/{{provider}}", remove_key, methods=["DELETE"]),
        ],
        middleware=[Middleware(Door, authenticate=authenticate)],
        exception_handlers={EarthlabError: _answer_refusal, HTTPException: _answer_http, Exception: _answer_failure},
    )
    app.state.desk, app.state.persons = desk, persons
    return app


async def sign_urls(request: Request) -> JSONResponse:
    """Signed addresses for unsigned ones: all of those asked for, or none."""
    said = await _read_object(request, {"urls"})
    urls = said.get("urls")
    if not isinstance(urls, list) or not urls or not all(isinstance(url, str) for url in urls):
        raise BadRequest('urls: expected a list of addresses: {"urls": ["https://…"]}.')
    if len(urls) > MOST_URLS:
        raise AskLess(f"urls: found {len(urls)} addresses, at most {MOST_URLS} are signed at once. Ask several times.")
    person = await request.app.state.persons(request.state.caller)
    signed = await to_thread.run_sync(_desk(request).sign, person, urls)
    latest = datetime.now(UTC).timestamp() + LONGEST_LIFE
    ends = min([latest, *(one.expires for one in signed.values())])
    expiry = datetime.fromtimestamp(ends, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return _private({"hrefs": {url: one.href for url, one in signed.items()}, "expiry": expiry})


async def rights(request: Request) -> JSONResponse:
    """What the caller may read of all that is guarded, and why not."""
    _refuse_query(request)
    person = await request.app.state.persons(request.state.caller)
    return _private({"user": person.name, "rights": [_told(*found) for found in _desk(request).verdicts(person)]})


async def keys(request: Request) -> JSONResponse:
    """At which providers the caller has a key here; never the keys."""
    _refuse_query(request)
    desk, name = _desk(request), request.state.caller.name
    known = [provider.id for provider in desk.providers if not provider.header and not provider.keyless]
    return _private({"known": known, "kept": list(await to_thread.run_sync(desk.vault.providers, name, known))})


async def put_key(request: Request) -> JSONResponse:
    """Keep the caller's key at a provider."""
    said = await _read_object(request, {"key"})
    desk, name = _desk(request), request.state.caller.name
    provider = desk.find(request.path_params["provider"])
    if provider.header or provider.keyless:
        raise BadRequest(f"provider: the broker keeps no key for {provider.id}: it would never use it.")
    provider.require_key(said.get("key"))
    await to_thread.run_sync(desk.vault.put, name, provider.id, said["key"])
    desk.audit.note(user=name, action="key", provider=provider.id, rule="", outcome="kept")
    return _private({"kept": provider.id})


async def remove_key(request: Request) -> JSONResponse:
    """Forget the caller's key at a provider."""
    _refuse_query(request)
    desk, name = _desk(request), request.state.caller.name
    provider = desk.find(request.path_params["provider"])
    if not await to_thread.run_sync(desk.vault.remove, name, provider.id):
        raise NothingFound(f"provider: no key of yours is kept for {provider.id}.")
    desk.audit.note(user=name, action="key", provider=provider.id, rule="", outcome="removed")
    return _private({"removed": provider.id})


def _told(rule: Rule, verdict: Verdict) -> dict[str, Any]:
    category = verdict.category
    return {
        "id": rule.id,
        "title": rule.title,
        "allowed": verdict.allowed,
        "reason": verdict.reason,
        "how": verdict.how,
        "category": category.title if category else None,
        "orders": [
            {"product": order.product, "free_km2": order.free_km2, "beyond_eur_km2": order.beyond_eur_km2}
            for order in (category.orders if category else ())
        ],
        "source": rule.source,
    }


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def _read_object(request: Request, words: set[str]) -> Mapping[str, Any]:
    _refuse_query(request)
    return await read_object(request, sorted(words), less="Ask for fewer addresses at once.")


def _refuse_query(request: Request) -> None:
    if request.query_params:
        raise BadRequest("This address takes no parameters: nothing of a key or an address may stand in a log.")


def _private(content: Mapping[str, Any]) -> JSONResponse:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


async def _answer_refusal(_: Request, exc: Exception) -> JSONResponse:
    return _error(status_of(exc), type(exc).__name__, str(exc))


async def _answer_http(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    known = "POST /sign_urls, GET /rights, GET /keys, PUT and DELETE /keys/{provider}"
    return _error(exc.status_code, "Refused", f"{exc.detail}. Known: {known}.")


async def _answer_failure(_: Request, __: Exception) -> JSONResponse:
    return _error(500, "Failure", "The broker failed; its log has the cause. Try again, or tell the operator.")


def _error(status: int, code: str, description: str) -> JSONResponse:
    return JSONResponse({"code": code, "description": description}, status, headers={"Cache-Control": "no-store"})
