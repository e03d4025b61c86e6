"""How the service says no: ``{code, message, remedy}``, in the language of who asks."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from earthlab.errors import (
    AskLess,
    BadRequest,
    CatalogueUnavailable,
    ComputeUnavailable,
    EarthlabError,
    NotAllowed,
    NothingFound,
    ReadFault,
    SetupError,
    StoreUnavailable,
)
from earthlab.services.refusals import status_of
from earthlab.services.tiles.links import TooManyGuesses

_OURS: Mapping[type[EarthlabError], int] = {TooManyGuesses: 429, ReadFault: 502, StoreUnavailable: 503, SetupError: 503}
"""The status of what other services do not raise."""

_WAIT = {"fr": "Réessayez dans une minute.", "en": "Try again in a minute."}
_REMEDIES: Mapping[type[EarthlabError], Mapping[str, str]] = {
    BadRequest: {"fr": "Changez la demande.", "en": "Change the request."},
    NotAllowed: {"fr": "Demandez l’accès, comme l’indique le message.", "en": "Ask for access, as the message says."},
    NothingFound: {"fr": "Vérifiez l’adresse, ou recopiez-la.", "en": "Check the address, or copy it anew."},
    AskLess: {"fr": "Zoomez, ou demandez moins.", "en": "Zoom in, or ask for less."},
    ReadFault: {"fr": "Reconstruisez le cube.", "en": "Build the cube again."},
    StoreUnavailable: _WAIT,
    SetupError: {"fr": "Prévenez l’équipe du labo.", "en": "Tell the lab's team."},
    CatalogueUnavailable: _WAIT,
    ComputeUnavailable: _WAIT,
    TooManyGuesses: _WAIT,
}
_FAULT = {
    "message": {"fr": "Une erreur du labo lui-même ; son journal en dit la cause.", "en": "A fault of the lab's own."},
    "remedy": {"fr": "Prévenez l’équipe du labo, avec l’heure.", "en": "Tell the lab's team, with the time of day."},
}


async def answer_refusal(request: Request, exc: Exception) -> JSONResponse:
    """The answer in place of which a refusal was raised."""
    kind = next((kind for kind in _REMEDIES if isinstance(exc, kind)), BadRequest)
    status = _OURS.get(kind) or status_of(exc)
    return _answer(status, kind.__name__, str(exc), _REMEDIES[kind][_language(request)])


async def answer_http(request: Request, exc: Exception) -> JSONResponse:
    """The answer of an address that there is not, or a method that it has not."""
    assert isinstance(exc, HTTPException)
    remedy = _REMEDIES[NothingFound][_language(request)]
    return _answer(exc.status_code, "Refused", f"{exc.detail}.", remedy)


async def answer_failure(request: Request, _: Exception) -> JSONResponse:
    """The answer where we failed: of the cause nothing is told."""
    language = _language(request)
    return _answer(500, "Fault", _FAULT["message"][language], _FAULT["remedy"][language])


def _answer(status: int, code: str, message: str, remedy: str) -> JSONResponse:
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "60"} if status in {429, 503} else {})
    return JSONResponse({"code": code, "message": message[:4000], "remedy": remedy}, status, headers)


def _language(request: Request) -> str:
    return "en" if request.headers.get("accept-language", "").lower().startswith("en") else "fr"
