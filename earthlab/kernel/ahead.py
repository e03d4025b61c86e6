"""What every kernel would look up, read or compile for itself in its first cells: done ahead, once, in a template.

It all stays within the process: no thread, no socket, no file but those of packages, no driver of GDAL's.
"""

import json
from collections import OrderedDict, abc
from datetime import datetime
from pathlib import Path
from typing import Any

import jedi  # type: ignore[import-untyped]
import matplotlib.font_manager
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import parso.cache
import PIL.Image
import pystac
import requests.cookies
import requests.structures
import xarray as xr
import zmq
from IPython.core.ultratb import AutoFormattedTB
from matplotlib.backends.registry import backend_registry
from numba.core.registry import cpu_target
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from xarray.backends.plugins import list_engines
from xarray.namedarray.parallelcompat import list_chunkmanagers

import earthlab
from earthlab.analysis.composite import median
from earthlab.analysis.vegetation import ndvi
from earthlab.catalog.normalise import norm_item
from earthlab.catalog.profiles import load_poles
from earthlab.cube.kernels import lay_first, lay_under, look_up
from earthlab.rights import load_rules
from earthlab.view.colours import Stretch, paint, render_png
from earthlab.view.figures import curve
from earthlab.view.layers import Picture
from earthlab.view.static import render_map

_ASKED: tuple[Any, ...] = (
    *(abc.Awaitable, abc.Callable, abc.Collection, abc.Hashable, abc.Iterable),
    *(abc.Iterator, abc.Mapping, abc.MutableMapping, abc.Sequence, abc.Sized),
)
_ASKED_OF: tuple[Any, ...] = (
    *(bool, bytes, dict, float, frozenset, int, list, range, set, slice, str, tuple, type(None)),
    *(type(OrderedDict().values()), type({}.values()), type({}.keys()), type({}.items()), type(print), type(iter([]))),
    *(np.ndarray, np.float32, np.float64, np.int64, pd.DataFrame, pd.Series, pd.Timestamp, xr.DataArray, xr.Dataset),
    *(requests.structures.CaseInsensitiveDict, requests.cookies.RequestsCookieJar, datetime, Path),
)

_FRANCE = (*range(32620, 32623), *range(32630, 32634), 32738, 32740, 32742, 2154, 3857, 4326)
"""EPSG codes: the UTM zones of France and its overseas territories, Lambert 93, the web's maps, degrees."""

_COUNTS = ("uint8", "int16", "uint16", "float32")
"""Types of the pixels that satellites' products have."""

_ITEM = {
    "type": "Feature",
    "id": "nothing",
    "collection": "nobody",
    "geometry": {"type": "Point", "coordinates": [0.0, 0.0]},
    "bbox": [0.0, 0.0, 0.0, 0.0],
    "properties": {"datetime": "2021-01-01T00:00:00Z", "license": "CC-BY-4.0", "proj:code": "EPSG:32631"},
    "links": [{"rel": "self", "href": "https://localhost/nothing"}],
    "assets": {
        "B04": {
            "href": "https://localhost/nothing.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "eo:bands": [{"name": "B04", "common_name": "red"}],
            "raster:bands": [{"data_type": "uint16", "scale": 0.0001, "offset": 0.0, "nodata": 0}],
            "proj:shape": [1, 1],
            "proj:transform": [10.0, 0.0, 0.0, 0.0, -10.0, 0.0],
        }
    },
}


def work_ahead() -> None:
    """Find plugins, read descriptions, compile loops, and go once through what a first notebook does."""
    cube = _make_cube()
    # First what leaves most rubbish: what follows fills its large gaps (0.3 MB a copy), `fill_gaps` the small ones.
    _complete(cube)
    _explain_an_error()
    _find_plugins()
    _answer_what_kind()
    load_poles()
    load_rules()
    norm_item(_ITEM)
    _make_crs()
    _compile_loops()
    _reduce_cube(cube)
    _draw(cube)


