"""What analyses ask of a grid: its pixel in metres, its holes, whether two maps share it, what lies in an outline."""

from collections.abc import Collection
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
_GEOGRAPHIC = ({"latitude", "longitude"}, {"lat", "lon"})
_DEGREES = 0.05
"""Steps below this, between -180 and 360, are degrees where nobody says what they are: no map has pixels of 5 cm."""
WEB_MERCATOR = "the metres of Web Mercator (EPSG:3857) are no metres on the ground: 1.44 to one at 46° N."
_PACKED = ("_FillValue", "missing_value", "nodata", "scale_factor", "add_offset")


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
    if is_geographic(array):
        raise BadRequest(f"{verb}: the grid is in degrees, expected metres. Open it with crs=, such as crs=2154.")
    crs = crs_of(array)
    if crs is not None and is_web_mercator(crs.proj):
        raise BadRequest(f"{verb}: {WEB_MERCATOR} Open it in a system that keeps areas: crs=, such as crs=2154.")
    if crs is not None and not set(crs.units) <= set(METRES):
        raise BadRequest(
            f"{verb}: the grid is in {crs.units[0]}, expected metres. Open it in a system in metres: crs=, such as "
            "crs=2154."
        )
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


def is_geographic(array: xr.DataArray | xr.Dataset) -> bool:
    """Whether the grid is in degrees: by its reference system, the names of its axes, or their values."""
    crs = crs_of(array)
    if crs is not None:
        return bool(crs.geographic)
    return any(names <= set(array.dims) for names in _GEOGRAPHIC) or _looks_like_degrees(array)


def _looks_like_degrees(array: xr.DataArray | xr.Dataset) -> bool:
    if any(name not in array.coords or array[name].ndim != 1 or array[name].size < 2 for name in ("y", "x")):
        return False
    rows, columns = (np.asarray(array[name].values, "float64") for name in ("y", "x"))
    steps = max(abs(rows[1] - rows[0]), abs(columns[1] - columns[0]))
    return bool(steps < _DEGREES and np.abs(rows).max() <= 90 and columns.min() >= -180 and columns.max() <= 360)


def is_web_mercator(crs: Any) -> bool:
    """Whether a system of pyproj is that of web maps, whose metre shrinks with the cosine of the latitude."""
    operation = crs.coordinate_operation
    return operation is not None and "Pseudo" in operation.method_name


def upright(array: xr.DataArray) -> xr.DataArray:
    """The array with rows and columns as its last axes, be they called ``y``, ``latitude`` or ``lat``."""
    for rows, columns in (("y", "x"), ("latitude", "longitude"), ("lat", "lon")):
        if {rows, columns} <= set(array.dims) and array.dims[-2:] != (rows, columns):
            return array.transpose(..., rows, columns)
    return array


def flat(array: xr.DataArray) -> xr.DataArray:
    """The map as `upright`, without leading axes of one, such as the band of a file or the only date of a series."""
    turned = upright(array)
    return turned.isel({name: 0 for name in turned.dims[:-2] if turned.sizes[name] == 1})


def nodata_of(raster: xr.DataArray) -> float | None:
    """The value that marks pixels without data, by attribute or encoding; None where there is none but NaN."""
    places = (raster.encoding, raster.attrs)
    marks = (place.get(name) for place in places for name in ("_FillValue", "nodata", "missing_value"))
    if raster.dtype.kind == "b":  # true and false, compared from classes, may still carry the mark of the classes
        return None
    return next((number for mark in marks if mark is not None and np.isfinite(number := float(mark))), None)


def has_data(values: Array, nodata: float | None) -> Array:
    """Which values are some: finite, and not what marks that there is none."""
    known = np.isfinite(values)
    return np.asarray(known if nodata is None else known & (values != nodata))


def unpacked(array: xr.DataArray, *, unsaid: Collection[float] = ()) -> xr.DataArray:
    """The numbers that stored values stand for, as CF has them: NaN for no data, scale and offset applied.

    Parameters
    ----------
    array : xarray.DataArray
        Any numbers. What marks no data is told by the attribute or encoding ``_FillValue``, ``missing_value`` or
        ``nodata``; ``scale_factor`` and ``add_offset`` count as attributes only, since what was read with them has
        them in its encoding.
    unsaid : collection of float
        Values that mark no data where nothing says so.

    Returns
    -------
    xarray.DataArray
        Float, NaN instead of what is infinite, without these attributes. Lazy if the array is.
    """
    mark = nodata_of(array)
    marks = [*unsaid, *([] if mark is None else [mark])]
    floats = array.astype(np.result_type(array.dtype, "float32"), copy=False)
    seen = np.abs(floats) < np.inf
    if marks:
        seen &= ~floats.isin(np.asarray(marks, floats.dtype))
    scale, offset = (float(array.attrs.get(name, plain)) for name, plain in (("scale_factor", 1), ("add_offset", 0)))
    values = floats if (scale, offset) == (1.0, 0.0) else floats * scale + offset
    found: xr.DataArray = values.where(seen)
    found.attrs = {name: value for name, value in array.attrs.items() if name not in _PACKED}
    return found


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


