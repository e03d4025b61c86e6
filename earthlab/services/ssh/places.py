"""The user's processes behind the ssh door: how they are started inside the user's server, and how they end."""

import fcntl
import os
import pty
import shlex
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from earthlab.hub.inside import Inside
from earthlab.hub.layout import MARKER, interpreter
from earthlab.kernel import wire
from earthlab.kernel.process import has_ended, reap, signal_group
from earthlab.services.gateway.processes import kill_marked, marked_processes

MARK = "EARTHLAB_SSH"
"""Variable that tells the processes of one connection from all others."""

_PIPE = 1 << 20
"""Bytes that a pipe holds: fewer turns for those who send much."""

_PATIENCE = 2.0
"""Seconds between asking what is left of a connection to end, and ending it."""

_READABLE = ("LANG", "LC_ALL", "TZ", "PATH", MARKER)
"""All that is in the environment of a process that is not the user's yet."""


Size = tuple[int, int, int, int]
"""Of a terminal: columns, rows, and both in pixels."""

KERNEL = "kernel"
"""The command that opens a console on a kernel."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client asks for: its kind, as the book has it, and the command, where the user's shell does not decide."""

    kind: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a client says of its terminal."""

    kind: str
    modes: Mapping[int, int] = field(default_factory=dict)
    """By the numbers of RFC 4254, section 8."""
    size: Size = (80, 24, 0, 0)


@dataclass(slots=True)
class Running:
    """A process of the user's, and our ends of its streams; those of a terminal are one and the same."""

    pid: int
    handle: int
    """Its pidfd."""
    stdin: int
    stdout: int
    stderr: int | None = None

    def send(self, name: str) -> None:
        """Signal the process and its group, by the signal's name without ``SIG``."""
        number = getattr(signal, f"SIG{name}", None)
        if isinstance(number, signal.Signals):
            signal_group(self.pid, self.handle, number)

    def resize(self, size: Size) -> None:
        """Tell its terminal how large the client's is."""
        resize(self.stdout, size)

    def copy(self) -> "Running":
        """The same process by a handle of its own, for another thread."""
        return replace(self, handle=os.dup(self.handle))

    def reap(self) -> int:
        """How it has ended: the exit code, or minus the signal."""
        return reap(self.handle)

    def close(self) -> None:
        """Forget it."""
        handle, self.handle = self.handle, -1
        os.close(handle)


def end_left(running: Sequence[Running], mark: str, uid: int) -> None:
    """End programs and all that bears their mark: by asking, as a terminal does that is hung up, then for certain.

    Parameters
    ----------
    running : sequence of Running
        Copies, which are closed. They are ended whether or not they bear the mark: a process can take it off itself.
    mark : str
        ``NAME=value`` of their environment.
    uid : int
        Whose they are.
    """
    for name in ("HUP", "TERM", "CONT"):
        for each in running:
            each.send(name)
    left = list(marked_processes(mark, uid=uid))
    for pid in left:
        for sent in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            with suppress(ProcessLookupError):
                os.kill(pid, sent)
    until = time.monotonic() + _PATIENCE
    while (left or not all(has_ended(each.handle) for each in running)) and time.monotonic() < until:
        time.sleep(0.05)
        left = list(marked_processes(mark, uid=uid))
    for each in running:
        each.send("KILL")
        each.close()
    if left:
        kill_marked(mark, uid=uid)


def plan_command(wish: Wish, shell: str, *, terminal: bool) -> list[str]:
    """The command line for a wish.

    Raises
    ------
    ValueError
        Where the arguments of ``kernel`` have no end of their quotation.
    """
    python = [str(interpreter()), "-P", "-m"]
    if wish.kind == "sftp":
        return [*python, "earthlab.services.ssh.files"]
    if wish.kind == KERNEL:
        return [*python, "earthlab.services.ssh.consoles", *shlex.split(wish.command)[1:]]
    if wish.kind == "command":
        return [shell, "-c", wish.command]
    return [shell, "-i"] if terminal else [shell]


def start_wish(inside: Inside, wish: Wish, terminal: Terminal | None, words: Mapping[str, str]) -> Running:
    """Start what a client asks for, as the user, where the user's server is.

    Parameters
    ----------
    words : mapping
        More of its environment; the connection's `MARK` among it.

    Raises
    ------
    ValueError
        Where the command has no end of its quotation.
    OSError
        Where the system refuses.
    """
    shell = inside.environment.get("SHELL", "/bin/sh")
    return start_inside(inside, plan_command(wish, shell, terminal=terminal is not None), terminal, words)


