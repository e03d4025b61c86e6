"""A real gateway beside a small stand-in for the hub's API, on free ports, with its own accounts and folders.

Its schedulers and workers are copies of one template of all tests, or ordinary processes.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from earthlab.hub.cgroups import lab_name, sweep
from earthlab.hub.layout import Layout, resolve_layout
from earthlab.hub.parts import classify
from earthlab.hub.private import sweep_private
from earthlab.hub.template import LIVES, template_socket
from earthlab.kernel.forks import ask_for_fork
from earthlab.kernel.groups import own_group
from earthlab.kernel.identity import own_identity
from earthlab.settings import ComputeSettings, load_settings
from earthlab.testing.accounts import remove_accounts
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.ports import free_row
from tests.kernel.running_kernel import answers
from tests.patience import PATIENCE, eventually

SERVICE_TOKEN = "secret-of-the-service"


@dataclass
class GatewayLab:
    hub: HubApi
    layout: Layout
    port: int
    process: subprocess.Popen = field(repr=False)
    log: Path = field(repr=False)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port + 4}/services/dask-gateway"

    @property
    def settings(self):
        return ComputeSettings(gateway=self.url, gateway_proxy=f"gateway://127.0.0.1:{self.port + 5}")

    def marked(self):
        """The processes of clusters of this lab that are not zombies, by pid with their name and command line."""
        mark = f"EARTHLAB_LAB={self.layout.lab_id}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marks = (folder / "environ").read_bytes().split(b"\0")
                if mark in marks and any(m.startswith(b"DASK_GATEWAY_CLUSTER_NAME=") for m in marks):
                    found[int(folder.name)] = (folder / "comm").read_text().strip(), (folder / "cmdline").read_bytes()
            except OSError:
                continue
        return found

    def workers(self):
        return [pid for pid, told in self.marked().items() if classify(*told) == "worker"]

    def schedulers(self):
        return [pid for pid, told in self.marked().items() if classify(*told) == "scheduler"]

    def copies(self):
        """Those of its processes that are copies of a template."""
        return [pid for pid, (name, _) in self.marked().items() if name in {"el-scheduler", "el-worker"}]

    def groups(self):
        """The control groups of its clusters, as the machine names them."""
        own = own_group()
        lab = own.below(lab_name(self.layout)).memory if own else None
        return [each.name for each in lab.iterdir() if each.is_dir()] if lab and lab.is_dir() else []

    def call(self, method, path, *, token=None, kind="jupyterhub", body=None):
        """Status and text of one request."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"{kind} {token}"} if token else {})}
        request = urllib.request.Request(
            self.url + path, method=method, headers=headers, data=None if body is None else body.encode()
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()


@pytest.fixture(name="eventually")
def _eventually():
    return eventually


@contextmanager
def run_template(socket, command=(sys.executable, "-P", "-m", "earthlab.kernel.template")):
    """A template whose owner we are, and which answers each gateway that we start."""
    options = ["--socket", str(socket), "--owner", str(os.getpid())]
    lives = [f"--life={name}={LIVES[name]}" for name in ("scheduler", "worker")]
    with subprocess.Popen([*command, *options, *lives]) as process:
        try:
            eventually(lambda: answers(socket))
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def template():
    folder = Path(tempfile.mkdtemp(prefix="el-"))
    socket, content = folder / "template.sock", {"folder": "/", "owner": os.getpid(), "arguments": ["--version"]}
    with run_template(socket):
        # It answers once it has imported all.
        copy = ask_for_fork(socket, "scheduler", own_identity(), {**content, "environment": {}}, seconds=120)
        assert copy.wait(PATIENCE) == 0
        yield socket
    shutil.rmtree(folder)


@contextmanager
def run_gateway(template=None, **settings):
    # Not pytest's own folder: that is closed to the accounts that workers run as.
    state = Path(tempfile.mkdtemp(prefix="earthlab-gateway-"))
    state.chmod(0o755)
    (state / "hub").mkdir(mode=0o700)
    (state / "homes").mkdir()
    port = free_row()
    layout = resolve_layout(load_settings({"lab.state": state}, environ={}, files=()))
    layout.run.mkdir(mode=0o711, exist_ok=True)
    if template:
        template_socket(layout).symlink_to(template)
    with serve_hub_api() as hub:
        hub.tokens = {
            SERVICE_TOKEN: Token("dask-gateway", "service", ("list:users", "read:users:groups", "tokens")),
            **{name: Token(name) for name in ("alice", "bob", "carol")},
            "without-right": Token("alice", scopes=()),
            "stac-service": Token("stac", "service"),
        }
        hub.active = {"alice", "bob"}
        environ = {
            "PATH": os.environ["PATH"],
            "JUPYTERHUB_API_URL": hub.url,
            "JUPYTERHUB_API_TOKEN": SERVICE_TOKEN,
            "JUPYTERHUB_SERVICE_NAME": "dask-gateway",
            "JUPYTERHUB_SERVICE_PREFIX": "/services/dask-gateway/",
            "EARTHLAB_LAB": layout.lab_id,
            "EARTHLAB__LAB__STATE": str(state),
            "EARTHLAB__LAB__PORT": str(port),
            "EARTHLAB__HUB__TEMPLATE": "shared" if template else "off",
            **settings,
        }
        log = state / "gateway.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "earthlab.services.gateway"], env=environ, stdout=output, stderr=output
            )
        lab = GatewayLab(hub, layout, port, process, log)
        try:
            eventually(lambda: process.poll() is not None or is_up(lab))
            yield lab
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
            assert sweep(layout) == []
            sweep_private(layout)
            remove_accounts(layout)
            shutil.rmtree(layout.run)
            shutil.rmtree(state)


def is_up(lab):
    try:
        return lab.call("GET", "/api/health")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def gateway_lab(template):
    with run_gateway(template, EARTHLAB__COMPUTE__LEASE="3") as lab:
        yield lab


@pytest.fixture
def full_gateway_lab():
    """A gateway of a machine that takes two workers in all, which are no copies."""
    with run_gateway(EARTHLAB__COMPUTE__TOTAL_WORKERS="2") as lab:
        yield lab


@pytest.fixture
def own_gateway_lab(template):
    """A gateway for one test, which may kill it."""
    with run_gateway(template) as lab:
        yield lab


@pytest.fixture
def cluster(gateway_lab, monkeypatch):
    """A function that starts a cluster as a hub user, in this process."""
    from earthlab.compute import cluster as start

    opened = []

    def as_user(user, *arguments, **options):
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", user)
        opened.append(start(*arguments, settings=gateway_lab.settings, **options))
        return opened[-1]

    yield as_user
    for one in opened:
        one.close()
    eventually(lambda: not gateway_lab.marked())
