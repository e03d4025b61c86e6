"""The services' answers in place of what was asked: a status for each refusal."""

import pytest

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
from earthlab.services.refusals import status_of


class Closer(NotAllowed):
    pass


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (BadRequest, 400),
        (NotAllowed, 403),
        (Closer, 403),
        (NothingFound, 404),
        (AskLess, 413),
        (CatalogueUnavailable, 503),
        (ComputeUnavailable, 503),
    ],
)
def test_a_refusal_has_the_status_of_what_the_caller_can_do_about_it(kind, status):
    assert status_of(kind("why")) == status


@pytest.mark.parametrize("kind", [ReadFault, SetupError, EarthlabError, ValueError])
def test_what_the_caller_can_do_nothing_about_is_our_failure(kind):
    assert status_of(kind("why")) == 500
