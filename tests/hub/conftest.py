"""Settings and folders of a lab of its own for each test, in a place every account may pass through."""

import os
import shutil
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from earthlab.hub.cgroups import sweep
from earthlab.hub.layout import Layout, resolve_layout
from earthlab.hub.passes import PassStore
from earthlab.settings import Settings, load_settings
from earthlab.testing.catalogues import bring_catalogue
from earthlab.testing.ports import free_row
from tests.hub.participants import NEVER, Participant
from tests.hub.running_lab import Lab
from tests.hub.small_hub import SmallHub, small_hub


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """An empty folder that other accounts can pass through; pytest's own they cannot."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def settings(open_folder: Path) -> Settings:
    return load_settings({"lab.state": open_folder / "lab", "lab.port": 8100}, environ={}, files=())


@pytest.fixture
def layout(settings: Settings) -> Iterator[Layout]:
    found = resolve_layout(settings)
    yield found
    assert sweep(found) == []
    shutil.rmtree(found.run, ignore_errors=True)


@pytest.fixture(scope="session")
def standing_lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    """A lab as an operator starts it, one for all tests that leave it as it was: the first use waits for it."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-lab-", dir="/var/tmp"))
    folder.chmod(0o755)
    bring_catalogue(pytestconfig, folder)
    found = Lab(folder, free_row())
    yield found.start()
    found.close()
    shutil.rmtree(folder)
    for left in (found.layout.run, found.layout.shared_memory):
        shutil.rmtree(left, ignore_errors=True)


@pytest.fixture(scope="module")
def class_hub() -> Iterator[SmallHub]:
    """A hub for participants of workshops, with servers that start at once."""
    with small_hub(launch=0.1) as found:
        yield found


@pytest.fixture
def passes(class_hub: SmallHub) -> PassStore:
    return PassStore(class_hub.layout.passes)


@pytest.fixture
async def people(class_hub: SmallHub) -> AsyncIterator[Callable[..., Awaitable[Participant]]]:
    """Whoever is asked for, each with a browser of their own."""
    async with AsyncExitStack() as stack:

        async def arrive(**headers: str) -> Participant:
            client = httpx.AsyncClient(base_url=class_hub.url, follow_redirects=True, timeout=120, headers=headers)
            return Participant(await stack.enter_async_context(client))

        yield arrive


@pytest.fixture
def workshop(passes: PassStore, request: pytest.FixtureRequest) -> Iterator[tuple[str, list[str]]]:
    """A workshop of four seats: its slug and its codes."""
    slug = f"w{zlib.crc32(request.node.name.encode())}"
    codes = [issued.code for issued in passes.open_seats(slug, 4, 0, NEVER, title="Neige & eau", kept=NEVER + 1)]
    yield slug, codes
    passes.close(slug)


root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can give processes other accounts")
