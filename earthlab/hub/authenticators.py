"""Signing in by a one-time link, by a workshop's pass or at an institution, on one page: nobody has a password."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler, LogoutHandler
from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat
from tornado.ioloop import PeriodicCallback
from tornado.web import HTTPError
from traitlets import Any as AnyTrait
from traitlets import Instance, Unicode, default

from earthlab.hub import links, passes, restarts
from earthlab.hub.absence import absence, require_database
from earthlab.hub.accounts import account_name
from earthlab.hub.identities import IdentityStore
from earthlab.hub.institution import RETURN, START
from earthlab.hub.keys import KeyStore
from earthlab.hub.links import ENTRY, GuessLimit, LinkStore, parse_code
from earthlab.hub.oidc import InstitutionAuthenticator
from earthlab.hub.oidc_pages import ReturnHandler, StartHandler
from earthlab.hub.passes import GUESSES, GUESSES_AN_ADDRESS, Claim, PassStore, norm_code, workshop_group
from earthlab.hub.restarts import ServiceWatch
from earthlab.hub.sign_outs import EVERY, end_sessions

COOKIE = "earthlab-seat"
"""Holds the secret that brings a browser back to its seat; for the hub's own pages alone."""

SEATS = "ateliers"
"""The group of the seats of all workshops."""

PLACE = "place"
"""The page under ``/hub/`` of a seat's holder."""

_COOKIE_DAYS = 400.0
"""How old the cookie's signature may be: the store alone knows when a seat ends."""

_LINK_REFUSALS: dict[links.Refusal, str] = {
    "unknown": (
        "Ce code n’existe pas : vérifiez qu’il est complet (un passe a 12 caractères, un lien bien plus). · "
        "This code does not exist: check that it is complete (a pass has 12 characters, a link many more)."
    ),
    "used": (
        "Ce lien a déjà servi ; chacun ne vaut qu’une fois. Demandez-en un nouveau. · "
        "This link was already used; each works once. Ask for a new one."
    ),
    "expired": ("Ce lien a expiré. Demandez-en un nouveau. · This link has expired. Ask for a new one."),
}
_PASS_REFUSALS: dict[passes.Refusal, str] = {
    "unknown": (
        "Ce passe n’existe pas : comparez chaque caractère avec votre carte. · "
        "This pass does not exist: compare each character with your card."
    ),
    "used": (
        "Ce passe a déjà servi. Si c’était vous, revenez par le navigateur du premier jour, ou demandez un nouveau "
        "passe à l’animateur. · This pass was already used. If it was you, come back by the browser of the first day, "
        "or ask the trainer for a new pass."
    ),
    "replaced": (
        "Ce code a été remplacé par un plus récent : prenez le dernier qu’on vous a donné. · "
        "This code was replaced by a newer one: take the last that you were given."
    ),
    "revoked": (
        "L’animateur a fermé cette place : adressez-vous à lui. · The trainer closed this seat: ask them about it."
    ),
    "expired": (
        "Ce code n’est plus valable : l’atelier est terminé, ou le code a attendu trop longtemps. · "
        "This code is no longer valid: the workshop is over, or the code waited too long."
    ),
    "early": (
        "L’atelier n’est pas encore ouvert : revenez à l’heure dite, votre code reste bon. · "
        "The workshop is not open yet: come back when it begins, your code stays good."
    ),
    "full": (
        "Toutes les places de cet atelier sont prises : demandez à l’animateur d’en ajouter une. · "
        "All seats of this workshop are taken: ask the trainer to add one."
    ),
}
_BLOCKED = "Ce compte est suspendu : adressez-vous à l’équipe du labo. · This account is suspended: ask the lab’s team."
_TOO_MANY = (
    "Trop de codes inconnus en peu de temps : attendez une minute, votre code reste bon. · "
    "Too many unknown codes in a short time: wait a minute, your code stays good."
)


class LabAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub has no types
    """Lets in whoever brings an unused link or a workshop's pass, or whom the institution names, and nobody else."""

    store_path = Unicode(config=True, help="The SQLite file of the links.")
    passes_path = Unicode(config=True, help="The SQLite file of the workshops' seats and passes.")
    keys_path = Unicode(config=True, help="The SQLite file of the keys for ssh, which end with a seat's sessions.")
    layout = AnyTrait(config=True, help="The folders of the lab, `earthlab.hub.layout.Layout`.")
    institution = AnyTrait(None, allow_none=True, config=True, help="The `Institution`, where there is one.")
    local_names = AnyTrait(frozenset(), config=True, help="Names that the institution may not give.")
    store = Instance(LinkStore)
    passes = Instance(PassStore)
    keys = Instance(KeyStore)
    identities = Instance(IdentityStore)
    door = Instance(InstitutionAuthenticator, allow_none=True)
    guesses = Instance(GuessLimit)

    @default("store")
    def _default_store(self) -> LinkStore:
        return LinkStore(Path(self.store_path))

    @default("passes")
    def _default_passes(self) -> PassStore:
        return PassStore(Path(self.passes_path))

    @default("keys")
    def _default_keys(self) -> KeyStore:
        return KeyStore(Path(self.keys_path))

    @default("identities")
    def _default_identities(self) -> IdentityStore:
        return IdentityStore(self.layout.identities)

    @default("door")
    def _default_door(self) -> InstitutionAuthenticator | None:
        if self.institution is None:
            return None
        return InstitutionAuthenticator(self, self.institution, self.identities, self._is_local)

    def _is_local(self, user: str) -> bool:
        # A home may be left of somebody whom the hub has forgotten.
        home = self.layout.homes / account_name(user, self.layout.lab_id)
        return user in self.local_names or self.store.promises(user) or home.exists()

    @default("guesses")
    def _default_guesses(self) -> GuessLimit:
        return GuessLimit(GUESSES_AN_ADDRESS, GUESSES)

    async def authenticate(self, handler: BaseHandler, data: dict[str, str]) -> str:
        """The name that the link, pass or code in ``data["token"]`` is worth, which is used up, or a seat's cookie.

        Raises
        ------
        HTTPError
            403 for a code that lets nobody in, with the reason; 429 where too many unknown ones were tried; 503 where
            nobody could be signed in, before anything is used up.
        """
        require_database(handler)
        try:
            return await self._judge(handler, data)
        except sqlite3.OperationalError as exc:
            # A full disk, on which nothing was written: what was brought is as good as before.
            raise absence(handler) from exc

    async def _judge(self, handler: BaseHandler, data: dict[str, str]) -> str:
        if COOKIE in data:
            return await self._admit(handler, self.passes.come_back(data[COOKIE]))
        text = parse_code(data.get("token", ""))
        if norm_code(text):
            self.refuse_guessing(handler)
            return await self._admit(handler, self.passes.claim(text, read_seat_cookie(handler)))
        entry = self.store.redeem(text)
        if entry.user:
            return entry.user
        assert entry.refusal is not None
        if entry.refusal == "unknown":
            # A link is too long to be guessed: a good one works however many others are tried.
            self.refuse_guessing(handler)
            self.guesses.count(handler.request.remote_ip)
        raise HTTPError(403, _LINK_REFUSALS[entry.refusal])

    async def _admit(self, handler: BaseHandler, claim: Claim) -> str:
        self.refuse_claim(handler, claim)
        # What a former holder has must have ended before this one begins.
        await end_sessions(handler.app, self.passes, self.keys, claim.user)
        write_seat_cookie(handler, claim.secret or read_seat_cookie(handler), claim.until)
        return claim.user

    def refuse_guessing(self, handler: BaseHandler) -> None:
        """Answer nothing about short codes, good ones neither, where too many unknown ones were tried.

        Raises
        ------
        HTTPError
            429.
        """
        if self.guesses.exceeded(handler.request.remote_ip):
            raise HTTPError(429, _TOO_MANY)

    def refuse_claim(self, handler: BaseHandler, claim: Claim) -> None:
        """Say why a code lets nobody in, and count it if it is unknown; nothing where it is good.

        Raises
        ------
        HTTPError
            403, or 409 where no seat is free.
        """
        if claim.refusal == "unknown":
            self.guesses.count(handler.request.remote_ip)
        if claim.refusal:
            raise HTTPError(409 if claim.refusal == "full" else 403, _PASS_REFUSALS[claim.refusal])

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        """Whether a user may come in: yes with a link or pass just used, which was made for this very name."""
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

    def add_user(self, user: Any) -> None:
        """Put a seat into its workshop's group and that of all seats; others belong to none by themselves."""
        super().add_user(user)
        place = self.passes.seat_of(user.name)
        if place is None:
            return
        for name in (SEATS, workshop_group(place[0])):
            group = orm.Group.find(user.db, name)
            if group is None:
                group = orm.Group(name=name)
                user.db.add(group)
            if group not in user.orm_user.groups:
                user.orm_user.groups.append(group)
        user.db.commit()

    def get_handlers(self, app: Any) -> list[tuple[str, type[BaseHandler]]]:
        """The pages of all ways in, and the way out; from now on sessions can end, and services start again."""

        async def look() -> None:
            # Before the hub serves, not all of its users are known yet.
            if app.http_server is not None:
                await end_sessions(app, self.passes, self.keys)

        watch = ServiceWatch()

        async def attend() -> None:
            await watch.look(list(app._service_map.values()))  # noqa: SLF001 - JupyterHub shows them nowhere else

        self._looking = [PeriodicCallback(look, EVERY * 1000), PeriodicCallback(attend, restarts.EVERY * 1000)]
        for looking in self._looking:
            looking.start()
        away = [(f"/{START}", StartHandler), (f"/{RETURN}", ReturnHandler)] if self.door else []
        return [("/login", SignInHandler), ("/logout", SignOutHandler), (f"/{ENTRY}", EntryHandler), *away]


