"""What all pages of the workshops have in common: who asks, what they may, how a page is drawn and a refusal told."""

import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jupyterhub.services.auth import HubOAuth, HubOAuthenticated
from tornado.web import HTTPError, RequestHandler

from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError, NotAllowed, NothingFound
from earthlab.hub.configure import ORGANISERS
from earthlab.hub.passes import Seat, parse_seat, show_code
from earthlab.services.refusals import status_of
from earthlab.services.workshops.clusters import SharedClusters
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.hub import HubClient
from earthlab.services.workshops.rooms import Room
from earthlab.services.workshops.seats import Seats
from earthlab.services.workshops.store import Entry
from earthlab.services.workshops.streams import Streams
from earthlab.services.workshops.text import LANGUAGES, render_bytes
from earthlab.services.workshops.warmth import render_size

_SHEET_LIFE = 1800.0
_SEATS_KEPT = 2.0
_ASKED_AGAIN = 30.0


@dataclass(slots=True)
class SeatBook:
    """The seats of workshops as the passes know them, at most `_SEATS_KEPT` seconds old while they can be asked."""

    passes: Seats
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Mapping[int, Seat]]] = field(default_factory=dict)

    def seats(self, slug: str) -> Mapping[int, Seat]:
        """Seats by number."""
        known = self._known.get(slug)
        if known is None or known[0] <= self.clock():
            known = self._known[slug] = self._ask(slug, known)
        return known[1]

    def _ask(self, slug: str, known: tuple[float, Mapping[int, Seat]] | None) -> tuple[float, Mapping[int, Seat]]:
        try:
            found = {seat.number: seat for seat in self.passes.seats(slug)}
        except CatalogueUnavailable:
            # A class goes on while the hub starts again, which alone opens and closes seats; to ask one that hangs
            # costs seconds.
            if known is None:
                raise
            return self.clock() + _ASKED_AGAIN, known[1]
        return self.clock() + _SEATS_KEPT, found

    def names(self, slug: str) -> dict[int, str]:
        """What participants want to be called."""
        return {number: seat.name for number, seat in self.seats(slug).items() if seat.name}


@dataclass(slots=True)
class Sheets:
    """Printed sheets, kept in memory for half an hour: codes are written nowhere."""

    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, bytes]] = field(default_factory=dict)

    def put(self, slug: str, sheet: bytes) -> None:
        """Keep a sheet; the one before it is gone."""
        self._kept[slug] = (self.clock() + _SHEET_LIFE, sheet)

    def find(self, slug: str) -> bytes | None:
        """A sheet that is still there."""
        now = self.clock()
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > now}
        return self._kept[slug][1] if slug in self._kept else None


@dataclass(slots=True)
class Pace:
    """How often each seat's server may tell: one a second on the whole, and a few at once."""

    most: int = 20
    window: float = 10.0
    clock: Callable[[], float] = time.monotonic
    _times: dict[tuple[str, int], deque[float]] = field(default_factory=dict)

    def allows(self, seat: tuple[str, int]) -> bool:
        """Whether this seat may tell now; if so, it is counted."""
        now, times = self.clock(), self._times.setdefault(seat, deque())
        while times and times[0] < now - self.window:
            times.popleft()
        if len(times) >= self.most:
            return False
        times.append(now)
        return True


