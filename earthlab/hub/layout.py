"""Where a lab keeps its things and on which ports its parts answer: pure values, nothing is made or opened."""

import hashlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from earthlab.errors import SetupError
from earthlab.settings import LabSettings, Settings

MARKER = "EARTHLAB_LAB"
"""Environment variable, set to the lab's id, that every process of a lab carries."""

AccountMode = Literal["unix", "shared"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one lab. ``lab_id`` (8 hex digits) follows from ``state`` and tells labs of one machine apart."""

    state: Path
    run: Path
    lab_id: str

    @property
    def hub(self) -> Path:
        """Secrets, databases and logs of the hub: for the operator's eyes only (0700)."""
        return self.state / "hub"

    @property
    def homes(self) -> Path:
        """One folder a user, each 0700."""
        return self.state / "homes"

    @property
    def catalogue(self) -> Path:
        """The embedded catalogue, readable by every account."""
        return self.state / "catalogue"

    @property
    def cubes(self) -> Path:
        """Shared cubes, in which every account may build."""
        return self.state / "cubes"

    @property
    def tmp(self) -> Path:
        """What users find in place of /tmp and /var/tmp, for root's eyes only (0700): see `earthlab.hub.private`."""
        return self.state / "tmp"

    @property
    def shared_memory(self) -> Path:
        """What users find in place of /dev/shm: memory, not disk."""
        return Path(f"/dev/shm/earthlab-{self.lab_id}")  # noqa: S108

    @property
    def server_logs(self) -> Path:
        """One file a user: what their server and kernels have to say."""
        return self.hub / "servers"

    @property
    def log(self) -> Path:
        """What the hub and the parts it starts have to say."""
        return self.hub / "hub.log"

    @property
    def database(self) -> Path:
        """JupyterHub's own SQLite file."""
        return self.hub / "hub.sqlite"

    @property
    def proxy_pid(self) -> Path:
        """Where JupyterHub notes the pid of its proxy."""
        return self.hub / "proxy.pid"

    @property
    def links(self) -> Path:
        """Digests of the one-time sign-in links."""
        return self.hub / "links.sqlite"

    @property
    def identities(self) -> Path:
        """Which account belongs to whom at the institution: see `earthlab.hub.identities`."""
        return self.hub / "identities.sqlite"

    @property
    def keys(self) -> Path:
        """The public keys by which users sign in by ssh."""
        return self.hub / "keys.sqlite"

    @property
    def ssh(self) -> Path:
        """The host key and the book of the ssh door."""
        return self.hub / "ssh"

    @property
    def inside(self) -> Path:
        """One file a running server, for the operator's eyes only (0700): see `earthlab.hub.inside`."""
        return self.run / "inside"

    @property
    def turns(self) -> Path:
        """By whose locks kernels take turns where the machine is full: see `earthlab.compute.turns`."""
        return self.run / "turns"

    @property
    def passes(self) -> Path:
        """Seats of workshops, and digests of the codes that lead to them."""
        return self.hub / "passes.sqlite"

    @property
    def signing(self) -> Path:
        """Sealed keys and the book of the signing broker."""
        return self.hub / "signing"

    @property
    def layers(self) -> Path:
        """Digests of the addresses of layers for a GIS: see `earthlab.services.tiles`."""
        return self.hub / "layers.sqlite"

    @property
    def workshops(self) -> Path:
        """What participants of workshops are given, readable by every account; a folder each."""
        return self.state / "workshops"

    @property
    def rehearsal_token(self) -> Path:
        """With which `earthlab rehearse` removes its seats from the hub."""
        return self.hub / "rehearsal.token"

    @property
    def rehearsal_lock(self) -> Path:
        """Held for as long as a rehearsal, or its leaving, is under way."""
        return self.hub / "rehearsal.lock"

    @property
    def lock(self) -> Path:
        """Held for as long as this lab's hub runs."""
        return self.hub / "lock"


@dataclass(frozen=True, slots=True)
class Ports:
    """The lab's ports. People open ``public``; all others listen on the loopback address only."""

    public: int
    proxy_api: int
    hub_api: int
    stac: int
    gateway: int
    gateway_tls: int
    gateway_api: int
    signing: int
    workshops: int
    tiles: int


def resolve_ports(settings: Settings) -> Ports:
    """The ten ports in a row that begin with ``lab.port``.

    Raises
    ------
    SetupError
        Where the row does not fit between 1 and 65535.
    """
    first = settings.lab.port
    if not 1 <= first <= 65535 - 9:
        raise SetupError(
            f"lab.port is {first}, expected 1 to {65535 - 9}: the lab takes ten ports in a row from there. "
            "Set EARTHLAB__LAB__PORT."
        )
    return Ports(*range(first, first + 10))


def resolve_layout(settings: Settings) -> Layout:
    """The folders of the lab that these settings describe; none of them need exist."""
    state = (settings.lab.state or default_state()).resolve()
    lab_id = hashlib.sha256(os.fsencode(state)).hexdigest()[:8]
    return Layout(state=state, run=_run_folder(lab_id, os.getuid()), lab_id=lab_id)


def _run_folder(lab_id: str, uid: int) -> Path:
    # Sockets have at most 107 bytes of path: the state folder may lie too deep for them.
    return Path(f"/run/earthlab-{lab_id}") if uid == 0 else Path(f"/tmp/earthlab-{uid}-{lab_id}")  # noqa: S108


def default_state() -> Path:
    """``.lab`` in the checkout, or ``lab`` beside an environment that ``make setup`` put outside of it."""
    found = checkout()
    if found:
        return found / ".lab"
    prefix = Path(sys.prefix).resolve()
    return prefix.parent / ("lab" if prefix.name == "venv" else ".lab")


def checkout() -> Path | None:
    """The checkout that this package is run from, or ``None`` where it is installed."""
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "pyproject.toml").is_file() else None


