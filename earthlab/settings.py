"""The lab's settings: one frozen value, one parser, and for each field where its value came from.

Later sources win: packaged defaults, ``/etc/earthlab/earthlab.toml``, ``~/.config/earthlab/earthlab.toml``, the file
named by ``EARTHLAB_CONFIG``, environment variables ``EARTHLAB__SECTION__FIELD``, arguments. An unknown section or
field is an error that names the nearest known one.
"""

import math
import os
import re
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from earthlab.errors import SetupError, did_you_mean

PREFIX = "EARTHLAB__"

NO_STORE = "none"
"""As ``cubes.store``: there are no shared cubes."""

_UNITS = {"": 1, "b": 1} | {
    f"{prefix}{unit}": base**power
    for power, prefix in enumerate("kmgt", 1)
    for unit, base in (("b", 1000), ("ib", 1024))
}


@dataclass(frozen=True, slots=True)
class LabSettings:
    """Where the lab of one machine keeps its state and which address people open."""

    state: Path | None = None
    """Folder of everything the lab keeps; by default ``.lab`` in the checkout."""
    address: str = "127.0.0.1"
    port: int = 8000
    """Port people open; the next nine are used by the lab's own parts, on the loopback address."""
    first_user: str = "earthlab"
    """Whom the first sign-in link signs in; also the hub's administrator."""
    accounts: Literal["auto", "unix", "shared"] = "auto"
    """``unix``: an account of their own for each user (needs root); ``shared``: one for all; ``auto``: as possible."""


@dataclass(frozen=True, slots=True)
class HubSettings:
    """What the hub allows."""

    idle_minutes: int = 480
    """Minutes without use after which a server is stopped. A seat that rests takes little: a day's work outlives it."""
    server_memory: str = "4 GiB"
    """What a user's server, kernels and terminals may take together where the lab can make control groups; elsewhere
    what each of them may. Their clusters are counted apart, see ``compute.worker_memory``."""
    concurrent_starts: int = 0
    """Servers that start at a time at most, others wait in a queue; 0 fits it to the cores."""
    seats: int = 0
    """Servers there may be at a time; 0 for as many as memory takes."""
    seat_memory: str = "200 MiB"
    """What a seat in use is expected to take until enough of them have been measured."""
    left_minutes: float = 10
    """Minutes without an open page or a computation after which a seat goes to whoever waits for one; 0 for never."""
    reserve: str = "1 GiB"
    """Memory that no new seat may take: the machine's own, and room for those who are in to work."""
    metrics_names: bool = False
    """Whether metrics name users, instead of the numbers of their Unix accounts."""
    template: Literal["shared", "user", "off"] = "shared"
    """Of what servers, kernels, schedulers and workers are copies: ``shared``, of one process, so that all have its
    memory layout; ``user``, kernels alone, of a process of each user's own (4 s, some 300 MB); ``off``, of nothing."""
    parked: int = 1
    """Kernels that are kept ready for each user, while memory allows."""
    private_tmp: bool = True
    """Whether users have a /tmp, /var/tmp and /dev/shm of their own, which go with their server; takes root."""


@dataclass(frozen=True, slots=True)
class CatalogueSettings:
    """Which STAC API ``earthlab`` searches by default."""

    url: str = ""
    """Root of the STAC API; the hub sets it in every kernel."""
    timeout: float = 30.0
    """Seconds to wait for one answer."""
    retries: int = 2
    signers: str = ""
    """Who signs addresses before the usual signers do, separated by commas: names (``mtd``, ``mtd=https://…``) and
    ``package.module:factory``; ``none`` puts an end to it."""
    signing: str = ""
    """Address of the lab's signing broker; the hub sets it in every kernel and worker."""
    descriptors: Path | None = None
    """A folder of further descriptors of poles and providers (``*.toml``)."""
    endpoints: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Addresses in place of the descriptors' own, by the endpoint's id; in the environment ``id=url, id=url``."""
    everyone: str = ""
    """Whom a search of all poles asks besides the lab's catalogue: endpoints' ids, separated by commas, or ``none``;
    by default all."""
    patience: float = 60.0
    """Seconds after which a search of all poles goes on without those that have not answered."""
    origins: str = ""
    """Web origins whose pages may call the lab's STAC service with a token, separated by commas."""
    cache: str = "200 MiB"
    """What the answers of other people's catalogues may take in the user's cache folder."""


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """How long a read that fails is tried again, and how much may be fetched to read a part."""

    retries: int = 3
    budget: float = 120.0
    """Seconds after which no further attempt at one window is begun."""
    download: str = "1 GiB"
    """What may be fetched for one table from a server that gives no byte ranges; a temporary file holds it."""


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """Which Dask Gateway a kernel asks and how much one user may take of it."""

    gateway: str = ""
    """Address of the gateway's API; the hub sets it in every kernel."""
    gateway_proxy: str = ""
    """Address that clients use to reach schedulers."""
    max_clusters: int = 2
    """Clusters one user may have at a time."""
    max_workers: int = 4
    """Workers one user may have at a time, over all of their clusters."""
    total_workers: int = 0
    """Workers of all users together; 0 for four a core, and never more than the free memory takes."""
    worker_cores: int = 1
    worker_memory: str = "2 GiB"
    idle_timeout: float = 1800.0
    """Seconds without work after which a cluster stops itself."""
    lease: float = 30.0
    """Seconds a cluster outlives its last client."""
    turns: str = ""
    """Folder by which kernels take turns where the machine is full; the hub sets it in every kernel."""


