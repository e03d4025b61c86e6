"""What a browser asks of the lab: recorded once from a real one, kept as data with the versions it had then."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from earthlab.errors import SetupError

RECORDING = Path(__file__).with_name("jupyterlab.json")

_CONFIG = re.compile(r'<script id="jupyter-config-data"[^>]*>(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a page: sent ``delay`` seconds after the request ``after`` ended (-1: the page itself)."""

    url: str
    after: int
    delay: float
    status: int = 200
    """What the real browser was answered: JupyterLab asks for a few things that need not be there."""


@dataclass(frozen=True, slots=True)
class Recording:
    """The traffic of one JupyterLab, in the order in which a person causes it; addresses hold blanks in braces."""

    recorded: Mapping[str, str]
    """Versions of the browser and of the packages that shape the traffic."""
    hub: tuple[str, ...]
    page: tuple[Step, ...]
    notebook: tuple[Step, ...]
    session: tuple[str, ...]
    cell: tuple[str, ...]
    save: tuple[tuple[str, str], ...]
    polls: Mapping[str, float]
    """Seconds between two requests of an open tab, by address."""
    workspace: Mapping[str, Any]
    frames: tuple[Mapping[str, Any], ...]
    """What the page says to a kernel it has just reached."""


@dataclass(frozen=True, slots=True)
class Places:
    """What goes into the blanks: ``base`` is the user's server (``/user/<name>/``), ``notebook`` a path below it."""

    base: str
    static: str
    extensions: str
    notebook: str
    home: str = ""

    def fill(self, url: str) -> str:
        """An address with its blanks filled; each call has a moment of its own, as JupyterLab's have."""
        blanks = {
            "{base}": self.base,
            "{static}": self.static,
            "{extensions}": self.extensions,
            "{notebook}": quote(self.notebook),
            "{folder}": quote(self.notebook.rpartition("/")[0]),
            "{now}": str(time.time_ns() // 1_000_000),
        }
        return re.sub(r"\{\w+\}", lambda found: blanks.get(found[0], found[0]), url)


@cache
def load_recording(path: Path = RECORDING) -> Recording:
    """The recording that comes with the lab."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Recording(
        recorded=found["recorded"],
        hub=tuple(found["hub"]),
        page=tuple(Step(**step) for step in found["page"]),
        notebook=tuple(Step(**step) for step in found["notebook"]),
        session=tuple(found["session"]),
        cell=tuple(found["cell"]),
        save=tuple((method, url) for method, url in found["save"]),
        polls=found["polls"],
        workspace=found["workspace"],
        frames=tuple(found["frames"]),
    )


def describe_drift(recording: Recording) -> tuple[str, ...]:
    """The packages that are installed here in another version than the recording's: files may be called otherwise."""
    return tuple(
        f"{package} {installed}, recorded with {then}"
        for package, then in recording.recorded.items()
        if package != "chromium" and (installed := _installed(package)) != then
    )


def parse_places(page: str, notebook: str) -> Places:
    """Where a JupyterLab page has its server and its files, from the configuration that stands in it.

    Raises
    ------
    SetupError
        Where the page is not JupyterLab's.
    """
    found = _CONFIG.search(page)
    if not found:
        raise SetupError("the page is not JupyterLab's: it has no `jupyter-config-data`. Open it in a browser to see.")
    config = json.loads(found[1])
    base = str(config["baseUrl"])
    return Places(
        base=base,
        static=str(config.get("fullStaticUrl", f"{base}static/lab")).rstrip("/"),
        extensions=str(config.get("fullLabextensionsUrl", f"{base}lab/extensions")).rstrip("/"),
        notebook=notebook,
        home=str(config.get("serverRoot", "")),
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