def read_seat_cookie(handler: BaseHandler) -> str:
    """The secret in the browser's seat cookie, or nothing."""
    found = handler.get_secure_cookie(COOKIE, max_age_days=_COOKIE_DAYS)
    return found.decode() if found else ""


def write_seat_cookie(handler: BaseHandler, secret: str, until: float) -> None:
    """Give the browser a seat's secret, for the hub's own pages alone, until the seat ends."""
    handler.set_secure_cookie(
        COOKIE,
        secret,
        expires=until,
        path=handler.hub.base_url,
        httponly=True,
        samesite="Lax",
        secure=handler.request.protocol == "https",
    )


def clear_seat_cookie(handler: BaseHandler) -> None:
    """Take the seat's secret out of the browser."""
    handler.clear_cookie(COOKIE, path=handler.hub.base_url)


class SignInHandler(LoginHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``/hub/login``: takes links, passes and codes; a browser that has a seat comes back to it by itself."""

    async def get(self) -> None:
        """The page, or the way back to the seat."""
        self.set_header("Cache-Control", "no-store")
        secret = "" if self.current_user else read_seat_cookie(self)
        if not secret:
            await super().get()
            return
        claim = self.authenticator.passes.come_back(secret)
        if claim.refusal:
            if claim.refusal != "early":
                clear_seat_cookie(self)
            self.finish(await self._render(login_error=_PASS_REFUSALS[claim.refusal]))
            return
        user = await self.login_user({COOKIE: secret})
        self.redirect(self.get_next_url(user))

    async def post(self) -> None:
        """Sign in by what the form's one field holds."""
        self.set_header("Cache-Control", "no-store")
        await super().post()


class SignOutHandler(LogoutHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``/hub/logout``: a seat's holder must mean it, since the pass would not let them in again.

    Whom the institution signed in is shown the way out there: whoever comes to this browser could else go in again.
    """

    way_out = ""

    async def get(self) -> None:
        """Sign out; a seat's holder is led to the page that says what it means."""
        if self.current_user and self.authenticator.passes.seat_of(self.current_user.name):
            self.redirect(url_path_join(self.hub.base_url, PLACE))
            return
        await super().get()

    async def post(self) -> None:
        """Sign out for good: the browser does not come back to its seat either."""
        secret = read_seat_cookie(self)
        if secret:
            self.authenticator.passes.leave(secret)
            clear_seat_cookie(self)
        await super().get()

    async def handle_logout(self) -> None:
        """Find the way out at the institution, while it is known who leaves."""
        if self.current_user and self.authenticator.door:
            self.way_out = await self.authenticator.door.way_out(self.current_user.name)

    async def render_logout_page(self) -> None:
        """The sign-in page, or that with the institution's way out."""
        if self.way_out:
            self.set_header("Cache-Control", "no-store")
            self.finish(await self.render_template("logout.html", way_out=self.way_out))
        else:
            await super().render_logout_page()


class EntryHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """``GET /hub/entree?token=…``: a link signs in at once, a pass shows one button.

    Whoever previews a page (messengers, scanners of codes, proxies) follows links: a pass, which lies open on paper and
    is passed on in chats, is therefore claimed by a form alone.
    """

    async def get(self) -> None:
        """Judge the code; use it up if it is a link's."""
        self.set_header("Cache-Control", "no-store")
        code = parse_code(self.get_query_argument("token", ""))
        if not code:
            self.redirect(url_path_join(self.hub.base_url, "login"))
        elif norm_code(code):
            await self._offer_seat(code)
        else:
            await self._follow_link(code)

    async def _offer_seat(self, code: str) -> None:
        self.authenticator.refuse_guessing(self)
        secret = read_seat_cookie(self)
        claim = self.authenticator.passes.look(code, secret)
        if claim.user:
            user = await self.login_user({COOKIE: secret})
            self.redirect(self.get_next_url(user))
        elif self._sits_in(claim):
            self.redirect(self.get_next_url(self.current_user))
        else:
            self.authenticator.refuse_claim(self, claim)
            action = url_concat(self.authenticator.login_url(self.hub.base_url), self._next())
            html = await self.render_template("entry.html", claim=claim, code=code, action=action)
            self.finish(html)

    def _sits_in(self, claim: Claim) -> bool:
        place = self.authenticator.passes.seat_of(self.current_user.name) if self.current_user else None
        return place is not None and place[0] == claim.slug and claim.seat in {0, place[1]}

    def _next(self) -> dict[str, str]:
        target = self.get_query_argument("next", "")
        return {"next": target} if target else {}

    async def _follow_link(self, code: str) -> None:
        if "prefetch" in self.request.headers.get("Sec-Purpose", self.request.headers.get("Purpose", "")):
            raise HTTPError(503, "Ce lien ne sert qu’une fois : ouvrez-le vraiment. · Open this link for real.")
        user = await self.login_user({"token": code})
        if user is None:
            raise HTTPError(403, _LINK_REFUSALS["unknown"])
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
