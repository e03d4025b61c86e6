import pytest
from traitlets.config import Config

from earthlab.errors import SetupError
from earthlab.hub import configure as room
from earthlab.hub.kubernetes import HOME, choose_keys, plan_pod_environment, plan_pod_services
from earthlab.hub.layout import people_url
from earthlab.hub.profiles import WORKSHOP, read_profiles
from earthlab.hub.seat_registry import PLACE, SEATS_SCOPE
from earthlab.settings import load_settings

NAMES = ("stac", "signing", "tiles", "workshops", "dask-gateway")


def settings_with(**words):
    given = {"kubernetes.enabled": True, "ssh.enabled": False} | {
        name.replace("__", "."): words[name] for name in words
    }
    return load_settings(given, environ={}, files=())


@pytest.fixture
def c():
    """As the chart leaves it."""
    c = Config()
    c.JupyterHub.services = [
        {"name": name, "api_token": f"jeton-de-{name}"} for name in (*NAMES, "jupyterhub-idle-culler")
    ]
    c.JupyterHub.load_roles = [{"name": "jupyterhub-idle-culler", "services": ["jupyterhub-idle-culler"]}]
    c.JupyterHub.db_url = "postgresql+psycopg2://lab@base/hub"
    c.JupyterHub.hub_bind_url = "http://:8081"
    c.KubeSpawner.volumes = {"home": {"name": "home"}}
    c.KubeSpawner.environment = {"DU_CHART": "oui"}
    c.KubeSpawner.image = "earthlab/lab:0.1.0"
    return c


def test_the_charts_own_addresses_database_tokens_and_culler_stay(c, tmp_path):
    room.configure(c, settings_with(lab__state=tmp_path))
    assert c.JupyterHub.db_url == "postgresql+psycopg2://lab@base/hub"
    assert c.JupyterHub.hub_bind_url == "http://:8081"
    assert not {"hub_ip", "hub_port", "bind_url", "proxy_class"} & set(c.JupyterHub)
    assert "api_url" not in c.ConfigurableHTTPProxy
    tokens = {service["name"]: service["api_token"] for service in c.JupyterHub.services}
    assert tokens == {name: f"jeton-de-{name}" for name in (*NAMES, "jupyterhub-idle-culler")}
    assert c.JupyterHub.load_roles[0]["name"] == "jupyterhub-idle-culler"
    assert c.KubeSpawner.volumes["home"] == {"name": "home"}
    assert c.KubeSpawner.environment["DU_CHART"] == "oui"
    assert c.KubeSpawner.image == "earthlab/lab:0.1.0"


def test_twice_is_as_once_but_for_roles_that_the_chart_sets_anew(c, tmp_path):
    settings = settings_with(lab__state=tmp_path)
    room.configure(c, settings)
    first = {name: dict(c[name]) for name in ("KubeSpawner", "PodSpawner", "LabAuthenticator")}
    c.JupyterHub.load_roles = c.JupyterHub.load_roles[:1]
    room.configure(c, settings)
    assert {name: dict(c[name]) for name in first} == first


def test_sign_in_rights_and_pages_are_those_of_one_machine(c, tmp_path):
    settings = settings_with(lab__state=tmp_path)
    alone = Config()
    room.configure(alone, load_settings({"lab.state": tmp_path, "ssh.enabled": False}, environ={}, files=()))
    room.configure(c, settings)
    assert c.LabAuthenticator == alone.LabAuthenticator
    assert c.JupyterHub.custom_scopes == alone.JupyterHub.custom_scopes
    assert c.JupyterHub.load_groups == alone.JupyterHub.load_groups
    # The books that services of a cluster cannot read as files.
    assert [route for route, *_ in c.JupyterHub.extra_handlers if route != f"/{PLACE}"] == [
        route for route, *_ in alone.JupyterHub.extra_handlers
    ]
    shared = {role["name"]: role for role in alone.JupyterHub.load_roles}
    found = {role["name"]: role for role in c.JupyterHub.load_roles[1:]}
    assert found.pop("earthlab-workshops")["scopes"] == ["delete:users", "users:shares", SEATS_SCOPE]
    assert shared.pop("earthlab-workshops")["scopes"] == [
        "delete:users",
        "users:shares",
        "access:services!service=dask-gateway",
    ]
    # Workers of a cluster have nobody's token.
    assert {*shared["earthlab-gateway"].pop("scopes")} - {*found["earthlab-gateway"].pop("scopes")} == {"tokens"}
    for name, role in found.items():
        assert role == shared[name]


