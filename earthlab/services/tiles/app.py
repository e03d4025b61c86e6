"""The service's doors: cubes and links for who is signed in, layers for who has their address."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earthlab.errors import ComputeUnavailable, EarthlabError, NothingFound
from earthlab.services.doors import Authenticate, Door
from earthlab.services.stac.links import resolve_root
from earthlab.services.tiles import refusals, wmts
from earthlab.services.tiles.desk import Desk
from earthlab.services.tiles.links import Drawn, Link
from earthlab.services.tiles.steps import write_steps
from earthlab.services.tiles.words import (
    days_of,
    geometry_of,
    number_of,
    origin_of,
    read_object,
    read_query,
    style_of,
    text_of,
)

if TYPE_CHECKING:
    from earthlab.services.tiles.cubes import PublishedCube
    from earthlab.services.tiles.pictures import Picture

DRAWN_AT_ONCE, COUNTED_AT_ONCE = 3, 1
"""Pictures, and series or statistics, that are worked out at the same time; others wait."""

MOST_WAITING = 300
KEPT_PRIVATE, KEPT_LAYER = 24 * 3600, 300
"""Seconds for which a browser keeps a tile, and a GIS one of a layer that may be taken back."""

_PLACE = "{z:int}/{x:int}/{y:int}.png"
_TILE_WORDS = ("band", "time", "low", "high", "colormap")
_LINK_WORDS = ("token", "band", "time", "style", "days", "origin")

T = TypeVar("T")


def create_app(desk: Desk, authenticate: Authenticate, *, prefix: str = "") -> Starlette:
    """The service as an ASGI application.

    Parameters
    ----------
    desk : Desk
        What it shows.
    authenticate : callable
        Says whose token a request carries; without a known token nothing answers but layers, below ``/layer``.
    prefix : str
        The path under which the proxy hands requests on, as ``/services/tiles``.
    """
    at = prefix.rstrip("/")
    doors = Doors(desk, at)
    inside = _make_app(
        [
            Route("/cubes/{token}", doors.tell_cube, methods=["GET"]),
            Route(f"/cubes/{{token}}/tiles/{_PLACE}", doors.draw_tile, methods=["GET"]),
            Route("/cubes/{token}/series", doors.tell_series, methods=["POST"]),
            Route("/cubes/{token}/statistics", doors.tell_statistics, methods=["POST"]),
            Route("/links", doors.make_link, methods=["POST"]),
            Route("/links", doors.list_links, methods=["GET"]),
            Route("/links/{id}", doors.revoke_link, methods=["DELETE"]),
        ]
    )
    outside = _make_app(
        [
            Route(f"/{{secret}}/{_PLACE}", doors.draw_layer, methods=["GET"]),
            Route("/{secret}/WMTSCapabilities.xml", doors.describe_layer, methods=["GET"]),
        ]
    )
    return Starlette(
        routes=[Mount(f"{at}/layer", app=WithoutReferrer(outside)), Mount(at, app=Door(inside, authenticate))]
    )


def _make_app(routes: Sequence[BaseRoute]) -> Starlette:
    return Starlette(
        routes=routes,
        exception_handlers={
            EarthlabError: refusals.answer_refusal,
            HTTPException: refusals.answer_http,
            Exception: refusals.answer_failure,
        },
    )


class WithoutReferrer:
    """Middleware whose answers ask that nobody be told of the address they came from: it has a secret."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with one header more."""

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"referrer-policy", b"no-referrer")]
            await send(message)

        await self._app(scope, receive, send_on)


