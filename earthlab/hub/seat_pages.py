"""The pages of a workshop's participants: their seat, a second device, and keeping their work."""

from datetime import UTC, datetime
from typing import Any

import segno
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado.httputil import url_concat
from tornado.web import HTTPError, authenticated

from earthlab.errors import EarthlabError, NothingFound
from earthlab.hub import passes
from earthlab.hub.authenticators import PLACE
from earthlab.hub.institution import START
from earthlab.hub.kept_in_pods import entering, keep_work_of_pod, open_server, require_open
from earthlab.hub.kept_work import NOTHING, Kept, keep_work
from earthlab.hub.layout import resolve_accounts, resolve_layout
from earthlab.hub.links import entry_url, parse_code
from earthlab.hub.oidc_pages import SIGN_IN_SECONDS
from earthlab.hub.passes import TRANSFER_LIFETIME, PassStore, Stay, show_code
from earthlab.settings import Settings, load_settings

KEEP = "garder"

_CARRIED = "earthlab-keep"
"""The cookie with which a code to keep a seat's work goes along to the institution and back, in this browser alone."""

_NOT_A_SEAT = "Cette page est celle des participants d’un atelier. · This page is for the participants of a workshop."
_NO_INSTITUTION = (
    "Aucune institution n’est reliée à ce labo : faites un code. · No institution is linked with this lab: make a code."
)
_KEEP_REFUSALS: dict[passes.Refusal, str] = {
    "unknown": (
        "Ce code n’existe pas : comparez chaque caractère. · This code does not exist: compare each character."
    ),
    "used": (
        "Ce code a déjà servi : faites-en un autre depuis votre place. · "
        "This code was already used: make another one from your seat."
    ),
    "replaced": (
        "Ce code a été remplacé par un plus récent : prenez le dernier. · "
        "This code was replaced by a newer one: take the last."
    ),
    "revoked": (
        "L’animateur a fermé cette place : adressez-vous à lui. · The trainer closed this seat: ask them about it."
    ),
    "expired": (
        "Il est trop tard : le travail de cet atelier a été effacé. · It is too late: the workshop’s work was deleted."
    ),
}


class _SeatHandler(BaseHandler):  # type: ignore[misc]  # JupyterHub has no types
    """What both pages share."""

    def set_default_headers(self) -> None:
        """The hub's usual headers; codes are on these pages, which no cache keeps."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")

    @property
    def store(self) -> PassStore:
        """The lab's seats and passes."""
        found: PassStore = self.authenticator.passes
        return found

    def my_stay(self) -> Stay | None:
        """The seat of whoever asks."""
        return self.store.stay(self.current_user.name)

    async def show(self, template: str, **words: Any) -> None:
        """A page with what it needs."""
        self.finish(await self.render_template(template, show_code=show_code, show_moment=show_moment, **words))


class PlaceHandler(_SeatHandler):
    """``/hub/place``: one's seat, one's name, a code for another device, the way out."""

    @authenticated
    async def get(self) -> None:
        """The page."""
        await self.show("place.html", stay=self._stay_or_refuse())

    @authenticated
    async def post(self) -> None:
        """``do=name`` notes a display name, ``do=transfer`` makes a code for another device."""
        stay = self._stay_or_refuse()
        wish = self.get_body_argument("do", "")
        if wish == "name":
            self.store.rename(stay.seat.user, self.get_body_argument("name", ""))
            self.redirect(url_path_join(self.hub.base_url, PLACE))
        elif wish == "transfer":
            await self._show_transfer(stay)
        else:
            raise HTTPError(400)

    async def _show_transfer(self, stay: Stay) -> None:
        code = self.store.transfer(stay.seat.user)
        base = f"{self.request.protocol}://{self.request.host}"
        minutes = int(TRANSFER_LIFETIME // 60)
        drawn = draw_code(entry_url(base, code))
        await self.show("place.html", stay=stay, code=code, drawn=drawn, address=base, minutes=minutes)

    def _stay_or_refuse(self) -> Stay:
        stay = self.my_stay()
        if stay is None:
            raise HTTPError(403, _NOT_A_SEAT)
        return stay


class KeepHandler(_SeatHandler):
    """``/hub/garder``: in a seat it makes a code, in a real account it takes one and copies the seat's work.

    On the way from the one to the other by the institution the browser carries the code, so that nobody needs to. On a
    cluster the servers of both do the copying, in whose pods the homes are.
    """

    @authenticated
    async def get(self) -> None:
        """The page of the one or the other."""
        carried = self.get_secure_cookie(_CARRIED, max_age_days=SIGN_IN_SECONDS / 86400) or b""
        in_pods = load_settings().kubernetes.enabled
        await self.show("keep.html", stay=self.my_stay(), carried=carried.decode(), in_pods=in_pods)

    @authenticated
    async def post(self) -> None:
        """Make a code, go with it to the institution (``to=institution``), or use it up."""
        stay = self.my_stay()
        if stay is None:
            self.clear_cookie(_CARRIED, path=self.hub.base_url)
            await self.show("keep.html", stay=None, kept=await self._take())
        elif self.get_body_argument("to", "") == "institution":
            self._carry(self.store.keep(stay.seat.user))
        else:
            await self.show("keep.html", stay=stay, code=self.store.keep(stay.seat.user))

    def _carry(self, code: str) -> None:
        if self.authenticator.door is None:
            raise HTTPError(404, _NO_INSTITUTION)
        self.set_secure_cookie(
            _CARRIED,
            code,
            expires_days=None,
            max_age=SIGN_IN_SECONDS,
            path=self.hub.base_url,
            httponly=True,
            samesite="Lax",
            secure=self.request.protocol == "https",
        )
        back = url_path_join(self.hub.base_url, KEEP)
        self.redirect(url_concat(url_path_join(self.hub.base_url, START), {"next": back}))

    async def _take(self) -> Kept:
        try:
            return await self._use_up(parse_code(self.get_body_argument("code", "")))
        except EarthlabError as exc:
            raise HTTPError(409, str(exc)) from exc

    async def _use_up(self, code: str) -> Kept:
        authenticator, settings = self.authenticator, load_settings()
        authenticator.refuse_guessing(self)
        if settings.kubernetes.enabled:
            require_open(self.current_user)
        claim = self.store.take_kept(code)
        if claim.refusal == "unknown":
            authenticator.guesses.count(self.request.remote_ip)
        if claim.refusal:
            raise HTTPError(403, _KEEP_REFUSALS[claim.refusal])
        return await self._keep(settings, claim.user, f"atelier-{claim.slug}")

    async def _keep(self, settings: Settings, seat: str, folder: str) -> Kept:
        own = self.current_user
        if not settings.kubernetes.enabled:
            return await keep_work(resolve_layout(settings), resolve_accounts(settings), seat, own.name, folder)
        giver = self.find_user(seat)
        if giver is None:
            raise NothingFound(NOTHING)
        await open_server(self, giver)
        with entering(self, giver) as given, entering(self, own) as taken:
            return await keep_work_of_pod(given, taken, folder)


def show_moment(seconds: float) -> str:
    """An instant for those whose browser does not put it into its own zone and language."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def draw_code(text: str) -> str:
    """A QR code as an SVG element, black on white with its quiet zone, as large as its frame."""
    drawn: str = segno.make(text, error="m", micro=False).svg_inline(border=4, dark="#000", light="#fff", omitsize=True)
    return drawn
