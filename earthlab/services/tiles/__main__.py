"""``python -m earthlab.services.tiles``: the tiles of shared cubes, as the hub starts it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from earthlab.hub.layout import resolve_accounts, resolve_layout
from earthlab.rights import Rule, load_rules
from earthlab.services.doors import HubTokens, resolve_hub
from earthlab.services.serving import run_app
from earthlab.services.signing.persons import HubPersons
from earthlab.services.starting import resolve_start, run_service
from earthlab.services.tiles.app import create_app
from earthlab.services.tiles.desk import Desk, HubOwners
from earthlab.services.tiles.links import LinkBook
from earthlab.settings import Settings, load_settings, require_store

if TYPE_CHECKING:
    from earthlab.services.tiles.cubes import Cubes

_PATIENCE = 3.0
"""Seconds that a picture waits for a store that is away: maps ask again, and others want to be served."""


def main() -> int:
    """Serve until the hub says stop; 1 where that cannot be, with one line that says what to do."""
    return run_service(lambda: serve(os.environ))


def serve(environ: Mapping[str, str]) -> None:
    """Serve at the address the hub gave.

    Raises
    ------
    SetupError
        Where no hub started this process.
    """
    settings, hub = load_settings(environ=environ), resolve_hub(environ)
    token, host, port = resolve_start(
        environ, "The tiles are served by the hub, which gives their service a token and an address: make lab."
    )
    rules, layers = load_rules(), resolve_layout(settings).layers
    # A pod's volume is empty at first; beside a hub the folder is there.
    layers.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    desk = Desk(
        lambda: open_cubes(settings, rules),
        LinkBook(layers),
        HubPersons(hub, token, shared=resolve_accounts(settings) == "shared"),
        HubOwners(hub, token, rules),
        rules,
    )
    run_app(create_app(desk, HubTokens(hub), prefix=environ.get("JUPYTERHUB_SERVICE_PREFIX", "")), host, port)


def open_cubes(settings: Settings, rules: tuple[Rule, ...]) -> "Cubes":
    """The cubes of the lab's own store.

    Raises
    ------
    SetupError
        Where the lab has none.
    """
    from earthlab.cube.shared.objects import ObjectStore
    from earthlab.cube.shared.stores import StoreAddress, open_store
    from earthlab.services.tiles import pictures  # noqa: F401 - loaded here, and not while others are served
    from earthlab.services.tiles.cubes import Cubes, name_classes
    from earthlab.services.tiles.shelf import BucketShelf, FolderShelf, Shelf

    cubes = settings.cubes
    where = require_store(settings) or str(resolve_layout(settings).cubes)
    shelf: Shelf = FolderShelf(Path(where).expanduser())
    if "://" in where:
        store = open_store(StoreAddress(where, cubes.endpoint, cubes.region, patience=_PATIENCE))
        assert isinstance(store, ObjectStore)
        shelf = BucketShelf(store)
    return Cubes(shelf, name_classes([rule.id for rule in rules]))


if __name__ == "__main__":
    sys.exit(main())