@dataclass(frozen=True, slots=True)
class CubesSettings:
    """Where shared cubes are kept. Keys of a bucket are never a setting: they come from the environment (``AWS_…``)."""

    store: str = ""
    """A folder, or ``s3://bucket/prefix``; by default ``cubes`` in the lab's state or in the user's cache. ``none`` for
    no shared cubes, which is the default on a cluster: there a folder is one pod's own."""
    quota: str = "100 GiB"
    """What the store may hold; the cubes used least recently go first."""
    endpoint: str = ""
    """Address of the S3-compatible server; the environment's (``AWS_ENDPOINT``) by default."""
    region: str = ""
    patience: float = 120.0
    """Seconds for which reads and builds wait for a bucket that has answered before and is away."""
    group: str = ""
    """Group of accounts that build open cubes in a folder together; the owner alone by default."""
    access: str = ""
    """Access classes besides ``open`` that this user is a licensee of, separated by commas; the hub sets it."""
    warmed: str = ""
    """Tokens of cubes, separated by commas, that are opened from the store where a notebook opens them from their
    sources; the hub sets it for the seats of a workshop that was warmed."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Sign-in by an institution (OpenID Connect: Keycloak, EGI Check-in, eduGAIN), beside links and passes."""

    issuer: str = ""
    """The institution's address as its own metadata give it, ``https://…``; empty for no such sign-in."""
    client_id: str = ""
    """What the institution calls this lab."""
    client_secret_env: str = ""
    """The name of the environment variable that holds the client's secret. The secret itself is never a setting."""
    client_secret_file: Path | None = None
    """Or the file that holds it, which the hub's account alone may read (0600)."""
    callback: str = ""
    """The address that the institution leads back to, ``https://…/hub/institution/retour``; by default on the address
    under which the sign-in page was opened."""
    scopes: str = "openid profile"
    """Separated by spaces."""
    user_claim: str = "sub"
    """What an account is called at its first sign-in. Whose it is says ``sub`` alone, whatever it is called."""
    group_claim: str = "groups"
    """Where the institution says of which groups somebody is, such as ``realm_access.roles`` or
    ``entitlements``; several are separated by commas."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """The lab's groups, and the values of these claims of which one makes somebody a member."""
    allowed: str = ""
    """The lab's groups whose members may enter, separated by commas."""
    everybody: bool = False
    """Whether everybody may enter whom the institution signs in."""
    operators: str = ""
    """The lab's group whose members are operators, as ``lab.first_user`` is; none by default."""
    label_fr: str = "votre institution"
    label_en: str = "your institution"
    """What people call it: « Entrer avec … »."""


@dataclass(frozen=True, slots=True)
class SshSettings:
    """How people come in by ssh."""

    enabled: bool = True
    address: str = ""
    """Address that is listened on; the lab's own by default."""
    port: int = 0
    """0 for 22 after the lab's: 8022 beside 8000."""
    public_host: str = ""
    """The name by which people reach it, where that is not the one of the lab's pages: a load balancer's, a node's."""
    public_port: int = 0
    """The port by which people reach it, where that is another: a load balancer's, a node's; 0 for ``port``."""
    idle_minutes: int = 120
    """Minutes in which nothing passes, after which a connection is ended; 0 for never."""
    longest_hours: int = 24
    """Hours after which a connection is ended, whatever passes; 0 for never."""
    user_sessions: int = 20
    """Shells, commands and transfers that one user may have at a time."""
    sessions: int = 500
    """Those of all users together."""
    user_forwards: int = 100
    """Forwarded connections that one user may have at a time: an editor or a browser opens many."""
    forwards: int = 2000
    """Those of all users together."""
    post_quantum: bool = False
    """Whether only clients come in whose exchange of keys a quantum computer would not break (OpenSSH from 9.9)."""


@dataclass(frozen=True, slots=True)
class TilesSettings:
    """Pictures of shared cubes: on the map of JupyterLab, and as layers that a GIS opens."""

    enabled: bool = True


