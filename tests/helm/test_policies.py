"""What every object of every profile must keep to, whichever chart it comes from."""

import re

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from tests.helm.reach import selects
from tests.helm.rendering import CHART, NEWEST

FOREIGN = {"traefik.io", "monitoring.coreos.com", "gateway.networking.k8s.io"}
"""Kinds of objects that are no part of Kubernetes, and have no schema there."""

SPEAK_TO_THE_CLUSTER = {
    "hub", "user-scheduler", "image-awaiter", "hook-image-awaiter",
    "api-dask-gateway", "controller-dask-gateway", "traefik-dask-gateway",
}  # fmt: skip
"""Those whose work is to make, to place or to watch pods and routes: no other pod has a token of the cluster."""

UNSET = {"api-dask-gateway", "controller-dask-gateway", "traefik-dask-gateway"}
"""Pods of the Dask Gateway chart, which has no values for what a container may do."""

TAGGED = re.compile(r".+(:(?!latest$)[\w][\w.-]*(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})")
SECRET = re.compile(r"(?i)(password|secret|token|api_?key)$")


def owner_of(name: str) -> str:
    return name.partition("/")[2]


def containers(spec):
    return [*spec.get("initContainers", ()), *spec["containers"]]


def bringing_back():
    """The only manifest of the operator's page."""
    page = (CHART.parents[1] / "docs/operations.md").read_text()
    (manifest,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    return YAML(typ="safe").load(manifest)


@pytest.mark.parametrize("version", NEWEST)
def test_every_object_is_as_kubernetes_defines_it(rendered, version):
    assert len(rendered.objects) > 20
    for each in rendered.objects:
        group = each["apiVersion"].rpartition("/")[0]
        if group not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


def test_no_pod_has_rights_that_its_work_does_not_take(rendered):
    for name, _, spec in rendered.pods():
        pod = spec.get("securityContext", {})
        assert not spec.get("hostNetwork"), name
        assert not spec.get("hostPID"), name
        assert not [volume for volume in spec.get("volumes", ()) if "hostPath" in volume], name
        for each in containers(spec):
            own = {**pod, **each.get("securityContext", {})}
            assert not own.get("privileged"), (name, each["name"])
            if owner_of(name) in UNSET:
                continue
            assert own.get("runAsNonRoot") or own.get("runAsUser", 0) > 0, (name, each["name"])
            assert own.get("allowPrivilegeEscalation") is False, (name, each["name"])
            assert own.get("capabilities", {}).get("drop") == ["ALL"], (name, each["name"])
            assert own.get("seccompProfile", {}).get("type") == "RuntimeDefault", (name, each["name"])


def test_only_who_speaks_to_the_cluster_has_a_token_of_it(rendered):
    accounts = {each["metadata"]["name"]: each for each in rendered.of("ServiceAccount")}
    for name, _, spec in rendered.pods():
        account = accounts.get(spec.get("serviceAccountName", "default"), {})
        mounted = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        assert not mounted or owner_of(name) in SPEAK_TO_THE_CLUSTER, name


def test_every_container_says_what_it_needs_and_takes_at_most(rendered):
    for name, _, spec in rendered.pods():
        for each in containers(spec):
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(each.get("resources", {}).get(kind, {})), (name, each["name"], kind)


def test_the_labs_own_pods_write_to_nothing_but_their_volumes_and_are_watched(rendered):
    ours = [(name, spec) for name, meta, spec in rendered.pods() if meta["labels"].get("app.kubernetes.io/part-of")]
    assert len(ours) == sum(1 for each in rendered.values["services"].values() if each["enabled"])
    for name, spec in ours:
        for each in containers(spec):
            assert each["securityContext"]["readOnlyRootFilesystem"], name
        (main,) = spec["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(main), name


def test_every_service_is_covered_by_a_network_policy_that_says_who_may_come(rendered):
    policies = rendered.of("NetworkPolicy")
    assert any(each["spec"]["podSelector"] == {} for each in policies)
    for service in rendered.of("Service"):
        selector = service["spec"].get("selector")
        if selector:
            pods = [meta["labels"] for _, meta, _ in rendered.pods() if selector.items() <= meta["labels"].items()]
            labels = pods[0] if pods else selector
            named = [
                each
                for each in policies
                if each["spec"]["podSelector"] and selects(each["spec"]["podSelector"], labels)
            ]
            assert any("Ingress" in each["spec"]["policyTypes"] for each in named), service["metadata"]["name"]


def test_nothing_of_ours_may_reach_the_clouds_metadata(rendered):
    for policy in rendered.of("NetworkPolicy"):
        if policy["metadata"]["name"].startswith("earthlab"):
            for rule in policy["spec"].get("egress", ()):
                for to in rule.get("to", ()):
                    block = to.get("ipBlock", {})
                    if block.get("cidr") == "0.0.0.0/0":
                        assert "169.254.0.0/16" in block["except"], policy["metadata"]["name"]
                        assert "10.0.0.0/8" in block["except"], policy["metadata"]["name"]


def test_no_secret_is_written_in_plain_text(rendered):
    for each in rendered.objects:
        if each["kind"] == "Secret":
            # The JupyterHub chart makes what nobody has given, anew at each rendering; of ours there is none.
            assert each["metadata"]["labels"].get("chart", "").startswith("jupyterhub"), each["metadata"]["name"]
    for name, _, spec in rendered.pods():
        for container in containers(spec):
            for variable in container.get("env", ()):
                if SECRET.search(variable["name"]):
                    assert "value" not in variable, (name, variable["name"])


def test_only_the_tile_service_has_the_keys_of_all_shared_cubes(rendered):
    named = rendered.values["secrets"]["cubes"]
    assert named or rendered.profile != "institute"
    for name, _, spec in rendered.pods():
        for container in containers(spec):
            taken = {
                each["valueFrom"]["secretKeyRef"]["name"]
                for each in container.get("env", ())
                if "secretKeyRef" in each.get("valueFrom", {})
            }
            assert (named in taken) is (bool(named) and name == "Deployment/earthlab-tiles"), name


def test_a_mount_opens_no_private_file_to_a_group(rendered):
    """By default a cluster gives the group all files of a volume anew at each mount; keys are refused then."""
    backend = rendered.values["dask-gateway"]["gateway"]["backend"]
    made = [spec.get("securityContext", {}) for name, _, spec in rendered.pods() if owner_of(name) not in UNSET]
    made += [backend[kind]["extraPodConfig"]["securityContext"] for kind in ("scheduler", "worker")]
    with_volumes = [each for each in made if "fsGroup" in each]
    assert len(with_volumes) > 5
    for each in with_volumes:
        assert each["fsGroupChangePolicy"] == "OnRootMismatch"


def test_every_image_is_named_with_a_tag_or_a_digest(rendered):
    for name, _, spec in rendered.pods():
        for each in containers(spec):
            assert TAGGED.fullmatch(each["image"]), (name, each["image"])


@pytest.mark.parametrize("version", NEWEST)
def test_the_pod_that_brings_books_back_is_one_that_a_restricted_namespace_takes(version):
    pod = bringing_back()
    kubernetes_validate.validate(pod, version, strict=True)
    made, (container,) = pod["spec"]["securityContext"], pod["spec"]["containers"]
    assert (made["runAsNonRoot"], made["runAsUser"], made["runAsGroup"]) == (True, 1000, 1000)
    assert (made["fsGroup"], made["fsGroupChangePolicy"]) == (1000, "OnRootMismatch")
    assert made["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} <= set(container["resources"])


def test_the_pod_that_brings_books_back_has_the_volumes_where_the_lab_has_them(rendered):
    """The same claim, settings and image as the hub's own."""
    spec = bringing_back()["spec"]
    (container,) = spec["containers"]
    claims = {each["metadata"]["name"] for each in rendered.of("PersistentVolumeClaim")}
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] in claims
    assert rendered.named("ConfigMap", spec["volumes"][1]["configMap"]["name"])
    assert container["image"].endswith(rendered.values["image"]["tag"])
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["state"] == rendered.values["settings"]["lab"]["state"]
    assert mounts["settings"] == "/etc/earthlab"


def test_a_pod_that_may_be_moved_has_a_budget(rendered):
    budgets = [each["spec"]["selector"]["matchLabels"] for each in rendered.of("PodDisruptionBudget")]
    for name, meta, _ in rendered.pods():
        if meta["labels"].get("app.kubernetes.io/part-of") == "earthlab":
            assert any(budget.items() <= meta["labels"].items() for budget in budgets), name
