"""What the door asks of the hub, and what it makes of the answers."""

from datetime import UTC, datetime

import pytest

from earthlab.errors import CatalogueUnavailable, NotAllowed
from earthlab.services.ssh.servers import Servers
from earthlab.testing.hub_api import Token, serve_hub_api
from tests.services.ssh.running_door import LONG_AGO, OWN


@pytest.fixture
def hub():
    with serve_hub_api() as found:
        found.tokens["own"] = Token("ssh", "service", OWN)
        found.created["ana"] = LONG_AGO
        yield found


@pytest.fixture
def servers(hub):
    return Servers(hub.url, "own")


async def test_a_server_that_runs_is_left_alone(hub, servers):
    hub.active.add("ana")
    hub.start = None
    await servers.start("ana", pytest.fail)


async def test_a_server_that_does_not_run_is_started_and_the_wait_is_told_when_it_changes(hub, servers):
    hub.progress = [{"message": text} for text in ("2e", "2e", "1er", "démarre")]
    told = []
    await servers.start("ana", told.append)
    assert told == ["2e", "1er", "démarre"]
    assert "ana" in hub.active


async def test_a_start_that_fails_once_is_tried_again(hub, servers):
    tries = iter([False, True])
    hub.start = lambda _: next(tries)
    await servers.start("ana", lambda _: None)


async def test_a_start_that_goes_on_failing_is_told_in_the_hubs_words(hub, servers):
    hub.start = lambda _: False
    with pytest.raises(NotAllowed, match="Spawn failed: no"):
        await servers.start("ana", lambda _: None)


async def test_somebody_whom_the_hub_does_not_know_has_no_server(servers):
    with pytest.raises(NotAllowed):
        await servers.start("nobody", lambda _: None)
    assert await servers.find_created("nobody") is None


async def test_the_hub_says_since_when_it_knows_somebody(servers):
    assert await servers.find_created("ana") == datetime(2020, 1, 1, tzinfo=UTC)


async def test_who_is_blocked_at_the_hub_is_as_one_whom_it_does_not_know(hub, servers):
    hub.blocked.add("ana")
    assert await servers.find_created("ana") is None


async def test_a_hub_that_is_away_is_said_to_be(hub, servers):
    hub.silent = True
    for asked in (servers.start("ana", lambda _: None), servers.find_created("ana")):
        with pytest.raises(CatalogueUnavailable, match="try again"):
            await asked
    with pytest.raises(CatalogueUnavailable):
        await Servers("http://127.0.0.1:9/hub/api", "own").find_created("ana")


async def test_the_hub_is_told_who_is_active(hub, servers):
    await servers.note_activity("ana")
    assert hub.noted == ["ana"]


async def test_without_the_right_nothing_is_started(hub):
    hub.tokens["other"] = Token("stac", "service", ())
    with pytest.raises(NotAllowed):
        await Servers(hub.url, "other").start("ana", lambda _: None)
    assert hub.active == set()
