"""A process seen from outside: alive or ended, and how; and a process that ends when another does."""

import ctypes
import os
import select
import signal
import threading
import time

_SET_DUMPABLE = 4
_SET_NAME = 15


def set_dumpable() -> None:
    """Let this process's own account look at it in /proc, prctl(2)."""
    _prctl(_SET_DUMPABLE, 1)


def set_name(name: str) -> None:
    """Name this process, as ``ps`` and /proc/PID/comm show it, by at most 15 bytes; only from the main thread."""
    _prctl(_SET_NAME, ctypes.c_char_p(name.encode()[:15]))


def _prctl(option: int, value: int | ctypes.c_char_p) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


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
