"""The trainer's pages: the wall of the room, what is pushed to it, and help by the participant's leave."""

from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from earthlab.errors import BadRequest, NotAllowed
from earthlab.hub.passes import seat_user
from earthlab.services.workshops.rooms import Room
from earthlab.services.workshops.web import Api, Page


class WallPage(Page):
    """``GET /w/<slug>/wall``: the room."""

    async def get(self, slug: str) -> None:
        """The page; its figures come by the stream."""
        room = self.find_watched(slug)
        self.show("wall.html", entry=room.entry, room=room, runs=self.may_run(room.entry))


class StreamPage(Page):
    """``GET /w/<slug>/stream``: the room as server-sent events, a whole picture first."""

    redirects = False

    async def get(self, slug: str) -> None:
        """Send for as long as the wall listens."""
        room = self.find_watched(slug)
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        try:
            async with aclosing(self.service.streams.follow(room)) as events:
                async for event in events:
                    self.write(event)
                    await self.flush()
                    if self.service.desk.store.find(slug).stage == "forgotten":
                        return
        except StreamClosedError:
            return


class DoPage(Page):
    """``POST /w/<slug>/do/<what>``: what a trainer does; answers with nothing."""

    redirects = False

    async def post(self, slug: str, what: str) -> None:
        """Do it."""
        room = self.find_watched(slug)
        service = self.service
        if room.entry.stage != "open":
            raise BadRequest("L’atelier est terminé. The workshop is over.")
        match what:
            case "message" | "cell":
                seat = self.field("seat")
                room.tell(what, self.field("text"), self._seat(slug) if seat else None)
            case "unlock":
                room.unlock_next()
            case "reset":
                room.reset(self._seat(slug), self.field("notebook"), self.field("cell"))
            case "extend":
                entry = service.desk.extend(slug, room.entry.closes + 60 * self.whole("minutes"))
                service.desk.rooms.find(entry.slug)
            case "help":
                service.desk.store.ask_help(slug, self._seat(slug), self.person.name)
                room.touch()
            case "lower":
                room.raise_hand(self._seat(slug), up=False)
        self.set_status(204)

    def _seat(self, slug: str) -> int:
        number = self.whole("seat")
        if number not in self.service.desk.rooms.find(slug).seats:
            raise BadRequest(f"Il n’y a pas de place {number}. There is no seat {number}.")
        return number


class EnterPage(Page):
    """``GET /w/<slug>/enter/<number>``: into a seat, after its participant has said yes and until the time is over."""

    async def get(self, slug: str, number: str) -> None:
        """Lead to where the hub lets the trainer in."""
        self.find_watched(slug)
        found = self.service.desk.store.help(int(number))
        if found.slug != slug or found.trainer != self.person.name:
            raise NotAllowed(
                "Cette personne a laissé entrer quelqu’un d’autre : demandez-lui vous-même. "
                "This participant let somebody else in: ask them yourself."
            )
        if found.answer != "yes" or not found.code or found.ended is not None:
            raise HTTPError(403, "the participant has not said yes")
        owner = seat_user(slug, found.seat)
        self.redirect(f"/hub/accept-share?code={quote(found.code)}&next={quote(f'/user/{owner}/lab', safe='')}")


class RoomsApi(Api):
    """``GET /api/rooms``: the open rooms that somebody may watch, for the panel in their JupyterLab; mostly none."""

    async def prepare(self) -> None:
        """Find whose token it is."""
        self.person = await self.find_person()

    async def get(self) -> None:
        """How each room stands, in counts."""
        service = self.service
        entries = [it for it in service.desk.store.entries() if it.stage == "open"]
        watched = [it.slug for it in entries if service.lets_watch(self.person, it)]
        self.finish({"rooms": [_describe(service.desk.rooms.find(slug)) for slug in watched]})


def _describe(room: Room) -> dict[str, Any]:
    here = [it for it in room.stand() if it.presence != "free"]
    return {
        "slug": room.entry.slug,
        "title": dict(room.entry.workshop.title),
        "closes": room.entry.closes,
        "here": len(here),
        "hands": sum(it.hand is not None for it in here),
        "stuck": sum(it.stuck for it in here),
        "finished": sum(it.presence == "finished" for it in here),
    }
