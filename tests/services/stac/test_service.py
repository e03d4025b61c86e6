"""The service as the hub runs it: a process of its own, walked by an independent client, and measured."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pystac
import pystac_client
import pytest
import rasterio
import rustac

from earthlab.errors import SetupError
from earthlab.services.stac.__main__ import resolve_address
from earthlab.settings import load_settings
from earthlab.testing.hub_api import Token
from earthlab.testing.stac import serve_catalogue
from tests.services.stac.serving import serve_open

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def served(catalogue: Path):
    with serve_catalogue(catalogue) as served:
        yield served


def _pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def test_pystac_client_walks_it_whole(served):
    api = pystac_client.Client.open(served.url, headers=served.headers)
    assert {c.id for c in api.get_collections()} == {"theia-n3a", "simulation-s2-l2a", "earthlab-cubes"}
    for method in ("GET", "POST"):
        search = api.search(limit=4, method=method)
        found = list(search.items())
        assert len({item.id for item in found}) == len(found) == search.matched() == 35
    assert len(list(api.get_collection("theia-n3a").get_items())) == 7


def test_pystac_client_filters_as_asked(served):
    api = pystac_client.Client.open(served.url, headers=served.headers)
    search = api.search(collections=["theia-n3a"], datetime="2018-07/2018-09", bbox=[1.2, 43.6, 1.3, 43.7])
    assert [item.id[-8:] for item in search.items()] == ["20180915", "20180815", "20180708"]
    shape = {"type": "Point", "coordinates": [1.24, 43.64]}
    assert len(list(api.search(intersects=shape, ids=["theia-n3a-bouconne-20180708"]).items())) == 1


def test_pystac_client_puts_questions_of_every_extension(served):
    api = pystac_client.Client.open(served.url, headers=served.headers)
    tenth = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}
    for method, filtered in (("POST", tenth), ("GET", "eo:cloud_cover < 10")):
        search = api.search(filter=filtered, method=method, sortby="-properties.eo:cloud_cover", limit=5)
        clouds = [item.properties["eo:cloud_cover"] for item in search.items()]
        assert clouds == sorted(clouds, reverse=True)
        assert len(clouds) == search.matched() > 5
        same = api.search(query=["eo:cloud_cover<10"], method=method)
        assert same.matched() == search.matched()
    slim = api.search(fields=["properties.gsd"], limit=1, max_items=1)
    assert [set(item["properties"]) for item in slim.items_as_dicts()] == [{"gsd"}]
    assert "eo:cloud_cover" in api.get_merged_queryables(["simulation-s2-l2a"])["properties"]


async def test_rustac_searches_it(store):
    summer = {"collections": ["theia-n3a"], "datetime": "2018-07-01T00:00:00Z/2018-09-30T00:00:00Z"}
    with serve_open(store) as url:
        found = await rustac.search(url, **summer, sortby="-datetime", filter="gsd = 10", limit=2)
        everything = await rustac.search(url, bbox=[1.2, 43.6, 1.3, 43.7], limit=10)
    assert [item["id"][-8:] for item in found] == ["20180915", "20180815", "20180708"]
    assert len(everything) == 35


def test_a_found_item_opens(served):
    api = pystac_client.Client.open(served.url, headers=served.headers)
    item = next(api.search(collections=["theia-n3a"], limit=1).items())
    assert isinstance(item, pystac.Item)
    with rasterio.open(item.assets["B8"].href) as source:
        assert source.shape == (246, 227)


def test_only_tokens_with_the_scope_come_in(served):
    served.hub.tokens["other"] = Token("bob", scopes=("access:services!service=dask-gateway",))
    for token, status in ((served.token, 200), ("other", 403), ("unknown", 401)):
        answer = httpx.get(served.url, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == status
    assert httpx.get(served.url).status_code == 401
    assert httpx.get(served.url.replace("/services/stac/", "/")).status_code == 401


def test_it_stays_under_150_mb_with_a_class_asking(catalogue):
    with serve_catalogue(catalogue) as served:
        with httpx.Client(headers=served.headers) as client, ThreadPoolExecutor(12) as people:
            asked = {"limit": 35, "bbox": "1,43,2,44"}
            answers = list(people.map(lambda _: client.get(served.url + "search", params=asked), range(150)))
        assert {answer.status_code for answer in answers} == {200}
        assert _pss(served.pid) < 150


def test_without_a_catalogue_it_says_the_command_that_builds_one(tmp_path):
    with (
        pytest.raises(SetupError, match=r"ended with 1: There is no complete catalogue.*earthlab catalogue build"),
        serve_catalogue(tmp_path),
    ):
        pass


def test_without_a_hub_it_ends_with_one_line(catalogue):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")}
    command = [sys.executable, "-m", "earthlab.services.stac", "--folder", str(catalogue)]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "make lab" in ended.stderr


def test_it_listens_where_the_hub_says_and_else_three_ports_above_the_lab():
    settings = load_settings({"lab.port": 8100}, environ={}, files=())
    assert resolve_address({"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:8303"}, settings) == ("127.0.0.1", 8303)
    assert resolve_address({}, settings) == ("127.0.0.1", 8103)
    with pytest.raises(SetupError, match="JUPYTERHUB_SERVICE_URL"):
        resolve_address({"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:port"}, settings)
