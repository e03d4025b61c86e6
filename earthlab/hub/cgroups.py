"""Control groups: what all processes of one user may take together, cgroups(7), versions 1 and 2.

The lab has one group, ``earthlab-<lab id>``, below the one that it was itself started in, so that what bounds the lab
bounds its users too; each user's server has one below that. Where no group can be made, the bounds of each process by
itself remain, see `earthlab.hub.server.bound_resources`.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from earthlab.hub.layout import Layout
from earthlab.kernel.groups import CONTROLLERS, Group, Mount, own_group, read_mounts

_LAB_WEIGHT = 200
"""The whole class against the hub and its services, of which each process (version 1) or all (version 2) have 100."""

_REFUGE = "earthlab-hub"
"""Where the processes of a group of version 2 go that has labs below it."""

_PROCS = "cgroup.procs"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the processes of a group may have together."""

    memory: int
    """Bytes; none of it, and nothing beyond it, in swap."""
    processes: int = 1024
    """Processes and threads."""
    cpu_weight: int = 100
    """Share of the processors where there are not enough for all: 100 is everybody's, from 1 to 10,000."""


def plan_limits(version: Literal[1, 2], limits: Limits) -> dict[str, list[tuple[str, str]]]:
    """The files to write for each controller, in order, and what to write into them."""
    memory = str(limits.memory)
    if version == 2:
        return {
            "memory": [("memory.max", memory), ("memory.swap.max", "0")],
            "pids": [("pids.max", str(limits.processes))],
            "cpu": [_plan_weight(version, limits.cpu_weight)],
        }
    return {
        # Memory with swap may never be bounded below memory alone.
        "memory": [
            ("memory.memsw.limit_in_bytes", "-1"),
            ("memory.limit_in_bytes", memory),
            ("memory.memsw.limit_in_bytes", memory),
        ],
        "pids": [("pids.max", str(limits.processes))],
        "cpu": [_plan_weight(version, limits.cpu_weight)],
    }


def _plan_weight(version: Literal[1, 2], weight: int) -> tuple[str, str]:
    return ("cpu.weight", str(weight)) if version == 2 else ("cpu.shares", str(max(2, weight * 1024 // 100)))


_MAY_BE_MISSING = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})
"""Where the machine's kernel does not count swap."""


def governed_group() -> Group | None:
    """The group of this process where memory is governed and others can be made below it."""
    own = own_group()
    return own if own and all(os.access(place, os.W_OK) for place in own.places) else None


def lab_name(layout: Layout) -> str:
    """What the group of a lab is called."""
    return f"earthlab-{layout.lab_id}"


def open_lab_group(layout: Layout, own: Group | None = None) -> Group:
    """The lab's group below our own, made where it does not exist.

    With version 2 a group that has others below it can have no processes of its own: ours, and those that share our
    group, move into one beside the lab's.

    Raises
    ------
    OSError
        Where no group can be made: memory is not governed, or not ours to govern.
    """
    own = own or own_group()
    if own is None:
        raise OSError(errno.EOPNOTSUPP, "memory is not governed by control groups")
    base = _above(own) if own.memory.name == _REFUGE else own
    if base.version == 2:
        _delegate(base)
    lab = base.below(lab_name(layout))
    _make(lab)
    _write(lab, {"cpu": [_plan_weight(lab.version, _LAB_WEIGHT)]})
    if lab.version == 2:
        _pass_on(lab)
    return lab


def _above(group: Group) -> Group:
    return Group(group.version, {name: folder.parent for name, folder in group.folders.items()})


def _delegate(group: Group) -> None:
    """Have a group of version 2 pass its controllers on to those below it."""
    try:
        _pass_on(group)
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        refuge = group.memory / _REFUGE
        refuge.mkdir(exist_ok=True)
        _move(group.memory, refuge)
        _pass_on(group)


def _pass_on(group: Group) -> None:
    _write_file(group.memory / "cgroup.subtree_control", " ".join(f"+{name}" for name in group.folders))


def _move(source: Path, target: Path) -> None:
    for _ in range(20):
        members = _members(source)
        if not members:
            return
        for pid in members:
            # It may have ended.
            with suppress(ProcessLookupError):
                _write_file(target / _PROCS, str(pid))


def open_group(lab: Group, name: str, limits: Limits) -> Group:
    """A group in the lab's for one user, bounded before anybody joins it. Joining is to write 0 as the process itself.

    Raises
    ------
    OSError
        Where it cannot be made; nothing is left of it then.
    """
    group = lab.below(name)
    try:
        _make(group)
        _write(group, plan_limits(group.version, limits))
    except OSError:
        _remove(group.places)
        raise
    return group


def _make(group: Group) -> None:
    for place in group.places:
        Path(place).mkdir(exist_ok=True)


def _write(group: Group, plan: Mapping[str, list[tuple[str, str]]]) -> None:
    for controller, folder in group.folders.items():
        for name, content in plan.get(controller, ()):
            if (folder / name).exists() or name not in _MAY_BE_MISSING:
                _write_file(folder / name, content)


def _write_file(file: Path, content: str) -> None:
    # Not by way of a buffer, whose error would come at closing; and a file that is not there must not be made.
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, content.encode())
    finally:
        os.close(descriptor)


