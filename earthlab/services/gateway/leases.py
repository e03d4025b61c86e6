"""When a cluster has to end because nobody is there for it any more: pure decisions."""

from collections.abc import Iterable
from dataclasses import dataclass

LEASE = "EARTHLAB__COMPUTE__LEASE"
"""The variable that tells a scheduler the seconds it outlives its last client."""


@dataclass(frozen=True, slots=True)
class Attendance:
    """When a cluster's scheduler last saw a client, on a clock that only goes forward."""

    since: float
    """The moment of the last client; of the start, while there was none."""
    met: bool = False
    """Whether a client was ever there."""

    def seen(self, now: float, *, clients: int) -> "Attendance":
        """The attendance after a look at `now` that found so many clients."""
        return Attendance(now, met=True) if clients else self

    def ended(self, now: float, *, lease: float, grace: float) -> bool:
        """Whether the lease is over: `lease` seconds after the last client, `grace` where none ever came."""
        return now - self.since > (lease if self.met else max(lease, grace))


@dataclass(frozen=True, slots=True)
class OwnedCluster:
    """A live cluster, whose it is and when it was started (seconds since the epoch)."""

    name: str
    owner: str
    started: float


@dataclass(frozen=True, slots=True)
class HubView:
    """Whose servers run, as the hub last said, and when it said so (seconds since the epoch)."""

    owners: frozenset[str]
    told: float


def plan_stops(
    clusters: Iterable[OwnedCluster], view: HubView, now: float, *, grace: float, patience: float
) -> dict[str, str]:
    """The clusters to stop now, each with the reason.

    A cluster goes when its owner has no running server and it is older than `grace` seconds. While the hub is silent
    nobody's server is known: the clusters stay, until it has been silent for `patience` seconds.
    """
    if now - view.told > patience:
        return {c.name: f"the hub has not answered for {patience:.0f} s" for c in clusters}
    return {
        c.name: f"{c.owner} has no running server"
        for c in clusters
        if c.owner not in view.owners and now - c.started > grace and view.told > c.started
    }