class Doors:
    """What answers each address.

    Parameters
    ----------
    desk : Desk
        What is shown.
    prefix : str
        Where the service is, without a slash at the end.
    """

    def __init__(self, desk: Desk, prefix: str) -> None:
        self._desk = desk
        self._prefix = prefix
        self._drawing = anyio.CapacityLimiter(DRAWN_AT_ONCE)
        self._counting = anyio.CapacityLimiter(COUNTED_AT_ONCE)

    async def tell_cube(self, request: Request) -> Response:
        """Bands, dates, place, styles and origin of a cube."""
        read_query(request, ())
        cube = await self._find_cube(request)
        from earthlab.services.tiles.cubes import describe_cube  # loaded with the cubes: see Desk

        return _private(await self._within(self._drawing, lambda: describe_cube(cube)))

    async def draw_tile(self, request: Request) -> Response:
        """A tile of one date of a cube."""
        said = read_query(request, _TILE_WORDS)
        cube = await self._find_cube(request)
        picture = _plan(cube, said, {name: said[name] for name in _TILE_WORDS[2:] if name in said}, request)
        # A cube that met reads which failed in passing is built again: all others are for good.
        keep = f"private, max-age={KEPT_LAYER}" if cube.expires else f"private, max-age={KEPT_PRIVATE}, immutable"
        return await self._draw(request, picture, keep)

    async def tell_series(self, request: Request) -> Response:
        """The values of one pixel along time."""
        said = await read_object(request, ("band", "lon", "lat"))
        cube = await self._find_cube(request)
        from earthlab.services.tiles.pictures import tell_series  # as above

        band, lon, lat = text_of(said, "band"), number_of(said, "lon"), number_of(said, "lat")
        cubes = self._desk.cubes
        return _private(await self._within(self._counting, lambda: tell_series(cubes, cube, band, lon, lat)))

    async def tell_statistics(self, request: Request) -> Response:
        """What an area holds at each date."""
        said = await read_object(request, ("band", "geometry"))
        cube = await self._find_cube(request)
        from earthlab.services.tiles.pictures import tell_statistics  # as above

        band, geometry, cubes = text_of(said, "band"), geometry_of(said), self._desk.cubes
        return _private(await self._within(self._counting, lambda: tell_statistics(cubes, cube, band, geometry)))

    async def make_link(self, request: Request) -> Response:
        """A new layer of the caller's, with its address: this once."""
        said = await read_object(request, _LINK_WORDS)
        days, origin, owner = days_of(said), origin_of(said), request.state.caller.name
        cube = await self._find_cube(request, text_of(said, "token"))
        drawn = await self._within(self._drawing, lambda: _fix_layer(cube, said))
        link, secret = await to_thread.run_sync(self._desk.links.make, owner, drawn, days)
        root = f"{origin}{self._prefix}" if origin else resolve_root(request, self._prefix)
        layer = f"{root}/layer/{secret}"
        xyz, capabilities = f"{layer}/{{z}}/{{x}}/{{y}}.png", f"{layer}/WMTSCapabilities.xml"
        steps = write_steps(link, xyz, capabilities, cube.zoom)
        return _private({**_tell_link(link), "url_xyz": xyz, "url_wmts": capabilities, "steps": steps}, 201)

    async def list_links(self, request: Request) -> Response:
        """The caller's layers, without their addresses, which nobody keeps."""
        read_query(request, ())
        links = await to_thread.run_sync(self._desk.links.list_live, request.state.caller.name)
        return _private({"links": [_tell_link(link) for link in links]})

    async def revoke_link(self, request: Request) -> Response:
        """Take back a layer of the caller's, at once."""
        read_query(request, ())
        name = request.path_params["id"]
        await to_thread.run_sync(self._desk.links.revoke, request.state.caller.name, name)
        return _private({"revoked": name})

    async def draw_layer(self, request: Request) -> Response:
        """A tile of a layer, for whoever has its address."""
        read_query(request, ())
        link, cube = await self._find_layer(request)
        picture = _plan(cube, {"band": ",".join(link.bands), "time": link.time}, _texts(link.style), request)
        return await self._draw(request, picture, f"private, max-age={KEPT_LAYER}")

    async def describe_layer(self, request: Request) -> Response:
        """The capabilities of a layer, for whoever has its address."""
        link, cube = await self._find_layer(request)
        root = f"{resolve_root(request, self._prefix)}/layer/{request.path_params['secret']}"
        told = wmts.Layer(
            name=f"cube-{cube.token}-{link.id}",
            title=link.title,
            abstract=" ".join([*_nature(cube), cube.citation, *cube.licences]),
            bounds=cube.bounds,
            closest=cube.zoom,
            style="{colormap} {low:g} … {high:g}".format(**link.style),
        )
        content = wmts.render_capabilities(told, f"{root}/{{z}}/{{x}}/{{y}}.png", f"{root}/WMTSCapabilities.xml")
        return Response(content, headers={"Content-Type": wmts.KIND, "Cache-Control": f"private, max-age={KEPT_LAYER}"})

    async def _find_cube(self, request: Request, token: str | None = None) -> "PublishedCube":
        """The cube of an address, for a caller who may see it."""
        wanted = token or request.path_params["token"]
        cube = await to_thread.run_sync(lambda: self._desk.cubes.find(wanted))
        await self._desk.require_right(request.state.caller, cube.access)
        return cube

    async def _find_layer(self, request: Request) -> tuple[Link, "PublishedCube"]:
        """The layer of an address whose maker may still see the cube."""
        secret, desk = request.path_params["secret"], self._desk
        link = await to_thread.run_sync(desk.links.find, secret, _address_of(request))
        cube = await to_thread.run_sync(lambda: desk.cubes.find(link.token))
        if not await desk.may_still_show(link.owner, cube.access):
            raise NothingFound(
                "Couche fermée : la personne qui l’a faite n’a plus le droit de lire ce cube. / This layer is closed: "
                "whoever made it may not read this cube any more."
            )
        return link, cube

    async def _draw(self, request: Request, picture: "Picture", keep: str) -> Response:
        from earthlab.services.tiles.pictures import draw  # as above

        headers = {"ETag": picture.tag, "Cache-Control": keep}
        if _has(request, picture.tag):
            return Response(status_code=304, headers=headers)
        cubes = self._desk.cubes
        content = await self._within(self._drawing, lambda: draw(cubes, picture))
        return Response(content, headers={**headers, "Content-Type": "image/png"})

    async def _within(self, limiter: anyio.CapacityLimiter, work: Callable[[], T]) -> T:
        """Work beside the loop, with few others; refused where many wait."""
        if limiter.statistics().tasks_waiting >= MOST_WAITING:
            raise ComputeUnavailable(f"{MOST_WAITING} pictures are waited for already. Ask again in a minute.")
        return await to_thread.run_sync(work, limiter=limiter)


