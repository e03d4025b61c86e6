"""The layers of a kernel: what is listed, what is answered, and real kernels that serve while their cells run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import earthlab as el
from earthlab.errors import NothingFound
from earthlab.testing.rasters import scene_items, write_scene
from earthlab.view import live
from earthlab.view.bands import open_bands
from earthlab.view.live import LayerDesk, find_variable, list_layers, socket_of
from earthlab.view.serving import Request
from earthlab.view.tiles import Style, render_tile
from tests.kernel import conftest as copies
from tests.kernel.running_kernel import fork_nursery, notebook, wait_for_parked
from tests.patience import PATIENCE, eventually
from tests.view.drawn import layer, picture, tile_over
from tests.view.kernels import code_of_cube, running_kernel
from tests.view.test_serving import ask

home, sockets, template = copies.home, copies.sockets, copies.template

DATES = ["2018-07-01", "2018-07-11"]


@pytest.fixture
def cube(bare_environment, tmp_path):
    rng = np.random.default_rng(0)
    bands = {name: rng.integers(1, 200, (300, 280)).astype("uint8") for name in ("red", "green", "blue", "nir")}
    return el.open(scene_items([write_scene(tmp_path, f"d{at}", bands, time=f"2018-07-0{at}T10:00Z") for at in (1, 2)]))


def asked(method, path, words=None, body=b"", *, wanted=True):
    parts = tuple(path.strip("/").split("/"))
    return Request(
        method, parts, words or {}, body if isinstance(body, bytes) else json.dumps(body).encode(), lambda: wanted
    )


def said(reply):
    return json.loads(reply.content)


def refused(reply):
    assert reply.status != 200
    return said(reply)["refused"]


def test_variables_with_a_place_on_the_earth_are_listed(cube):
    array = layer(np.zeros((2, 30, 20)), "EPSG:2154", dates=DATES, units="m", comment="DONNÉES SIMULÉES", pixel=20)
    listed = list_layers(
        {
            "cube": cube, "altitude": array, "mean": array.mean("time"), "_1": array, "_": cube, "x y": array, "n": 3,
            "el": el, "plain": xr.DataArray(np.zeros((3, 3))), "names": layer(np.full((3, 3), "a")),
            "cubic": array.expand_dims(level=2), "class": array,
        }
    )  # fmt: skip
    assert [each["name"] for each in listed] == ["altitude", "cube", "mean"]
    altitude, whole, mean = listed
    assert altitude["bands"] == [
        {"name": "essai", "unit": "m", "style": {"colormap": "viridis", "low": None, "high": None}}
    ]
    assert (altitude["axis"], altitude["dims"], mean["axis"], mean["times"]) == ("time", ["time", "y", "x"], None, [])
    assert altitude["times"] == [f"{date}T00:00:00" for date in DATES]
    assert (altitude["simulated"], whole["simulated"]) == (True, False)
    assert altitude["crs"] == "EPSG:2154"
    assert altitude["resolution"] == pytest.approx(20, rel=0.01)
    assert 2 * np.pi * 6378137 * np.cos(np.radians(43.6)) / 256 / 2 ** altitude["zoom"] <= 20 * 1.1
    box = array.odc.geobox.geographic_extent.boundingbox
    assert altitude["bounds"] == pytest.approx(box.bbox)
    assert [band["name"] for band in whole["bands"]][:2] == ["red,green,blue", "red"]
    assert whole["bands"][0]["style"] == {"colormap": "rgb", "low": None, "high": None}
    json.dumps(listed, allow_nan=False)


def test_natural_colours_of_reflectance_have_ends_of_their_own(cube):
    bands = {name: cube[name].assign_attrs(units="1") for name in ("red", "green", "blue")}
    (listed,) = list_layers({"cube": cube.assign(bands)})
    assert listed["bands"][0]["style"] == {"colormap": "rgb", "low": 0.0, "high": 0.3}


def test_listing_reads_nothing(cube, tmp_path):
    for file in tmp_path.glob("*.tif"):
        file.unlink()
    assert list_layers({"cube": cube, "ndvi": cube.nir - cube.red})


def test_a_version_changes_when_the_variable_is_another(cube):
    one, again, other = (list_layers({"a": a})[0]["version"] for a in (cube, cube, cube * 2))
    assert one == again != other


def test_of_many_steps_the_last_are_listed():
    many = layer(np.zeros((2100, 2, 2)), dates=np.arange("2010-01-01", "2016-01-01", dtype="datetime64[D]")[:2100])
    (listed,) = list_layers({"many": many})
    assert len(listed["times"]) == 2000
    assert listed["times"][-1] == "2015-10-01T00:00:00"


def test_a_variable_that_cannot_even_be_looked_at_keeps_no_other_from_being_listed(monkeypatch):
    class Broken(xr.DataArray):
        __slots__ = ()

        @property
        def dtype(self):
            raise RuntimeError("a user's own")

    fine = layer(np.zeros((3, 3)))
    listed = list_layers({"broken": Broken(fine), "fine": fine})
    assert [each["name"] for each in listed] == ["fine"]


@pytest.mark.parametrize("name", ["_hidden", "a.b", "__class__", "os", "missing", "a b", "None"])
def test_nothing_but_arrays_by_their_plain_names_is_found(name):
    namespace = {"_hidden": layer(np.zeros((3, 3))), "os": os, "a b": layer(np.zeros((3, 3)))}
    with pytest.raises(NothingFound, match="The kernel has no cube or array"):
        find_variable(namespace, name)


def test_a_tile_is_answered_as_it_was_asked(cube):
    desk, tile = LayerDesk(lambda: {"cube": cube}), tile_over(cube.red, 14)
    words = {"band": "nir", "time": "2018-07-01T10:00:00", "low": "0", "high": "200", "colormap": "magma"}
    reply = desk.answer(asked("GET", f"tiles/cube/{tile.z}/{tile.x}/{tile.y}.png", words))
    assert (reply.status, reply.kind) == (200, "image/png")
    assert reply.content == render_tile(open_bands(cube, ["nir"]), tile, Style("magma", 0, 200), step=0)
    natural = desk.answer(
        asked("GET", f"tiles/cube/{tile.z}/{tile.x}/{tile.y}.png", {"band": "red,green,blue", "colormap": "rgb"})
    )
    assert picture(natural.content).shape == (256, 256, 4)


def test_the_ends_that_colours_would_have_are_told(cube):
    found = said(LayerDesk(lambda: {"cube": cube}).answer(asked("GET", "stretch/cube", {"band": "red"})))
    low, high = np.percentile(cube.red[-1].values, (2, 98))
    assert found["low"] == pytest.approx(low, abs=3)
    assert found["high"] == pytest.approx(high, abs=3)


def test_series_and_statistics_are_answered(cube):
    desk = LayerDesk(lambda: {"cube": cube})
    box = cube.odc.geobox.geographic_extent.boundingbox
    lon, lat = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    series = said(
        desk.answer(asked("POST", "series", body={"variable": "cube", "band": "red", "lon": lon, "lat": lat}))
    )
    assert series["times"] == ["2018-07-01T10:00:00", "2018-07-02T10:00:00"]
    row, column = open_bands(cube, ["red"]).find_pixel(lon, lat)
    assert series["values"] == cube.red.values[:, row, column].tolist()
    ring = [[lon, lat], [lon + 0.005, lat], [lon, lat + 0.005], [lon, lat]]
    words = {"variable": "cube", "band": "red", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    statistics = said(desk.answer(asked("POST", "statistics", body=words)))
    assert [row["time"] for row in statistics["rows"]] == series["times"]
    assert statistics["area"] == pytest.approx(0.111, rel=0.01)
    assert statistics["rows"][0]["count"] > 500
    assert set(statistics["rows"][0]) == {"time", "mean", "median", "std", "min", "max", "count", "valid"}


def test_what_was_not_observed_is_null():
    array = layer(np.full((30, 30), np.nan))
    box = array.odc.geobox.geographic_extent.boundingbox
    ring = [[box.left, box.bottom], [box.right, box.bottom], [box.right, box.top], [box.left, box.bottom]]
    words = {"variable": "a", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (row,) = said(LayerDesk(lambda: {"a": array}).answer(asked("POST", "statistics", body=words)))["rows"]
    assert (row["time"], row["mean"], row["valid"]) == (None, None, 0.0)
    assert row["count"] == 0


@pytest.mark.parametrize(
    ("request_", "code", "why"),
    [
        (asked("GET", "tiles/nothing/1/0/0.png"), "NothingFound", "no cube or array 'nothing'"),
        (asked("GET", "tiles/a/25/0/0.png"), "BadRequest", "zoom 25"),
        (asked("GET", "tiles/a/1/0/x.png"), "BadRequest", "found 'x'"),
        (asked("GET", "tiles/a/1/0/²3.png"), "BadRequest", "found '²3'"),
        (asked("GET", "tiles/a/1/0/0"), "BadRequest", "is no question"),
        (asked("GET", "tiles/a/9/0/0.png", {"low": "x"}), "BadRequest", "low: found 'x'"),
        (asked("GET", "tiles/a/9/0/0.png", {"time": "demain"}), "BadRequest", "no steps, as 'demain'"),
        (asked("GET", "../../etc/passwd"), "BadRequest", "is no question"),
        (asked("DELETE", "layers"), "BadRequest", "DELETE /layers is no question"),
        (asked("POST", "series", body=b"{"), "BadRequest", "is not JSON"),
        (asked("POST", "series", body=[1]), "BadRequest", "is no object"),
        (asked("POST", "series", body={"variable": 1}), "BadRequest", "variable: a text was expected"),
        (asked("POST", "series", body={"variable": "a", "lon": "1", "lat": 2}), "BadRequest", "lon: a number"),
        (asked("POST", "series", body={"variable": "a", "lon": 1, "lat": 2, "band": 3}), "BadRequest", "no object as"),
        (asked("POST", "series", body={"variable": "a", "lon": 1, "lat": 2}), "NothingFound", "is outside"),
        (asked("POST", "statistics", body={"variable": "a"}), "BadRequest", "geometry: expected"),
        (asked("GET", "stretch/a", wanted=False), "ComputeUnavailable", "Who asked has gone"),
    ],
)
def test_refusals_say_what_kind_they_are_and_why(request_, code, why):
    found = refused(LayerDesk(lambda: {"a": layer(np.zeros((30, 30)))}).answer(request_))
    assert found["code"] == code
    assert why in found["message"]


def test_of_a_fault_nothing_is_told():
    def broken():
        raise RuntimeError("the user's secret")

    reply = LayerDesk(broken).answer(asked("GET", "layers"))
    assert (reply.status, refused(reply)) == (500, {"code": "Fault", "message": ""})


def test_memory_that_does_not_suffice_is_said():
    def short():
        raise MemoryError

    assert refused(LayerDesk(short).answer(asked("GET", "layers")))["code"] == "AskLess"


def test_who_waits_too_long_for_a_turn_is_told(monkeypatch):
    monkeypatch.setattr(live, "_TURN_WITHIN", 0.01)
    desk = LayerDesk(lambda: {"a": layer(np.zeros((30, 30)))})
    for _ in range(live.MOST_AT_ONCE):
        desk._turns.acquire()
    assert refused(desk.answer(asked("GET", "stretch/a")))["code"] == "ComputeUnavailable"
    assert desk.answer(asked("GET", "layers")).status == 200


def test_threads_take_turns_as_before_when_all_is_drawn(cube):
    usual = sys.getswitchinterval()
    seen = []
    desk = LayerDesk(lambda: seen.append(sys.getswitchinterval()) or {"cube": cube})
    desk.answer(asked("GET", "stretch/cube", {"band": "red"}))
    desk.answer(asked("GET", "stretch/cube", {"band": "none"}))
    assert max(seen) < usual == sys.getswitchinterval()


def test_the_socket_is_called_after_the_kernel(monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/run/somebody")
    assert str(socket_of("/anywhere/kernel-1-2-3.json")) == "/run/somebody/earthlab-1-2-3.sock"
    assert str(socket_of("own.json")) == "/run/somebody/earthlab-own.sock"


def test_outside_of_a_kernel_nothing_is_served(cube):
    assert live.serve_layers() is None
    assert live._here.server is None


def test_a_server_that_has_kernels_code_loaded_is_no_kernel():
    import ipykernel.kernelapp  # noqa: F401
    from traitlets.config import Application

    class SomeServer(Application):
        """An application that is not a kernel, and its process's only one."""

    Application.clear_instance()
    SomeServer.instance()
    try:
        assert live.serve_layers() is None
    finally:
        SomeServer.clear_instance()


