"""Seats in the hub's own book; those of a hub far away are tried where one runs, in tests/helm/test_pods.py."""

import pytest

from earthlab.errors import BadRequest, CatalogueUnavailable
from earthlab.hub.passes import PassStore
from earthlab.services.workshops.seats import hub_seats
from earthlab.services.workshops.web import SeatBook
from earthlab.testing.clocks import Clock
from earthlab.testing.hub_api import Token, serve_hub_api
from tests.services.workshops.seat_contract import SeatsContract


class TestSeatsOfThisMachine(SeatsContract):
    @pytest.fixture
    def seats(self, tmp_path):
        return PassStore(tmp_path / "passes.sqlite")

    @pytest.fixture
    def shared(self, seats):
        return seats


def test_a_hub_that_is_away_or_refuses_is_told_from_one_that_has_no_such_seats():
    away = hub_seats("http://127.0.0.1:9/hub/api", "jeton")
    with pytest.raises(CatalogueUnavailable, match="cannot be asked"):
        away.seats("neige")
    assert "jeton" not in repr(away)
    with serve_hub_api() as hub:
        hub.tokens["jeton"] = Token("workshops", "service", ())
        with pytest.raises(CatalogueUnavailable, match="keeps no seats"):
            hub_seats(hub.url, "jeton").revoke("neige", 1)


class _Seats:
    """Answers as it is told to."""

    def __init__(self):
        self.found = []

    def seats(self, _slug):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_a_class_goes_on_while_the_hub_starts_again():
    seats, clock = _Seats(), Clock()
    book = SeatBook(seats, clock)
    seats.found = CatalogueUnavailable("away")
    with pytest.raises(CatalogueUnavailable):
        book.seats("neige")
    known = [type("Seat", (), {"number": 1, "name": "Ada"})()]
    seats.found = known
    assert book.names("neige") == {1: "Ada"}
    for found in (CatalogueUnavailable("away"), known, CatalogueUnavailable("away")):
        seats.found = found
        clock.now += 60
        assert book.names("neige") == {1: "Ada"}
    seats.found = []
    clock.now += 60
    assert book.names("neige") == {}
    seats.found = BadRequest("a fault of ours")
    clock.now += 60
    with pytest.raises(BadRequest):
        book.seats("neige")
