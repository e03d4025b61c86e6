"""The built hub image with the chart's own configuration mounted: what an installation starts, but for the cluster.

Run by `make images` where `EARTHLAB_CHARTS` names a folder of the two charts.
"""

import base64
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from earthlab.hub.configure import node, proxy_program
from earthlab.hub.kubernetes import HOME, RUN
from earthlab.testing.databases import serve_postgres
from earthlab.testing.kubernetes_api import serve_kubernetes_api
from earthlab.testing.ports import free_row
from tests.helm.pod_hub import HOSTS, inside_of, stand_in, with_hosts
from tests.helm.rendering import charts_at_hand, gather, render
from tests.helm.test_pods import RESTRICTED
from tests.patience import eventually

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "images"))
from engine import find_engine

STATE = os.environ.get("EARTHLAB_IMAGES", "")
IMAGE = os.environ.get("EARTHLAB_HUB_IMAGE", "localhost/earthlab/hub:latest")
pytestmark = pytest.mark.skipif(
    not STATE or charts_at_hand() is None, reason="EARTHLAB_IMAGES and EARTHLAB_CHARTS name no images and charts"
)


def write_volumes(found, folder: Path) -> dict[Path, str]:
    """What the hub's pod mounts, as files: by their place in the container."""
    config, secret = found.named("ConfigMap", "hub")["data"], found.named("Secret", "hub")["data"]
    settings = found.named("ConfigMap", "earthlab-settings")["data"]
    place = "/usr/local/etc/jupyterhub"
    for name, files in (("config", config), ("earthlab", settings)):
        (folder / name).mkdir()
        for key, text in files.items():
            (folder / name / key).write_text(text)
    (folder / "secret").mkdir()
    for key, text in secret.items():
        (folder / "secret" / key).write_bytes(base64.b64decode(text))
    for name in ("state", "server", "tmp"):
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    write_hosts(folder / "hosts")
    return {
        folder / "config/jupyterhub_config.py": f"{place}/jupyterhub_config.py",
        folder / "config/z2jh.py": f"{place}/z2jh.py",
        folder / "config": f"{place}/config",
        folder / "secret": f"{place}/secret",
        folder / "earthlab": "/etc/earthlab",
        folder / "state": "/srv/earthlab:rw",
        folder / "server": "/srv/jupyterhub:rw",
        folder / "hosts": "/etc/hosts",
        folder / "kubeconfig": "/kubeconfig",
    }


INSIDE = inside_of(0)


def write_hosts(file: Path) -> Path:
    """Where the names of the cluster lead, for hub and proxy."""
    hosts = {INSIDE: sorted(HOSTS), "127.0.0.1": ["localhost", "hub", "proxy-api", "proxy-public"]}
    file.write_text("".join(f"{address} {' '.join(names)}\n" for address, names in hosts.items()))
    return file


@pytest.fixture
def pod():
    with stand_in(("127.0.0.1", 0)) as server, stand_in((INSIDE, 80)), stand_in((INSIDE, 8000)):
        yield server.server_port


@pytest.fixture
def proxy(tmp_path):
    """configurable-http-proxy, where the chart has it as a pod of its own."""
    first = free_row()
    line = [
        node(),
        proxy_program(),
        "--ip=127.0.0.1",
        f"--port={first}",
        "--api-ip=127.0.0.1",
        f"--api-port={first + 1}",
    ]
    line += ["--error-target=http://127.0.0.1:8081/hub/error", "--log-level=error"]
    environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": (tmp_path / "proxy-token").read_text()}
    inside = with_hosts(write_hosts(tmp_path / "hosts"), [*map(str, line)])
    process = subprocess.Popen(inside, env=environment, stdin=subprocess.DEVNULL)
    yield first
    process.terminate()
    process.wait()


@pytest.fixture
def found(tmp_path, tmp_path_factory):
    chart = gather(tmp_path_factory.mktemp("chart"))
    database = {"type": "postgres", "url": "postgresql+psycopg2://postgres@127.0.0.1/postgres"}
    values = {"jupyterhub": {"hub": {"db": database, "config": {"KubeSpawner": {"port": 0}}}}}
    rendered = render(chart, "defaults", values)
    token = rendered.named("Secret", "hub")["data"]["hub.config.ConfigurableHTTPProxy.auth_token"]
    (tmp_path / "proxy-token").write_bytes(base64.b64decode(token))
    return rendered