@pytest.mark.lab
@pytest.mark.parametrize("program", ["ipykernel", "earthlab"])
def test_a_kernel_serves_from_its_first_cube_to_its_end(program, tmp_path):
    with running_kernel(program) as kernel:
        kernel.run("import earthlab as el")
        assert not kernel.socket.exists()
        kernel.run(code_of_cube(tmp_path) + "ndvi = (cube.nir - cube.red) / (cube.nir + cube.red)")
        assert kernel.socket.stat().st_mode & 0o777 == 0o600
        status, content = ask(kernel.socket, "GET", "/layers")
        assert status == 200
        assert [each["name"] for each in json.loads(content)["layers"]] == ["cube", "ndvi"]
        cube = el.open(scene_items(json.loads((tmp_path / "scenes.json").read_text())))
        tile = tile_over(cube.red, 14)
        path = f"{tile.z}/{tile.x}/{tile.y}.png?low=-1&high=1"
        drawn = ask(kernel.socket, "GET", f"/tiles/cube/{path}&band=red")
        assert drawn == (200, render_tile(open_bands(cube, ["red"]), tile, Style(low=-1, high=1)))
        ndvi = (cube.nir - cube.red) / (cube.nir + cube.red)
        expected = render_tile(open_bands(ndvi), tile, Style(low=-1, high=1))
        assert ask(kernel.socket, "GET", f"/tiles/ndvi/{path}") == (200, expected)

        busy = kernel.client.execute("while not 'stop' in globals(): pass")
        time.sleep(0.3)
        assert ask(kernel.socket, "GET", f"/tiles/ndvi/{path}") == (200, expected)
        kernel.interrupt(busy)

        gone = kernel.run(
            "import gc, weakref; seen = weakref.ref(ndvi.data); del ndvi; gc.collect(); print(seen())\n"
            "from earthlab.view.bands import blocks; print(blocks.nbytes)"
        )
        assert gone.split() == ["None", "0"]
        assert json.loads(ask(kernel.socket, "GET", f"/tiles/ndvi/{path}")[1])["refused"]["code"] == "NothingFound"
        kernel.close(now=False)
        assert not kernel.socket.exists()


