"""The gateway's configuration: one pure function from layout, settings and environment to the gateway's own words."""

import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from earthlab.compute.environment import here
from earthlab.errors import SetupError
from earthlab.hub.accounts import Account, account_name
from earthlab.hub.layout import Layout, interpreter, resolve_ports
from earthlab.hub.private import FILES, open_private, plan_private
from earthlab.hub.template import template_socket
from earthlab.services.gateway.caps import total_workers
from earthlab.services.gateway.groups import open_cluster_group
from earthlab.services.gateway.leases import LEASE
from earthlab.settings import PREFIX, Settings

_HOST = "127.0.0.1"
_PASSED = ("LANG", "LC_ALL", "TZ", "EARTHLAB_CONFIG", *FILES)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def configure_gateway(
    c: Any,
    layout: Layout,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    account_of: Callable[[str], Account],
) -> None:
    """Set the lab's Dask Gateway on a traitlets configuration; touches nothing else.

    Parameters
    ----------
    c : traitlets.config.Config
        What is filled.
    layout : Layout
        Where the lab keeps things.
    settings : Settings
        The lab's settings.
    environ : mapping
        The environment that the hub gives its service.
    account_of : function
        From a hub user's name to the account of their processes.

    Raises
    ------
    SetupError
        Where a variable that the hub sets is missing, or the workers' memory cannot be read.
    """
    _set_addresses(c, settings, environ)
    _set_sign_in(c, environ)
    _set_clusters(c, settings)
    _set_backend(c, layout, settings, environ)
    places = plan_private(settings, layout, environ)
    c.EarthlabBackend.private_of = lambda user, account: open_private(
        layout, account_name(user, layout.lab_id), account, places
    )
    c.EarthlabBackend.account_of = account_of


def _set_addresses(c: Any, settings: Settings, environ: Mapping[str, str]) -> None:
    ports = resolve_ports(settings)
    c.DaskGateway.address = f"{_HOST}:{ports.gateway_api}"
    c.DaskGateway.log_format = "[%(levelname)1.1s %(asctime)s gateway] %(message)s"
    c.Proxy.address = f"{_HOST}:{ports.gateway}"
    c.Proxy.tcp_address = f"{_HOST}:{ports.gateway_tls}"
    c.Proxy.prefix = _required(environ, "JUPYTERHUB_SERVICE_PREFIX").rstrip("/")
    c.Proxy.proxy_status_period = 5.0
    c.EarthlabBackend.api_url = f"http://{_HOST}:{ports.gateway_api}/api"


def _set_sign_in(c: Any, environ: Mapping[str, str]) -> None:
    c.DaskGateway.authenticator_class = "earthlab.services.gateway.signin.HubTokens"
    c.HubTokens.jupyterhub_api_url = _required(environ, "JUPYTERHUB_API_URL")
    c.HubTokens.jupyterhub_api_token = _required(environ, "JUPYTERHUB_API_TOKEN")
    c.HubTokens.jupyterhub_service_name = _required(environ, "JUPYTERHUB_SERVICE_NAME")
    c.HubTokens.use_service_access_scopes = True


def _set_clusters(c: Any, settings: Settings) -> None:
    compute = settings.compute
    c.ClusterConfig.scheduler_cmd = [str(interpreter()), "-m", "distributed.cli.dask_scheduler"]
    c.ClusterConfig.worker_cmd = [str(interpreter()), "-m", "distributed.cli.dask_worker"]
    c.ClusterConfig.worker_cores = compute.worker_cores
    c.ClusterConfig.worker_memory = parse_memory(compute.worker_memory)
    c.ClusterConfig.idle_timeout = compute.idle_timeout
    c.ClusterConfig.adaptive_period = 1.0


def _set_backend(c: Any, layout: Layout, settings: Settings, environ: Mapping[str, str]) -> None:
    c.DaskGateway.backend_class = "earthlab.services.gateway.backend.EarthlabBackend"
    backend = c.EarthlabBackend
    # On disk, not under `run`, which is memory: blocks are spilled there because memory is full.
    backend.clusters_directory = str(layout.state / "clusters")
    backend.lab_id = layout.lab_id
    backend.max_clusters = settings.compute.max_clusters
    backend.max_workers = settings.compute.max_workers
    compute = settings.compute
    backend.total_workers = total_workers(compute.total_workers, compute.max_workers, os.cpu_count() or 1)
    backend.inherited_environment = list(_PASSED + _PROXIES)
    backend.process_environment = plan_environment(settings, environ)
    backend.template = template_socket(layout) if settings.hub.template == "shared" else None
    backend.group_of = partial(open_cluster_group, layout, parse_memory(settings.compute.worker_memory))
    backend.hub_api = _required(environ, "JUPYTERHUB_API_URL")
    backend.hub_token = _required(environ, "JUPYTERHUB_API_TOKEN")
    backend.offer = {"environment": here(), "worker_cores": settings.compute.worker_cores, "cores": os.cpu_count()}
    backend.cluster_status_period = 5.0
    backend.worker_status_period = 5.0
    backend.db_cluster_max_age = 3600.0


def plan_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """What every scheduler and worker gets: the lab's settings, as many threads as cores, no web pages."""
    ours = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    threads = dict.fromkeys(_THREADS, str(settings.compute.worker_cores))
    pages = {f"DASK_DISTRIBUTED__{node}__HTTP__ROUTES": "[]" for node in ("SCHEDULER", "WORKER")}
    # See `earthlab.compute.local.NO_PROFILE`.
    pages["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] = "false"
    path = f"{interpreter().parent}:/usr/local/bin:/usr/bin:/bin"
    return {"LANG": "C.UTF-8", "PATH": path, **ours, **threads, **pages, LEASE: str(settings.compute.lease)}


def parse_memory(text: str) -> int:
    """Bytes for a size such as ``"2 GiB"``, ``"512M"`` or ``"1.5g"``; units are powers of 1024."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text, re.IGNORECASE)
    if not found:
        raise SetupError(f'compute.worker_memory is {text!r}, expected a size such as "2 GiB" or "512 MiB".')
    return int(float(found[1]) * 2 ** _UNITS[found[2].lower()])


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise SetupError(
            f"{name} is not set. The gateway is a service of the hub, which sets it: start the lab with `make lab`."
        )
    return value
