"""What analyses ask of a grid: its pixel in metres, whether two maps share it, which pixels lie inside polygons."""

from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr
from affine import Affine

from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest

METRES = ("m", "metre", "metres", "meter", "meters")
_OFF = 1e-3
"""Share of a pixel by which the coordinates of one and the same grid may differ, from rounding."""


def pixel_size(array: xr.DataArray | xr.Dataset, verb: str) -> tuple[float, float]:
    """Height and width of a pixel in metres, from the coordinates of the two axes in space.

    Parameters
    ----------
    array : xarray.DataArray or Dataset
        With axes ``y`` and ``x`` in a projected system; their ``units``, where stated, must be metres.
    verb : str
        Who asks, for the message.

    Returns
    -------
    tuple of float
        Both positive.

    Raises
    ------
    BadRequest
        Without the coordinates, with fewer than two pixels along one, for an irregular axis, or for degrees.
    """
    return _spacing(array, "y", verb), _spacing(array, "x", verb)


def _spacing(array: xr.DataArray | xr.Dataset, name: str, verb: str) -> float:
    if _is_geographic(array):
        raise BadRequest(f"{verb}: the grid is in degrees, expected metres. Open it with crs=, such as crs=2154.")
    if name not in array.coords or array[name].ndim != 1 or array[name].size < 2:
        raise BadRequest(f"{verb}: found no coordinate {name!r} of two pixels or more. Give the cube its x and y.")
    axis = array[name]
    units = str(axis.attrs.get("units", "m"))
    steps = np.diff(np.asarray(axis.values, "float64"))
    if units not in METRES:
        raise BadRequest(
            f"{verb}: {name!r} is in {units!r}, expected metres. Open the data in a projected system, such as crs=2154."
        )
    if not np.allclose(steps, steps[0], rtol=1e-3) or steps[0] == 0:
        raise BadRequest(f"{verb}: the steps of {name!r} are not equal. Open the data on a regular grid.")
    return float(abs(steps.mean()))


def _is_geographic(array: xr.DataArray | xr.Dataset) -> bool:
    crs = crs_of(array)
    return {"latitude", "longitude"} <= set(array.dims) or bool(crs is not None and crs.geographic)


def crs_of(array: xr.DataArray | xr.Dataset) -> Any:
    """The coordinate reference system of a cube (`odc.geo.CRS`), or None where it states none."""
    import odc.geo.xr  # noqa: F401 - it registers `.odc`

    # From the coordinates alone: what a variable names as its grid mapping need not have come along.
    return array.coords.to_dataset().odc.crs


def check_same_grid(first: xr.DataArray, second: xr.DataArray, verb: str) -> None:
    """Nothing, where both lie on the same pixels.

    Raises
    ------
    BadRequest
        For other shapes or coordinates, whose pixels are other places on the ground, or for other reference systems.
    """
    for name in ("y", "x"):
        sizes = [array.sizes.get(name, 0) for array in (first, second)]
        if sizes[0] != sizes[1]:
            raise BadRequest(
                f"{verb}: the maps have {sizes[0]} and {sizes[1]} pixels along {name!r}. Open both on one grid: "
                "el.open(…, like=…)."
            )
        if name in first.coords and name in second.coords:
            _check_axis(first[name].values, second[name].values, name, verb)
    systems = [crs_of(array) for array in (first, second)]
    if None not in systems and systems[0] != systems[1]:
        first_name, second_name = (system.proj.name for system in systems)
        raise BadRequest(f"{verb}: the maps are in {first_name} and {second_name}. Open both in one system: crs=.")


def _check_axis(first: Array, second: Array, name: str, verb: str) -> None:
    step = abs(float(first[1] - first[0])) if first.size > 1 else 1.0
    apart = float(np.abs(first.astype("float64") - second.astype("float64")).max(initial=0.0)) / step
    if apart > _OFF:
        raise BadRequest(
            f"{verb}: the grids are up to {apart:.2g} pixels apart along {name!r}: row by row they show other places. "
            "Open both on one grid: el.open(…, like=…)."
        )


def transform_of(grid: xr.DataArray | xr.Dataset) -> Affine:
    """From pixels (column, row) to the ground, from the coordinates of the pixels' centres.

    Raises
    ------
    BadRequest
        Without coordinates of two pixels or more.
    """
    steps = {}
    for name in ("y", "x"):
        if name not in grid.coords or grid[name].size < 2:
            raise BadRequest(f"The grid has no coordinate {name!r} of two pixels or more. Give the cube its x and y.")
        steps[name] = float(grid[name][1] - grid[name][0])
    left, top = (float(grid[name][0]) - steps[name] / 2 for name in ("x", "y"))
    return Affine(steps["x"], 0.0, left, 0.0, steps["y"], top)


def polygon_mask(polygons: gpd.GeoDataFrame | gpd.GeoSeries, like: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Which pixels have their centre inside one of the polygons.

    Parameters
    ----------
    polygons : geopandas.GeoDataFrame or GeoSeries
        Reprojected to the grid's system where both state one.
    like : xarray.DataArray or Dataset
        The grid, with coordinates ``y`` and ``x``.

    Returns
    -------
    xarray.DataArray
        bool, axes ``y`` and ``x``; false everywhere for no polygon.

    Raises
    ------
    BadRequest
        Where the grid has no regular coordinates.
    """
    from rasterio.features import geometry_mask

    corner, system = transform_of(like), crs_of(like)
    if system is not None and polygons.crs is not None:
        polygons = polygons.to_crs(str(system))
    shape = (like.sizes["y"], like.sizes["x"])
    shapes = [shape_ for shape_ in polygons.geometry if shape_ is not None and not shape_.is_empty]
    inside = geometry_mask(shapes, shape, corner, invert=True) if shapes else np.zeros(shape, bool)
    kept = {name: like[name] for name in ("y", "x", "spatial_ref") if name in like.coords}
    return xr.DataArray(inside, dims=("y", "x"), coords=kept, attrs={"grid_mapping": "spatial_ref"}, name="inside")
