"""Ports of this machine for labs under test."""

import contextlib
import itertools
import os
import socket

_FIRSTS = range(18500, 28500, 10)


def free_row(length: int = 10) -> int:
    """The first of some ports in a row that nobody uses: a lab takes the one it is told and those after it.

    Each process looks from a place of its own on: between the look and the lab's start others could take the same.
    """
    start = os.getpid() % len(_FIRSTS)
    for first in itertools.chain(_FIRSTS[start:], _FIRSTS[:start]):
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
