"""A process seen from outside: alive or ended, and how; and a process that ends when another does."""

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path

_SET_PDEATHSIG = 1
_SET_DUMPABLE = 4
_SET_NAME = 15

_FILES = 256
"""Descriptors that a copy has room for: more than a kernel or a server opens by itself."""

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int | bytes) -> None:
    """Set a property of this process or thread, prctl(2). Also between a fork and what follows it.

    Raises
    ------
    OSError
        Where the machine refuses.
    """
    given = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    if _LIBC.prctl(option, given, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def set_dumpable() -> None:
    """Let this process's own account look at it in /proc, prctl(2)."""
    prctl(_SET_DUMPABLE, 1)


def fork_deaf(sent: Iterable[signal.Signals]) -> int:
    """As `os.fork`, but that such signals wait in the child until it lets them through.

    It would take them with the handlers of this process, and pass them on to it where a loop is woken by signals.
    """
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, sent)
    pid = -1
    try:
        pid = os.fork()
    finally:
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)
    return pid


def tie_to_parent(parent: int, sent: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send us ``sent`` when our parent ends, however it ends; at once where it already has."""
    prctl(_SET_PDEATHSIG, sent)
    if os.getppid() != parent:
        os.kill(os.getpid(), sent)


def set_name(name: str) -> None:
    """Name this process, as ``ps`` and /proc/PID/comm show it, by at most 15 bytes; only from the main thread."""
    prctl(_SET_NAME, name.encode()[:15])


def show_environment(names: Iterable[str]) -> None:
    """Have /proc/PID/environ show these variables of ours, and no others: those that leftovers are found by.

    The machine shows there what the program was started with, which for a copy is what its template was: the place in
    memory stays the same. Variables that it has no room for are left out.
    """
    # env_start is the 50th of all fields.
    start, end = (int(field) for field in split_stat(Path("/proc/self/stat").read_text(errors="replace"))[1][47:49])
    shown = [f"{name}={os.environ[name]}".encode() + b"\0" for name in names if name in os.environ]
    while sum(map(len, shown)) > end - start:
        shown.pop()
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, b"".join(shown), sum(map(len, shown)))


def split_stat(text: str) -> tuple[str, list[str]]:
    """The command in a ``/proc/<pid>/stat`` and the fields after it, the state first, proc_pid_stat(5)."""
    # The command stands in brackets and may itself hold brackets and blanks.
    command, _, rest = text.partition("(")[2].rpartition(")")
    return command, rest.split()


def read_start(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot, which tells it from a later one with the same pid.

    ``None`` where none has that pid, or only a zombie.
    """
    try:
        fields = split_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))[1]
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def find_process(pid: int, start: int) -> int | None:
    """A pidfd of the process that had this pid when it was started at ``start``; ``None`` where it has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # Looked at only now: from here on the pid cannot become another's unnoticed.
    if read_start(pid) == start and not has_ended(handle):
        return handle
    os.close(handle)
    return None


def make_room_for_files() -> None:
    """Have the table of descriptors grow now: where a process has threads, Linux waits 11 to 17 ms for it (RCU)."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    with contextlib.suppress(OSError):
        # Whatever is in the way, it grows when it must.
        os.close(fcntl.fcntl(0, fcntl.F_DUPFD, many - 1))


def stand_back(nice: int) -> None:
    """Leave the processors to others that want them, at least so far (nice(2)); never less than before."""
    os.nice(max(0, nice - os.nice(0)))


def has_ended(handle: int) -> bool:
    """Whether the process of a pidfd has ended."""
    return wait_for_end(handle, 0)


def wait_for_end(handle: int, seconds: float | None = None) -> bool:
    """Wait until the process of a pidfd ends; False where it has not within so many seconds."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def reap(handle: int) -> int:
    """How a child of ours ended, as `subprocess` counts it: the exit code, or minus the signal."""
    found = os.waitid(os.P_PIDFD, handle, os.WEXITED)
    assert found is not None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def signal_group(pid: int, handle: int, sent: int) -> None:
    """Signal a process that leads its group, and the group; nobody where the process has ended."""
    if not has_ended(handle):
        try:
            os.killpg(pid, sent)
        except ProcessLookupError:
            # Forked, but not yet the leader of a group.
            signal.pidfd_send_signal(handle, sent)


def end_with(handle: int, *, grace: float = 5.0) -> None:
    """From now on, end this process when that of a pidfd has ended: by SIGTERM, and for certain after ``grace`` s.

    A thread waits for it, at no cost.
    """

    def watch() -> None:
        wait_for_end(handle)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="earthlab-owner", daemon=True).start()
