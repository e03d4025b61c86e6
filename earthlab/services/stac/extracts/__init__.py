"""Real samples as collections of the embedded catalogue: one module a sample, listed here."""

from earthlab.services.stac.extracts import bouconne
from earthlab.services.stac.extracts.extract import Extract

__all__ = ["EXTRACTS", "Extract"]

EXTRACTS: tuple[Extract, ...] = (bouconne.EXTRACT,)
"""In the order in which their collections are listed."""
