"""Tiles on a real hub with a real proxy: a user's server may ask, a GIS opens a layer, and nobody else comes in."""

from dataclasses import dataclass

import httpx
import pytest
import rasterio

import earthlab as el
from earthlab.cube.shared import share_cube
from earthlab.cube.shared.sharing import SharedCube
from earthlab.testing.rasters import scene_items
from tests.hub.conftest import root_only
from tests.hub.small_hub import SmallHub, small_hub
from tests.services.workshops.talking import server_token

from .conftest import draw_scene

pytestmark = [root_only, pytest.mark.lab]

DAY = "2018-07-02T10:00:00"
HERE = "/services/tiles"


@dataclass(frozen=True)
class Place:
    hub: SmallHub
    cube: SharedCube
    token: str
    """Of ana's own server."""

    @property
    def signed_in(self) -> httpx.Client:
        return httpx.Client(headers={"Authorization": f"token {self.token}"}, timeout=120)

    def make_link(self) -> dict:
        asked = {"token": self.cube.token, "band": "red", "time": DAY, "origin": self.hub.url}
        with self.signed_in as client:
            answer = client.post(f"{self.hub.url}{HERE}/links", json=asked)
        assert answer.status_code == 201, answer.text
        return answer.json()


@pytest.fixture
async def place(tmp_path):
    plan = el.plan(scene_items([draw_scene(tmp_path, at, (600, 700)) for at in range(3)]))
    with small_hub(launch=0.1, kept=("tiles",)) as hub:
        async with hub.visitor("ana") as ana:
            page = await ana.come()
            if "EventSource" in page.text:
                assert [event async for event in ana.events(page)][-1]["ready"]
            cube = share_cube(plan, store=str(hub.layout.cubes))
            yield Place(hub, cube, server_token("ana"))


def test_a_users_server_asks_a_gis_opens_and_nobody_else_comes_in(place):
    url = f"{place.hub.url}{HERE}"
    with place.signed_in as client:
        told = client.get(f"{url}/cubes/{place.cube.token}")
        assert told.status_code == 200, told.text
        assert told.json()["levels"] == [2]
    assert httpx.get(f"{url}/cubes/{place.cube.token}").status_code == 401
    assert httpx.get(f"{url}/cubes/{place.cube.token}?token={place.token}").status_code == 401
    link = place.make_link()
    with rasterio.Env(GDAL_HTTP_MAX_RETRY="0"), rasterio.open(f"WMTS:{link['url_wmts']}") as source:
        assert source.crs.to_epsg() == 3857
        box = place.cube.marker.plan.geobox.footprint("EPSG:3857").boundingbox
        row, column = source.index((box.left + box.right) / 2, (box.bottom + box.top) / 2)
        alpha = source.read(4, window=rasterio.windows.Window(column - 50, row - 50, 100, 100))
        assert (alpha > 0).all()
    with place.signed_in as client:
        assert client.delete(f"{url}/links/{link['id']}").status_code == 200
    assert httpx.get(link["url_wmts"]).status_code == 404
    secret = link["url_wmts"].split("/layer/")[1].split("/")[0]
    assert secret not in place.hub.log
