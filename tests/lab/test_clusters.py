"""The clusters' panel: what a real gateway and its schedulers tell, and what may be done to whose clusters."""

import json
import socket
import time

import pytest
from jsonschema import Draft202012Validator

from earthlab.compute import cluster as start_cluster
from earthlab.services.gateway.shared import ROUTE
from earthlab.testing.hub_api import Token
from earthlab_lab import clusters
from earthlab_lab.clusters import CLUSTERS, SEEN, render_seen
from tests.services.gateway.conftest import eventually, run_gateway, template  # noqa: F401 - a fixture

ADA, SERVICE = "atelier-neige-001", "token-of-the-workshops"
WORKER = {
    "id": "tls://127.0.0.1:1", "name": "w", "nthreads": 1, "memory_limit": 2**31,
    "metrics": {"memory": 2**28, "cpu": 37.49, "task_counts": {"executing": 1, "memory": 7}},
}  # fmt: skip


def seen(workers=(), tasks=None, idle_since=None, *, now=1000.0, patience=1800.0):
    known = {"workers": {str(at): each for at, each in enumerate(workers)}}
    found = render_seen(known, tasks or {}, idle_since, now=now, patience=patience)
    Draft202012Validator(SEEN).validate(found)
    return found


def test_what_workers_take_is_added_up():
    found = seen([WORKER, {**WORKER, "name": None, "metrics": {}, "memory_limit": None}])
    assert (found["count"], found["memory"], found["limit"]) == (2, 2**28, 2**31)
    assert [worker["cpu"] for worker in found["workers"]] == [37.5, 0]
    assert [each["name"] for each in found["workers"]] == ["w", "tls://127.0.0.1:1"]
    assert [each["running"] for each in found["workers"]] == [1, 0]


def test_tasks_are_told_by_name_what_is_at_work_first():
    states = {"memory": 1, "released": 2, "processing": 0, "waiting": 0, "erred": 1}
    rows = seen(tasks={"done": states, "x" * 999: {**states, "processing": 3, "waiting": 4}})["tasks"]
    assert [(row["name"][:4], row["done"], row["running"], row["waiting"], row["failed"]) for row in rows] == [
        ("xxxx", 3, 3, 4, 1),
        ("done", 3, 0, 0, 1),
    ]


def test_of_very_many_workers_and_tasks_the_first_are_told_and_all_counted():
    found = seen([WORKER] * 500, {f"task-{at}": {"processing": 1} for at in range(500)})
    assert found["count"] == 500
    assert (len(found["workers"]), len(found["tasks"])) == (64, 24)


@pytest.mark.parametrize(
    ("idle_since", "patience", "ends_in"), [(None, 1800.0, None), (900.0, 1800.0, 1700.0), (900.0, 0.0, None)]
)
def test_a_cluster_counts_down_while_it_has_no_work(idle_since, patience, ends_in):
    assert seen(idle_since=idle_since, patience=patience)["ends_in"] == ends_in
    assert seen(idle_since=1.0, now=9999.0)["ends_in"] == 0.0


def test_without_a_gateway_the_panel_is_told_where_it_computes_instead(ask):
    refused = ask("GET", "clusters")
    assert (refused.status, refused.said["code"]) == (503, "ComputeUnavailable")
    assert "computes in the notebook's kernel" in refused.said["message"]


def test_a_server_outside_of_a_lab_has_no_token_to_ask_with(ask, monkeypatch):
    monkeypatch.setenv("EARTHLAB__COMPUTE__GATEWAY", "http://127.0.0.1:9/services/dask-gateway")
    refused = ask("POST", "clusters", {})
    assert (refused.status, refused.said["code"]) == (403, "NotAllowed")


def test_a_gateway_that_is_away_is_said_in_words_without_a_token(ask, monkeypatch):
    monkeypatch.setenv("EARTHLAB__COMPUTE__GATEWAY", "http://127.0.0.1:9/services/dask-gateway")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-secret")
    refused = ask("GET", "clusters")
    assert (refused.status, refused.said["code"]) == (503, "ComputeUnavailable")
    assert "The gateway to the clusters does not answer" in refused.said["message"]
    assert b"the-secret" not in refused.body


@pytest.mark.parametrize("name", ["", "../earthlab", "a/b", "a?b", "a b", "é", "x" * 201])
def test_a_cluster_is_named_by_a_name(ask, name):
    for path, body in (("stop", {}), ("scale", {"workers": 1}), ("adapt", {"minimum": 0, "maximum": 1})):
        assert ask("POST", f"clusters/{path}", {"name": name, **body}).status == 400


@pytest.mark.parametrize("workers", [-1, 1.5, "2", True, None, 10_001])
def test_workers_are_a_whole_number(ask, workers):
    assert ask("POST", "clusters/scale", {"name": "a", "workers": workers}).status == 400


# A real gateway


@pytest.fixture(scope="module")
def lab(template):  # noqa: F811
    with run_gateway(template, EARTHLAB__COMPUTE__MAX_WORKERS="3") as found:
        found.hub.tokens |= {ADA: Token(ADA), SERVICE: Token("workshops", "service")}
        found.hub.active |= {ADA}
        yield found