def on_grid_of(first: xr.DataArray, second: xr.DataArray, verb: str) -> xr.DataArray:
    """The second map with the coordinates of the first, where both lie on the same pixels and dates.

    xarray joins by coordinates: pixels that rounding alone sets apart would be dropped without a word.

    Raises
    ------
    BadRequest
        As `check_same_grid`, and where another axis that both have differs, such as the dates.
    """
    check_same_grid(first, second, verb)
    for name in set(first.dims) & set(second.dims) - {"y", "x"}:
        known = name in first.indexes and name in second.indexes
        if first.sizes[name] != second.sizes[name] or (known and not first.indexes[name].equals(second.indexes[name])):
            raise BadRequest(
                f"{verb}: the maps differ along {str(name)!r}, with {first.sizes[name]} and {second.sizes[name]} "
                f"places. Choose the same: .sel({name}=…) or .interp({name}=…)."
            )
    shared = [name for name in ("y", "x") if name in first.coords and name in second.dims]
    return second.assign_coords({name: first[name] for name in shared})


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
        Without coordinates of two pixels or more, or for an irregular axis.
    """
    steps = {}
    for name in ("y", "x"):
        if name not in grid.coords or grid[name].size < 2:
            raise BadRequest(f"The grid has no coordinate {name!r} of two pixels or more. Give the cube its x and y.")
        apart = np.diff(np.asarray(grid[name].values, "float64"))
        steps[name] = float(apart.mean())
        if not np.allclose(apart, steps[name], rtol=1e-3, atol=np.spacing(float(abs(grid[name]).max()))):
            raise BadRequest(f"The steps of {name!r} are not equal. Open the data on a regular grid.")
    left, top = (float(grid[name][0]) - steps[name] / 2 for name in ("x", "y"))
    return Affine(steps["x"], 0.0, left, 0.0, steps["y"], top)


def polygon_mask(polygons: Any, like: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Which pixels have their centre inside one of the polygons.

    Parameters
    ----------
    polygons : geopandas.GeoDataFrame or GeoSeries, or shapely geometries
        Reprojected to the grid's system where both state one. A shapely geometry, or several, lies in that system.
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
    if not isinstance(polygons, gpd.GeoDataFrame | gpd.GeoSeries):
        polygons = gpd.GeoSeries(polygons)
    if system is not None and polygons.crs is not None:
        polygons = polygons.to_crs(str(system))
    shape = (like.sizes["y"], like.sizes["x"])
    shapes = [shape_ for shape_ in polygons.geometry if shape_ is not None and not shape_.is_empty]
    inside = geometry_mask(shapes, shape, corner, invert=True) if shapes else np.zeros(shape, bool)
    kept = {name: like[name] for name in ("y", "x", "spatial_ref") if name in like.coords}
    return xr.DataArray(inside, dims=("y", "x"), coords=kept, attrs={"grid_mapping": "spatial_ref"}, name="inside")


def inside_of(outline: Any, like: xr.DataArray, verb: str, what: str) -> Array:
    """Which pixels of a map an outline holds, rows before columns as the map stores them.

    Parameters
    ----------
    outline : xarray.DataArray, numpy.ndarray, geopandas.GeoDataFrame or GeoSeries
        A mask on the grid of the map (true or any number but 0; NaN is outside), or polygons.
    like : xarray.DataArray
        The map, its last two axes those in space.
    verb, what : str
        Who asks, and for what, for the message.

    Raises
    ------
    BadRequest
        For a mask on another grid, or something else than a mask.
    """
    plain = like.isel(dict.fromkeys(like.dims[:-2], 0))
    if isinstance(outline, gpd.GeoDataFrame | gpd.GeoSeries):
        outline = polygon_mask(outline, plain)
    if isinstance(outline, xr.DataArray):
        if set(outline.dims) < set(plain.dims):
            outline = outline.broadcast_like(plain)
        outline = flat(outline)
        if set(outline.dims) == set(plain.dims):
            _check_places(plain, outline, f"{verb} ({what})")
            outline = outline.transpose(*plain.dims)
    values, mark = np.asarray(outline), nodata_of(outline) if isinstance(outline, xr.DataArray) else None
    if values.shape != plain.shape or values.dtype.kind not in "biuf":
        raise BadRequest(
            f"{verb}: {what} has the shape {values.shape} and type {values.dtype}, expected true and false on the grid "
            f"{plain.shape} of the map, or polygons."
        )
    held = np.isfinite(values) & (values != 0)
    return np.asarray(held if mark is None or values.dtype.kind == "b" else held & (values != mark))


def _check_places(first: xr.DataArray, second: xr.DataArray, verb: str) -> None:
    names = {name: new for name, new in zip(first.dims, ("y", "x"), strict=True) if name != new}
    check_same_grid(first.rename(names), second.rename(names), verb)