def join(places: tuple[str, ...]) -> None:
    """Have this process and all that it starts belong to a group; made for the moment between fork and exec."""
    for place in places:
        _write_file(Path(place, _PROCS), "0")


def close_group(group: Group, *, patience: float = 2.0) -> bool:
    """End what still runs in a group and remove it; False where something would not end. Gone already is no fault.

    Parameters
    ----------
    patience : float
        Seconds for processes that are about to end by themselves.
    """
    places = group.places
    if not _wait_until(partial(_are_empty, places), patience):
        for folder in _forks_stopped_first(filter(Path.is_dir, map(Path, places))):
            _end(folder)
        _wait_until(partial(_are_empty, places), 5.0)
    return _remove(places)


def _are_empty(places: tuple[str, ...]) -> bool:
    return all(_is_empty(Path(place)) for place in places)


def _is_empty(folder: Path) -> bool:
    return not _members(folder)


def _members(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / _PROCS).read_text().split()]
    except FileNotFoundError:
        return []


def _forks_stopped_first(folders: Iterable[Path]) -> list[Path]:
    """Where a group has several folders, the one first in which it can be kept from forking."""
    return sorted(folders, key=lambda folder: not (folder / "pids.max").exists())


def _end(folder: Path) -> None:
    """Kill all of a group, however quickly it forks."""
    if (folder / "cgroup.kill").exists():
        _write_file(folder / "cgroup.kill", "1")
        return
    if (folder / "pids.max").exists():
        _write_file(folder / "pids.max", "0")
    for _ in range(50):
        if not (members := _members(folder)):
            return
        for pid in members:
            _kill_member(pid, folder)
        time.sleep(0.02)


def _kill_member(pid: int, folder: Path) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            # The pid may have become another's: the handle is that of a member only if the pid still is one's.
            if pid in _members(folder):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _wait_until(holds: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
    return True


def _remove(places: tuple[str, ...]) -> bool:
    """Whether all are gone: for a moment after its last process has ended a group still counts it."""
    left = [place for place in places if not _wait_until(partial(_is_removed, place), 1.0)]
    return not left


def _is_removed(place: str) -> bool:
    try:
        Path(place).rmdir()
    except FileNotFoundError:
        return True
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        return False
    return True


def sweep(layout: Layout) -> list[str]:
    """Remove every group that a lab has made, wherever it was started; the folders of those that would not go.

    For when none of the lab's processes runs any more: what is found in its users' groups is killed.
    """
    folders = _forks_stopped_first(_find_folders(read_mounts(), lab_name(layout)))
    return [str(folder) for folder in folders if not _is_swept(folder)]


def _find_folders(mounts: list[Mount], name: str) -> Iterator[Path]:
    for mount in mounts:
        if mount.version == 2 or mount.controllers & set(CONTROLLERS):
            for folder, below, _ in os.walk(mount.point):
                if name in below:
                    below.remove(name)
                    yield Path(folder, name)


def _is_swept(lab: Path) -> bool:
    try:
        for user in [each for each in lab.iterdir() if each.is_dir()]:
            _end(user)
            _wait_until(partial(_is_empty, user), 5.0)
            _remove((str(user),))
        gone = _remove((str(lab),))
        _leave_refuge(lab.parent)
    except FileNotFoundError:
        # Somebody else of the lab sweeps too, and was there before us.
        return not lab.exists() or _is_swept(lab)
    except PermissionError:
        # Made by root, for the same folder of state.
        return False
    return gone


def _leave_refuge(folder: Path) -> None:
    """Give a group of version 2 its own processes back, where no other lab is below it."""
    below = [each.name for each in folder.iterdir() if each.is_dir()]
    if below == [_REFUGE]:
        control = folder / "cgroup.subtree_control"
        _write_file(control, " ".join(f"-{name}" for name in control.read_text().split()))
        _move(folder / _REFUGE, folder)
        _remove((str(folder / _REFUGE),))
