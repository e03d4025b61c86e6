import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import dask.array as da
import pytest

from earthlab.compute import cluster as start
from earthlab.compute.connection import Connection, Offer
from earthlab.errors import BadRequest, ComputeUnavailable, FallbackWarning
from earthlab.hub.cgroups import governed_group
from earthlab.kernel.groups import own_group
from earthlab.kernel.private import can_see_own
from tests.patience import PATIENCE

pytestmark = pytest.mark.lab
AS_ROOT = os.getuid() == 0

CLIENT = """
import sys, time
from earthlab.compute import cluster
from earthlab.settings import ComputeSettings
found = cluster(workers=1, settings=ComputeSettings(gateway=sys.argv[1], gateway_proxy=sys.argv[2]))
print(found.name, flush=True)
time.sleep(float(sys.argv[3]))
"""


def clusters_of(lab, user):
    return json.loads(lab.call("GET", "/api/v1/clusters/", token=user)[1])


def listening_ports(pids):
    shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    mine = [line.split() for line in shown.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    return [fields[3].rsplit(":", 1) for fields in mine]


def read_web(port, path):
    """What a plain web request gets: None where nobody answers in HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code
    except (OSError, HTTPException):
        return None


def test_a_cluster_computes_as_its_owner_and_leaves_nothing(gateway_lab, cluster, eventually):
    root_owner = Path("/").stat().st_uid
    with cluster("alice", workers=2) as client:
        assert da.ones((1000, 1000), chunks=250).sum().compute() == 1_000_000
        seen = client.run(lambda: (os.getuid(), str(Path.cwd()), dict(os.environ)))
        (uid, folder, environ), *_ = seen.values()
        scheduler_uid = client.run_on_scheduler(os.getuid)
        assert (uid != 0 and scheduler_uid == uid) if AS_ROOT else uid == os.getuid()
        assert Path(folder).stat().st_uid == uid
        assert Path(folder).stat().st_mode & 0o077 == 0
        assert environ["OMP_NUM_THREADS"] == "1"
        assert environ["EARTHLAB_LAB"] == gateway_lab.layout.lab_id
        assert "secret-of-the-service" not in repr(environ)
        token = hub_token_of_worker(client)
        assert gateway_lab.hub.tokens[token].owner == "alice"
        assert gateway_lab.hub.tokens[token].scopes == ("access:services!service=signing",)
        assert token not in repr(environ)
        assert all(w["memory_limit"] == 2**31 for w in client.scheduler_info()["workers"].values())

        groups = gateway_lab.groups()
        assert len(groups) == (governed_group() is not None)
        assert all(_is_in(pid, groups) for pid in gateway_lab.marked() if groups)

        client.submit(lambda: subprocess.Popen(["setsid", "sleep", "300"]).pid).result()
        slip_away(client)
        assert (read_owner_of_shared_memory(client) == uid) is (AS_ROOT and can_see_own({}))
        zombies = [p for p in Path("/proc").glob("[0-9]*/stat") if _is_zombie_of(p, gateway_lab.process.pid)]
        assert zombies == []
    eventually(lambda: not gateway_lab.marked())
    eventually(lambda: not Path(folder).exists())
    eventually(lambda: token not in gateway_lab.hub.tokens)
    eventually(lambda: not gateway_lab.groups())
    assert Path("/").stat().st_uid == root_owner == 0
    left = gateway_lab.layout.state / "clusters"
    eventually(lambda: sorted(p.name for p in left.rglob("*")) == [".logs", ".tokens"])


def read_owner_of_shared_memory(client):
    return client.submit(lambda: Path("/dev/shm").stat().st_uid).result()


def slip_away(client):
    """Have a task leave something behind that forks, starts no program and leaves its worker's session."""

    def task():
        if os.fork() == 0:
            os.setsid()
            time.sleep(300)
            os._exit(0)

    client.submit(task).result()


def _is_in(pid, groups):
    memory = own_group(Path(f"/proc/{pid}"))
    return memory is not None and memory.memory.name in groups


def hub_token_of_worker(client):
    return client.submit(lambda: Path(os.environ["EARTHLAB_HUB_TOKEN_FILE"]).read_text()).result()


def _is_zombie_of(stat, parent):
    with suppress(OSError):
        fields = stat.read_text().rpartition(")")[2].split()
        return fields[0] == "Z" and int(fields[1]) == parent
    return False


def test_nobody_can_read_a_cluster_over_plain_http(gateway_lab, cluster):
    found = cluster("alice", workers=1)
    ports = listening_ports(gateway_lab.marked())
    assert ports
    assert {host for host, _ in ports} == {"127.0.0.1"}
    for _, port in ports:
        answers = {path: read_web(port, path) for path in ("/", "/status", "/json/identity.json", "/sitemap.json")}
        assert set(answers.values()) <= {None, 404}, (port, answers)
    for path in (f"/clusters/{found.name}", f"/clusters/{found.name}/status"):
        assert gateway_lab.call("GET", path)[0] == 404
        assert gateway_lab.call("GET", path, token="alice")[0] == 404


def test_the_caps_hold_against_every_way_of_asking(gateway_lab, cluster, eventually):
    first = cluster("alice", workers=2)
    with pytest.raises(ComputeUnavailable, match="the limit is 4 a person"):
        first.scale(5)
    with pytest.raises(ComputeUnavailable, match="limit"):
        first.adapt(0, 50)
    second = cluster("alice", workers=2)
    with pytest.raises(ComputeUnavailable, match="you have 2 of 4 left"):
        second.scale(3)
    with pytest.raises(ComputeUnavailable, match=r"you have 0 . 4 left.*\.stop\(\)"):
        cluster("alice")

    status, text = gateway_lab.call("POST", "/api/v1/clusters/", token="alice", body="{}")
    assert (status, "2 of 2 cluster" in text) == (422, True)
    status, text = gateway_lab.call(
        "POST", f"/api/v1/clusters/{second.name}/scale", token="alice", body='{"count": 1000}'
    )
    assert (status, "limit is 4" in text) == (409, True)
    status, text = gateway_lab.call(
        "POST", "/api/v1/clusters/", token="alice", body='{"cluster_options": {"worker_cores": 64}}'
    )
    assert status == 422

    forged = _forge_heartbeats(gateway_lab, first)
    assert forged == {"wish": 200, "elsewhere": 409, "no number": 409}
    time.sleep(1.5)
    assert len(gateway_lab.workers()) <= 4
    first.stop()
    eventually(lambda: len(gateway_lab.schedulers()) == 1)
    second.scale(4)
    assert second.workers == 4


def test_a_full_machine_takes_no_further_worker_and_kernels_compute_by_themselves(
    full_gateway_lab, monkeypatch, eventually
):
    lab = full_gateway_lab
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")
    with start(workers=2, settings=lab.settings) as client:
        assert len(client.nthreads()) == 2
        assert not lab.copies()
        assert (read_owner_of_shared_memory(client) != 0) is (AS_ROOT and can_see_own({}))
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "bob")
        with pytest.warns(FallbackWarning, match="no room for another worker"), start(settings=lab.settings) as own:
            assert own.submit(sum, [1, 2]).result() == 3
        status, text = lab.call("POST", "/api/v1/clusters/", token="bob", body="{}")
        assert (status, "room for 0 more" in text) == (422, True)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "bob")
    eventually(lambda: lab.call("GET", "/api/v1/earthlab", token="bob")[1].count('"room": 2'))
    with start(workers=1, settings=lab.settings) as client:
        assert len(client.nthreads()) == 1


