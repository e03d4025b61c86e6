"""The hubs that are measured beside each other: our lab, and JupyterHub as its documentation starts it on one machine.

Stock runs every server as a process of its own (``SimpleLocalProcessSpawner``: as ``LocalProcessSpawner``, without an
account each), ``jupyterhub-singleuser`` and the kernel of ipykernel.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from earthlab.hub.configure import node, proxy_program
from earthlab.hub.layout import MARKER, resolve_layout
from earthlab.hub.links import ENTRY, LinkStore
from earthlab.hub.processes import end_lab_processes
from earthlab.rehearsal.behaviour import seat_name
from earthlab.rehearsal.leaving import remove_seats
from earthlab.rehearsal.running import Place
from earthlab.settings import load_settings
from earthlab.testing.accounts import remove_accounts
from earthlab.testing.ports import free_row

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder for as long as the block runs, which the users' accounts may pass through."""
    folder = Path(tempfile.mkdtemp(prefix=f"earthlab-bench-{name}-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def our_lab(folder: Path) -> Iterator[Place]:
    """Our lab with its state in a folder; nothing is left of it afterwards."""
    settings = load_settings({"lab.state": folder, "lab.port": free_row()}, files=())
    layout = resolve_layout(settings)
    links = LinkStore(layout.links)
    command = [
        str(Path(sys.prefix) / "bin" / "earthlab"),
        "lab",
        "--state",
        str(folder),
        "--port",
        str(settings.lab.port),
    ]
    origin = f"http://127.0.0.1:{settings.lab.port}"
    with _running(command, folder / "lab.log", _environment(), f"{origin}/services/dask-gateway/api/health"):
        yield Place(
            layout,
            origin,
            lambda user: f"/hub/{ENTRY}?token={links.create(user, 600)}",
            lambda: remove_seats(settings),
        )
    remove_accounts(layout)
    shutil.rmtree(layout.run, ignore_errors=True)


def _environment() -> dict[str, str]:
    samples = {} if "EARTHLAB_SAMPLES" in os.environ else {"EARTHLAB_SAMPLES": str(ROOT.parent / "shared" / "data")}
    return os.environ | samples


_STOCK_CONFIG = """
import os
from jupyterhub.auth import Authenticator

class Named(Authenticator):
    # Whoever names a seat is let in: the bench measures what comes after the door.
    auto_login = True

    async def authenticate(self, handler, data=None):
        return handler.get_argument("user", "") or None

c.JupyterHub.authenticator_class = Named
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/homes/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/lab"
c.Spawner.env_keep = ["PATH", "LANG", {marker!r}]
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {port} + 1
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:" + str({port} + 2)
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.cookie_secret_file = {folder!r} + "/cookie_secret"
c.JupyterHub.db_url = "sqlite:///" + {folder!r} + "/hub.sqlite"
c.JupyterHub.services = [{{"name": "bench", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{"name": "bench", "scopes": ["admin:users", "admin:servers"], "services": ["bench"]}}]
"""


@contextlib.contextmanager
def stock_hub(folder: Path) -> Iterator[Place]:
    """A stock hub, which lets in whoever names a seat."""
    port, token = free_row(), os.urandom(16).hex()
    layout = resolve_layout(load_settings({"lab.state": folder}, environ={}, files=()))
    (folder / "homes").mkdir(exist_ok=True)
    text = _STOCK_CONFIG.format(
        folder=str(folder),
        python=sys.executable,
        marker=MARKER,
        port=port,
        token=token,
        proxy=[str(node()), str(proxy_program())],
    )
    config = folder / "jupyterhub_config.py"
    config.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARTHLAB")}
    origin = f"http://127.0.0.1:{port}"
    with _running(command, folder / "hub.log", environment | {MARKER: layout.lab_id}, f"{origin}/hub/health"):
        yield Place(layout, origin, lambda user: f"/hub/login?user={user}", lambda: _clear(origin, token))
    end_lab_processes(layout, grace=5.0)


def _clear(origin: str, token: str) -> list[str]:
    left = []
    for number in range(1, 1000):
        request = urllib.request.Request(
            f"{origin}/hub/api/users/{seat_name(number)}", method="DELETE", headers={"Authorization": f"token {token}"}
        )
        try:
            urllib.request.urlopen(request, timeout=120).close()
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                break
            left.append(f"{seat_name(number)}: {exc.code}")
    return left


@contextlib.contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str], health: str) -> Iterator[None]:
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, cwd=log.parent, start_new_session=True
        ) as process,
    ):
        try:
            _wait_for(health, process, log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 240
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"it did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status < 400)
    except urllib.error.HTTPError as exc:
        return exc.code in {401, 403}
    except OSError:
        return False
