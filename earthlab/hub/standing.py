"""What stands while hubs come and go: the proxy, and whatever keeps the template running."""

import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from earthlab.hub.configure import plan_proxy, tethered
from earthlab.hub.layout import Layout, interpreter
from earthlab.hub.proxy import TOKEN
from earthlab.settings import Settings

_PAUSE = 1.0
"""Seconds from one start of a part to the next, where it does not last."""


@dataclass(slots=True)
class Standing:
    """A part of the lab that its supervisor keeps running.

    Parameters
    ----------
    command : sequence of str
    environment : mapping
    log : Path
        Where it says what it has to say.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _began: float = 0.0

    def keep(self) -> bool:
        """Start it where it does not run, but not at once again; whether it runs."""
        if self.process is not None and self.process.returncode is None:
            return True
        if time.monotonic() < self._began + _PAUSE:
            return False
        self._began = time.monotonic()
        self.process = start_part(self.command, self.environment, self.log)
        return True

    def end(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()


def start_part(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a part of the lab that ends with this process, in the folder of its log."""
    with _open_log(log) as said:
        return subprocess.Popen(
            [*tethered(), *command],
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            # Ctrl-C in the terminal is for the supervisor, who then ends its parts in order.
            start_new_session=True,
        )


def plan_standing(settings: Settings, layout: Layout, environment: Mapping[str, str]) -> tuple[Standing, ...]:
    """The parts that stand.

    Parameters
    ----------
    environment : mapping
        That of the lab.
    """
    proxy = Standing(plan_proxy(settings), environment, layout.hub / "proxy.log")
    if settings.hub.template != "shared":
        return (proxy,)
    keeper = [str(interpreter()), "-P", "-m", "earthlab.hub.template"]
    kept = {name: value for name, value in environment.items() if name != TOKEN}
    return (proxy, Standing(keeper, kept, layout.hub / "template.log"))


def make_proxy_token() -> dict[str, str]:
    """A fresh secret for proxy and hub, by its variable."""
    return {TOKEN: secrets.token_hex(32)}


def _open_log(path: Path) -> TextIO:
    """A log that only the operator may read, to be written to at its end."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600), "w")
