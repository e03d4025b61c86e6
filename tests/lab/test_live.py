"""Layers of kernels, as the user's server has them: real sockets, a real kernel, and kernels that do not answer."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from tornado.httpclient import HTTPClientError

from earthlab.errors import AskLess, BadRequest, ComputeUnavailable, NothingFound
from earthlab.view.live import LayerDesk
from earthlab.view.series import area_statistics
from earthlab.view.serving import Reply, SocketServer
from earthlab_lab import live
from earthlab_lab.app import plan_handlers
from earthlab_lab.desk import Desk
from earthlab_lab.live import KernelLayers, make_live_routes
from earthlab_lab.routes import Asked
from earthlab_lab.schemas import REFUSAL
from tests.patience import PATIENCE
from tests.view.drawn import layer, picture, tile_over
from tests.view.kernels import code_of_cube, running_kernel

DATES = ["2018-07-01", "2018-07-11"]
ARRAY = layer(np.random.default_rng(0).random((2, 300, 200), "float32"), dates=DATES, units="m")
TILE = tile_over(ARRAY, 15)
BOX = ARRAY.odc.geobox.geographic_extent.boundingbox
LON, LAT = (BOX.left + BOX.right) / 2, (BOX.bottom + BOX.top) / 2
AREA = {"type": "Polygon", "coordinates": [[[LON, LAT], [LON + 0.003, LAT], [LON, LAT + 0.003], [LON, LAT]]]}


class Running:
    """Kernels by their ids alone."""

    def __init__(self, *ids):
        self.ids = list(ids)

    def list_kernel_ids(self):
        return self.ids


@pytest.fixture
def runtime(monkeypatch):
    """A folder for what Jupyter keeps while it runs; its path is short, as sockets need it."""
    with tempfile.TemporaryDirectory(prefix="el-") as name:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", name)
        yield Path(name)


@pytest.fixture
def serve(runtime):
    """Have a kernel's socket answer: as a kernel would of its variables, or otherwise."""
    servers = []

    def serve(answer=None, **namespace):
        kernel = str(uuid4())
        servers.append(SocketServer(runtime / f"earthlab-{kernel}.sock", answer or LayerDesk(lambda: namespace).answer))
        return kernel

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def route_of(routes, path):
    return next(route for route in routes if route.path.startswith(path))


def call(kernels, path, words=None, parts=()):
    """The answer of a route, after its words were checked as its handler would."""
    found = route_of(make_live_routes(Desk(), kernels), path)
    Draft202012Validator(found.takes).validate(words or {})
    answer = asyncio.run(found.answer(Asked(words or {}, parts)))
    if found.gives is not None:
        Draft202012Validator(found.gives).validate(json.loads(json.dumps(answer)))
    return answer


def tile_parts(kernel, name="a", tile=TILE):
    return (kernel, name, str(tile.z), str(tile.x), str(tile.y))


def test_the_layers_of_all_kernels_are_listed(serve):
    one, other = serve(a=ARRAY, b=3), serve(a=ARRAY.isel(time=0), cube=ARRAY.to_dataset(name="v"))
    found = call(Running(one, other), "layers")
    assert [(each["kernel"], each["name"]) for each in found["layers"]] == [(one, "a"), (other, "a"), (other, "cube")]
    assert found["silent"] == []


def test_a_kernel_without_layers_has_none_and_one_that_does_not_answer_is_named(serve, monkeypatch):
    monkeypatch.setattr(live, "LISTED_WITHIN", 0.2)
    free = threading.Event()

    def busy(_request):
        free.wait(PATIENCE)
        return Reply(200, "", b"{}")

    none, slow, fine = str(uuid4()), serve(busy), serve(a=ARRAY)
    found = call(Running(none, slow, fine), "layers")
    free.set()
    assert [each["kernel"] for each in found["layers"]] == [fine]
    assert found["silent"] == [slow]


def test_a_tile_is_passed_on_and_kept_where_its_version_is_named(serve):
    kernel = serve(été=ARRAY)
    words = {"time": "2018-07-01T00:00:00", "low": "0", "high": "1", "colormap": "gray"}
    file = call(Running(kernel), "tiles", words, tile_parts(kernel, "été"))
    assert (file.kind, file.keep) == ("image/png", 0)
    assert picture(file.content).shape == (256, 256, 4)
    (version,) = [each["version"] for each in call(Running(kernel), "layers")["layers"]]
    kept = call(Running(kernel), "tiles", {**words, "version": version}, tile_parts(kernel, "été"))
    assert (kept.content, kept.keep) == (file.content, live.KEPT_FOR)


