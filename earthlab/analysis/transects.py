"""Transects: lines drawn across a shore, points along them, and how far along one of them a place lies."""

from collections.abc import Iterator
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns
from earthlab.errors import BadRequest

_ROUNDING = 1e-6
"""Share of a step that a change of reference system may take from the length of a line."""


def check_geometry(frame: gpd.GeoDataFrame, verb: str) -> gpd.GeoDataFrame:
    """The table itself, where it has places.

    Raises
    ------
    BadRequest
        For anything but a GeoDataFrame.
    """
    if not isinstance(frame, gpd.GeoDataFrame):
        raise BadRequest(
            f"{verb}: expected a GeoDataFrame, found {type(frame).__name__}. Make one: geopandas.GeoDataFrame(table, "
            "geometry=…, crs=…)."
        )
    return frame


def check_system(frame: gpd.GeoDataFrame, verb: str, what: str = "the table") -> gpd.GeoDataFrame:
    """The table itself, where it has places and says in which reference system they are.

    Raises
    ------
    BadRequest
        For anything else; the message names ``what``.
    """
    if check_geometry(frame, verb).crs is None:
        raise BadRequest(f"{verb}: {what} states no reference system. Give it one: set_crs(…).")
    return frame


def check_metric(frame: gpd.GeoDataFrame, verb: str) -> gpd.GeoDataFrame:
    """The table itself, where its places are in a projected system in metres.

    Raises
    ------
    BadRequest
        Without a reference system, or in degrees or feet.
    """
    check_system(frame, verb)
    units = {axis.unit_name for axis in frame.crs.axis_info}
    if units != {"metre"}:
        raise BadRequest(
            f"{verb}: the table is in {frame.crs.to_string()}, expected metres. "
            "Project it: to_crs(table.estimate_utm_crs())."
        )
    return frame


def iterate_transects(transects: gpd.GeoDataFrame, name: str, verb: str) -> Iterator[tuple[Any, shapely.LineString]]:
    """Name and line of each transect.

    Raises
    ------
    BadRequest
        Without the column of names, for a name that comes twice, or for what is no line of some length in one piece.
    """
    check_columns(check_metric(transects, verb), (name,), verb)
    twice = transects[name][transects[name].duplicated()]
    if len(twice):
        raise BadRequest(f"{verb}: the transect {twice.iloc[0]!r} comes twice in {name!r}. Give each its own name.")
    lines = transects.geometry.to_numpy()
    # A file of lines often holds each as a collection of one.
    joined = np.where(shapely.get_type_id(lines) == shapely.GeometryType.MULTILINESTRING, _joined(lines), lines)
    for label, line in zip(transects[name], joined, strict=True):
        if not isinstance(line, shapely.LineString) or not line.length > 0:
            found = "no geometry" if line is None else line.geom_type
            raise BadRequest(f"{verb}: the transect {label!r} is {found}, expected a line. Drop it or draw it.")
        yield label, line


def _joined(lines: Array) -> Array:
    return np.asarray(shapely.line_merge(lines, directed=True))


def points_along(transects: gpd.GeoDataFrame, *, name: str = "transect", step: float = 1.0) -> gpd.GeoDataFrame:
    """The points from which each whole step of each transect begins.

    Parameters
    ----------
    transects : geopandas.GeoDataFrame
        Lines in a projected system in metres, each with a name of its own.
    name : str
        The column of names.
    step : float
        Metres between points. What is left of a line beyond its last whole step has no point.

    Returns
    -------
    geopandas.GeoDataFrame
        One row a point: ``transect``, ``distance`` from the start of the line (m, float64), and the point.

    Raises
    ------
    BadRequest
        For degrees, names that come twice, what is no line, a step that is not positive, or lines shorter than it.
    """
    if not step > 0:
        raise BadRequest(f"points_along: step is {step!r}, expected metres above 0.")
    labels: list[Any] = []
    distances: list[Array] = []
    points: list[Array] = []
    for label, line in iterate_transects(transects, name, "points_along"):
        along = np.arange(int(line.length / step + _ROUNDING)) * step
        labels.extend([label] * len(along))
        distances.append(along)
        points.append(shapely.line_interpolate_point(line, along))
    if not labels:
        raise BadRequest(f"points_along: no transect is as long as one step of {step} m. Take a smaller step.")
    found = {"transect": labels, "distance": np.concatenate(distances)}
    return gpd.GeoDataFrame(found, geometry=np.concatenate(points), crs=transects.crs)


def locate_along(line: shapely.LineString, places: Array) -> tuple[Array, Array]:
    """How far along the axis from the first to the last point of a line places lie, and how far off it, in metres.

    Parameters
    ----------
    line : shapely.LineString
        Only its two ends count.
    places : numpy.ndarray
        Easting and northing, one row a place.

    Returns
    -------
    tuple of numpy.ndarray
        Distance along the axis, negative before its start; distance off it, positive to the left.
    """
    first, last = (np.asarray(line.coords[at][:2], "float64") for at in (0, -1))
    axis = (last - first) / np.hypot(*(last - first))
    away = np.asarray(places, "float64") - first
    return away @ axis, away @ np.array([-axis[1], axis[0]])
