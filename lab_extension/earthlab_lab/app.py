"""All routes of the extension, and their place in a server."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_server.utils import url_path_join

from earthlab_lab import cubes, searching, vocabulary
from earthlab_lab.clusters import make_clusters_routes
from earthlab_lab.desk import Desk
from earthlab_lab.gallery import make_gallery_routes
from earthlab_lab.live import Kernels, make_live_routes
from earthlab_lab.published import make_published_routes
from earthlab_lab.questions import SEARCHED
from earthlab_lab.routes import Asked, Route, RouteHandler, Stream
from earthlab_lab.schemas import CELL
from earthlab_lab.workshop import make_workshop_routes

BASE = "earthlab"


def make_routes(desk: Desk, kernels: Kernels, home: Path) -> tuple[Route | Stream, ...]:
    """Every route there is.

    Parameters
    ----------
    desk : Desk
        What they share.
    kernels : Kernels
        The server's manager of kernels.
    home : Path
        The folder of which the server shows the files.
    """
    return (
        *make_catalogue_routes(desk),
        *make_live_routes(desk, kernels),
        *make_published_routes(desk),
        *make_clusters_routes(desk),
        *make_workshop_routes(),
        *make_gallery_routes(desk, home),
    )


def make_catalogue_routes(desk: Desk) -> tuple[Route | Stream, ...]:
    """The routes of the catalogue and its drawer."""

    async def read_vocabulary(_asked: Asked) -> Any:
        return await desk.ask(vocabulary.read_vocabulary)

    async def suggest_places(asked: Asked) -> Any:
        return await desk.work(lambda: vocabulary.suggest(asked.words["text"]))

    return (
        Route("GET", "vocabulary", read_vocabulary, gives=vocabulary.VOCABULARY),
        Route("GET", "places", suggest_places, vocabulary.PLACES_ASKED, vocabulary.PLACES),
        Stream("POST", "search", partial(searching.search, desk), searching.SEARCH_ASKED, SEARCHED),
        Route("POST", "choices", partial(cubes.choose, desk), cubes.CUBE_ASKED, cubes.CHOICES),
        Route("POST", "plan", partial(cubes.plan, desk), cubes.CUBE_ASKED, cubes.PLAN),
        Route("POST", "cell", partial(cubes.write_cell, desk), cubes.CUBE_ASKED, CELL),
    )


def load_routes(serverapp: Any) -> None:
    """Give a server our routes."""
    routes = make_routes(Desk(), serverapp.kernel_manager, Path(serverapp.root_dir))
    serverapp.web_app.add_handlers(".*$", plan_handlers(routes, serverapp.web_app.settings["base_url"]))


def plan_handlers(
    routes: Sequence[Route | Stream], base_url: str
) -> list[tuple[str, type[RouteHandler], dict[str, Any]]]:
    """What tornado is told: one handler a path, for all its methods."""
    by_path: dict[str, dict[str, Route | Stream]] = {}
    for route in routes:
        by_path.setdefault(route.path, {})[route.method] = route
    return [
        (url_path_join(base_url, BASE, path) + "/?", RouteHandler, {"routes": methods})
        for path, methods in by_path.items()
    ]
