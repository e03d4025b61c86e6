import pytest

from earthlab.hub.environment import activity_interval, plan_environment, service_environment
from earthlab.hub.layout import resolve_ports
from earthlab.hub.private import FILES
from earthlab.settings import load_settings

OPERATOR = {
    "PATH": "/root/bin:/usr/bin",
    "HOME": "/root",
    "AWS_SECRET_ACCESS_KEY": "hush",
    "GITHUB_TOKEN": "hush",
    "CONFIGPROXY_AUTH_TOKEN": "hush",
    "EARTHLAB__SECRET": "hush",
    "https_proxy": "http://me:hush@proxy.example:3128",
    "http_proxy": "http://proxy.example:3128",
    "TZ": "Europe/Paris",
    **dict.fromkeys(FILES, "/etc/ssl/institute.pem"),
    "EARTHLAB_SAMPLES": "/srv/samples",
    "LD_PRELOAD": "/root/hush.so",
    "PYTHONPATH": "/root/hush",
}


def planned(settings, layout):
    return plan_environment(settings, layout, resolve_ports(settings), OPERATOR)


def test_nothing_of_the_operators_environment_reaches_users_but_what_is_listed(settings, layout):
    found = planned(settings, layout)
    assert "hush" not in str(found)
    assert "/root" not in str(found)
    assert (found["TZ"], found["EARTHLAB_SAMPLES"]) == ("Europe/Paris", "/srv/samples")
    assert found["GDAL_CURL_CA_BUNDLE"] == found["SSL_CERT_FILE"] == "/etc/ssl/institute.pem"


def test_a_proxy_passes_unless_it_holds_a_password(settings, layout):
    found = planned(settings, layout)
    assert found["http_proxy"] == "http://proxy.example:3128"
    assert "https_proxy" not in found
    assert "127.0.0.1" in found["no_proxy"]


def test_a_kernel_learns_where_the_catalogue_and_the_gateway_are(settings, layout):
    found = planned(settings, layout)
    assert found["EARTHLAB__CATALOGUE__URL"] == "http://127.0.0.1:8100/services/stac/"
    assert found["EARTHLAB__COMPUTE__GATEWAY"] == "http://127.0.0.1:8100/services/dask-gateway"
    assert found["EARTHLAB__COMPUTE__GATEWAY_PROXY"] == "gateway://127.0.0.1:8105"
    assert found["EARTHLAB_LAB"] == layout.lab_id
    assert found["JUPYTER_SERVER_ALLOW_UNAUTHENTICATED_ACCESS"] == "no"


def test_an_operator_puts_another_stac_api_in_the_catalogues_place(layout):
    settings = load_settings({"catalogue.url": "https://pgstac.example.org/", "lab.port": 8100}, environ={}, files=())
    found = planned(settings, layout)
    assert found["EARTHLAB__CATALOGUE__URL"] == "https://pgstac.example.org/"
    assert found["EARTHLAB_SERVICES"] == "http://127.0.0.1:8100/services"


def test_what_a_kernel_is_given_are_settings_it_can_read(settings, layout):
    given = {k: v for k, v in planned(settings, layout).items() if k.startswith("EARTHLAB__")}
    assert load_settings(environ=given, files=()).catalogue.url.endswith("/services/stac/")


def test_services_get_the_marker_and_every_setting_but_no_secret(settings, layout):
    found = service_environment(settings, layout, 42, OPERATOR | {"EARTHLAB__COMPUTE__LEASE": "7"})
    assert (found["EARTHLAB_LAB"], found["EARTHLAB_HUB"]) == (layout.lab_id, "42")
    assert found["EARTHLAB__COMPUTE__LEASE"] == "7"
    assert "AWS_SECRET_ACCESS_KEY" not in found


def test_services_do_not_get_the_variable_that_holds_the_clients_secret(layout):
    settings = load_settings({"oidc.client_secret_env": "EARTHLAB_OIDC"}, environ={}, files=())
    found = service_environment(settings, layout, 42, {"EARTHLAB_OIDC": "hush", "EARTHLAB_SAMPLES": "/srv"})
    assert "hush" not in found.values()
    assert found["EARTHLAB_SAMPLES"] == "/srv"


@pytest.mark.parametrize("minutes", [1, 5, 60, 600])
def test_activity_is_reported_several_times_before_a_server_counts_as_idle(minutes):
    settings = load_settings({"hub.idle_minutes": minutes}, environ={}, files=())
    assert activity_interval(settings) <= minutes * 60 / 4
