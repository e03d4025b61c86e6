"""The keys of users' pages, and the door's own, where the door is not on the hub's machine: the hub keeps the books."""

from dataclasses import dataclass

from earthlab.hub.keys import Key
from earthlab.hub.registry import REGISTRY
from earthlab.services.registries import Registry


@dataclass(frozen=True, slots=True)
class HubKeys:
    """The hub's registry, asked by the door's own token."""

    registry: Registry

    def find(self, user: str, fingerprint: str) -> Key | None:
        """A user's key.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        found = self.registry.ask("GET", {"user": user, "fingerprint": fingerprint})
        return Key(**found) if found else None

    def note_use(self, user: str, fingerprint: str) -> None:
        """Remember that a user has just signed in by a key.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        self.registry.ask("POST", {"user": user, "fingerprint": fingerprint})

    def announce(self, line: str) -> None:
        """Say by what the door is known, for the page of keys; a line of ``known_hosts`` without the address.

        Raises
        ------
        CatalogueUnavailable
            Where the hub cannot be told.
        """
        self.registry.ask("PUT", {"key": line})


def hub_keys(api: str, token: str) -> HubKeys:
    """The registry of the hub whose API is there."""
    return HubKeys(Registry(api, token, REGISTRY))
