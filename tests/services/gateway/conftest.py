"""A real gateway beside a small stand-in for the hub's API, on free ports, with its own accounts and folders."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from earthlab.hub.cgroups import sweep
from earthlab.hub.layout import Layout, resolve_layout
from earthlab.settings import ComputeSettings, load_settings
from earthlab.testing.accounts import remove_accounts
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api

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
        """The processes of clusters of this lab that are not zombies, by pid with their command line."""
        mark = f"EARTHLAB_LAB={self.layout.lab_id}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marks = (folder / "environ").read_bytes().split(b"\0")
                if mark in marks and any(m.startswith(b"DASK_GATEWAY_CLUSTER_NAME=") for m in marks):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def nannies(self):
        return [pid for pid, command in self.marked().items() if "distributed.cli.dask_worker" in command]

    def schedulers(self):
        return [pid for pid, command in self.marked().items() if "distributed.cli.dask_scheduler" in command]

    def call(self, method, path, *, token=None, kind="jupyterhub", body=None):
        """Status and text of one request."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"{kind} {token}"} if token else {})}
        request = urllib.request.Request(
            self.url + path, method=method, headers=headers, data=None if body is None else body.encode()
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()


def eventually(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    assert found
    return found


@pytest.fixture(name="eventually")
def _eventually():
    return eventually


def free_row():
    for base in range(21000, 29000, 7):
        try:
            for port in range(base + 4, base + 7):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return base
    raise AssertionError("no seven free ports in a row")


@contextmanager
def run_gateway(**settings):
    # Not pytest's own folder: that is closed to the accounts that workers run as.
    state = Path(tempfile.mkdtemp(prefix="earthlab-gateway-"))
    state.chmod(0o755)
    (state / "hub").mkdir(mode=0o700)
    (state / "homes").mkdir()
    port = free_row()
    layout = resolve_layout(load_settings({"lab.state": state}, environ={}, files=()))
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
            **settings,
        }
        log = state / "gateway.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "earthlab.services.gateway"], env=environ, stdout=output, stderr=output
            )
        lab = GatewayLab(hub, layout, port, process, log)
        try:
            eventually(lambda: process.poll() is not None or is_up(lab), 20)
            yield lab
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            assert sweep(layout) == []
            remove_accounts(layout)
            shutil.rmtree(state)


def is_up(lab):
    try:
        return lab.call("GET", "/api/health")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def gateway_lab():
    with run_gateway(EARTHLAB__COMPUTE__LEASE="3") as lab:
        yield lab


@pytest.fixture
def full_gateway_lab():
    """A gateway of a machine that takes two workers in all."""
    with run_gateway(EARTHLAB__COMPUTE__TOTAL_WORKERS="2") as lab:
        yield lab


@pytest.fixture
def own_gateway_lab():
    """A gateway for one test, which may kill it."""
    with run_gateway() as lab:
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
