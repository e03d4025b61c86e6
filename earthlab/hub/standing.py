"""What stands while hubs come and go: the proxy, and whatever keeps the template running."""

import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from earthlab.hub.configure import plan_proxy
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
        with open_log(self.log) as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log.parent,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return True

    def end(self) -> None:
        """Ask it to end."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()


def plan_standing(
    settings: Settings, layout: Layout, environment: Mapping[str, str], tethered: Sequence[str]
) -> tuple[Standing, ...]:
    """The parts that stand.

    Parameters
    ----------
    environment : mapping
        That of the lab.
    tethered : sequence of str
        The start of a command that ends with the supervisor.
    """
    proxy = Standing([*tethered, *plan_proxy(settings)], environment, layout.hub / "proxy.log")
    if settings.hub.template != "shared":
        return (proxy,)
    keeper = [*tethered, str(interpreter()), "-P", "-m", "earthlab.hub.template"]
    kept = {name: value for name, value in environment.items() if name != TOKEN}
    return (proxy, Standing(keeper, kept, layout.hub / "template.log"))


def make_proxy_token() -> dict[str, str]:
    """A fresh secret for proxy and hub, by its variable."""
    return {TOKEN: secrets.token_hex(32)}


def open_log(path: Path) -> TextIO:
    """A log that only the operator may read, to be written to at its end."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600), "w")
