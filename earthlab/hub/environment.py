"""What a user's processes find in their environment: a list of what they need, nothing inherited by accident."""

from collections.abc import Mapping

from earthlab.hub.cubes import cubes_group
from earthlab.hub.head import HEAD, resolve_head
from earthlab.hub.keeper import HUB_PID
from earthlab.hub.layout import MARKER, Layout, Ports, interpreter, local_url, resolve_accounts
from earthlab.hub.private import FILES
from earthlab.settings import Settings

_PASSED = ("LANG", "LC_ALL", "TZ", *FILES)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
SERVICES = "EARTHLAB_SERVICES"
"""Variable that tells kernels under which address the hub's own services are: tokens of the hub go nowhere else."""
_OURSELVES = "127.0.0.1,localhost,::1"


def plan_environment(settings: Settings, layout: Layout, ports: Ports, operator: Mapping[str, str]) -> dict[str, str]:
    """The environment of every user's server and kernel, apart from what the hub adds for each.

    Parameters
    ----------
    operator : mapping
        The hub's own environment. Only names known to be harmless pass, and proxies that hold no password.
    """
    here = f"{local_url(settings.lab)}/services"
    return {
        "LANG": "C.UTF-8",
        **_passed_on(operator),
        "PATH": f"{interpreter().parent}:/usr/local/bin:/usr/bin:/bin",
        MARKER: layout.lab_id,
        SERVICES: here,
        **describe_science(settings, here),
        "EARTHLAB__COMPUTE__GATEWAY": f"{here}/dask-gateway",
        "EARTHLAB__COMPUTE__GATEWAY_PROXY": f"gateway://127.0.0.1:{ports.gateway_tls}",
        "EARTHLAB__COMPUTE__TURNS": settings.compute.turns or str(layout.turns),
        **plan_cubes(settings, layout),
        "JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS": "no",
        "JUPYTERHUB_ACTIVITY_INTERVAL": str(activity_interval(settings)),
    }


def describe_science(settings: Settings, services: str) -> dict[str, str]:
    """Which catalogue kernels search, who signs for them and what of a cluster one user may take, wherever they run.

    Parameters
    ----------
    services : str
        Address of the hub's services, without a slash at the end.
    """
    return {
        "EARTHLAB__CATALOGUE__URL": settings.catalogue.url or f"{services}/stac/",
        "EARTHLAB__CATALOGUE__SIGNING": f"{services}/signing",
        **_descriptors(settings),
        **({"EARTHLAB__CATALOGUE__EVERYONE": settings.catalogue.everyone} if settings.catalogue.everyone else {}),
        "EARTHLAB__COMPUTE__MAX_CLUSTERS": str(settings.compute.max_clusters),
        "EARTHLAB__COMPUTE__MAX_WORKERS": str(settings.compute.max_workers),
        "EARTHLAB__COMPUTE__WORKER_CORES": str(settings.compute.worker_cores),
        "EARTHLAB__COMPUTE__WORKER_MEMORY": settings.compute.worker_memory,
        "EARTHLAB__COMPUTE__IDLE_TIMEOUT": str(settings.compute.idle_timeout),
    }


def plan_cubes(settings: Settings, layout: Layout) -> dict[str, str]:
    """Where kernels and workers keep shared cubes: the same place for all, where accounts of the lab may build."""
    cubes = settings.cubes
    ours = resolve_accounts(settings) == "unix" and not cubes.store
    group = cubes_group(layout) if ours else cubes.group
    named = {"EARTHLAB__CUBES__GROUP": group} if group else {}
    return describe_cubes(settings, cubes.store or str(layout.cubes)) | named


def describe_cubes(settings: Settings, store: str) -> dict[str, str]:
    """Which store of shared cubes kernels and workers use, wherever they run; never by which keys."""
    cubes = settings.cubes
    named = {"STORE": store, "QUOTA": cubes.quota, "ENDPOINT": cubes.endpoint, "REGION": cubes.region}
    return {f"EARTHLAB__CUBES__{name}": value for name, value in named.items() if value}


def _descriptors(settings: Settings) -> dict[str, str]:
    folder = settings.catalogue.descriptors
    return {"EARTHLAB__CATALOGUE__DESCRIPTORS": str(folder)} if folder else {}


def _passed_on(operator: Mapping[str, str]) -> dict[str, str]:
    plain = {name: operator[name] for name in _PASSED if name in operator}
    proxies = {name: operator[name] for name in _PROXIES if name in operator}
    safe = {name: url for name, url in proxies.items() if "@" not in url}
    # The lab itself is reached without any proxy.
    around = {name: ",".join(filter(None, [operator.get(name), _OURSELVES])) for name in ("no_proxy", "NO_PROXY")}
    return plain | safe | (around if safe else {})


def service_environment(
    settings: Settings, layout: Layout, hub_pid: int, operator: Mapping[str, str]
) -> dict[str, str]:
    """The environment of the services that the hub starts beside itself: the lab's marker and all of its settings."""
    secret = settings.oidc.client_secret_env
    given = {name: value for name, value in operator.items() if name.startswith("EARTHLAB") and name != secret}
    return {
        **given,
        **plan_cubes(settings, layout),
        # The gateway passes it on to its workers.
        "EARTHLAB__CATALOGUE__SIGNING": f"{local_url(settings.lab)}/services/signing",
        MARKER: layout.lab_id,
        HUB_PID: str(hub_pid),
        HEAD: str(resolve_head(operator)),
        "EARTHLAB__LAB__STATE": str(layout.state),
        "EARTHLAB__LAB__PORT": str(settings.lab.port),
        "EARTHLAB__LAB__ACCOUNTS": settings.lab.accounts,
        "PYTHONUNBUFFERED": "1",
    }


def activity_interval(settings: Settings) -> int:
    """Seconds between a server's reports of activity: rare enough for 150 servers, four in each idle period."""
    return max(15, min(3600, settings.hub.idle_minutes * 60 // 4))
