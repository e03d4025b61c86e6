"""The shoreline (trait de côte) from images: where it lies at each date.

From a water index to a contour finer than the pixel, and from there to its position along transects. What becomes of a
series of positions is in `earthlab.analysis.shoreline_series`.
"""

from collections.abc import Iterator
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
import xarray as xr

from earthlab.analysis.frames import check_cube
from earthlab.analysis.grids import check_same_grid, crs_of, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns
from earthlab.analysis.transects import check_metric, iterate_transects, locate_along
from earthlab.errors import BadRequest


def sand_water_threshold(
    index: xr.DataArray, *, sand: xr.DataArray | None = None, water: xr.DataArray | None = None
) -> xr.DataArray:
    """The value that best parts sand from water in each image, after Otsu.

    Parameters
    ----------
    index : xarray.DataArray
        A water index with axes ``y`` and ``x``, and ``time`` or not; NaN is no observation.
    sand, water : xarray.DataArray, optional
        True where a pixel is sand, and where it is water, with or without ``time``. Default: all pixels count, which
        holds where the image is little else than beach and water.

    Returns
    -------
    xarray.DataArray
        float64, without the axes in space; NaN for an image of fewer than two values. Read one image after the other.

    Raises
    ------
    BadRequest
        Without the axes in space, for masks on another grid, or for one mask without the other.

    References
    ----------
    Otsu (1979), A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076. Its use
    between sand and water: Vos et al. (2019), CoastSat, doi:10.1016/j.envsoft.2019.104528.
    """
    found = [_otsu(image) for _, image in _images(_masked(index, sand, water), "sand_water_threshold")]
    attrs = {"units": "1", "long_name": "seuil d'Otsu entre sable et eau / Otsu threshold between sand and water"}
    if "time" in index.dims:
        return xr.DataArray(found, {"time": index.time}, ("time",), "threshold", attrs)
    return xr.DataArray(found[0], name="threshold", attrs=attrs)


def extract_shorelines(
    index: xr.DataArray,
    *,
    threshold: float | xr.DataArray | None = None,
    reference: gpd.GeoDataFrame | None = None,
    max_distance: float = 100.0,
    min_length: float = 500.0,
) -> gpd.GeoDataFrame:
    """The line where the index crosses the threshold in each image, finer than a pixel (marching squares).

    The index of a pixel is no straight mean of its sand and its water, which moves the line by
    up to a third of a pixel.

    Parameters
    ----------
    index : xarray.DataArray
        A water index on a grid in metres, with axes ``y`` and ``x``, and ``time`` or not; NaN breaks the line.
    threshold : float or xarray.DataArray, optional
        One, or one a date. Default: `sand_water_threshold` of all pixels.
    reference : geopandas.GeoDataFrame, optional
        The line the shore is known to be near; what is farther from it than ``max_distance`` metres is cut away.
    max_distance, min_length : float
        In metres; pieces shorter than ``min_length`` are left out. The defaults are those of the benchmark of 2023.

    Returns
    -------
    geopandas.GeoDataFrame
        One row a piece of line: ``time`` (NaT where the image has none), ``threshold``, ``length`` (m) and the line, in
        the system of the grid. Empty where nothing was found. Computed image by image, so memory holds one at a time.

    Raises
    ------
    BadRequest
        For a grid in degrees or without a reference system, or lengths that are negative.

    References
    ----------
    Vos et al. (2019), CoastSat, doi:10.1016/j.envsoft.2019.104528; Vos et al. (2023), Benchmarking satellite-derived
    shoreline mapping algorithms, doi:10.1038/s43247-023-01001-2.
    """
    verb = "extract_shorelines"
    pixel_size(index, verb)
    crs = crs_of(index)
    if crs is None:
        raise BadRequest(f"{verb}: the index states no reference system, expected one in metres. Open it with crs=.")
    if not (max_distance > 0 and min_length >= 0):
        raise BadRequest(f"{verb}: max_distance {max_distance!r}, min_length {min_length!r}: expected metres from 0.")
    near = None if reference is None else _zone(reference, crs, max_distance, verb)
    levels = sand_water_threshold(index) if threshold is None else xr.DataArray(threshold)
    rows = []
    for at, (moment, image) in enumerate(_images(index, verb)):
        level = float(levels[at] if levels.ndim else levels)
        pieces = _pieces(image, level, near) if np.isfinite(level) else []
        rows += [(moment, level, line.length, line) for line in pieces if line.length >= min_length]
    columns = ["time", "threshold", "length", "geometry"]
    frame = pd.DataFrame(rows, columns=columns).astype({"time": "datetime64[ns]", "threshold": float, "length": float})
    found = gpd.GeoDataFrame(frame, geometry="geometry", crs=str(crs))
    found.attrs["units"] = {"threshold": "1", "length": "m"}
    return found


