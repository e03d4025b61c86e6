"""Numbers behind a picture: the values of a pixel along time, and what an area holds at each date."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

import numpy as np
import pandas as pd
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pyproj import Geod
from rasterio.features import geometry_mask
from shapely.errors import GEOSException
from shapely.geometry import MultiPolygon, Polygon, shape

from earthlab.cube.globe import full_turn, turns_between
from earthlab.cube.readers.window import Array
from earthlab.errors import AskLess, BadRequest, NothingFound
from earthlab.view.bands import OpenBands, Variable, open_bands

MOST_CORNERS = 5000
"""Of an area."""

MOST_PIXELS = 2**22
"""Of the box round an area."""

MOST_VALUES = 2**27
"""The same, times the dates."""

_AT_ONCE = 2**24
"""Values that are in memory at a time."""

_EARTH = Geod(ellps="WGS84")

COLUMNS = ("mean", "median", "std", "min", "max", "count", "valid", "area_km2")
"""Of the statistics of an area."""


@dataclass(frozen=True, slots=True)
class PixelSeries:
    """The values of one pixel.

    ``times`` are what its steps are called, ISO 8601 for times (UTC for cubes of the lab); ``values`` are in ``unit``,
    None where nothing was observed.
    """

    times: tuple[str, ...]
    values: tuple[float | None, ...]
    unit: str


def read_series(layer: OpenBands, longitude: float, latitude: float) -> PixelSeries:
    """The values of one band at a place, at each of its steps.

    Parameters
    ----------
    layer : OpenBands
        One band. Of one that is still its plan's, this pixel is read and no other; of one that is to be computed, the
        blocks that have it.
    longitude, latitude : float
        Degrees (WGS 84).

    Raises
    ------
    NothingFound
        Outside of the layer.
    BadRequest
        For several bands.
    AskLess
        Where too many blocks would have to be computed.
    ReadFault
        Where nothing could be read.
    """
    _require_one(layer)
    row, column = layer.find_pixel(longitude, latitude)
    values = layer.within(slice(0, len(layer.labels)), slice(row, row + 1), slice(column, column + 1))
    # As short as its own type says it: 0.1004, not 0.10040000081.
    plain = (float(str(value)) for value in values[0, :, 0, 0])
    return PixelSeries(layer.labels, tuple(v if math.isfinite(v) else None for v in plain), layer.units[0])


def area_statistics(variable: Variable, geometry: Mapping[str, Any], band: str | None = None) -> pd.DataFrame:
    """What an area of a cube or of an array holds, at each date.

    Parameters
    ----------
    variable : Dataset or DataArray
        With rows, columns and a CRS, and at most one axis more.
    geometry : mapping
        A GeoJSON Polygon or MultiPolygon, in degrees of longitude and latitude (WGS 84).
    band : str, optional
        Of a dataset; by default its only one.

    Returns
    -------
    pandas.DataFrame
        One row a date, or step of that axis: ``mean``, ``median``, ``std`` (of the pixels, not of a sample), ``min``
        and ``max`` in the band's unit, NaN where nothing was observed; ``count``, the pixels that were observed;
        ``valid``, their share of all pixels whose centre lies in the area; ``area_km2``, the area itself, on the
        ellipsoid. Every pixel counts once. The values are read or computed now, of the box round the area.

    Raises
    ------
    BadRequest
        For what is no such geometry.
    NothingFound
        Where no pixel's centre lies in the area.
    AskLess
        Where the area has too many pixels, corners or blocks that are to be computed.
    ReadFault
        Where nothing could be read.
    """
    layer = open_bands(variable, () if band is None else (band,))
    rows = compute_statistics(layer, geometry)
    index = pd.RangeIndex(1) if layer.axis is None else _index_of(variable, layer)
    return pd.DataFrame(rows, index=index, columns=list(COLUMNS))


def compute_statistics(layer: OpenBands, geometry: Mapping[str, Any]) -> list[dict[str, float]]:
    """The rows of `area_statistics`, of one open band.

    Raises
    ------
    BadRequest, NothingFound, AskLess, ReadFault
        As `area_statistics` does.
    """
    _require_one(layer)
    area = parse_area(geometry)
    rows, columns, inside = _pixels_in(area, layer)
    square = abs(_EARTH.geometry_area_perimeter(area)[0]) / 1e6
    told = (_describe(values[inside]) for values in _each_step(layer, rows, columns))
    return [{**row, "area_km2": square} for row in told]


def render_statistics_cell(name: str, geometry: Mapping[str, Any], band: str | None = None) -> str:
    """A cell of a notebook that computes `area_statistics` of a variable.

    Parameters
    ----------
    name : str
        Of the variable.
    geometry : mapping
        As there.
    band : str, optional
        As there.

    Returns
    -------
    str
        Python, which leaves ``statistics``. All that was given stands in it as literals.

    Raises
    ------
    BadRequest
        For what no variable is called, or what is no such geometry.
    """
    if not is_variable(name):
        raise BadRequest(f"variable: found {name[:80]!r}, expected the name of a variable.")
    area = parse_area(geometry)
    literal = {"type": area.geom_type, "coordinates": _literal(shapely.geometry.mapping(area)["coordinates"])}
    words = "" if band is None else f", band={str(band)!r}"
    return (
        "from earthlab.view.series import area_statistics\n\n"
        f"area = {literal!r}\nstatistics = area_statistics({name}, area{words})\nstatistics"
    )


def is_variable(name: str) -> bool:
    """Whether a user's variable may be called so: a plain name that does not begin with an underscore."""
    return name.isidentifier() and not iskeyword(name) and not name.startswith("_")


