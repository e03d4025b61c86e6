"""Who may speak to whom on a cluster: every way that the lab takes is open, and those that it does not are shut."""

from ipaddress import ip_network

import pytest

from tests.helm.reach import may_be_asked, may_go, may_reach
from tests.helm.rendering import OF_THE_CHARTS, charts_at_hand, render
from tests.helm.test_policies import SPEAK_TO_THE_CLUSTER, owner_of

API = "10.43.0.1"
METADATA = ("169.254.169.254", "169.254.170.23")


def of_jupyterhub(component, *access):
    labels = {"app": "jupyterhub", "component": component, "release": "labo", "app.kubernetes.io/component": component}
    return labels | {f"hub.jupyter.org/network-access-{each}": "true" for each in access} | {
        "app.kubernetes.io/name": "jupyterhub", "app.kubernetes.io/instance": "labo",
    }  # fmt: skip


def of_gateway(component):
    return {"app.kubernetes.io/name": "dask-gateway", "app.kubernetes.io/component": component}


def of_ours(name):
    return {
        "app.kubernetes.io/name": f"earthlab-{name}",
        "app.kubernetes.io/instance": "labo",
        "app.kubernetes.io/part-of": "earthlab",
        **({"hub.jupyter.org/network-access-proxy-http": "true"} if name == "ssh" else {}),
    }


HUB = of_jupyterhub("hub", "proxy-api", "proxy-http", "singleuser")
PROXY = of_jupyterhub("proxy", "hub", "singleuser")
KERNEL = of_jupyterhub("singleuser-server", "hub")
TRAEFIK, GATEWAY, CONTROLLER = of_gateway("traefik"), of_gateway("gateway"), of_gateway("controller")
SCHEDULER, WORKER = of_gateway("dask-scheduler"), of_gateway("dask-worker")
SERVICES = ("stac", "signing", "tiles", "workshops")
DNS = {"k8s-app": "kube-dns"}
SPEAKERS = (HUB, TRAEFIK, GATEWAY, CONTROLLER, *(of_jupyterhub(name) for name in ("user-scheduler", "image-puller")))
EVERYBODY = [*SPEAKERS, PROXY, KERNEL, SCHEDULER, WORKER, *map(of_ours, (*SERVICES, "ssh"))]
BOTH = pytest.mark.parametrize("protocol", ["UDP", "TCP"])

WAYS = [
    *[(who, of_ours(name), 8000) for who in (HUB, PROXY) for name in SERVICES],
    *[(who, TRAEFIK, 8000) for who in (HUB, PROXY, KERNEL)],
    (KERNEL, TRAEFIK, 8786),
    (TRAEFIK, GATEWAY, 8000),
    (TRAEFIK, SCHEDULER, 8786),
    (GATEWAY, SCHEDULER, 8788),
    (WORKER, SCHEDULER, 8786),
    (SCHEDULER, WORKER, 40000),
    (WORKER, GATEWAY, 8000),
]
WAYS_OF_THE_CHARTS = [
    *[(of_ours(name), HUB, 8081) for name in (*SERVICES, "ssh")],
    (GATEWAY, HUB, 8081),
    (HUB, PROXY, 8001),
    (HUB, KERNEL, 8888),
    (PROXY, KERNEL, 8888),
    (PROXY, HUB, 8081),
    (KERNEL, HUB, 8081),
    (KERNEL, PROXY, 8000),
    (WORKER, PROXY, 8000),
    (of_ours("ssh"), PROXY, 8000),
]
SHUT = [
    (KERNEL, KERNEL, 8888),
    (KERNEL, PROXY, 8001),
    (WORKER, HUB, 8081),
    (WORKER, KERNEL, 8888),
    (KERNEL, SCHEDULER, 8786),
    (KERNEL, WORKER, 40000),
    (KERNEL, GATEWAY, 8000),
    *[(who, of_ours(name), 8000) for who in (KERNEL, WORKER, of_ours("ssh")) for name in SERVICES],
    *[(of_ours(name), KERNEL, 8888) for name in (*SERVICES, "ssh")],
]


@pytest.mark.parametrize(("source", "target", "port"), WAYS)
def test_what_work_takes_is_open(rendered, source, target, port):
    assert may_reach(rendered, source, target, port)


@OF_THE_CHARTS
@pytest.mark.parametrize(("source", "target", "port"), WAYS_OF_THE_CHARTS)
def test_what_work_takes_is_open_in_the_charts_below_too(rendered, source, target, port):
    assert may_reach(rendered, source, target, port)


@pytest.mark.parametrize(("source", "target", "port"), SHUT)
def test_what_no_work_takes_is_shut(rendered, source, target, port):
    assert not may_reach(rendered, source, target, port)


@BOTH
def test_everybody_finds_names(rendered, protocol):
    for pod in EVERYBODY:
        assert may_reach(rendered, pod, DNS, 53, namespace="kube-system", protocol=protocol), pod


@BOTH
@pytest.mark.parametrize("address", ["169.254.20.10", "169.254.169.254"])
def test_everybody_finds_names_where_an_address_of_no_pod_answers_and_asks_it_nothing_else(chart, address, protocol):
    found = render(chart, "defaults", {"networkPolicy": {"dns": {"addresses": [f"{address}/32"]}}})
    plain = render(chart, "defaults")
    for pod in EVERYBODY:
        assert may_go(found, pod, address, 53, protocol=protocol), pod
        assert not may_go(found, pod, address, 80), pod
        assert not may_go(plain, pod, address, 53, protocol=protocol), pod
        assert may_reach(found, pod, DNS, 53, namespace="kube-system", protocol=protocol), pod


