"""The service as the hub runs it, and its layers as a GIS opens them: through GDAL, over a real port."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthlab.errors import NothingFound
from earthlab.services.tiles.__main__ import open_cubes
from earthlab.settings import load_settings

from .serving import serve_tiles

pytestmark = pytest.mark.lab

DAY = "2018-07-02T10:00:00"
STYLE = {"colormap": "gray", "low": 0.1, "high": 0.35}
GDAL = {"GDAL_HTTP_MAX_RETRY": "0", "GDAL_HTTP_CONNECTTIMEOUT": "5", "CPL_CURL_VERBOSE": "NO"}


@pytest.fixture(scope="module")
def served(built, tmp_path_factory):
    with serve_tiles(built.store, tmp_path_factory.mktemp("served")) as running:
        yield running


def make_link(served, built, **words):
    asked = {"token": built.cube.token, "band": "red", "time": DAY, "style": STYLE, "days": 1} | words
    with served.client() as client:
        answer = client.post(f"{served.url}/links", json=asked)
    assert answer.status_code == 201, answer.text
    return answer.json()


def revoke(served, link):
    with served.client() as client:
        assert client.delete(f"{served.url}/links/{link['id']}").status_code == 200


def expected_on(cube, source):
    """What the layer has to show on a grid of Web Mercator: the grey of each nearest pixel, and where there is one."""
    array = cube.open().red.isel(time=1)
    own = array.odc.geobox
    out = np.full(source.shape, np.nan, "float32")
    reproject(
        array.values,
        out,
        src_transform=own.transform,
        src_crs=str(own.crs),
        dst_transform=source.transform,
        dst_crs=source.crs,
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.nearest,
        tolerance=0,
    )
    return np.round(255 * np.clip((out - STYLE["low"]) / (STYLE["high"] - STYLE["low"]), 0, 1)), np.isfinite(out)


def assert_shows(cube, source):
    grey, seen = expected_on(cube, source)
    picture = source.read()
    assert source.crs.to_epsg() == 3857
    assert seen.mean() > 0.3
    assert ((picture[3] > 0) == seen).mean() > 0.998
    both = seen & (picture[3] > 0)
    assert (np.abs(picture[0].astype(float) - grey)[both] <= 2).mean() > 0.99


def cut(source, cube):
    """The window of a world-wide source that has the middle of the cube."""
    box = cube.marker.plan.geobox.footprint("EPSG:3857").boundingbox
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    row, column = source.index(x, y)
    window = rasterio.windows.Window(column - 256, row - 256, 512, 512)
    return window, source.window_transform(window)


class Part:
    """A window of a source, as a source."""

    def __init__(self, source, cube):
        self.window, self.transform = cut(source, cube)
        self.source, self.crs, self.shape = source, source.crs, (512, 512)

    def read(self):
        return self.source.read(window=self.window)


def test_gdals_wmts_driver_opens_a_layer_and_cannot_once_it_was_taken_back(served, built, tmp_path):
    link = make_link(served, built)
    with rasterio.Env(**GDAL, GDAL_WMS_CACHE_PATH=str(tmp_path), CPL_VSIL_CURL_NON_CACHED="/vsicurl/http"):
        with rasterio.open(f"WMTS:{link['url_wmts']}") as source:
            assert source.driver == "WMTS"
            assert_shows(built.cube, Part(source, built.cube))
            bounds = source.bounds
        box = built.cube.marker.plan.geobox.footprint("EPSG:3857").boundingbox
        assert bounds.left == pytest.approx(box.left, abs=1e4)
        assert bounds.top == pytest.approx(box.top, abs=1e4)
        revoke(served, link)
        with pytest.raises(rasterio.RasterioIOError):
            rasterio.open(f"WMTS:{link['url_wmts']}")


def mini_driver(url, zoom, cache):
    """XYZ tiles in the words of GDAL's WMS driver."""
    address = url.replace("{z}", "${z}").replace("{x}", "${x}").replace("{y}", "${y}")
    half = 20037508.342789244
    return f"""<GDAL_WMS><Service name="TMS"><ServerUrl>{address}</ServerUrl></Service>
      <DataWindow><UpperLeftX>{-half}</UpperLeftX><UpperLeftY>{half}</UpperLeftY><LowerRightX>{half}</LowerRightX>
      <LowerRightY>{-half}</LowerRightY><TileLevel>{zoom}</TileLevel><TileCountX>1</TileCountX>
      <TileCountY>1</TileCountY><YOrigin>top</YOrigin></DataWindow><Projection>EPSG:3857</Projection>
      <BlockSizeX>256</BlockSizeX><BlockSizeY>256</BlockSizeY><BandsCount>4</BandsCount>
      <ZeroBlockHttpCodes>204</ZeroBlockHttpCodes></GDAL_WMS>"""


def test_gdals_xyz_driver_reads_its_tiles_and_cannot_once_it_was_taken_back(served, built, tmp_path):
    link = make_link(served, built)
    with rasterio.Env(**GDAL):
        with rasterio.open(mini_driver(link["url_xyz"], 14, tmp_path)) as source:
            assert_shows(built.cube, Part(source, built.cube))
        revoke(served, link)
        with (
            rasterio.open(mini_driver(link["url_xyz"], 14, tmp_path)) as source,
            pytest.raises(rasterio.RasterioIOError),
        ):
            Part(source, built.cube).read()


def test_no_secret_is_in_the_log_or_in_the_book(served, built):
    link = make_link(served, built)
    secret = link["url_xyz"].split("/layer/")[1].split("/")[0]
    answers = [
        httpx.get(link["url_xyz"].format(z=1, x=1, y=0)),
        httpx.get(link["url_wmts"]),
        httpx.get(link["url_wmts"].replace(secret, f"{secret}x")),
        httpx.get(link["url_xyz"].format(z=99, x=1, y=0)),
        httpx.post(link["url_wmts"]),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 400, 405]
    assert secret not in served.log.read_text()
    assert not any(secret.encode() in path.read_bytes() for path in served.state.rglob("*") if path.is_file())
    assert not any(secret in answer.text for answer in answers[2:])


def test_it_is_small_until_it_is_asked_and_stays_bounded(served, built, tmp_path):
    with serve_tiles(built.store, tmp_path) as fresh:
        idle = pss(fresh.pid)
        with fresh.client() as client:
            for zoom in (9, 12, 14):
                told = client.get(f"{fresh.url}/cubes/{built.cube.token}").json()
                west, _, _, north = told["bounds"]
                path = f"{fresh.url}/cubes/{built.cube.token}/tiles/{zoom}/{tile(west, north, zoom)}.png"
                assert client.get(path, params={"band": "red", "time": DAY}).status_code == 200
        assert idle < 60
        assert pss(fresh.pid) < 450


def tile(longitude, latitude, zoom):
    down = (1 - np.arcsinh(np.tan(np.radians(latitude - 0.01))) / np.pi) / 2
    return f"{int((longitude + 0.01 + 180) / 360 * 2**zoom)}/{int(down * 2**zoom)}"


def pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def test_without_a_hub_it_ends_with_one_line():
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTERHUB_")}
    command = [sys.executable, "-m", "earthlab.services.tiles"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "make lab" in ended.stderr


def test_it_looks_where_the_settings_say_cubes_are(built):
    settings = load_settings({"cubes.store": str(built.store)}, environ={}, files=())
    assert open_cubes(settings, ()).find(built.cube.token).token == built.cube.token
    with pytest.raises(NothingFound):
        open_cubes(settings, ()).find(built.licensed.token)
