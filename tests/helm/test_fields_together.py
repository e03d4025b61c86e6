"""What Kubernetes refuses though each field by itself is right: of this its schemas say nothing."""

import re
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_network

from tests.helm.rendering import amount
from tests.helm.test_policies import containers

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
HANDLERS = {"exec", "grpc", "httpGet", "tcpSocket"}
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


def given(fields, *besides: str) -> list[str]:
    return [name for name, value in fields.items() if value is not None and name not in besides]


def twice(words: Iterable[object]) -> list[object]:
    return [word for word, times in Counter(words).items() if times > 1]


def test_a_budget_of_disruptions_says_either_how_many_may_go_or_how_many_stay(rendered):
    budgets = rendered.of("PodDisruptionBudget")
    assert len(budgets) > 4
    for each in budgets:
        assert len(given(each["spec"], "selector", "unhealthyPodEvictionPolicy")) == 1, each["metadata"]["name"]


def test_a_node_can_be_drained_of_every_pod_of_which_there_is_one(rendered):
    for budget in rendered.of("PodDisruptionBudget"):
        assert budget["spec"].get("minAvailable", 0) == 0, budget["metadata"]["name"]
        assert budget["spec"].get("maxUnavailable", 1) > 0, budget["metadata"]["name"]


def test_what_is_made_anew_at_once_says_nothing_of_a_rolling_update(rendered):
    made_anew = [
        each for each in rendered.of("Deployment") if each["spec"].get("strategy", {}).get("type") == "Recreate"
    ]
    assert made_anew
    for each in made_anew:
        assert given(each["spec"]["strategy"]) == ["type"], each["metadata"]["name"]


def test_an_object_selects_its_own_pods(rendered):
    for each in rendered.of("Deployment", "StatefulSet", "DaemonSet"):
        labels = each["spec"]["template"]["metadata"]["labels"]
        assert each["spec"]["selector"]["matchLabels"].items() <= labels.items(), each["metadata"]["name"]


def test_a_probe_asks_in_one_way(rendered):
    for name, _, spec in rendered.pods():
        for container in containers(spec):
            for probe in (container[kind] for kind in PROBES if container.get(kind)):
                assert len(HANDLERS & set(given(probe))) == 1, (name, container["name"])
            for kind in ("startupProbe", "livenessProbe"):
                assert container.get(kind, {}).get("successThreshold", 1) == 1, (name, container["name"])


def test_a_volume_has_one_source_and_one_name_and_is_mounted_where_no_other_is(rendered):
    for name, _, spec in rendered.pods():
        volumes = spec.get("volumes") or []
        assert not twice(each["name"] for each in volumes), name
        assert all(len(given(each, "name")) == 1 for each in volumes), name
        for container in containers(spec):
            mounts = container.get("volumeMounts") or []
            assert not twice(each["mountPath"] for each in mounts), (name, container["name"])
            assert {each["name"] for each in mounts} <= {each["name"] for each in volumes}, (name, container["name"])


def test_a_variable_has_one_value(rendered):
    for name, _, spec in rendered.pods():
        for container in containers(spec):
            variables = container.get("env") or []
            assert not twice(each["name"] for each in variables), (name, container["name"])
            for each in variables:
                assert not {"value", "valueFrom"} <= set(given(each)), (name, each["name"])
                assert len(given(each.get("valueFrom") or {"value": ""})) == 1, (name, each["name"])


def test_no_container_asks_for_more_than_it_may_take(rendered):
    for name, _, spec in rendered.pods():
        for container in containers(spec):
            for kind, most in container["resources"]["limits"].items():
                asked = container["resources"]["requests"].get(kind, 0)
                assert amount(asked) <= amount(most), (name, container["name"], kind)


def test_ports_are_told_apart_and_only_a_door_to_the_outside_keeps_peoples_addresses(rendered):
    for each in rendered.of("Service"):
        ports = each["spec"].get("ports") or []
        assert len(ports) < 2 or all(port.get("name") for port in ports), each["metadata"]["name"]
        assert not twice(port.get("name") for port in ports), each["metadata"]["name"]
        outside = each["spec"].get("type") in {"LoadBalancer", "NodePort"}
        assert outside or "externalTrafficPolicy" not in given(each["spec"]), each["metadata"]["name"]
    for name, _, spec in rendered.pods():
        for container in containers(spec):
            assert not twice(port.get("name") for port in container.get("ports") or ()), (name, container["name"])


def test_an_address_block_stands_alone_and_its_exceptions_are_parts_of_it(rendered):
    for policy in rendered.of("NetworkPolicy"):
        rules = [*(policy["spec"].get("ingress") or ()), *(policy["spec"].get("egress") or ())]
        peers = [peer for rule in rules for way in ("from", "to") for peer in rule.get(way) or ()]
        for peer in (peer for peer in peers if "ipBlock" in peer):
            assert given(peer) == ["ipBlock"], policy["metadata"]["name"]
            whole = ip_network(peer["ipBlock"]["cidr"])
            for each in map(ip_network, peer["ipBlock"].get("except") or ()):
                assert each != whole, policy["metadata"]["name"]
                assert each.subnet_of(whole), policy["metadata"]["name"]


def test_names_are_taken_once_and_labels_are_such_as_there_may_be(rendered):
    assert not twice((each["kind"], each["metadata"]["name"]) for each in rendered.objects)
    for name, meta, spec in rendered.pods():
        assert not twice(each["name"] for each in containers(spec)), name
        assert all(LABEL.fullmatch(each) for each in meta["labels"].values()), name
    for each in rendered.objects:
        assert all(LABEL.fullmatch(label) for label in (each["metadata"].get("labels") or {}).values()), each["kind"]
