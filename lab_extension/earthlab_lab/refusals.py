"""How the routes say no: what kind of refusal, what happened, and what one can do about it."""

from collections.abc import Mapping

from earthlab import errors
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
)

FAULT = "Fault"
"""The code of a fault of ours, of which nothing more is said than that it was one."""

_STATUS: tuple[tuple[type[EarthlabError], int], ...] = (
    (BadRequest, 400),
    (NotAllowed, 403),
    (NothingFound, 404),
    (AskLess, 413),
    (CatalogueUnavailable, 503),
    (ComputeUnavailable, 503),
    (SetupError, 503),
    (ReadFault, 502),
)

_REMEDIES: Mapping[str, tuple[str, str]] = {
    "BadRequest": ("Modifiez la demande.", "Change the request."),
    "NotAllowed": ("Demandez l’accès, comme l’indique le message.", "Ask for access, as the message says."),
    "NothingFound": ("Relâchez un filtre.", "Relax a filter."),
    "AskLess": ("Demandez moins : une période, une zone ou une bande de moins.", "Ask for less time, area or bands."),
    "CatalogueUnavailable": ("Réessayez, ou cherchez dans un autre catalogue.", "Try again, or another catalogue."),
    "ComputeUnavailable": ("Réessayez plus tard, ou arrêtez une grappe.", "Try again later, or stop a cluster."),
    "ReadFault": ("Réessayez, ou laissez cette image de côté.", "Try again, or leave this image out."),
    "StoreUnavailable": ("Réessayez dans une minute.", "Try again in a minute."),
    "SetupError": ("Prévenez l’équipe du labo.", "Tell the lab's team."),
    FAULT: ("Prévenez l’équipe du labo, avec l’heure.", "Tell the lab's team, with the time of day."),
}
_FAULT_WORDS = ("Une erreur du labo lui-même.", "A fault of the lab's own.")
_MOST = 4000


def status_of(exc: Exception) -> int:
    """The HTTP status of a refusal; 500 for all that is none of the lab's own."""
    return next((status for kind, status in _STATUS if isinstance(exc, kind)), 500)


def render_refusal(exc: BaseException | None, language: str) -> dict[str, str]:
    """A refusal for people and programs; of what is none of the lab's own nothing is told."""
    at = 0 if language == "fr" else 1
    if not isinstance(exc, EarthlabError):
        return {"code": FAULT, "message": _FAULT_WORDS[at], "remedy": _REMEDIES[FAULT][at]}
    code = next(kind.__name__ for kind in type(exc).__mro__ if kind.__name__ in _REMEDIES or kind is EarthlabError)
    remedy = _REMEDIES.get(code, _REMEDIES["BadRequest"])[at]
    return {"code": code, "message": _choose(str(exc), at)[:_MOST], "remedy": remedy}


def _choose(message: str, at: int) -> str:
    """Of a message in both languages, ``… | …``, the half in one's own."""
    halves = message.split(" | ")
    return halves[at] if len(halves) == 2 else message


def find_refusal(code: str, message: str) -> EarthlabError | None:
    """What another part of the lab has refused, as the refusal that it calls it; None for what is no name of one."""
    kind = getattr(errors, code, None)
    return kind(message) if isinstance(kind, type) and issubclass(kind, EarthlabError) else None
