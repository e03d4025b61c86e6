"""A pytest plugin that gives notebooks what the hub would: ``pytest -p earthlab.testing.notebooks --nbval-lax …``.

The real embedded catalogue is built and served on a free port while the session runs, and the kernels find it through
the same two variables as in the lab. There is no gateway: `earthlab.cluster` falls back to a local cluster and says so.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from earthlab.services.stac.archive import build_catalogue
from earthlab.testing.stac import serve_catalogue

_TOKEN = "notebooks-under-test"  # noqa: S105 - guards nothing but this session's own service
_STACK = pytest.StashKey[ExitStack]()


def pytest_configure(config: pytest.Config) -> None:
    """Serve the catalogue before the first notebook starts its kernel."""
    stack = ExitStack()
    config.stash[_STACK] = stack
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="earthlab-notebooks-")))
    build_catalogue(folder / "catalogue", lambda *_: None)
    served = stack.enter_context(serve_catalogue(folder / "catalogue", _TOKEN))
    stack.enter_context(_environment(EARTHLAB__CATALOGUE__URL=served.url, JUPYTERHUB_API_TOKEN=_TOKEN))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the service and remove what was built."""
    config.stash[_STACK].close()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
