"""Tokens for workers: their user's, short-lived, and for little."""

import time

import aiohttp
import pytest

from earthlab.rights import load_rules
from earthlab.services.gateway.tokens import BROKER_SCOPE, LIFETIME, HubTokensApi, worker_scopes
from earthlab.testing.hub_api import Token, serve_hub_api


@pytest.fixture
def hub():
    with serve_hub_api() as hub:
        hub.tokens["own"] = Token("dask-gateway", "service", ("read:users:groups", "tokens"))
        hub.members["ana"] = ("dinamis-science", "staff")
        yield hub


def test_rights_on_licensed_data_follow_the_groups():
    assert worker_scopes(["staff"], load_rules()) == (BROKER_SCOPE,)
    assert worker_scopes(["dinamis-private"], load_rules()) == (BROKER_SCOPE,)
    assert worker_scopes(["dinamis-public"], load_rules()) == (BROKER_SCOPE, "custom:earthlab:dinamis:read")


async def test_a_token_is_minted_for_its_user_and_ended(hub):
    api = HubTokensApi(hub.url, "own")
    async with aiohttp.ClientSession() as session:
        token, token_id = await api.mint(session, "ana", "workers")
        assert hub.tokens[token].owner == "ana"
        assert hub.tokens[token].scopes == (BROKER_SCOPE, "custom:earthlab:dinamis:read")
        assert 0 < hub.tokens[token].expires - time.time() <= LIFETIME
        await api.revoke(session, "ana", token_id)
        assert token not in hub.tokens
        await api.revoke(session, "ana", token_id)
    assert "own" not in repr(api)


async def test_a_hub_that_refuses_is_an_error_and_no_token(hub):
    hub.tokens["own"] = Token("dask-gateway", "service", ("list:users",))
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientResponseError):
            await HubTokensApi(hub.url, "own").mint(session, "ana", "workers")
