"""How the hub's services run: one process behind the proxy, which says nothing of itself and ends when it is told."""

import uvicorn
from starlette.types import ASGIApp


def run_app(app: ASGIApp, host: str, port: int) -> None:
    """Serve an application until the process is told to end; requests then have two seconds left."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=2,
    )
