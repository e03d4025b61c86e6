"""The workshops' addresses, and what the service does by itself, in time: end accesses, forget, keep clusters."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from tornado.web import Application, RequestHandler

from earthlab.errors import EarthlabError
from earthlab.hub.passes import seat_user
from earthlab.services.workshops import attending, organising, pairing, watching
from earthlab.services.workshops.clusters import open_clusters
from earthlab.services.workshops.desk import Desk, seat_users
from earthlab.services.workshops.hub import HubClient
from earthlab.services.workshops.runs import do_asked
from earthlab.services.workshops.streams import Streams
from earthlab.services.workshops.web import Page, SeatBook, Service, load_pages

_LOG = logging.getLogger("earthlab.workshops")

_SLUG = r"([a-z0-9-]{1,20})"

LARGEST_BODY = 1 << 20


def make_service(desk: Desk, hub: HubClient, hub_auth: HubOAuth, *, prefix: str, public: str) -> Service:
    """All that the pages work with.

    Parameters
    ----------
    prefix : str
        The path under which the proxy hands requests on, with a slash at its end.
    public : str
        The address people open, without a slash at its end.
    """
    named = desk.settings.workshops.organisers or desk.settings.lab.first_user
    organisers = frozenset(name.strip().lower() for name in named.split(",") if name.strip())
    book = SeatBook(desk.passes)
    clusters = open_clusters(desk, hub.token)
    return Service(desk, hub, hub_auth, prefix, public, organisers, Streams(book.names), book, clusters)


def make_app(service: Service, *, cookie_secret: bytes) -> Application:
    """The service as a tornado application."""
    given = {"service": service}
    routes: list[tuple[str, type[RequestHandler], dict[str, Any]]] = [
        (r"", organising.ListPage, given),
        (r"new", organising.FormPage, given),
        (rf"w/{_SLUG}", organising.WorkshopPage, given),
        (rf"w/{_SLUG}/edit", organising.FormPage, given),
        (rf"w/{_SLUG}/sheet\.pdf", organising.SheetPage, given),
        (rf"w/{_SLUG}/toml", organising.TomlPage, given),
        (
            rf"w/{_SLUG}/(open|passes|link|reissue|revoke|extend|close|forget)",
            organising.ActPage,
            given,
        ),
        (rf"w/{_SLUG}/renew", organising.RenewPage, given),
        (rf"w/{_SLUG}/try/(warm|rehearse|stop)", organising.TryPage, given),
        (rf"w/{_SLUG}/runs", organising.RunsPage, given),
        (rf"w/{_SLUG}/rehearsal/([0-9]{{1,9}})", organising.ReportPage, given),
        (rf"w/{_SLUG}/wall", watching.WallPage, given),
        (rf"w/{_SLUG}/stream", watching.StreamPage, given),
        (rf"w/{_SLUG}/do/(message|cell|unlock|reset|extend|help|lower)", watching.DoPage, given),
        (rf"w/{_SLUG}/enter/([0-9]{{1,9}})", watching.EnterPage, given),
        (r"place", attending.PlacePage, given),
        (r"place/state", attending.StatePage, given),
        (r"place/zip", attending.ZipPage, given),
        (r"place/(hand|answer|end)", attending.SayPage, given),
        (r"place/pair/(ask|accept|end)", pairing.PairPage, given),
        (r"api/events", attending.EventsApi, given),
        (r"api/syllabus", attending.SyllabusApi, given),
        (r"api/handout", attending.HandoutApi, given),
        (r"api/place", attending.PlaceApi, given),
        (r"api/place/hand", attending.HandApi, given),
        (r"api/rooms", watching.RoomsApi, given),
        (r"oauth_callback", Callback, given),
    ]
    at = service.prefix
    return Application(
        [(at + path, handler, words) for path, handler, words in routes],
        default_handler_class=Nowhere,
        default_handler_args=given,
        cookie_secret=cookie_secret,
        xsrf_cookies=True,
        pages=load_pages(),
        log_function=lambda _handler: None,
    )


class Callback(HubOAuthCallbackHandler):  # type: ignore[misc]  # JupyterHub has no types
    """Where the hub leads people back to after they were signed in."""

    def initialize(self, service: Service) -> None:
        """Use the service's own way to the hub."""
        self.hub_auth = service.hub_auth


class Nowhere(Page):
    """Any other address: nothing is there, and only people who are signed in are told so."""

    async def get(self) -> None:
        """Refuse."""
        self.send_error(404)

    post = put = delete = patch = get


async def look_after(service: Service, *, period: float = 1.0) -> None:
    """End accesses in time, forget workshops on their day, do what is to be tried, keep shared clusters; for ever."""

    async def keep_on(step: Callable[[Service], Awaitable[None]]) -> None:
        while True:
            await step(service)
            await asyncio.sleep(period)

    # Apart: to forget a full room takes minutes, and an access ends in time.
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(keep_on(end_accesses))
        tasks.create_task(keep_on(forget_due))
        tasks.create_task(keep_on(do_runs))
        if not service.desk.settings.kubernetes.enabled:
            # A cluster's own gateway keeps none for others.
            tasks.create_task(keep_on(keep_clusters))


async def end_accesses(service: Service) -> None:
    """End every access whose time is over; one that the hub would not end is tried again."""
    store = service.desk.store
    for found in store.overdue():
        try:
            await service.hub.end_share(found.trainer, seat_user(found.slug, found.seat))
        except EarthlabError:
            _LOG.exception(
                "The access of %s to seat %d of %s could not be ended", found.trainer, found.seat, found.slug
            )
            continue
        store.end_help(found.number)
        service.desk.rooms.find(found.slug).touch()
    try:
        await pairing.end_lapsed(service)
    except EarthlabError:
        _LOG.exception("The access of a pair could not be ended; it is tried again")


async def do_runs(service: Service) -> None:
    """Do the warm-up or rehearsal that an organiser has asked for."""
    try:
        await do_asked(service.desk, service.hub)
    except EarthlabError:
        _LOG.exception("What was tried was not carried to its end")


async def keep_clusters(service: Service) -> None:
    """Have the gateway keep the clusters that workshops share in their hours, and nobody else come in."""
    await service.clusters.keep()


async def forget_due(service: Service) -> None:
    """Delete the users, homes, seats, codes and log of every workshop whose day has come; its counts remain."""
    for entry in service.desk.store.due():
        try:
            if entry.stage != "draft":
                for user in seat_users(entry):
                    await service.hub.remove_user(user)
            await asyncio.to_thread(_forget, service.desk, entry.slug)
        except (EarthlabError, OSError):
            _LOG.exception("%s could not be deleted; it is tried again", entry.slug)
        else:
            service.desk.rooms.drop(entry.slug)


def _forget(desk: Desk, slug: str) -> None:
    apart = desk.apart()
    try:
        apart.forget(apart.store.find(slug))
    finally:
        apart.store.close()
