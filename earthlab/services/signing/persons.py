"""What the hub says of a caller's groups: the broker asks with a token of its own, which may read groups only."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from earthlab.errors import CatalogueUnavailable
from earthlab.rights import Person
from earthlab.services.doors import Caller, Hub, ask_hub

KEPT_SECONDS = 30.0


@dataclass(slots=True)
class HubPersons:
    """Persons with the properties of their groups, which are kept for `KEPT_SECONDS`.

    ``shared`` says that several people use one Unix account: then nobody has a personal right.
    """

    hub: Hub
    token: str = field(repr=False)
    shared: bool = False
    clock: Callable[[], float] = time.monotonic
    _known: dict[str, tuple[float, Mapping[str, str]]] = field(default_factory=dict, init=False, repr=False)

    async def __call__(self, caller: Caller) -> Person:
        """The caller as a person.

        Raises
        ------
        CatalogueUnavailable
            Where the hub does not tell.
        """
        properties = await asyncio.gather(*map(self._properties, caller.groups))
        return Person(caller.name, dict(zip(caller.groups, properties, strict=True)), caller.scopes, self.shared)

    async def _properties(self, group: str) -> Mapping[str, str]:
        kept, now = self._known.get(group), self.clock()
        if kept is None or kept[0] <= now:
            model = await asyncio.to_thread(ask_hub, self.hub, self.token, f"groups/{quote(group, safe='')}")
            kept = self._known[group] = (now + KEPT_SECONDS, _texts(model))
        return kept[1]


def _texts(model: Mapping[str, Any] | None) -> dict[str, str]:
    if model is None:
        raise CatalogueUnavailable("The hub does not tell the broker of groups. Tell the operator: role read:groups.")
    return {str(name): value for name, value in (model.get("properties") or {}).items() if isinstance(value, str)}
