"""Computing on the lab's Dask Gateway: a cluster of the user's own, and the progress of what runs there."""

from earthlab.compute.cluster import Cluster, cluster
from earthlab.compute.progress import progress

__all__ = ["Cluster", "cluster", "progress"]
