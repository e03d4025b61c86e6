"""Runs inside the image `services`: each service's code loads; the STAC service answers over a catalogue made here.

Builds the embedded catalogue from ``/samples`` into ``/kept`` and serves it until its input
ends. Prints its address.
"""

import importlib
import os
import sys
from pathlib import Path

import httpx

from earthlab.services.stac.archive import build_catalogue
from earthlab.testing.stac import serve_catalogue

SERVICES = ("stac", "tiles", "signing", "workshops", "ssh")


def main() -> None:
    """All of it."""
    assert os.getuid() == 1000, os.getuid()
    for name in SERVICES:
        importlib.import_module(f"earthlab.services.{name}.__main__")
    print("services " + " ".join(SERVICES), flush=True)
    folder = Path("/kept/catalogue")
    build_catalogue(folder, lambda *_: None)
    with serve_catalogue(folder, token=os.environ["EARTHLAB_SMOKE_TOKEN"]) as served:
        assert httpx.get(served.url).status_code == 401
        found = httpx.get(served.url, headers=served.headers).json()
        assert found["stac_version"], found
        print(f"catalogue {served.url}", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
