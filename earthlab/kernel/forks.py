"""Asking a template for a copy of itself, and holding the copy: what a hub and a server need, light to import."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from earthlab.kernel import wire
from earthlab.kernel.identity import Identity
from earthlab.kernel.process import find_process, has_ended, signal_group, wait_for_end

UNKNOWN = 1
"""The exit code of a process whose template ended before it: nobody was told the true one."""

_LAST_WORD_WITHIN = 1.0
"""Seconds for a template to say how a copy has ended."""

_ABSENT_FOR = 3.0
"""Seconds without anybody who listens after which no template is expected any more."""

_PATIENCE = 30.0
"""Seconds for a template to answer: one that has just been started imports for some."""


_ASKING = ThreadPoolExecutor(16, "earthlab-fork")
"""Threads of their own: where all wait for a template, others still have some."""


class NoFork(Exception):
    """No copy could be had, and why."""


class ForkedProcess:
    """A forked process with the face of `subprocess.Popen`; it lives no longer than this object, unless it may stay.

    Parameters
    ----------
    pid : int
    handle : int
        Its pidfd, which this object closes.
    line : socket, optional
        The connection to the template, whose end is the end of the copy; none to one that stays, see `find_fork`.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, handle: int, line: socket.socket | None) -> None:
        self.pid = pid
        self.handle = handle
        self.returncode: int | None = None
        self._line = line

    def poll(self) -> int | None:
        """The exit code (minus the signal, where one ended it), or ``None`` while it runs."""
        if self.returncode is None and has_ended(self.handle):
            self.returncode = self._last_word()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended.

        Raises
        ------
        TimeoutError
            Where it has not within so many seconds.
        """
        if not wait_for_end(self.handle, timeout):
            raise TimeoutError(f"process {self.pid} has not ended within {timeout} s")
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, sent: int) -> None:
        """Signal exactly this process; nobody where it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, sent)

    def signal_group(self, sent: int) -> None:
        """Signal this process and those that it has started."""
        signal_group(self.pid, self.handle, sent)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def let_stay(self) -> None:
        """From now on it outlives this object and this process: it ends by itself, by a signal, or with its owner."""
        if self._line is not None:
            # A template that is gone ends nobody.
            with suppress(OSError):
                wire.send(self._line, {"stays": True})

    def close(self) -> None:
        """Give up the process: its template ends it, where it has not ended and may not stay."""
        if self.handle >= 0:
            if self._line is not None:
                self._line.close()
            os.close(self.handle)
            self.handle = -1

    def __del__(self) -> None:
        self.close()

    def _last_word(self) -> int:
        if self._line is None:
            return UNKNOWN
        try:
            self._line.settimeout(_LAST_WORD_WITHIN)
            return int(wire.receive(self._line)[0]["ended"])
        except (EOFError, OSError, ValueError, KeyError):
            return UNKNOWN


def find_fork(pid: int, start: int) -> ForkedProcess | None:
    """A process that another one of ours has asked for and let stay, by pid and start, see `process.read_start`.

    ``None`` where it has ended.
    """
    handle = find_process(pid, start)
    return None if handle is None else ForkedProcess(pid, handle, None)


def ask_for_fork(
    path: Path,
    life: str,
    identity: Identity,
    content: Mapping[str, Any],
    *,
    streams: Sequence[int] = (),
    parked: bool = False,
    seconds: float = 10.0,
) -> ForkedProcess:
    """Ask a template for a copy of itself.

    Parameters
    ----------
    path : Path
        The template's socket.
    life : str
        What the copy is to do, by the template's name for it.
    identity : Identity
        As whom.
    content : mapping
        What the copy alone is told, as JSON: ``environment``, ``folder``, ``owner`` (a pid whose end is the copy's
        too) and what its life takes.
    streams : sequence of int
        Descriptors of the copy's standard output and error; what is left out goes nowhere.
    parked : bool
        Whether a copy that was made ready beforehand will do.
    seconds : float
        How long to wait: a template that is still importing answers once it is done.

    Raises
    ------
    NoFork
        Where the template is not there, refuses, or does not answer.
    """
    request = {"life": life, "identity": identity.to_dict(), "parked": parked}
    sealed = wire.seal(content)
    try:
        line = wire.connect_to(path, seconds)
    except OSError as exc:
        os.close(sealed)
        raise NoFork(f"no template answers at {path} ({exc.strerror or exc})") from exc
    try:
        wire.send(line, request, [sealed, *streams])
        answer, files = wire.receive(line)
    except (EOFError, OSError, ValueError) as exc:
        line.close()
        raise NoFork(f"the template at {path} does not answer ({exc!r})") from exc
    finally:
        os.close(sealed)
    if not files:
        line.close()
        raise NoFork(f"the template refuses: {answer.get('refused')}")
    handle, copy = files
    # The word to begin is ours, who know of the copy now, whatever becomes of the template.
    with socket.socket(fileno=copy) as waiting, suppress(OSError):
        wire.send(waiting, {"begin": True})
    return ForkedProcess(int(answer["pid"]), handle, line)


async def ask_patiently(
    path: Path, life: str, identity: Identity, content: Mapping[str, Any], *, streams: Sequence[int]
) -> ForkedProcess:
    """Ask for a copy as `ask_for_fork` does, again where a template has just ended: the next listens within a second.

    Whoever stops waiting may close ``streams``; a copy that comes all the same is ended.

    Raises
    ------
    NoFork
        Where no template listens for 3 s, or none has answered within 30 s.
    """
    held = [os.dup(each) for each in streams]
    asked = _ASKING.submit(_ask_until_answered, path, life, identity, content, held)
    asked.add_done_callback(lambda _: wire.close_files(held))
    return await asyncio.wrap_future(asked)


def _ask_until_answered(
    path: Path, life: str, identity: Identity, content: Mapping[str, Any], streams: Sequence[int]
) -> ForkedProcess:
    began = heard = time.monotonic()
    while True:
        asked = time.monotonic()
        try:
            return ask_for_fork(path, life, identity, content, streams=streams, seconds=_PATIENCE)
        except NoFork:
            now = time.monotonic()
            # Whoever was made to wait was being listened to.
            heard = now if now - asked > 1.0 else heard
            if now - heard > _ABSENT_FOR or now - began > _PATIENCE:
                raise
        time.sleep(0.1)


async def until_ended(process: ForkedProcess) -> None:
    """Wait for the end of a copy, woken by it."""
    handle, loop = os.dup(process.handle), asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(handle, _note, ended)
    try:
        await ended
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def _note(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
