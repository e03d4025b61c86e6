"""The processes of one lab: how they are found, tied to their parent, and ended for certain."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from earthlab.hub.accounts import lab_accounts
from earthlab.hub.layout import MARKER, Layout
from earthlab.kernel.process import find_process, fork_deaf, prctl, reap, split_stat, wait_for_end

_SET_CHILD_SUBREAPER = 36

_KILLED_WITHIN = 1.0
"""Seconds for a process that ends all of an account's."""


@dataclass(frozen=True, slots=True)
class Process:
    """One running process; ``start`` (clock ticks since boot) tells it from a later one with the same pid."""

    pid: int
    parent: int
    start: int
    uid: int
    command: str


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can slip away."""
    prctl(_SET_CHILD_SUBREAPER, 1)


def read_process(pid: int) -> Process | None:
    """What runs under a pid; ``None`` for nothing, or only a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        uid = int(Path(f"/proc/{pid}/status").read_text(errors="replace").split("\nUid:")[1].split()[0])
    except (OSError, IndexError):
        return None
    command, fields = split_stat(text)
    if fields[0] in "ZX":
        return None
    return Process(pid=pid, parent=int(fields[1]), start=int(fields[19]), uid=uid, command=command)


def list_processes() -> dict[int, Process]:
    """Every process of the machine by pid."""
    found = (read_process(int(entry.name)) for entry in os.scandir("/proc") if entry.name.isdigit())
    return {process.pid: process for process in found if process}


def ancestors(pid: int, everything: dict[int, Process] | None = None) -> set[int]:
    """A process and all it descends from."""
    known = list_processes() if everything is None else everything
    line = set()
    while pid in known and pid not in line:
        line.add(pid)
        pid = known[pid].parent
    return line


def descendants(pid: int, everything: dict[int, Process] | None = None) -> set[int]:
    """All that a process has started, directly or not; without itself."""
    known = list_processes() if everything is None else everything
    found: set[int] = set()
    fresh = {pid}
    while fresh:
        fresh = {p.pid for p in known.values() if p.parent in fresh} - found
        found |= fresh
    return found


def find_lab_processes(layout: Layout, *, spare: Iterable[int] = (), below: int | None = None) -> list[Process]:
    """The processes that belong to a lab.

    Of our own uid those that carry the lab's marker, or descend from ``below``; of other uids, who could write any
    marker they like, only those of the lab's own accounts.

    Parameters
    ----------
    spare : iterable of int
        Pids to leave out; our own always is.
    below : int, optional
        A process of the lab whose descendants belong to it too.
    """
    everything = list_processes()
    spared = {os.getpid(), *spare}
    kin = descendants(below, everything) if below else set()
    accounts = lab_accounts(layout) if os.getuid() == 0 else {}
    mark = f"{MARKER}={layout.lab_id}".encode()

    def belongs(process: Process) -> bool:
        if process.uid in accounts:
            return True
        return process.uid == os.getuid() and (process.pid in kin or mark in _environ(process.pid))

    return [p for p in everything.values() if p.pid not in spared and belongs(p)]


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def send(process: Process, sent: signal.Signals) -> None:
    """Send a signal to exactly this process: never to another that got its pid meanwhile."""
    handle = find_process(process.pid, process.start)
    if handle is None:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, sent)
    finally:
        os.close(handle)


def end_lab_processes(
    layout: Layout,
    *,
    spare: Iterable[int] = (),
    below: int | None = None,
    stays: Callable[[list[Process]], set[int]] | None = None,
    patience: float = 0.0,
    grace: float = 5.0,
) -> list[Process]:
    """End every process of a lab, and return those that are still there after all: normally none.

    Parameters
    ----------
    stays : callable, optional
        Of processes of the lab, the pids of those that are not to be ended; asked again at each look.
    patience : float
        Seconds to wait for processes that are about to end by themselves.
    grace : float
        Seconds between asking (SIGTERM) and forcing (SIGKILL).
    """

    def left() -> list[Process]:
        found = find_lab_processes(layout, spare=spare, below=below)
        staying = stays(found) if stays else set()
        return [process for process in found if process.pid not in staying]

    if not _wait_until_none(left, patience):
        for process in left():
            send(process, signal.SIGTERM)
        if not _wait_until_none(left, grace):
            _kill_until_none(left, lab_accounts(layout) if os.getuid() == 0 and stays is None else {})
    return left()


def end_account(layout: Layout, uid: int, *, patience: float = 2.0) -> list[Process]:
    """End every process of one of a lab's own accounts, and return those that are still there after all: normally none.

    Parameters
    ----------
    uid : int
        The account's; of any that is not the lab's nothing is ended.
    patience : float
        Seconds for processes that are about to end by themselves.
    """
    if os.getuid() != 0 or uid not in lab_accounts(layout):
        return []

    def left() -> list[Process]:
        return [process for process in list_processes().values() if process.uid == uid]

    if not _wait_until_none(left, patience):
        _kill_until_none(left, {uid})
    return left()


def _wait_until_none(left: Callable[[], list[Process]], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while left():
        if time.monotonic() >= until:
            return False
        time.sleep(0.1)
    return True


def _kill_until_none(left: Callable[[], list[Process]], accounts: Container[int], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while (processes := left()) and time.monotonic() < until:
        for uid in {p.uid for p in processes if p.uid in accounts}:
            _kill_account(uid)
        for process in processes:
            send(process, signal.SIGKILL)
        time.sleep(0.1)


def _kill_account(uid: int) -> None:
    # One kill(-1) as that uid reaches all of its processes at once: no fork outruns it. They may signal it before.
    child = fork_deaf(signal.valid_signals())
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    handle = os.pidfd_open(child)
    try:
        if not wait_for_end(handle, _KILLED_WITHIN):
            # They have stopped it: the next one may be quicker.
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        reap(handle)
    finally:
        os.close(handle)
