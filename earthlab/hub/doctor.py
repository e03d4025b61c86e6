"""Whether this machine can run the lab: each check says in one line what it found and what to do."""

import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from earthlab.errors import EarthlabError, SetupError
from earthlab.hub.cgroups import governed_group
from earthlab.hub.configure import node, proxy_program
from earthlab.hub.id_tokens import Unsound, parse_endpoints
from earthlab.hub.institution import metadata_url, resolve_institution
from earthlab.hub.layout import (
    Layout,
    interpreter,
    resolve_accounts,
    resolve_layout,
    resolve_ports,
    resolve_ssh_port,
)
from earthlab.hub.memory import read_free_memory
from earthlab.hub.prepare import lab_runs, make_folders
from earthlab.settings import Settings

_ROOM = 1024**3
_NOBODY = 65534
_DOOR_WITHIN = 6.0
"""Seconds that the ssh door may take to speak: who came too often before waits."""

_ISSUER_WITHIN = 6.0
"""Seconds that an institution may take to say what it offers."""

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; a ``fault`` keeps the lab from starting."""

    level: Level
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    """One finding a check, as each is made. Makes the lab's folders, and changes nothing else."""
    layout = resolve_layout(settings)
    first = _outcome(_check_folders, settings, layout)
    yield first
    # Without its folders nothing more can be said of the lab.
    rest = (_check_room, _check_ports, _check_ssh, _check_proxy, _check_accounts, _check_open_files, _check_memory)
    for check in (*rest, _check_groups, _check_institution) if first.level == "ok" else ():
        yield _outcome(check, settings, layout)


def _outcome(check: Callable[[Settings, Layout], Finding], settings: Settings, layout: Layout) -> Finding:
    try:
        return check(settings, layout)
    except EarthlabError as exc:
        return Finding("fault", str(exc))


def refuse_unfit_machine(settings: Settings) -> list[Finding]:
    """The findings that are only warnings.

    Raises
    ------
    SetupError
        For the first fault.
    """
    warnings = []
    for finding in examine(settings):
        if finding.level == "fault":
            raise SetupError(finding.text)
        if finding.level == "warning":
            warnings.append(finding)
    return warnings


def _check_folders(_settings: Settings, layout: Layout) -> Finding:
    make_folders(layout)
    for folder in (layout.state, layout.hub, layout.catalogue, layout.run):
        _write_something(folder)
    return Finding("ok", f"state folder {layout.state} is ours and writable")


def _write_something(folder: Path) -> None:
    trial = folder / ".earthlab-trial"
    try:
        trial.write_bytes(b"x" * 4096)
        trial.unlink()
    except OSError as exc:
        raise SetupError(
            f"{folder} cannot be written: {exc.strerror}. Free space or mend its rights, or set EARTHLAB__LAB__STATE."
        ) from exc


def _check_room(_settings: Settings, layout: Layout) -> Finding:
    free = shutil.disk_usage(layout.state).free
    if free < _ROOM:
        raise SetupError(
            f"only {free // 2**20} MiB are free under {layout.state}, expected {_ROOM // 2**20}. "
            "Free space, or set EARTHLAB__LAB__STATE to a folder on a larger disk."
        )
    return Finding("ok", f"{free // 2**30} GiB free under {layout.state}")


def _check_ports(settings: Settings, layout: Layout) -> Finding:
    ports = resolve_ports(settings)
    if lab_runs(layout):
        return Finding("ok", f"this lab runs already, on port {ports.public}")
    for name in (field.name for field in fields(ports)):
        address = settings.lab.address if name == "public" else "127.0.0.1"
        _refuse_taken(address, getattr(ports, name))
    return Finding("ok", f"ports {ports.public} to {ports.tiles} are free")


def _refuse_taken(address: str, port: int) -> None:
    if why := _find_hindrance(address, port):
        raise SetupError(
            f"{why}. The lab takes ten ports in a row: end that program, or choose another first port: "
            "make lab EARTHLAB__LAB__PORT=8100"
        )


