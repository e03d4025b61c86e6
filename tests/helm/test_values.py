"""What the chart takes as values, and how they reach the lab."""

import asyncio
import importlib.util
import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import helm_python as helm
import pytest
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.kubernetes import KubeBackend
from dask_gateway_server.models import ClusterStatus
from jupyter_server.serverapp import ServerApp
from jupyterhub.spawner import Spawner
from traitlets.config import Config

from earthlab.catalog.signing import forget_signers, sign
from earthlab.errors import SetupError
from earthlab.hub.institution import resolve_institution
from earthlab.hub.kubernetes import CATALOGUE, UID, plan_catalogue_mount, plan_pod_environment, plan_pod_services
from earthlab.hub.layout import resolve_layout, resolve_ssh_port
from earthlab.hub.profiles import parse_profiles, plan_profile
from earthlab.rights import load_rules
from earthlab.services.ssh.__main__ import resolve_proxy
from earthlab.services.tiles.__main__ import open_cubes
from earthlab.settings import load_settings, resolve_cubes
from tests.helm.rendering import CHART, DEPENDENCIES, OF_THE_CHARTS, profiles, read_profile, render

OF_A_RELEASE = {
    "k8s-image-awaiter": DEPENDENCIES["jupyterhub"],
    "dask-gateway-server": DEPENDENCIES["dask-gateway"],
}

SCHEMA = runpy.run_path(str(CHART.parent / "schema.py"))


def settings_of(rendered, folder: Path):
    data = rendered.named("ConfigMap", "earthlab-settings")["data"]
    file = folder / "earthlab.toml"
    file.write_text(data["earthlab.toml"])
    return load_settings(environ={}, files=(file,)), parse_profiles(data["profiles.json"], "profiles.json")


def test_the_schema_is_the_settings_and_profiles_of_the_code():
    assert (CHART / "values.schema.json").read_text() == SCHEMA["render_schema"]()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"settigns": {}}, "settigns"),
        ({"settings": {"hub": {"seat": 3}}}, "seat"),
        ({"settings": {"hub": {"seats": "many"}}}, "seats"),
        ({"settings": {"hub": {"template": "sometimes"}}}, "template"),
        ({"profiles": []}, "profiles"),
        ({"profiles": [{"slug": "a", "title_fr": "A", "title_en": "A", "cores": 1}]}, "memory"),
        ({"services": {"stac": {"replica": 2}}}, "replica"),
        ({"services": {"geoserver": {}}}, "geoserver"),
        ({"services": {"stac": {"type": "LoadBalancer"}}}, "type"),
        ({"services": {"ssh": {"from": ["anywhere"]}}}, "from"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"networkPolicy": {"outside": ["everywhere"]}}, "outside"),
        ({"networkPolicy": {"outside": ["128.0.0.0/1"]}}, "outside"),
        ({"networkPolicy": {"outside": ["169.254.0.0/16"]}}, "outside"),
        ({"networkPolicy": {"outside": ["8000::/1"]}}, "outside"),
        ({"networkPolicy": {"outside": ["fd00:ec2::/32"]}}, "outside"),
        ({"secrets": {"oidc": {"name": "s3cr3t"}}}, "oidc"),
        ({"networkPolicy": {"private": [{"cidr": "10.0.0.0/8"}]}}, "ports"),
        ({"networkPolicy": {"dns": {"addresses": ["169.254.20.10"]}}}, "addresses"),
        ({"networkPolicy": {"dns": {"ports": ["dns"]}}}, "ports"),
        ({"networkPolicy": {"apiPorts": []}}, "apiPorts"),
        ({"trust": {"configMap": "institut", "key": "../ca.crt"}}, "key"),
    ],
)
def test_what_the_chart_does_not_know_is_refused_by_name(chart, values, named):
    with helm.Chart.load(chart) as loaded, pytest.raises(helm.HelmError, match=named):
        loaded.render(values, name="labo", namespace="earthlab")


