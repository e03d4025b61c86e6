"""How much memory is free for further seats: on the machine, and within the bounds that the lab was started in."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from earthlab.hub.cgroups import Group, own_group, read_use


def read_free_memory() -> int:
    """Bytes that can be had without swapping and without meeting a limit of our control group or one above it."""
    free = parse_available(Path("/proc/meminfo").read_text())
    group = own_group()
    return min([free, *_free_within(group)]) if group else free


def parse_available(meminfo: str) -> int:
    """``MemAvailable`` of ``/proc/meminfo``, in bytes."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _free_within(group: Group) -> list[int]:
    found = []
    for folder in (group.memory, *group.memory.parents):
        # The topmost group counts nothing, and above it are no groups.
        with suppress(OSError):
            use = read_use(replace(group, folders={"memory": folder}))
            if use.limit is not None:
                found.append(max(0, use.limit - use.memory))
    return found
