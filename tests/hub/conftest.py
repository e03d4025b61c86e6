"""Settings and folders of a lab of its own for each test, in a place every account may pass through."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from earthlab.hub.cgroups import sweep
from earthlab.hub.layout import Layout, resolve_layout
from earthlab.settings import Settings, load_settings
from earthlab.testing.ports import free_row
from tests.hub.running_lab import Lab


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
def standing_lab() -> Iterator[Lab]:
    """A lab as an operator starts it, one for all tests that leave it as it was: the first use waits for it."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-lab-", dir="/var/tmp"))
    folder.chmod(0o755)
    found = Lab(folder, free_row())
    yield found.start()
    found.close()
    shutil.rmtree(folder)
    shutil.rmtree(found.layout.run, ignore_errors=True)


root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root can give processes other accounts")
