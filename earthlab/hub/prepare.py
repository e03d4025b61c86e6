"""What must be so before a hub starts on a state folder: its rooms, one hub at a time, nothing left from before."""

import fcntl
import os
import stat
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.hub.ending import END_BY_HAND, end_all
from earthlab.hub.layout import Layout
from earthlab.hub.processes import ancestors
from earthlab.hub.rehearsing import make_rehearsal_token


def prepare_lab(layout: Layout, *, clear: bool = True) -> int:
    """Make the lab's folders, take its lock and end what an earlier hub left.

    Parameters
    ----------
    clear : bool
        Whether what an earlier hub left is to be ended; not where a supervisor has seen to it, and people's servers
        go on.

    Returns
    -------
    int
        The descriptor of the lock, held until it is closed or this process ends.

    Raises
    ------
    SetupError
        Where a folder cannot be made or belongs to somebody else, where this lab already runs, or where a process of
        an earlier run will not end.
    """
    make_folders(layout)
    # JupyterHub would make its database readable by all and trust the folder alone.
    os.close(os.open(layout.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    layout.database.chmod(0o600)
    make_rehearsal_token(layout)
    lock = take_lock(layout)
    if clear:
        clear_leftovers(layout)
    # Its pid is another program's by now, and JupyterHub would end whatever has it.
    layout.proxy_pid.unlink(missing_ok=True)
    return lock


def make_folders(layout: Layout) -> None:
    """Make the state folder and its rooms, with rights that let each account see only what it must."""
    for folder, mode in (
        (layout.state, 0o755),
        (layout.hub, 0o700),
        (layout.server_logs, 0o700),
        (layout.homes, 0o711),
        (layout.catalogue, 0o755),
        (layout.run, 0o711),
        (layout.turns, 0o755),
    ):
        _make_folder(folder, mode)
    make_turns(layout.turns, os.cpu_count() or 1)


def make_pod_folders(layout: Layout) -> None:
    """Make what a pod keeps on its volume: the state folder is the volume itself, the cluster's own, ours to write."""
    layout.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_folder(layout.hub, 0o700)
    _make_folder(layout.catalogue, 0o755)


def make_turns(folder: Path, count: int) -> None:
    """Make the files by whose locks kernels take turns; those of more cores than there are now go away."""
    for at in range(count):
        file = os.open(folder / str(at), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o444)
        os.fchmod(file, 0o444)
        os.close(file)
    for left in set(folder.iterdir()) - {folder / str(at) for at in range(count)}:
        left.unlink()


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        # `run` lies in a folder where anybody may make things: a stranger's folder or link must not be taken for ours.
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise SetupError(
                f"{folder} exists and is not a folder of uid {os.getuid()}. Remove it, or set EARTHLAB__LAB__STATE."
            )
        folder.chmod(mode)
    except OSError as exc:
        raise SetupError(
            f"{folder} cannot be made or written: {exc.strerror}. "
            "Mend its rights, or set EARTHLAB__LAB__STATE to a folder of yours."
        ) from exc


def take_lock(layout: Layout) -> int:
    """The descriptor of the lock that says this lab's hub runs. No child inherits it.

    Raises
    ------
    SetupError
        Where another process holds it; the message names its pid.
    """
    # A bare descriptor: a file object would let go of the lock once nobody refers to it.
    lock = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        holder = os.read(lock, 20).decode().strip() or "?"
        os.close(lock)
        raise SetupError(
            f"this lab already runs (process {holder}, state {layout.state}). "
            "End it first, or give this one its own EARTHLAB__LAB__STATE and EARTHLAB__LAB__PORT."
        ) from exc
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def lab_runs(layout: Layout) -> bool:
    """Whether a hub holds this lab's lock.

    Raises
    ------
    SetupError
        Where the lab is another account's, which alone may know.
    """
    try:
        lock = os.open(layout.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError as exc:
        raise SetupError(f"the lab in {layout.state} belongs to another account. Ask as that account (sudo?).") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def clear_leftovers(layout: Layout) -> None:
    """End every process that an earlier run of this lab left, and remove what they had. Only for who holds the lock."""
    if left := end_all(layout, spare=ancestors(os.getpid()), grace=3.0):
        raise SetupError(f"of an earlier run these will not end: {', '.join(left)}. {END_BY_HAND}")