def start_inside(
    inside: Inside, command: Sequence[str], terminal: Terminal | None, words: Mapping[str, str]
) -> Running:
    """Start a program as the user, where the user's server is.

    Parameters
    ----------
    inside : Inside
    command : sequence of str
        Program and arguments.
    terminal : Terminal, optional
        Gives it one; else it has three pipes.
    words : mapping
        More of its environment; the connection's `MARK` among it.
    """
    uid = inside.identity.uid
    ours, theirs = _open_terminal(terminal, uid) if terminal else _open_pipes(uid)
    named = {"TERM": terminal.kind or "dumb"} if terminal else {}
    request = {
        "identity": inside.identity.to_dict(),
        "home": inside.home,
        "environment": {**inside.environment, **named, **words},
        "command": list(command),
        "terminal": terminal is not None,
        "parent": os.getpid(),
    }
    try:
        pid, handle = _spawn(request, theirs, words[MARK])
    except BaseException:
        for each in {*ours}:
            os.close(each)
        raise
    finally:
        for each in {*theirs}:
            os.close(each)
    stdin, stdout, *stderr = ours
    return Running(pid, handle, stdin, stdout, stderr[0] if stderr else None)


def _spawn(request: Mapping[str, object], streams: Sequence[int], mark: str) -> tuple[int, int]:
    letter = wire.seal(request)
    try:
        stdin, stdout, stderr = streams
        process = subprocess.Popen(
            [str(interpreter()), "-P", "-m", "earthlab.services.ssh.entering", str(letter)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(letter,),
            cwd="/",
            env={name: os.environ[name] for name in _READABLE if name in os.environ} | {MARK: mark},
        )
    finally:
        os.close(letter)
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.wait()
        raise
    # We wait for it by its handle.
    process.returncode = 0
    return process.pid, handle


def _open_pipes(uid: int) -> tuple[list[int], list[int]]:
    pairs = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    ours = [pairs[0][1], pairs[1][0], pairs[2][0]]
    theirs = [pairs[0][0], pairs[1][1], pairs[2][1]]
    for each in ours:
        os.set_blocking(each, False)
        with suppress(PermissionError):
            # Beyond what one account may have of them; pipes then stay as large as they are.
            fcntl.fcntl(each, fcntl.F_SETPIPE_SZ, _PIPE)
    for each in theirs:
        # So that the program may open its streams once more, as /dev/stdout.
        os.fchown(each, uid, -1)
    return ours, theirs


def _open_terminal(terminal: Terminal, uid: int) -> tuple[list[int], list[int]]:
    ours, theirs = pty.openpty()
    os.fchown(theirs, uid, -1)
    _set_modes(theirs, terminal.modes)
    os.set_blocking(ours, False)
    resize(ours, terminal.size)
    return [ours, ours], [theirs, theirs, theirs]


def resize(terminal: int, size: Size) -> None:
    """Tell a terminal how large the client's is: columns, rows, and both in pixels."""
    # What a terminal can hold: a client can say anything.
    columns, rows, width, height = (min(each, 65535) for each in size)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))


_CHARACTERS = {1: termios.VINTR, 2: termios.VQUIT, 3: termios.VERASE, 4: termios.VKILL, 5: termios.VEOF}
_CHARACTERS |= {8: termios.VSTART, 9: termios.VSTOP, 10: termios.VSUSP, 12: termios.VREPRINT, 13: termios.VWERASE}
_CHARACTERS |= {14: termios.VLNEXT}
_FLAGS = {
    36: (0, termios.ICRNL),
    38: (0, termios.IXON),
    39: (0, termios.IXANY),
    42: (0, 0o40000),  # IUTF8, for which Python has no name
    50: (3, termios.ISIG),
    51: (3, termios.ICANON),
    53: (3, termios.ECHO),
    54: (3, termios.ECHOE),
    55: (3, termios.ECHOK),
    70: (1, termios.OPOST),
    72: (1, termios.ONLCR),
}


def _set_modes(terminal: int, modes: Mapping[int, int]) -> None:
    attributes = termios.tcgetattr(terminal)
    for number, value in modes.items():
        if number in _CHARACTERS and value < 256:
            attributes[6][_CHARACTERS[number]] = bytes([value])
        elif number in _FLAGS:
            place, flag = _FLAGS[number]
            attributes[place] = attributes[place] | flag if value else attributes[place] & ~flag
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def end_all_sessions(lab_id: str) -> int:
    """End what sessions of an earlier door have left in this lab; the number of processes."""
    return kill_marked(MARK, f"{MARKER}={lab_id}")
