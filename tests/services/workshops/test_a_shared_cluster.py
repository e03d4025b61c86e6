"""A workshop's shared cluster on a real hub with a real gateway: its people compute on it, nobody else can."""

import asyncio
import re
from contextlib import contextmanager

import httpx
import pytest

from earthlab.compute import cluster
from earthlab.errors import ComputeUnavailable
from earthlab.hub.accounts import account_name
from earthlab.hub.layout import resolve_ports
from earthlab.hub.passes import PassStore, seat_user
from earthlab.services.gateway.shared import owner_of
from earthlab.services.workshops.text import to_toml
from earthlab.settings import ComputeSettings
from earthlab.testing.workshops import workshop_now
from tests.hub.conftest import root_only
from tests.hub.small_hub import small_hub
from tests.patience import eventually_async
from tests.services.workshops.talking import HERE, server_token
from tests.services.workshops.test_on_a_hub import post, take_seat

pytestmark = [root_only, pytest.mark.lab]

SLUG = "neige"
GATEWAY = "/services/dask-gateway/api/v1"


@pytest.fixture(scope="module")
def hub():
    with small_hub(launch=0.1, kept=("workshops", "dask-gateway")) as found:
        yield found


@pytest.fixture
def computing(hub, monkeypatch):
    """A function that has a user's kernel call ``el.cluster``, in this process."""
    ports = resolve_ports(hub.settings)
    where = ComputeSettings(
        gateway=f"{hub.url}/services/dask-gateway", gateway_proxy=f"gateway://127.0.0.1:{ports.gateway_tls}"
    )

    @contextmanager
    def as_user(token, **options):
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", token)
        found = cluster(settings=where, **options)
        try:
            yield found
        finally:
            found.close()

    return as_user


async def ask(hub, token, path, method="GET"):
    async with httpx.AsyncClient(base_url=hub.url, timeout=120) as client:
        headers = {"Authorization": f"jupyterhub {token}"}
        return await client.request(method, f"{GATEWAY}/{path}", headers=headers, json={"count": 0})


async def shared_name(hub, token):
    return (await ask(hub, token, "earthlab")).json()["shared"].get(f"atelier-{SLUG}", "")


async def open_workshop(anne):
    await post(anne, "new", toml=to_toml(workshop_now(SLUG, organisers=("earthlab",), workers=1)))
    assert 'data-stage="open"' in (await post(anne, f"w/{SLUG}/open")).text
    for seat in ("1", "2"):
        reissued = await post(anne, f"w/{SLUG}/reissue", seat=seat)
        yield re.search(r'id="pass">([A-Z0-9-]+)<', reissued.text)[1]


async def test_a_workshops_people_compute_on_one_cluster_and_nobody_else_does(hub, computing):
    async with (
        hub.visitor("earthlab") as anne,
        hub.visitor("ben") as ben,
        hub.visitor("eve") as eve,
        hub.visitor("a") as ada,
        hub.visitor("b") as bob,
    ):
        for visitor in (anne, ben, eve):
            await visitor.come()
        codes = [code async for code in open_workshop(anne)]
        for visitor, code in zip((ada, bob), codes, strict=True):
            assert (await take_seat(hub, visitor, code)).status_code == 200
        tokens = {user: server_token(user) for user in (seat_user(SLUG, 1), seat_user(SLUG, 2), "ben", "eve")}
        first, second, trainer, stranger = tokens.values()

        name = await eventually_async(lambda: shared_name(hub, first))
        await two_compute(computing, first, second, name)
        assert await shared_name(hub, trainer) == name
        await nobody_changes_it(hub, (first, trainer), name)
        await strangers_are_refused(hub, computing, stranger, name)
        await who_is_revoked_is_out(hub, anne, second, name)

        assert (await post(anne, f"w/{SLUG}/close")).status_code == 200
        account = account_name(owner_of(SLUG), hub.layout.lab_id)

        async def gone():
            answer = await ask(hub, trainer, f"clusters/{name}")
            return answer.status_code == 403 and not await shared_name(hub, trainer)

        await eventually_async(gone)
        assert (hub.layout.homes / account).is_dir()
        await post(anne, f"w/{SLUG}/forget", slug=SLUG)

        async def forgotten():
            return 'data-stage="forgotten"' in (await anne.get(f"{HERE}w/{SLUG}")).text

        await eventually_async(forgotten)
        assert not (hub.layout.homes / account).exists()


async def two_compute(computing, first, second, name):
    def both():
        with computing(first) as ada, computing(second) as bob:
            assert (ada.name, bob.name) == (name, name)
            made = ada.client.submit(sum, [1, 2], pure=False)
            assert (made.result(), bob.client.submit(sum, [3, 4]).result()) == (3, 7)
            # Dask has no walls: whoever computes there finds what others do.
            assert made.key in bob.client.who_has()

    await asyncio.to_thread(both)


async def nobody_changes_it(hub, tokens, name):
    for token in tokens:
        assert (await ask(hub, token, f"clusters/{name}")).status_code == 200
        for method, path in (("DELETE", ""), ("POST", "/scale"), ("POST", "/adapt")):
            assert (await ask(hub, token, f"clusters/{name}{path}", method)).status_code == 403


async def strangers_are_refused(hub, computing, stranger, name):
    assert (await ask(hub, stranger, "clusters/")).json() == {}
    answer = await ask(hub, stranger, f"clusters/{name}")
    assert answer.status_code == 403
    assert "BEGIN" not in answer.text

    def refused():
        with pytest.raises(ComputeUnavailable, match="You share no cluster"), computing(stranger, shared=True):
            pass

    await asyncio.to_thread(refused)


async def who_is_revoked_is_out(hub, anne, token, name):
    await post(anne, f"w/{SLUG}/revoke", seat="2")
    assert PassStore(hub.layout.passes).seats(SLUG)[1].revoked

    async def refused():
        return (await ask(hub, token, f"clusters/{name}")).status_code in {401, 403}

    await eventually_async(refused)
