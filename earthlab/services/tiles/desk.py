"""Who may see what: the hub's word on whoever asks, and on whoever made a layer that others open."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from earthlab.errors import NotAllowed
from earthlab.rights import OPEN, Person, Rule, judge
from earthlab.services.doors import Caller, Hub, ask_hub
from earthlab.services.signing.persons import HubPersons
from earthlab.services.tiles.links import LinkBook

if TYPE_CHECKING:
    from earthlab.services.tiles.cubes import Cubes

KEPT_SECONDS = 30.0
_MOST_KEPT = 2048
_ROLE = "user"
"""The role that everybody has at the hub but those who are blocked."""


@dataclass(slots=True)
class HubOwners:
    """What the hub says of people who do not ask themselves, kept for `KEPT_SECONDS`.

    The scopes of their licences are those that the hub gives the groups they are in: see `earthlab.hub.configure`.
    """

    hub: Hub
    token: str = field(repr=False)
    rules: tuple[Rule, ...] = ()
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Caller | None]] = field(default_factory=dict, init=False, repr=False)

    async def __call__(self, name: str) -> Caller | None:
        """Somebody as a caller; None for whom the hub does not know, or has blocked.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        kept, now = self._known.get(name), self.clock()
        if kept is None or kept[0] <= now:
            model = await asyncio.to_thread(ask_hub, self.hub, self.token, f"users/{quote(name, safe='')}")
            kept = (now + KEPT_SECONDS, self._caller(name, model))
            while len(self._known) >= _MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[name] = kept
        return kept[1]

    def _caller(self, name: str, model: Mapping[str, Any] | None) -> Caller | None:
        if model is None or _ROLE not in (model.get("roles") or ()):
            return None
        groups = tuple(map(str, model.get("groups") or ()))
        return Caller(name, frozenset(rule.scope for rule in self.rules if set(rule.readers) & set(groups)), groups)


@dataclass(slots=True)
class Desk:
    """The service's cubes, layers and rules.

    Parameters
    ----------
    open_cubes : callable
        Makes the cubes, at the first question: that loads the libraries of the science.
    links : LinkBook
        The layers that were made.
    persons, owners : callable
        What the hub says of who asks, and of others.
    rules : tuple of Rule
        Of licensed data.
    """

    open_cubes: Callable[[], "Cubes"]
    links: LinkBook
    persons: HubPersons
    owners: HubOwners
    rules: tuple[Rule, ...] = ()
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    _cubes: "Cubes | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def cubes(self) -> "Cubes":
        """The cubes of the store. The first time takes a second or two."""
        with self._lock:
            if self._cubes is None:
                self._cubes = self.open_cubes()
            return self._cubes

    async def require_right(self, caller: Caller, access: str) -> None:
        """Nothing, where somebody may see cubes of an access class.

        Raises
        ------
        NotAllowed
            Where not, with what is missing and how to get the right.
        CatalogueUnavailable
            Where the hub does not tell.
        """
        if access == OPEN:
            return
        person = await self.persons(caller)
        for name in access.split("--"):
            self._require_rule(person, name)

    async def may_still_show(self, owner: str, access: str) -> bool:
        """Whether a layer may be shown by whose maker it was made: of an open cube always.

        Raises
        ------
        CatalogueUnavailable
            Where the hub does not tell.
        """
        if access == OPEN:
            return True
        caller = await self.owners(owner)
        if caller is None:
            return False
        try:
            await self.require_right(caller, access)
        except NotAllowed:
            return False
        return True

    def _require_rule(self, person: Person, name: str) -> None:
        rule = next((rule for rule in self.rules if rule.id == name), None)
        if rule is None:
            raise NotAllowed(
                f"Cubes of the access class {name!r} are shown to nobody: the lab has no rule of that name."
            )
        verdict = judge(rule, person, self.today())
        if not verdict.allowed:
            raise NotAllowed(verdict.sentence())
