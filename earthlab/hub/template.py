"""``python -m earthlab.hub.template``: keeps the lab's template running for as long as the lab does.

A child of the supervisor. Of a hub without one it is a service: the hub itself looks at those only every half minute,
too long for a class that arrives.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from earthlab.hub.head import HEAD
from earthlab.hub.layout import MARKER, Layout, interpreter, resolve_layout
from earthlab.settings import load_settings

LIVES = {
    "server": "earthlab.hub.forked_server:run_server",
    "scheduler": "earthlab.services.gateway.forked:run_scheduler",
    "worker": "earthlab.services.gateway.forked:run_worker",
}
"""What copies can be asked to do, and what each calls for it."""

_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", MARKER, HEAD)
"""All that the template finds of our environment, in which a hub has put a token of its own."""

_PAUSES = (0.0, 0.5, 2.0, 10.0, 30.0)
"""Seconds before the next template, by how many in a row did not last."""

_LASTED = 60.0


def template_socket(layout: Layout) -> Path:
    """Where the hub and its services ask for copies."""
    return layout.run / "template.sock"


def main() -> int:
    """Start the template, and the next one whenever it ends, until we are told to stop."""
    stopping = threading.Event()
    for sent in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sent, lambda *_: stopping.set())
    keep_running(plan_command(resolve_layout(load_settings()), int(os.environ[HEAD])), stopping)
    return 0


def plan_command(layout: Layout, head: int) -> list[str]:
    """The template's command line."""
    program = [str(interpreter()), "-P", "-m", "earthlab.kernel.template"]
    lives = [f"--life={name}={place}" for name, place in LIVES.items()]
    return [*program, "--socket", str(template_socket(layout)), "--owner", str(head), *lives]


def keep_running(command: list[str], stopping: threading.Event) -> None:
    """Run a command again whenever it ends, at once or after a pause that grows while it does not last."""
    environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
    short = 0
    while not stopping.wait(_PAUSES[short]):
        began = time.monotonic()
        template = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        _wait(template, stopping)
        lasted = time.monotonic() - began > _LASTED
        short = 0 if lasted else min(short + 1, len(_PAUSES) - 1)
        if not stopping.is_set():
            sys.stderr.write(f"earthlab: the template ended ({template.returncode}); another one is started\n")


def _wait(template: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    # In steps: a signal that comes between two looks only sets the event.
    while template.poll() is None:
        if stopping.is_set():
            # It holds nothing that could be lost, and its copies live on.
            template.kill()
        try:
            template.wait(0.2)
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    sys.exit(main())
