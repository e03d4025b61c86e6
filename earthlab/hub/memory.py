"""How much memory is free for further seats: on the machine, and within the bounds that the lab was started in."""

from earthlab.kernel.groups import own_group, read_bounds
from earthlab.kernel.memory import read_machine_memory


def read_free_memory() -> int:
    """Bytes that can be had without swapping and without meeting a limit of our control group or one above it."""
    free = read_machine_memory().available
    group = own_group()
    return min([free, *(bound.free for bound in read_bounds(group))]) if group else free
