"""A hub as the JupyterHub chart starts it: its configuration, KubeSpawner, a cluster's API and a real PostgreSQL."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx

from earthlab.hub.configure import node, proxy_program
from earthlab.hub.links import LinkStore
from earthlab.testing.answering import answering
from earthlab.testing.databases import Postgres, serve_postgres
from earthlab.testing.kubernetes_api import KubernetesApi, serve_kubernetes_api
from earthlab.testing.ports import free_row
from tests.patience import eventually

TOKENS = {
    name: f"jeton-de-{name}-{'0' * 20}"
    for name in ("stac", "signing", "tiles", "workshops", "ssh", "dask-gateway", "prometheus")
}

# What of the chart's own file matters here, in its order; the real one is run where `EARTHLAB_CHARTS` has it.
AS_THE_CHART = """
import os
c = get_config()
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.ConfigurableHTTPProxy.api_url = os.environ["PROXY_API"]
c.ConfigurableHTTPProxy.should_start = False
c.JupyterHub.cleanup_servers = False
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.db_url = {database!r}
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.KubeSpawner.common_labels = {{"app": "jupyterhub", "release": "labo"}}
c.KubeSpawner.namespace = "earthlab"
c.KubeSpawner.image = "earthlab/lab:0.1.0"
c.KubeSpawner.environment = {{"DU_CHART": "oui"}}
c.KubeSpawner.extra_labels = {{"hub.jupyter.org/network-access-hub": "true"}}
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.storage_capacity = "10Gi"
c.KubeSpawner.volumes = {{
    "home": {{"name": "volume-{{user_server}}", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}}
}}
c.KubeSpawner.volume_mounts = {{
    "volume-{{user_server}}": {{"mountPath": "/home/earthlab", "name": "volume-{{user_server}}"}}
}}
c.KubeSpawner.port = {pod}
c.JupyterHub.services = [{{"name": name, "api_token": token}} for name, token in {tokens!r}.items()]
c.JupyterHub.load_roles = [{{"name": "prometheus", "scopes": ["read:metrics"], "services": ["prometheus"]}}]
c.JupyterHub.cookie_secret = bytes(32)
exec({extra!r})
"""
EXTRA = "from earthlab.hub.setting_up import set_up\nset_up(c)\n"


def inside_of(number: int) -> str:
    """Where the names of the chart's services lead to, for one hub and its proxy alone; by a port of theirs."""
    return f"127.77.{number % 250}.1"


HOSTS = {"earthlab-stac", "earthlab-signing", "earthlab-tiles", "earthlab-workshops", "traefik-dask-gateway"}


def with_hosts(hosts: Path, command: list[str]) -> list[str]:
    """A command that finds such a file in place of /etc/hosts; it takes root."""
    return ["unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh", *command]


