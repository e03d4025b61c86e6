"""All routes of the extension, and their place in a server."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jupyter_server.utils import url_path_join

from earthlab_lab import cubes, searching, vocabulary
from earthlab_lab.desk import Desk
from earthlab_lab.questions import SEARCHED
from earthlab_lab.routes import Asked, Route, RouteHandler, Stream

BASE = "earthlab"


def make_routes(desk: Desk) -> tuple[Route | Stream, ...]:
    """Every route there is."""

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
        Route("POST", "cell", partial(cubes.write_cell, desk), cubes.CUBE_ASKED, cubes.CELL),
    )


def load_routes(serverapp: Any) -> None:
    """Give a server our routes."""
    desk = Desk()
    serverapp.web_app.add_handlers(".*$", plan_handlers(make_routes(desk), serverapp.web_app.settings["base_url"]))


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