def test_it_starts_and_spawns_the_profiles_pod(found, proxy, pod, tmp_path):
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    with serve_kubernetes_api() as api, serve_postgres() as database:
        mounts = write_volumes(found, volumes)
        values = volumes / "secret/values.yaml"
        text = values.read_text().replace("postgresql+psycopg2://postgres@127.0.0.1/postgres", database.url)
        values.write_text(text.replace("port: 0", f"port: {pod}"))
        (volumes / "secret/hub.db.password").write_text(database.password)
        api.write_config(volumes / "kubeconfig")
        with find_engine(Path(STATE)).container(IMAGE, mounts) as container:
            words = {
                "KUBECONFIG": "/kubeconfig", "POD_NAMESPACE": "earthlab", "HELM_RELEASE_NAME": "labo", "HOME": "/tmp",
                "PROXY_API_SERVICE_PORT": str(proxy + 1), "HUB_SERVICE_PORT": "8081", "PGPASSWORD": database.password,
                "CONFIGPROXY_AUTH_TOKEN": (tmp_path / "proxy-token").read_text(), "LANG": "C.UTF-8",
            }  # fmt: skip
            config = "/usr/local/etc/jupyterhub/jupyterhub_config.py"
            # It is told to end from inside, when its input does: who ends a container would leave what the hub started.
            start = f"cd /srv/jupyterhub; jupyterhub --config {config} --upgrade-db & "
            start += 'hub=$!; read line || true; kill -TERM "$hub"; wait "$hub"'
            hub = container.start(["sh", "-c", start], words)
            try:
                eventually(lambda: answers(hub, proxy), what="the hub of the image")
                link = container.start(["earthlab", "link", "ana"], words).communicate(timeout=120)[0]
                assert link.startswith("http://localhost:8000/hub/entree?token="), link
                code = link.rpartition("token=")[2].split()[0]
                with httpx.Client(base_url=f"http://127.0.0.1:{proxy}", follow_redirects=True, timeout=120) as visitor:
                    visitor.get(f"/hub/entree?token={code}")
                    page = eventually(lambda: entered(visitor), what="her server")
                assert "/user/ana/" in page
            finally:
                said = hub.communicate(timeout=60)[0]
                print("".join(line for line in said.splitlines(keepends=True) if " 200 GET " not in line)[-6000:])
        (made,) = api.pods().values()
        assert api.refused == []
    spec = made["spec"]
    (container,) = spec.pop("containers")
    words = {each["name"] for each in container.pop("env")}
    assert {"JUPYTERHUB_API_TOKEN", "EARTHLAB_SERVICES", "EARTHLAB__CATALOGUE__URL", "EARTHLAB_NURSERY"} <= words
    assert container == {
        "name": "notebook",
        "image": "earthlab/lab:0.1.0",
        "imagePullPolicy": "IfNotPresent",
        "args": ["python", "-P", "-m", "earthlab.hub.server"],
        "lifecycle": {},
        "ports": [{"containerPort": pod, "name": "notebook-port"}],
        "resources": {
            "limits": {"cpu": 2.0, "memory": 4 * 2**30},
            "requests": {"cpu": 0.2, "memory": 2**29},
        },
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"mountPath": "/srv/earthlab", "name": "earthlab-catalogue", "readOnly": True},
            {"mountPath": RUN, "name": "earthlab-run"},
            {"mountPath": "/tmp", "name": "earthlab-tmp"},
            {"mountPath": HOME, "name": "volume-ana"},
        ],
    }
    user_nodes = {"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}
    dedicated = [
        {"key": f"hub.jupyter.org{mark}dedicated", "operator": "Equal", "value": "user", "effect": "NoSchedule"}
        for mark in ("/", "_")
    ]
    assert spec == {
        "affinity": {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"preference": {"matchExpressions": [user_nodes]}, "weight": 100}
                ]
            }
        },
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": [],
        "priorityClassName": "labo-default-priority",
        "restartPolicy": "OnFailure",
        "schedulerName": "labo-user-scheduler",
        "securityContext": {
            "fsGroup": 1000,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": dedicated,
        "volumes": [
            {"name": "earthlab-catalogue", "persistentVolumeClaim": {"claimName": "earthlab-stac", "readOnly": True}},
            {"name": "earthlab-run", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "earthlab-tmp", "emptyDir": {"sizeLimit": "10Gi"}},
            {"name": "volume-ana", "persistentVolumeClaim": {"claimName": "claim-ana"}},
        ],
    }
    assert "hub.jupyter.org/network-access-proxy-http" in made["metadata"]["labels"]
    assert made["metadata"]["labels"]["component"] == "singleuser-server"


def answers(hub, proxy):
    assert hub.poll() is None, hub.communicate()[0][-3000:]
    try:
        return httpx.get(f"http://127.0.0.1:{proxy}/hub/health", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def entered(visitor):
    page = visitor.get("/user/ana/")
    return page.text if "<h1 id=in>" in page.text else ""