@pytest.mark.lab
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("parked", [0, 1])
def test_a_kernel_that_is_a_copy_of_a_template_serves_as_itself(home, template, tmp_path, parked):
    nursery = fork_nursery(template.socket, home, parked)
    if parked:
        wait_for_parked(home)
    with notebook(home / "runtime") as one, notebook(home / "runtime") as other:
        sockets_ = [socket_of(each.manager.connection_file) for each in (one, other)]
        for each, name, socket in zip((one, other), "ab", sockets_, strict=True):
            assert each.run(f"{code_of_cube(tmp_path)}\n{name} = cube.red").error == ""
            listed = json.loads(ask(socket, "GET", "/layers")[1])["layers"]
            assert [layer["name"] for layer in listed] == [name, "cube"]
        one.client.stop_channels()
        one.manager.shutdown_kernel(now=False)
        assert [socket.exists() for socket in sockets_] == [False, True]
        assert ask(sockets_[1], "GET", "/layers")[0] == 200
    # What it has parked again meanwhile ends with it, and leaves nothing in the folder that goes next.
    nursery.terminate()
    nursery.wait(PATIENCE)
    nursery.close()
    left = {int(path.name.split("-")[1]) for path in home.glob("parked-*-ipc-5")}
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), what="no parked kernel")


