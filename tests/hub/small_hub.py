"""The lab's own hub with its queue, pages and proxy, but without services; and servers that only say that they run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from earthlab.hub.cgroups import sweep
from earthlab.hub.layout import Layout, local_url, resolve_layout
from earthlab.hub.links import LinkStore, entry_url
from earthlab.hub.processes import end_lab_processes
from earthlab.settings import Settings, load_settings
from earthlab.testing.accounts import remove_accounts
from earthlab.testing.ports import free_row
from earthlab.testing.streams import read_events
from tests.patience import PATIENCE

OPERATOR = "earthlab"

_CONFIGURATION = """
import os
from earthlab.hub.configure import configure
from earthlab.hub.layout import MARKER, resolve_layout
from earthlab.hub.places import publish_metrics
from earthlab.hub.prepare import prepare_lab
from earthlab.settings import load_settings

settings = load_settings()
layout = resolve_layout(settings)
os.environ[MARKER] = layout.lab_id
lab_lock = prepare_lab(layout)
c = get_config()
configure(c, settings)
kept = set({kept!r})
c.JupyterHub.services = [service for service in c.JupyterHub.services if service["name"] in kept]
c.JupyterHub.load_roles = [role for role in c.JupyterHub.load_roles if kept.issuperset(role.get("services", ()))]
c.JupyterHub.spawner_class = "earthlab.hub.spawners.AccountSpawner"
c.AccountSpawner.cmd = [*c.AccountSpawner.cmd[:2], {server!r}, {launch!r}]
c.AccountSpawner.start_timeout = {start_timeout}
publish_metrics()
"""

_SERVER = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        status = self.path.endswith("/api/status")
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if status else "text/html; charset=utf-8")
        self.end_headers()
        page = "<title>JupyterLab</title><h1 id=in>Vous êtes dedans</h1>"
        connections = int(os.path.exists(os.environ["HOME"] + "/page"))
        self.wfile.write(json.dumps({"connections": connections}).encode() if status else page.encode())
    def log_message(self, *_):
        pass

time.sleep(float(sys.argv[1]))
while os.path.exists(os.path.dirname(os.path.abspath(__file__)) + "/held"):
    time.sleep(0.05)
open("/proc/self/comm", "w").write("el-server")
ThreadingHTTPServer(("127.0.0.1", urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port), Answers).serve_forever()
"""


@dataclass
class SmallHub:
    """A hub as a child process.

    Parameters
    ----------
    folder : Path
        One that every account may pass through.
    launch : float
        Seconds that a server takes before it answers.
    words : dict
        Settings by their names in the environment, without the prefix.
    kept : tuple of str
        Services of the lab's that this hub starts, too.
    """

    folder: Path
    port: int
    launch: float = 1.0
    start_timeout: int = 60
    words: dict[str, str] = field(default_factory=dict)
    kept: tuple[str, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EARTHLAB", "JUPYTERHUB"))}
        ours = {
            "LAB__STATE": str(self.folder / "lab"),
            "LAB__PORT": str(self.port),
            "HUB__TEMPLATE": "off",
            **self.words,
        }
        return kept | {f"EARTHLAB__{name}": value for name, value in ours.items()}

    @property
    def settings(self) -> Settings:
        return load_settings(environ=self.environment, files=())

    @property
    def layout(self) -> Layout:
        return resolve_layout(self.settings)

    @property
    def url(self) -> str:
        return local_url(self.settings.lab)

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def start(self) -> "SmallHub":
        server, config = self.folder / "server.py", self.folder / "config.py"
        server.write_text(_SERVER)
        config.write_text(
            _CONFIGURATION.format(
                server=str(server), launch=str(self.launch), start_timeout=self.start_timeout, kept=self.kept
            )
        )
        with (self.folder / "hub.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(config)],
                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while not self._answers():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.1)
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/hub/health").status_code == 200
        except httpx.TransportError:
            return False

    @contextmanager
    def held_starts(self) -> Iterator[None]:
        """No server answers before the block ends."""
        held = self.folder / "held"
        held.touch()
        try:
            yield
        finally:
            held.unlink()

    def link_for(self, user: str) -> str:
        return entry_url(self.url, LinkStore(self.layout.links).create(user))

    def kill(self) -> None:
        """What nobody expects: the hub ends at once, and all that it ran with it."""
        self.process.kill()
        self.process.wait(PATIENCE)
        end_lab_processes(self.layout)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        end_lab_processes(self.layout, patience=2)
        assert sweep(self.layout) == []
        remove_accounts(self.layout)

    def visitor(self, name: str) -> "Visitor":
        return Visitor(self, name, httpx.AsyncClient(base_url=self.url, follow_redirects=True, timeout=120))


@contextmanager
def small_hub(**words: Any) -> Iterator[SmallHub]:
    """A hub that runs; nothing is left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-hub-", dir="/var/tmp"))
    folder.chmod(0o755)
    hub = SmallHub(folder, free_row(), **words)
    try:
        yield hub.start()
    finally:
        hub.close()
        for left in (hub.layout.run, hub.layout.shared_memory):
            shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(folder)


@dataclass
class Visitor:
    """Somebody with a browser; notes the status of every page."""

    hub: SmallHub
    name: str
    client: httpx.AsyncClient
    seen: list[int] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def come(self) -> httpx.Response:
        """Follow one's link, up to the waiting page or into JupyterLab."""
        return await self.get(self.hub.link_for(self.name))

    async def get(self, path: str) -> httpx.Response:
        page = await self.client.get(path)
        self.seen += [answer.status_code for answer in (*page.history, page)]
        return page

    async def call(self, method: str, path: str) -> httpx.Response:
        xsrf = next(c.value for c in self.client.cookies.jar if c.name == "_xsrf" and c.path == "/hub/")
        return await self.client.request(method, f"/hub/api/{path}", headers={"X-XSRFToken": xsrf})

    async def events(self, page: httpx.Response):
        """What the waiting page is told, until it is told that the server is ready, or failed."""
        found = re.search(r'new EventSource\("([^"]+)"\)', page.text)
        assert found, page.text
        async with self.client.stream("GET", found[1].replace("&amp;", "&")) as stream:
            assert stream.status_code == 200
            async for _, event in read_events(stream):
                yield event
                if event.get("ready") or event.get("failed"):
                    return
