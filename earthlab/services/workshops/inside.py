"""An extension of Jupyter's server in a pod: what a participant takes along is read and written where the home is.

On one machine the service and the hub do that: `earthlab.services.workshops.attending`, `earthlab.hub.kept_work`.
"""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated, stream_request_body

from earthlab.errors import BadRequest
from earthlab.hub.handout import read_handout
from earthlab.hub.kept_work import MOST_BYTES, WORK, most_for, norm_folder, start_end
from earthlab.services.workshops.zips import ZIP, send_output, send_zip, start_zip

_ONE_AT_A_TIME = asyncio.Semaphore(1)


class ZipHandler(JupyterHandler):
    """``GET earthlab-atelier.zip``: what the participant takes home."""

    @authenticated
    async def get(self) -> None:
        """The zip, as it is made."""
        handout = read_handout(os.environ)
        if handout is None:
            raise HTTPError(404, "Rien n’a été remis à cette place. · Nothing was handed out to this seat.")
        async with _ONE_AT_A_TIME:
            process = await start_zip(Path.home(), (handout.slug, handout.title, handout.contact))
            await send_zip(self, process, f"{handout.slug}.zip")


@stream_request_body
class WorkHandler(APIHandler):
    """``GET`` the work in this home as `earthlab.hub.kept_work` has it, ``POST`` that of another into a new folder."""

    _taker: Process | None = None

    async def prepare(self) -> None:  # type: ignore[override]  # Jupyter's own is a coroutine function
        """Begin to take, before anything has come: only for whoever may."""
        await super().prepare()
        if self.current_user is None:
            raise HTTPError(403)
        if self.request.method == "POST":
            folder = self._folder()
            connection: Any = self.request.connection
            connection.set_max_body_size(2 * MOST_BYTES)
            words = ["take", str(Path.home()), folder, str(most_for(Path.home()))]
            self._taker = await start_end(words, PIPE, PIPE)

    def _folder(self) -> str:
        try:
            return norm_folder(self.get_query_argument("folder"))
        except BadRequest as exc:
            raise HTTPError(400, str(exc)) from exc

    async def data_received(self, chunk: bytes) -> None:
        """Hand on what comes, as fast as it is written."""
        if self._taker is None:
            raise HTTPError(400, "nothing is taken in by this method")
        assert self._taker.stdin is not None
        try:
            self._taker.stdin.write(chunk)
            await self._taker.stdin.drain()
        except ConnectionError:
            # It has refused, and says so at the end.
            return

    @authenticated
    async def get(self) -> None:
        """All that there is to keep."""
        most = min(MOST_BYTES, int(self.get_query_argument("most")))
        self.set_header("Content-Type", "application/octet-stream")
        await send_output(self, await start_end(["give", str(Path.home()), str(most)], DEVNULL, PIPE))

    @authenticated
    async def post(self) -> None:
        """Say what came of it."""
        assert self._taker is not None
        self._end()
        said, _ = await self._taker.communicate()
        self.finish(said)

    def on_connection_close(self) -> None:
        """Who gives has gone: end it, which leaves nothing."""
        super().on_connection_close()
        self._end()

    def on_finish(self) -> None:
        """Nothing is left running, whatever came of it."""
        super().on_finish()
        self._end()

    def _end(self) -> None:
        if self._taker is not None and self._taker.stdin is not None:
            # Where its input is not whole then, it takes away what has come.
            self._taker.stdin.close()


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    base = serverapp.web_app.settings["base_url"]
    ways = {ZIP: ZipHandler, WORK: WorkHandler}
    serverapp.web_app.add_handlers(".*$", [(url_path_join(base, path), kind) for path, kind in ways.items()])
