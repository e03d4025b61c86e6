"""Signing in by a one-time link: whoever has the link is let in once, under the name it was made for."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat
from tornado.web import HTTPError
from traitlets import Instance, Unicode, default

from earthlab.hub.links import ENTRY, GuessLimit, LinkStore, Refusal, parse_code

_REFUSALS: dict[Refusal, str] = {
    "unknown": (
        "Ce code d’entrée n’existe pas : vérifiez que le lien est complet. · "
        "This code does not exist: check that the link is complete."
    ),
    "used": (
        "Ce lien a déjà servi ; chacun ne vaut qu’une fois. Demandez-en un nouveau. · "
        "This link was already used; each works once. Ask for a new one."
    ),
    "expired": ("Ce lien a expiré. Demandez-en un nouveau. · This link has expired. Ask for a new one."),
}
_BLOCKED = "Ce compte est suspendu : adressez-vous à l’équipe du labo. · This account is suspended: ask the lab’s team."
_TOO_MANY = (
    "Trop de codes inconnus depuis cette adresse : attendez une minute. · "
    "Too many unknown codes from this address: wait a minute."
)


class LinkAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub has no types
    """Lets in whoever brings an unused link; users come to be by their first link and in no other way."""

    store_path = Unicode(config=True, help="The SQLite file of the links.")
    store = Instance(LinkStore)
    guesses = Instance(GuessLimit, args=())

    @default("store")
    def _default_store(self) -> LinkStore:
        return LinkStore(Path(self.store_path))

    async def authenticate(self, handler: BaseHandler, data: dict[str, str]) -> str:
        """The name that the code in ``data["token"]`` was made for; the code is used up.

        Raises
        ------
        HTTPError
            403 for a code that is unknown, used or expired; 429 where an address tries too many.
        """
        address = handler.request.remote_ip
        if self.guesses.exceeded(address):
            raise HTTPError(429, _TOO_MANY)
        entry = self.store.redeem(parse_code(data.get("token", "")))
        if entry.user:
            return entry.user
        assert entry.refusal is not None
        if entry.refusal == "unknown":
            self.guesses.count(address)
        raise HTTPError(403, _REFUSALS[entry.refusal])

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether a user may come in: yes with a link just redeemed, which was made for this very name."""
        return authentication is not None or username in self.allowed_users

    def check_blocked_users(self, username: str, authentication: Any = None) -> bool:
        """True for whoever is not blocked.

        Raises
        ------
        HTTPError
            403 for a blocked user, with words a person can read.
        """
        if not super().check_blocked_users(username, authentication):
            raise HTTPError(403, _BLOCKED)
        return True

    def get_handlers(self, app: Any) -> list[tuple[str, type[BaseHandler]]]:
        """The sign-in page and the page that links lead to."""
        return [*super().get_handlers(app), (rf"/{ENTRY}", EntryHandler)]


class EntryHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``GET /hub/entree?token=…`` signs in and leads on to JupyterLab."""

    async def get(self) -> None:
        """Use the link up, unless a browser only looks ahead."""
        if "prefetch" in self.request.headers.get("Sec-Purpose", self.request.headers.get("Purpose", "")):
            raise HTTPError(503, "Ce lien ne sert qu’une fois : ouvrez-le vraiment. · Open this link for real.")
        self.set_header("Cache-Control", "no-store")
        code = self.get_query_argument("token", "")
        if not code:
            self.redirect(url_path_join(self.hub.base_url, "login"))
            return
        user = await self.login_user({"token": code})
        if user is None:
            raise HTTPError(403, _REFUSALS["unknown"])
        self.redirect(self.get_next_url(user))

    def set_default_headers(self) -> None:
        """The hub's usual headers, but the page's address, which holds a code, is told to nobody."""
        super().set_default_headers()
        self.set_header("Referrer-Policy", "no-referrer")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log a refusal without the address that Tornado would log: some refusals leave the code good."""
        if isinstance(value, HTTPError):
            self.log.warning("Link refused: %s (%s)", value.status_code, self.request.remote_ip)
        else:
            self.log.error("Link failed", exc_info=(typ, value, tb))

    def append_query_parameters(self, url: str, exclude: list[str] | None = None) -> str:
        """``url`` with this request's parameters except the code, which must not travel on."""
        hidden = {"token", *(exclude or ["next"])}
        kept = [(key, value) for key, value in parse_qsl(self.request.query) if key not in hidden]
        return url_concat(url, kept) if kept else url
