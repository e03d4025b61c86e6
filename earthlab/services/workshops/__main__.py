"""``python -m earthlab.services.workshops``: the workshops, as the hub starts them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer

from earthlab.errors import EarthlabError, SetupError
from earthlab.hub.layout import public_url, resolve_layout
from earthlab.services.doors import resolve_hub
from earthlab.services.workshops.app import LARGEST_BODY, look_after, make_app, make_service
from earthlab.services.workshops.desk import open_desk
from earthlab.services.workshops.hub import HubClient
from earthlab.settings import load_settings

_TOKENS_KEPT = 60
"""Seconds for which the hub's word on a token is good."""


def main() -> int:
    """Serve until the hub says stop; 1 where that cannot be, with one line that says what to do."""
    try:
        asyncio.run(serve(os.environ))
    except EarthlabError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - the one line that the operator reads
        return 1
    return 0


async def serve(environ: Mapping[str, str]) -> None:
    """Serve at the address the hub gave.

    Raises
    ------
    SetupError
        Where no hub started this process.
    """
    settings, hub = load_settings(environ=environ), resolve_hub(environ)
    token, address = environ.get("JUPYTERHUB_API_TOKEN", ""), urlsplit(environ.get("JUPYTERHUB_SERVICE_URL", ""))
    if not token or not address.hostname or not address.port:
        raise SetupError("The workshops are started by the hub, which gives them a token and an address: make lab.")
    desk = open_desk(settings, resolve_layout(settings))
    auth = HubOAuth.instance(cache_max_age=_TOKENS_KEPT)
    service = make_service(
        desk,
        HubClient(hub.url, token),
        auth,
        prefix=environ["JUPYTERHUB_SERVICE_PREFIX"],
        public=public_url(settings.lab, socket.gethostname()),
    )
    secret = keep_secret(desk.layout.hub / "workshops.secret")
    server = HTTPServer(make_app(service, cookie_secret=secret), max_body_size=LARGEST_BODY, xheaders=False)
    server.listen(address.port, address.hostname)
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


def keep_secret(path: Path) -> bytes:
    """The key of the pages' cookies, made once: a new start of the service signs nobody out."""
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
    return path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
