"""From items to a cube: `plan` decides everything, `open` makes a lazy xarray Dataset of it."""

from earthlab.cube.explain import Explanation
from earthlab.cube.opening import PLAN_ATTRIBUTE, open  # noqa: A004
from earthlab.cube.plan import CubePlan, plan

__all__ = ["PLAN_ATTRIBUTE", "CubePlan", "Explanation", "open", "plan"]
