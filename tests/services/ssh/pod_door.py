"""The ssh door of a cluster, before servers that stand for pods: Jupyter's own, behind the hub's proxy."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from earthlab.hub.configure import node, proxy_program
from earthlab.hub.keys import KeyStore
from earthlab.services.ssh.lines import BASE
from earthlab.testing.hub_api import Token, serve_hub_api
from earthlab.testing.ports import free_row
from tests.patience import PATIENCE, eventually
from tests.services.ssh.running_door import OWN, RunningDoor, read_fingerprint

SERVICE_TOKEN = "own"


@dataclass
class PodDoor(RunningDoor):
    proxy_port: int = 0
    pods: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "EARTHLAB__KUBERNETES__ENABLED": "true",
            "EARTHLAB__KUBERNETES__SERVICES": f"http://127.0.0.1:{self.proxy_port}/services",
        }
        return super().environment | ours

    def start_proxy(self) -> None:
        line = [node(), proxy_program(), "--ip=127.0.0.1", f"--port={self.proxy_port}", "--api-ip=127.0.0.1"]
        line += [f"--api-port={self.proxy_port + 1}", "--log-level=warn"]
        words = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": "jeton"}
        self.proxy = subprocess.Popen([*map(str, line)], env=words, stdin=subprocess.DEVNULL)
        eventually(lambda: self._routes().status_code == 200, what="the proxy")

    def _routes(self, path: str = "", **words) -> httpx.Response:
        try:
            return httpx.request(
                words.pop("method", "GET"),
                f"http://127.0.0.1:{self.proxy_port + 1}/api/routes{path}",
                headers={"Authorization": "token jeton"},
                **words,
            )
        except httpx.TransportError:
            return httpx.Response(503)

    def add_user(self, name: str) -> Path:
        file = super().add_user(name)
        fingerprint = read_fingerprint(file)
        found = KeyStore(self.layout.keys).find(name, fingerprint)
        self.hub.keys[name, fingerprint] = asdict(found)
        KeyStore(self.layout.keys).forget(name)
        return file

    def launch(self, name: str) -> bool:
        """What KubeSpawner and the proxy do when a server starts."""
        home = self.home(name)
        home.mkdir(parents=True, exist_ok=True)
        port = free_row(1)
        options = [
            "--ServerApp.jpserver_extensions=earthlab.services.ssh.inside=True",
            f"--ServerApp.base_url=/user/{name}/", f"--ServerApp.port={port}", f"--ServerApp.root_dir={home}",
            f"--IdentityProvider.token={SERVICE_TOKEN}", "--ServerApp.allow_root=True", "--no-browser",
            "--ServerApp.allow_unauthenticated_access=False",
        ]  # fmt: skip
        with (self.folder / f"pod-{name}.log").open("a") as log:
            self.pods[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "jupyter_server", *options],
                env=self.pod_environment(name), cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        eventually(lambda: _listens(port), what=f"the pod of {name}")
        made = self._routes(f"/user/{name}", method="POST", json={"target": f"http://127.0.0.1:{port}"})
        assert made.status_code == 201
        return True

    def pod_environment(self, name: str) -> dict[str, str]:
        kept = {each: os.environ[each] for each in ("LANG", "TZ") if each in os.environ}
        return kept | {
            "PATH": f"{Path(sys.prefix).resolve()}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home(name)),
            "SHELL": "/bin/bash",
            "JUPYTERHUB_API_TOKEN": f"server-token-of-{name}",
            "JUPYTER_RUNTIME_DIR": str(self.home(name) / "run"),
            **self.extra,
        }

    def home(self, name: str) -> Path:
        return self.folder / "pods" / name

    def stop_server(self, name: str) -> None:
        self.hub.active.discard(name)
        self._routes(f"/user/{name}", method="DELETE")
        pod = self.pods.pop(name)
        pod.kill()
        pod.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        for name in [*self.pods]:
            self.stop_server(name)
        self.proxy.terminate()
        self.proxy.wait(PATIENCE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def pod_door(**words):
    """A door of a cluster that listens; nothing is left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-pods-", dir="/var/tmp"))
    with serve_hub_api() as hub:
        hub.tokens[SERVICE_TOKEN] = Token("ssh", "service", (*OWN, "custom:earthlab:keys"))
        door = PodDoor(folder, hub, free_row(1), words, proxy_port=free_row(2))
        hub.start = door.launch
        door.start_proxy()
        try:
            yield door.start()
        finally:
            door.close()
            shutil.rmtree(folder)


def line_url(door: PodDoor, name: str, path: str) -> str:
    """Of a WebSocket of the inside of a pod."""
    assert path.startswith(BASE)
    return f"ws://127.0.0.1:{door.proxy_port}/user/{name}/{path}"
