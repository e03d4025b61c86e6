"""``python -m earthlab.services.stac``: the STAC service, as the hub starts it."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from earthlab.errors import SetupError
from earthlab.hub.layout import resolve_layout, resolve_ports
from earthlab.services.doors import HubTokens, resolve_hub
from earthlab.services.serving import run_app
from earthlab.services.stac.app import create_app
from earthlab.services.stac.cubes import CubeCatalogue
from earthlab.services.stac.store import Store
from earthlab.services.starting import run_service
from earthlab.settings import NO_STORE, Settings, load_settings, named_store


def main() -> int:
    """Serve the catalogue until the hub says stop; 1 where it cannot, with one line that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m earthlab.services.stac", description=__doc__)
    parser.add_argument("--folder", type=Path, help="the catalogue to serve; the lab's own by default")
    folder = parser.parse_args().folder
    return run_service(lambda: serve(os.environ, folder))


def serve(environ: Mapping[str, str], folder: Path | None = None) -> None:
    """Serve a catalogue at the address the hub gave.

    Raises
    ------
    SetupError
        Where no hub started this process, or there is no catalogue.
    """
    settings = load_settings(environ=environ)
    app = create_app(
        open_catalogue(settings, folder),
        HubTokens(resolve_hub(environ)),
        prefix=environ.get("JUPYTERHUB_SERVICE_PREFIX", ""),
        origins=tuple(origin.strip() for origin in settings.catalogue.origins.split(",") if origin.strip()),
    )
    host, port = resolve_address(environ, settings)
    run_app(app, host, port)


def open_catalogue(settings: Settings, folder: Path | None = None) -> Store:
    """The catalogue in a folder, the lab's own by default, and the shared cubes where those are in a folder too."""
    cubes = named_store(settings) or str(resolve_layout(settings).state / "cubes")
    live = None if cubes == NO_STORE or "://" in cubes else CubeCatalogue(Path(cubes).expanduser())
    return Store(folder or resolve_layout(settings).catalogue, live)


def resolve_address(environ: Mapping[str, str], settings: Settings) -> tuple[str, int]:
    """Host and port to listen on.

    Raises
    ------
    SetupError
        Where the hub's ``JUPYTERHUB_SERVICE_URL`` is not an address with a port.
    """
    url = environ.get("JUPYTERHUB_SERVICE_URL", "")
    if not url:
        return "127.0.0.1", resolve_ports(settings).stac
    try:
        host, port = urlsplit(url).hostname, urlsplit(url).port
    except ValueError as exc:
        raise SetupError(f"JUPYTERHUB_SERVICE_URL is {url!r}, expected an address as http://127.0.0.1:8003.") from exc
    return host or "127.0.0.1", port or 80


if __name__ == "__main__":
    sys.exit(main())
