"""Constructed cubes in a store, the service over them, and a stand-in for the hub beside it."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import earthlab as el
from earthlab.cube.shared import share_cube
from earthlab.cube.shared.sharing import SharedCube
from earthlab.rights import Category, Rule
from earthlab.services.doors import Hub, HubTokens
from earthlab.services.signing.persons import HubPersons
from earthlab.services.tiles.app import create_app
from earthlab.services.tiles.cubes import Cubes, name_classes
from earthlab.services.tiles.desk import Desk, HubOwners
from earthlab.services.tiles.links import LinkBook
from earthlab.services.tiles.shelf import FolderShelf
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

PREFIX = "/services/tiles"
MAY_USE = "access:services!service=tiles"
LICENCE = "custom:earthlab:test:read"
TODAY = date(2026, 11, 22)
SHAPE = (1100, 1301)


def draw_scene(folder: Path, at: int, shape: tuple[int, int] = SHAPE) -> dict:
    """Constructed: a slope from west to east, a step from north to south, noise, and a hole."""
    rng = np.random.default_rng(at)
    rows, columns = np.mgrid[: shape[0], : shape[1]]

    def band(name: str, by: int) -> SceneBand:
        values = 1000 + by + columns + 500 * (rows > shape[0] // 2) + 100 * at + rng.integers(0, 9, shape)
        values[40:90, 60:200] = 0
        return SceneBand(RasterFile(values.astype("uint16")), name, nodata=0, scale=0.0001)

    bands = {name: band(name, 300 * by) for by, name in enumerate(("red", "green", "blue"))}
    return write_scene(folder, f"s{at}", bands, time=f"2018-07-{at + 1:02d}T10:00:00Z")


@dataclass(frozen=True)
class Built:
    """A store, and the cubes in it: an open one, and the same as a licensed one."""

    store: Path
    cube: SharedCube
    licensed: SharedCube


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("tiles")
    plan = el.plan(scene_items([draw_scene(folder, at) for at in range(3)]))
    patch = pytest.MonkeyPatch()
    patch.setenv("EARTHLAB__CUBES__ACCESS", "test")
    try:
        other = replace(plan, access="test", citation="Another.")
        return Built(
            folder / "cubes",
            share_cube(plan, store=str(folder / "cubes")),
            share_cube(other, store=str(folder / "cubes")),
        )
    finally:
        patch.undo()


@pytest.fixture
def own_store(built, tmp_path) -> Built:
    """The same, in a copy that a test may spoil."""
    store = tmp_path / "cubes"
    shutil.copytree(built.store, store)
    return replace(built, store=store)


@dataclass
class Service:
    """The service as its clients meet it."""

    app: object
    hub: HubApi
    desk: Desk
    built: Built
    now: list[float]

    async def ask(self, method: str, path: str, *, token: str | None = "ana", **words) -> httpx.Response:
        headers = ({"Authorization": f"token {token}"} if token else {}) | words.pop("headers", {})
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://lab.example") as client:
            return await client.request(method, PREFIX + path, headers=headers, **words)

    async def make_link(self, *, who: str = "ana", status: int = 201, **words) -> dict:
        asked = {"token": self.built.cube.token, "band": "red", "time": "2018-07-02T10:00:00"} | words
        answer = await self.ask("POST", "/links", token=who, json=asked)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def open_layer(self, link: dict, place: str, **words) -> httpx.Response:
        """What somebody gets who is not signed in."""
        path = link["url_xyz"].removeprefix(f"http://lab.example{PREFIX}")
        z, x, y = place.split("/")
        return await self.ask("GET", path.replace("{z}", z).replace("{x}", x).replace("{y}", y), token=None, **words)


RULE = Rule(
    id="test",
    title={"fr": "mot", "en": "word"},
    scope=LICENCE,
    charter="test-charter",
    reason={"fr": "Réservé.", "en": "Reserved."},
    how={"fr": "Signez la charte.", "en": "Sign the charter."},
    source="a test",
    categories=(Category("readers", {"fr": "mot", "en": "word"}, reads=True),),
)


@contextmanager
def serve(built: Built, folder: Path) -> Iterator[Service]:
    now = [1_800_000_000.0]
    with serve_hub_api() as hub:
        hub.tokens["own"] = Token("tiles", "service", ("read:groups", "read:users:groups", "read:roles:users"))
        hub.tokens["ana"] = Token("ana", scopes=(MAY_USE, LICENCE))
        hub.tokens["bob"] = Token("bob", scopes=(MAY_USE,))
        hub.tokens["stranger"] = Token("eve", scopes=("access:services!service=stac",))
        hub.groups = {"readers": {}, "org-x": {"test-charter": "2025-01-01"}}
        hub.members = {"ana": ("readers", "org-x"), "bob": ()}
        where = Hub(hub.url, "tiles")
        links = LinkBook(folder / "layers.sqlite", clock=lambda: now[0])
        cubes = Cubes(FolderShelf(built.store), name_classes([RULE.id]), clock=lambda: now[0])
        desk = Desk(
            lambda: cubes,
            links,
            HubPersons(where, "own", clock=lambda: now[0]),
            HubOwners(where, "own", (RULE,), clock=lambda: now[0]),
            (RULE,),
            today=lambda: TODAY,
        )
        yield Service(create_app(desk, HubTokens(where, keep=0.0), prefix=f"{PREFIX}/"), hub, desk, built, now)


@pytest.fixture
def service(built, tmp_path) -> Iterator[Service]:
    with serve(built, tmp_path) as running:
        yield running


@pytest.fixture
def spoilt(own_store, tmp_path) -> Iterator[Service]:
    """A service over a store of the test's own."""
    with serve(own_store, tmp_path) as running:
        yield running


def read_png(content: bytes) -> np.ndarray:
    """RGBA."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


@pytest.fixture(autouse=True)
def plain_settings(bare_environment):
    return bare_environment


def is_root() -> bool:
    return os.geteuid() == 0
