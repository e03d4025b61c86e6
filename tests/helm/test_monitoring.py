"""Alerts and dashboard: of figures that there are, each alert with a page that says what to do."""

import json
import re

import pytest
from jupyterhub.metrics import SERVER_SPAWN_DURATION_SECONDS, ServerSpawnStatus
from ruamel.yaml import YAML

from tests.helm.rendering import CHART, render

RULES = YAML(typ="safe").load((CHART / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((CHART / "dashboards/earthlab.json").read_text())
OURS = re.compile(r"\b(?:jupyterhub|earthlab)_[a-z_]+")


def test_with_monitoring_the_chart_brings_alerts_and_dashboard(chart):
    found = render(chart, "defaults", {"monitoring": {"enabled": True}})
    made = found.named("PrometheusRule", "earthlab")["spec"]["groups"][0]["rules"]
    assert made == json.loads(json.dumps(RULES).replace("LAB_NAMESPACE", "earthlab").replace("MOST_CLUSTERS", "2"))
    data = found.named("ConfigMap", "earthlab-dashboard")["data"]
    assert json.loads(data["earthlab.json"]) == json.loads(json.dumps(DASHBOARD).replace("LAB_NAMESPACE", "earthlab"))
    (endpoint,) = found.named("ServiceMonitor", "earthlab-hub")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "hub", "key": "hub.services.prometheus.apiToken"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_leads_to_what_is_to_be_done(rule):
    file, _, anchor = rule["annotations"]["next"].partition("#")
    text = (CHART.parents[1] / file).read_text()
    titles = [
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    assert anchor in titles
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert " · " in rule["annotations"]["summary"]


def test_panels_lie_beside_each_other_and_say_their_units():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        assert panel["fieldConfig"]["defaults"]["unit"]
        taken |= cells


def test_every_figure_is_of_this_lab_alone():
    """A cluster may have other hubs, whose figures have the same names."""
    for expression in expressions():
        for name in re.findall(r"\b(?:jupyterhub|earthlab|kube|kubelet)_[a-z_]+(?![a-z_])|\bup\b", expression):
            ours = expression.count(f'{name}{{namespace="LAB_NAMESPACE"')
            assert ours == len(re.findall(rf"\b{name}\b", expression)) or name == "kubelet_volume_stats_capacity_bytes"


def test_every_start_that_did_not_succeed_is_counted_as_one_that_failed():
    """To JupyterHub 6 a server that does not come up in time is an `error`, and only what it refuses is a `failure`."""
    (counted,) = SERVER_SPAWN_DURATION_SECONDS.describe()
    missed = [each for each in expressions() if f"{counted.name}_count{{" in each]
    assert len(missed) == 2
    for expression in missed:
        (asked,) = re.findall(r'status=~"([^"]*)"', expression)
        for status in ServerSpawnStatus:
            assert bool(re.fullmatch(asked, str(status))) is (status is not ServerSpawnStatus.success), expression


def test_a_start_is_asked_for_by_a_status_that_there_is():
    known = {str(each) for each in ServerSpawnStatus}
    asked = [
        name for each in expressions() for words in re.findall(r'status=~?"([^"]*)"', each) for name in words.split("|")
    ]
    assert "success" in asked
    assert set(asked) <= known
    # Refused by prometheus_client, were there no such label.
    SERVER_SPAWN_DURATION_SECONDS.labels(status="success", reason="")


def expressions():
    """Whatever an alert or a panel asks for."""
    return [
        *(rule["expr"] for rule in RULES),
        *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    ]


def figures():
    """Every figure of the hub's that an alert or a panel asks for."""
    return {name for expression in expressions() for name in OURS.findall(expression)}