@pytest.fixture
def panel(lab, ask, monkeypatch):
    """The panel of a user of the real gateway: a function that gives what it shows."""
    monkeypatch.setenv("EARTHLAB__COMPUTE__GATEWAY", lab.settings.gateway)
    monkeypatch.setenv("EARTHLAB__COMPUTE__GATEWAY_PROXY", lab.settings.gateway_proxy)
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")

    def read():
        answer = ask("GET", "clusters")
        assert answer.status == 200, answer.said
        Draft202012Validator(CLUSTERS).validate(answer.said)
        assert b"PRIVATE KEY" not in answer.body
        return answer.said

    yield read
    for user in ("alice", "bob"):
        for name in json.loads(lab.call("GET", "/api/v1/clusters/", token=user)[1]):
            lab.call("DELETE", f"/api/v1/clusters/{name}", token=user)
    eventually(lambda: not lab.marked())


def only(shown):
    (found,) = shown["clusters"]
    return found


@pytest.mark.lab
def test_a_cluster_of_the_panel_starts_scales_adapts_and_stops(panel, ask):
    assert panel()["clusters"] == []
    name = ask("POST", "clusters", {"workers": 1}).said["name"]
    shown = panel()
    assert (only(shown)["name"], only(shown)["label"], only(shown)["shared"]) == (name, name[:8], False)
    assert abs(only(shown)["started"] - time.time()) < 60
    assert shown["max_workers"] == 3
    eventually(lambda: (only(panel())["seen"] or {"count": 0})["count"] == 1)
    found = only(panel())
    assert (found["wanted"], found["seen"]["limit"]) == (1, 2**31)
    assert found["seen"]["memory"] > 0
    assert 0 < eventually(lambda: only(panel())["seen"]["ends_in"]) <= 1800

    assert ask("POST", "clusters/scale", {"name": name, "workers": 2}).said == {}
    eventually(lambda: only(panel())["seen"]["count"] == 2)
    assert ask("POST", "clusters/adapt", {"name": name, "minimum": 0, "maximum": 1}).said == {}
    eventually(lambda: only(panel())["seen"]["count"] <= 1)
    assert ask("POST", "clusters/stop", {"name": name}).said == {}
    eventually(lambda: panel()["clusters"] == [])
    assert ask("POST", "clusters/stop", {"name": name}).said == {}


@pytest.mark.lab
def test_a_cluster_made_in_a_notebook_is_seen_with_its_tasks(panel, lab):
    with start_cluster(workers=1, settings=lab.settings) as client:
        futures = client.map(lambda x: time.sleep(0.05) or x, range(40), key="nap", pure=False)
        shown = eventually(lambda: list((only(panel())["seen"] or {"tasks": []})["tasks"]))
        assert shown[0]["name"] == "nap"
        assert sum(client.gather(futures)) == sum(range(40))
        assert eventually(lambda: only(panel())["seen"]["tasks"][0]["done"] == 40)
        clients = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.clients))
        assert clients == 2, "its own and fire-and-forget: the panel is no client, for which the cluster would stay"
    eventually(lambda: panel()["clusters"] == [])


@pytest.mark.lab
def test_more_than_one_may_have_is_refused_in_the_gateway_s_words_and_leaves_nothing(panel, ask):
    refused = ask("POST", "clusters", {"workers": 9})
    assert (refused.status, refused.said["code"]) == (503, "ComputeUnavailable")
    assert "the limit is 3 a person" in refused.said["message"]
    eventually(lambda: panel()["clusters"] == [])
    assert ask("POST", "clusters/adapt", {"name": "a", "minimum": 2, "maximum": 1}).said["code"] == "BadRequest"
    assert ask("POST", "clusters/scale", {"name": "a" * 32, "workers": 1}).said["code"] == "NothingFound"


@pytest.mark.lab
def test_a_workshop_s_cluster_is_seen_but_neither_asked_scaled_nor_stopped(panel, ask, lab, monkeypatch):
    wish = json.dumps({"clusters": [{"slug": "neige", "workers": 1, "people": [ADA]}]})
    assert lab.call("PUT", ROUTE, token=SERVICE, body=wish)[0] == 200
    assert panel()["clusters"] == []
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", ADA)
    try:
        found = eventually(lambda: [each for each in panel()["clusters"] if each["status"] == "RUNNING"])[0]
        assert (found["label"], found["shared"], found["seen"]) == ("atelier-neige", True, None)
        for path, body in (("stop", {}), ("scale", {"workers": 0}), ("adapt", {"minimum": 0, "maximum": 1})):
            refused = ask("POST", f"clusters/{path}", {"name": found["name"], **body})
            assert (refused.status, refused.said["code"]) == (403, "NotAllowed")
            assert "el.cluster(shared=False)" in refused.said["message"]
    finally:
        assert lab.call("PUT", ROUTE, token=SERVICE, body='{"clusters": []}')[0] == 200


@pytest.mark.lab
def test_a_token_that_the_hub_does_not_know_is_told_as_that(panel, ask, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "unknown-token")
    refused = ask("GET", "clusters")
    assert (refused.status, refused.said["code"]) == (403, "NotAllowed")
    assert "restart your server" in refused.said["message"]
    assert b"unknown-token" not in refused.body


def test_a_scheduler_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(clusters, "_SEE_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert clusters._ask_scheduler(f"tcp://127.0.0.1:{silent.getsockname()[1]}", {}) is None
