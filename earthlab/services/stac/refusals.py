"""How refusals become answers: a status, a code, and a sentence that says what to do."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from earthlab.errors import EarthlabError
from earthlab.services.refusals import status_of

_PLACES = (
    "/, /conformance, /api, /queryables, /aggregations, /aggregate, /collections, /collections/{id}, "
    "/collections/{id}/items, /collections/{id}/queryables, /search"
)


async def _answer_refusal(_: Request, exc: Exception) -> JSONResponse:
    return _error(status_of(exc), type(exc).__name__, str(exc))


async def _answer_http(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, HTTPException)
    said = {
        404: f"There is nothing at this address. Known: {_PLACES}, each under {request.app.state.prefix or '/'}.",
        405: f"{request.method} is not implemented here. Use GET; a search may also be a POST.",
    }.get(exc.status_code, str(exc.detail))
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(exc.status_code, "Refused")
    return _error(exc.status_code, code, said, exc.headers)


async def _answer_invalid(_: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)
    named = ", ".join(sorted({str(error["loc"][-1]) for error in exc.errors()}))
    return _error(400, "BadRequest", f"Not understood: {named}. See /api for what is known.")


async def _answer_failure(_: Request, __: Exception) -> JSONResponse:
    return _error(
        500, "Failure", "The catalogue failed to answer; its log has the cause. Try again, or tell the operator."
    )


def _error(status: int, code: str, description: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"code": code, "description": description}, status, headers)


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[JSONResponse]]] = {
    EarthlabError: _answer_refusal,
    HTTPException: _answer_http,
    RequestValidationError: _answer_invalid,
    Exception: _answer_failure,
}
"""Who answers in place of an error; the causes of our own failures stay in the log."""
