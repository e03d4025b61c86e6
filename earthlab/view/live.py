"""The layers of a kernel: which variables of its user can be drawn, and their pictures and numbers for who asks.

A kernel serves them from when its first cube is opened until it ends, on a socket beside its connection file. Who asks
is the user's own server. Each request looks the variable up anew: nothing here keeps what the user has deleted.
"""

import atexit
import json
import logging
import math
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr
from odc.geo.geobox import GeoBox

from earthlab import errors
from earthlab.errors import AskLess, BadRequest, ComputeUnavailable, EarthlabError, EarthlabWarning, NothingFound
from earthlab.types import content_token
from earthlab.view.bands import RGB, OpenBands, Variable, find_grid, is_loaded, label_steps, open_bands
from earthlab.view.colours import Stretch
from earthlab.view.pixels import shrinkage
from earthlab.view.series import compute_statistics, is_variable, read_series
from earthlab.view.serving import Reply, Request, SocketServer
from earthlab.view.tiles import DEFAULT, Style, Tile, choose_stretch, render_tile
from earthlab.witness import Act, listen

MOST_TIMES = 2000
"""Steps of a layer that are listed; of more the last."""

MOST_LAYERS, MOST_BANDS = 100, 100

MOST_AT_ONCE = 4
"""Pictures or numbers that are worked out at the same time: the rest of the kernel is its user's."""

_TURN_WITHIN = 20.0
"""Seconds until others are done."""

_REFLECTANCE = Stretch(0.0, 0.3)
"""What natural colours of reflectance are drawn with: ground and plants, and clouds white."""

_TURN = 0.0005
"""Seconds after which another of Python's threads may go on, while a picture is drawn."""

_JSON = "application/json"

_log = logging.getLogger(__name__)


