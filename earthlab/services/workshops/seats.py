"""The seats of workshops, as the desk works with them: in the hub's own book, or in its hands far away."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from earthlab.errors import CatalogueUnavailable
from earthlab.hub.passes import Pass, Seat, Share
from earthlab.hub.seat_registry import PLACE
from earthlab.services.registries import Registry


class Seats(Protocol):
    """What the desk does with seats; each step is that of `earthlab.hub.passes.PassStore`, and raises the same.

    Where the hub is far away it may also be that it cannot be asked (`CatalogueUnavailable`).
    """

    def open_seats(self, slug: str, seats: int, opens: float, closes: float, *, title: str, kept: float) -> list[Pass]:
        """The passes of a new workshop."""

    def note_share(self, slug: str, share: Share) -> None:
        """Remember what each seat of a workshop gets, opened or not."""

    def seats(self, slug: str) -> list[Seat]:
        """The seats of a workshop by number."""

    def reissue(self, slug: str, seat: int) -> Pass:
        """A new pass for a seat."""

    def revoke(self, slug: str, seat: int) -> None:
        """Nothing leads to this seat any longer."""

    def extend(self, slug: str, closes: float, *, kept: float) -> None:
        """Move a workshop's end."""

    def join_secret(self, slug: str) -> str:
        """A new join link's code."""

    def close(self, slug: str) -> None:
        """Forget a workshop's seats and codes."""


@dataclass(frozen=True, slots=True)
class HubSeats:
    """The seats in the hub's book, where the hub is not on this machine."""

    registry: Registry

    def open_seats(self, slug: str, seats: int, opens: float, closes: float, *, title: str, kept: float) -> list[Pass]:
        """The passes of a new workshop."""
        words = {"seats": seats, "opens": opens, "closes": closes, "title": title, "kept": kept}
        return [Pass(**each) for each in self._do("open_seats", slug, **words)]

    def note_share(self, slug: str, share: Share) -> None:
        """Remember what each seat gets."""
        self._do("note_share", slug, share=asdict(share))

    def seats(self, slug: str) -> list[Seat]:
        """The seats of a workshop by number."""
        return [Seat(**each) for each in self._ask("GET", {"slug": slug})]

    def reissue(self, slug: str, seat: int) -> Pass:
        """A new pass for a seat."""
        return Pass(**self._do("reissue", slug, seat=seat))

    def revoke(self, slug: str, seat: int) -> None:
        """Nothing leads to this seat any longer."""
        self._do("revoke", slug, seat=seat)

    def extend(self, slug: str, closes: float, *, kept: float) -> None:
        """Move a workshop's end."""
        self._do("extend", slug, closes=closes, kept=kept)

    def join_secret(self, slug: str) -> str:
        """A new join link's code."""
        return str(self._do("join_secret", slug))

    def close(self, slug: str) -> None:
        """Forget a workshop's seats and codes."""
        self._do("close", slug)

    def _do(self, act: str, slug: str, **words: Any) -> Any:
        return self._ask("POST", {}, {"do": act, "slug": slug, **words})

    def _ask(self, method: str, words: Mapping[str, str], body: Mapping[str, Any] | None = None) -> Any:
        said = self.registry.ask(method, words, body)
        if said is None:
            raise CatalogueUnavailable(
                "This hub keeps no seats for others. Its settings are not those of the workshops: workshops.enabled."
            )
        return said["found"]


def hub_seats(api: str, token: str) -> HubSeats:
    """The seats in the book of the hub whose API is there."""
    return HubSeats(Registry(api, token, PLACE))
