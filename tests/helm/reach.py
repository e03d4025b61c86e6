"""Who may reach whom, by all network policies of a rendering: as a cluster's network reads them."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from tests.helm.rendering import Rendered

NAMESPACE = "earthlab"
PORTS = {"http": {8000, 8081}, "https": {8443}, "api": {8001}, "ssh": {8022}, "notebook-port": {8888}, "dns": {53}}
"""What the names of ports stand for, in any of the pods that have one."""

Labels = Mapping[str, str]


def selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    if any(labels.get(name) != value for name, value in selector.get("matchLabels", {}).items()):
        return False
    return all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", ())
    )


def may_reach(
    rendered: Rendered,
    source: Labels,
    target: Labels,
    port: int,
    *,
    namespace: str = NAMESPACE,
    protocol: str = "TCP",
) -> bool:
    """Whether a pod of the lab may speak to another: both have to be let."""
    out = any(
        _has_port(rule, port, protocol) and _is_pod(rule.get("to"), target, namespace)
        for rule in _rules(rendered, "Egress", source)
    )
    return out and (
        namespace != NAMESPACE
        or any(
            _has_port(rule, port, protocol) and _is_pod(rule.get("from"), source, NAMESPACE)
            for rule in _rules(rendered, "Ingress", target)
        )
    )


def may_be_asked(rendered: Rendered, target: Labels, port: int, *, namespace: str) -> bool:
    """Whether pods of another namespace may speak to a pod."""
    return any(
        _has_port(rule, port) and _is_pod(rule.get("from"), {}, namespace)
        for rule in _rules(rendered, "Ingress", target)
    )


def may_go(rendered: Rendered, source: Labels, address: str, port: int, *, protocol: str = "TCP") -> bool:
    """Whether a pod may speak to an address that is no pod's."""
    return any(
        _has_port(rule, port, protocol) and _is_address(rule.get("to"), address)
        for rule in _rules(rendered, "Egress", source)
    )


def _rules(rendered: Rendered, direction: str, labels: Labels) -> Iterator[Mapping[str, Any]]:
    for policy in rendered.of("NetworkPolicy"):
        spec = policy["spec"]
        if direction in spec["policyTypes"] and selects(spec["podSelector"], labels):
            yield from spec.get(direction.lower()) or ()


def _has_port(rule: Mapping[str, Any], port: int, protocol: str = "TCP") -> bool:
    given = rule.get("ports", ())
    return not given or any(
        each.get("protocol", "TCP") == protocol and port in PORTS.get(each["port"], {each["port"]}) for each in given
    )


def _is_pod(peers: Iterable[Mapping[str, Any]] | None, labels: Labels, namespace: str) -> bool:
    if not peers:
        return True
    for peer in peers:
        spaces = peer.get("namespaceSelector")
        there = (
            namespace == NAMESPACE if spaces is None else selects(spaces, {"kubernetes.io/metadata.name": namespace})
        )
        if "ipBlock" not in peer and there and selects(peer.get("podSelector", {}), labels):
            return True
    return False


def _is_address(peers: Iterable[Mapping[str, Any]] | None, address: str) -> bool:
    if not peers:
        return True
    blocks = [peer["ipBlock"] for peer in peers if "ipBlock" in peer]
    return any(
        ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(each) for each in block.get("except", ()))
        for block in blocks
    )
