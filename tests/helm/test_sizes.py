"""What a profile asks for, reckoned from its pods, beside what the operations page says that it takes."""

import json
import re

import pytest

from earthlab.hub.profiles import parse_profiles, plan_profile
from tests.helm.rendering import CHART, OF_THE_CHARTS, amount, render
from tests.helm.test_policies import containers
from tests.helm.test_values import run_gateway_config

PAGE = (CHART.parents[1] / "docs/operations.md").read_text()
ROWS = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (\d+ of \d+ cores.*)$", PAGE, re.MULTILINE))
GIB = 2**30
KINDS = ("cpu", "memory")


def asked_by(spec, kind: str) -> float:
    """What a pod asks for: whatever runs at once in it, or more if what runs before takes more."""
    asked = {each["name"]: amount(each["resources"]["requests"][kind]) for each in containers(spec)}
    before = [asked[each["name"]] for each in spec.get("initContainers", ())]
    return max(sum(asked[each["name"]] for each in spec["containers"]), *before, 0)


def asked_by_our_pods(rendered, kind: str, nodes: float) -> float:
    """Without placeholders, which give way, and those that pull images before an installation."""
    times = {"Deployment": lambda each: each["spec"]["replicas"], "DaemonSet": lambda _: nodes}
    lasting = [each for each in rendered.of(*times) if "helm.sh/hook" not in each["metadata"].get("annotations", {})]
    return sum(times[each["kind"]](each) * asked_by(each["spec"]["template"]["spec"], kind) for each in lasting)


def asked_by_a_seat(rendered, kind: str) -> float:
    first = plan_profile(parse_profiles(json.dumps(rendered.values["profiles"]), "profiles")[0], default=True)
    return first["kubespawner_override"][{"cpu": "cpu_guarantee", "memory": "mem_guarantee"}[kind]]


def asked_by_a_cluster(rendered, kind: str) -> float:
    gateway, c, _ = run_gateway_config(rendered)
    asked = {}
    for name in ("scheduler", "worker"):
        request = gateway["backend"][name][{"cpu": "cores", "memory": "memory"}[kind]]["request"]
        # To Dask Gateway G is what Kubernetes calls Gi.
        asked[name] = amount(f"{request}i" if kind == "memory" else request)
    return asked["scheduler"] + c.ClusterConfig.cluster_max_workers * asked["worker"]


@OF_THE_CHARTS
@pytest.mark.parametrize("profile", ["small", "class-150"])
def test_as_many_nodes_as_the_page_says_hold_what_a_profile_asks_for_and_fewer_do_not(chart, profile):
    told = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", ROWS[profile])]
    nodes, cores, gigabytes, *told = told
    room, (seats, *seats_told), own_told, (clusters, *cluster_told) = told[:2], told[2:5], told[5:7], told[7:10]
    found = render(chart, profile)
    assert seats == found.values["settings"]["hub"]["seats"]
    assert room[0] < cores
    assert room[1] < gigabytes * 1e9 / GIB
    few = []
    for at, (kind, unit) in enumerate(zip(KINDS, (1, GIB), strict=True)):
        in_seats = seats * asked_by_a_seat(found, kind) / unit
        own = asked_by_our_pods(found, kind, nodes) / unit
        cluster = asked_by_a_cluster(found, kind) / unit
        assert [in_seats, own, cluster] == pytest.approx([seats_told[at], own_told[at], cluster_told[at]], abs=0.06)
        assert in_seats + own + clusters * cluster <= nodes * room[at], kind
        few.append(in_seats + own > (nodes - 1) * room[at])
    assert any(few)
