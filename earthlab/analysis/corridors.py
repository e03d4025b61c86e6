"""Ecological continuities: how far an animal gets from where it lives, and by which ways, over land at a cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from earthlab.analysis.grids import check_same_grid, has_data, nodata_of, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.patches import checked_raster
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
    landcover = checked_raster(landcover, "friction")
    wrong = {code: cost for code, cost in costs.items() if not cost > 0}
    if wrong or (default is not None and not default > 0):
        raise BadRequest(
            f"friction: costs {wrong or default} are not positive. Use a large number or inf for a barrier."
        )
    values = landcover.values
    valid = has_data(values, nodata_of(landcover))
    classes, codes = np.unique(values[valid], return_inverse=True)
    missing = [int(code) for code in classes if code not in costs]
    if missing and default is None:
        raise BadRequest(
            f"friction: no cost is given for the classes {missing[:8]}. Add them to costs= or give default=."
        )
    found = np.full(values.shape, np.nan)
    found[valid] = np.array([costs.get(code, default) for code in classes], float)[codes]
    return _made(landcover, found, "friction", "friction / friction", "1")


def cost_distance(
    friction: xr.DataArray, reservoirs: xr.DataArray, *, most: float | None = None, pixel: float | None = None
) -> xr.DataArray:
    """The least effort from the nearest reservoir to each pixel: the sum of friction times metres along the best way.

    Steps go to all eight neighbours; half of each lies in either pixel.

    Parameters
    ----------
    friction : xarray.DataArray
        Axes y, x; positive, infinite, NaN or nodata where nothing passes.
    reservoirs : xarray.DataArray
        On the same grid: true (not 0, not nodata) where the species lives.
    most : float, optional
        Dispersal maximum, in metres of friction 1; what is farther is NaN.
    pixel : float, optional
        Side of a pixel in metres. Default: height and width from the coordinates.

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

    friction = checked_raster(friction, "cost_distance")
    costs = np.where(has_data(friction.values, nodata_of(friction)), friction.values, np.nan).astype(float)
    starts = _starts(friction, reservoirs, np.isfinite(costs))
    sides = pixel_size(friction, "cost_distance") if pixel is None else (pixel, pixel)
    if not min(sides) > 0 or (most is not None and not most > 0):
        raise BadRequest(f"cost_distance: pixel is {pixel!r} and most is {most!r}, expected positive numbers.")
    if (costs[np.isfinite(costs)] <= 0).any():
        raise BadRequest("cost_distance: found friction of 0 or less, expected positive numbers.")
    barred = np.where(np.isfinite(costs), costs, -1)  # skimage never enters what is negative
    reached, _ = MCP_Geometric(barred, sampling=sides).find_costs(starts)
    found = np.where(np.isfinite(reached), reached, np.nan)
    if most is not None:
        found = np.where(found <= most, found, np.nan)
    return _made(friction, found, "cost_distance", "distance de moindre coût / least-cost distance", "m")


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
    one, other = (checked_raster(way, "corridor") for way in (one, other))
    check_same_grid(one, other, "corridor")
    if not slack >= 0:
        raise BadRequest(f"corridor: slack is {slack!r}, expected 0 or more.")
    total = one.values + other.transpose(*one.dims).values
    if not np.isfinite(total).any():
        raise BadRequest("corridor: no way leads from one reservoir to the other. Raise most= or look at the friction.")
    least = float(np.nanmin(total))
    effort = _made(one, total, "effort", "effort du passage / effort of the way", "m")
    near = total <= least * (1 + slack) * (1 + _ROUNDING)
    inside = _made(one, near, "corridor", "corridor / corridor", "1")
    return xr.Dataset({"effort": effort, "corridor": inside}, attrs={"least": least})


def _starts(friction: xr.DataArray, reservoirs: xr.DataArray, open_: Array) -> Array:
    reservoirs = checked_raster(reservoirs, "cost_distance: reservoirs")
    check_same_grid(friction, reservoirs, "cost_distance")
    placed = reservoirs.transpose(*friction.dims)
    starts = np.argwhere((placed.values != 0) & has_data(placed.values, nodata_of(placed)) & open_)
    if not len(starts):
        raise BadRequest("cost_distance: there is no reservoir on ground that can be crossed. Mark one with true.")
    return starts


def _made(like: xr.DataArray, values: Array, name: str, title: str, units: str) -> xr.DataArray:
    made = like.copy(data=values).rename(name)
    made.encoding = {}  # of the raster it came from: its type and nodata are not those of the result
    grid: dict[str, Any] = {"grid_mapping": "spatial_ref"} if "spatial_ref" in like.coords else {}
    made.attrs = grid | {"long_name": title, "units": units}
    return made
