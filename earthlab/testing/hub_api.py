"""A small stand-in for the hub's REST API: who a token belongs to, whose servers run, and who is in which group.

It answers as JupyterHub 6 does to ``GET /user``, ``GET /users?state=active`` with paging, ``GET /users/{name}``,
``GET /groups/{name}``, to making and deleting tokens of a user, to starting a server, with its progress, to notes
of activity, and to letting one user into the server of another and ending that; and as the lab's own registry of
public keys. All else is 404.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from earthlab.testing.answering import answering

ACCESS_GATEWAY = "access:services!service=dask-gateway"


@dataclass(frozen=True, slots=True)
class Token:
    """What the hub knows of one token."""

    owner: str
    kind: str = "user"
    scopes: tuple[str, ...] = (ACCESS_GATEWAY,)
    expires: float = float("inf")
    """Seconds since 1970."""
    id: str = ""


@dataclass(slots=True)
class HubApi:
    """The hub's side: change `tokens` and `active` at will while it runs."""

    url: str
    tokens: dict[str, Token] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    silent: bool = False
    """While true, every answer is 503."""
    page_size: int = 200
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Properties by group."""
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Groups by user."""
    created: dict[str, str] = field(default_factory=dict)
    """When users were made, ISO 8601; whoever is not here is unknown where servers are asked for."""
    blocked: set[str] = field(default_factory=set)
    """Users whom the hub has taken all roles from."""
    progress: list[dict[str, Any]] = field(default_factory=lambda: [{"progress": 60, "message": "It starts"}])
    """What is told of a start before it ends."""
    start: Callable[[str], bool] = lambda _: True
    """Called to start a user's server: whether it did."""
    noted: list[str] = field(default_factory=list)
    """Users whose activity was reported."""
    shares: set[tuple[str, str]] = field(default_factory=set)
    """Owners of servers, each with a user who is let in."""
    keys: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Public keys in the lab's registry, by user and fingerprint."""
    announced: list[str] = field(default_factory=list)
    """What an ssh door has said of its own key."""


