"""Shared cubes on the map: asked of the hub's service of tiles with this server's own token, which no page has.

Nothing but these few questions is passed on: a page says tokens, bands, dates and places, never an address.
"""

import os
import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from earthlab.errors import SetupError
from earthlab_lab.desk import Desk
from earthlab_lab.routes import NOTHING, Asked, File, Route
from earthlab_lab.schemas import (
    AREA,
    BOX,
    CELL,
    COUNT,
    FLAG,
    NUMBER,
    SERIES,
    STATISTICS,
    STYLE_ASKED,
    Schema,
    listed,
    number,
    shape,
    text,
)
from earthlab_lab.services import SERVICES, Service, own_token

TITLE = "Le service qui montre les cubes partagés", "The service that shows shared cubes"

DRAWN_WITHIN, COUNTED_WITHIN = 30.0, 60.0
"""Seconds for a picture, the first of which waits for the service to load, and for what an area holds."""

LONGEST_KEPT = 24 * 3600
"""Seconds for which a browser keeps a tile."""

_TOKEN = text(20, least=20, pattern="^[0-9a-f]{20}$")
_BAND = text(300, least=1)
_TIME = text(100, least=1)

CUBE: Schema = shape(
    {
        "token": _TOKEN, "title": text(4000),
        "bands": listed(
            shape({"name": text(), "unit": text(), "style": shape({"colormap": text(), "low": NUMBER, "high": NUMBER})})
        ),
        "times": listed(text(), 2000), "bounds": BOX, "zoom": number(0, 24), "crs": text(), "resolution": NUMBER,
        "levels": listed(COUNT), "simulated": FLAG, "licences": listed(text(20_000)), "citation": text(20_000),
        "access": text(),
    }
)  # fmt: skip
"""A shared cube: a layer with both ends of its colours, its overviews, and where it comes from."""

TILE_ASKED: Schema = shape({"band": _BAND, "time": _TIME}, {"low": text(30), "high": text(30), "colormap": text(60)})
SERIES_ASKED: Schema = shape({"band": _BAND, "lon": number(-360, 360), "lat": number(-90, 90)})
AREA_ASKED: Schema = shape({"band": _BAND, "geometry": AREA})

LINK_ASKED: Schema = shape(
    {"token": _TOKEN, "band": _BAND, "time": _TIME},
    {"style": STYLE_ASKED, "days": number(0.01, 90), "origin": text(300, pattern="^https?://")},
)
"""``origin``: of the page, as ``https://lab.example``, for the addresses to begin with."""

_LINK = {
    "id": text(40), "token": _TOKEN, "band": text(), "time": text(),
    "style": shape({"colormap": text(), "low": NUMBER, "high": NUMBER}), "title": text(), "made": text(40),
    "expires": text(40),
}  # fmt: skip
LINKS: Schema = shape({"links": listed(shape(_LINK))})
MADE: Schema = shape(
    {
        **_LINK, "url_xyz": text(2000), "url_wmts": text(2000),
        "steps": shape({"fr": listed(text(4000)), "en": listed(text(4000))}),
    }
)  # fmt: skip
"""A layer for QGIS: its addresses, which are told this once, and the steps to paste them."""

REVOKED: Schema = shape({"revoked": text(40)})

_MAX_AGE = re.compile(r"max-age=(\d{1,8})", re.ASCII)


def make_published_routes(desk: Desk) -> tuple[Route, ...]:
    """The routes of shared cubes, and of the layers that a GIS opens.

    Parameters
    ----------
    desk : Desk
        Of the server.
    """

    async def write_cell(asked: Asked) -> dict[str, Any]:
        return await desk.work(lambda: _write_cell(asked))

    cube = r"published/([0-9a-f]{20})"
    return (
        Route("GET", cube, _tell_cube, NOTHING, CUBE),
        Route("GET", rf"{cube}/tiles/(\d{{1,2}})/(\d{{1,8}})/(\d{{1,8}})", _draw_tile, TILE_ASKED),
        Route("POST", f"{cube}/series", partial(_count, "series"), SERIES_ASKED, SERIES),
        Route("POST", f"{cube}/statistics", partial(_count, "statistics"), AREA_ASKED, STATISTICS),
        Route("POST", f"{cube}/statistics-cell", write_cell, AREA_ASKED, CELL),
        Route("GET", "links", _list_links, NOTHING, LINKS),
        Route("POST", "links", _make_link, LINK_ASKED, MADE),
        Route("DELETE", "links/([0-9a-f]{16})", _revoke_link, NOTHING, REVOKED),
    )


async def _tell_cube(asked: Asked) -> Any:
    return await _ask_json(asked, "GET", f"cubes/{asked.parts[0]}")


async def _draw_tile(asked: Asked) -> File:
    token, z, x, y = asked.parts
    path = f"cubes/{token}/tiles/{z}/{x}/{y}.png?{urlencode(asked.words)}"
    answer = await _tiles().fetch("GET", path, language=asked.language, within=DRAWN_WITHIN)
    said = _MAX_AGE.search(answer.headers.get("Cache-Control", ""))
    return File(answer.body, keep=min(int(said[1]), LONGEST_KEPT) if said else 0)


async def _count(what: str, asked: Asked) -> Any:
    return await _ask_json(asked, "POST", f"cubes/{asked.parts[0]}/{what}", asked.words)


async def _list_links(asked: Asked) -> Any:
    return await _ask_json(asked, "GET", "links")


async def _make_link(asked: Asked) -> Any:
    return await _ask_json(asked, "POST", "links", asked.words)


async def _revoke_link(asked: Asked) -> Any:
    return await _ask_json(asked, "DELETE", f"links/{asked.parts[0]}")


async def _ask_json(asked: Asked, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    return await _tiles().ask(method, path, body, language=asked.language, within=COUNTED_WITHIN)


def _write_cell(asked: Asked) -> dict[str, Any]:
    from earthlab.view.series import render_statistics_cell  # a second of imports, where no template has made them

    (token,), words = asked.parts, asked.words
    imports, _, rest = render_statistics_cell("cube", words["geometry"], words["band"]).partition("\n\n")
    code = f'import earthlab as el\n{imports}\n\ncube = el.open("cube:{token}")\n{rest}'
    mark = {"cube": token, "geometry": words["geometry"], "band": words["band"]}
    return {"code": code, "metadata": {"earthlab": {"statistics": mark}}}


def _tiles() -> Service:
    services = os.environ.get(SERVICES, "")
    if not services:
        raise SetupError(
            "Les cubes partagés sont montrés par un service du hub, et ce serveur n’est pas celui d’un laboratoire. "
            "Ouvrez JupyterLab depuis le hub. | Shared cubes are shown by a service of the hub, and this server is not "
            "one of a lab. Open JupyterLab from the hub."
        )
    return Service(TITLE, f"{services.rstrip('/')}/tiles", own_token())
