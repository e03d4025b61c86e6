"""The workshops' pages on a free port, with JupyterHub's own sign-in code and a stand-in for the hub's API."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import create_signed_value

from earthlab.hub.layout import Layout, shipped
from earthlab.hub.passes import PassStore
from earthlab.services.workshops.app import make_app, make_service
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.hub import HubClient
from earthlab.services.workshops.material import Shelf
from earthlab.services.workshops.rooms import Rooms
from earthlab.services.workshops.store import Store
from earthlab.services.workshops.web import Service
from earthlab.settings import load_settings
from earthlab.testing.hub_api import HubApi, Token, serve_hub_api

ACCESS = "access:services!service=workshops"
PREFIX = "/services/workshops/"
_SECRET = b"s" * 32


@dataclass
class Site:
    """The pages, and the hub's side of who may see them."""

    url: str
    hub: HubApi
    service: Service
    routes: list[str]

    @property
    def desk(self) -> Desk:
        return self.service.desk

    def sign_in(self, name: str, groups: Iterable[str] = (), *, scopes: tuple[str, ...] = (ACCESS,)) -> str:
        """The token of somebody whom the hub knows."""
        self.hub.tokens[f"token-{name}"] = Token(name, scopes=scopes)
        self.hub.members[name] = tuple(groups)
        return f"token-{name}"

    def browser(self, name: str | None = None, groups: Iterable[str] = ()) -> httpx.AsyncClient:
        """Somebody's browser, signed in already; one that tells what kind of request it makes."""
        cookies = {}
        if name:
            auth = self.service.hub_auth
            cookies[auth.cookie_name] = create_signed_value(
                _SECRET, auth.cookie_name, self.sign_in(name, groups)
            ).decode()
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
        return httpx.AsyncClient(base_url=self.url + PREFIX, cookies=cookies, headers=headers, timeout=120)


def make_desk(folder: Path, **settings: str) -> Desk:
    """A desk with folders of its own."""
    found = load_settings({"lab.state": folder, "lab.accounts": "shared", **settings}, environ={}, files=())
    layout = Layout(folder, folder / "run", "0123abcd")
    for each in (layout.hub, layout.homes, layout.run):
        each.mkdir(parents=True, exist_ok=True)
    store = Store(layout.hub / "workshops.sqlite")
    shelf = Shelf(shipped("notebooks"), layout.hub / "mirrors", folder / "repositories")
    return Desk(found, layout, store, PassStore(layout.passes), shelf, Rooms(store))


@asynccontextmanager
async def serve_site(folder: Path, *, keep: int = 1) -> AsyncIterator[Site]:
    """The pages of a desk of its own, for as long as the context lasts."""
    desk = make_desk(folder)
    with serve_hub_api() as hub:
        hub.tokens["token-service"] = Token("workshops", kind="service", scopes=("delete:users", "users:shares"))
        auth = HubOAuth(
            api_url=hub.url, api_token="token-service", base_url=PREFIX, hub_prefix="/hub/", access_scopes={ACCESS},
            oauth_client_id="service-workshops", oauth_redirect_uri=f"{PREFIX}oauth_callback", cache_max_age=keep,
        )  # fmt: skip
        listener, port = bind_unused_port()
        url = f"http://127.0.0.1:{port}"
        service = make_service(desk, HubClient(hub.url, "token-service"), auth, prefix=PREFIX, public=url)
        app = make_app(service, cookie_secret=_SECRET)
        server = HTTPServer(app)
        server.add_socket(listener)
        try:
            yield Site(url, hub, service, [rule.matcher.regex.pattern for rule in app.wildcard_router.rules])
        finally:
            server.stop()
            await server.close_all_connections()
            desk.store.close()
