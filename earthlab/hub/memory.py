"""How much memory is free for further seats: on the machine, and within the bounds that the lab was started in."""

from contextlib import suppress
from dataclasses import replace

from earthlab.hub.cgroups import Group, own_group, read_use
from earthlab.kernel.memory import read_machine_memory


def read_free_memory() -> int:
    """Bytes that can be had without swapping and without meeting a limit of our control group or one above it."""
    free = read_machine_memory().available
    group = own_group()
    return min([free, *_free_within(group)]) if group else free


def _free_within(group: Group) -> list[int]:
    found = []
    for folder in (group.memory, *group.memory.parents):
        # The topmost group counts nothing, and above it are no groups.
        with suppress(OSError):
            use = read_use(replace(group, folders={"memory": folder}))
            if use.limit is not None:
                found.append(max(0, use.limit - use.memory))
    return found