def locate_shorelines(
    shorelines: gpd.GeoDataFrame,
    transects: gpd.GeoDataFrame,
    *,
    name: str = "name",
    time: str = "time",
    along: float = 25.0,
    min_points: int = 3,
    max_std: float = 15.0,
    reach: tuple[float, float] = (-100.0, 1000.0),
) -> pd.DataFrame:
    """How far along each transect the shoreline of each date lies.

    The position is the median of the line's own points within ``along`` metres on both sides of the transect, so that
    a line drawn with few points needs more of them first (`shapely.segmentize`).

    Parameters
    ----------
    shorelines : geopandas.GeoDataFrame
        Lines, several a date or one, as `extract_shorelines` gives them.
    transects : geopandas.GeoDataFrame
        Lines that begin on land, in metres; reprojected to the system of the shorelines.
    name, time : str
        Columns of the transects' names and of the shorelines' dates.
    along : float
        Metres on each side of a transect.
    min_points : int
        Fewest points that make a position.
    max_std : float
        Metres of standard deviation from which the points are no single line and the position is NaN.
    reach : tuple of float
        From where to where along the transect's axis points count, in metres from its start.

    Returns
    -------
    pandas.DataFrame
        One row a date and transect: ``time``, ``transect``, ``position`` (m from the start, float64; NaN where
        refused), ``std`` (m) and ``points``.

    Raises
    ------
    BadRequest
        For degrees, missing columns, names that come twice, or words outside their range.

    References
    ----------
    Vos et al. (2019), doi:10.1016/j.envsoft.2019.104528; defaults as the benchmark of Vos et al. (2023),
    doi:10.1038/s43247-023-01001-2, sets them.
    """
    verb = "locate_shorelines"
    check_columns(check_metric(shorelines, verb), (time,), verb)
    if not (along > 0 and max_std > 0 and min_points >= 1 and reach[0] < reach[1]):
        raise BadRequest(
            f"{verb}: along {along!r}, max_std {max_std!r}, min_points {min_points!r}, reach {reach!r}: expected "
            "metres above 0, a point or more, and a reach from the landward to the seaward end."
        )
    lines = list(iterate_transects(transects.to_crs(shorelines.crs), name, verb))
    rows = []
    for moment, pieces in shorelines.groupby(time, sort=True, dropna=False):
        places = shapely.get_coordinates(pieces.geometry.to_numpy())
        for label, line in lines:
            chainage, off = locate_along(line, places)
            seen = chainage[(np.abs(off) <= along) & (chainage >= reach[0]) & (chainage <= reach[1])]
            rows.append((moment, label, *_position(seen, min_points, max_std), len(seen)))
    found = pd.DataFrame(rows, columns=["time", "transect", "position", "std", "points"])
    found.attrs["units"] = {"position": "m", "std": "m", "points": "1"}
    return found


def _images(index: xr.DataArray, verb: str) -> Iterator[tuple[Any, xr.DataArray]]:
    check_cube(index.expand_dims("time") if "time" not in index.dims else index, verb)
    if set(map(str, index.dims)) - {"time"} != {"y", "x"}:
        raise BadRequest(f"{verb}: expected the axes y and x (and time), found {', '.join(map(str, index.dims))}.")
    if "time" not in index.dims:
        moment = index.coords["time"].values if "time" in index.coords else np.datetime64("NaT")
        yield moment, index.transpose("y", "x").compute()
        return
    moments = index.indexes.get("time", [np.datetime64("NaT")] * index.sizes["time"])
    for at, moment in enumerate(moments):
        yield moment, index.isel(time=at).transpose("y", "x").compute()


def _masked(index: xr.DataArray, sand: xr.DataArray | None, water: xr.DataArray | None) -> xr.DataArray:
    if sand is None and water is None:
        return index
    if sand is None or water is None:
        raise BadRequest("sand_water_threshold: found one mask of sand and water, expected both or none.")
    for mask in (sand, water):
        check_same_grid(index, mask, "sand_water_threshold")
    return index.where(sand.astype(bool) | water.astype(bool))


def _otsu(image: xr.DataArray) -> float:
    from skimage.filters import threshold_otsu

    values = image.values[np.isfinite(image.values)].astype("float64")
    if not values.size or values.min() == values.max():
        return np.nan
    # Where nothing lies between the two classes many thresholds part them alike: their middle, seen from both ends.
    return float(threshold_otsu(values) - threshold_otsu(-values)) / 2


def _zone(reference: gpd.GeoDataFrame, crs: Any, distance: float, verb: str) -> Any:
    if reference.crs is None:
        raise BadRequest(f"{verb}: the reference line states no reference system. Give it one: set_crs(…).")
    return reference.to_crs(str(crs)).geometry.union_all().buffer(distance)


def _pieces(image: xr.DataArray, level: float, near: Any) -> list[shapely.LineString]:
    from skimage.measure import find_contours

    origin, step = (np.array([float(image[name][at]) for name in ("x", "y")]) for at in (0, -1))
    step = (step - origin) / np.array([image.sizes["x"] - 1, image.sizes["y"] - 1])
    found = find_contours(image.values.astype("float64"), level)
    lines = [shapely.LineString(origin + part[:, ::-1] * step) for part in found if len(part) > 1]
    if near is None:
        return lines
    cut = shapely.get_parts(shapely.line_merge(shapely.intersection(lines, near)))
    return [line for line in cut if isinstance(line, shapely.LineString) and not line.is_empty]


def _position(seen: Array, min_points: int, max_std: float) -> tuple[float, float]:
    if not len(seen):
        return np.nan, np.nan
    std = float(seen.std())
    return float(np.median(seen)) if len(seen) >= min_points and std <= max_std else np.nan, std