def test_numbers_are_passed_on(serve):
    kernel = serve(a=ARRAY)
    asked = {"kernel": kernel, "variable": "a"}
    stretch = call(Running(kernel), "stretch", {}, (kernel, "a"))
    assert 0 <= stretch["low"] < stretch["high"] <= 1
    series = call(Running(kernel), "series", {**asked, "lon": LON, "lat": LAT})
    assert (len(series["values"]), series["unit"]) == (2, "m")
    statistics = call(Running(kernel), "statistics", {**asked, "geometry": AREA})
    truth = area_statistics(ARRAY, AREA)
    assert [row["mean"] for row in statistics["rows"]] == truth["mean"].tolist()
    assert [row["count"] for row in statistics["rows"]] == truth["count"].tolist()
    assert statistics["area"] == truth["area_km2"].iloc[0]


def test_the_cell_computes_what_was_shown(serve):
    kernel = serve(a=ARRAY)
    cell = call(Running(kernel), "statistics-cell", {"kernel": kernel, "variable": "a", "geometry": AREA})
    names = {"a": ARRAY}
    exec(cell["code"], names)
    shown = call(Running(kernel), "statistics", {"kernel": kernel, "variable": "a", "geometry": AREA})
    assert names["statistics"]["median"].tolist() == [row["median"] for row in shown["rows"]]
    assert cell["metadata"]["earthlab"]["statistics"]["variable"] == "a"
    with pytest.raises(BadRequest, match="expected the name of a variable"):
        call(Running(kernel), "statistics-cell", {"variable": "a\nimport os", "geometry": AREA})


def test_no_kernel_is_asked_that_does_not_run(serve):
    kernel = serve(a=ARRAY)
    with pytest.raises(NothingFound, match="does not run any more, or not in this server"):
        call(Running(str(uuid4())), "tiles", {}, tile_parts(kernel))
    with pytest.raises(NothingFound, match="does not run any more"):
        call(Running(kernel), "series", {"kernel": "0" * 36, "variable": "a", "lon": LON, "lat": LAT})


@pytest.mark.parametrize("name", ["../x", "_a", "a b", "a;b", "", "a/b", "a?x=1", "a\r\nb"])
def test_names_that_are_none_are_not_passed_on(serve, name):
    asked = []
    kernel = serve(lambda request: asked.append(request) or Reply(200, "", b"{}"))
    with pytest.raises(BadRequest, match="expected the name of a variable"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel, name))
    with pytest.raises(BadRequest, match="expected the name of a variable"):
        call(Running(kernel), "stretch", {}, (kernel, name))
    assert not asked


def test_words_of_an_address_stay_words(serve):
    asked = []
    kernel = serve(lambda request: asked.append(request) or Reply(200, "image/png", b"x"))
    hostile = "a&low=1#/../ HTTP/1.0\r\nX: y é"
    call(Running(kernel), "tiles", {"band": hostile}, tile_parts(kernel))
    (request,) = asked
    assert (request.method, request.words) == ("GET", {"band": hostile})
    assert request.parts == ("tiles", "a", str(TILE.z), str(TILE.x), f"{TILE.y}.png")


@pytest.mark.parametrize(
    ("words", "kind", "why"),
    [
        ({"band": "x"}, BadRequest, "this array is one band"),
        ({"time": "demain"}, BadRequest, "no step is called 'demain'"),
        ({"colormap": "rose"}, BadRequest, "colormap: 'rose'"),
    ],
)
def test_a_kernels_refusals_are_the_same_here(serve, words, kind, why):
    kernel = serve(a=ARRAY)
    with pytest.raises(kind, match=why):
        call(Running(kernel), "tiles", words, tile_parts(kernel))


def test_what_is_too_much_is_said_with_the_way_out(serve):
    kernel = serve(a=ARRAY.chunk(y=10, x=10) * 2)
    with pytest.raises(AskLess, match=r"Zoom in, or \.compute\(\) or \.persist\(\) it first"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel, tile=tile_over(ARRAY, 10)))


def test_a_kernel_that_takes_too_long_is_said_to_be_at_work(serve, monkeypatch):
    monkeypatch.setattr(live, "DRAWN_WITHIN", 0.2)
    free = threading.Event()
    kernel = serve(lambda request: free.wait(PATIENCE) and Reply(200, "", b""))
    with pytest.raises(ComputeUnavailable, match=r"did not answer within 0 s, it is at work: wait until its cell"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel))
    free.set()


def listen(runtime, answer):
    """A kernel's socket that gives these bytes and closes."""
    kernel = str(uuid4())
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(runtime / f"earthlab-{kernel}.sock"))
    listener.listen()

    def give():
        with listener, listener.accept()[0] as connection:
            connection.recv(10_000)
            connection.sendall(answer)

    threading.Thread(target=give, daemon=True).start()
    return kernel


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 200 OK\r\nContent-Le",
        b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n",
        b"HTTP/1.0 ok\r\nContent-Length: 0\r\n\r\n",
        b"x" * 100_000,
    ],
)
def test_a_kernel_that_breaks_off_is_said_to_have_ended(runtime, answer):
    kernel = listen(runtime, answer)
    with pytest.raises(ComputeUnavailable, match=r"ended, or broke off its answer: run its cells again"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel))