@dataclass(frozen=True, slots=True)
class WorkshopsSettings:
    """Workshops: who makes them, and of what."""

    enabled: bool = True
    organisers: str = ""
    """Who may, besides the members of the group ``organisateurs``: names, separated by commas; by default
    ``lab.first_user``."""
    repositories: Path | None = None
    """Folder under which git repositories of this machine may be read by ``file://…``; none by default."""


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """How the lab runs as pods of a cluster; the chart ``helm/earthlab`` sets all of it."""

    enabled: bool = False
    public: str = "http://localhost:8000"
    """The address that people open, as links for sign-in have it; this one is ``kubectl port-forward``'s."""
    services: str = "http://proxy-public/services"
    """Address at which pods reach the hub's services: the proxy's, inside of the cluster."""
    prefix: str = "earthlab"
    """What the names of the chart's own Kubernetes services begin with: ``earthlab-stac``."""
    gateway: str = "http://traefik-dask-gateway"
    """Address of Dask Gateway's API inside of the cluster; empty for no gateway."""
    gateway_proxy: str = "gateway://traefik-dask-gateway:80"
    """Address by which clients reach schedulers."""
    profiles: Path | None = None
    """File of the profiles that people choose of (JSON)."""
    catalogue_claim: str = ""
    """The STAC service's volume claim, whose files pods read at the addresses that the catalogue has for them."""
    cube_keys: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Secrets with the keys of shared cubes (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), by the access classes that they
    open beside ``open``, joined by ``--``; in the environment ``class=secret, class=secret``. What keys open is for the
    bucket's policy to say: a prefix for each class."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, and the source of each as ``sources["section.field"]``."""

    lab: LabSettings = LabSettings()
    hub: HubSettings = HubSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    reading: ReadingSettings = ReadingSettings()
    compute: ComputeSettings = ComputeSettings()
    cubes: CubesSettings = CubesSettings()
    oidc: OidcSettings = OidcSettings()
    ssh: SshSettings = SshSettings()
    tiles: TilesSettings = TilesSettings()
    workshops: WorkshopsSettings = WorkshopsSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    files: tuple[Path, ...] | None = None,
) -> Settings:
    """The settings in force for this process.

    Parameters
    ----------
    arguments : mapping, optional
        Values that win over all else, by dotted name: ``{"lab.port": 8100}``.
    environ : mapping, optional
        The environment to read; the process's own by default.
    files : tuple of Path, optional
        TOML files from weakest to strongest; the usual places by default.

    Raises
    ------
    SetupError
        For a file that is not TOML, an unknown name, or a value of the wrong type; the message names the source.
    """
    env = os.environ if environ is None else environ
    settings = Settings()
    for path in default_files(env) if files is None else files:
        settings = _apply(settings, _file_values(path), str(path))
    settings = _apply(settings, _env_values(env), "environment")
    return _apply(settings, dict(arguments or {}), "argument")