class _Pod(BaseHTTPRequestHandler):
    """Stands for the JupyterLab of every pod, and for the services."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(f"<h1 id=in>{self.path}</h1>".encode())

    def log_message(self, *_):
        pass


@dataclass
class PodHub:
    folder: Path
    api: KubernetesApi
    database: Postgres
    first_port: int
    pod_port: int
    words: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    """More of the hub's environment."""
    places: dict[str, str] = field(default_factory=dict)
    """Addresses of services that are there, in place of the one that stands in for all."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.first_port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EARTHLAB", "JUPYTERHUB", "KUBERNETES"))}
        ours = {
            "LAB__STATE": str(self.folder / "state"),
            "KUBERNETES__ENABLED": "true",
            "SSH__PORT": "8022",
            **self.words,
        }
        return (
            kept
            | {f"EARTHLAB__{name}": value for name, value in ours.items()}
            | {
                "KUBECONFIG": str(self.folder / "kubeconfig"),
                "PGPASSWORD": self.database.password,
                "CONFIGPROXY_AUTH_TOKEN": "jeton-du-proxy",
                "PROXY_API": f"http://127.0.0.1:{self.first_port + 1}",
                **self.environ,
            }
        )

    @property
    def log(self) -> str:
        return (self.folder / "hub.log").read_text(errors="replace")

    def _inside(self, command: list[str]) -> list[str]:
        """A command for which the names of the cluster's services lead somewhere; that takes root."""
        if os.getuid() != 0:
            return command
        hosts, stands_in = self.folder / "hosts", inside_of(self.first_port)
        lines = [f"{self.places.get(name, stands_in)} {name}\n" for name in sorted(HOSTS)]
        hosts.write_text(Path("/etc/hosts").read_text() + "".join(lines))
        return with_hosts(hosts, command)

    def start_proxy(self):
        line = [node(), proxy_program(), "--ip=127.0.0.1", f"--port={self.first_port}", "--api-ip=127.0.0.1"]
        line += [
            f"--api-port={self.first_port + 1}",
            f"--error-target=http://127.0.0.1:{self.first_port + 2}/hub/error",
        ]
        with (self.folder / "proxy.log").open("a") as log:
            self.proxy = subprocess.Popen(
                self._inside([*map(str, line), "--log-level=warn"]),
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def start(self):
        self.api.write_config(self.folder / "kubeconfig")
        file = self.folder / "jupyterhub_config.py"
        places = {"hub": self.first_port + 2, "public": self.first_port, "pod": self.pod_port}
        file.write_text(AS_THE_CHART.format(database=self.database.url, tokens=TOKENS, extra=EXTRA, **places))
        with (self.folder / "hub.log").open("a") as log:
            self.process = subprocess.Popen(
                self._inside([sys.executable, "-m", "jupyterhub", "--config", str(file), "--upgrade-db"]),
                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        eventually(self._answers, what="the hub")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return httpx.get(f"{self.url}/hub/health", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        for process in (self.process, self.proxy):
            process.send_signal(signal.SIGTERM)
        for process in (self.process, self.proxy):
            process.wait()

    def link_for(self, user: str, to: str = "") -> str:
        code = LinkStore(self.folder / "state/hub/links.sqlite").create(user)
        return f"{self.url}/hub/entree?token={code}" + (f"&next={quote(to, safe='')}" if to else "")

    def visitor(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, follow_redirects=True, timeout=120)

    def ask(self, path: str, token: str, method: str = "GET", **words) -> httpx.Response:
        headers = {"Authorization": f"token {token}"}
        return httpx.request(method, f"{self.url}/hub/api/{path}", headers=headers, timeout=60, **words)

    def token_of(self, user: str) -> str:
        """A token of a user's own, as they make one on their page."""
        return self._run("token", user).split()[-1]

    def join(self, user: str, group: str) -> None:
        """Put somebody into a group, as an operator does."""
        token = self.token_of("earthlab")
        assert self.ask(f"groups/{group}", token, "POST").status_code in {201, 409}
        assert self.ask(f"groups/{group}/users", token, "POST", json={"users": [user]}).status_code == 200

    def starts(self, user: str) -> bool:
        """Whether a user's server is on its way."""
        return bool(self.ask(f"users/{user}", self.token_of(user)).json()["pending"])

    def _run(self, *words: str) -> str:
        file = self.folder / "jupyterhub_config.py"
        return subprocess.run(
            [sys.executable, "-m", "jupyterhub", *words, "--config", str(file)],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    def come_in(self, visitor: httpx.Client, user: str) -> httpx.Response:
        """Follow a link and wait for the server's page."""
        page = visitor.get(self.link_for(user))
        until = time.monotonic() + 120
        while "spawn-pending" in str(page.url) or "/hub/spawn" in str(page.url):
            assert time.monotonic() < until, self.log
            time.sleep(0.2)
            page = visitor.get(f"/user/{user}/")
        return page


@contextmanager
def stand_in(address: tuple[str, int]) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(address, _Pod)
    with answering(server):
        yield server


@contextmanager
def pod_hub(
    folder: Path, *, environ: dict[str, str] | None = None, places: dict[str, str] | None = None, **words: str
) -> Iterator[PodHub]:
    with ExitStack() as stack:
        server = stack.enter_context(stand_in(("127.0.0.1", 0)))
        row = free_row()
        if os.getuid() == 0:
            for port in (80, 8000):
                stack.enter_context(stand_in((inside_of(row), port)))
        api = stack.enter_context(serve_kubernetes_api())
        database = stack.enter_context(serve_postgres())
        hub = PodHub(folder, api, database, row, server.server_port, words, environ or {}, places or {})
        hub.start_proxy()
        stack.callback(hub.close)
        hub.start()
        yield hub


def words_of(pod: dict) -> dict[str, str]:
    """The environment of a pod's first container."""
    return {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}


def write_profiles(folder: Path, *profiles: dict) -> str:
    file = folder / "profiles.json"
    file.write_text(json.dumps(profiles))
    return str(file)


def take_seat(visitor: httpx.Client, code: str) -> httpx.Response:
    """Come in by a pass, as participants do."""
    page = visitor.get(f"/hub/entree?token={code}")
    secret = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert secret, page.text
    return visitor.post("/hub/login", data={"_xsrf": secret[1], "token": code})
