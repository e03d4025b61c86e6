"""One shell, command, transfer or console of a user: between their channel and their process."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import asyncssh

from earthlab.errors import EarthlabError
from earthlab.services.ssh.flows import Sink, Source
from earthlab.services.ssh.landings import Landing, Program
from earthlab.services.ssh.places import KERNEL, Terminal, Wish
from earthlab.services.ssh.servers import Tell

NOT_STARTED = 255
"""The exit code where nothing was started: that of OpenSSH's own failures."""

_QUIET = 2.0
"""Seconds that what a command has left in the background may still write, after its end."""


_LOG = logging.getLogger("earthlab.ssh")


class Guest(Protocol):
    """The connection that a session belongs to, as far as the session needs it."""

    begun: set["Session"]

    @property
    def words(self) -> Mapping[str, str]: ...
    async def land(self, tell: Tell) -> Landing: ...
    def touch(self) -> None: ...
    def leave(self, line: Mapping[str, Any]) -> None: ...


class Session(asyncssh.SSHServerSession[bytes]):
    """What asyncssh tells of a channel, done with a process of the user's."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.began = time.monotonic()
        self.wish = Wish("")
        self.running: Program | None = None
        self.exit: int | None = None
        self._terminal: Terminal | None = None
        self._sources: list[Source] = []
        self.task: asyncio.Task[None] | None = None
        self._drained, self._over = asyncio.Event(), asyncio.Event()
        self._paused = self._gone = False

    def connection_made(self, chan: Any) -> None:
        """Take the channel."""
        self.chan: asyncssh.SSHServerChannel[bytes] = chan
        self._sink = Sink(chan.pause_reading, chan.resume_reading)

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Mapping[int, int]) -> bool:
        """Note that a terminal is wanted."""
        self._terminal = Terminal(term_type, dict(term_modes), term_size)
        return True

    def shell_requested(self) -> bool:
        """Yes."""
        self.wish = Wish("shell")
        return True

    def exec_requested(self, command: str) -> bool:
        """Yes; the word ``kernel`` is ours."""
        self.wish = Wish(KERNEL if command.split(None, 1)[:1] == [KERNEL] else "command", command)
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """Files, and no other."""
        self.wish = Wish(subsystem)
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Begin: the user's server first."""
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._note_failure)

    def data_received(self, data: bytes, datatype: Any) -> None:  # noqa: ARG002 - asyncssh's
        """Hand on what the client sends."""
        self.guest.touch()
        self._sink.put(data)

    def eof_received(self) -> bool:
        """The client sends no more, and goes on listening."""
        if self._terminal:
            # A terminal has no end: this is how one types it.
            self._sink.put(b"\x04")
        else:
            self._sink.end()
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Hand on the new size."""
        size = (width, height, pixwidth, pixheight)
        if self._terminal:
            # For a program that has not begun yet, too.
            self._terminal = replace(self._terminal, size=size)
            if self._sources and self._sources[0].file >= 0:
                assert self.running
                self.running.resize(size)

    def signal_received(self, signal: str) -> None:
        """Hand on a signal."""
        if self.running and not self._over.is_set():
            self.running.send(signal)

    def pause_writing(self) -> None:
        """The client is slower than the program."""
        self._paused = True
        for source in self._sources:
            source.pause()

    def resume_writing(self) -> None:
        """The client takes more."""
        self._paused = False
        for source in self._sources:
            source.resume()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
        """The client has left: as with OpenSSH, input and output are closed and a terminal is hung up.

        Errors are read on and thrown away, so that a kernel that warns of something does not end by it. The program
        itself may go on as long as the connection.
        """
        self._gone = True
        self._drained.set()
        if self.running:
            self._sink.close()
            self._sources[0].close()
            self.resume_writing()
        elif self.task:
            self.task.cancel()
        self.guest.leave(self._line())

    async def _run(self) -> None:
        try:
            running = await self._start(await self.guest.land(self._tell))
        except (EarthlabError, OSError, ValueError) as exc:
            self._tell(str(exc))
            self.exit = NOT_STARTED
            self.chan.exit(NOT_STARTED)
            return
        self.guest.begun.add(self)
        try:
            await self._until_over(running)
            self.exit = running.reap()
            await self._until_quiet()
        finally:
            self.guest.begun.discard(self)
            running.close()
            self._close()
        self._say_exit(self.exit)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (failure := task.exception()):
            _LOG.error("A session has failed", exc_info=failure)
            if not self.chan.is_closing():
                self.chan.exit(NOT_STARTED)

    async def _start(self, landing: Landing) -> Program:
        self.running = running = await landing.start(self.wish, self._terminal, self.guest.words)
        self._open(running)
        return running

    def _open(self, running: Program) -> None:
        errors = running.stderr
        self._sources = [Source(running.stdout, self._give, self._note_end)]
        if errors is not None:
            self._sources.append(Source(errors, self._give_error, self._note_end))
        # Of its own: the two ends of a terminal are closed one after the other.
        self._sink.open(os.dup(running.stdin) if self._terminal else running.stdin)
        self.resume_writing()

    def _give(self, data: bytes) -> None:
        self.guest.touch()
        if not self.chan.is_closing():
            self.chan.write(data)

    def _give_error(self, data: bytes) -> None:
        if not self._gone:
            self.guest.touch()
            if not self.chan.is_closing():
                self.chan.write_stderr(data)

    def _note_end(self) -> None:
        if all(source.file < 0 for source in self._sources):
            self._drained.set()

    async def _until_over(self, running: Program) -> None:
        """Until the program has ended."""
        loop = asyncio.get_running_loop()
        loop.add_reader(running.handle, self._over.set)
        await self._over.wait()
        loop.remove_reader(running.handle)

    async def _until_quiet(self) -> None:
        """Until the streams have ended, or what was left in the background has written nothing for a while."""
        seen = -1
        while not (self._drained.is_set() or self._gone) and (self._paused or seen != self._count()):
            seen = self._count()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), _QUIET)

    def _count(self) -> int:
        return sum(source.count for source in self._sources)

    def _say_exit(self, code: int) -> None:
        if self.chan.is_closing():
            return
        if code >= 0:
            self.chan.exit(code)
        elif -code in {each.value for each in signal.Signals}:
            self.chan.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
        else:
            # One of those that have no name, as a shell would tell it.
            self.chan.exit(128 - code)

    def _tell(self, line: str) -> None:
        self.guest.touch()
        if not self.chan.is_closing():
            ending = b"\r\n" if self._terminal else b"\n"
            self.chan.write_stderr(line.encode() + ending)

    def _close(self) -> None:
        self._sink.close()
        for source in self._sources:
            source.close()

    def _line(self) -> Mapping[str, Any]:
        return {
            "kind": self.wish.kind if self.wish.kind in {"shell", "command", "sftp", KERNEL} else "unknown",
            "seconds": round(time.monotonic() - self.began, 1),
            "bytes_in": self._sink.count,
            "bytes_out": self._count(),
            "exit": self.exit,
        }
