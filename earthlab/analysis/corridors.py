"""Ecological continuities: how far an animal gets from where it lives, and by which ways, over land at a cost."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from earthlab.analysis.fragmentation import nodata_of
from earthlab.analysis.grids import check_same_grid, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.patches import check_raster
from earthlab.errors import BadRequest

_ROUNDING = 1e-9
"""Share by which the sums of the same steps in another order may differ."""


def friction(landcover: xr.DataArray, costs: Mapping[int, float], *, default: float | None = None) -> xr.DataArray:
    """What it costs to cross a metre of each pixel, from its class.

    Parameters
    ----------
    landcover : xarray.DataArray
        Classes with axes y, x.
    costs : mapping
        From class to friction: 1 is as on good ground, infinite cannot be crossed. None below 0.
    default : float, optional
        Friction of classes not named. Default: they are refused.

    Returns
    -------
    xarray.DataArray
        float64, no unit; NaN where there is no data.

    Raises
    ------
    BadRequest
        For classes without a cost, or costs that are not positive.
    """
    check_raster(landcover, "friction")
    wrong = {code: cost for code, cost in costs.items() if not cost > 0}
    if wrong or (default is not None and not default > 0):
        raise BadRequest(
            f"friction: costs {wrong or default} are not positive. Use a large number or inf for a barrier."
        )
    values, nodata = landcover.values, nodata_of(landcover)
    valid = np.isfinite(values) if nodata is None else np.isfinite(values) & (values != nodata)
    classes, codes = np.unique(values[valid], return_inverse=True)
    missing = [int(code) for code in classes if code not in costs]
    if missing and default is None:
        raise BadRequest(
            f"friction: no cost is given for the classes {missing[:8]}. Add them to costs= or give default=."
        )
    found = np.full(values.shape, np.nan)
    found[valid] = np.array([costs.get(code, default) for code in classes], float)[codes]
    made = landcover.copy(data=found).rename("friction")
    made.encoding = {}
    made.attrs = _grid(landcover) | {"long_name": "friction / friction", "units": "1"}
    return made


def cost_distance(
    friction: xr.DataArray, reservoirs: xr.DataArray, *, most: float | None = None, pixel: float | None = None
) -> xr.DataArray:
    """The least effort from the nearest reservoir to each pixel: the sum of friction times metres along the best way.

    Steps go to all eight neighbours; half of each lies in either pixel.

    Parameters
    ----------
    friction : xarray.DataArray
        Axes y, x; positive, infinite or NaN where nothing passes.
    reservoirs : xarray.DataArray
        On the same grid: true (not 0) where the species lives.
    most : float, optional
        Dispersal maximum, in metres of friction 1; what is farther is NaN.
    pixel : float, optional
        Side of a pixel in metres. Default: from the coordinates.

    Returns
    -------
    xarray.DataArray
        float64 in metres of friction 1, 0 in reservoirs, NaN where no way leads or ``most`` is exceeded.

    Raises
    ------
    BadRequest
        For grids that differ, no reservoir, friction that is not positive, pixels not known in metres, or ``most`` that
        is not positive.

    References
    ----------
    Adriaensen et al. (2003), The application of 'least-cost' modelling as a functional landscape model, Landscape and
    Urban Planning 64, 233-247, doi:10.1016/S0169-2046(02)00242-6; Chailloux and Amsallem, BioDispersal (INRAE).
    """
    from skimage.graph import MCP_Geometric  # heavy, and only this needs it

    check_raster(friction, "cost_distance")
    starts = _starts(friction, reservoirs)
    side = math.prod(pixel_size(friction, "cost_distance")) ** 0.5 if pixel is None else pixel
    if not side > 0 or (most is not None and not most > 0):
        raise BadRequest(f"cost_distance: pixel is {side!r} and most is {most!r}, expected positive numbers.")
    costs = friction.values.astype(float)
    if (costs[np.isfinite(costs)] <= 0).any():
        raise BadRequest("cost_distance: found friction of 0 or less, expected positive numbers.")
    ways = MCP_Geometric(np.where(np.isfinite(costs), costs, -1))  # skimage never enters what is negative
    reached, _ = ways.find_costs(starts)
    found = np.where(np.isfinite(reached), reached * side, np.nan)
    if most is not None:
        found = np.where(found <= most, found, np.nan)
    made = friction.copy(data=found).rename("cost_distance")
    made.attrs = _grid(friction) | {"long_name": "distance de moindre coût / least-cost distance", "units": "m"}
    return made


def corridor(one: xr.DataArray, other: xr.DataArray, *, slack: float = 0.1) -> xr.Dataset:
    """The ways between two reservoirs: the sum of the two cost distances, least along the best way.

    Parameters
    ----------
    one, other : xarray.DataArray
        What `cost_distance` gives from each, on one grid.
    slack : float
        How much longer than the best way a way of the corridor may be, as a share of it.

    Returns
    -------
    xarray.Dataset
        ``effort``, the sum, in metres of friction 1, NaN where one cannot be reached; ``corridor``, true where a way
        through the pixel costs at most ``1 + slack`` times the best. ``attrs["least"]`` is the cost of the best way.

    Raises
    ------
    BadRequest
        For grids that differ, a slack that is negative, or reservoirs without any way between them.
    """
    check_same_grid(one, other, "corridor")
    if not slack >= 0:
        raise BadRequest(f"corridor: slack is {slack!r}, expected 0 or more.")
    total = one.values + other.values
    if not np.isfinite(total).any():
        raise BadRequest("corridor: no way leads from one reservoir to the other. Raise most= or look at the friction.")
    least = float(np.nanmin(total))
    grid = _grid(one)
    effort = one.copy(data=total).rename("effort")
    effort.attrs = grid | {"long_name": "effort du passage / effort of the way", "units": "m"}
    inside = one.copy(data=total <= least * (1 + slack) * (1 + _ROUNDING)).rename("corridor")
    inside.attrs = grid | {"long_name": "corridor / corridor", "units": "1"}
    return xr.Dataset({"effort": effort, "corridor": inside}, attrs={"least": least})


def _starts(friction: xr.DataArray, reservoirs: xr.DataArray) -> Array:
    check_raster(reservoirs, "cost_distance: reservoirs")
    check_same_grid(friction, reservoirs, "cost_distance")
    placed = reservoirs.transpose(*friction.dims).values
    starts = np.argwhere((placed != 0) & np.isfinite(placed.astype(float)) & np.isfinite(friction.values))
    if not len(starts):
        raise BadRequest("cost_distance: there is no reservoir on ground that can be crossed. Mark one with true.")
    return starts


def _grid(raster: xr.DataArray) -> dict[str, Any]:
    return {"grid_mapping": "spatial_ref"} if "spatial_ref" in raster.coords else {}
