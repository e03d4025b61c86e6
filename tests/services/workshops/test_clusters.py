"""The gateway is told which shared clusters are to stand and who shares them, and told again when that changes."""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from earthlab.errors import ComputeUnavailable
from earthlab.hub.passes import seat_user
from earthlab.services.gateway.shared import ROUTE, parse_wishes
from earthlab.services.workshops.clusters import SAID_AGAIN, GatewayClient, SharedClusters, plan_wishes
from earthlab.testing.clocks import Clock
from earthlab.testing.workshops import workshop_now
from tests.services.workshops.serving import make_desk, serve_site
from tests.services.workshops.talking import xsrf_of


@dataclass
class Gateway:
    """What a gateway is told, and what it answers."""

    url: str = ""
    told: list = field(default_factory=list)
    renewed: list = field(default_factory=list)
    workers: int = 2
    status: int = 200


class Handler(RequestHandler):
    def initialize(self, gateway):
        self.gateway = gateway

    def prepare(self):
        assert self.request.headers["Authorization"] == "jupyterhub token-service"
        if self.gateway.status != 200:
            self.send_error(self.gateway.status)

    def put(self, _slug):
        said = parse_wishes(json.loads(self.request.body), 0.0)
        self.gateway.told.append({wish.slug: (wish.workers, wish.people) for wish in said.by_owner.values()})
        self.finish({wish.slug: self.gateway.workers for wish in said.by_owner.values()})

    def delete(self, slug):
        self.gateway.renewed.append(slug)
        self.set_status(204)


@asynccontextmanager
async def serve_gateway():
    gateway = Gateway()
    listener, port = bind_unused_port()
    server = HTTPServer(Application([(rf"{ROUTE}/?(.*)", Handler, {"gateway": gateway})]))
    server.add_socket(listener)
    gateway.url = f"http://127.0.0.1:{port}"
    try:
        yield gateway
    finally:
        server.stop()
        await server.close_all_connections()


@pytest.fixture
async def gateway():
    async with serve_gateway() as found:
        yield found


@pytest.fixture
def desk(tmp_path):
    found = make_desk(tmp_path / "lab")
    yield found
    found.store.close()


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def clusters(desk, gateway, clock):
    return SharedClusters(desk, GatewayClient(gateway.url, "token-service"), clock)


def hold(desk, **fields):
    """A workshop whose hours these are."""
    workshop = workshop_now(**{"workers": 2, **fields})
    desk.make(workshop)
    desk.open(workshop.slug)


def people(*numbers):
    return sorted([*(seat_user("neige", number) for number in numbers), "ben"])


def test_a_cluster_is_wished_for_seats_and_trainers_in_the_hours_of_their_workshop(desk):
    hold(desk)
    hold(desk, slug="givre", workers=0)
    assert plan_wishes(desk) == [{"slug": "neige", "workers": 2, "people": people(1, 2, 3)}]


def test_a_draft_a_workshop_of_tomorrow_and_one_that_is_over_have_none(desk):
    desk.make(workshop_now(workers=2))
    assert plan_wishes(desk) == []
    desk.open("neige")
    closes = desk.store.find("neige").closes
    desk.store.clock = Clock(closes)
    assert plan_wishes(desk) == []
    desk.store.clock = Clock(workshop_now().opens.timestamp() - 60)
    assert plan_wishes(desk) == []
    desk.store.clock = Clock(closes - 60)
    assert plan_wishes(desk) != []
    desk.end("neige")
    assert plan_wishes(desk) == []


def test_who_was_revoked_is_not_named_and_who_has_a_new_pass_is(desk):
    hold(desk)
    desk.passes.revoke("neige", 2)
    assert plan_wishes(desk)[0]["people"] == people(1, 3)
    desk.passes.reissue("neige", 2)
    assert plan_wishes(desk)[0]["people"] == people(1, 2, 3)


