"""From settings to JupyterHub's configuration on a cluster: what differs from one machine. Each function only sets.

The JupyterHub chart has set addresses, proxy, database and the culler by then; `earthlab.hub.configure` calls us.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from earthlab.errors import SetupError
from earthlab.hub.environment import SERVICES, activity_interval, describe_cubes, describe_science
from earthlab.hub.layout import Layout
from earthlab.hub.passes import PassStore
from earthlab.hub.places import give_up_place, wait_for_place
from earthlab.hub.profiles import read_profiles
from earthlab.hub.server import INSIDE, PARKED, TAKING
from earthlab.kernel.provisioner import NURSERY
from earthlab.rights import OPEN
from earthlab.settings import Settings, named_store

HOME = "/home/earthlab"
RUN = "/run/earthlab"
UID = 1000
"""The user of the images."""

SCRATCH = {"earthlab-run": RUN, "earthlab-tmp": "/tmp"}  # noqa: S108 - the pod's own, and its alone
"""What of a pod can be written to besides the home, in memory or on the node, and goes with the pod."""

CATALOGUE = "earthlab-catalogue"
"""The volume of the files that the lab's own catalogue tells of."""

CUBE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

PORT = 8000
"""On which every service's pod listens."""

_SCRATCH_LIMIT = {"earthlab-run": "64Mi", "earthlab-tmp": "10Gi"}


def plan_pod_environment(settings: Settings) -> dict[str, str]:
    """The environment of every user's server and kernel on a cluster, apart from what the hub adds for each."""
    services, kubernetes = settings.kubernetes.services.rstrip("/"), settings.kubernetes
    gateway = {
        "EARTHLAB__COMPUTE__GATEWAY": f"{services}/dask-gateway",
        "EARTHLAB__COMPUTE__GATEWAY_PROXY": kubernetes.gateway_proxy,
    }
    return {
        "LANG": "C.UTF-8",
        "HOME": HOME,
        "SHELL": "/bin/bash",
        "JUPYTER_RUNTIME_DIR": RUN,
        "XDG_RUNTIME_DIR": RUN,
        NURSERY: f"{RUN}/nursery.sock",
        PARKED: str(settings.hub.parked),
        SERVICES: services,
        **({INSIDE: "1"} if settings.ssh.enabled else {}),
        **({TAKING: "1"} if settings.workshops.enabled else {}),
        **describe_science(settings, services),
        **(gateway if kubernetes.gateway else {}),
        **describe_cubes(settings, named_store(settings)),
        "JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS": "no",
        "JUPYTERHUB_ACTIVITY_INTERVAL": str(activity_interval(settings)),
    }


