"""``python -m earthlab.services.workshops``: the workshops, as the hub starts them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping

from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer

from earthlab.hub.books import keep_key
from earthlab.hub.layout import people_url, resolve_layout
from earthlab.services.doors import resolve_hub
from earthlab.services.starting import resolve_start, run_service
from earthlab.services.workshops.app import LARGEST_BODY, look_after, make_app, make_service
from earthlab.services.workshops.desk import open_desk
from earthlab.services.workshops.hub import HubClient
from earthlab.settings import load_settings

_TOKENS_KEPT = 60
"""Seconds for which the hub's word on a token is good."""


def main() -> int:
    """Serve until the hub says stop; 1 where that cannot be, with one line that says what to do."""
    return run_service(lambda: asyncio.run(serve(os.environ)))


async def serve(environ: Mapping[str, str]) -> None:
    """Serve at the address the hub gave.

    Raises
    ------
    SetupError
        Where no hub started this process.
    """
    settings, hub = load_settings(environ=environ), resolve_hub(environ)
    token, host, port = resolve_start(
        environ, "The workshops are started by the hub, which gives them a token and an address: make lab."
    )
    desk = open_desk(settings, resolve_layout(settings), environ)
    auth = HubOAuth.instance(cache_max_age=_TOKENS_KEPT, oauth_client_id=f"service-{hub.service}")
    service = make_service(
        desk,
        HubClient(hub.url, token),
        auth,
        prefix=environ["JUPYTERHUB_SERVICE_PREFIX"],
        public=people_url(settings, socket.gethostname()),
    )
    # Kept, so that a new start of the service signs nobody out.
    secret = keep_key(desk.layout.hub / "workshops.secret")
    server = HTTPServer(make_app(service, cookie_secret=secret), max_body_size=LARGEST_BODY, xheaders=False)
    server.listen(port, host)
    ended = asyncio.Event()
    for sent in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sent, ended.set)
    care = asyncio.create_task(look_after(service))
    await asyncio.wait([asyncio.create_task(ended.wait()), care], return_when=asyncio.FIRST_COMPLETED)
    server.stop()
    if care.done():
        await care
    care.cancel()
    desk.store.close()


if __name__ == "__main__":
    sys.exit(main())
