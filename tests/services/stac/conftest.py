"""One built catalogue for all tests of the service, and the service over it."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from earthlab.samples.fetching import Places
from earthlab.services.stac.app import create_app
from earthlab.services.stac.archive import Holdings, build_catalogue
from earthlab.services.stac.constructed import CONSTRUCTED
from earthlab.services.stac.extracts import bouconne
from earthlab.services.stac.store import Store
from earthlab.testing.stac import one_token
from tests.services.stac.serving import TOKEN

HEADERS = {"Authorization": f"token {TOKEN}"}


def unseen(label: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Built:
    """A catalogue, and what was said while it was built, under a umask that hides everything."""

    folder: Path
    steps: tuple[tuple[str, int, int], ...]


TWO = Holdings((bouconne.EXTRACT,), CONSTRUCTED[:1])
"""A real collection and a simulated one: what the service does with them it does with all."""


@pytest.fixture(scope="session")
def built(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("lab") / "catalogue"
    steps: list[tuple[str, int, int]] = []
    before = os.umask(0o077)
    try:
        build_catalogue(
            folder, lambda *step: steps.append(step), places=Places((shared_data,), folder.parent), holdings=TWO
        )
    finally:
        os.umask(before)
    return Built(folder, tuple(steps))


@pytest.fixture(scope="session")
def catalogue(built: Built) -> Path:
    return built.folder


@pytest.fixture(scope="session")
def store(catalogue: Path) -> Store:
    return Store(catalogue)


class Client:
    """Asks an application without a server between; signed in unless other headers are given."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def request(self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, HEADERS | (headers or {}), more))

    async def _request(self, method: str, path: str, headers: dict[str, str], more: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://lab.example:8000") as client:
            return await client.request(method, path, headers=headers, **more)


@pytest.fixture(scope="session")
def client(store: Store) -> Client:
    return Client(create_app(store, one_token(TOKEN)))
