"""From items to a cube: `plan` decides everything, `open` makes a lazy xarray Dataset of it."""

from earthlab.cube.description import PLAN_ATTRIBUTE
from earthlab.cube.explain import Explanation
from earthlab.cube.matchup import points
from earthlab.cube.opening import open  # noqa: A004
from earthlab.cube.plan import CubePlan
from earthlab.cube.planning import plan

__all__ = ["PLAN_ATTRIBUTE", "CubePlan", "Explanation", "open", "plan", "points"]
