"""Folders of a user's own in place of those that everybody on a machine shares, such as /tmp: by a mount namespace.

Processes of the same user need not share a namespace: they see the same folders, whoever was first.
"""

import ctypes
import os
from collections.abc import Mapping

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_IPC = 0x00020000, 0x08000000
_SLAVE, _RECURSIVE, _BIND, _REMOUNT, _NO_SETUID, _NO_DEVICES = 1 << 19, 1 << 14, 1 << 12, 1 << 5, 1 << 1, 1 << 2


def see_own(places: Mapping[str, str]) -> None:
    """Have this process find a folder of its own at each place, and System V's memory and queues of its own.

    For a process of root's with one thread, also for the moment between fork and exec.

    Parameters
    ----------
    places : mapping
        The folder to be found, by where; both must be there.

    Raises
    ------
    OSError
        Where the machine does not let us.
    """
    _check(_LIBC.unshare(_NEW_MOUNTS | _NEW_IPC), "unshare")
    # What the operator mounts later is still seen, and nothing of ours outside.
    _mount(None, "/", _SLAVE | _RECURSIVE)
    for place, folder in places.items():
        _mount(folder, place, _BIND)
        _mount(None, place, _REMOUNT | _BIND | _NO_SETUID | _NO_DEVICES)


def can_see_own(places: Mapping[str, str]) -> bool:
    """Whether `see_own` is possible here: tried in a child that ends at once."""
    pid = os.fork()
    if pid == 0:
        try:
            see_own(places)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _mount(source: str | None, target: str, flags: int) -> None:
    from_, to = (None if each is None else os.fsencode(each) for each in (source, target))
    _check(_LIBC.mount(from_, to, None, ctypes.c_ulong(flags), None), target)


def _check(result: int, what: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
