"""How the services say no over HTTP: the status of each refusal."""

from earthlab.errors import (
    AskLess,
    BadRequest,
    CatalogueUnavailable,
    ComputeUnavailable,
    EarthlabError,
    NotAllowed,
    NothingFound,
)

_STATUS: tuple[tuple[type[EarthlabError], int], ...] = (
    (BadRequest, 400),
    (NotAllowed, 403),
    (NothingFound, 404),
    (AskLess, 413),
    (CatalogueUnavailable, 503),
    (ComputeUnavailable, 503),
)


def status_of(exc: Exception) -> int:
    """The status of an answer in place of which this was raised; 500 for what the caller can do nothing about."""
    return next((status for kind, status in _STATUS if isinstance(exc, kind)), 500)
