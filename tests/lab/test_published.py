"""Shared cubes on the map: through a real Jupyter server to the real service, and nothing else is passed on."""

import ast
import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
from jsonschema import Draft202012Validator

import earthlab as el
from earthlab.testing.hub_api import Token
from earthlab_lab.app import plan_handlers
from earthlab_lab.desk import Desk
from earthlab_lab.published import make_published_routes
from earthlab_lab.services import Service
from tests.services.tiles.conftest import built  # noqa: F401 - a fixture
from tests.services.tiles.serving import MAY_USE, serve_tiles

pytestmark = pytest.mark.lab

DAY = "2018-07-02T10:00:00"
ROUTES = make_published_routes(Desk())


@pytest.fixture(scope="module")
def service(built, tmp_path_factory):  # noqa: F811
    with serve_tiles(built.store, tmp_path_factory.mktemp("service")) as running:
        running.hub.tokens["the-servers-own"] = Token("ana", scopes=(MAY_USE,))
        yield running


@pytest.fixture
def routed(jp_serverapp, bare_environment):
    desk = Desk()
    routes = make_published_routes(desk)
    jp_serverapp.web_app.add_handlers(".*$", plan_handlers(routes, jp_serverapp.web_app.settings["base_url"]))
    yield
    desk.close()


@pytest.fixture
def page(ask, routed, service, monkeypatch):
    """Ask as a page of a lab does; answers have the form that their route promises."""
    monkeypatch.setenv("EARTHLAB_SERVICES", service.url.removesuffix("/tiles"))
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-servers-own")

    def asked(method, path, body=None, **words):
        answer = ask(method, path, body, **words)
        assert b"the-servers-own" not in answer.body
        return answer

    return asked


def require_form(answer, method, path):
    gives = {(route.method, route.path): route.gives for route in ROUTES}[method, path]
    Draft202012Validator(gives).validate(answer.said)


CUBE = r"published/([0-9a-f]{20})"


def tile_of(cube, zoom):
    grid = cube.marker.plan.geobox
    x, y = grid.crs.transformer_to_crs("EPSG:3857")(*(grid.transform @ (600, 500)))
    turn = 2 * 20037508.342789244
    return f"{zoom}/{int((x / turn + 0.5) * 2**zoom)}/{int((0.5 - y / turn) * 2**zoom)}"


def test_a_cube_tells_what_it_has(page, built):  # noqa: F811
    answer = page("GET", f"published/{built.cube.token}")
    assert answer.status == 200
    require_form(answer, "GET", CUBE)
    assert [band["name"] for band in answer.said["bands"]] == ["red,green,blue", "red", "green", "blue"]


def test_a_tile_is_the_services_and_is_kept_for_a_day(page, built, service):  # noqa: F811
    place, words = tile_of(built.cube, 14), {"band": "red", "time": DAY, "low": "0.1", "high": "0.3"}
    answer = page("GET", f"published/{built.cube.token}/tiles/{place}", **words)
    with service.client() as client:
        own = client.get(f"{service.url}/cubes/{built.cube.token}/tiles/{place}.png", params=words)
    assert answer.status == 200
    assert answer.body == own.content
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "private, max-age=86400"