def test_people_sign_in_at_the_workshops_as_on_one_machine(c, tmp_path):
    alone = Config()
    room.configure(alone, load_settings({"lab.state": tmp_path}, environ={}, files=()))
    room.configure(c, settings_with(lab__state=tmp_path))
    both = [next(it for it in each.JupyterHub.services if it["name"] == "workshops") for each in (c, alone)]
    for name in ("oauth_client_allowed_scopes", "oauth_no_confirm"):
        assert both[0][name] == both[1][name]
    assert both[0]["url"] == "http://earthlab-workshops:8000"


@pytest.mark.parametrize("on_a_cluster", [False, True])
def test_without_workshops_there_is_neither_service_nor_right_nor_book(c, tmp_path, on_a_cluster):
    words = {"lab.state": tmp_path, "ssh.enabled": False, "workshops.enabled": False}
    c = c if on_a_cluster else Config()
    if on_a_cluster:
        c.JupyterHub.services = [each for each in c.JupyterHub.services if each["name"] != "workshops"]
    room.configure(c, load_settings(words | {"kubernetes.enabled": on_a_cluster}, environ={}, files=()))
    assert "workshops" not in {each["name"] for each in c.JupyterHub.services}
    assert "earthlab-workshops" not in {each["name"] for each in c.JupyterHub.load_roles}
    assert f"/{PLACE}" not in {route for route, *_ in c.JupyterHub.extra_handlers}


def test_no_role_is_given_to_a_service_that_is_not_there(c, tmp_path):
    c.JupyterHub.services = [service for service in c.JupyterHub.services if service["name"] != "tiles"]
    room.configure(c, settings_with(lab__state=tmp_path, tiles__enabled=False))
    named = {name for role in c.JupyterHub.load_roles for name in role.get("services", ())}
    assert named <= {service["name"] for service in c.JupyterHub.services}


def test_a_service_without_a_token_of_the_chart_is_refused_by_name(c, tmp_path):
    c.JupyterHub.services = [service for service in c.JupyterHub.services if service["name"] != "signing"]
    with pytest.raises(SetupError, match=r"knows no service signing\. Put `signing: \{\}` under `hub\.services`"):
        room.configure(c, settings_with(lab__state=tmp_path))


def test_links_lead_to_the_address_that_people_open():
    assert people_url(settings_with(), "une-machine") == "http://localhost:8000"
    assert (
        people_url(settings_with(kubernetes__public="https://lab.example.org/"), "pod-7") == "https://lab.example.org"
    )
    alone = load_settings({"lab.address": "0.0.0.0"}, environ={}, files=())
    assert people_url(alone, "une-machine") == "http://une-machine:8000"


def test_without_a_gateway_kernels_know_none():
    settings = settings_with(kubernetes__gateway="")
    assert "dask-gateway" not in plan_pod_services(settings)
    assert not [name for name in plan_pod_environment(settings) if "GATEWAY" in name]


def test_kernels_are_told_where_cubes_are_and_never_by_which_keys(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    settings = settings_with(
        cubes__store="s3://cubes/communs", cubes__endpoint="https://s3.example.org", cubes__region="fr"
    )
    told = plan_pod_environment(settings)
    assert told["EARTHLAB__CUBES__STORE"] == "s3://cubes/communs"
    assert told["EARTHLAB__CUBES__ENDPOINT"] == "https://s3.example.org"
    assert told["HOME"] == HOME
    assert "s3cret" not in str(told)


def test_the_labs_own_profile_stands_in_for_a_file_and_a_file_that_is_not_there_is_named(tmp_path):
    assert read_profiles(settings_with()) == (WORKSHOP,)
    with pytest.raises(SetupError, match=r"kubernetes\.profiles is .*nulle-part.*cannot be read: No such file"):
        read_profiles(settings_with(kubernetes__profiles=tmp_path / "nulle-part.json"))


def test_kernels_of_a_lab_without_a_bucket_are_told_that_there_is_no_store():
    assert plan_pod_environment(settings_with())["EARTHLAB__CUBES__STORE"] == "none"


@pytest.mark.parametrize(
    ("keys", "granted", "chosen"),
    [
        ({}, ("dinamis",), ("", ())),
        ({"open": "all"}, ("dinamis",), ("all", ())),
        ({"dinamis": "d"}, (), ("", ())),
        ({"open": "all", "dinamis": "d"}, (), ("all", ())),
        ({"open": "all", "dinamis": "d"}, ("dinamis",), ("d", ("dinamis",))),
        ({"open": "all", "b": "kb", "a": "ka"}, ("a", "b"), ("ka", ("a",))),
        ({"open": "all", "a": "ka", "a--b": "kab"}, ("a", "b"), ("kab", ("a", "b"))),
        ({"open--a": "ka"}, ("a",), ("ka", ("a",))),
    ],
)
def test_the_keys_open_most_of_what_somebody_may_read_and_nothing_else(keys, granted, chosen):
    assert choose_keys(keys, granted) == chosen
