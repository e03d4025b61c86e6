"""debugpy's adapter, for nobody but the account that debugs.

Whoever reaches the adapter runs code in the kernel. It asks no client who they are, and listens where every account of
the machine can connect, from before the kernel's own first request until long after its last. Run as a program, this
file is the adapter; `own_adapter` has `debugpy.listen` start it.
"""

import os
import runpy
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from debugpy.common import sockets

from earthlab.kernel.tcp import find_owners


class OwnListener(socket.socket):
    """Accepts connections of this process's own account, and closes any other before a byte is read."""

    __slots__ = ()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection of our own, and its address; whoever is gone already is nobody's."""
        while True:
            line, address = super().accept()
            if find_owners(address, line.getsockname()) == {os.geteuid()}:
                return line, address
            line.close()


@contextmanager
def own_listeners() -> Iterator[None]:
    """Meanwhile whatever debugpy listens at is for our own account."""
    create = sockets.create_server

    def create_own(*given: Any, **named: Any) -> socket.socket:
        server: socket.socket = create(*given, **named)  # type: ignore[no-untyped-call]
        seconds = server.gettimeout()
        own = OwnListener(fileno=server.detach())
        own.settimeout(seconds)
        return own

    sockets.create_server = create_own
    try:
        yield
    finally:
        sockets.create_server = create


@contextmanager
def own_adapter() -> Iterator[None]:
    """Meanwhile `debugpy.listen` starts this adapter, and is told its ports by nobody else."""
    # It brings the half of debugpy that runs in kernels: the adapter has no use for it.
    from debugpy.server import api

    theirs = vars(api)["adapter"]
    # It starts the folder that this file would lie in.
    vars(api)["adapter"] = SimpleNamespace(__file__=f"{__file__}/__init__.py")
    try:
        with own_listeners():
            yield
    finally:
        vars(api)["adapter"] = theirs


def close_once_read(line: socket.socket) -> None:
    """Close a line when the other end has read it all: a kernel looks whose it is before it believes the ports."""
    with line:
        line.shutdown(socket.SHUT_WR)
        line.recv(1)


if __name__ == "__main__":
    # Programs find the modules of their own folder first: ours have names that others may have too.
    sys.path[:] = [place for place in sys.path if Path(place) != Path(__file__).parent]
    # The adapter closes one line by it: that by which it tells the kernel its ports.
    sockets.close_socket = close_once_read
    with own_listeners():
        runpy.run_module("debugpy.adapter", run_name="__main__")
