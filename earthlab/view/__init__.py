"""Pictures of cubes and tables: a map in the notebook, a curve along time, a figure with its units."""

from earthlab.view.figures import Figure, curve, plot
from earthlab.view.maps import show

__all__ = ["Figure", "curve", "plot", "show"]
