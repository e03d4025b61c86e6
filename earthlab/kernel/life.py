"""What a copy is for, and the steps of its life that come before and after."""

import atexit
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from earthlab.errors import SetupError
from earthlab.kernel import wire
from earthlab.kernel.fresh import freshen, renew_settings
from earthlab.kernel.identity import Identity, become
from earthlab.kernel.process import end_with, make_room_for_files, set_name


@dataclass(frozen=True, slots=True)
class Life:
    """What a copy does until it ends."""

    name: str
    run: Callable[[dict[str, Any]], int | None]
    """Given the content of its sealed file, the exit code."""
    ends_with_owner: bool = True
    """Whether the copy ends by itself when the process whose pid is ``owner`` does: by a thread that waits for it."""
    reads_settings: bool = True
    """Whether the copy uses libraries that its user may have set otherwise."""


def parse_life(text: str, *, reads_settings: bool = True) -> Life:
    """A life as the command line has it, ``name=package.module:function``; imports the module.

    Raises
    ------
    SetupError
        Where there is no such function.
    """
    name, _, place = text.partition("=")
    module, _, function = place.partition(":")
    try:
        return Life(name, getattr(import_module(module), function), reads_settings=reads_settings)
    except (ImportError, AttributeError, ValueError) as exc:
        raise SetupError(f"template: found the life {text!r} ({exc}), expected NAME=package.module:function.") from exc


@dataclass(frozen=True, slots=True)
class Birth:
    """What a copy is told of its life."""

    life: Life
    identity: Identity
    content: int
    """The sealed file, see `wire.seal`."""
    streams: tuple[int, ...] = ()
    """Descriptors that become the standard output and error."""
    beside: tuple[int, ...] = ()
    """Further descriptors that the copy keeps."""
    line: int | None = None
    """Where the word to begin comes from whoever asked: who says it knows of the copy, whatever the template meets."""

    @property
    def files(self) -> tuple[int, ...]:
        """All these descriptors."""
        return (self.content, *self.streams, *self.beside, *(() if self.line is None else (self.line,)))

    def live(self) -> NoReturn:
        """Become who the copy is to be, do what it is for, and end."""
        try:
            set_name(f"el-{self.life.name}")
            become(self.identity)
            _take_streams(self.streams)
            make_room_for_files()
            content = wire.unseal(self.content)
            settle(content, self.life)
            code = self.life.run(content) if self._may_begin() else 1
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        except BaseException:  # noqa: BLE001 - nothing of a copy may go on as if it were the template
            traceback.print_exc()
            code = 1
        leave(code or 0)

    def _may_begin(self) -> bool:
        if self.line is None:
            return True
        with socket.socket(fileno=self.line) as line:
            return hear(line) is not None


def hear(line: socket.socket) -> list[int] | None:
    """The files beside the next word of whoever has the other end; ``None`` where no word will come."""
    try:
        return wire.receive(line)[1]
    except (EOFError, OSError, ValueError):
        # Where it ended with a word of ours unread the machine says that it broke the line off.
        return None


def settle(content: dict[str, Any], life: Life) -> None:
    """Take on what the sealed file says: ``environment``, ``folder``, and ``owner``, a pid whose end is ours too.

    Raises
    ------
    ProcessLookupError
        Where the owner is gone already.
    """
    take_surroundings(content)
    freshen()
    if life.reads_settings:
        renew_settings()
    if life.ends_with_owner:
        end_with(os.pidfd_open(content["owner"]))


def take_surroundings(content: dict[str, Any]) -> None:
    """The environment and the folder, whole in place of those of the template."""
    os.environ.clear()
    os.environ.update(content["environment"])
    os.chdir(content["folder"])


def _take_streams(streams: tuple[int, ...]) -> None:
    # Those of the template are its owner's: a copy has its own, or nothing.
    nothing = os.open(os.devnull, os.O_RDWR)
    out = streams[0] if streams else nothing
    err = streams[1] if len(streams) > 1 else out
    for file, place in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(file, place)
    for file in {nothing, *streams}:
        os.close(file)


def leave(code: int) -> NoReturn:
    """End as Python does, but for taking its modules apart: that writes to all of what copies share."""
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    os._exit(code)