def parse_area(geometry: Mapping[str, Any]) -> Polygon | MultiPolygon:
    """The area of a GeoJSON geometry.

    Raises
    ------
    BadRequest
        For anything but a Polygon or MultiPolygon of degrees that does not cross itself.
    AskLess
        For one of too many corners.
    """
    try:
        area = shape({"type": geometry["type"], "coordinates": _literal(geometry["coordinates"])})
        corners = int(shapely.get_num_coordinates(area))
        # What was given in three dimensions is meant in two.
        area = shapely.force_2d(area)
    except (AttributeError, GEOSException, KeyError, IndexError, RecursionError, TypeError, ValueError) as exc:
        raise BadRequest("geometry: expected a GeoJSON Polygon or MultiPolygon in degrees.") from exc
    if not isinstance(area, Polygon | MultiPolygon) or area.is_empty:
        raise BadRequest(f"geometry: found a {area.geom_type}, expected a GeoJSON Polygon or MultiPolygon.")
    if corners > MOST_CORNERS:
        raise AskLess(f"geometry: {corners} corners, at most {MOST_CORNERS} are taken. Draw it with fewer.")
    if not _is_in_degrees(area):
        raise BadRequest("geometry: its coordinates are no degrees: longitude first, -360 to 360, then latitude.")
    if not area.is_valid:
        raise BadRequest(f"geometry: {shapely.is_valid_reason(area)[:80]}. Draw it so that its border does not cross.")
    return area


def _is_in_degrees(area: Polygon | MultiPolygon) -> bool:
    places = shapely.get_coordinates(area)
    return bool((np.abs(places) <= (360, 90)).all())


def _literal(coordinates: Any) -> Any:
    """Lists of lists of finite numbers."""
    if isinstance(coordinates, tuple | list):
        return [_literal(each) for each in coordinates]
    number = float(coordinates)
    if not math.isfinite(number):
        raise ValueError(number)
    return number


def _require_one(layer: OpenBands) -> None:
    if len(layer.names) != 1:
        raise BadRequest(f"band: {len(layer.names)} bands were named, expected one.")


def _require_few(pixels: int, steps: int) -> None:
    if pixels > MOST_PIXELS or pixels * steps > MOST_VALUES:
        raise AskLess(
            f"The area's box has {pixels:,} pixels at {steps} steps; of at most {MOST_PIXELS:,} pixels and "
            f"{MOST_VALUES:,} values statistics are made. Draw a smaller area, or select fewer dates."
        )


def _pixels_in(area: Polygon | MultiPolygon, layer: OpenBands) -> tuple[slice, slice, Array]:
    """Rows and columns of the box round an area, and where in it pixels have their centres in the area."""
    grid = layer.grid
    assert grid.crs is not None
    projected = _turned(Geometry(area, "EPSG:4326").to_crs(grid.crs, resolution="auto").geom, grid)
    there = shapely.transform(projected, lambda places: np.stack(~grid.transform @ tuple(places.T), axis=-1))
    left, top, right, bottom = there.bounds
    if not all(map(math.isfinite, there.bounds)):
        raise NothingFound(f"The area has no place in the CRS of {', '.join(layer.names)}. Draw it within its bounds.")
    rows, columns = (
        slice(max(math.floor(first), 0), min(math.ceil(last), length))
        for first, last, length in zip((top, left), (bottom, right), grid.shape, strict=True)
    )
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height <= 0 or width <= 0:
        raise NothingFound(f"The area is outside of {', '.join(layer.names)}. Draw it within its bounds.")
    _require_few(height * width, len(layer.labels))
    shifted = shapely.transform(there, lambda places: places - (columns.start, rows.start))
    inside = geometry_mask([shifted], (height, width), Affine.identity(), invert=True)
    if not inside.any():
        raise NothingFound("No pixel has its centre in the area. Draw it larger than a pixel, or point at one.")
    return rows, columns, inside


def _turned(area: Any, grid: GeoBox) -> Any:
    """The area as many times round the globe as it takes to be where the grid is, where x goes round it."""
    turn = full_turn(grid.crs)
    (left, _, right, _), box = area.bounds, grid.boundingbox
    ways = turns_between((left, right), (box.left, box.right), turn) if turn else range(0)
    return shapely.transform(area, lambda places: places + np.array([ways[0] * turn, 0.0])) if ways else area


def _index_of(variable: Variable, layer: OpenBands) -> pd.Index:
    known = variable.indexes.get(layer.axis)
    return pd.Index(layer.labels, name=layer.axis) if known is None else known


def _each_step(layer: OpenBands, rows: slice, columns: slice) -> Iterator[Array]:
    pixels = (rows.stop - rows.start) * (columns.stop - columns.start)
    count, few = len(layer.labels), max(1, _AT_ONCE // pixels)
    for first in range(0, count, few):
        yield from layer.within(slice(first, min(first + few, count)), rows, columns)[0]


def _describe(values: Array) -> dict[str, float]:
    seen = values[np.isfinite(values)].astype("float64")
    told = {"count": len(seen), "valid": len(seen) / len(values)}
    if not len(seen):
        return {**dict.fromkeys(("mean", "median", "std", "min", "max"), math.nan), **told}
    found = {"mean": seen.mean(), "median": np.median(seen), "std": seen.std(), "min": seen.min(), "max": seen.max()}
    return {**{name: float(value) for name, value in found.items()}, **told}
