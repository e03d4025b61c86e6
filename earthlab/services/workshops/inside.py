"""An extension of Jupyter's server in a seat's pod: its holder's zip, made where the work is.

On one machine the workshops' service makes it (`earthlab.services.workshops.attending`); a pod's home is the pod's.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from earthlab.hub.handout import read_handout
from earthlab.services.workshops.zips import ZIP, send_zip, start_zip

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


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    base = serverapp.web_app.settings["base_url"]
    serverapp.web_app.add_handlers(".*$", [(url_path_join(base, ZIP), ZipHandler)])
