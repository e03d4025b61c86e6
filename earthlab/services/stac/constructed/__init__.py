"""Constructed scenes and tables as collections of the embedded catalogue, marked as simulated wherever named."""

from collections.abc import Callable
from dataclasses import dataclass

from earthlab.services.stac.constructed import coastal_sectors, mountain, simulation, village
from earthlab.services.stac.documents import Source


@dataclass(frozen=True, slots=True)
class Construction:
    """A collection that we make, and how."""

    collection: str
    open_source: Callable[[], Source]


CONSTRUCTED = tuple(
    Construction(module.COLLECTION, module.open_source) for module in (simulation, mountain, coastal_sectors, village)
)
"""In the order in which they are listed, after the real ones."""
