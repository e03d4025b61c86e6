"""Clusters that the people of a workshop share: which are to stand, and who may come in. Pure decisions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from earthlab.errors import BadRequest
from earthlab.hub.accounts import SEAT_PREFIX
from earthlab.hub.passes import SLUG_PATTERN

ROUTE = "/api/v1/earthlab/shared"
"""Where the workshops' service says which clusters are to stand; of the gateway's API."""

RESTART_AFTER = 5.0
"""Seconds between two starts of one shared cluster, whatever ends it."""

_MOST_PEOPLE = 2000
_OWNER = re.compile(rf"{SEAT_PREFIX}({SLUG_PATTERN})-grappe")


def owner_of(slug: str) -> str:
    """Whose a workshop's shared cluster is: an account of the workshop's own, as which nobody can sign in.

    Names that begin so are kept for seats, and a seat's name ends with its number.
    """
    return f"{SEAT_PREFIX}{slug}-grappe"


def is_shared(owner: str) -> bool:
    """Whether clusters of this owner are shared ones."""
    return _OWNER.fullmatch(owner) is not None


@dataclass(frozen=True, slots=True)
class Wish:
    """A shared cluster that is to stand, with so many workers, and the names of the hub's users who share it."""

    slug: str
    workers: int
    people: frozenset[str]

    @property
    def owner(self) -> str:
        """Whose account it runs under."""
        return owner_of(self.slug)

    @property
    def label(self) -> str:
        """What its people call it."""
        return f"{SEAT_PREFIX}{self.slug}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """All shared clusters that are to stand, by owner, and when that was said (seconds since the epoch)."""

    by_owner: Mapping[str, Wish] = field(default_factory=dict, hash=False)
    told: float = 0.0

    def of(self, person: str) -> list[Wish]:
        """Those that a user of the hub shares."""
        return [wish for wish in self.by_owner.values() if person in wish.people]

    def still(self, now: float, *, patience: float) -> "Wishes":
        """These, or none where nobody has said them again for `patience` seconds."""
        return self if now - self.told <= patience else Wishes({}, self.told)


def parse_wishes(said: Any, now: float) -> Wishes:
    """What the workshops' service has said.

    Raises
    ------
    BadRequest
        For anything that `Wish` cannot hold.
    """
    rows = said.get("clusters") if isinstance(said, dict) else None
    if not isinstance(rows, list):
        raise BadRequest('expected an object with a list of clusters: {"clusters": [...]}.')
    found = [_parse_wish(row) for row in rows]
    return Wishes({wish.owner: wish for wish in found}, now)


def _parse_wish(row: Any) -> Wish:
    if not isinstance(row, dict) or set(row) != {"slug", "workers", "people"}:
        raise BadRequest("clusters: expected objects with slug, workers and people.")
    slug, workers, people = row["slug"], row["workers"], row["people"]
    if not isinstance(slug, str) or not re.fullmatch(SLUG_PATTERN, slug):
        raise BadRequest(f"slug: found {slug!r}, expected that of a workshop.")
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise BadRequest(f"workers: found {workers!r}, expected a whole number, 1 or more.")
    if not isinstance(people, list) or len(people) > _MOST_PEOPLE or not all(isinstance(name, str) for name in people):
        raise BadRequest(f"people: expected a list of at most {_MOST_PEOPLE} users' names.")
    return Wish(slug, workers, frozenset(people))


@dataclass(frozen=True, slots=True)
class Standing:
    """A shared cluster that is there: its name, its owner, and how many workers its scheduler wants."""

    name: str
    owner: str
    workers: int
    runs: bool
    """Whether its scheduler has answered; before, it can be told nothing."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be done so that what stands is what is wished."""

    stop: tuple[str, ...] = ()
    """Clusters by name."""
    start: tuple[Wish, ...] = ()
    scale: tuple[tuple[str, int], ...] = ()
    """Clusters by name, each with the workers it is to have as far as there is room."""


def plan_steps(wishes: Wishes, standing: Iterable[Standing], started: Mapping[str, float], now: float) -> Steps:
    """What is to be done now.

    Parameters
    ----------
    started : mapping
        When each owner's cluster was last started (seconds since the epoch).
    """
    there = list(standing)
    owners = {each.owner for each in there}
    missing = [wish for owner, wish in wishes.by_owner.items() if owner not in owners]
    return Steps(
        stop=tuple(each.name for each in there if each.owner not in wishes.by_owner),
        start=tuple(wish for wish in missing if now - started.get(wish.owner, 0.0) >= RESTART_AFTER),
        scale=tuple(
            (each.name, wishes.by_owner[each.owner].workers)
            for each in there
            if each.runs and each.owner in wishes.by_owner and each.workers != wishes.by_owner[each.owner].workers
        ),
    )