def shipped(name: str) -> Path:
    """A file or folder that comes with the lab beside its code: in the checkout, else where the wheel put it."""
    found = checkout()
    return found / name if found else Path(sys.prefix).resolve() / "share" / "earthlab" / name


def interpreter() -> Path:
    """The Python of this environment by its real path: other accounts may not be able to reach a link to it."""
    return Path(sys.prefix).resolve() / "bin" / "python"


def resolve_accounts(settings: Settings, *, uid: int | None = None) -> AccountMode:
    """Whether each user gets a Unix account of their own.

    Raises
    ------
    SetupError
        Where ``lab.accounts`` asks for accounts and the hub does not run as root.
    """
    root = (os.getuid() if uid is None else uid) == 0
    if settings.lab.accounts == "unix" and not root:
        raise SetupError(
            "lab.accounts is 'unix', which takes root. Start the lab as root, or set EARTHLAB__LAB__ACCOUNTS=shared."
        )
    return "shared" if settings.lab.accounts == "shared" or not root else "unix"


def resolve_ssh_port(settings: Settings) -> int:
    """The port of the ssh door.

    Raises
    ------
    SetupError
        Where it is none.
    """
    return _checked_port(settings.ssh.port or settings.lab.port + 22, "port")


def people_ssh(settings: Settings, host: str) -> tuple[str, int]:
    """Name and port by which people reach the ssh door; ``host`` stands in where the settings have no name for it.

    Raises
    ------
    SetupError
        Where what they have is no name, or no port.
    """
    name, port = settings.ssh.public_host, settings.ssh.public_port
    if not re.fullmatch(r"[0-9A-Za-z.:-]{0,253}", name):
        raise SetupError(
            f"ssh.public_host is {name!r}, expected a name such as labo-ssh.example.org, without a port. "
            "Set EARTHLAB__SSH__PUBLIC_HOST."
        )
    return name or host, _checked_port(port, "public_port") if port else resolve_ssh_port(settings)


def _checked_port(port: int, name: str) -> int:
    if not 1 <= port <= 65535:
        raise SetupError(f"ssh.{name} is {port}, expected 1 to 65535. Set EARTHLAB__SSH__{name.upper()}.")
    return port


def local_url(lab: LabSettings) -> str:
    """The address by which the lab's own processes reach what people open."""
    return public_url(lab, "127.0.0.1")


def people_url(settings: Settings, host: str) -> str:
    """The address people open, on one machine or a cluster; see `public_url`."""
    kubernetes = settings.kubernetes
    return kubernetes.public.rstrip("/") if kubernetes.enabled else public_url(settings.lab, host)


def public_url(lab: LabSettings, host: str) -> str:
    """The address people open; ``host`` stands in where the lab listens on every address."""
    named = host if lab.address in {"", "0.0.0.0", "::"} else lab.address  # noqa: S104
    return f"http://{f'[{named}]' if ':' in named else named}:{lab.port}"