@contextmanager
def serve_hub_api() -> Iterator[HubApi]:
    """A hub API on a free loopback port, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = HubApi(f"http://127.0.0.1:{server.server_port}/hub/api")
    server.hub = hub  # type: ignore[attr-defined]
    with answering(server):
        yield hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._respond("GET")

    def do_POST(self) -> None:
        self._respond("POST", json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}"))

    def do_PUT(self) -> None:
        self._respond("PUT")

    def do_DELETE(self) -> None:
        self._respond("DELETE")

    def _respond(self, method: str, body: dict[str, Any] | None = None) -> None:
        hub: HubApi = self.server.hub  # type: ignore[attr-defined]
        status, answer = _answer(hub, method, self.path, self.headers.get("Authorization", ""), body or {})
        events = answer.get("events")
        content = "".join(f"data: {json.dumps(each)}\n\n" for each in events) if events else json.dumps(answer)
        self._send(
            status, "text/event-stream" if events else "application/json", b"" if status == 204 else content.encode()
        )

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
        """Keep quiet: requests bear tokens."""


def _answer(
    hub: HubApi, method: str, path: str, authorization: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(path)
    token = hub.tokens.get(authorization.removeprefix("token "))
    if hub.silent:
        return 503, {"message": "Service Unavailable"}
    if token is None or token.expires <= time.time():
        return 403, {"message": "Missing or invalid credentials."}
    if parts.path == "/hub/cles/registre":
        return _registered(hub, token, method, {name: found[0] for name, found in parse_qs(parts.query).items()})
    return _routed(hub, token, [method, *parts.path.removeprefix("/hub/api/").split("/")], parse_qs(parts.query), body)


def _registered(hub: HubApi, token: Token, method: str, asked: dict[str, str]) -> tuple[int, dict[str, Any]]:
    if "custom:earthlab:keys" not in token.scopes:
        return 403, {"message": "Action is not authorized with current scopes"}
    if method == "PUT":
        hub.announced.append(asked["key"])
        return 204, {}
    found = hub.keys.get((asked["user"], asked["fingerprint"]))
    if found is None:
        return 404, {"message": "Not Found"}
    if method == "POST":
        found["used"] = time.time()
        return 204, {}
    return 200, found


def _routed(
    hub: HubApi, token: Token, route: list[str], query: dict[str, list[str]], body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    answer: dict[str, Any]
    status, answer = 404, {"message": "Not Found"}
    match route:
        case ["GET", "user"]:
            status, answer = 200, _owner_model(hub, token)
        case ["GET", "users"] if "list:users" in token.scopes:
            status, answer = 200, _users_page(hub, query)
        case [_, "users", name, *_] if "start:servers" in token.scopes:
            status, answer = _server_answer(hub, name, route) if name in hub.created else (404, answer)
        case ["GET", "users", name] if "read:users:groups" in token.scopes:
            status, answer = 200, _user_model(hub, token, name)
        case ["GET", "groups", name] if "read:groups" in token.scopes and name in hub.groups:
            status, answer = 200, {"kind": "group", "name": name, "users": [], "properties": hub.groups[name]}
        case ["POST", "users", name, "tokens"] if "tokens" in token.scopes:
            status, answer = 201, _new_token(hub, name, body)
        case ["DELETE", "users", _, "tokens", token_id] if "tokens" in token.scopes:
            hub.tokens = {text: kept for text, kept in hub.tokens.items() if kept.id != token_id}
            status, answer = 200, {}
        case [_, "shares", *_] | [_, "users", _, "shared", *_]:
            status, answer = _share_answer(hub, token, route, body)
        case ["GET", "users"]:
            status = 403
            answer = {"message": "Action is not authorized with current scopes; requires any of [list:users]"}
    return status, answer


def _server_answer(hub: HubApi, name: str, route: list[str]) -> tuple[int, dict[str, Any]]:
    match route:
        case ["GET", _, _]:
            server = {"name": "", "ready": True, "url": f"/user/{name}/"}
            servers = {"": server} if name in hub.active else {}
            roles = [] if name in hub.blocked else ["user"]
            model = {"name": name, "kind": "user", "created": hub.created[name], "roles": roles, "servers": servers}
            return 200, model
        case ["POST", _, _, "server"]:
            return (400, {"message": f"{name} is already running"}) if name in hub.active else (202, {})
        case ["GET", _, _, "server", "progress"]:
            if hub.start(name):
                hub.active.add(name)
                return 200, {"events": [*hub.progress, {"progress": 100, "ready": True, "message": "ready"}]}
            return 200, {"events": [*hub.progress, {"progress": 100, "failed": True, "message": "Spawn failed: no"}]}
        case ["POST", _, _, "activity"]:
            hub.noted.append(name)
            return 200, {}
    return 404, {"message": "Not Found"}


def _share_answer(hub: HubApi, token: Token, route: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    match route:
        case ["POST", "shares", owner, ""] if token.owner == owner and body["user"] in hub.members:
            hub.shares.add((owner, body["user"]))
            return 200, {"user": {"name": body["user"]}}
        case ["DELETE", "users", guest, "shared", owner, ""] if "users:shares" in token.scopes:
            known = (owner, guest) in hub.shares
            hub.shares.discard((owner, guest))
            return (204, {}) if known else (404, {"message": "No such share"})
    return 403, {"message": "Action is not authorized with current scopes"}


def _owner_model(hub: HubApi, token: Token) -> dict[str, Any]:
    groups = list(hub.members.get(token.owner, ()))
    scopes = [] if token.owner in hub.blocked else list(token.scopes)
    own = {"name": token.owner, "kind": token.kind, "scopes": scopes, "admin": False}
    return own if token.kind == "service" else {**own, "groups": groups}


def _user_model(hub: HubApi, token: Token, name: str) -> dict[str, Any]:
    known = {"name": name, "kind": "user", "groups": list(hub.members.get(name, ()))}
    roles = [] if name in hub.blocked else ["user"]
    return {**known, "roles": roles} if "read:roles:users" in token.scopes else known


def _new_token(hub: HubApi, name: str, body: dict[str, Any]) -> dict[str, Any]:
    text, token_id = secrets.token_hex(16), secrets.token_hex(4)
    hub.tokens[text] = Token(name, scopes=tuple(body["scopes"]), expires=time.time() + body["expires_in"], id=token_id)
    return {"token": text, "id": token_id, "user": name}


def _users_page(hub: HubApi, query: dict[str, list[str]]) -> dict[str, Any]:
    names = sorted(hub.active)
    offset = int(query.get("offset", ["0"])[0])
    limit = min(int(query.get("limit", ["50"])[0]), hub.page_size)
    following = {"offset": offset + limit, "limit": limit} if offset + limit < len(names) else None
    return {"items": _models(names[offset : offset + limit]), "_pagination": {"offset": offset, "next": following}}


def _models(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name, "kind": "user"} for name in names]