def choose_keys(cube_keys: Mapping[str, str], granted: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """The Secret whose keys open most of what somebody may read of the shared cubes, and the licensed classes it opens.

    Nothing and none, where there are keys for nothing that they may read.
    """
    may = {OPEN, *granted}
    found = {name: classes for name in cube_keys if (classes := set(name.split("--"))) <= may}
    if not found:
        return "", ()
    best = max(sorted(found), key=lambda name: len(found[name] - {OPEN}))
    return cube_keys[best], tuple(sorted(found[best] - {OPEN}))


def key_words(secret: str) -> dict[str, dict[str, Any]]:
    """The variables of a pod that hold the keys of a Secret, which only the cluster reads."""
    if not secret:
        return {}
    return {name: {"valueFrom": {"secretKeyRef": {"name": secret, "key": name}}} for name in CUBE_KEYS}


def configure_pods(c: Any, layout: Layout, settings: Settings) -> None:
    """How a user's pod is made: by whom it is run, what it may do and what it may write to."""
    c.JupyterHub.spawner_class = "earthlab.hub.pods.PodSpawner"
    c.PodSpawner.profiles = read_profiles(settings)
    c.PodSpawner.passes = PassStore(layout.passes)
    c.PodSpawner.cube_keys = dict(settings.kubernetes.cube_keys)
    pod = c.KubeSpawner
    pod.cmd = ["python", "-P", "-m", "earthlab.hub.server"]
    pod.environment = {**_set(pod, "environment"), **plan_pod_environment(settings)}
    pod.uid = pod.gid = pod.fs_gid = UID
    pod.allow_privilege_escalation = False
    pod.automount_service_account_token = False
    pod.container_security_context = {
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    pod.pod_security_context = {
        "fsGroup": UID,
        # At every mount a cluster would else open all of a home to its group: ssh and we refuse keys that are not
        # private.
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    claim = settings.kubernetes.catalogue_claim
    pod.volumes = {
        **_set(pod, "volumes"),
        **{name: _scratch(name) for name in SCRATCH},
        **({CATALOGUE: _reading(CATALOGUE, claim)} if claim else {}),
    }
    pod.volume_mounts = {
        **_set(pod, "volume_mounts"),
        **{name: {"name": name, "mountPath": place} for name, place in SCRATCH.items()},
        **({CATALOGUE: plan_catalogue_mount(settings)} if claim else {}),
    }
    pod.extra_labels = {**_set(pod, "extra_labels"), "hub.jupyter.org/network-access-proxy-http": "true"}
    # Of other users' and the cluster's services a pod needs to know nothing.
    pod.extra_pod_config = {**_set(pod, "extra_pod_config"), "enableServiceLinks": False}
    pod.pre_spawn_hook = wait_for_place
    pod.post_stop_hook = give_up_place
    # Of one start: an image may have to come to a new node.
    pod.start_timeout = 600
    pod.http_timeout = 120
    pod.events_enabled = True


def plan_catalogue_mount(settings: Settings) -> dict[str, Any]:
    """Where a pod finds the catalogue's files: at the address that the catalogue has for them."""
    return {"name": CATALOGUE, "mountPath": str(settings.lab.state), "readOnly": True}


def _reading(name: str, claim: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}


def _scratch(name: str) -> dict[str, Any]:
    medium = {"medium": "Memory"} if name == "earthlab-run" else {}
    return {"name": name, "emptyDir": {**medium, "sizeLimit": _SCRATCH_LIMIT[name]}}


def _set(section: Any, name: str) -> dict[str, Any]:
    """What the chart has set of a trait that is a mapping; it sets lists nowhere of these."""
    found = section.get(name)
    return dict(found) if isinstance(found, Mapping) else {}


def plan_pod_services(settings: Settings) -> dict[str, dict[str, Any]]:
    """Where the hub finds each service that runs as a pod of the chart, by name."""
    # Another catalogue takes the place of ours.
    catalogue = [] if settings.catalogue.url else ["stac"]
    own = [*catalogue, "signing", *(["tiles"] if settings.tiles.enabled else [])]
    own += ["workshops"] if settings.workshops.enabled else []
    found: dict[str, dict[str, Any]] = {
        name: {"url": f"http://{settings.kubernetes.prefix}-{name}:{PORT}"} for name in own
    }
    # Nobody comes to the ssh door through the hub.
    found |= {"ssh": {}} if settings.ssh.enabled else {}
    return found | ({"dask-gateway": {"url": settings.kubernetes.gateway}} if settings.kubernetes.gateway else {})


def configure_pod_services(c: Any, names: Mapping[str, Mapping[str, Any]], patience: Mapping[str, int]) -> None:
    """The lab's services, which run as pods of their own: the chart has given each a token.

    Parameters
    ----------
    names : mapping
        What else the hub must know of each.
    patience : mapping
        How long the hub waits for one that is down.

    Raises
    ------
    SetupError
        Where the chart's values name one of them no more.
    """
    given = {service["name"]: service for service in c.JupyterHub.services}
    if missing := [name for name in names if name not in given]:
        raise SetupError(
            f"The hub knows no service {', '.join(missing)}. Put `{missing[0]}: {{}}` under `hub.services` in the "
            "values of the JupyterHub chart, as helm/earthlab does."
        )
    for name, more in names.items():
        given[name] |= {"display": False, **patience, **more}


def configure_pod_roles(c: Any, roles: Sequence[Mapping[str, Any]]) -> None:
    """The roles of users, and of those services that are there; the chart's own role of its culler stays."""
    there = {service["name"] for service in c.JupyterHub.services}
    c.JupyterHub.load_roles = [
        *c.JupyterHub.load_roles,
        *(role for role in roles if there.issuperset(role.get("services", ()))),
    ]
