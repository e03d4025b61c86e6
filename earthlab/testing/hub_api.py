"""A small stand-in for the hub's REST API: who a token belongs to, and whose servers run.

It answers as JupyterHub 6 does to ``GET /hub/api/user`` and to ``GET /hub/api/users?state=active`` with paging; all
else is 404.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ACCESS_GATEWAY = "access:services!service=dask-gateway"


@dataclass(frozen=True, slots=True)
class Token:
    """What the hub knows of one token."""

    owner: str
    kind: str = "user"
    scopes: tuple[str, ...] = (ACCESS_GATEWAY,)


@dataclass(slots=True)
class HubApi:
    """The hub's side: change `tokens` and `active` at will while it runs."""

    url: str
    tokens: dict[str, Token] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    silent: bool = False
    """While true, every answer is 503."""
    page_size: int = 200


@contextmanager
def serve_hub_api() -> Iterator[HubApi]:
    """A hub API on a free loopback port, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = HubApi(f"http://127.0.0.1:{server.server_port}/hub/api")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub: HubApi = self.server.hub  # type: ignore[attr-defined]
        status, body = _answer(hub, self.path, self.headers.get("Authorization", ""))
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Keep quiet: requests bear tokens."""


def _answer(hub: HubApi, path: str, authorization: str) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(path)
    token = hub.tokens.get(authorization.removeprefix("token "))
    if hub.silent:
        return 503, {"message": "Service Unavailable"}
    if token is None:
        return 403, {"message": "Missing or invalid credentials."}
    match parts.path:
        case "/hub/api/user":
            return 200, {"name": token.owner, "kind": token.kind, "scopes": list(token.scopes), "admin": False}
        case "/hub/api/users" if "list:users" in token.scopes:
            return 200, _users_page(hub, parse_qs(parts.query))
        case "/hub/api/users":
            return 403, {"message": "Action is not authorized with current scopes; requires any of [list:users]"}
    return 404, {"message": "Not Found"}


def _users_page(hub: HubApi, query: dict[str, list[str]]) -> dict[str, Any]:
    names = sorted(hub.active)
    offset = int(query.get("offset", ["0"])[0])
    limit = min(int(query.get("limit", ["50"])[0]), hub.page_size)
    following = {"offset": offset + limit, "limit": limit} if offset + limit < len(names) else None
    return {"items": _models(names[offset : offset + limit]), "_pagination": {"offset": offset, "next": following}}


def _models(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name, "kind": "user"} for name in names]
