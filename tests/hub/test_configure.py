import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from traitlets.config import Config

from earthlab.hub import configure as room
from earthlab.hub.head import HEAD
from earthlab.hub.layout import shipped
from earthlab.hub.places import give_up_place, wait_for_place
from earthlab.settings import load_settings

LICENCE = "custom:earthlab:dinamis:read"


@pytest.fixture
def c():
    return Config()


def test_only_the_address_for_people_is_open_to_them(c, layout, open_folder):
    settings = load_settings({"lab.address": "0.0.0.0", "lab.port": 8100}, environ={}, files=())
    room.configure_addresses(c, layout, settings)
    assert c.JupyterHub.bind_url == "http://0.0.0.0:8100"
    assert (c.JupyterHub.hub_ip, c.JupyterHub.hub_port) == ("127.0.0.1", 8102)


def test_an_address_of_the_sixth_version_is_written_in_brackets(c, layout):
    room.configure_addresses(c, layout, load_settings({"lab.address": "::1"}, environ={}, files=()))
    assert c.JupyterHub.bind_url == "http://[::1]:8000"


def test_the_proxy_is_our_own_and_ends_with_the_hub(c, layout, settings):
    room.configure_proxy(c, layout, settings)
    command = c.ConfigurableHTTPProxy.command
    assert command[3:5] == ["earthlab.hub.tether", str(os.getpid())]
    assert Path(command[5]).name == "node"
    assert Path(command[-1]).is_file()
    assert c.ConfigurableHTTPProxy.api_url == "http://127.0.0.1:8101"


def test_under_a_supervisor_proxy_and_template_are_the_supervisors(c, layout, settings, monkeypatch):
    monkeypatch.setenv(HEAD, str(os.getppid()))
    room.configure_proxy(c, layout, settings)
    room.configure_services(c, layout, settings)
    assert c.JupyterHub.proxy_class == "earthlab.hub.proxy.StandingProxy"
    assert "template" not in [s["name"] for s in c.JupyterHub.services]


def test_what_is_secret_lies_in_the_operators_folder(c, layout, settings):
    room.configure_storage(c, layout, settings)
    assert Path(c.JupyterHub.cookie_secret_file).parent == layout.hub
    assert c.JupyterHub.db_url == f"sqlite:///{layout.hub}/hub.sqlite"


def test_nobody_comes_in_but_by_a_link_or_a_pass(c, layout, settings):
    room.configure_sign_in(c, layout, settings)
    assert c.JupyterHub.authenticator_class.endswith(".LabAuthenticator")
    assert Path(c.LabAuthenticator.passes_path).parent == layout.hub
    assert c.LabAuthenticator.allow_all is False
    assert c.LabAuthenticator.allow_existing_users is False
    assert c.LabAuthenticator.admin_users == set()


def test_an_institution_lets_in_whom_the_settings_say_and_makes_operators_of_a_named_group_alone(c, layout, tmp_path):
    (tmp_path / "secret").write_text("hush")
    (tmp_path / "secret").chmod(0o600)
    words = {
        "issuer": "https://idp.example",
        "client_id": "lab",
        "client_secret_file": tmp_path / "secret",
        "groups": {"science": ["a"], "exploitants": ["b"]},
        "allowed": "science",
    }
    for operators, groups in (("", []), ("exploitants", ["exploitants"])):
        arguments = {f"oidc.{name}": value for name, value in (words | {"operators": operators}).items()}
        settings = load_settings(arguments | {"workshops.organisers": "Ada, bob"}, environ={}, files=())
        for concern in (room.configure_sign_in, room.configure_roles, room.configure_rights, room.configure_pages):
            concern(c, layout, settings)
        roles = {role["name"]: role for role in c.JupyterHub.load_roles}
        assert roles["operator"]["groups"] == groups
    assert {"science", "exploitants"} < set(c.JupyterHub.load_groups)
    assert c.LabAuthenticator.local_names == {"earthlab", "ada", "bob"}
    assert c.LabAuthenticator.admin_users == set()
    assert c.JupyterHub.template_vars["institution"]["fr"] == "votre institution"
    assert "hush" not in repr(c)


