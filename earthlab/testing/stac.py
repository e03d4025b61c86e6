"""The real STAC service for tests: as the hub starts it, with a stand-in for the hub behind it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.services.doors import Authenticate, Caller
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.ports import free_row

SERVICE = "stac"
ACCESS_STAC = f"access:services!service={SERVICE}"
PREFIX = "/services/stac/"
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class ServedCatalogue:
    """A running STAC service."""

    url: str
    """Its landing page, with a slash at the end."""
    token: str
    pid: int
    hub: HubApi
    """The hub's side: more tokens may be added while it runs."""

    @property
    def headers(self) -> dict[str, str]:
        """What a request has to carry."""
        return {"Authorization": f"token {self.token}"}


def one_token(token: str, owner: str = "participant") -> Authenticate:
    """An authenticator that knows exactly one token, for `earthlab.services.stac.app.create_app`."""

    async def authenticate(found: str) -> Caller | None:
        return Caller(owner) if found == token else None

    return authenticate


@contextmanager
def serve_catalogue(folder: Path, token: str = "jeton-d-essai") -> Iterator[ServedCatalogue]:  # noqa: S107 - a test's
    """The STAC service over a built catalogue, in a process of its own, for as long as the context lasts.

    Parameters
    ----------
    folder : Path
        What `earthlab.services.stac.archive.build_catalogue` made.
    token : str
        The token of the user ``participant``; any other is refused.

    Raises
    ------
    SetupError
        Where the service does not start; the message is its own.
    """
    with serve_hub_api() as hub:
        hub.tokens[token] = Token("participant", scopes=(ACCESS_STAC,))
        port = free_row(1)
        process = subprocess.Popen(
            [sys.executable, "-m", "earthlab.services.stac", "--folder", str(folder)],
            env=_environment(hub, port, folder),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _wait(process, port)
            yield ServedCatalogue(f"http://127.0.0.1:{port}{PREFIX}", token, process.pid, hub)
        finally:
            _stop(process)


def _environment(hub: HubApi, port: int, folder: Path) -> dict[str, str]:
    return {
        "EARTHLAB__CUBES__STORE": str(folder.parent / "cubes"),
        **{name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")},
        "JUPYTERHUB_API_URL": hub.url,
        "JUPYTERHUB_SERVICE_NAME": SERVICE,
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
    }


def _wait(process: "subprocess.Popen[str]", port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = process.stderr.read().strip() if process.stderr else ""
            raise SetupError(f"The STAC service ended with {process.returncode}: {said}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise SetupError(f"The STAC service did not answer on port {port} within {_PATIENCE:.0f} s.")


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stderr:
        process.stderr.close()
