"""The service as its clients meet it: what is shown, to whom, and what is never said."""

import asyncio
import json
from urllib.parse import urlsplit

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.warp import reproject

from earthlab.services.tiles import app as doors
from earthlab.view.bands import open_bands
from earthlab.view.colours import Stretch
from earthlab.view.series import compute_statistics, read_series
from earthlab.view.tiles import Style, Tile, render_tile

from .conftest import PREFIX, SHAPE, read_png

DAY = "2018-07-02T10:00:00"


def tile_at(cube, zoom, row, column):
    """The tile of a zoom that has a pixel of the cube."""
    grid = cube.marker.plan.geobox
    x, y = grid.crs.transformer_to_crs("EPSG:3857")(*(grid.transform @ (column, row)))
    turn = 2 * 20037508.342789244
    return zoom, int((x / turn + 0.5) * 2**zoom), int((0.5 - y / turn) * 2**zoom)


def middle_tile(cube, zoom):
    return tile_at(cube, zoom, *(length / 2 for length in SHAPE))


def path_of(cube, zoom, **words):
    z, x, y = middle_tile(cube, zoom)
    said = {"band": "red", "time": DAY, "low": 0.1, "high": 0.35, "colormap": "gray"} | words
    query = "&".join(f"{name}={value}" for name, value in said.items() if value is not None)
    return f"/cubes/{cube.token}/tiles/{z}/{x}/{y}.png?{query}"


async def test_a_cube_tells_what_it_has(service):
    cube = service.built.cube
    answer = await service.ask("GET", f"/cubes/{cube.token}")
    told = answer.json()
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert [band["name"] for band in told["bands"]] == ["red,green,blue", "red", "green", "blue"]
    assert told["times"] == ["2018-07-01T10:00:00", DAY, "2018-07-03T10:00:00"]
    assert told["levels"] == [2, 4]
    assert told["simulated"] is False
    assert told["licences"] == list(cube.marker.plan.licences)
    assert told["citation"] == cube.marker.plan.citation
    assert told["bounds"] == pytest.approx(cube.item["bbox"], abs=1e-6)
    assert told["resolution"] == pytest.approx(10, rel=0.01)
    assert told["zoom"] == 14
    red = told["bands"][1]
    seen = cube.open().red.isel(time=-1).values
    assert red["unit"] == "1"
    assert red["style"]["low"] == pytest.approx(np.nanpercentile(seen, 2), abs=0.003)
    assert red["style"]["high"] == pytest.approx(np.nanpercentile(seen, 98), abs=0.003)


@pytest.mark.parametrize("zoom", [14, 15, 17])
async def test_near_its_own_resolution_a_tile_is_the_picture_of_the_open_cube(service, zoom):
    cube = service.built.cube
    answer = await service.ask("GET", path_of(cube, zoom))
    assert answer.headers["content-type"] == "image/png"
    open_now = open_bands(cube.open().compute(), ["red"])
    expected = render_tile(open_now, Tile(*middle_tile(cube, zoom)), Style("gray", 0.1, 0.35), step=1)
    np.testing.assert_array_equal(read_png(answer.content), read_png(expected))


@pytest.mark.parametrize(("zoom", "level"), [(13, 1), (12, 2), (11, 4), (9, 4)])
async def test_from_afar_a_tile_shows_the_overview_by_rasterios_nearest(service, zoom, level):
    cube, stretch = service.built.cube, Stretch(0.1, 0.35)
    answer = await service.ask("GET", path_of(cube, zoom))
    found = read_png(answer.content)
    values = warp(cube.open(level).red.isel(time=1), Tile(*middle_tile(cube, zoom)).geobox)
    grey = np.round(255 * np.clip((values - stretch.low) / (stretch.high - stretch.low), 0, 1))
    seen = np.isfinite(values)
    assert ((found[..., 3] > 0) == seen).mean() > 0.998
    both = seen & (found[..., 3] > 0)
    assert both.sum() > 50
    # One pixel in a thousand may lie so close to a border that two programs differ.
    assert (np.abs(found[..., 0].astype(float) - grey)[both] <= 2).mean() > 0.995