@dataclass(slots=True)
class Service:
    """All that the pages work with.

    ``public`` is the address people open, without a slash at its end; ``organisers`` are those named in the settings.
    """

    desk: Desk
    hub: HubClient
    hub_auth: HubOAuth
    prefix: str
    public: str
    organisers: frozenset[str]
    streams: Streams
    book: SeatBook
    clusters: SharedClusters
    sheets: Sheets = field(default_factory=Sheets)
    pace: Pace = field(default_factory=Pace)

    def lets_organise(self, person: "Person") -> bool:
        """Whether somebody may make workshops."""
        return person.seat is None and (ORGANISERS in person.groups or person.name in self.organisers)

    def lets_run(self, person: "Person", entry: Entry) -> bool:
        """Whether somebody may change a workshop."""
        return self.lets_organise(person) and person.name in entry.workshop.organisers

    def lets_watch(self, person: "Person", entry: Entry) -> bool:
        """Whether somebody may see a workshop's room."""
        return self.lets_run(person, entry) or (person.seat is None and person.name in entry.workshop.trainers)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in at the hub."""

    name: str
    groups: frozenset[str]

    @property
    def seat(self) -> tuple[str, int] | None:
        """Workshop and number, where this is the seat of one."""
        return parse_seat(self.name)


def read_person(model: Mapping[str, Any]) -> Person:
    """Somebody as the hub describes them."""
    return Person(str(model["name"]), frozenset(model.get("groups") or ()))


def load_pages() -> Environment:
    """The templates: everything that is not markup of ours is escaped."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"bytes": render_bytes, "size": render_size, "code": show_code}
    return pages