def test_without_an_institution_the_pages_offer_none(c, layout, settings):
    room.configure_sign_in(c, layout, settings)
    room.configure_pages(c, layout, settings)
    assert c.LabAuthenticator.institution is None
    assert c.JupyterHub.template_vars["institution"] is None


def test_no_service_may_do_more_than_it_must(c, layout, settings):
    room.configure_roles(c, layout, settings)
    roles = {role["name"]: set(role["scopes"]) for role in c.JupyterHub.load_roles}
    use = {
        f"access:services!service={name}" for name in ("stac", "dask-gateway", "signing", "workshops", "ssh", "tiles")
    }
    assert roles["user"] == {"self", "shares!user", "read:users:name!group=ateliers"} | use
    assert roles["server"] == {"users:activity!user", "access:servers!server", LICENCE} | use
    assert roles["earthlab-gateway"] == {"list:users", "read:users:groups", "tokens"}
    on_a_cluster = room.plan_roles(load_settings({"kubernetes.enabled": True}, environ={}, files=()))
    (gateway,) = [role for role in on_a_cluster if role["name"] == "earthlab-gateway"]
    assert gateway["scopes"] == ["list:users", "read:users:groups"]
    assert roles["earthlab-signing"] == {"read:groups"}
    assert roles["earthlab-tiles"] == {"read:groups", "read:users:groups", "read:roles:users"}
    ssh = {"read:users", "read:roles:users", "read:servers", "users:activity", "start:servers"}
    assert roles["earthlab-ssh"] == ssh
    use_gateway = "access:services!service=dask-gateway"
    assert roles["earthlab-workshops"] == {"delete:users", "users:shares", use_gateway}
    assert "admin:groups" in roles["operator"]
    assert not any(
        scope.startswith(("admin:", "access:servers!user")) or scope == "access:servers"
        for name, scopes in roles.items()
        for scope in scopes - ({"admin:groups"} if name == "operator" else set())
    )


def test_a_licence_is_held_by_the_groups_of_its_readers_alone(c, layout, settings):
    room.configure_roles(c, layout, settings)
    room.configure_rights(c, layout, settings)
    holders = {role["name"]: role for role in c.JupyterHub.load_roles if LICENCE in role["scopes"]}
    assert set(holders) == {"server", "readers-dinamis"}
    assert holders["readers-dinamis"]["groups"] == ["dinamis-science", "dinamis-public", "dinamis-foreign-science"]
    assert set(c.JupyterHub.load_groups) > set(holders["readers-dinamis"]["groups"])
    assert LICENCE in c.JupyterHub.custom_scopes


def test_the_keeper_starts_before_anything_that_it_must_keep(c, layout, settings):
    room.configure_services(c, layout, settings)
    names = [s["name"] for s in c.JupyterHub.services]
    served = ["stac", "dask-gateway", "signing", "workshops", "tiles", "ssh"]
    assert names == ["keeper", "template", *served, "idle-culler"]
    urls = {s["name"]: s.get("url") for s in c.JupyterHub.services}
    assert urls["stac"] == "http://127.0.0.1:8103"
    assert urls["dask-gateway"] == "http://127.0.0.1:8104"
    assert urls["tiles"] == "http://127.0.0.1:8109"
    assert all(s["environment"]["EARTHLAB_LAB"] == layout.lab_id for s in c.JupyterHub.services)


@pytest.mark.parametrize(
    ("template", "spawner", "own"),
    [("shared", "ForkSpawner", False), ("user", "AccountSpawner", True), ("off", "AccountSpawner", False)],
)
def test_servers_are_copies_where_the_settings_say_so(c, layout, template, spawner, own):
    settings = load_settings({"hub.template": template, "hub.parked": 2}, environ={}, files=())
    room.configure_services(c, layout, settings)
    room.configure_spawner(c, layout, settings)
    assert ("template" in [s["name"] for s in c.JupyterHub.services]) is (template == "shared")
    assert c.JupyterHub.spawner_class == f"earthlab.hub.spawners.{spawner}"
    assert (c.AccountSpawner.own_nurseries, c.AccountSpawner.parked) == (own, 2)