def warp(array, grid: GeoBox) -> np.ndarray:
    own = array.odc.geobox
    out = np.full(grid.shape, np.nan, "float32")
    reproject(
        array.values,
        out,
        src_transform=own.transform,
        src_crs=str(own.crs),
        dst_transform=grid.transform,
        dst_crs=str(grid.crs),
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.nearest,
        tolerance=0,
    )
    return out


async def test_three_bands_make_natural_colours(service):
    answer = await service.ask("GET", path_of(service.built.cube, 14, band="red,green,blue", colormap=None))
    picture = read_png(answer.content)[128, 128]
    assert picture[0] < picture[1] < picture[2]


async def test_without_ends_all_dates_have_the_same_colours(service):
    cube = service.built.cube
    style = (await service.ask("GET", f"/cubes/{cube.token}")).json()["bands"][1]["style"]
    words = {"colormap": "viridis", "low": style["low"], "high": style["high"]}
    open_ended = await service.ask("GET", path_of(cube, 14, low=None, high=None, colormap=None, time=DAY))
    fixed = await service.ask("GET", path_of(cube, 14, **words))
    assert open_ended.content == fixed.content


async def test_outside_of_the_cube_and_in_its_hole_a_tile_is_transparent(service):
    cube = service.built.cube
    outside = await service.ask("GET", f"/cubes/{cube.token}/tiles/14/0/0.png?band=red&time={DAY}")
    assert (read_png(outside.content)[..., 3] == 0).all()
    z, x, y = tile_at(cube, 18, 65, 130)
    hole = await service.ask("GET", f"/cubes/{cube.token}/tiles/{z}/{x}/{y}.png?band=red&time={DAY}&low=0&high=1")
    assert (read_png(hole.content)[..., 3] == 0).all()


