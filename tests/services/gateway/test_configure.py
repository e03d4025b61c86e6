import os
from dataclasses import replace
from pathlib import Path

import pytest
from traitlets.config import Config

from earthlab.errors import SetupError
from earthlab.hub.layout import resolve_layout
from earthlab.services.gateway.configure import configure_gateway, parse_memory, plan_environment
from earthlab.settings import load_settings

SERVICE = {
    "JUPYTERHUB_API_URL": "http://127.0.0.1:8002/hub/api",
    "JUPYTERHUB_API_TOKEN": "the-services-secret",
    "JUPYTERHUB_SERVICE_NAME": "dask-gateway",
    "JUPYTERHUB_SERVICE_PREFIX": "/services/dask-gateway/",
}


@pytest.fixture
def settings(tmp_path):
    return load_settings({"lab.state": tmp_path, "lab.port": 8300, "compute.max_workers": 7}, environ={}, files=())


def configured(settings, environ=SERVICE):
    config = Config()
    configure_gateway(config, resolve_layout(settings), settings, environ, account_of=str)
    return config


def test_all_ports_are_on_the_loopback_address(settings):
    config = configured(settings)
    addresses = [config.Proxy.address, config.Proxy.tcp_address, config.DaskGateway.address]
    assert addresses == ["127.0.0.1:8304", "127.0.0.1:8305", "127.0.0.1:8306"]


def test_the_proxy_serves_under_the_hubs_prefix(settings):
    assert configured(settings).Proxy.prefix == "/services/dask-gateway"


def test_tokens_need_the_right_to_this_service(settings):
    config = configured(settings)
    assert config.HubTokens.jupyterhub_service_name == "dask-gateway"
    assert config.HubTokens.use_service_access_scopes is True


def test_caps_and_leases_come_from_the_settings(settings):
    config = configured(settings)
    assert config.EarthlabBackend.max_workers == 7
    assert config.EarthlabBackend.max_clusters == 2
    assert config.EarthlabBackend.total_workers >= 7
    assert config.ClusterConfig.idle_timeout == 1800
    assert config.EarthlabBackend.process_environment["EARTHLAB__COMPUTE__LEASE"] == "30.0"


def test_programs_are_named_by_a_path_that_needs_no_search(settings):
    config = configured(settings)
    for command in (config.ClusterConfig.scheduler_cmd, config.ClusterConfig.worker_cmd):
        assert os.access(command[0], os.X_OK)
        assert Path(command[0]).is_absolute()


def test_configuring_touches_nothing(settings, tmp_path):
    configured(settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(SERVICE))
def test_a_gateway_that_no_hub_started_says_which_variable_is_missing(settings, name):
    with pytest.raises(SetupError, match=name):
        configured(settings, {k: v for k, v in SERVICE.items() if k != name})


def test_processes_of_users_get_the_settings_and_no_secret(settings):
    environ = {**SERVICE, "EARTHLAB__CATALOGUE__URL": "http://x/", "DASK_GATEWAY_PROXY_TOKEN": "s", "AWS_SECRET": "s"}
    given = plan_environment(settings, environ)
    assert given["EARTHLAB__CATALOGUE__URL"] == "http://x/"
    assert not {"JUPYTERHUB_API_TOKEN", "DASK_GATEWAY_PROXY_TOKEN", "AWS_SECRET"} & given.keys()
    inherited = set(configured(settings).EarthlabBackend.inherited_environment)
    assert not {"JUPYTERHUB_API_TOKEN", "DASK_GATEWAY_PROXY_TOKEN", "AWS_SECRET"} & inherited


def test_workers_use_as_many_threads_as_they_have_cores(settings):
    given = plan_environment(replace(settings, compute=replace(settings.compute, worker_cores=3)), {})
    assert {given[n] for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")} == {"3"}


def test_schedulers_and_workers_have_no_web_routes(settings):
    given = plan_environment(settings, {})
    assert given["DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES"] == given["DASK_DISTRIBUTED__WORKER__HTTP__ROUTES"] == "[]"
    assert given["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] == "false"


@pytest.mark.parametrize(
    ("text", "size"), [("2 GiB", 2**31), ("512M", 2**29), ("1.5g", 3 * 2**29), ("1000", 1000), ("64 KiB", 2**16)]
)
def test_sizes_are_powers_of_1024(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "two", "2 GiBs", "-1 G", "1 P"])
def test_a_size_that_cannot_be_read_is_named(text):
    with pytest.raises(SetupError, match=r"compute\.worker_memory"):
        parse_memory(text)
