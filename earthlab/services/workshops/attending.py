"""The participant's page, and the address to which their server tells how far they are."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from jupyterhub.utils import url_path_join
from tornado.web import HTTPError

from earthlab.errors import BadRequest, NotAllowed
from earthlab.hub.accounts import resolve_account
from earthlab.hub.layout import resolve_accounts
from earthlab.services.workshops.material import read_material
from earthlab.services.workshops.rooms import Room
from earthlab.services.workshops.web import Api, Page
from earthlab.services.workshops.zips import ZIP, send_zip, start_zip

HELP_MINUTES = 30
"""For how long a trainer may enter a seat that said yes."""

_AT_A_TIME = asyncio.Semaphore(8)


class Own(Page):
    """A page of a participant, who has a seat that is still theirs."""

    def find_own(self) -> tuple[Room, int]:
        """The room and number of the person's own seat."""
        place = self.person.seat
        if place is None:
            raise NotAllowed(
                "Cette page est pour les participants d’un atelier : entrez avec un passe. "
                "This page is for participants of a workshop: come in with a pass."
            )
        slug, number = place
        seat = self.service.book.seats(slug).get(number)
        if seat is None or seat.revoked:
            raise NotAllowed(
                "Cette place ne fait plus partie d’un atelier : demandez un nouveau passe à l’animateur. "
                "This seat is no longer part of a workshop: ask the trainer for a new pass."
            )
        return self.service.desk.rooms.find(slug), number

    def token(self) -> str:
        """The participant's own, with which alone others are let into their server."""
        token = self.hub_auth.get_token(self)
        if not token:
            raise HTTPError(403, "sign in again")
        return str(token)


class PlacePage(Own):
    """``GET /place``: how far one is, the hand, messages and cells of the trainer, the way home."""

    async def get(self) -> None:
        """The page."""
        if self.person.seat is None:
            self.go("")
            return
        room, number = self.find_own()
        name = self.service.book.names(room.entry.slug).get(number, "")
        helps = self.service.desk.store.helps(room.entry.slug, number)
        self.show(
            "place.html", entry=room.entry, room=room, number=number, name=name, glance=room.glance(number),
            helps=helps, user=self.person.name, minutes=HELP_MINUTES, pairs=room.pairs_of(number),
            language=room.entry.workshop.languages[0],
        )  # fmt: skip


class StatePage(Own):
    """``GET /place/state``: the same as JSON, for the page to stay up to date."""

    redirects = False

    async def get(self) -> None:
        """What there is for the seat."""
        room, number = self.find_own()
        glance = room.glance(number)
        helps = self.service.desk.store.helps(room.entry.slug, number)
        self.finish(
            {
                "standing": asdict(glance.standing),
                "answer": dict(glance.answer),
                "closes": room.entry.closes,
                "stage": room.entry.stage,
                "inside": [{"trainer": it.trainer, "until": it.until} for it in helps if it.answer == "yes"],
                "pairs": [asdict(pair) for pair in room.pairs_of(number)],
            }
        )


class SayPage(Own):
    """``POST /place/<what>``: the participant's hand, and their yes or no to who wants to help."""

    async def post(self, what: str) -> None:
        """Do it, and show the page."""
        room, number = self.find_own()
        store = self.service.desk.store
        if what == "hand":
            room.raise_hand(number, up=self.field("up") == "yes")
        elif what == "answer":
            await self._answer(room, number, yes=self.field("answer") == "yes")
        else:
            await self.service.hub.unshare_all(self.token(), self.person.name)
            for found in store.helps(room.entry.slug, number):
                store.end_help(found.number)
            for pair in room.pairs_of(number):
                if pair.owner == number:
                    store.end_pair(pair.number)
            room.touch()
        self.go("place")

    async def _answer(self, room: Room, number: int, *, yes: bool) -> None:
        store = self.service.desk.store
        found = store.help(self.whole("number"))
        if (found.slug, found.seat) != (room.entry.slug, number) or found.answer is not None:
            raise BadRequest(
                "Cette demande n’est plus là : rechargez la page. This request is no longer there: load the page again."
            )
        if yes:
            seconds = HELP_MINUTES * 60
            code = await self.service.hub.share(self.token(), self.person.name, seconds)
            store.answer_help(found.number, "yes", store.clock() + seconds, code)
        else:
            store.answer_help(found.number, "no")
        room.touch()


