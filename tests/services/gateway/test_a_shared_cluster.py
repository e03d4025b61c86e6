"""A cluster that a workshop shares, on a real gateway: who computes there, who may not, and how long it stands."""

import json
import os
import re
import signal
import time
from pathlib import Path

import dask.array as da
import pytest

from earthlab.compute import cluster as start
from earthlab.compute import progress
from earthlab.errors import BadRequest, ComputeUnavailable, FallbackWarning, NotAllowed
from earthlab.hub.accounts import account_name
from earthlab.services.gateway.shared import ROUTE, owner_of
from earthlab.testing.hub_api import Token
from tests.services.gateway.conftest import eventually, run_gateway

pytestmark = pytest.mark.lab
AS_ROOT = os.getuid() == 0

ADA, BEA, OTHER = "atelier-neige-001", "atelier-neige-002", "atelier-givre-001"
SERVICE = "token-of-the-workshops"


@pytest.fixture(scope="module")
def lab(template):
    with run_gateway(template) as found:
        found.hub.tokens |= {name: Token(name) for name in (ADA, BEA, OTHER)}
        found.hub.tokens[SERVICE] = Token("workshops", "service")
        found.hub.active |= {ADA, BEA, OTHER}
        yield found


def wish(lab, *wishes, token=SERVICE):
    rows = [{"slug": slug, "workers": workers, "people": people} for slug, workers, people in wishes]
    return lab.call("PUT", ROUTE, token=token, body=json.dumps({"clusters": rows}))


def keep_neige(lab, people=(ADA, BEA, "carol")):
    return wish(lab, ("neige", 2, list(people)))


@pytest.fixture
def name(lab):
    """The name of a workshop's cluster that stands, the same for test after test."""
    assert keep_neige(lab)[0] == 200
    eventually(lambda: json.loads(keep_neige(lab)[1]) == {"neige": 2})
    eventually(lambda: len(lab.workers()) == 2)
    return eventually(lambda: offered(lab, ADA)["atelier-neige"])


def offered(lab, user):
    return json.loads(lab.call("GET", "/api/v1/earthlab", token=user)[1])["shared"]


def clusters_of(lab, user):
    return set(json.loads(lab.call("GET", "/api/v1/clusters/", token=user)[1]))


@pytest.fixture
def join(lab, monkeypatch):
    """A function that has a user of the hub call ``el.cluster``, in this process."""
    opened = []

    def as_user(user, *arguments, **options):
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", user)
        opened.append(start(*arguments, settings=lab.settings, **options))
        return opened[-1]

    yield as_user
    for one in opened:
        one.close()


def test_two_people_compute_on_one_cluster_that_belongs_to_neither(lab, name, join, capsys):
    ada, bea = join(ADA), join(BEA)
    assert (ada.name, bea.name) == (name, name)
    assert ada.client.submit(sum, [1, 2]).result() == 3
    assert bea.client.submit(sum, [3, 4]).result() == 7
    assert bea.client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.clients)) >= 2
    # Of the two workers one may still be on its way when somebody joins.
    said = r"\(atelier-neige\) : [12] workers?, visible de tous ceux qui la partagent"
    assert len(re.findall(said, capsys.readouterr().err)) == 2
    assert "atelier-neige" in repr(ada)
    assert "seen by all who share it" in repr(ada)
    progress(da.ones(10, chunks=5), delay=0.0)
    assert "grappe de l’atelier" in capsys.readouterr().err

    uid, home, token = ada.client.submit(
        lambda: (os.getuid(), os.environ["HOME"], Path(os.environ["EARTHLAB_HUB_TOKEN_FILE"]).exists())
    ).result()
    assert home.endswith(account_name(owner_of("neige"), lab.layout.lab_id))
    assert (uid != 0) is AS_ROOT or uid == os.getuid()
    assert not token
    assert [account_name(owner_of("neige"), lab.layout.lab_id) in group for group in lab.groups()] in ([True], [])
    assert not [found for found in lab.hub.tokens.values() if found.owner == owner_of("neige")]

    ada.close()
    assert "left" in repr(ada)
    assert bea.client.submit(sum, [5, 6]).result() == 11


