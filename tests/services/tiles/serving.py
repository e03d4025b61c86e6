"""The real service in a process of its own, as the hub starts it, with a stand-in for the hub behind it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.ports import free_row
from tests.patience import PATIENCE

PREFIX = "/services/tiles/"
MAY_USE = "access:services!service=tiles"


@dataclass(frozen=True)
class Served:
    """A running service."""

    url: str
    """Without a slash at the end."""
    pid: int
    hub: HubApi
    log: Path
    state: Path

    def client(self, token: str = "ana") -> httpx.Client:
        return httpx.Client(headers={"Authorization": f"token {token}"}, timeout=120)


@contextmanager
def serve_tiles(store: Path | str, folder: Path, **settings: str) -> Iterator[Served]:
    with serve_hub_api() as hub, (folder / "tiles.log").open("wb") as log:
        hub.tokens["own"] = Token("tiles", "service", ("read:groups", "read:users:groups", "read:roles:users"))
        hub.tokens["ana"] = Token("ana", scopes=(MAY_USE,))
        port = free_row(1)
        # Empty, as a pod's volume is at first.
        (folder / "state").mkdir(parents=True, exist_ok=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTERHUB_", "EARTHLAB"))}
        env |= {
            "EARTHLAB__CUBES__STORE": str(store),
            **{f"EARTHLAB__{name}": value for name, value in settings.items()},
            "EARTHLAB__LAB__STATE": str(folder / "state"),
            "JUPYTERHUB_API_URL": hub.url,
            "JUPYTERHUB_API_TOKEN": "own",
            "JUPYTERHUB_SERVICE_NAME": "tiles",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
        }
        process = subprocess.Popen([sys.executable, "-m", "earthlab.services.tiles"], env=env, stderr=log, stdout=log)
        try:
            wait(process, port)
            url = f"http://127.0.0.1:{port}{PREFIX.rstrip('/')}"
            yield Served(url, process.pid, hub, folder / "tiles.log", folder / "state")
        finally:
            process.terminate()
            assert process.wait(timeout=120) is not None


def wait(process: subprocess.Popen, port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the service ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("the service did not answer")