def test_who_finds_the_last_places_taken_meanwhile_gets_what_is_left(full_gateway_lab, monkeypatch):
    lab, ask = full_gateway_lab, Connection.ask_offer
    stale: list[Offer] = []
    monkeypatch.setattr(Connection, "ask_offer", lambda self: stale.pop() if stale else ask(self))
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")
    with start(workers=1, settings=lab.settings):
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "bob")
        stale.append(Offer(free_workers=4, max_workers=4, room=2, cores=2))
        with start(settings=lab.settings) as client:
            assert len(client.nthreads()) == 1
        stale.append(Offer(free_workers=4, max_workers=4, room=2, cores=2))
        with pytest.raises(ComputeUnavailable, match="room for 1 more"):
            start(workers=2, settings=lab.settings)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "alice")


def _forge_heartbeats(lab, found):
    """What a user does who runs their own heartbeats with their scheduler's token."""
    token = found.client.run_on_scheduler(lambda: os.environ["DASK_GATEWAY_API_TOKEN"])
    truth = {
        "scheduler_address": "tls://127.0.0.1:1",
        "dashboard_address": "http://127.0.0.1:1",
        "api_address": "http://127.0.0.1:1",
        "active_workers": [],
        "closing_workers": [],
        "closed_workers": [],
        "count": 500,
    }
    forgeries = {
        "wish": truth,
        "elsewhere": {**truth, "api_address": "http://169.254.169.254"},
        "no number": {**truth, "count": "500"},
    }
    path = f"/api/v1/clusters/{found.name}/heartbeat"
    return {
        name: lab.call("POST", path, token=token, kind="token", body=json.dumps(message))[0]
        for name, message in forgeries.items()
    }


