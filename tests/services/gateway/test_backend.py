"""Tokens of clusters that come and go while the hub is asked, and shared clusters for which there is no room."""

import asyncio
import os
import time
from dataclasses import dataclass

import aiohttp
import pytest

from earthlab.hub.accounts import Account
from earthlab.services.gateway.backend import EarthlabBackend
from earthlab.services.gateway.shared import Wish, Wishes, owner_of
from earthlab.services.gateway.workdir import open_base, resolve_workdir
from earthlab.testing.hub_api import Token, serve_hub_api
from tests.patience import eventually_async

NAME = "0123456789abcdef"


@dataclass
class Cluster:
    name: str = NAME
    username: str = "ana"
    active: bool = True

    def is_active(self):
        return self.active


@pytest.fixture
async def backend(tmp_path):
    with serve_hub_api() as hub:
        hub.tokens["own"] = Token("dask-gateway", "service", ("read:users:groups", "tokens"))
        open_base(tmp_path / "clusters")
        made = EarthlabBackend(clusters_directory=str(tmp_path / "clusters"), hub_api=hub.url, hub_token="own")
        made.hub = hub
        made.token_file = resolve_workdir(tmp_path / "clusters", NAME).token
        made._accounts[NAME] = Account("ana", os.getuid(), os.getgid(), tmp_path)
        async with aiohttp.ClientSession() as made.session:
            yield made


def workers_tokens(backend):
    return [text for text, token in backend.hub.tokens.items() if token.owner == "ana"]


async def test_a_renewed_token_takes_the_place_of_the_last_which_ends(backend):
    await backend._renew_token(Cluster())
    first = backend.token_file.read_text()
    await backend._renew_token(Cluster())
    assert workers_tokens(backend) == [backend.token_file.read_text()] != [first]


@pytest.mark.parametrize("gone", [True, False], ids=["removed", "stopping"])
async def test_a_cluster_that_ends_while_the_hub_is_asked_leaves_no_token(backend, gone):
    if gone:
        del backend._accounts[NAME]
    await backend._renew_token(Cluster(active=False))
    assert workers_tokens(backend) == []
    assert not backend.token_file.exists()


async def test_a_token_that_cannot_be_written_is_told_and_does_not_end_the_watch(backend, caplog):
    backend.token_file.with_name(f"{backend.token_file.name}.next").mkdir()
    await backend._renew_token(Cluster())
    assert "No token for the workers of 0123456789ab" in caplog.text
    assert not any(token in caplog.text for token in workers_tokens(backend))


async def test_the_watch_goes_on_whatever_becomes_of_one_cluster(backend):
    one, other = Cluster("f" * 16), Cluster()
    backend._accounts[one.name] = backend._accounts[NAME]
    backend.owners_period = 0.01
    backend.db = type("Db", (), {"active_clusters": staticmethod(lambda: [one, other])})
    backend._tokens = dict.fromkeys((one.name, NAME), ("", 0.0))
    resolve_workdir(backend._base, one.name).token.with_name(f"{one.name[:12]}.next").mkdir()
    watch = asyncio.create_task(backend._watch_tokens())
    await eventually_async(lambda: backend.token_file.exists() and workers_tokens(backend))
    await asyncio.sleep(0.1)
    assert not watch.done()
    watch.cancel()
    assert workers_tokens(backend).count(backend.token_file.read_text()) == 1


async def test_the_workers_of_a_shared_cluster_have_no_token_of_anybodys(backend):
    shared = Cluster(username=owner_of("neige"))
    await backend._renew_token(shared)
    assert not backend._is_stale(shared)
    assert list(backend.hub.tokens) == ["own"]
    assert not backend.token_file.exists()


async def test_a_shared_cluster_for_which_there_is_no_room_is_said_once_and_tried_again(backend, caplog):
    wish = Wish("neige", 2, frozenset())
    backend.db = type("Db", (), {"active_clusters": staticmethod(list)})
    backend.free_memory_of = lambda: 0
    backend.shared_period = 0.01
    backend._wishes = Wishes({wish.owner: wish}, time.time())
    watch = asyncio.create_task(backend._watch_shared())
    for _ in range(5):
        backend._shared_starts.clear()
        await eventually_async(lambda: wish.owner in backend._shared_starts)
    watch.cancel()
    assert caplog.text.count("room for 0 more") == 1
