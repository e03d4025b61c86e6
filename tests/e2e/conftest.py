"""The real lab, started once for all these tests as an operator starts it; a real Chromium in front of it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from earthlab.hub.layout import MARKER, Layout, resolve_layout
from earthlab.settings import load_settings
from earthlab.testing.accounts import remove_accounts
from earthlab.testing.catalogues import bring_catalogue
from earthlab.testing.ports import free_row
from tests.patience import PATIENCE

CHECKOUT = Path(__file__).resolve().parents[2]
ARTEFACTS = CHECKOUT / "artefacts"
BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=1000 * PATIENCE)
PROGRAM = Path(sys.prefix) / "bin" / "earthlab"


@dataclass
class Lab:
    """One `earthlab lab` as a child process, and what it printed."""

    state: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[str] = field(init=False)
    lines: list[str] = field(default_factory=list)
    started_in: float = 0.0
    _listener: threading.Thread = field(init=False)

    @property
    def layout(self) -> Layout:
        return resolve_layout(load_settings({"lab.state": self.state}, environ={}, files=()))

    def forget(self) -> None:
        """Remove what a lab leaves on the machine for its next start: accounts, sockets' folder, state."""
        remove_accounts(self.layout)
        for left in (self.layout.run, self.layout.shared_memory):
            shutil.rmtree(left, ignore_errors=True)
        shutil.rmtree(self.state, ignore_errors=True)

    @property
    def runs(self) -> bool:
        return bool(self.lines) and self.process.poll() is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> str:
        """Start, wait until it is ready, and return the sign-in link it printed."""
        self.lines.clear()
        began = time.monotonic()
        self.process = subprocess.Popen(
            [str(PROGRAM), "lab"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        while not (link := self._link()):
            assert self.process.poll() is None, "the lab ended before it was ready:\n" + self.said()
            assert time.monotonic() - began < 600, "the lab was not ready in time:\n" + self.said()
            time.sleep(0.1)
        self.started_in = time.monotonic() - began
        return link

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as said:
            self.lines.extend(said)

    def _link(self) -> str | None:
        found = re.search(r"http://\S+token=\S+", self.said())
        return found[0] if found else None

    def said(self) -> str:
        return "".join(list(self.lines))

    def link_for(self, name: str) -> str:
        made = subprocess.run(
            [str(PROGRAM), "link", name], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert made.returncode == 0, made.stderr
        found = re.search(r"http://\S+token=\S+", made.stdout)
        assert found, made.stdout
        return found[0]

    def stop(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        return code

    def processes(self) -> list[psutil.Process]:
        """Every process of this lab, found by the mark that all of them carry."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARKER) == self.layout.lab_id and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


@contextlib.contextmanager
def running_lab(bring: Callable[[Path], None] = lambda state: None) -> Iterator[Lab]:
    """A lab to be started, which leaves nothing but its log."""
    # Not pytest's tmp_path: its folders are 0700, and the users' accounts must reach their homes.
    state = Path(tempfile.mkdtemp(prefix="earthlab-e2e-"))
    state.chmod(0o755)
    port = free_row()
    samples = os.environ.get("EARTHLAB_SAMPLES", str(CHECKOUT.parent / "shared" / "data"))
    environment = {
        **os.environ,
        "EARTHLAB__LAB__STATE": str(state),
        "EARTHLAB__LAB__PORT": str(port),
        "EARTHLAB_SAMPLES": samples,
        "EARTHLAB__WORKSHOPS__REPOSITORIES": str(state / "depots"),
    }
    lab = Lab(state, port, environment)
    try:
        bring(state)
        yield lab
    finally:
        if lab.lines:
            lab.stop()
        if (log := state / "hub" / "hub.log").exists():
            ARTEFACTS.mkdir(exist_ok=True)
            shutil.copy(log, ARTEFACTS / "hub.log")
        lab.forget()


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config) -> Iterator[Lab]:
    with running_lab(lambda state: bring_catalogue(pytestconfig, state)) as found:
        yield found


@pytest.fixture(scope="module")
def entry_link(lab: Lab) -> str:
    """A sign-in link of the lab, which is started anew where an earlier test has ended it, and left to later ones."""
    ARTEFACTS.mkdir(exist_ok=True)
    return lab.link_for("earthlab") if lab.runs else lab.start()


def find_chromium() -> str:
    """The machine's own browser."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "chromium is missing: apt-get install chromium"
    return found


# Not for the session: while Playwright's loop stands in this thread, no test of asyncio's can run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=find_chromium(), args=BROWSER)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, locale="fr-FR")
    yield context.new_page()
    context.close()