def test_the_settings_arrive_as_they_were_given(rendered, tmp_path):
    settings, found = settings_of(rendered, tmp_path)
    for section, given in rendered.values["settings"].items():
        for name, value in given.items():
            kept = getattr(getattr(settings, section), name)
            assert json.loads(json.dumps(kept, default=str)) == value, (section, name)
    assert settings.kubernetes.enabled
    assert [each.slug for each in found] == [each["slug"] for each in rendered.values["profiles"]]


def test_each_service_that_the_hub_is_told_of_is_one_of_the_chart(rendered, tmp_path):
    settings, _ = settings_of(rendered, tmp_path)
    told = plan_pod_services(settings)
    ours = {name: more["url"] for name, more in told.items() if name not in {"dask-gateway", "ssh"}}
    there = {each["metadata"]["name"]: each["spec"]["ports"][0]["port"] for each in rendered.of("Service")}
    for name, url in ours.items():
        host, port = re.fullmatch(r"http://([^:]+):(\d+)", url).groups()
        assert there[host] == int(port), name
    assert set(rendered.values["jupyterhub"]["hub"]["services"]) >= {*told}


def test_where_another_catalogue_takes_its_place_the_hub_knows_no_service_of_ours():
    elsewhere = load_settings({"catalogue.url": "https://stac.example.org/", "kubernetes.enabled": True}, files=())
    assert "stac" not in plan_pod_services(elsewhere)
    assert plan_pod_environment(elsewhere)["EARTHLAB__CATALOGUE__URL"] == "https://stac.example.org/"