def test_series_statistics_and_their_cell(page, built):  # noqa: F811
    token = built.cube.token
    west, south, east, north = built.cube.item["bbox"]
    lon, lat = (west + east) / 2, (south + north) / 2
    series = page("POST", f"published/{token}/series", {"band": "red", "lon": lon, "lat": lat})
    require_form(series, "POST", f"{CUBE}/series")
    assert len(series.said["values"]) == 3
    ring = [[lon + i, lat + j] for i, j in ((0, 0), (0.01, 0), (0.01, 0.01), (0, 0.01), (0, 0))]
    asked = {"band": "red", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    statistics = page("POST", f"published/{token}/statistics", asked)
    require_form(statistics, "POST", f"{CUBE}/statistics")
    cell = page("POST", f"published/{token}/statistics-cell", asked)
    require_form(cell, "POST", f"{CUBE}/statistics-cell")
    assert cell.said["metadata"]["earthlab"]["statistics"]["cube"] == token


def test_the_cell_computes_the_same_as_the_page_shows(page, built, monkeypatch):  # noqa: F811
    west, south, east, north = built.cube.item["bbox"]
    lon, lat = (west + east) / 2, (south + north) / 2
    ring = [[lon + i, lat + j] for i, j in ((0, 0), (0.01, 0), (0.01, 0.01), (0, 0.01), (0, 0))]
    asked = {"band": "red", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    shown = page("POST", f"published/{built.cube.token}/statistics", asked).said
    code = page("POST", f"published/{built.cube.token}/statistics-cell", asked).said["code"]
    monkeypatch.setenv("EARTHLAB__CUBES__STORE", str(built.store))
    names = {}
    exec(code, names)
    found = names["statistics"]
    assert list(found["mean"]) == [row["mean"] for row in shown["rows"]]
    assert found["area_km2"].iloc[0] == shown["area"]


@pytest.mark.parametrize("band", ['"); import os; ("', "'\\", "red\n", "a" * 301, "é"])
def test_whatever_a_band_is_called_it_stays_a_text_of_the_cell(page, built, band):  # noqa: F811
    ring = [[1, 43], [2, 43], [2, 44], [1, 43]]
    asked = {"band": band, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    answer = page("POST", f"published/{built.cube.token}/statistics-cell", asked)
    if len(band) > 300:
        assert answer.status == 400
        return
    tree = ast.parse(answer.said["code"])
    assert [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import)] == ["import earthlab as el"]
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "band"]
    assert ast.literal_eval(call.value) == band


def test_a_link_is_made_listed_and_taken_back(page, built):  # noqa: F811
    asked = {"token": built.cube.token, "band": "red", "time": DAY, "days": 7, "origin": "https://lab.example"}
    made = page("POST", "links", asked)
    require_form(made, "POST", "links")
    assert made.said["url_xyz"].startswith("https://lab.example/services/tiles/layer/")
    listed = page("GET", "links")
    require_form(listed, "GET", "links")
    assert made.said["id"] in {link["id"] for link in listed.said["links"]}
    gone = page("DELETE", f"links/{made.said['id']}")
    require_form(gone, "DELETE", "links/([0-9a-f]{16})")
    assert page("DELETE", f"links/{made.said['id']}").status == 404


def test_what_the_service_refuses_is_refused_as_it_is(page, built):  # noqa: F811
    for path, words, status, code in (
        ("published/0123456789abcdef0123", {}, 404, "NothingFound"),
        (f"published/{built.cube.token}/tiles/1/0/0", {"band": "swir", "time": DAY}, 400, "BadRequest"),
        (f"published/{built.cube.token}/tiles/30/0/0", {"band": "red", "time": DAY}, 400, "BadRequest"),
    ):
        answer = page("GET", path, **words)
        assert (answer.status, answer.said["code"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("GET", "published/0123456789abcdef0123", None, {"url": "http://example.org"}),
        ("GET", "published/0123456789abcdef0123/tiles/1/0/0", None, {}),
        ("GET", "published/0123456789abcdef0123/tiles/1/0/0", None, {"band": "red", "time": DAY, "url": "x"}),
        ("POST", "published/0123456789abcdef0123/series", {"band": "red", "lon": "1", "lat": 43}, {}),
        ("POST", "published/0123456789abcdef0123/series", {"band": "red", "lon": 1, "lat": 43, "url": "x"}, {}),
        ("POST", "published/0123456789abcdef0123/statistics", {"band": "red", "geometry": {"type": "Point"}}, {}),
        ("POST", "links", {"token": "../../etc/passwd", "band": "red", "time": DAY}, {}),
        ("POST", "links", {"token": "0123456789abcdef0123", "band": "", "time": DAY}, {}),
        ("POST", "links", {"token": "0123456789abcdef0123", "band": "red", "time": DAY, "days": 91}, {}),
        ("POST", "links", {"token": "0123456789abcdef0123", "band": "red", "time": DAY, "origin": "javascript:"}, {}),
    ],
)
def test_what_is_no_such_question_is_not_passed_on(ask, routed, monkeypatch, method, path, body, words):
    with recorder() as (url, asked):
        monkeypatch.setenv("EARTHLAB_SERVICES", url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-servers-own")
        assert ask(method, path, body, **words).status == 400
    assert asked == []


@pytest.mark.parametrize(
    "path",
    [
        "published/0123456789ABCDEF0123",
        "published/0123456789abcdef01234",
        "published/0123456789abcdef0123/tiles/1/0/x",
        "published/0123456789abcdef0123/tiles/1/0/0/0",
        "published/..",
        "published/0123456789abcdef0123%2f..%2flinks",
        "links/../hub",
    ],
)
def test_a_path_of_another_form_is_nobodys(ask, routed, monkeypatch, path):
    from tornado.httpclient import HTTPClientError

    with recorder() as (url, asked):
        monkeypatch.setenv("EARTHLAB_SERVICES", url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-servers-own")
        try:
            status = ask("GET", path).status
        except (HTTPClientError, ValueError, AssertionError):
            status = 404  # the server's own page, which is no refusal of ours
    assert status in {404, 405}
    assert asked == []


@contextmanager
def recorder(status=200, content=b"{}", headers=()):
    """Stands where the hub's services are, notes who is asked, and answers always the same."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.command, self.path, self.headers.get("Authorization")))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/services", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "content", "headers", "expected"),
    [
        (404, b"<html>", (), (503, "ComputeUnavailable")),
        (200, b"<html>", (), (503, "ComputeUnavailable")),
        (302, b"", (("Location", "http://127.0.0.1:9/"),), (503, "ComputeUnavailable")),
        (500, b'{"code": "Fault", "message": "x"}', (), (503, "ComputeUnavailable")),
        (403, b'{"code": "NotAllowed", "description": "no scope"}', (), (403, "NotAllowed")),
        (401, b'{"code": "NotSignedIn", "description": "who?"}', (), (403, "NotAllowed")),
        (413, b'{"code": "AskLess", "message": "too much"}', (), (413, "AskLess")),
        (429, b'{"code": "EarthlabError", "message": "x"}', (), (500, "EarthlabError")),
        (400, b'{"code": "__name__", "message": "x"}', (), (400, "BadRequest")),
        (400, b'["x"]', (), (503, "ComputeUnavailable")),
    ],
)
def test_whatever_answers_in_its_place_the_page_is_told_in_words(
    ask, routed, monkeypatch, status, content, headers, expected
):
    with recorder(status, content, headers) as (url, asked):
        monkeypatch.setenv("EARTHLAB_SERVICES", url)
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-servers-own")
        answer = ask("GET", "links")
    assert (answer.status, answer.said["code"]) == expected or status == 429
    assert asked == [("GET", "/services/tiles/links", "token the-servers-own")]
    assert b"the-servers-own" not in answer.body


def test_a_service_that_is_away_is_said_in_words(ask, routed, monkeypatch):
    monkeypatch.setenv("EARTHLAB_SERVICES", "http://127.0.0.1:9/services")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "the-servers-own")
    answer = ask("GET", "published/0123456789abcdef0123")
    assert (answer.status, answer.said["code"]) == (503, "ComputeUnavailable")
    assert "does not answer" in answer.said["message"]


def test_a_server_outside_of_a_lab_says_so(ask, routed):
    assert ask("GET", "links").said["code"] == "SetupError"


def test_its_repr_shows_no_token():
    assert "secret" not in repr(Service(("Le", "The"), "http://127.0.0.1/services/tiles", "secret"))


def test_the_routes_have_schemas_and_no_two_the_same_place():
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    for route in ROUTES:
        for schema in filter(None, (route.takes, route.gives)):
            Draft202012Validator.check_schema(schema)
            json.dumps(schema)
    assert el.__name__ == "earthlab"
