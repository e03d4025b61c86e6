"""The control group of a cluster: what its scheduler and workers may take together, beside their owner's server."""

from earthlab.hub.accounts import account_name
from earthlab.hub.cgroups import Limits, open_group, open_lab_group
from earthlab.hub.layout import Layout
from earthlab.kernel.groups import Group

_SCHEDULER = 512 * 2**20
_START = 256 * 2**20
"""What a worker has before its first task, beyond which it bounds itself: well before the group would end it."""

_WEIGHT = 50
"""Half of what a server and its kernels have: whoever types goes before what computes in the background."""


def plan_cluster_limits(workers: int, worker_memory: int) -> Limits:
    """What a cluster may have that has as many workers as its owner may."""
    return Limits(_SCHEDULER + workers * (worker_memory + _START), cpu_weight=_WEIGHT)


def open_cluster_group(layout: Layout, worker_memory: int, owner: str, cluster: str, workers: int) -> Group:
    """The group of one cluster of at most so many workers, in the lab's.

    Raises
    ------
    OSError
        Where the machine lets us make none.
    """
    limits = plan_cluster_limits(workers, worker_memory)
    return open_group(open_lab_group(layout), f"{account_name(owner, layout.lab_id)}-{cluster[:12]}", limits)
