"""Pictures of cubes: a map in the notebook, a curve along time."""

from earthlab.view.curves import Curve, curve
from earthlab.view.maps import show

__all__ = ["Curve", "curve", "show"]