@pytest.mark.lab
def test_a_fork_of_a_kernel_does_not_serve(tmp_path):
    with running_kernel() as kernel:
        kernel.run(code_of_cube(tmp_path))
        told = kernel.run(
            """
import multiprocessing, os, subprocess, sys
from earthlab.view import live

def look(told):
    el.open(cube.earthlab.plan)
    told.put((live._here.server is None, live._here.barred, live.serve_layers()))

inode = f"socket:[{os.fstat(live._here.server._listener.fileno()).st_ino}]"
told = multiprocessing.get_context("fork").Queue()
child = multiprocessing.get_context("fork").Process(target=look, args=(told,))
child.start(); print(told.get(timeout=120)); child.join()
seen = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True).stdout
print(inode in seen)
"""
        )
        assert told.split("\n")[:2] == ["(True, True, None)", "False"]
        assert ask(kernel.socket, "GET", "/layers")[0] == 200


@pytest.mark.lab
def test_a_kernel_that_may_not_serve_opens_cubes_all_the_same_and_says_so_once(tmp_path):
    with running_kernel() as kernel:
        kernel.socket.parent.chmod(0o755)
        told = kernel.run(code_of_cube(tmp_path) + "again = el.open(cube.earthlab.plan); print(sorted(cube.data_vars))")
        assert "['nir', 'red']" in told
        assert told.count("The map will not show this kernel's layers") == 1
        assert not kernel.socket.exists()


def test_importing_what_serves_starts_nothing():
    code = "import threading, earthlab.accessor; print([t.name for t in threading.enumerate()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "['MainThread']"