def test_pods_and_workers_read_the_catalogues_files_where_the_catalogue_says_they_are(rendered, tmp_path):
    settings, _ = settings_of(rendered, tmp_path)
    claim = settings.kubernetes.catalogue_claim
    kept = rendered.named("PersistentVolumeClaim", claim)["spec"]["accessModes"]
    assert kept == ["ReadWriteOnce" if rendered.profile == "small" else "ReadWriteMany"]
    (service,) = [spec for name, _, spec in rendered.pods() if name == "Deployment/earthlab-stac"]
    (state,) = [each for each in service["volumes"] if each["name"] == "state"]
    assert state["persistentVolumeClaim"]["claimName"] == claim
    # The hub, which plans the pods, and the service have the same settings.
    place = str(settings.lab.state)
    for container in (*service["initContainers"], *service["containers"]):
        assert {"name": "state", "mountPath": place} in container["volumeMounts"]
    backend = rendered.values["dask-gateway"]["gateway"]["backend"]
    for kind in (backend["scheduler"], backend["worker"]):
        volume = {"name": CATALOGUE, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        assert volume in kind["extraPodConfig"]["volumes"]
        assert plan_catalogue_mount(settings) in kind["extraContainerConfig"]["volumeMounts"]


def test_cubes_are_shared_in_a_bucket_or_kernels_and_maps_say_that_they_are_not(rendered, tmp_path):
    settings, _ = settings_of(rendered, tmp_path)
    kernel = load_settings(environ=plan_pod_environment(settings), files=())
    if settings.cubes.store:
        assert resolve_cubes(kernel) == settings.cubes.store
        assert settings.cubes.store.startswith("s3://")
        return
    assert rendered.profile != "institute"
    for asked in (lambda: resolve_cubes(kernel), lambda: open_cubes(settings, ())):
        with pytest.raises(SetupError, match=r"This lab has no store of shared cubes \(cubes\.store\)"):
            asked()


def test_the_ssh_door_listens_where_its_service_leads(rendered, tmp_path):
    settings, _ = settings_of(rendered, tmp_path)
    port = resolve_ssh_port(settings)
    (door,) = [spec for name, _, spec in rendered.pods() if name == "Deployment/earthlab-ssh"]
    (container,) = door["containers"]
    assert container["args"][-1] == "earthlab.services.ssh"
    assert container["ports"] == [{"name": "ssh", "containerPort": port}]
    assert settings.ssh.address == "0.0.0.0"
    assert resolve_proxy(settings) == "http://proxy-public"
    service = rendered.named("Service", "earthlab-ssh")["spec"]
    assert service["ports"] == [{"name": "ssh", "port": port, "targetPort": "ssh"}]
    if service["type"] != "ClusterIP":
        assert service["externalTrafficPolicy"] == "Local"


def test_the_ssh_door_is_reached_by_people_and_reaches_the_hub_and_their_servers_alone(rendered):
    policy = rendered.named("NetworkPolicy", "earthlab-ssh")["spec"]
    (come,) = policy["ingress"]
    assert [each["ipBlock"]["cidr"] for each in come["from"]] == ["0.0.0.0/0", "::/0"]
    assert come["ports"] == [{"port": "ssh", "protocol": "TCP"}]
    ways = {to["podSelector"]["matchLabels"].get("component", "dns") for rule in policy["egress"] for to in rule["to"]}
    assert ways == {"dns", "hub", "proxy"}
    # As the JupyterHub chart has it, the proxy lets pods of this label in.
    (labels,) = [meta["labels"] for name, meta, _ in rendered.pods() if name == "Deployment/earthlab-ssh"]
    assert labels["hub.jupyter.org/network-access-proxy-http"] == "true"


def test_a_lab_without_ssh_has_no_door_and_one_that_is_half_switched_off_is_refused(chart):
    off = {"settings": {"ssh": {"enabled": False}}, "services": {"ssh": {"enabled": False}}}
    with helm.Chart.load(chart) as loaded:
        text = json.dumps(loaded.render(off, name="labo", namespace="earthlab"), default=str)
        assert "earthlab-ssh" not in text
        with pytest.raises(helm.HelmError, match=r"services\.ssh\.enabled differ"):
            loaded.render({"settings": off["settings"]}, name="labo", namespace="earthlab")


def test_who_signs_in_at_an_institution_is_let_in_by_groups_that_the_lab_has(chart, tmp_path):
    """The hub starts with each profile's settings, and what claims lead to is what rules ask for."""
    found = render(chart, "institute")
    settings, profiles_found = settings_of(found, tmp_path)
    (variable,) = [name for name in found.values["jupyterhub"]["hub"]["extraEnv"] if name.startswith("EARTHLAB")]
    institution = resolve_institution(settings.oidc, {variable: "secret"})
    assert institution is not None
    assert {group for each in profiles_found for group in each.groups} <= set(institution.groups)
    known = {category.group for rule in load_rules() for category in rule.categories}
    assert {group for group in institution.groups if group.startswith("dinamis")} <= known


def test_people_are_culled_after_as_long_as_the_settings_say(rendered, tmp_path):
    settings, _ = settings_of(rendered, tmp_path)
    assert rendered.values["jupyterhub"]["cull"]["timeout"] == settings.hub.idle_minutes * 60


def test_the_hubs_database_is_among_its_books_unless_it_is_a_servers(rendered, tmp_path):
    settings, _ = settings_of(rendered, tmp_path)
    url = rendered.values["jupyterhub"]["hub"]["db"]["url"]
    assert url == f"sqlite:///{resolve_layout(settings).database}" or url.startswith("postgresql")


def test_no_number_of_starts_that_fail_ends_the_hub_and_the_queue_with_it(rendered):
    # As JupyterHub has it by itself: none.
    assert (
        rendered.values["jupyterhub"]["hub"]["consecutiveFailureLimit"]
        == Spawner.consecutive_failure_limit.default_value
    )


def test_workers_read_what_needs_no_signature(rendered, monkeypatch, tmp_path):
    """With the very words that a worker has: the lab's broker is behind a name of the cluster, without TLS."""
    for name, word in rendered.values["dask-gateway"]["gateway"]["backend"]["environment"].items():
        monkeypatch.setenv(name, word)
    forget_signers()
    assert sign(str(tmp_path / "a.tif")).href == str(tmp_path / "a.tif")
    monkeypatch.undo()
    forget_signers()


def test_a_placeholder_keeps_what_the_first_profile_takes(rendered, tmp_path):
    first = plan_profile(settings_of(rendered, tmp_path)[1][0], default=True)["kubespawner_override"]
    kept = rendered.values["jupyterhub"]["singleuser"]
    assert (kept["cpu"]["guarantee"], kept["cpu"]["limit"]) == (first["cpu_guarantee"], first["cpu_limit"])
    for name in ("guarantee", "limit"):
        size = re.fullmatch(r"(\d+)([MG])", kept["memory"][name])
        assert int(size[1]) * 1024 ** {"M": 2, "G": 3}[size[2]] == first[f"mem_{name}"], name


def test_client_scheduler_and_worker_are_of_one_release(rendered):
    hub, gateway = rendered.values["jupyterhub"], rendered.values["dask-gateway"]
    images = [hub["hub"]["image"], hub["singleuser"]["image"], gateway["gateway"]["backend"]["image"]]
    assert {image["tag"] for image in images} == {rendered.values["image"]["tag"]}
    assert len({image["name"].rpartition("/")[0] for image in (*images, rendered.values["image"])}) == 1
    scheduler, worker = (gateway["gateway"]["backend"][kind] for kind in ("scheduler", "worker"))
    for kind in (scheduler, worker):
        assert kind["extraPodConfig"]["securityContext"]["runAsUser"] == UID
        assert kind["extraPodConfig"]["automountServiceAccountToken"] is False
        assert kind["extraContainerConfig"]["securityContext"]["readOnlyRootFilesystem"]
        # What everybody may read, and no more: a cluster's pods are alike for all.
        for word in kind["extraContainerConfig"]["env"]:
            assert word["valueFrom"]["secretKeyRef"] == {
                "name": rendered.values["settings"]
                .get("kubernetes", {})
                .get("cube_keys", {})
                .get("open", "earthlab-cubes"),
                "key": word["name"],
                "optional": True,
            }


def run_gateway_config(rendered):
    """What the gateway's own configuration is left with by ours: its `c`, and the names."""
    gateway = rendered.values["dask-gateway"]["gateway"]
    given = {"c": Config()}
    exec("\n".join(gateway["extraConfig"][name] for name in sorted(gateway["extraConfig"])), given)
    return gateway, given["c"], given


def test_a_cluster_runs_the_programs_of_the_image_within_limits_and_without_pages(rendered):
    gateway, c, given = run_gateway_config(rendered)
    for command in (c.ClusterConfig.scheduler_cmd, c.ClusterConfig.worker_cmd):
        assert importlib.util.find_spec(command[-1]), command
    assert 0 < c.ClusterConfig.idle_timeout <= 1800
    # What the hub tells people they may take is what the gateway gives.
    told = rendered.values["settings"].get("compute", {})
    assert given["MOST_CLUSTERS"] == told.get("max_clusters", 2)
    assert c.ClusterConfig.cluster_max_workers * given["MOST_CLUSTERS"] == told.get("max_workers", 4)
    assert gateway["backend"]["environment"]["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] == "false"


async def test_a_user_who_has_as_many_clusters_as_may_be_is_refused_another_with_their_names(rendered, monkeypatch):
    _, c, given = run_gateway_config(rendered)
    backend = c.DaskGateway.backend_class.__new__(c.DaskGateway.backend_class)
    mine = [SimpleNamespace(name=f"earthlab.{n}", status=ClusterStatus.RUNNING) for n in range(given["MOST_CLUSTERS"])]

    async def start(self, user, options):
        return "earthlab.new"

    monkeypatch.setattr(KubeBackend, "start_cluster", start)
    backend.username_to_clusters = {"ana": {each.name: each for each in mine}}
    with pytest.raises(PublicException, match=r'earthlab\.0.* el\.cluster\("NAME"\)\.stop'):
        await backend.start_cluster(SimpleNamespace(name="ana"), {})
    assert await backend.start_cluster(SimpleNamespace(name="ben"), {}) == "earthlab.new"
    mine[0].status = ClusterStatus.STOPPED
    assert await backend.start_cluster(SimpleNamespace(name="ana"), {}) == "earthlab.new"


async def test_a_user_who_asks_for_many_clusters_at_the_same_instant_gets_as_many_as_may_be(rendered, monkeypatch):
    _, c, given = run_gateway_config(rendered)
    backend = c.DaskGateway.backend_class.__new__(c.DaskGateway.backend_class)
    # What the cluster has told so far: nothing yet of the new ones.
    backend.username_to_clusters = {}
    made = []

    async def start(self, user, options):
        await asyncio.sleep(0)
        made.append(f"earthlab.{len(made)}")
        return made[-1]

    monkeypatch.setattr(KubeBackend, "start_cluster", start)
    asked = [backend.start_cluster(SimpleNamespace(name="ana"), {}) for _ in range(5)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [each for each in found if isinstance(each, str)] == made
    assert len(made) == given["MOST_CLUSTERS"]
    assert sum(isinstance(each, PublicException) for each in found) == 5 - len(made)


def test_secrets_are_named_and_never_given(rendered):
    def words(value, path=()):
        if isinstance(value, dict):
            for name, each in value.items():
                yield from words(each, (*path, name))
        elif isinstance(value, list):
            for each in value:
                yield from words(each, path)
        elif isinstance(value, str) and value:
            yield ".".join(path), value

    given = {**read_profile(rendered.profile), **{key: rendered.values[key] for key in ("secrets", "settings")}}
    for path, value in words(given):
        if re.search(r"(?i)(password|apitoken|secretkey|cookiesecret)$", path):
            pytest.fail(f"{path} is {value!r}")
        assert not re.search(r"://[^/\s]*:[^/\s]*@", value), path


@OF_THE_CHARTS
def test_an_air_gapped_lab_has_the_very_images_of_the_charts_below(chart):
    """A newer scheduler of pods may ask for what its role in the chart does not let."""
    theirs = tags_by_image(render(chart, "defaults"))
    taken = tags_by_image(render(chart, "air-gapped"))
    assert taken == theirs
    assert {"kube-scheduler", "pause", "configurable-http-proxy", "traefik", "dask-gateway-server"} <= theirs.keys()


def tags_by_image(rendered) -> dict[str, set[str]]:
    """The tags of each image, by its last name; one that a chart's source leaves open is of that chart's version."""
    found: dict[str, set[str]] = {}
    for _, _, spec in rendered.pods():
        for each in (*spec.get("initContainers", ()), *spec["containers"]):
            name, _, tag = each["image"].rpartition("/")[2].partition(":")
            found.setdefault(name, set()).add(OF_A_RELEASE[name] if tag == "set-by-chartpress" else tag)
    return found


def test_an_air_gapped_lab_names_no_image_of_the_worlds_registries(chart):
    found = render(chart, "air-gapped")
    for name, _, spec in found.pods():
        for each in (*spec.get("initContainers", ()), *spec["containers"]):
            assert each["image"].startswith("registry.example.org/"), (name, each["image"])
    for policy in found.of("NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            assert not [to for to in rule.get("to", ()) if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"], policy


@pytest.mark.parametrize("profile", profiles())
@pytest.mark.parametrize("name", DEPENDENCIES)
@OF_THE_CHARTS
def test_our_values_for_the_charts_below_are_what_their_schemas_take(chart, profile, name):
    found = render(chart, profile)
    with helm.Chart.load(chart / "charts" / name) as below:
        assert below.schema
        given = {key: value for key, value in found.values[name].items() if key not in {"enabled", "global"}}
        below.validate_schema(given)


def test_who_installs_or_upgrades_as_the_page_says_gives_helm_time_to_pull_the_images():
    page = (CHART.parents[1] / "docs/operations.md").read_text()
    commands = re.findall(r"`(helm (?:install|upgrade) [^`]*)`", page)
    assert {each.split()[1] for each in commands} == {"install", "upgrade"}
    for each in commands:
        assert "--timeout 20m" in each


@pytest.mark.parametrize("kind", ["letsencrypt", "manual", "secret"])
def test_tls_at_the_hubs_own_proxy_is_refused_for_it_would_lead_pods_away_from_the_services(chart, kind):
    https = {"enabled": True, "type": kind, "manual": {"key": "k", "cert": "c"}}
    with pytest.raises(helm.HelmError, match=rf'https\.type is \\?"{kind}\\?", expected offload.*jupyterhub\.ingress'):
        render(chart, "defaults", {"jupyterhub": {"proxy": {"https": https}}})


def test_tls_that_ends_before_the_proxy_is_let(chart):
    found = render(chart, "defaults", {"jupyterhub": {"proxy": {"https": {"enabled": True, "type": "offload"}}}})
    assert found.objects


@OF_THE_CHARTS
def test_an_ingress_lets_a_notebook_through_as_large_as_a_server_takes_and_a_silent_websocket(chart):
    (ingress,) = render(chart, "institute").of("Ingress")
    words = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    (mebibytes,) = re.fullmatch(r"(\d+)m", words["proxy-body-size"]).groups()
    assert int(mebibytes) * 2**20 >= ServerApp.max_body_size.default_value
    assert int(words["proxy-read-timeout"]) >= 3600
    assert int(words["proxy-send-timeout"]) >= 3600


def test_a_route_of_the_gateway_api_leads_to_the_proxy(chart):
    found = render(
        chart, "defaults", {"route": {"enabled": True, "gateway": "public", "hostnames": ["lab.example.org"]}}
    )
    (route,) = found.of("HTTPRoute")
    assert route["spec"]["parentRefs"] == [{"name": "public"}]
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": "proxy-public", "port": 80}]}]
    with pytest.raises(helm.HelmError, match=r"route\.gateway names a Gateway"):
        render(chart, "defaults", {"route": {"enabled": True}})


def test_our_services_believe_the_authorities_of_the_operator(chart):
    found = render(chart, "defaults", {"trust": {"configMap": "institut", "key": "racine.pem"}})
    ours = [spec for _, meta, spec in found.pods() if meta["labels"].get("app.kubernetes.io/part-of") == "earthlab"]
    assert len(ours) == len(found.values["services"])
    for spec in ours:
        assert {"name": "trust", "configMap": {"name": "institut"}} in spec["volumes"]
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            assert {"name": "trust", "mountPath": "/etc/trust", "readOnly": True} in container["volumeMounts"]
            words = {each["name"]: each.get("value") for each in container["env"]}
            assert words["SSL_CERT_FILE"] == words["REQUESTS_CA_BUNDLE"] == "/etc/trust/racine.pem"


def test_without_authorities_of_the_operator_the_usual_ones_are_believed(rendered):
    ours = [spec for _, meta, spec in rendered.pods() if meta["labels"].get("app.kubernetes.io/part-of") == "earthlab"]
    assert not [word for word in ("SSL_CERT_FILE", "/etc/trust") if word in json.dumps(ours)]


def test_a_digest_wins_over_a_tag(chart):
    digest = f"sha256:{'a' * 64}"
    found = render(chart, "defaults", {"image": {"digest": digest}})
    (image,) = {spec["containers"][0]["image"] for name, _, spec in found.pods() if "earthlab-" in name}
    assert image == f"earthlab/services@{digest}"
