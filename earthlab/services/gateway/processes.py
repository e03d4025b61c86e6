"""Processes of a cluster: as whom they run, and how they end with all that they started."""

import asyncio
import contextlib
import ctypes
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from earthlab.hub.accounts import Account
from earthlab.hub.cgroups import Group, join
from earthlab.kernel.memory import KERNEL, go_first

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _entering(parent: int, account: Account, group: Group | None) -> Callable[[], None]:
    # Between fork and exec nothing may be loaded or looked up.
    places = group.places if group else ()
    groups = None if account.uid == os.getuid() else os.getgrouplist(account.name, account.gid)

    def enter() -> None:
        join(places)
        go_first(KERNEL)
        if groups is not None:
            os.setgroups(groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        # Only now: a process that changes its user loses the wish.
        if _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) or os.getppid() != parent:
            os._exit(1)

    return enter


async def start_process(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    account: Account,
    group: Group | None = None,
) -> Process:
    """A process in a session of its own, as `account`, that does not outlive this one.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    env : mapping
        Its whole environment.
    folder : Path
        Where it runs.
    log : Path
        New file for its output; its folder must not be writable for `account`.
    account : Account
        As whom it runs.
    group : Group, optional
        The control group that it joins.
    """
    with log.open("xb") as output:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=dict(env),
            cwd=folder,
            umask=0o077,
            start_new_session=True,
            preexec_fn=_entering(os.getpid(), account, group),
        )


async def stop_process(process: Process, *, patience: float) -> None:
    """Ask a process to end, then end its whole group whether or not it did."""
    _signal(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), patience)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(pid: int, sig: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def marked_processes(*marks: str, proc: Path = Path("/proc")) -> Iterator[int]:
    """The processes, this one apart, whose environment holds every mark: `NAME=value`, or `NAME` with any value."""
    wanted = {mark.encode() for mark in marks}
    for folder in proc.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and wanted <= _environment(folder):
            yield int(folder.name)


def _environment(folder: Path) -> set[bytes]:
    try:
        entries = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return set()
    return {*entries, *(entry.partition(b"=")[0] for entry in entries)}


def kill_marked(*marks: str, rounds: int = 20) -> int:
    """Kill every process that bears the marks, and those it still starts meanwhile; the number killed."""
    killed = 0
    for _ in range(rounds):
        found = list(marked_processes(*marks))
        if not found:
            break
        for pid in found:
            _signal(pid, signal.SIGKILL)
        killed += len(found)
        time.sleep(0.02)
    return killed
