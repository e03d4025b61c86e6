"""A cluster inside this process, for where there is no gateway."""

import dask
from distributed import LocalCluster

from earthlab.compute.pages import close_pages

NO_PROFILE = {"distributed.worker.profile.enabled": False}
"""Dask's sampling of threads, which nothing here shows, can stop all of them for ever: CPython before 3.11.5 and 3.12
locks itself up where one thread lists the frames of all while another starts and memory is tidied (python/cpython,
gh-106883)."""


def start_local(threads: int) -> LocalCluster:
    """A Dask cluster of so many threads of this process, which nobody else can reach.

    Threads and not processes: it starts in a moment, a script needs no ``if __name__ == "__main__"``, nothing is
    copied, and GDAL, numpy and the codecs work outside of Python's lock.
    """
    with dask.config.set({**NO_PROFILE, "distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}):
        cluster = LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address="127.0.0.1:0"
        )
    for node in (cluster.scheduler, *cluster.workers.values()):
        close_pages(node)
    return cluster
