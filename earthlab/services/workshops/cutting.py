"""``python -m earthlab.services.workshops.cutting FILE PORT``: cuts the outside network off, then enters a place.

What it starts has a network of its own in which there is nothing but itself, and a socket that listens at the lab's
port there: see `earthlab.services.workshops.trial.pass_on_to_lab`.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys

from earthlab.services.ssh import entering

LISTENER = 100
"""The descriptor of the socket at the lab's port."""

CANNOT = 253
"""The exit code where this machine does not let us."""

_NEW_NETWORK = 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1


def cut_network() -> None:
    """Have this process, and what it starts, a network of its own: nobody else is in it. It takes root.

    Raises
    ------
    OSError
        Where the machine does not let us.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(line, _GET_FLAGS, request), 16)
        fcntl.ioctl(line, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))


def main() -> None:
    """Cut, listen, enter."""
    try:
        cut_network()
        listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
    except OSError:
        sys.exit(CANNOT)
    os.dup2(listener.fileno(), LISTENER, inheritable=True)
    entering.main()


if __name__ == "__main__":
    main()
