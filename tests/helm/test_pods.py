"""What the hub asks a cluster for, and what people see, through KubeSpawner, a cluster's API and a real PostgreSQL."""

import re
import signal
import time
from urllib.parse import unquote

import httpx
import pytest

from earthlab.hub.fetching import FAR
from earthlab.hub.handout import VARIABLE
from earthlab.hub.kubernetes import CUBE_KEYS, HOME, RUN
from earthlab.hub.passes import PassStore, Share
from earthlab.hub.registry import REGISTRY, SCOPE
from earthlab.hub.seat_registry import PLACE
from earthlab.services.workshops.seats import hub_seats
from tests.helm.pod_hub import TOKENS, take_seat, words_of
from tests.helm.test_monitoring import figures
from tests.hub.conftest import root_only
from tests.patience import PATIENCE, eventually
from tests.services.workshops.seat_contract import SeatsContract

SECRET = {"JPY_API_TOKEN", "JUPYTERHUB_API_TOKEN"}
RESTRICTED = {
    "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": True, "allowPrivilegeEscalation": False, "privileged": False,
    "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def pod_of(hub, user):
    return hub.api.pods()[f"jupyter-{user}"]


def test_somebody_without_a_choice_is_in_a_pod_at_once_and_the_pod_is_the_profiles(hub):
    with hub.visitor() as visitor:
        page = hub.come_in(visitor, "ana")
        assert "<h1 id=in>/user/ana/" in page.text
    spec = pod_of(hub, "ana")["spec"]
    (container,) = spec.pop("containers")
    words = words_of({"spec": {"containers": [container]}})
    port = container["ports"][0]["containerPort"]
    del container["env"]
    assert container == {
        "name": "notebook",
        "image": "earthlab/lab:0.1.0",
        "args": ["python", "-P", "-m", "earthlab.hub.server"],
        "lifecycle": {},
        "ports": [{"containerPort": port, "name": "notebook-port"}],
        "resources": {
            "limits": {"cpu": 1.0, "memory": 2 * 2**30},
            "requests": {"cpu": 0.25, "memory": 2**30},
        },
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"mountPath": str(hub.folder / "state"), "name": "earthlab-catalogue", "readOnly": True},
            {"mountPath": RUN, "name": "earthlab-run"},
            {"mountPath": "/tmp", "name": "earthlab-tmp"},
            {"mountPath": HOME, "name": "volume-ana"},
        ],
    }
    assert spec == {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": [],
        "restartPolicy": "OnFailure",
        "securityContext": {
            "fsGroup": 1000,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [
            {"name": "earthlab-catalogue", "persistentVolumeClaim": {"claimName": "earthlab-stac", "readOnly": True}},
            {"name": "earthlab-run", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "earthlab-tmp", "emptyDir": {"sizeLimit": "10Gi"}},
            {"name": "volume-ana", "persistentVolumeClaim": {"claimName": "claim-ana"}},
        ],
    }
    assert {name: words[name] for name in words if not name.startswith(("JUPYTER", "CPU", "MEM", "JPY"))} == {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "DU_CHART": "oui",
        "EARTHLAB_NURSERY": f"{RUN}/nursery.sock",
        "EARTHLAB_PARKED": "1",
        "EARTHLAB_SERVICES": "http://proxy-public/services",
        "EARTHLAB_SSH_INSIDE": "1",
        "EARTHLAB_TAKE_HOME": "1",
        "EARTHLAB__CATALOGUE__SIGNING": "http://proxy-public/services/signing",
        "EARTHLAB__CATALOGUE__URL": "http://proxy-public/services/stac/",
        "EARTHLAB__COMPUTE__GATEWAY": "http://proxy-public/services/dask-gateway",
        "EARTHLAB__COMPUTE__GATEWAY_PROXY": "gateway://traefik-dask-gateway:80",
        "EARTHLAB__COMPUTE__IDLE_TIMEOUT": "1800.0",
        "EARTHLAB__COMPUTE__MAX_CLUSTERS": "2",
        "EARTHLAB__COMPUTE__MAX_WORKERS": "4",
        "EARTHLAB__COMPUTE__WORKER_CORES": "1",
        "EARTHLAB__COMPUTE__WORKER_MEMORY": "2 GiB",
        "EARTHLAB__CUBES__ACCESS": "",
        "EARTHLAB__CUBES__QUOTA": "100 GiB",
        "EARTHLAB__CUBES__STORE": "none",
        "HOME": HOME,
        "LANG": "C.UTF-8",
        "SHELL": "/bin/bash",
        "XDG_RUNTIME_DIR": RUN,
    }
    assert not any(token in value for value in words.values() for token in TOKENS.values())
    assert hub.database.password not in str(hub.api.objects)
    assert hub.api.refused == []


def keys_of(hub, user):
    """The Secrets that a pod's keys come from, and the licensed classes that it is told it may read."""
    words = {each["name"]: each for each in pod_of(hub, user)["spec"]["containers"][0]["env"]}
    found = {words[name]["valueFrom"]["secretKeyRef"]["name"] for name in CUBE_KEYS}
    for name in CUBE_KEYS:
        assert words[name]["valueFrom"]["secretKeyRef"]["key"] == name
    return found, words["EARTHLAB__CUBES__ACCESS"]["value"]


def test_a_licensee_has_the_keys_of_the_licensed_cubes_and_nobody_else(hub):
    with hub.visitor() as visitor:
        visitor.get(hub.link_for("irene", to="/hub/home"))
        token = hub.token_of("earthlab")
        hub.join("irene", "dinamis-science")
        hub.join("irene", "org-labo")
        said = hub.ask("groups/org-labo/properties", token, "PUT", json={"dinamis-charter": "2025-03-01"})
        assert said.status_code == 200, said.text
        hub.come_in(visitor, "irene")
    with hub.visitor() as visitor:
        hub.come_in(visitor, "jules")
    assert keys_of(hub, "irene") == ({"cles-dinamis"}, "dinamis")
    assert keys_of(hub, "jules") == ({"cles"}, "")


def test_members_of_a_group_choose_and_nobody_else_gets_what_is_theirs(hub):
    with hub.visitor() as visitor:
        visitor.get(hub.link_for("chloe", to="/hub/home"))
        hub.join("chloe", "chercheurs")
        page = visitor.get("/hub/spawn")
        assert "Petit · Small" in page.text
        assert "8 core(s), 16 GiB of memory at most" in page.text
        sent = re.search(r'_xsrf=([^"&]+)|name="_xsrf"\s+value="([^"]+)"|xsrf_token: "([^"]+)"', page.text)
        secret = next(word for word in sent.groups() if word)
        visitor.post("/hub/spawn", params={"_xsrf": unquote(secret)}, data={"profile": "grand"})
        eventually(lambda: "jupyter-chloe" in hub.api.pods(), what="her pod")
    spec = pod_of(hub, "chloe")["spec"]
    assert spec["nodeSelector"] == {"noeuds": "grands"}
    assert spec["containers"][0]["image"] == "earthlab/lab:0.2.0"
    assert spec["containers"][0]["resources"] == {
        "limits": {"cpu": 8.0, "memory": 16 * 2**30},
        "requests": {"cpu": 0.8, "memory": 4 * 2**30},
    }


def test_a_profile_of_others_is_refused_to_who_asks_for_it_by_hand(hub):
    with hub.visitor() as visitor:
        visitor.get(hub.link_for("eve", to="/hub/home"))
        asked = hub.ask("users/eve/server", hub.token_of("eve"), "POST", json={"profile": "grand"})
    eventually(lambda: not hub.starts("eve"), what="the end of her start")
    assert asked.status_code in {202, 400, 500}
    assert "jupyter-eve" not in hub.api.pods() or "nodeSelector" not in pod_of(hub, "eve")["spec"]


def test_a_hub_that_is_killed_finds_its_pods_and_its_people_again(hub):
    with hub.visitor() as visitor:
        hub.come_in(visitor, "boris")
        before = pod_of(hub, "boris")["metadata"]["uid"]
        hub.kill()
        assert visitor.get("/user/boris/").status_code == 200
        hub.start()
        page = visitor.get("/hub/home")
        assert page.status_code == 200
        assert hub.ask("users/boris", hub.token_of("boris")).json()["server"] == "/user/boris/"
    assert pod_of(hub, "boris")["metadata"]["uid"] == before


def test_a_database_that_restarts_costs_nobody_their_server(hub):
    with hub.visitor() as visitor:
        hub.come_in(visitor, "fanny")
        hub.database.stop()
        try:
            assert visitor.get("/user/fanny/").status_code == 200
            link = hub.link_for("late", to="/hub/home")
            with hub.visitor() as late:
                assert late.get(link).status_code == 503
        finally:
            hub.database.start()
        assert visitor.get("/user/fanny/").status_code == 200
    with hub.visitor() as late:
        eventually(lambda: late.get(link).status_code == 200, what="the hub, by itself")
    assert {"jupyter-fanny"} <= hub.api.pods().keys()
    assert hub.ask("users/fanny", hub.token_of("fanny")).json()["server"] == "/user/fanny/"


def test_a_stopped_server_takes_its_pod_along_and_leaves_the_home(hub):
    with hub.visitor() as visitor:
        hub.come_in(visitor, "gil")
        assert hub.ask("users/gil/server", hub.token_of("gil"), "DELETE").status_code in {202, 204}
        eventually(lambda: "jupyter-gil" not in hub.api.pods(), what="the end of the pod")
    assert ("persistentvolumeclaims", "claim-gil") in hub.api.objects


def test_prometheus_reads_the_queue_with_its_own_token_and_nobody_without(hub):
    metrics = hub.ask("../metrics", TOKENS["prometheus"])
    assert metrics.status_code == 200
    assert 'earthlab_places{stage="waiting"} 0.0' in metrics.text
    told = set(re.findall(r"^([a-z_]+)(?:\{| )", metrics.text, re.MULTILINE))
    assert len(figures()) > 4
    assert figures() <= told
    assert hub.ask("../metrics", TOKENS["stac"]).status_code == 403


@root_only
def test_services_are_reached_by_the_address_that_people_open(hub):
    for name in ("stac", "signing", "tiles", "workshops", "dask-gateway"):
        answer = httpx.get(f"{hub.url}/services/{name}/somewhere")
        assert f"/services/{name}/somewhere" in answer.text


@pytest.mark.parametrize("name", ["stac", "signing", "tiles", "dask-gateway"])
def test_each_service_has_the_rights_that_it_has_on_one_machine_and_no_more(hub, name):
    own = hub.ask("user", TOKENS[name]).json()
    assert own["name"] == name
    assert hub.ask("users", TOKENS[name]).status_code == (200 if name == "dask-gateway" else 403)


def test_it_ends_when_it_is_told_to_and_leaves_the_pods(hub):
    with hub.visitor() as visitor:
        hub.come_in(visitor, "hugo")
    hub.process.send_signal(signal.SIGTERM)
    assert hub.process.wait(PATIENCE) == 0
    assert "jupyter-hugo" in hub.api.pods()
    hub.start()


def test_the_registry_answers_the_door_alone(hub):
    asked = f"{hub.url}/hub/{REGISTRY}?user=ana&fingerprint=SHA256:x"
    for token, status in ((TOKENS["ssh"], 404), (hub.token_of("earthlab"), 403), (TOKENS["stac"], 403), ("none", 403)):
        assert httpx.get(asked, headers={"Authorization": f"token {token}"}).status_code == status
    headers = {"Authorization": f"token {TOKENS['ssh']}"}
    refused = httpx.put(f"{hub.url}/hub/{REGISTRY}", headers=headers, params={"key": "no key"})
    assert refused.status_code == 400
    assert "public key" in refused.text


def test_the_door_may_enter_servers_and_read_keys_and_no_other_service_may(hub):
    for name in ("stac", "signing", "tiles", "workshops", "ssh"):
        scopes = set(hub.ask("user", TOKENS[name]).json()["scopes"])
        assert (SCOPE in scopes, "access:servers" in scopes) == ((name == "ssh"),) * 2, name


class TestSeatsOfAClustersHub(SeatsContract):
    """The desk's side, and what answers it, over HTTP; the hub's book is at hand."""

    @pytest.fixture
    def seats(self, hub):
        return hub_seats(f"http://127.0.0.1:{hub.first_port + 2}/hub/api", TOKENS["workshops"])

    @pytest.fixture
    def shared(self, hub):
        return PassStore(hub.folder / "state/hub/passes.sqlite")


def test_nobody_but_the_workshops_opens_seats(hub):
    asked = f"{hub.url}/hub/{PLACE}?slug=neige"
    many = {"stac": 403, "ssh": 403, "workshops": 200}
    tokens = [(TOKENS[name], status) for name, status in many.items()]
    for token, status in (*tokens, (hub.token_of("earthlab"), 403), ("none", 403)):
        assert httpx.get(asked, headers={"Authorization": f"token {token}"}).status_code == status
        opened = httpx.post(asked, headers={"Authorization": f"token {token}"}, json={"do": "close", "slug": "neige"})
        assert opened.status_code == status
    assert httpx.get(asked).status_code == 403


@pytest.mark.parametrize(
    "said", [[], {}, {"do": "claim", "slug": "neige"}, {"do": "reissue", "slug": "neige", "seat": "1"}, {"do": "close"}]
)
def test_what_is_no_act_of_the_registry_is_refused(hub, said):
    headers = {"Authorization": f"token {TOKENS['workshops']}"}
    refused = httpx.post(f"{hub.url}/hub/{PLACE}", headers=headers, json=said)
    assert refused.status_code == 400
    assert "expected one of its acts" in refused.text


def test_a_seats_pod_has_what_its_workshop_has_planned_and_shows_no_choice(hub):
    store = PassStore(hub.folder / "state/hub/passes.sqlite")
    now = time.time()
    passes = store.open_seats("givre", 1, now - 60, now + 3600)
    store.note_share("givre", Share(3 * 2**29, 2.0))
    with hub.visitor() as visitor:
        take_seat(visitor, passes[0].code)
        eventually(lambda: "jupyter-atelier-givre-001" in hub.api.pods(), what="the seat's pod")
    (container,) = hub.api.pods()["jupyter-atelier-givre-001"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": 1.0, "memory": 3 * 2**29}
    assert container["resources"]["requests"] == {"cpu": 0.5, "memory": 2**30}
    words = words_of(hub.api.pods()["jupyter-atelier-givre-001"])
    assert words[VARIABLE] == "/home/earthlab/.local/share/earthlab/ateliers/givre"
    assert words[FAR]
    store.close("givre")
