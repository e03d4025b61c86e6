"""What turns a real sample into collections of the embedded catalogue."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from earthlab.services.stac.documents import Source


@dataclass(frozen=True, slots=True)
class Extract:
    """A sample, the collections that are made of it, and how."""

    sample: str
    """Its name in `earthlab.samples`."""
    collections: tuple[str, ...]
    open_sources: Callable[[Path], tuple[Source, ...]]
    """From the sample's folder to its collections, whose pixels and rows are read as they are asked for."""
