"""The control groups that a process is in, as it finds them: what may be taken there, and what is; cgroups(7).

Version 1 and version 2; those that the lab makes are `earthlab.hub.cgroups`.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

CONTROLLERS = ("memory", "pids", "cpu")
"""What is governed, where the machine can: memory it must."""

_UNBOUNDED = 1 << 60
"""Version 1 says so large a number where there is no limit."""


@dataclass(frozen=True, slots=True)
class Use:
    """What the processes of a group have of memory, in bytes, and how many of them it has cost their lives."""

    memory: int
    """Without those copies of files that the machine can drop at any time."""
    limit: int | None
    kills: int


@dataclass(frozen=True, slots=True)
class Bound:
    """The bytes that a group may have, and how many of them are free."""

    limit: int
    free: int


@dataclass(frozen=True, slots=True)
class Mount:
    """A hierarchy of groups as it is mounted; ``controllers`` are those of version 1, none for version 2."""

    root: PurePosixPath
    point: Path
    version: Literal[1, 2]
    controllers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Group:
    """One group: its folder for each controller. With version 2 they are the same."""

    version: Literal[1, 2]
    folders: Mapping[str, Path]

    @property
    def places(self) -> tuple[str, ...]:
        """The folders that a process has to join, each once; see `earthlab.kernel.identity.Identity.cgroups`."""
        return tuple(dict.fromkeys(map(str, self.folders.values())))

    @property
    def memory(self) -> Path:
        """The folder in which memory is counted."""
        return self.folders["memory"]

    def below(self, name: str) -> "Group":
        """The group of that name in this one, which may not exist."""
        return Group(self.version, {controller: folder / name for controller, folder in self.folders.items()})


def parse_mounts(mountinfo: str) -> list[Mount]:
    """The hierarchies in the text of ``/proc/self/mountinfo``, proc_pid_mountinfo(5)."""
    found = []
    for line in filter(None, mountinfo.split("\n")):
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(" "), after.split(" ")[:3]
        if kind in {"cgroup", "cgroup2"}:
            root, point = map(_unescape, fields[3:5])
            controllers = frozenset(options.split(",")) if kind == "cgroup" else frozenset()
            found.append(Mount(PurePosixPath(root), Path(point), 1 if kind == "cgroup" else 2, controllers))
    return found


def _unescape(text: str) -> str:
    # Blanks, tabs, line ends and backslashes stand as octal numbers.
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def parse_membership(text: str) -> dict[str, PurePosixPath]:
    """The groups in the text of ``/proc/PID/cgroup`` by controller; the one of version 2 by an empty name."""
    found: dict[str, PurePosixPath] = {}
    for line in filter(None, text.split("\n")):
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), PurePosixPath(path))
    return found


def resolve_folders(membership: Mapping[str, PurePosixPath], mounts: list[Mount]) -> dict[str, Path]:
    """Where the groups of a process are in the file system, by controller; version 2 by an empty name.

    Those that lie outside of what is mounted are left out.
    """
    found = {}
    for mount in mounts:
        for controller in mount.controllers or {""}:
            path = membership.get(controller)
            if path is not None and path.is_relative_to(mount.root) and ".." not in path.parts:
                found[controller] = mount.point / path.relative_to(mount.root)
    return found


def resolve_group(folders: Mapping[str, Path], offered: frozenset[str]) -> Group | None:
    """The group of a process where memory is governed at all.

    Parameters
    ----------
    folders : mapping
        As `resolve_folders` gives them.
    offered : frozenset of str
        The controllers of version 2 that the process's group has.
    """
    if "memory" in folders:
        return Group(1, {name: folders[name] for name in CONTROLLERS if name in folders})
    if "memory" in offered:
        return Group(2, {name: folders[""] for name in CONTROLLERS if name in offered})
    return None


def parse_kills(text: str) -> int | None:
    """How many processes memory has cost their lives, in ``memory.events`` or ``memory.oom_control``."""
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else None


def parse_limit(text: str) -> int | None:
    """The bytes of ``memory.max`` or ``memory.limit_in_bytes``; ``None`` where there is no limit."""
    return None if text.strip() == "max" or int(text) >= _UNBOUNDED else int(text)


def parse_droppable(stat: str) -> int:
    """The bytes of ``memory.stat`` that are copies of files nobody has used for a while, in all groups below too."""
    found = dict(line.split() for line in stat.splitlines())
    return int(found.get("total_inactive_file", found["inactive_file"]))


def own_group(proc: Path = Path("/proc/self")) -> Group | None:
    """The group of this process, or of another by its folder in ``/proc``; ``None`` where memory is not governed."""
    mounts, membership = read_mounts(proc), parse_membership(os.fsdecode((proc / "cgroup").read_bytes()))
    folders = resolve_folders(membership, mounts)
    return resolve_group(folders, _offered(folders.get("")))


def read_mounts(proc: Path = Path("/proc/self")) -> list[Mount]:
    """The hierarchies that this process finds mounted, or another by its folder in ``/proc``."""
    return parse_mounts(os.fsdecode((proc / "mountinfo").read_bytes()))


def _offered(folder: Path | None) -> frozenset[str]:
    file = folder / "cgroup.controllers" if folder else None
    return frozenset(file.read_text().split()) if file and file.is_file() else frozenset()


def read_use(group: Group) -> Use:
    """What a group has of memory now.

    Raises
    ------
    OSError
        Where the group does not exist, or is the machine's topmost, which counts nothing.
    """
    one, two = ("memory.usage_in_bytes", "memory.limit_in_bytes"), ("memory.current", "memory.max")
    names = (*(one if group.version == 1 else two), "memory.stat")
    used, limit, stat = ((group.memory / name).read_text() for name in names)
    return Use(max(0, int(used) - parse_droppable(stat)), parse_limit(limit), count_kills(group))


def count_kills(group: Group) -> int:
    """How many processes of a group memory has cost their lives.

    Kernels before 4.13 count with version 1 only how often the limit was met, which then stands for it.

    Raises
    ------
    OSError
        Where the group does not exist.
    """
    text = (group.memory / ("memory.oom_control" if group.version == 1 else "memory.events")).read_text()
    kills = parse_kills(text)
    return int((group.memory / "memory.failcnt").read_text()) if kills is None else kills


def read_bounds(group: Group) -> list[Bound]:
    """How much memory is free now in a group and those above it, for each that is bounded."""
    found = []
    for folder in (group.memory, *group.memory.parents):
        # The topmost group counts nothing, and above it are no groups.
        with suppress(OSError):
            use = read_use(replace(group, folders={"memory": folder}))
            if use.limit is not None:
                found.append(Bound(use.limit, max(0, use.limit - use.memory)))
    return found