def test_who_shares_a_cluster_can_neither_scale_nor_stop_it(lab, name, join):
    found = join(ADA)
    for change in (lambda: found.scale(1), lambda: found.adapt(0, 1), found.stop):
        with pytest.raises(NotAllowed, match=r"el\.cluster\(shared=False\)"):
            change()
    path = f"/api/v1/clusters/{name}"
    assert lab.call("GET", path, token=ADA)[0] == 200
    for user in (ADA, "carol"):
        assert lab.call("POST", f"{path}/scale", token=user, body='{"count": 0}')[0] == 403
        assert lab.call("POST", f"{path}/adapt", token=user, body='{"maximum": 0}')[0] == 403
        assert lab.call("DELETE", path, token=user)[0] == 403
    assert join(ADA, name[:6]).shared == "atelier-neige"
    assert found.client.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize("user", [OTHER, "alice"])
def test_nobody_else_sees_it_or_gets_its_certificate(lab, name, join, user):
    path = f"/api/v1/clusters/{name}"
    assert offered(lab, user) == {}
    assert clusters_of(lab, user) == set()
    for method, where in (("GET", ""), ("DELETE", ""), ("POST", "/scale"), ("POST", "/adapt")):
        status, text = lab.call(method, path + where, token=user, body='{"count": 0}')
        assert status == 403
        assert "BEGIN" not in text
    with pytest.raises(ComputeUnavailable, match="You share no cluster"):
        join(user, shared=True)
    with pytest.raises(BadRequest):
        join(user, name)
    with pytest.raises(BadRequest):
        join(user, "atelier-neige")


def test_who_is_no_longer_named_is_out_at_the_next_request_whatever_cookie_they_bring(lab, name):
    assert clusters_of(lab, BEA) == {name}
    assert keep_neige(lab, [ADA])[0] == 200
    assert clusters_of(lab, BEA) == set()
    assert lab.call("GET", f"/api/v1/clusters/{name}", token=BEA)[0] == 403
    assert clusters_of(lab, ADA) == {name}
    del lab.hub.tokens[ADA]
    assert lab.call("GET", f"/api/v1/clusters/{name}", token=ADA)[0] == 401
    lab.hub.tokens[ADA] = Token(ADA)


def test_only_the_workshops_service_says_what_is_shared(lab, name):
    for user, status in ((ADA, 403), ("alice", 403), ("stac-service", 401), (None, 401)):
        assert wish(lab, ("neige", 2, [user or ""]), token=user)[0] == status
        assert lab.call("DELETE", f"{ROUTE}/neige", token=user)[0] == status
    # And it may do nothing else.
    for method, path in (("GET", "/clusters/"), ("POST", "/clusters/"), ("GET", f"/clusters/{name}")):
        assert lab.call(method, f"/api/v1{path}", token=SERVICE, body="{}")[0] == 401
    assert wish(lab, ("neige", 0, []))[0] == 422
    assert lab.call("PUT", ROUTE, token=SERVICE, body="no json")[0] == 422
    assert offered(lab, ADA) == {"atelier-neige": name}


def test_one_of_ones_own_is_still_to_be_had_within_the_caps(lab, name, join):
    own = join(ADA, shared=False, workers=1)
    assert own.name != name
    assert clusters_of(lab, ADA) == {name, own.name}
    own.scale(2)
    with pytest.raises(ComputeUnavailable, match="limit is 4"):
        own.scale(5)
    own.stop()
    other = join(BEA, workers=1)
    assert other.shared == ""
    other.stop()


