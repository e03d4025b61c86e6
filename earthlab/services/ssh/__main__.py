"""``python -m earthlab.services.ssh``: the ssh door, as the hub starts it."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import asyncssh

from earthlab.errors import CatalogueUnavailable, SetupError
from earthlab.hub.hostkeys import NAME, public_file
from earthlab.hub.keys import KeyStore
from earthlab.hub.layout import resolve_accounts, resolve_layout, resolve_ssh_port
from earthlab.services.book import Book
from earthlab.services.doors import HubTokens, resolve_hub
from earthlab.services.ssh.door import Door, open_door
from earthlab.services.ssh.landings import Machine
from earthlab.services.ssh.pods import Pods
from earthlab.services.ssh.registry import HubKeys, hub_keys
from earthlab.services.ssh.servers import Servers
from earthlab.services.ssh.signin import Keys, Register
from earthlab.services.starting import run_service
from earthlab.settings import Settings, load_settings

_BINDS_WITHIN = 30.0
"""Seconds for an earlier door to let go of the port."""

_ANNOUNCES_EVERY = 5.0
"""Seconds between telling a hub that is away."""


def main() -> int:
    """Serve until the hub says stop; 1 where that cannot be, with one line that says what to do."""
    return run_service(lambda: asyncio.run(serve(os.environ)))


async def serve(environ: Mapping[str, str]) -> None:
    """Serve at the address of the settings.

    Raises
    ------
    SetupError
        Where no hub started this process, or the port is taken.
    """
    settings = load_settings(environ=environ)
    door = plan_door(settings, environ)
    door.ground.sweep()
    key = keep_host_key(resolve_layout(settings).ssh)
    stopping = asyncio.Event()
    for sent in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sent, stopping.set)
    announcing = asyncio.create_task(_announce(door.register.keys, key))
    address, port = settings.ssh.address or settings.lab.address, resolve_ssh_port(settings)
    acceptor = await _open_patiently(door, key, address, port)
    watch, stop = asyncio.create_task(door.watch()), asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({watch, stop}, return_when=asyncio.FIRST_COMPLETED)
    acceptor.close()
    watch.cancel()
    announcing.cancel()
    await door.close()
    if watch in done:
        # Without it nothing would end in time: the hub starts another door.
        watch.result()


def plan_door(settings: Settings, environ: Mapping[str, str]) -> Door:
    """The door that the settings describe, in front of the hub that the environment names.

    Raises
    ------
    SetupError
        Where no hub started this process.
    """
    layout, hub = resolve_layout(settings), resolve_hub(environ)
    token = environ.get("JUPYTERHUB_API_TOKEN", "")
    if not token:
        raise SetupError("The ssh door is started by the hub, which gives it a token: make lab.")
    authenticate, servers, book = HubTokens(hub, keep=0.0), Servers(hub.url, token), Book(layout.ssh, "ssh")
    if settings.kubernetes.enabled:
        register = Register(authenticate, servers, hub_keys(hub.url, token), keys_are_near=False)
        return Door(Pods(resolve_proxy(settings), servers), settings.ssh, register, book)
    register = Register(authenticate, servers, KeyStore(layout.keys))
    return Door(Machine(layout, resolve_accounts(settings)), settings.ssh, register, book)


def resolve_proxy(settings: Settings) -> str:
    """The address of the hub's proxy inside of a cluster, without a path.

    Raises
    ------
    SetupError
        Where the settings name none.
    """
    found = urlsplit(settings.kubernetes.services)
    if found.scheme not in {"http", "https"} or not found.netloc:
        raise SetupError(
            f"kubernetes.services is {settings.kubernetes.services!r}, expected an address such as "
            "http://proxy-public/services. Set EARTHLAB__KUBERNETES__SERVICES."
        )
    return f"{found.scheme}://{found.netloc}"


async def _announce(keys: Keys, key: asyncssh.SSHKey) -> None:
    """Have the hub's page show the door's key, where the hub cannot read it from a file."""
    if not isinstance(keys, HubKeys):
        return
    line = key.export_public_key("openssh").decode().strip()
    while True:
        try:
            await asyncio.to_thread(keys.announce, line)
        except CatalogueUnavailable:
            await asyncio.sleep(_ANNOUNCES_EVERY)
        else:
            return


def keep_host_key(folder: Path) -> asyncssh.SSHKey:
    """The door's own key, made at the first start and kept for good; its public half lies beside it.

    Raises
    ------
    SetupError
        Where it cannot be read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / NAME
    try:
        if not file.exists():
            _make_host_key(file)
        key = asyncssh.read_private_key(file)
    except (OSError, asyncssh.KeyImportError) as exc:
        raise SetupError(f"the ssh door's key {file} cannot be read ({exc}). Put a copy back, or remove it.") from exc
    public_file(folder).write_bytes(key.export_public_key("openssh"))
    return key


def _make_host_key(file: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="earthlab")
    fresh = file.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(key.export_private_key("openssh"))
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


async def _open_patiently(door: Door, key: asyncssh.SSHKey, address: str, port: int) -> asyncio.Server:
    until = asyncio.get_running_loop().time() + _BINDS_WITHIN
    while True:
        try:
            return await open_door(door, key, address, port)
        except OSError as exc:
            if asyncio.get_running_loop().time() > until:
                raise SetupError(
                    f"port {port} of {address or 'this machine'} cannot be had ({exc.strerror}). "
                    "Stop what listens there, or set EARTHLAB__SSH__PORT."
                ) from exc
        await asyncio.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