def _plan(cube: "PublishedCube", said: Mapping[str, Any], style: Mapping[str, str], request: Request) -> "Picture":
    from earthlab.services.tiles.pictures import plan_picture, split_bands  # as above

    place = [request.path_params[axis] for axis in "zxy"]
    return plan_picture(cube, split_bands(cube, text_of(said, "band")), text_of(said, "time"), style, place)


def _fix_layer(cube: "PublishedCube", said: Mapping[str, Any]) -> Drawn:
    """What a layer shows for as long as it lives: with both ends of its colours."""
    from earthlab.services.tiles.pictures import complete_style, plan_picture, split_bands  # as above

    bands = split_bands(cube, text_of(said, "band"))
    picture = plan_picture(cube, bands, text_of(said, "time"), style_of(said), (0, 0, 0))
    style = complete_style(cube, picture)
    told = {"colormap": "rgb" if len(bands) == 3 else style.colormap, "low": style.low, "high": style.high}
    title = f"{', '.join(bands)} · {picture.time} · {cube.title}"
    return Drawn(cube.token, bands, picture.time, told, title[:300])


def _texts(style: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in style.items()}


def _tell_link(link: Link) -> dict[str, Any]:
    return {
        "id": link.id,
        "token": link.token,
        "band": ",".join(link.bands),
        "time": link.time,
        "style": dict(link.style),
        "title": link.title,
        "made": _moment(link.made),
        "expires": _moment(link.expires),
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _nature(cube: "PublishedCube") -> list[str]:
    return ["DONNÉES SIMULÉES / SIMULATED DATA."] if cube.simulated else []


def _has(request: Request, tag: str) -> bool:
    """Whether who asks has the very same answer (RFC 9110, section 13.1.2)."""
    given = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return tag in given or given == ["*"]


def _address_of(request: Request) -> str:
    """Where a request comes from: as the proxy before us saw it, which is the last to have written down an address."""
    host = request.client.host if request.client else ""
    seen = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return (seen or host)[:64] if host in {"127.0.0.1", "::1"} else host


def _private(content: Mapping[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(dict(content), status, headers={"Cache-Control": "no-store"})