def _find_hindrance(address: str, port: int) -> str:
    """Why a port cannot be listened on; empty where it can."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as exc:
            return f"port {port} on {address} cannot be used: {exc.strerror}{_holder(port)}"
    return ""


def _holder(port: int) -> str:
    import psutil  # only for this message

    with suppress(psutil.Error):
        for link in psutil.net_connections("tcp"):
            if link.status == psutil.CONN_LISTEN and link.laddr[1:2] == (port,) and link.pid:
                return f" (held by process {link.pid}, {psutil.Process(link.pid).name()})"
    return ""


def _check_ssh(settings: Settings, layout: Layout) -> Finding:
    if not settings.ssh.enabled:
        return Finding("ok", "nobody comes in by ssh (ssh.enabled)")
    address, port = settings.ssh.address or settings.lab.address, resolve_ssh_port(settings)
    if lab_runs(layout):
        if not _speaks_ssh(address, port):
            return Finding("warning", f"the ssh door does not answer on port {port} of {address}: see the lab's log")
    elif why := _find_hindrance(address, port):
        # The lab is worth something without it.
        return Finding("warning", f"{why}, so that nobody comes in by ssh. Set EARTHLAB__SSH__PORT")
    state = "answers" if lab_runs(layout) else "is free"
    alone = address in {"localhost", "::1"} or address.startswith("127.")
    reach = " from this machine alone (EARTHLAB__SSH__ADDRESS)" if alone else ""
    return Finding("ok", f"the port of ssh, {port}, {state}{reach}")


def _speaks_ssh(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address or "127.0.0.1", port), timeout=_DOOR_WITHIN) as line:
            return line.recv(8) == b"SSH-2.0-"
    except OSError:
        return False


def _check_proxy(_settings: Settings, _layout: Layout) -> Finding:
    if not os.access(node(), os.X_OK):
        raise SetupError(f"Node is missing: {node()} cannot be run. Run `make setup`.")
    if not proxy_program().is_file():
        raise SetupError(f"the proxy is missing: {proxy_program()} does not exist. Run `make setup`.")
    return Finding("ok", "Node and the proxy are installed")


def _check_accounts(settings: Settings, layout: Layout) -> Finding:
    if resolve_accounts(settings) == "shared" and os.getuid():
        return Finding("warning", "users share one account: they are not separated from one another")
    if shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin") is None:
        raise SetupError("useradd is missing, so users cannot have accounts. Install it (Debian: apt install passwd).")
    _refuse_unreachable(layout)
    if resolve_accounts(settings) == "shared":
        return Finding("warning", "users share one account: they are not separated from one another")
    return Finding("ok", "each user gets a Unix account of their own")


def _refuse_unreachable(layout: Layout) -> None:
    """Try as a stranger what every user's server must be able to do."""
    trial = f"import os, earthlab; os.stat({str(layout.homes / '.')!r}); os.listdir({str(layout.catalogue)!r})"
    try:
        done = subprocess.run(
            [str(interpreter()), "-P", "-c", trial],
            user=_NOBODY, group=_NOBODY, extra_groups=[], capture_output=True, text=True, check=False, cwd="/", env={},
        )  # fmt: skip
    except PermissionError as exc:
        raise SetupError(_unreachable(str(interpreter()), layout)) from exc
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise SetupError(_unreachable(said[-1] if said else "no reason given", layout))


def _unreachable(what: str, layout: Layout) -> str:
    return (
        f"other accounts cannot reach what their servers need ({what}). Run `make lab`, which installs where they can, "
        f"and keep EARTHLAB__LAB__STATE (now {layout.state}) in a folder that everybody may pass through (chmod o+x)."
    )


def _check_open_files(_settings: Settings, _layout: Layout) -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 1024:
        raise SetupError(f"only {hard} files may be open at a time, expected 1024 or more. Raise it: ulimit -Hn 8192.")
    if hard != resource.RLIM_INFINITY and hard < 4096:
        return Finding(
            "warning", f"only {hard} files may be open at a time: enough for some 50 users (ulimit -Hn 8192)"
        )
    return Finding("ok", "enough files may be open at a time")


def _check_memory(_settings: Settings, _layout: Layout) -> Finding:
    free = read_free_memory()
    if free < 2 * 1024**3:
        return Finding("warning", f"only {free // 2**20} MiB of memory are free; a user at work takes about 1 GiB")
    return Finding("ok", f"{free // 2**30} GiB of memory are free")


def _check_groups(settings: Settings, _layout: Layout) -> Finding:
    own, memory = governed_group(), settings.hub.server_memory
    if own:
        return Finding("ok", f"each user may take {memory} in all (control groups, version {own.version})")
    return Finding(
        "warning",
        f"no control groups can be made: each process of a user may take {memory}, so that one user may take all. "
        "Start the lab as root, or under systemd with Delegate=yes",
    )


def _check_institution(settings: Settings, _layout: Layout) -> Finding:
    institution = resolve_institution(settings.oidc)
    if institution is None:
        return Finding("ok", "nobody signs in with an institution (oidc.issuer)")
    import requests  # only where there is one

    name = institution.label["en"]
    try:
        answer = requests.get(metadata_url(institution.issuer), timeout=_ISSUER_WITHIN, allow_redirects=False)
        answer.raise_for_status()
        parse_endpoints(answer.json(), institution.issuer)
    except (requests.RequestException, Unsound) as exc:
        # Links and passes let people in without it.
        return Finding("warning", f"nobody can sign in with {name}: {exc} Look at oidc.issuer and docs/sign-in.md")
    return Finding("ok", f"{name} says where to sign in; its client's secret is at hand")
