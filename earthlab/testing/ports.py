"""Ports of this machine for labs under test."""

import contextlib
import socket


def free_row(length: int = 8) -> int:
    """The first of some ports in a row that nobody uses: a lab takes the one it is told and those after it."""
    for first in range(18500, 28500, 10):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + length):
                    probe = stack.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {length} free ports in a row")
