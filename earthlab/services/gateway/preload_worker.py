"""Preload of each worker: nothing listens there but what is encrypted and asks for the cluster's certificate."""

from typing import Any

from earthlab.compute.pages import close_pages


def dask_setup(worker: Any) -> None:
    """Close the worker's plain HTTP server."""
    close_pages(worker)
