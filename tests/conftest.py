"""What every test may ask for: the shared data, the shared STAC documents, a clean environment."""

import os
from pathlib import Path

import dask
import pytest
from hypothesis import settings

from earthlab.compute.local import NO_PROFILE

# A machine that is slow for a moment makes no test fail, and a commit is judged by the same examples each time.
# `make explore` looks for others.
settings.register_profile("patient", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("EARTHLAB_EXAMPLES", "patient"))

# Clusters that tests start by themselves must not stop for ever.
dask.config.set(NO_PROFILE)

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real samples; its absence is a failure, never a skip."""
    places = [os.environ.get("EARTHLAB_SAMPLES"), CHECKOUT.parent / "shared" / "data"]
    found = next((Path(p) for p in places if p and Path(p).is_dir()), None)
    if found is None:
        pytest.fail("The shared sample data is not here: set EARTHLAB_SAMPLES or put it in ../shared/data.")
    return found


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No lab, no hub and no settings file of this machine's user; gives the empty home."""
    for name in [n for n in os.environ if n.startswith(("EARTHLAB", "JUPYTERHUB", "XDG_CONFIG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path
