"""The service over HTTP for clients that cannot send a token: every request is signed in on its way."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from earthlab.services.stac.app import create_app
from earthlab.services.stac.store import Store
from earthlab.testing.ports import free_row
from earthlab.testing.stac import one_token
from tests.patience import PATIENCE

TOKEN = "un-jeton"


def signed_in(app: ASGIApp) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [*scope["headers"], (b"authorization", f"token {TOKEN}".encode())]}
        await app(scope, receive, send)

    return call


@contextmanager
def serve_open(store: Store) -> Iterator[str]:
    """The address of the service, without a slash at the end."""
    port = free_row(1)
    app = signed_in(create_app(store, one_token(TOKEN)))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