@BOTH
def test_everybody_finds_names_where_pods_of_another_name_answer_at_another_port(chart, protocol):
    daemon = "dns.operator.openshift.io/daemonset-dns"
    dns = {"namespace": "openshift-dns", "labels": {"k8s-app": None, daemon: "default"}, "ports": [5353]}
    found = render(chart, "defaults", {"networkPolicy": {"dns": dns}})
    there = {"namespace": "openshift-dns", "protocol": protocol}
    for pod in EVERYBODY:
        assert may_reach(found, pod, {daemon: "default"}, 5353, **there), pod
        assert not may_reach(found, pod, {"other": "default"}, 5353, **there), pod


@BOTH
def test_any_pod_of_the_namespace_of_names_is_asked_where_no_label_is_wanted(chart, protocol):
    found = render(chart, "defaults", {"networkPolicy": {"dns": {"labels": {"k8s-app": None}}}})
    for pod in EVERYBODY:
        for labels in (DNS, {"k8s-app": "node-local-dns"}):
            assert may_reach(found, pod, labels, 53, namespace="kube-system", protocol=protocol), pod


def test_who_speaks_to_the_cluster_reaches_its_api(rendered):
    speak = [meta["labels"] for name, meta, _ in rendered.pods() if owner_of(name) in SPEAK_TO_THE_CLUSTER]
    for labels in (HUB, TRAEFIK, GATEWAY, CONTROLLER, *speak):
        assert may_go(rendered, labels, API, 443), labels
        assert may_go(rendered, labels, API, 6443), labels
    for labels in (PROXY, KERNEL, WORKER, SCHEDULER, *map(of_ours, (*SERVICES, "ssh"))):
        assert not may_go(rendered, labels, API, 443), labels


def test_the_clusters_api_is_reached_at_the_ports_that_it_has(chart):
    found = render(chart, "defaults", {"networkPolicy": {"apiPorts": [16443]}})
    for pod in SPEAKERS:
        assert may_go(found, pod, API, 16443), pod
        assert not may_go(found, pod, API, 6443), pod
    for pod in EVERYBODY[len(SPEAKERS) :]:
        assert not may_go(found, pod, API, 16443), pod


def test_only_the_hub_reaches_the_database(chart):
    found = render(chart, "institute")
    url = found.values["jupyterhub"]["hub"]["db"]["url"]
    assert ":5432/" in url
    for labels in (PROXY, KERNEL, TRAEFIK, GATEWAY, SCHEDULER, WORKER, *map(of_ours, (*SERVICES, "ssh"))):
        assert not may_go(found, labels, "10.20.3.4", 5432), labels
    for labels in (HUB, KERNEL, WORKER, of_ours("tiles")):
        assert may_go(found, labels, "10.20.3.4", 443), labels
    if charts_at_hand():
        assert may_go(found, HUB, "10.20.3.4", 5432)


@pytest.mark.parametrize("pod", [PROXY, KERNEL, WORKER, SCHEDULER, *map(of_ours, (*SERVICES, "ssh"))])
def test_nobody_reaches_the_clouds_metadata_nor_private_addresses(rendered, pod):
    for address in (*METADATA, "10.0.0.7", "192.168.1.1"):
        for port in (80, 8080):
            assert not may_go(rendered, pod, address, port), address
    if rendered.profile != "institute":
        assert not may_go(rendered, pod, "10.20.3.4", 443)


def test_even_the_hub_does_not_reach_the_clouds_metadata(rendered):
    assert not any(may_go(rendered, HUB, address, 80) for address in METADATA)


def test_the_world_is_reached_by_those_whose_work_it_is_and_from_no_closed_lab(rendered):
    for pod in (HUB, KERNEL, WORKER, *map(of_ours, SERVICES)):
        # Not at the ports of a cluster's API, whose address no policy knows.
        assert may_go(rendered, pod, "93.184.216.34", 8443) is (rendered.profile != "air-gapped"), pod
    for pod in (PROXY, of_ours("ssh")):
        assert not may_go(rendered, pod, "93.184.216.34", 443), pod


def test_addresses_outside_may_be_named_one_by_one(chart):
    """Kubernetes refuses an exception that is no part of its block."""
    outside = ["193.55.0.0/16", "0.0.0.0/0", "::/0", "2001:660::/32"]
    found = render(chart, "defaults", {"networkPolicy": {"outside": outside}})
    for policy in found.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress") or ():
            for block in (to["ipBlock"] for to in rule.get("to", ()) if "ipBlock" in to):
                whole = ip_network(block["cidr"])
                assert all(ip_network(each).subnet_of(whole) for each in block.get("except", ())), block
    only = render(chart, "defaults", {"networkPolicy": {"outside": ["193.55.0.0/16"]}})
    assert may_go(only, KERNEL, "193.55.1.1", 443)
    assert not may_go(only, KERNEL, "93.184.216.34", 443)


@OF_THE_CHARTS
def test_prometheus_asks_the_hub_from_where_it_is(chart):
    found = render(chart, "defaults", {"monitoring": {"enabled": True, "namespace": "suivi"}})
    assert may_be_asked(found, HUB, 8081, namespace="suivi")
    assert not may_be_asked(found, HUB, 8081, namespace="autre")