def _find_plugins() -> None:
    backend_registry.list_all()
    list_chunkmanagers()
    list_engines()
    PIL.Image.preinit()
    pystac.EXTENSION_HOOKS.get_extended_object_links(pystac.Catalog("nobody", "nothing"))
    for kind in (*zmq.Context.__mro__, *zmq.Socket.__mro__):
        # The first question makes an empty answer, and Python then forgets what it knew of all classes derived from it.
        getattr(kind, "__annotations__", None)


def _answer_what_kind() -> None:
    # Python looks through all classes derived from an abstract one when it is first asked whether it is one of another.
    for asked in _ASKED:
        for kind in _ASKED_OF:
            issubclass(kind, asked)
    with requests.Session() as session:
        session.prepare_request(requests.Request("GET", "http://localhost/"))
        session.merge_environment_settings("http://localhost/", {}, None, None, None)


def _make_crs() -> None:
    degrees = CRS("EPSG:4326")
    for code in _FRANCE:
        system = CRS(f"EPSG:{code}")
        system.transformer_to_crs(degrees)
        degrees.transformer_to_crs(system)


def _compile_loops() -> None:
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    everywhere = np.ones((2, 2), bool)
    look_up(everywhere.copy(), np.ones((2, 2), "uint8"), np.ones(256, bool))
    for name in _COUNTS:
        values, nothing = np.ones((2, 2), name), np.dtype(name).type(0)
        for lay in (lay_first, lay_under):
            lay(np.ones((2, 2), "float32"), values, 1.0, 0.0, nothing, True, everywhere)  # noqa: FBT003


def _make_cube() -> xr.Dataset:
    bands = {name: (("time", "y", "x"), np.full((2, 4, 4), 0.5, "float32")) for name in ("red", "green", "blue", "nir")}
    times = pd.date_range("2021-01-01", periods=2, freq="31D")
    axes = {"time": times, "y": np.arange(4.0), "x": np.arange(4.0)}
    return xr.Dataset(bands, axes).chunk(time=2, y=2, x=2)


def _reduce_cube(cube: xr.Dataset) -> None:
    summer = ndvi(cube).sel(time=slice("2021-01", "2021-02"))
    plain: tuple[Any, ...] = (cube[["red", "green"]].median("time"), summer.median("time"), summer.median(("y", "x")))
    for lazy in (*plain, median(cube[["red", "green"]]), median(summer)):
        # Without threads.
        lazy.compute(scheduler="synchronous")
    table: Any = cube.isel(x=0, y=0).compute(scheduler="synchronous").to_dataframe()
    repr((cube, table))
    cube._repr_html_()
    table._repr_html_()


def _draw(cube: xr.Dataset) -> None:
    values = np.linspace(0, 1, 16, dtype="float32").reshape(4, 4)
    stretch, box = Stretch(0.0, 1.0), GeoBox.from_bbox((0, 0, 4, 4), "EPSG:3857", resolution=1)
    for layers, colormap in ((values, "YlGn"), (np.stack([values] * 3), None)):
        colours = paint(layers, stretch, colormap)
        render_png(colours)
        render_map((Picture(colours, (0.0, 1.0), box, stretch, colormap, "", "", simulated=True),))
    course = ndvi(cube).median(("y", "x")).compute(scheduler="synchronous")
    curve(course)._repr_mimebundle_()
    # It holds open files.
    vars(matplotlib.font_manager)["_get_font"].cache_clear()


def _complete(cube: xr.Dataset) -> None:
    # For the first Tab after each of these, modules are read and parsed anew.
    known = {"el": earthlab, "xr": xr, "np": np, "plt": plt, "cube": cube}
    parser = vars(parso.cache)
    save = parser["_save_to_file_system"]
    # Files would take longer than all the rest, in a home that goes.
    parser["_save_to_file_system"] = lambda *_words, **_more: None
    try:
        for text in ("el.", "xr.", "np.", "plt.", "cube.red."):
            jedi.Interpreter(text, [known]).complete()
    finally:
        parser["_save_to_file_system"] = save


def _explain_an_error() -> None:
    # The first traceback asks every module for its file, thousands here, and reads the words of Python's grammar.
    try:
        json.loads("")
    except ValueError as exc:
        tracebacks = AutoFormattedTB(mode="Context")  # type: ignore[no-untyped-call]
        tracebacks.structured_traceback(type(exc), exc, exc.__traceback__)