async def test_the_gateway_is_told_at_once_what_has_changed_and_else_now_and_then(desk, gateway, clusters, clock):
    await clusters.keep()
    clock.now += SAID_AGAIN
    await clusters.keep()
    assert gateway.told == [{}]
    hold(desk)
    await clusters.keep()
    await clusters.keep()
    assert gateway.told[1:] == [{"neige": (2, frozenset(people(1, 2, 3)))}]
    desk.passes.revoke("neige", 3)
    await clusters.keep()
    assert gateway.told[2:] == [{"neige": (2, frozenset(people(1, 2)))}]
    clock.now += SAID_AGAIN
    await clusters.keep()
    assert len(gateway.told) == 4
    desk.end("neige")
    await clusters.keep()
    assert gateway.told[4:] == [{}]


async def test_while_workers_come_it_is_asked_more_often_how_many_there_are(desk, gateway, clusters, clock):
    hold(desk)
    gateway.workers = 0
    await clusters.keep()
    assert clusters.workers("neige") == 0
    gateway.workers = 2
    clock.now += 1
    await clusters.keep()
    assert clusters.workers("neige") == 2
    assert clusters.workers("givre") is None


async def test_a_gateway_that_is_away_is_told_as_soon_as_it_is_back_and_one_line_says_so(
    desk, gateway, clusters, caplog
):
    hold(desk)
    await clusters.keep()
    gateway.status = 502
    desk.passes.revoke("neige", 3)
    for _ in range(3):
        await clusters.keep()
    assert clusters.workers("neige") is None
    assert caplog.text.count("cannot be looked after") == 1
    assert "token-service" not in caplog.text
    gateway.status = 200
    await clusters.keep()
    assert gateway.told[-1] == {"neige": (2, frozenset(people(1, 2)))}


async def test_a_gateway_that_does_not_answer_is_a_refusal_without_the_token():
    client = GatewayClient("http://127.0.0.1:1", "token-service")
    assert "token-service" not in repr(client)
    with pytest.raises(ComputeUnavailable, match="does not answer") as caught:
        await client.renew("neige")
    assert "token-service" not in str(caught.value)


async def test_pages_say_what_sharing_means_and_organisers_alone_renew(tmp_path, gateway):
    async with serve_site(tmp_path / "lab") as site:
        site.service.clusters.gateway = GatewayClient(gateway.url, "token-service")
        hold(site.desk)
        await site.service.clusters.keep()
        async with (
            site.browser("anne", ["organisateurs"]) as anne,
            site.browser("ben") as ben,
            site.browser(seat_user("neige", 1)) as ada,
        ):
            page = (await anne.get("w/neige")).text
            assert "2 workers · 2 en marche" in page
            assert "can be seen and changed by all who share it" in page
            form = (await anne.get("new")).text
            assert "Dask n’a pas de cloison" in form
            assert f"takes {site.desk.most_workers} workers at most" in form
            place = (await ada.get("place")).text
            assert "el.cluster(shared=False)" in place
            for visitor, seen in ((ben, (await ben.get("")).text), (ada, place)):
                assert (await visitor.post("w/neige/renew", data={"_xsrf": xsrf_of(seen)})).status_code == 403
            assert gateway.renewed == []
            done = await anne.post("w/neige/renew", data={"_xsrf": xsrf_of(page)})
            assert done.headers["location"].endswith("/w/neige")
            assert gateway.renewed == ["neige"]
            gateway.status = 502
            assert (await anne.post("w/neige/renew", data={"_xsrf": xsrf_of(page)})).status_code == 503


async def test_a_workshop_without_a_cluster_says_nothing_of_one(tmp_path):
    async with serve_site(tmp_path / "lab") as site:
        hold(site.desk, workers=0)
        async with site.browser("anne", ["organisateurs"]) as anne, site.browser(seat_user("neige", 1)) as ada:
            assert 'id="cluster"' not in (await anne.get("w/neige")).text
            assert 'id="shared"' not in (await ada.get("place")).text
