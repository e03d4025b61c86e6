"""Processes of a cluster: as whom they run, and how they end with all that they started."""

import asyncio
import contextlib
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from earthlab.hub.accounts import Account
from earthlab.hub.cgroups import join
from earthlab.kernel.groups import Group
from earthlab.kernel.memory import KERNEL, SERVER, go_first
from earthlab.kernel.private import see_own
from earthlab.kernel.process import tie_to_parent

CLUSTER_MARK = "DASK_GATEWAY_CLUSTER_NAME"
"""Variable with the cluster's name, in the environment of each of its processes."""

SCORES = {"scheduler": SERVER, "worker": KERNEL}
"""How readily each goes when memory is short, see `go_first`: a cluster is to lose a worker, not its scheduler."""


class Running(Protocol):
    """A process of a cluster, whichever way it was started."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int | None: ...
    async def wait(self) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom a process of a cluster runs."""

    env: Mapping[str, str]
    """Its whole environment."""
    folder: Path
    log: Path
    """New file for its output; its folder must not be writable for ``account``."""
    account: Account
    group: Group | None = None
    """The control group that it joins."""
    private: Mapping[str, str] = field(default_factory=dict)
    """Folders of the account's own, by the places where it finds them in place of everybody's; for root."""


def _entering(parent: int, place: Place, score: int) -> Callable[[], None]:
    # Between fork and exec nothing may be loaded or looked up.
    account, places = place.account, place.group.places if place.group else ()
    groups = None if account.uid == os.getuid() else os.getgrouplist(account.name, account.gid)

    def enter() -> None:
        join(places)
        go_first(score)
        if place.private:
            see_own(place.private)
        if groups is not None:
            os.setgroups(groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        # Only now: a process that changes its user loses the wish.
        tie_to_parent(parent, signal.SIGKILL)

    return enter


async def start_process(command: Sequence[str], place: Place, *, score: int = 0) -> Process:
    """A process in a session of its own that does not outlive this one.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    place : Place
    score : int
        How readily it goes when memory is short, see `go_first`.
    """
    with place.log.open("xb") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=dict(place.env),
            cwd=place.folder,
            umask=0o077,
            start_new_session=True,
            preexec_fn=_entering(os.getpid(), place, score),
        )


async def stop_process(process: Running, *, patience: float) -> None:
    """Ask a process to end, then end its whole group whether or not it did."""
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), patience)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # A copy leads no group in its first moment. Where there is one, `subprocess` must not look at the process
        # besides: it would take the code with which it ended away from asyncio.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def _signal(pid: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def marked_processes(*marks: str, proc: Path = Path("/proc"), uid: int | None = None) -> Iterator[int]:
    """The processes, this one apart, whose environment holds every mark: `NAME=value`, or `NAME` with any value.

    Where a uid is given only its processes are looked at, which is quicker.
    """
    wanted = {mark.encode() for mark in marks}
    for folder in proc.iterdir():
        is_other = folder.name.isdigit() and int(folder.name) != os.getpid()
        if is_other and _may_be_of(folder, uid) and wanted <= _environment(folder):
            yield int(folder.name)


def _may_be_of(folder: Path, uid: int | None) -> bool:
    try:
        # The folder is root's where a process may not be looked at.
        return uid is None or folder.stat().st_uid in {uid, 0}
    except FileNotFoundError:
        return False


def _environment(folder: Path) -> set[bytes]:
    try:
        entries = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return set()
    return {*entries, *(entry.partition(b"=")[0] for entry in entries)}


def kill_marked(*marks: str, rounds: int = 20, uid: int | None = None) -> int:
    """Kill every process that bears the marks, and those it still starts meanwhile; the number killed."""
    killed = 0
    for _ in range(rounds):
        found = list(marked_processes(*marks, uid=uid))
        if not found:
            break
        for pid in found:
            _signal(pid, signal.SIGKILL)
        killed += len(found)
        time.sleep(0.02)
    return killed