def test_where_tiles_are_off_there_is_neither_service_nor_role(c, layout):
    settings = load_settings({"tiles.enabled": False}, environ={}, files=())
    room.configure_services(c, layout, settings)
    room.configure_roles(c, layout, settings)
    assert "tiles" not in [s["name"] for s in c.JupyterHub.services]
    assert "earthlab-tiles" not in [role["name"] for role in c.JupyterHub.load_roles]


def test_where_ssh_is_off_there_is_neither_door_nor_page(c, layout):
    settings = load_settings({"ssh.enabled": False}, environ={}, files=())
    room.configure_services(c, layout, settings)
    room.configure_pages(c, layout, settings)
    assert "ssh" not in [s["name"] for s in c.JupyterHub.services]
    assert "/cles" not in [handler[0] for handler in c.JupyterHub.extra_handlers]
    assert c.JupyterHub.template_vars["ssh_enabled"] is False


def test_the_culler_waits_as_long_as_the_settings_say(c, layout):
    settings = load_settings({"hub.idle_minutes": 90, "lab.state": layout.state}, environ={}, files=())
    room.configure_services(c, layout, settings)
    assert "--timeout=5400" in c.JupyterHub.services[-1]["command"]


def test_no_command_line_holds_a_secret(c, layout, settings, monkeypatch):
    monkeypatch.setenv("EARTHLAB__SECRET", "hush")
    room.configure_proxy(c, layout, settings)
    room.configure_services(c, layout, settings)
    commands = [c.ConfigurableHTTPProxy.command, *(s["command"] for s in c.JupyterHub.services)]
    assert "hush" not in str(commands)


def test_servers_inherit_nothing_and_are_looked_after_every_few_seconds(c, layout, settings):
    room.configure_spawner(c, layout, settings)
    assert c.AccountSpawner.env_keep == []
    assert c.AccountSpawner.poll_interval <= 10
    assert c.AccountSpawner.environment["EARTHLAB_SERVER_MEMORY"] == str(4 * 2**30)
    assert c.AccountSpawner.cmd[1:] == ["-P", "-m", "earthlab.hub.server"]


def test_jupyterhub_turns_nobody_away_and_all_queue_before_their_start_is_timed(c, layout, settings):
    room.configure_load(c, layout, settings)
    room.configure_spawner(c, layout, settings)
    assert c.JupyterHub.concurrent_spawn_limit == 0
    assert c.AccountSpawner.pre_spawn_hook is wait_for_place
    assert c.AccountSpawner.post_stop_hook is give_up_place


def test_metrics_are_for_the_operator_alone(c, layout, settings):
    room.configure_pages(c, layout, settings)
    room.configure_roles(c, layout, settings)
    assert c.JupyterHub.authenticate_prometheus is True
    holders = [role["name"] for role in c.JupyterHub.load_roles if "read:metrics" in role["scopes"]]
    assert holders == ["operator"]


@pytest.mark.parametrize("mode", ["shared", "auto"])
def test_the_pages_say_when_users_are_not_kept_apart(c, layout, mode):
    room.configure_pages(c, layout, load_settings({"lab.accounts": mode}, environ={}, files=()))
    assert c.JupyterHub.template_vars["accounts_are_shared"] is (mode == "shared" or os.getuid() != 0)


def test_configuring_twice_changes_nothing(settings):
    once, twice = Config(), Config()
    room.configure(once, settings)
    for _ in range(2):
        room.configure(twice, settings)
    assert once == twice


def test_the_configuration_file_is_short_and_refuses_in_one_line(open_folder, layout):
    file = shipped("jupyterhub_config.py")
    assert len(file.read_text().splitlines()) < 60
    done = subprocess.run(
        [sys.executable, "-m", "jupyterhub", "-f", str(file)],
        env={**os.environ, "EARTHLAB__LAB__STATE": str(layout.state), "EARTHLAB__LAB__PORT": "70000"},
        capture_output=True,
        text=True,
        check=False,
        cwd=open_folder,
    )
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if "earthlab: " in line]
    assert len(said) == 1
    assert "EARTHLAB__LAB__PORT" in said[0]
    assert "Traceback" not in done.stderr
    assert stat.S_IMODE(layout.hub.stat().st_mode) == 0o700
