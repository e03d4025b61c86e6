"""The layers of the kernels that run in this server: each is asked at its socket, beside all else that the server does.

A page names a kernel by its id; only those that run here are asked, so that no path can be made up.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from earthlab.errors import BadRequest, ComputeUnavailable, NothingFound
from earthlab_lab.desk import Desk
from earthlab_lab.refusals import find_refusal
from earthlab_lab.routes import Asked, File, Route
from earthlab_lab.schemas import (
    AREA,
    BOX,
    CELL,
    FLAG,
    NUMBER,
    SERIES,
    STATISTICS,
    STYLE,
    Schema,
    listed,
    maybe,
    number,
    shape,
    text,
)

LISTED_WITHIN, DRAWN_WITHIN, COUNTED_WITHIN = 2.0, 20.0, 60.0
"""Seconds for a kernel to list its layers, to draw a tile, and to read an area."""

MOST_BYTES = 8 * 2**20
"""Of what a kernel answers."""

KEPT_FOR = 300
"""Seconds for which a browser keeps a tile whose variable's version it names."""

_ID = text(36, least=36, pattern="^[0-9a-f-]{36}$")
_NAME = text(200, least=1)
_BAND = text(700)

LAYERS: Schema = shape(
    {
        "layers": listed(
            shape(
                {
                    "kernel": _ID, "name": text(),
                    "bands": listed(shape({"name": text(), "unit": text(), "style": STYLE})),
                    "dims": listed(text()), "axis": maybe(text()), "times": listed(text(), 2000), "crs": text(),
                    "bounds": maybe(BOX), "resolution": NUMBER, "zoom": number(0, 24), "simulated": FLAG,
                    "version": text(40),
                }
            )
        ),
        "silent": listed(_ID),
    }
)  # fmt: skip
"""What `earthlab.view.live.list_layers` lists, of all kernels; ``silent`` are those that serve and did not answer."""

TILE_ASKED: Schema = shape(
    {},
    {
        "band": _BAND, "time": text(100), "low": text(30), "high": text(30), "colormap": text(60), "version": text(40),
    },
)  # fmt: skip
"""``version``: of the layer, where the tile may be kept by the browser: see `KEPT_FOR`."""

STRETCH_ASKED: Schema = shape({}, {"band": _BAND, "time": text(100)})
STRETCH: Schema = shape({"low": NUMBER, "high": NUMBER})
"""The 2nd and 98th percentile of a small picture of a step."""

_LAYER_ASKED = {"kernel": _ID, "variable": _NAME}
SERIES_ASKED: Schema = shape({**_LAYER_ASKED, "lon": number(-360, 360), "lat": number(-90, 90)}, {"band": _BAND})

STATISTICS_ASKED: Schema = shape({**_LAYER_ASKED, "geometry": AREA}, {"band": _BAND})
CELL_ASKED: Schema = shape({"variable": _NAME, "geometry": AREA}, {"kernel": _ID, "band": _BAND})


class Kernels(Protocol):
    """What a server's manager of kernels tells."""

    def list_kernel_ids(self) -> Sequence[str]:
        """The ids of those that run."""
        ...


@dataclass(frozen=True, slots=True)
class KernelLayers:
    """Asks the kernels of one server for their layers."""

    kernels: Kernels

    async def list_layers(self, _asked: Asked) -> dict[str, Any]:
        """The layers of all kernels, those of one after those of another."""
        ids = list(self.kernels.list_kernel_ids())
        answers = await asyncio.gather(*(self._list(kernel) for kernel in ids))
        told = zip(ids, answers, strict=True)
        return {
            "layers": [{"kernel": kernel, **layer} for kernel, layers in told for layer in layers or ()],
            "silent": [kernel for kernel, layers in zip(ids, answers, strict=True) if layers is None],
        }

    async def draw_tile(self, asked: Asked) -> File:
        """One tile of a layer; the parts of the path are kernel, variable, z, x and y.

        Raises
        ------
        EarthlabError
            As the kernel refuses, or where it does not answer.
        """
        kernel, name, z, x, y = asked.parts
        words = {key: value for key, value in asked.words.items() if key != "version"}
        path = f"/tiles/{quote(_require_name(name), safe='')}/{z}/{x}/{y}.png?{urlencode(words)}"
        content = await self._ask(kernel, "GET", path, DRAWN_WITHIN)
        return File(content, keep=KEPT_FOR if asked.words.get("version") else 0)

    async def find_stretch(self, asked: Asked) -> Any:
        """The ends that colours have where none are named.

        Raises
        ------
        EarthlabError
            As the kernel refuses, or where it does not answer.
        """
        kernel, name = asked.parts
        path = f"/stretch/{quote(_require_name(name), safe='')}?{urlencode(asked.words)}"
        return json.loads(await self._ask(kernel, "GET", path, DRAWN_WITHIN))

    async def count(self, path: str, asked: Asked) -> Any:
        """The series of a pixel, or the statistics of an area.

        Raises
        ------
        EarthlabError
            As the kernel refuses, or where it does not answer.
        """
        _require_name(asked.words["variable"])
        words = {key: value for key, value in asked.words.items() if key != "kernel"}
        return json.loads(
            await self._ask(asked.words["kernel"], "POST", path, COUNTED_WITHIN, json.dumps(words).encode())
        )

    async def _list(self, kernel: str) -> list[dict[str, Any]] | None:
        """The layers of a kernel, none of one that serves none; None where it does not answer."""
        try:
            found = json.loads(await self._ask(kernel, "GET", "/layers", LISTED_WITHIN))
        except NothingFound:
            return []
        except ComputeUnavailable:
            return None
        layers: list[dict[str, Any]] = found["layers"]
        return layers

    async def _ask(self, kernel: str, method: str, path: str, seconds: float, body: bytes = b"") -> bytes:
        if kernel not in self.kernels.list_kernel_ids():
            raise NothingFound(
                "Ce noyau ne tourne plus, ou pas dans ce serveur : rouvrez son carnet. | "
                "The kernel does not run any more, or not in this server: open its notebook again."
            )
        try:
            async with asyncio.timeout(seconds):
                status, content = await _exchange(_find_socket(kernel), method, path, body)
        except TimeoutError as exc:
            raise ComputeUnavailable(
                f"Le noyau n’a pas répondu en {seconds:.0f} s, il travaille : attendez que sa cellule finisse, ou "
                f"demandez moins. | The kernel did not answer within {seconds:.0f} s, it is at work: wait until its "
                "cell is done, or ask for less."
            ) from exc
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NothingFound(
                "Ce noyau ne montre pas encore de couche : ouvrez-y un cube, el.open(…). | "
                "The kernel shows no layers yet: open a cube in it, el.open(…)."
            ) from exc
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as exc:
            raise ComputeUnavailable(
                "Le noyau s’est arrêté, ou a coupé sa réponse : relancez ses cellules. | "
                "The kernel ended, or broke off its answer: run its cells again."
            ) from exc
        if status != 200:
            raise _parse_refusal(content)
        return content