def test_another_user_can_neither_see_nor_touch_a_cluster(gateway_lab, cluster):
    found = cluster("alice", workers=1)
    path = f"/api/v1/clusters/{found.name}"
    assert clusters_of(gateway_lab, "bob") == {}
    assert gateway_lab.call("GET", path, token="bob")[0] == 403
    assert gateway_lab.call("POST", f"{path}/scale", token="bob", body='{"count": 0}')[0] == 403
    assert gateway_lab.call("POST", f"{path}/adapt", token="bob", body='{"maximum": 0}')[0] == 403
    assert gateway_lab.call("DELETE", path, token="bob")[0] == 403
    assert gateway_lab.call("POST", f"{path}/heartbeat", token="bob", kind="token", body="{}")[0] == 401
    with pytest.raises(BadRequest, match="There are none"):
        cluster("bob", found.name)
    assert found.workers == 1
    joined = cluster("alice", found.name[:6])
    joined.close()
    assert found.client.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize("token", [None, "unknown", "without-right", "stac-service"])
def test_who_has_no_right_to_the_gateway_is_told_401(gateway_lab, token):
    for method, path in [("GET", "/clusters/"), ("POST", "/clusters/"), ("GET", "/earthlab"), ("GET", "/options")]:
        assert gateway_lab.call(method, f"/api/v1{path}", token=token, body=None)[0] == 401


def test_a_silent_hub_is_no_reason_to_let_anybody_in(gateway_lab, cluster):
    gateway_lab.hub.silent = True
    try:
        assert gateway_lab.call("GET", "/api/v1/clusters/", token="bob")[0] == 502
        with pytest.raises(ComputeUnavailable, match="answered 502"):
            cluster("bob")
    finally:
        gateway_lab.hub.silent = False


def test_who_has_no_running_server_gets_no_cluster(gateway_lab, cluster):
    with pytest.raises(ComputeUnavailable, match="carol has no running server"):
        cluster("carol")


def test_a_token_the_hub_refuses_is_said_to_the_user(gateway_lab, cluster):
    with pytest.raises(ComputeUnavailable, match="does not accept your token"):
        cluster("unknown")


def test_a_killed_worker_is_replaced_and_a_killed_scheduler_is_noticed(gateway_lab, cluster, eventually):
    found = cluster("alice", workers=2)
    before = set(gateway_lab.workers())
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(set(gateway_lab.workers()) - before) == 1 and found.workers == 2)
    assert da.ones(1000, chunks=10).sum().compute() == 1000

    os.kill(*gateway_lab.schedulers(), signal.SIGKILL)
    eventually(lambda: not clusters_of(gateway_lab, "alice") and not gateway_lab.marked())
    began = time.monotonic()
    found.close()
    assert time.monotonic() - began < 60


def test_a_killed_client_takes_its_cluster_along(gateway_lab, eventually):
    settings = gateway_lab.settings
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, settings.gateway, settings.gateway_proxy, "120"],
        env={**os.environ, "JUPYTERHUB_API_TOKEN": "bob"},
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout.readline().strip() in clusters_of(gateway_lab, "bob")
        client.kill()
    eventually(lambda: not clusters_of(gateway_lab, "bob") and not gateway_lab.marked())


def test_a_script_that_ends_without_closing_takes_its_cluster_along(gateway_lab):
    settings = gateway_lab.settings
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, settings.gateway, settings.gateway_proxy, "0"],
        env={**os.environ, "JUPYTERHUB_API_TOKEN": "bob"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert clusters_of(gateway_lab, "bob") == {}
    assert "Traceback" not in done.stderr


def test_a_cluster_ends_with_its_owners_server(gateway_lab, cluster, eventually):
    found = cluster("alice", workers=1)
    gateway_lab.hub.active.discard("alice")
    try:
        eventually(lambda: not clusters_of(gateway_lab, "alice") and not gateway_lab.marked())
    finally:
        gateway_lab.hub.active.add("alice")
    found.client.close()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_gateway_that_ends_leaves_no_process(own_gateway_lab, eventually, sent):
    lab = own_gateway_lab
    settings = lab.settings
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, settings.gateway, settings.gateway_proxy, "120"],
        env={**os.environ, "JUPYTERHUB_API_TOKEN": "alice"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as client:
        assert client.stdout.readline()
        children = _children(lab.process.pid)
        lab.process.send_signal(sent)
        time.sleep(0.1)
        lab.process.send_signal(sent)
        lab.process.wait(PATIENCE)
        eventually(lambda: not lab.marked() and not any(Path(f"/proc/{pid}").exists() for pid in children))
        client.kill()
    folders = {p.name for p in (lab.layout.state / "clusters").iterdir()}
    assert (folders == {".logs", ".tokens"}) is (sent == signal.SIGTERM)


def _children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_taken_port_is_one_line(own_gateway_lab):
    lab = own_gateway_lab
    environ = dict(
        entry.split("=", 1) for entry in Path(f"/proc/{lab.process.pid}/environ").read_text().rstrip("\0").split("\0")
    )
    second = subprocess.run(
        [sys.executable, "-m", "earthlab.services.gateway"], env=environ, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"port {lab.port + 4}" in second.stderr
