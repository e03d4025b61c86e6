"""What the hub does for workshops that are not on its machine: their seats, and the codes that lead to them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tornado.web import HTTPError

from earthlab.errors import BadRequest
from earthlab.hub.keys import KeyStore
from earthlab.hub.layout import Layout
from earthlab.hub.passes import PassStore, Share
from earthlab.hub.registry import Registry

PLACE = "ateliers/registre"

SEATS_SCOPE = "custom:earthlab:seats"
"""What the workshops' token needs: to open and close seats, and to make codes for them."""


class SeatRegistryHandler(Registry):
    """``GET`` the seats of a workshop, ``POST`` what is to be done with them: a method of `PassStore` and its words."""

    scope = SEATS_SCOPE

    def initialize(self, layout: Layout) -> None:
        """Take where the books are."""
        self._passes = PassStore(layout.passes)
        self._keys = KeyStore(layout.keys)

    async def get(self) -> None:
        """The seats; none of a workshop that there is not."""
        self.finish({"found": [asdict(seat) for seat in self._passes.seats(self.get_query_argument("slug"))]})

    async def post(self) -> None:
        """Do it, and tell the codes that were made: nobody can ask for them again."""
        said = self.get_json_body()
        try:
            self.finish({"found": self._do(said if isinstance(said, dict) else {})})
        except BadRequest as exc:
            raise HTTPError(400, str(exc)) from exc

    def _do(self, said: Mapping[str, Any]) -> Any:
        passes = self._passes
        found: Any = None
        match said:
            case {"do": "open_seats", "slug": str(slug), "seats": int(seats), "opens": float(opens),
                  "closes": float(closes), "title": str(title), "kept": float(kept)}:  # fmt: skip
                found = [asdict(each) for each in passes.open_seats(slug, seats, opens, closes, title=title, kept=kept)]
            case {"do": "note_share", "slug": str(slug), "share": {"memory": int(memory), "cores": float(cores)}}:
                passes.note_share(slug, Share(memory, cores))
            case {"do": "reissue", "slug": str(slug), "seat": int(seat)}:
                found = asdict(passes.reissue(slug, seat))
            case {"do": "revoke", "slug": str(slug), "seat": int(seat)}:
                passes.revoke(slug, seat)
            case {"do": "extend", "slug": str(slug), "closes": float(closes), "kept": float(kept)}:
                passes.extend(slug, closes, kept=kept)
            case {"do": "join_secret", "slug": str(slug)}:
                found = passes.join_secret(slug)
            case {"do": "close", "slug": str(slug)}:
                self._close(slug)
            case _:
                raise BadRequest(f"registry of seats: found {sorted(said)}, expected one of its acts with its words.")
        return found

    def _close(self, slug: str) -> None:
        for seat in self._passes.seats(slug):
            self._keys.forget(seat.user)
        self._passes.close(slug)


def seat_registry_handler(layout: Layout) -> tuple[str, type[SeatRegistryHandler], dict[str, Any]]:
    """The route of the registry."""
    return rf"/{PLACE}", SeatRegistryHandler, {"layout": layout}
