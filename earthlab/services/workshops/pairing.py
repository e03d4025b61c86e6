"""Two participants in one notebook: one invites, the other accepts, and the hub lets the guest in until it ends."""

from collections.abc import Mapping

from earthlab.errors import BadRequest, CatalogueUnavailable, NotAllowed
from earthlab.hub.passes import Seat, seat_user
from earthlab.services.workshops.attending import Own
from earthlab.services.workshops.rooms import Room
from earthlab.services.workshops.store import Entry, Pair
from earthlab.services.workshops.web import Service

LONGEST = 2 * 3600.0
"""Seconds after which a guest's access ends; the two can begin anew."""

ANSWER_WITHIN = 600.0
"""Seconds for which an invitation waits: the guest is let in from it on."""


class PairPage(Own):
    """``POST /place/pair/<what>``: invite a neighbour by the number of the seat, accept, end it."""

    async def post(self, what: str) -> None:
        """Do it, and show the page; who accepts is led into the notebook."""
        room, number = self.find_own()
        match what:
            case "ask":
                await self._ask(room, number)
            case "accept":
                found = self._find_pair(room, number)
                if found.guest != number:
                    raise NotAllowed("Vous avez invité vous-même. You invited yourself.")
                self.service.desk.store.accept(found.number)
                room.touch()
                self.redirect(found.place, status=303)
                return
            case "end":
                await end_pair(self.service, self._find_pair(room, number))
        self.go("place")

    async def _ask(self, room: Room, number: int) -> None:
        service, slug, store = self.service, room.entry.slug, self.service.desk.store
        guest, notebook = self.whole("seat"), self.field("notebook")
        require_pair(room, number, guest, notebook, service.book.seats(slug))
        found = store.invite(slug, number, guest, notebook, min(store.clock() + LONGEST, room.entry.closes))
        try:
            await service.hub.share_with(self.token(), self.person.name, seat_user(slug, guest))
        except (BadRequest, CatalogueUnavailable):
            store.end_pair(found.number)
            raise

    def _find_pair(self, room: Room, number: int) -> Pair:
        found = self.service.desk.store.pair(self.whole("number"))
        if found.slug != room.entry.slug or number not in {found.owner, found.guest}:
            raise NotAllowed("Ce n’est pas votre paire. This pair is not yours.")
        if has_lapsed(found, room.entry, self.service.book.seats(found.slug), room.now()):
            raise BadRequest("Cette invitation a pris fin. This invitation has ended.")
        return found


def require_pair(room: Room, owner: int, guest: int, notebook: str, seats: Mapping[int, Seat]) -> None:
    """Refuse an invitation that cannot be.

    Raises
    ------
    BadRequest
        Where the workshop knows no pairs, is over, nobody is at the other seat, or the notebook is not theirs yet.
    """
    if not room.entry.workshop.pairs:
        raise BadRequest("Cet atelier ne prévoit pas de paires. This workshop has no pairs.")
    if room.entry.stage != "open" or room.now() >= room.entry.closes:
        raise BadRequest("L’atelier est terminé. The workshop is over.")
    neighbour = seats.get(guest)
    if guest == owner or neighbour is None or neighbour.revoked or not neighbour.claimed:
        raise BadRequest(
            f"Personne d’autre n’est à la place {guest} : demandez son numéro à votre voisin. "
            f"Nobody else is at seat {guest}: ask your neighbour for the number."
        )
    if notebook not in {lesson.path for lesson in room.entry.lessons if lesson.part <= room.unlocked}:
        raise BadRequest("Ce carnet n’est pas ouvert. This notebook is not unlocked.")


def has_lapsed(pair: Pair, entry: Entry, seats: Mapping[int, Seat], now: float) -> bool:
    """Whether a pair is over by itself: its time, its workshop, or one of those who agreed is not in the seat now."""
    if pair.ended is not None or entry.stage != "open" or now >= min(pair.until, entry.closes):
        return True
    if pair.accepted is None and now >= pair.asked + ANSWER_WITHIN:
        return True
    holders = [seats.get(number) for number in (pair.owner, pair.guest)]
    # A seat that was given to somebody else has been claimed since.
    return any(it is None or it.revoked or not it.claimed or it.claimed > pair.asked for it in holders)


async def end_pair(service: Service, pair: Pair) -> None:
    """Take back a guest's access, then note that the pair is over.

    Raises
    ------
    CatalogueUnavailable
        Where the hub does not end the access; the pair goes on, to be ended anew.
    """
    await service.hub.end_share(seat_user(pair.slug, pair.guest), seat_user(pair.slug, pair.owner))
    service.desk.store.end_pair(pair.number)
    service.desk.rooms.find(pair.slug).touch()


async def end_lapsed(service: Service) -> None:
    """End every pair that is over by itself.

    Raises
    ------
    CatalogueUnavailable
        Where the hub does not end an access.
    """
    store = service.desk.store
    for pair in store.pairs():
        if has_lapsed(pair, store.find(pair.slug), service.book.seats(pair.slug), store.clock()):
            await end_pair(service, pair)