class Refusing(RequestHandler):
    """What tells its refusals in words, as JSON, and logs faults alone."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Tell a refusal in words; nothing of a fault of ours but that it was one."""
        raised = (kwargs.get("exc_info") or (None, None))[1]
        if isinstance(raised, EarthlabError):
            status_code = status_of(raised)
            self.set_status(status_code)
        self.tell_refusal(status_code, self.words_of(raised))

    def words_of(self, raised: BaseException | None) -> str:
        """What may be said of what was raised; empty where that is the status alone."""
        return str(raised) if isinstance(raised, EarthlabError) else ""

    def tell_refusal(self, status: int, words: str) -> None:
        """Answer with these words, or with what the status means."""
        self.finish({"code": status, "message": words or self._reason})

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Refusals are no faults: only the latter are logged."""
        if not isinstance(value, EarthlabError):
            super().log_exception(typ, value, tb)


class Page(HubOAuthenticated, Refusing):  # type: ignore[misc]  # JupyterHub has no types
    """A page for somebody who is signed in at the hub."""

    redirects = True
    """Whether who is not signed in is led to where one does."""

    def initialize(self, service: Service) -> None:
        """Note what the page works with."""
        self.service = service
        self.hub_auth = service.hub_auth
        self.nonce = secrets.token_urlsafe(16)

    def set_default_headers(self) -> None:
        """Nothing is loaded from elsewhere, framed by others or kept by anybody."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")

    async def prepare(self) -> None:
        """Ask the hub who this is, without holding up others meanwhile."""
        model = await self.hub_auth.get_user(self, sync=False)
        if model and not self.hub_auth.check_scopes(self.hub_auth.access_scopes, model):
            raise HTTPError(403, "this token may not use this service")
        self.current_user = model
        if self.current_user is None:
            if not self.redirects or self.request.method not in {"GET", "HEAD"}:
                raise HTTPError(403, "sign in")
            self.redirect(self.get_login_url())

    def get_current_user(self) -> None:
        """Nobody, before `prepare` has asked: JupyterHub's own way would hold up others."""

    @property
    def person(self) -> Person:
        """Who asks."""
        return read_person(self.current_user)

    @property
    def organises(self) -> bool:
        """Whether they may make workshops."""
        return self.service.lets_organise(self.person)

    def may_run(self, entry: Entry) -> bool:
        """Whether they may change a workshop."""
        return self.service.lets_run(self.person, entry)

    def may_watch(self, entry: Entry) -> bool:
        """Whether they may see its room."""
        return self.service.lets_watch(self.person, entry)

    def find_run(self, slug: str) -> Entry:
        """A workshop that the person may change."""
        entry = self._find(slug)
        if not self.may_run(entry):
            raise NotAllowed(
                "Seuls les organisateurs de cet atelier le peuvent : demandez à l’un d’eux de vous nommer. "
                "Only this workshop's organisers may do this: ask one of them to name you."
            )
        return entry

    def find_watched(self, slug: str) -> Room:
        """The room of a workshop that the person may see."""
        entry = self._find(slug)
        if not self.may_watch(entry):
            raise NotAllowed(
                "Seuls les animateurs de cet atelier voient sa salle : demandez à son organisateur de vous nommer. "
                "Only this workshop's trainers see its room: ask its organiser to name you."
            )
        return self.service.desk.rooms.find(slug)

    def _find(self, slug: str) -> Entry:
        try:
            return self.service.desk.store.find(slug)
        except NothingFound:
            # The same words for what there is not and for what is not theirs: names of workshops are not told.
            raise NotAllowed(
                "Cet atelier n’existe pas, ou n’est pas le vôtre. There is no such workshop, or it is not yours."
            ) from None

    def show(self, page: str, **words: Any) -> None:
        """Draw a page."""
        self.set_header(
            "Content-Security-Policy",
            f"default-src 'none'; script-src 'nonce-{self.nonce}'; style-src 'nonce-{self.nonce}'; connect-src 'self'; "
            "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        )
        common = {
            "nonce": self.nonce, "prefix": self.service.prefix, "public": self.service.public,
            "xsrf": self.xsrf_token.decode("ascii"), "person": self.person if self.current_user else None,
            "organises": bool(self.current_user) and self.organises, "now": self.service.desk.store.clock(),
            "language": LANGUAGES[0],
        }  # fmt: skip
        pages: Environment = self.settings["pages"]
        self.finish(pages.get_template(page).render(**common | words))

    def go(self, path: str) -> None:
        """Lead to a page of ours after something was done."""
        self.redirect(f"{self.service.prefix}{path}", status=303)

    def field(self, name: str, default: str = "") -> str:
        """One field of a form."""
        return str(self.get_body_argument(name, default))

    def whole(self, name: str) -> int:
        """A whole number from a form.

        Raises
        ------
        BadRequest
            For anything else.
        """
        text = self.field(name)
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise BadRequest(f"{name}: un nombre entier. · found {text!r}, expected a whole number.")
        return int(text)

    def tell_refusal(self, status: int, words: str) -> None:
        """Draw a page for who reads pages."""
        if self.redirects:
            self.show("error.html", status=status, words=words)
        else:
            super().tell_refusal(status, words)


class Api(Refusing):
    """An address for programs: a token in the header, no cookies."""

    def initialize(self, service: Service) -> None:
        """Note what the address works with."""
        self.service = service

    def set_default_headers(self) -> None:
        """Answers are nobody else's."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")

    def check_xsrf_cookie(self) -> None:
        """Cookies are not looked at, so that no page can make a browser ask here in somebody's name."""

    async def prepare(self) -> None:
        """Find whose token it is: a seat's, or nothing is answered."""
        place = (await self.find_person()).seat
        if place is None:
            raise HTTPError(403, "only servers of a workshop's participants tell their progress")
        self.slug, self.number = place
        seat = self.service.book.seats(self.slug).get(self.number)
        if seat is None or seat.revoked:
            raise HTTPError(403, "this seat is no longer part of a workshop")
        self.room = self.service.desk.rooms.find(self.slug)

    async def find_person(self) -> Person:
        """Whose token it is, or nothing is answered."""
        auth = self.service.hub_auth
        token = auth.get_token(self, in_cookie=False)
        if not token:
            raise HTTPError(401, "send the header Authorization: token …")
        model = await auth.user_for_token(token, sync=False)
        if model is None or model.get("kind") != "user" or not auth.check_scopes(auth.access_scopes, model):
            raise HTTPError(403, "this token is unknown or may not use this service")
        return read_person(model)

    def words_of(self, raised: BaseException | None) -> str:
        """Who writes programs is told what Tornado, too, has against a request."""
        return raised.log_message or "" if isinstance(raised, HTTPError) else super().words_of(raised)