def test_an_answer_that_is_none_is_said_to_be_none(serve):
    kernel = serve(lambda request: Reply(400, "", b"<html>"))
    with pytest.raises(ComputeUnavailable, match="gave an answer that is none"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel))


@pytest.mark.parametrize("code", ["Fault", "SystemExit", "EarthlabWarning", "difflib", "__name__"])
def test_no_code_of_a_kernels_makes_another_refusal_than_ours(serve, code):
    content = json.dumps({"refused": {"code": code, "message": "x"}}).encode()
    kernel = serve(lambda request: Reply(400, "", content))
    with pytest.raises(RuntimeError, match="a kernel failed to answer"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel))


def test_a_kernel_that_is_gone_shows_no_layers(runtime):
    kernel = str(uuid4())
    with pytest.raises(NothingFound, match=r"shows no layers yet: open a cube in it, el\.open"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel))
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(runtime / f"earthlab-{kernel}.sock"))
    left.close()
    with pytest.raises(NothingFound, match="shows no layers yet"):
        call(Running(kernel), "tiles", {}, tile_parts(kernel))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_socket_of_another_user_is_not_asked(runtime):
    kernel = str(uuid4())
    runtime.chmod(0o777)
    code = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.chmod(sys.argv[1], 0o777);"
        "s.listen(); print('ready', flush=True); c, _ = s.accept(); print(len(c.recv(1000)), flush=True)"
    )
    command = [sys.executable, "-S", "-c", code, str(runtime / f"earthlab-{kernel}.sock")]
    with subprocess.Popen(command, user=65534, group=65534, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(NothingFound):
            call(Running(kernel), "tiles", {}, tile_parts(kernel))
        assert other.stdout.readline() == "0\n"


def test_the_loop_goes_on_while_a_kernel_is_waited_for(serve):
    free = threading.Event()
    kernel = serve(lambda request: free.wait(PATIENCE) and Reply(200, "image/png", b"x"))
    layers = KernelLayers(Running(kernel))

    async def both():
        drawing = asyncio.create_task(layers.draw_tile(Asked({}, tile_parts(kernel))))
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not drawing.done()
        free.set()
        return (await drawing).content

    assert asyncio.run(both()) == b"x"


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
def test_a_page_sees_what_a_real_kernel_has(tmp_path, desk, jp_serverapp, jp_fetch, jp_asyncio_loop, monkeypatch):
    with running_kernel() as kernel:
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(kernel.socket.parent))
        base = jp_serverapp.web_app.settings["base_url"]
        routes = make_live_routes(desk, kernel)
        # Beside those that the server has by itself.
        jp_serverapp.web_app.add_handlers(".*$", plan_handlers(routes, f"{base}beside"))

        def ask(method, path, body=None, **words):
            options = {"method": method, "body": None if body is None else json.dumps(body), "request_timeout": 60}
            asking = jp_fetch("beside", "earthlab", *path.split("/"), **options, **({"params": words} if words else {}))
            try:
                return jp_asyncio_loop.run_until_complete(asking)
            except HTTPClientError as refused:
                Draft202012Validator(REFUSAL).validate(json.loads(refused.response.body))
                return refused.response

        assert json.loads(ask("GET", "layers").body) == {"layers": [], "silent": []}
        kernel.run(code_of_cube(tmp_path) + "été = cube.red.compute()")
        cube, summer = json.loads(ask("GET", "layers").body)["layers"]
        assert (cube["name"], summer["name"]) == ("cube", "été")
        west, south, east, north = cube["bounds"]
        lon, lat = (west + east) / 2, (south + north) / 2
        tile = tile_over(ARRAY, 14)
        came = ask("GET", f"tiles/live/{kernel.id}/été/{tile.z}/{tile.x}/{tile.y}", version=summer["version"])
        assert (came.code, came.headers["Content-Type"]) == (200, "image/png")
        assert came.headers["Cache-Control"] == f"private, max-age={live.KEPT_FOR}"
        assert (picture(came.body)[..., 3] == 255).any()
        words = {"kernel": kernel.id, "variable": "cube", "band": "nir", "lon": lon, "lat": lat}
        assert len(json.loads(ask("POST", "series", words).body)["values"]) == 2
        assert ask("POST", "series", {**words, "lon": 0}).code == 404
        assert ask("POST", "series", {**words, "lat": 1000}).code == 400
        assert ask("GET", f"tiles/live/{kernel.id}/cube/{tile.z}/{tile.x}/{tile.y}", band="blue").code == 400
        assert ask("GET", f"tiles/live/{'0' * 36}/cube/{tile.z}/{tile.x}/{tile.y}").code == 404
        kernel.close()
        time.sleep(0.1)
        assert json.loads(ask("GET", "layers").body) == {"layers": [], "silent": []}