class ZipPage(Own):
    """``GET /place/zip``: what the participant takes home, read by a process of their own account."""

    async def get(self) -> None:
        """The zip, as it is made; on a cluster, by the participant's own server, where their home is."""
        room, number = self.find_own()
        settings, workshop = self.service.desk.settings, room.entry.workshop
        if settings.kubernetes.enabled:
            self.redirect(url_path_join(self.hub_auth.hub_prefix, "..", "user", quote(self.person.name), ZIP))
            return
        async with _AT_A_TIME:
            account = await asyncio.to_thread(
                resolve_account, self.person.name, self.service.desk.layout, resolve_accounts(settings)
            )
            who: dict[str, Any] = {}
            if os.getuid() == 0:
                groups = os.getgrouplist(account.name, account.gid)
                who = {"user": account.uid, "group": account.gid, "extra_groups": groups}
            words = (workshop.slug, " · ".join(workshop.title.values()), workshop.contact)
            process = await start_zip(account.home, words, **who)
            await send_zip(self, process, f"{workshop.slug}-{number:03d}.zip")


class EventsApi(Api):
    """``POST /api/events``: what a participant's server tells; answers what there is for its seat."""

    async def post(self) -> None:
        """Take it in."""
        if not self.service.pace.allows((self.slug, self.number)):
            raise HTTPError(429, "tell once a second at most")
        self.finish(self.room.take_post(self.number, self.request.body))


class SyllabusApi(Api):
    """``GET /api/syllabus``: of which cells a participant's server may tell."""

    async def get(self) -> None:
        """The cells' ids by notebook, and the folder below the home in which the notebooks are."""
        entry = self.room.entry
        cells = {place: sorted(known) for place, known in entry.syllabus.items()}
        self.finish({"folder": entry.slug, "cells": cells, "revision": 1})


class HandoutApi(Api):
    """``GET /api/handout``: what the workshop hands out, for servers that cannot read it where it is laid out."""

    async def get(self) -> None:
        """The manifest, and each notebook's text by its path."""
        if not self.service.pace.allows((self.slug, self.number)):
            raise HTTPError(429, "ask once as the server starts")
        self.finish(await asyncio.to_thread(read_material, self.service.desk.material(self.slug)))


class PlaceApi(Api):
    """``GET /api/place``: what a participant's page shows, for the panel in their JupyterLab."""

    async def get(self) -> None:
        """Agenda, progress, the hand, and what the trainer has said."""
        entry, glance = self.room.entry, self.room.glance(self.number)
        standing, answer = glance.standing, glance.answer
        self.finish(
            {
                "slug": entry.slug,
                "number": self.number,
                "title": dict(entry.workshop.title),
                "contact": entry.workshop.contact,
                "stage": entry.stage,
                "closes": entry.closes,
                "now": self.room.now(),
                "lessons": [{"path": it.path, "part": it.part, "cells": len(it.cells)} for it in entry.lessons],
                "unlocked": answer["unlocked"],
                "cells": standing.cells,
                "error": standing.error,
                "hand": standing.hand,
                "messages": answer["messages"],
                "pushed": answer["cells"],
                "help": answer["help"],
            }
        )


class HandApi(Api):
    """``POST /api/place/hand``: the participant's hand, raised or lowered in their JupyterLab."""

    async def post(self) -> None:
        """Note it.

        Raises
        ------
        BadRequest
            For anything but ``{"up": true}`` or ``{"up": false}``.
        """
        if not self.service.pace.allows((self.slug, self.number)):
            raise HTTPError(429, "raise and lower the hand once a second at most")
        try:
            said = json.loads(self.request.body)
        except (ValueError, RecursionError):
            said = None
        if said not in ({"up": True}, {"up": False}) or not isinstance(said["up"], bool):
            raise BadRequest('hand: expected {"up": true} or {"up": false}.')
        self.room.raise_hand(self.number, up=said["up"])
        self.finish({"hand": self.room.glance(self.number).standing.hand})