def list_layers(namespace: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variables that can be drawn: nothing is read or computed.

    Parameters
    ----------
    namespace : mapping
        Of a user: names that begin with an underscore are not looked at.

    Returns
    -------
    list of dict
        By name: ``bands`` with ``name``, ``unit`` and ``style`` (``low`` and ``high`` are None where they follow from
        the values; red, green and blue together are a band too), ``dims``, ``axis`` of the steps and ``times``, what
        they are called, ``crs``, ``bounds`` (west, south, east, north in degrees, or None), ``resolution`` (metres)
        and the ``zoom`` of tiles that shows every pixel, ``simulated``, and ``version``, which changes when the
        variable is another.
    """
    found = (_describe(name, value) for name, value in list(namespace.items()) if is_variable(str(name)))
    layers = sorted((layer for layer in found if layer is not None), key=lambda layer: layer["name"])
    return layers[:MOST_LAYERS]


def find_variable(namespace: Mapping[str, Any], name: str) -> Variable:
    """A user's variable that can be drawn.

    Raises
    ------
    NothingFound
        Where there is none of that name.
    """
    found = namespace.get(name) if is_variable(name) else None
    if not isinstance(found, xr.Dataset | xr.DataArray):
        raise NothingFound(
            f"The kernel has no cube or array {name[:80]!r}, or has it no more. Run the cell that makes it, or take "
            "another layer."
        )
    return found


def _describe(name: str, value: object) -> dict[str, Any] | None:
    if not isinstance(value, xr.Dataset | xr.DataArray):
        return None
    try:
        return _describe_variable(name, value)
    except Exception as exc:  # noqa: BLE001 - whatever a user has made must not keep the others from being shown
        _log.debug("%s cannot be listed: %r", name, exc)
        return None


def _describe_variable(name: str, variable: Variable) -> dict[str, Any] | None:
    arrays = list(variable.data_vars.values()) if isinstance(variable, xr.Dataset) else [variable]
    drawable = [(array, place) for array in arrays if (place := find_grid(array)) is not None][:MOST_BANDS]
    if not drawable:
        return None
    (first, (grid, dims)), bands = drawable[0], [array for array, _ in drawable]
    axis = str(dims[0]) if len(dims) == 3 else None
    return {
        "name": name,
        "bands": [*_natural(bands), *(_band(array) for array in bands)],
        "dims": [str(dim) for dim in dims],
        "axis": axis,
        "times": list(label_steps(first, axis)[-MOST_TIMES:]) if axis else [],
        **_place(grid),
        "simulated": any("SIMUL" in str(part.attrs.get("comment", "")) for part in (variable, *bands)),
        "version": content_token([_version(array) for array in bands]),
    }


def _natural(bands: list[xr.DataArray]) -> Iterator[dict[str, Any]]:
    units = {str(array.name): array.attrs.get("units") for array in bands}
    if set(RGB) <= set(units):
        stretch = _REFLECTANCE if all(units[name] == "1" for name in RGB) else None
        ends = asdict(stretch) if stretch else {"low": None, "high": None}
        yield {"name": ",".join(RGB), "unit": str(units["red"] or ""), "style": {"colormap": "rgb", **ends}}


def _band(array: xr.DataArray) -> dict[str, Any]:
    style = {"colormap": DEFAULT, "low": None, "high": None}
    return {"name": str(array.name or ""), "unit": str(array.attrs.get("units", "")), "style": style}


def _place(grid: GeoBox) -> dict[str, Any]:
    assert grid.crs is not None
    box = grid.geographic_extent.boundingbox
    bounds = [round(side, 7) for side in (box.left, box.bottom, box.right, box.top)]
    known = all(map(math.isfinite, bounds))
    farthest = Tile(0, 0, 0)
    shrunk = shrinkage(grid, farthest.cut.whole)
    middle = math.radians((box.bottom + box.top) / 2) if known else 0.0
    return {
        "crs": f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else str(grid.crs)[:200],
        "bounds": bounds if known else None,
        "resolution": farthest.resolution * math.cos(middle) / shrunk,
        "zoom": min(max(math.ceil(math.log2(shrunk) - 0.1), 0), 24),
    }


def _version(array: xr.DataArray) -> str:
    data = array.data if is_loaded(array) else array.variable
    return str(getattr(data, "name", id(data)))


@dataclass(slots=True)
class _Brisk:
    """While anything is drawn, threads take turns more often: beside a busy cell each of our steps would wait 5 ms."""

    usual: float = 0.0
    within: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> None:
        with self.lock:
            if not self.within:
                self.usual = sys.getswitchinterval()
                sys.setswitchinterval(min(self.usual, _TURN))
            self.within += 1

    def __exit__(self, *_exc: object) -> None:
        with self.lock:
            self.within -= 1
            if not self.within:
                sys.setswitchinterval(self.usual)


_brisk = _Brisk()


@dataclass(slots=True, eq=False)
class LayerDesk:
    """Answers the requests of one kernel.

    Parameters
    ----------
    namespace : callable
        Gives the user's variables as they are now.
    """

    namespace: Callable[[], Mapping[str, Any]]
    _turns: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MOST_AT_ONCE))

    def answer(self, request: Request) -> Reply:
        """The reply to a request; a refusal is one too, and so is a fault."""
        try:
            return self._find(request)
        except EarthlabError as exc:
            return _refuse(exc)
        except MemoryError:
            return _refuse(AskLess("The kernel's memory does not suffice. Delete what you do not need, or zoom in."))
        except Exception as exc:  # noqa: BLE001 - a kernel serves on, whatever it is
            _log.debug("a request failed", exc_info=exc)
            return _refuse(exc)

    def _find(self, request: Request) -> Reply:
        match request.method, request.parts:
            case "GET", ("layers",):
                return _reply({"layers": list_layers(self.namespace())})
            case "GET", ("stretch", name):
                return self._in_turn(request, lambda: self._stretch(name, request.words))
            case "GET", ("tiles", name, z, x, y) if y.endswith(".png"):
                tile = Tile(*map(_parse_whole, (z, x, y.removesuffix(".png"))))
                return self._in_turn(request, lambda: self._tile(name, tile, request.words))
            case "POST", ("series",):
                return self._in_turn(request, lambda: self._series(_parse_body(request.body)))
            case "POST", ("statistics",):
                return self._in_turn(request, lambda: self._statistics(_parse_body(request.body)))
        raise BadRequest(f"{request.method} /{'/'.join(request.parts)[:80]} is no question that a kernel answers.")

    def _in_turn(self, request: Request, work: Callable[[], Reply]) -> Reply:
        if not self._turns.acquire(timeout=_TURN_WITHIN):
            raise ComputeUnavailable(
                f"The kernel works at {MOST_AT_ONCE} other pictures since {_TURN_WITHIN:.0f} s. Ask again in a moment."
            )
        try:
            if not request.is_wanted():
                raise ComputeUnavailable("Who asked has gone.")
            with _brisk:
                return work()
        finally:
            self._turns.release()

    def _open(self, name: str, band: str | None) -> OpenBands:
        return open_bands(find_variable(self.namespace(), name), tuple(band.split(",")) if band else ())

    def _tile(self, name: str, tile: Tile, words: Mapping[str, str]) -> Reply:
        layer = self._open(name, words.get("band"))
        style = _parse_style(words)
        return Reply(200, "image/png", render_tile(layer, tile, style, step=layer.find_step(words.get("time"))))

    def _stretch(self, name: str, words: Mapping[str, str]) -> Reply:
        layer = self._open(name, words.get("band"))
        return _reply(asdict(choose_stretch(layer, layer.find_step(words.get("time")), Style())))

    def _series(self, words: Mapping[str, Any]) -> Reply:
        layer = self._open(_text(words, "variable"), words.get("band"))
        return _reply(asdict(read_series(layer, _number(words, "lon"), _number(words, "lat"))))

    def _statistics(self, words: Mapping[str, Any]) -> Reply:
        layer = self._open(_text(words, "variable"), words.get("band"))
        geometry = words.get("geometry")
        if not isinstance(geometry, dict):
            raise BadRequest("geometry: expected a GeoJSON Polygon or MultiPolygon.")
        rows = compute_statistics(layer, geometry)
        area = rows[0]["area_km2"]
        told = [
            {"time": label or None, **{key: _finite(value) for key, value in row.items() if key != "area_km2"}}
            for label, row in zip(layer.labels, rows, strict=True)
        ]
        return _reply({"unit": layer.units[0], "area": area, "rows": told})


def _parse_style(words: Mapping[str, str]) -> Style:
    natural = "," in words.get("band", "")
    return Style.parse({**words, "colormap": DEFAULT} if natural else words)


def _parse_whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadRequest(f"tile: found {text[:20]!r}, expected a whole number.")
    return int(text)


def _parse_body(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadRequest("The request is not JSON. Send an object.") from exc
    if not isinstance(found, dict) or not isinstance(found.get("band"), str | None):
        raise BadRequest("The request is no object as it was expected.")
    return found


def _text(words: Mapping[str, Any], name: str) -> str:
    found = words.get(name)
    if not isinstance(found, str):
        raise BadRequest(f"{name}: a text was expected.")
    return found


def _number(words: Mapping[str, Any], name: str) -> float:
    found = words.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise BadRequest(f"{name}: a number was expected.")
    return float(found)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _reply(content: object) -> Reply:
    return Reply(200, _JSON, json.dumps(content, allow_nan=False).encode())


def _refuse(exc: Exception) -> Reply:
    """Of what is none of the lab's own refusals nothing is told but that it was one."""
    known = next((kind.__name__ for kind in type(exc).__mro__ if kind.__module__ == errors.__name__), None)
    refused = {"code": known or "Fault", "message": str(exc) if known else ""}
    return Reply(400 if known else 500, _JSON, json.dumps({"refused": refused}).encode())


@dataclass(slots=True)
class _Here:
    """Of this process: what serves, and whether it is a fork of a kernel, which does not."""

    server: SocketServer | None = None
    barred: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


_here = _Here()


def watch_openings() -> None:
    """Have this process serve its layers when it opens a cube, if it is a kernel then."""
    listen(_on_act)
    os.register_at_fork(after_in_child=_after_fork)


def _on_act(act: Act, _what: Mapping[str, Any]) -> None:
    if act in {"planned", "shared"} and _here.server is None and not _here.barred:
        try:
            serve_layers()
        except (EarthlabError, OSError) as exc:
            _here.barred = True
            warnings.warn(f"The map will not show this kernel's layers: {exc}", EarthlabWarning, stacklevel=2)


def serve_layers() -> SocketServer | None:
    """Serve the layers of this process, if it is a kernel, until it ends; the same server whoever asks again.

    Raises
    ------
    SetupError, OSError
        Where the socket cannot be made.
    """
    app = _kernel_app()
    if app is None or _here.barred:
        return None
    with _here.lock:
        if _here.server is None:
            desk = LayerDesk(lambda: app.shell.user_ns)
            _here.server = SocketServer(socket_of(app.connection_file), desk.answer)
            atexit.register(_here.server.close)
    return _here.server


def socket_of(connection_file: str) -> Path:
    """Where the kernel of a connection file serves its layers."""
    from jupyter_core.paths import jupyter_runtime_dir  # a kernel has it loaded

    name = Path(connection_file).stem
    return Path(jupyter_runtime_dir()) / f"earthlab-{re.sub(r'^kernel-', '', name)}.sock"


def _kernel_app() -> Any:
    module = sys.modules.get("ipykernel.kernelapp")
    if module is None or not module.IPKernelApp.initialized():
        return None
    from traitlets.config import MultipleInstanceError  # ipykernel has it loaded

    try:
        app = module.IPKernelApp.instance()
    except MultipleInstanceError:  # another application than a kernel's is this process's only one
        return None
    return app if app.shell is not None and app.connection_file else None


def _after_fork() -> None:
    """In a fork of a kernel: its variables are copies, and its socket is the kernel's."""
    server, _here.server, _here.lock = _here.server, None, threading.Lock()
    _here.barred = _here.barred or _kernel_app() is not None
    if server is not None:
        server.close()