def make_live_routes(desk: Desk, kernels: Kernels) -> tuple[Route, ...]:
    """The routes of layers in kernels.

    Parameters
    ----------
    desk : Desk
        Of the server.
    kernels : Kernels
        Its manager of kernels.
    """
    layers = KernelLayers(kernels)

    async def write_cell(asked: Asked) -> dict[str, Any]:
        return await desk.work(lambda: _write_cell(asked.words))

    place = r"([0-9a-f-]{36})/([^/]{1,300})"
    return (
        Route("GET", "layers", layers.list_layers, gives=LAYERS),
        Route("GET", rf"tiles/live/{place}/(\d{{1,2}})/(\d{{1,8}})/(\d{{1,8}})", layers.draw_tile, TILE_ASKED),
        Route("GET", f"stretch/live/{place}", layers.find_stretch, STRETCH_ASKED, STRETCH),
        Route("POST", "series", partial(layers.count, "/series"), SERIES_ASKED, SERIES),
        Route("POST", "statistics", partial(layers.count, "/statistics"), STATISTICS_ASKED, STATISTICS),
        Route("POST", "statistics-cell", write_cell, CELL_ASKED, CELL),
    )


def _write_cell(words: Mapping[str, Any]) -> dict[str, Any]:
    from earthlab.view.series import render_statistics_cell  # a second of imports, where no template has made them

    code = render_statistics_cell(words["variable"], words["geometry"], words.get("band") or None)
    mark = {"variable": words["variable"], "geometry": words["geometry"], "band": words.get("band")}
    return {"code": code, "metadata": {"earthlab": {"statistics": mark}}}


def _require_name(name: str) -> str:
    if not name.isidentifier() or name.startswith("_"):
        raise BadRequest(f"variable: found {name[:80]!r}, expected the name of a variable.")
    return name


def _find_socket(kernel: str) -> Path:
    """Where a kernel serves: beside its connection file, see `earthlab.view.live.socket_of`."""
    from jupyter_core.paths import jupyter_runtime_dir  # the server has it loaded

    return Path(jupyter_runtime_dir()) / f"earthlab-{kernel}.sock"


async def _exchange(path: Path, method: str, address: str, body: bytes) -> tuple[int, bytes]:
    """One request and its answer; a socket that is not of our own user's is not asked."""
    reader, writer = await _connect(path)
    try:
        _require_own(writer)
        head = f"{method} {address} HTTP/1.0\r\nHost: kernel\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode("ascii") + body)
        await writer.drain()
        return await _read_answer(reader)
    finally:
        writer.close()


async def _connect(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    # By the number of its folder: sockets have 107 bytes for their path, unix(7), and homes may be deep.
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{path.name}", limit=2**16)
    finally:
        os.close(folder)


def _require_own(writer: asyncio.StreamWriter) -> None:
    line: Any = writer.get_extra_info("socket")
    _, uid, _ = struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if uid != os.getuid():
        raise ConnectionRefusedError(f"the socket is of user {uid}")


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    told = {name.lower(): value for name, _, value in (line.partition(":") for line in lines)}
    length = int(told.get("content-length", "-1"))
    if not 0 <= length <= MOST_BYTES:
        raise ValueError(f"an answer of {length} bytes")
    _, status, *_ = first.split(" ")
    return int(status), await reader.readexactly(length)


def _parse_refusal(content: bytes) -> Exception:
    """What a kernel refuses, as the refusal that it is."""
    try:
        refused = json.loads(content)["refused"]
        code, message = str(refused["code"]), str(refused["message"])
    except (KeyError, TypeError, ValueError):
        return ComputeUnavailable(
            "Le noyau a donné une réponse qui n’en est pas une : redémarrez-le. | "
            "The kernel gave an answer that is none: restart it."
        )
    return find_refusal(code, message) or RuntimeError("a kernel failed to answer")