def default_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The settings files that are read, from weakest to strongest; those that do not exist are passed over."""
    config_home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/nonexistent")) / ".config")
    named = environ.get("EARTHLAB_CONFIG")
    paths = [Path("/etc/earthlab/earthlab.toml"), Path(config_home) / "earthlab" / "earthlab.toml"]
    if named and not Path(named).is_file():
        raise SetupError(f"EARTHLAB_CONFIG names {named}, which is not a file. Mend the path or unset the variable.")
    return (*paths, Path(named)) if named else tuple(paths)


def named_store(settings: Settings) -> str:
    """The store of shared cubes as set: `NO_STORE` where there is to be none, empty for the default place."""
    return settings.cubes.store or (NO_STORE if settings.kubernetes.enabled else "")


def require_store(settings: Settings) -> str:
    """The store of shared cubes as set; empty for the default place.

    Raises
    ------
    SetupError
        Where the lab keeps no shared cubes.
    """
    store = named_store(settings)
    if store == NO_STORE:
        raise SetupError(
            "Ce labo n’a pas d’entrepôt de cubes partagés (cubes.store) : sans share=True, le cube s’ouvre depuis ses "
            "sources. Pour partager, l’équipe du labo donne à cubes.store un seau s3://seau/préfixe. | This lab has no "
            "store of shared cubes (cubes.store): without share=True the cube opens from its sources. To share, the "
            "lab's team sets cubes.store to a bucket, s3://bucket/prefix."
        )
    return store


def resolve_cubes(settings: Settings) -> str:
    """Where shared cubes are kept: as set, else ``cubes`` in the lab's state, else in the user's cache.

    Raises
    ------
    SetupError
        Where the lab keeps none.
    """
    if store := require_store(settings):
        return store
    if settings.lab.state is not None:
        return str(settings.lab.state / "cubes")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return str(Path(cache) / "earthlab" / "cubes")


def show_settings(settings: Settings) -> str:
    """A table of every setting: name, value and where the value came from."""
    rows = [(name, str(_get(settings, name)), settings.sources.get(name, "default")) for name in field_names()]
    wide = [max(len(row[i]) for row in rows) for i in range(2)]
    return "\n".join(f"{n:<{wide[0]}}  {v:<{wide[1]}}  {s}" for n, v, s in rows)


def field_names() -> tuple[str, ...]:
    """Every setting by its dotted name."""
    return tuple(f"{section}.{f.name}" for section, kind in _sections().items() for f in fields(kind))


def _sections() -> dict[str, type[Any]]:
    hints = get_type_hints(Settings)
    return {f.name: hints[f.name] for f in fields(Settings) if f.name != "sources"}


def _get(settings: Settings, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)


def _file_values(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (IsADirectoryError, UnicodeDecodeError) as exc:
        raise SetupError(f"{path} is not a text file ({exc}). Put the settings there as TOML, or remove it.") from exc
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise SetupError(
            f"{path} is not valid TOML: {exc}. Mend the file; the lab reads none of it until then."
        ) from exc
    return dict(_flat(tables, path))


def _flat(tables: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise SetupError(f"{path}: {section!r} stands outside a section. {did_you_mean(section, _sections())}")
        for key, value in values.items():
            yield f"{section}.{key}", value


def _env_values(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        key.removeprefix(PREFIX).lower().replace("__", ".", 1): value
        for key, value in environ.items()
        if key.startswith(PREFIX)
    }


def _apply(settings: Settings, values: Mapping[str, Any], source: str) -> Settings:
    for name, value in values.items():
        if name not in field_names():
            raise SetupError(f"{source}: no setting is called {name!r}. {did_you_mean(name, field_names())}")
        section, _, key = name.partition(".")
        parsed = _parse_value(value, get_type_hints(_sections()[section])[key], name, source)
        changed = replace(getattr(settings, section), **{key: parsed})
        settings = replace(settings, **{section: changed}, sources={**settings.sources, name: source})
    return settings


def _parse_value(value: Any, hint: Any, name: str, source: str) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:
        hint = next(a for a in get_args(hint) if a is not type(None))
    if get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        raise _wrong_value(value, "one of " + ", ".join(get_args(hint)), name, source)
    try:
        return _PARSERS[hint](value)
    except (AttributeError, OverflowError, RuntimeError, TypeError, ValueError) as exc:
        raise _wrong_value(value, _EXPECTED[hint], name, source) from exc


def _parse_int(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError(value)
    return int(value)


def _parse_switch(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    try:
        return words[str(value).strip().lower()]
    except KeyError as exc:
        raise ValueError(value) from exc


def _parse_float(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not (math.isfinite(number) and number >= 0):
        raise ValueError(value)
    return number


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _parse_addresses(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        value = dict(pair.strip().split("=", 1) for pair in value.split(",") if pair.strip())
    return {_parse_text(name).strip(): _parse_text(url).strip() for name, url in value.items()}


def _parse_claims(value: Any) -> dict[str, tuple[str, ...]]:
    if isinstance(value, str):
        pairs = dict(pair.split("=", 1) for pair in value.split(",") if pair.strip())
        value = {group: claims.split(";") for group, claims in pairs.items()}
    return {group.strip(): _parse_texts(claims) for group, claims in value.items()}


def _parse_texts(value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else list(value)
    return tuple(_parse_text(text).strip() for text in texts)


def _parse_path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError(value)
    return Path(value).expanduser()


_PARSERS: Mapping[Any, Callable[[Any], Any]] = {
    bool: _parse_switch,
    int: _parse_int,
    float: _parse_float,
    str: _parse_text,
    Path: _parse_path,
    Mapping[str, str]: _parse_addresses,
    Mapping[str, tuple[str, ...]]: _parse_claims,
}
_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number, 0 or more",
    str: "text",
    Path: "a path",
    Mapping[str, str]: 'a table of id = "address", or the text id=address, id=address',
    Mapping[str, tuple[str, ...]]: 'a table of group = ["claim", …], or the text group=claim;claim, group=claim',
}


def _wrong_value(value: Any, expected: str, name: str, source: str) -> SetupError:
    return SetupError(f"{source}: {name} is {value!r}, expected {expected}.")


def parse_bytes(text: str, name: str) -> int:
    """The number of bytes in a text such as ``"2 GiB"``.

    Raises
    ------
    SetupError
        For any other text, naming the setting.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if not found or found[2].lower() not in _UNITS or float(found[1]) <= 0:
        raise SetupError(f'{name} is {text!r}, expected a size such as "2 GiB".')
    return int(float(found[1]) * _UNITS[found[2].lower()])