async def test_a_tile_is_kept_for_good_and_asked_for_again_it_is_not_sent(service, monkeypatch):
    path = path_of(service.built.cube, 14)
    first = await service.ask("GET", path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, max-age=86400, immutable"
    monkeypatch.setattr(doors.Doors, "_within", None)  # nothing is drawn any more
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = await service.ask("GET", path, headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


async def test_another_picture_has_another_tag(service):
    cube = service.built.cube
    words = [{}, {"band": "green"}, {"time": "2018-07-01T10:00:00"}, {"low": 0.11}, {"colormap": "magma"}]
    tags = {(await service.ask("GET", path_of(cube, 14, **each))).headers["etag"] for each in words}
    tags.add((await service.ask("GET", path_of(cube, 13))).headers["etag"])
    assert len(tags) == 6


async def test_series_and_statistics_are_those_of_the_open_cube(service):
    cube = service.built.cube
    layer = open_bands(cube.open().compute(), ["green"])
    west, south, east, north = cube.item["bbox"]
    lon, lat = (west + east) / 2, (south + north) / 2
    answer = await service.ask("POST", f"/cubes/{cube.token}/series", json={"band": "green", "lon": lon, "lat": lat})
    expected = read_series(layer, lon, lat)
    told = answer.json()
    assert told["times"] == list(expected.times)
    assert told["values"] == pytest.approx(expected.values)
    area = square(lon, lat, 0.01)
    answer = await service.ask("POST", f"/cubes/{cube.token}/statistics", json={"band": "green", "geometry": area})
    told, rows = answer.json(), compute_statistics(layer, area)
    assert told["area"] == rows[0]["area_km2"]
    for found, row, time in zip(told["rows"], rows, expected.times, strict=True):
        assert found == pytest.approx({"time": time, **{n: v for n, v in row.items() if n != "area_km2"}})


def square(lon, lat, half):
    ring = [[lon + i * half, lat + j * half] for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    return {"type": "Polygon", "coordinates": [ring]}


ROUTES = [
    ("GET", "/cubes/{token}"),
    ("GET", f"/cubes/{{token}}/tiles/1/0/0.png?band=red&time={DAY}"),
    ("POST", "/cubes/{token}/series"),
    ("POST", "/cubes/{token}/statistics"),
    ("POST", "/links"),
    ("GET", "/links"),
    ("DELETE", "/links/abc"),
    ("GET", "/"),
    ("GET", "/docs"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(("token", "status"), [(None, 401), ("unknown", 401), ("stranger", 403)])
async def test_nothing_but_layers_answers_without_a_token_that_may_use_the_service(
    service, method, path, token, status
):
    answer = await service.ask(method, path.format(token=service.built.cube.token), token=token)
    assert answer.status_code == status


async def test_every_route_of_the_service_is_among_those(service):
    mounted = {route.path: route.app for route in service.app.routes}
    assert set(mounted) == {f"{PREFIX}/layer", PREFIX}
    inside = {(m, r.path) for r in mounted[PREFIX]._app.routes for m in r.methods - {"HEAD"}}
    walked = {(method, path.partition("?")[0]) for method, path in ROUTES}
    named = {
        (method, path.replace("{id}", "abc").replace("{z:int}/{x:int}/{y:int}", "1/0/0")) for method, path in inside
    }
    assert named <= walked


async def test_a_licensed_cube_is_shown_to_the_entitled_alone(service):
    cube = service.built.licensed
    assert (await service.ask("GET", f"/cubes/{cube.token}")).json()["access"] == "test"
    for method, path, words in (
        ("GET", f"/cubes/{cube.token}", {}),
        ("GET", path_of(cube, 14), {}),
        ("POST", f"/cubes/{cube.token}/series", {"json": {"band": "red", "lon": 1, "lat": 43}}),
        ("POST", "/links", {"json": {"token": cube.token, "band": "red", "time": DAY}}),
    ):
        refused = await service.ask(method, path, token="bob", **words)
        assert refused.status_code == 403
        assert "Réservé." in refused.json()["message"]
        assert "Sign the charter." in refused.json()["message"]
    service.hub.groups["org-x"] = {}
    service.now[0] += 40
    assert (await service.ask("GET", f"/cubes/{cube.token}")).status_code == 403


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/cubes/0123456789abcdef0123", 404, "NothingFound"),
        ("/cubes/nothing", 400, "BadRequest"),
        ("/cubes/..%2f..%2fetc", 404, "Refused"),
        ("/cubes/{token}?url=http://example.org", 400, "BadRequest"),
        ("/cubes/{token}/tiles/1/0/0.png", 400, "BadRequest"),
        ("/cubes/{token}/tiles/1/0/0.png?band=red", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=swir&time={DAY}", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=red,green&time={DAY}", 400, "BadRequest"),
        ("/cubes/{token}/tiles/1/0/0.png?band=red&time=2019", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=red&time={DAY}&low=x", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=red&time={DAY}&low=2&high=1", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=red&time={DAY}&colormap=none", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=red&time={DAY}&url=file:///etc/passwd", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/0/0.png?band=red&band=green&time={DAY}", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/25/0/0.png?band=red&time={DAY}", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/2/0.png?band=red&time={DAY}", 400, "BadRequest"),
        (f"/cubes/{{token}}/tiles/1/-1/0.png?band=red&time={DAY}", 404, "Refused"),
        ("/nothing", 404, "Refused"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(service, path, status, code):
    answer = await service.ask("GET", path.replace("{token}", service.built.cube.token))
    told = answer.json()
    assert (answer.status_code, told["code"], set(told)) == (status, code, {"code", "message", "remedy"})
    assert told["remedy"]
    english = await service.ask(
        "GET", path.replace("{token}", service.built.cube.token), headers={"Accept-Language": "en"}
    )
    assert english.json()["remedy"] != told["remedy"]


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("series", b"{", 400),
        ("series", b"[1]", 400),
        ("series", b'{"band": "red", "lon": 1, "lat": 43, "url": "x"}', 400),
        ("series", b'{"band": "red", "lon": true, "lat": 43}', 400),
        ("series", b'{"band": "red", "lon": NaN, "lat": 43}', 400),
        ("series", b'{"band": "red", "lon": 100, "lat": 43}', 404),
        ("series", b'{"band": 7, "lon": 1, "lat": 43}', 400),
        ("statistics", b'{"band": "red", "geometry": "x"}', 400),
        ("statistics", b'{"band": "red", "geometry": {"type": "Point", "coordinates": [1, 43]}}', 400),
        (
            "statistics",
            b'{"band": "red", "geometry": {"type": "Polygon", "coordinates": [[[1,4],[2,4],[2,5],[1,4]]]}}',
            404,
        ),
        ("statistics", b"[" * 200_000, 400),
        ("statistics", b'{"band": "' + b"x" * 600_000 + b'"}', 413),
    ],
)
async def test_what_cannot_be_counted_is_refused_in_words(service, route, body, status):
    answer = await service.ask("POST", f"/cubes/{service.built.cube.token}/{route}", content=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "remedy"}


async def test_a_link_opens_a_layer_for_whoever_has_it_and_nobody_else(service):
    cube = service.built.cube
    link = await service.make_link(style={"colormap": "gray", "low": 0.1, "high": 0.35}, days=7)
    place = "/".join(map(str, middle_tile(cube, 14)))
    opened = await service.open_layer(link, place)
    own = await service.ask("GET", path_of(cube, 14))
    assert opened.status_code == 200
    assert opened.content == own.content
    assert opened.headers["cache-control"] == "private, max-age=300"
    assert opened.headers["referrer-policy"] == "no-referrer"
    again = await service.open_layer(link, place, headers={"If-None-Match": opened.headers["etag"]})
    assert again.status_code == 304
    other = {**link, "url_xyz": link["url_xyz"].replace("/layer/", "/layer/x")}
    refused = await service.open_layer(other, place)
    assert refused.status_code == 404
    assert refused.headers["referrer-policy"] == "no-referrer"
    assert "inconnue" in refused.json()["message"]


async def test_a_link_says_all_that_is_needed_and_its_secret_is_long_and_said_once(service):
    link = await service.make_link(days=10)
    assert link["expires"] == "2027-01-25T08:00:00Z"
    secret = link["url_xyz"].split("/layer/")[1].split("/")[0]
    assert len(secret) >= 32
    assert link["url_wmts"] == f"http://lab.example{PREFIX}/layer/{secret}/WMTSCapabilities.xml"
    assert link["url_wmts"] in " ".join(link["steps"]["fr"])
    assert link["url_xyz"] in " ".join(link["steps"]["en"])
    assert len(link["steps"]["fr"]) == len(link["steps"]["en"])
    assert link["style"]["low"] < link["style"]["high"]
    listed = (await service.ask("GET", "/links")).json()["links"]
    assert [each["id"] for each in listed] == [link["id"]]
    assert secret not in json.dumps(listed)
    assert (await service.ask("GET", "/links", token="bob")).json()["links"] == []


async def test_a_page_says_where_it_is_and_only_that(service):
    link = await service.make_link(origin="https://lab.example:8443")
    assert link["url_xyz"].startswith(f"https://lab.example:8443{PREFIX}/layer/")
    for origin in ("javascript:alert(1)", "https://a/b", "https://a@b", "ftp://a", 7, "https://a\n"):
        await service.make_link(origin=origin, status=400)


@pytest.mark.parametrize(
    "words",
    [
        {"days": 91},
        {"days": 0},
        {"days": "7"},
        {"band": "swir"},
        {"time": "2019"},
        {"style": {"colormap": "none"}},
        {"style": {"css": "x"}},
        {"style": {"low": True}},
        {"style": [1]},
        {"owner": "bob"},
        {"token": "../../etc"},
    ],
)
async def test_a_link_of_what_cannot_be_is_refused(service, words):
    told = await service.make_link(status=400, **words)
    assert set(told) == {"code", "message", "remedy"}


async def test_a_link_that_was_taken_back_is_dead_at_once(service):
    link = await service.make_link()
    place = "/".join(map(str, middle_tile(service.built.cube, 14)))
    assert (await service.open_layer(link, place)).status_code == 200
    assert (await service.ask("DELETE", f"/links/{link['id']}", token="bob")).status_code == 404
    assert (await service.open_layer(link, place)).status_code == 200
    assert (await service.ask("DELETE", f"/links/{link['id']}")).json() == {"revoked": link["id"]}
    refused = await service.open_layer(link, place, headers={"If-None-Match": "*"})
    assert refused.status_code == 404
    assert "révoquée" in refused.json()["message"]
    assert refused.headers["cache-control"] == "no-store"
    capabilities = urlsplit(link["url_wmts"]).path.removeprefix(PREFIX)
    assert (await service.ask("GET", capabilities, token=None)).status_code == 404
    assert (await service.ask("DELETE", f"/links/{link['id']}")).status_code == 404


async def test_a_link_ends_with_its_day(service):
    link = await service.make_link(days=2)
    service.now[0] += 2 * 86400 - 1
    assert (await service.open_layer(link, "1/0/0")).status_code == 200
    service.now[0] += 2
    refused = await service.open_layer(link, "1/0/0")
    assert refused.status_code == 404
    assert "expirée" in refused.json()["message"]


@pytest.mark.parametrize("lost", ["group", "charter", "blocked"])
async def test_a_link_to_a_licensed_cube_dies_with_its_makers_right(service, lost):
    link = await service.make_link(token=service.built.licensed.token)
    assert (await service.open_layer(link, "1/0/0")).status_code == 200
    match lost:
        case "group":
            service.hub.members["ana"] = ("org-x",)
        case "charter":
            service.hub.groups["org-x"] = {"test-charter": "2025-01-01/2026-01-01"}
        case "blocked":
            service.hub.blocked.add("ana")
    service.now[0] += 40
    refused = await service.open_layer(link, "1/0/0")
    assert refused.status_code == 404
    assert "n’a plus le droit" in refused.json()["message"]
    path = urlsplit(link["url_wmts"]).path.removeprefix(PREFIX)
    assert (await service.ask("GET", path, token=None)).status_code == 404


async def test_a_link_to_a_licensed_cube_waits_for_a_hub_that_is_silent(service):
    link = await service.make_link(token=service.built.licensed.token)
    service.hub.silent = True
    service.now[0] += 40
    assert (await service.open_layer(link, "1/0/0")).status_code == 503


async def test_behind_the_proxy_capabilities_name_the_host_that_was_asked(service):
    link = await service.make_link(origin="https://lab.example")
    path = urlsplit(link["url_wmts"]).path.removeprefix(PREFIX)
    answer = await service.ask(
        "GET", path, token=None, headers={"Host": "qgis.sees:8000", "X-Forwarded-Proto": "https, http"}
    )
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["cache-control"] == "private, max-age=300"
    assert f'template="https://qgis.sees:8000{PREFIX}/layer/' in answer.text
    assert "{TileMatrix}/{TileCol}/{TileRow}.png" in answer.text
    wrong = await service.ask("GET", path, token=None, headers={"Host": 'a"><b'})
    assert wrong.status_code == 400


async def test_who_tries_many_secrets_waits_and_layers_that_are_known_go_on(service):
    link = await service.make_link()
    statuses = [(await service.ask("GET", f"/layer/{at:032d}/1/0/0.png", token=None)).status_code for at in range(70)]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    assert (await service.open_layer(link, "1/0/0")).status_code == 200
    elsewhere = await service.ask(
        "GET", "/layer/abc/1/0/0.png", token=None, headers={"X-Forwarded-For": "10.0.0.1, 192.0.2.7"}
    )
    assert elsewhere.status_code == 404


async def test_a_silent_hub_lets_nobody_in_and_open_layers_go_on(service):
    link = await service.make_link()
    service.hub.silent = True
    assert (await service.ask("GET", f"/cubes/{service.built.cube.token}")).status_code == 503
    assert (await service.open_layer(link, "1/0/0")).status_code == 200


async def test_what_waits_is_bounded(service, monkeypatch):
    monkeypatch.setattr(doors, "MOST_WAITING", 0)
    answer = await service.ask("GET", path_of(service.built.cube, 14))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "60"


async def test_many_at_once_get_the_same_pictures(service):
    paths = [
        path_of(service.built.cube, zoom, time=day) for zoom in (12, 13, 14) for day in (DAY, "2018-07-03T10:00:00")
    ]
    one_by_one = [(await service.ask("GET", path)).content for path in paths]
    at_once = await asyncio.gather(*(service.ask("GET", path) for path in paths * 5))
    assert [answer.content for answer in at_once] == one_by_one * 5


async def test_a_fault_of_ours_tells_nothing(service, monkeypatch):
    monkeypatch.setattr(type(service.desk.cubes), "find", lambda *_: 1 / 0)
    answer = await service.ask("GET", f"/cubes/{service.built.cube.token}")
    assert answer.status_code == 500
    assert answer.json()["code"] == "Fault"
    assert "division" not in answer.text