def test_one_that_dies_comes_back(lab, name, join):
    os.kill(*lab.schedulers(), signal.SIGKILL)
    eventually(lambda: offered(lab, ADA)["atelier-neige"] not in {"", name})
    assert join(ADA).client.submit(sum, [1, 2]).result() == 3


def test_a_wish_of_a_scheduler_that_was_taken_over_does_not_last(lab, name, join):
    found = join(ADA)
    found.client.run_on_scheduler(_scale_by_itself, count=5)
    time.sleep(2)
    assert len(lab.workers()) == 2
    found.client.run_on_scheduler(_scale_by_itself, count=0)
    assert found.client.submit(sum, [1, 2]).result(timeout=120) == 3


async def _scale_by_itself(dask_scheduler, count):
    plugin = next(each for each in dask_scheduler.plugins.values() if type(each).__name__ == "GatewayPlugin")
    await plugin.service.scale(count)


def test_a_renewed_cluster_has_other_keys(lab, name):
    before = json.loads(lab.call("GET", f"/api/v1/clusters/{name}", token=ADA)[1])["tls_cert"]
    assert lab.call("DELETE", f"{ROUTE}/neige", token=SERVICE)[0] == 204
    after = eventually(lambda: (found := offered(lab, ADA)["atelier-neige"]) != name and found)
    assert json.loads(lab.call("GET", f"/api/v1/clusters/{after}", token=ADA)[1])["tls_cert"] != before
    assert lab.call("DELETE", f"{ROUTE}/givre", token=SERVICE)[0] == 204
    assert offered(lab, ADA) == {"atelier-neige": after}


def test_where_it_does_not_stand_ones_own_does_and_says_so(lab, name, join):
    lab.call("DELETE", f"{ROUTE}/neige", token=SERVICE)
    assert offered(lab, ADA) == {"atelier-neige": ""}
    with pytest.warns(FallbackWarning, match="one of your own"):
        own = join(ADA)
    assert own.shared == ""
    own.stop()
    lab.call("DELETE", f"{ROUTE}/neige", token=SERVICE)
    with pytest.raises(ComputeUnavailable, match="Try again in a minute"):
        join(ADA, shared=True)


def test_what_is_wished_no_longer_is_gone(lab, name):
    assert wish(lab)[0] == 200
    eventually(lambda: not lab.marked())
    assert offered(lab, ADA) == {}
    assert clusters_of(lab, ADA) == set()


def test_who_shares_two_clusters_names_one(lab, join):
    wish(lab, ("neige", 1, ["carol"]), ("givre", 1, ["carol"]))
    try:
        with pytest.raises(BadRequest, match=r'el\.cluster\("atelier-givre"\)'):
            join("carol")
        eventually(lambda: all(offered(lab, "carol").values()))
        assert join("carol", "atelier-givre").shared == "atelier-givre"
    finally:
        wish(lab)
        eventually(lambda: not lab.marked())


def test_it_counts_among_the_workers_of_the_machine_and_stands_without_clients(template, monkeypatch):
    words = {"TOTAL_WORKERS": "2", "LEASE": "2", "IDLE_TIMEOUT": "3"}
    with run_gateway(template, **{f"EARTHLAB__COMPUTE__{name}": value for name, value in words.items()}) as lab:
        lab.hub.tokens |= {ADA: Token(ADA), SERVICE: Token("workshops", "service")}
        wish(lab, ("neige", 2, [ADA]))
        eventually(lambda: wish(lab, ("neige", 2, [ADA]))[1] == '{"neige": 2}')
        name = eventually(lambda: offered(lab, ADA)["atelier-neige"])
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")
        with pytest.warns(FallbackWarning, match="no room for another worker"):
            start(settings=lab.settings).close()
        # It is not wished for more than there is room for: what there is serves.
        wish(lab, ("neige", 5, [ADA]))
        # Longer than the lease of a cluster of one's own, and than it may be idle.
        time.sleep(6)
        assert len(lab.workers()) == 2
        assert offered(lab, ADA) == {"atelier-neige": name}
