"""Ports of this machine for labs under test."""

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path

_FIRSTS = range(18500, 28500, 10)


def free_row(length: int = 10) -> int:
    """The first of some ports in a row that nobody uses: a lab takes the one it is told and those after it.

    Processes take turns: a row is given again only after all others were, since between this look and the lab's start
    it would seem free to whoever else looks.
    """
    for _ in _FIRSTS:
        first = _FIRSTS[_take_turn() % len(_FIRSTS)]
        if _is_free(first, length):
            return first
    raise AssertionError(f"no {length} free ports in a row")


def _take_turn() -> int:
    """One more than the last time, in whichever process of this account that was."""
    count = Path(tempfile.gettempdir()) / f"earthlab-ports-{os.getuid()}"
    with os.fdopen(os.open(count, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        turn = int(file.read() or os.getpid()) + 1
        file.seek(0)
        file.truncate()
        file.write(str(turn))
    return turn


def _is_free(first: int, length: int) -> bool:
    with contextlib.ExitStack() as stack:
        for port in range(first, first + length):
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
