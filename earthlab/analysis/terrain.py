"""Slope, aspect and shade of the ground from a digital elevation model.

Gradients are Horn's, of the eight neighbours. A model in degrees has no slope until someone says how long a degree is:
it is refused, unless its pixel is given in metres, such as `pixel_on_sphere` finds it.
"""

import math
from typing import Any, Literal, NamedTuple

import dask.array as da
import numpy as np
import xarray as xr

from earthlab.analysis.grids import flat, is_geographic, pixel_size, unpacked, upright
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest

SlopeUnit = Literal["degree", "%", "rad"]

EARTH_RADIUS = 6_378_137.0
"""Metres, of the equator in WGS 84."""

_UNSAID = (-9999.0, -99999.0, -32768.0, -32767.0)
"""What elevation models hold in their holes, whether they say so or not: Pléiades chains, SRTM and others."""
_FARTHEST = 1e9
"""Metres that no height reaches: beyond are the largest numbers of a float, which some write into holes."""


class Pixel(NamedTuple):
    """Size of a pixel in metres: its height, and its width, one for all rows or one for each."""

    height: float
    width: Any

    @property
    def mean_width(self) -> float:
        """Width in the middle of the grid."""
        return float(np.mean(self.width))

    @property
    def area(self) -> float:
        """Area of the mean pixel in m²."""
        return self.height * self.mean_width


def pixel_on_sphere(dem: xr.DataArray, *, radius: float = EARTH_RADIUS) -> Pixel:
    """Size of the pixels of a grid in degrees, on a sphere: the width is one for each row.

    Parameters
    ----------
    dem : xarray.DataArray
        Its axes are latitude and longitude in degrees, with coordinates.
    radius : float
        Of the sphere in metres.

    Returns
    -------
    Pixel
        In metres; widths as an array with one value a row.

    Raises
    ------
    BadRequest
        Without regular coordinates, or for values that are no degrees.
    """
    rows, columns = (_axis(dem, name, "pixel_on_sphere") for name in upright(dem).dims[-2:])
    if np.abs(rows).max() > 90 or np.abs(columns).max() > 360:
        raise BadRequest("pixel_on_sphere: the coordinates are no degrees. A grid in metres needs no such help.")
    step = np.radians([abs(rows[1] - rows[0]), abs(columns[1] - columns[0])])
    return Pixel(float(radius * step[0]), radius * step[1] * np.cos(np.radians(rows)))


def pixel_in_metres(dem: xr.DataArray, pixel: Any, verb: str) -> Pixel:
    """The pixel as given, or found in the coordinates of a projected grid.

    Parameters
    ----------
    dem : xarray.DataArray
        Its last two axes are those in space.
    pixel : Pixel, float, (float, float) or None
        Size in metres, height before width.
    verb : str
        Who asks, for the message.

    Raises
    ------
    BadRequest
        For a grid in degrees or without coordinates where no pixel is given, or for a size that is not positive.
    """
    if pixel is None:
        if is_geographic(dem):
            raise BadRequest(
                f"{verb}: the grid is in degrees, expected metres. Open it in a projected system, such as crs=32740, "
                "or say how large its pixels are: pixel=pixel_on_sphere(dem)."
            )
        return Pixel(*pixel_size(dem, verb))
    sides = tuple(pixel) if isinstance(pixel, tuple | list) else (pixel, pixel)
    if len(sides) != 2 or not all(_is_length(side) for side in sides):
        raise BadRequest(f"{verb}: pixel is {pixel!r}, expected metres above 0: one number, or height and width.")
    height, width = sides
    if np.ndim(width) and np.shape(width) != (dem.shape[-2],):
        raise BadRequest(f"{verb}: {np.size(width)} widths of pixels for {dem.shape[-2]} rows. Give one for each row.")
    return Pixel(float(height), width)


def _is_length(side: Any) -> bool:
    values = np.asarray(side)
    return values.dtype.kind in "iuf" and bool(values.size) and bool((values > 0).all())


def check_elevation(dem: xr.DataArray, verb: str, *, single: bool = False) -> xr.DataArray:
    """The model as `heights_of` has it, rows and columns last, where it holds heights in metres.

    Parameters
    ----------
    dem : xarray.DataArray
        Heights in metres.
    verb : str
        Who asks, for the message.
    single : bool
        Whether it must be one model; leading axes of one, such as the band of a file, are then left out.

    Raises
    ------
    BadRequest
        For something else than a DataArray with two axes in space of three pixels or more, or heights in another unit.
    """
    if not isinstance(dem, xr.DataArray):
        raise BadRequest(f"{verb}: expected an xarray DataArray of heights, found {type(dem).__name__}. Choose a band.")
    dem = flat(dem) if single else upright(dem)
    if single and dem.ndim > 2:
        raise BadRequest(f"{verb}: expected two axes, found {dem.ndim}. Choose one date: dem.isel(time=0).")
    if dem.ndim < 2 or min(dem.shape[-2:]) < 3:
        axes = ", ".join(f"{name} {size}" for name, size in dem.sizes.items())
        raise BadRequest(f"{verb}: expected two axes in space of three pixels or more, found {axes or 'none'}.")
    if dem.dtype.kind not in "fiu":
        raise BadRequest(f"{verb}: expected heights as numbers, found {dem.dtype}.")
    check_units(dem, "m", verb=verb, what="the model")
    return heights_of(dem)


def heights_of(dem: xr.DataArray) -> xr.DataArray:
    """The heights of a model, or differences of them, as floats with NaN in its holes.

    Holes are what the model declares as no data; -9999, -99999, -32767 and -32768 whether it does or not; and what is
    beyond 10⁹ m.
    """
    heights = unpacked(dem, unsaid=_UNSAID)
    return heights.where(abs(heights) < _FARTHEST)


def gradient(dem: xr.DataArray, *, pixel: Any = None) -> tuple[xr.DataArray, xr.DataArray]:
    """How much the ground rises for a metre to the north, and for a metre to the east (Horn's method).

    Parameters
    ----------
    dem : xarray.DataArray
        Heights in metres; the last two axes are rows and columns, unless they are called ``y`` and ``x``. NaN and
        values of no data are unknown, as `heights_of` has it.
    pixel : Pixel, float or (float, float), optional
        Height and width of a pixel in metres. Default: from the coordinates of a projected grid.

    Returns
    -------
    tuple of xarray.DataArray
        Northward and eastward, without unit; NaN on the rim and beside what is unknown. Lazy if the model is.

    Raises
    ------
    BadRequest
        For a grid in degrees, heights in another unit, or fewer than three pixels along an axis.

    References
    ----------
    Horn (1981), Hill shading and the reflectance map, doi:10.1109/PROC.1981.11918.
    """
    heights = check_elevation(dem, "gradient")
    size = pixel_in_metres(heights, pixel, "gradient")
    signs = [_sign(heights, name) for name in heights.dims[-2:]]
    rises = (_neighbours(heights, across=False), _neighbours(heights, across=True))
    down, across = (heights.copy(data=rise) for rise in rises)
    width = size.width if np.ndim(size.width) == 0 else xr.DataArray(size.width, dims=(heights.dims[-2],))
    north, east = down * (signs[0] / (8 * size.height)), across / (8 * width) * signs[1]
    words = ("pente vers le nord / northward gradient", "pente vers l'est / eastward gradient")
    return (
        _described(north.astype(heights.dtype), dem, "northward_gradient", "1", words[0]),
        _described(east.transpose(*heights.dims).astype(heights.dtype), dem, "eastward_gradient", "1", words[1]),
    )


def slope(dem: xr.DataArray, *, pixel: Any = None, unit: SlopeUnit = "degree") -> xr.DataArray:
    """Steepness of the ground, from Horn's gradient.

    Parameters
    ----------
    dem, pixel
        As for `gradient`.
    unit : {"degree", "%", "rad"}
        ``"%"`` is metres of height for a hundred metres of way: 100 at 45 degrees.

    Returns
    -------
    xarray.DataArray
        Float, NaN on the rim and beside what is unknown; lazy if the model is.

    Raises
    ------
    BadRequest
        As `gradient`; or for another unit.
    """
    if unit not in ("degree", "%", "rad"):
        raise BadRequest(f"slope: unit is {unit!r}, expected 'degree', '%' or 'rad'.")
    north, east = gradient(dem, pixel=pixel)
    steep: xr.DataArray = (north**2 + east**2) ** 0.5
    found = steep * 100 if unit == "%" else xr.DataArray(np.arctan(steep))
    return _described(found * (180 / math.pi) if unit == "degree" else found, dem, "slope", unit, "pente / slope")


def aspect(dem: xr.DataArray, *, pixel: Any = None) -> xr.DataArray:
    """Direction that a slope looks to, in degrees clockwise from north: 90 where the ground falls to the east.

    Parameters
    ----------
    dem, pixel
        As for `gradient`.

    Returns
    -------
    xarray.DataArray
        Float, in [0, 360[; NaN where the ground is level, on the rim, and beside what is unknown. Lazy if the model is.

    Raises
    ------
    BadRequest
        As `gradient`.
    """
    north, east = gradient(dem, pixel=pixel)
    turned: xr.DataArray = xr.apply_ufunc(np.arctan2, -east, -north, dask="allowed") * (180 / math.pi) % 360
    looks = turned.where((north != 0) | (east != 0)).astype(north.dtype)
    return _described(looks, dem, "aspect", "degree", "exposition / aspect")


def hillshade(
    dem: xr.DataArray, *, azimuth: float = 315.0, altitude: float = 45.0, exaggeration: float = 1.0, pixel: Any = None
) -> xr.DataArray:
    """Light of a distant lamp on the bare ground, between 0 (in its own shade) and 1.

    Parameters
    ----------
    dem, pixel
        As for `gradient`.
    azimuth : float
        Where the lamp stands, in degrees clockwise from north.
    altitude : float
        Its height above the horizon in degrees, from 0 to 90.
    exaggeration : float
        What heights are multiplied by.

    Returns
    -------
    xarray.DataArray
        Float; lazy if the model is.

    Raises
    ------
    BadRequest
        As `gradient`; or for a lamp below the horizon or an exaggeration that is not positive.
    """
    if not (0 <= altitude <= 90 and exaggeration > 0):
        raise BadRequest(
            f"hillshade: altitude {altitude!r}, exaggeration {exaggeration!r}; expected 0 to 90 degrees and above 0."
        )
    north, east = (part * exaggeration for part in gradient(dem, pixel=pixel))
    turn, lift = np.radians(azimuth), np.radians(altitude)
    towards = -(north * np.cos(turn) + east * np.sin(turn)) * np.cos(lift) + np.sin(lift)
    shade: xr.DataArray = (towards / (1 + north**2 + east**2) ** 0.5).clip(0, 1)
    return _described(shade, dem, "hillshade", "1", "estompage / hillshade")


def _neighbours(heights: xr.DataArray, *, across: bool) -> Any:
    if heights.chunks is None:
        return _horn(heights.values, across=across)
    depth = {heights.ndim - 2: 1, heights.ndim - 1: 1}
    return da.map_overlap(
        _horn, heights.data, depth=depth, boundary=np.nan, across=across, dtype=heights.dtype, trim=True
    )


def _horn(block: Array, *, across: bool) -> Array:
    out = np.full_like(block, np.nan)
    if across:
        rise = block[..., 2:] - block[..., :-2]
        out[..., 1:-1, 1:-1] = rise[..., :-2, :] + 2 * rise[..., 1:-1, :] + rise[..., 2:, :]
    else:
        rise = block[..., 2:, :] - block[..., :-2, :]
        out[..., 1:-1, 1:-1] = rise[..., :-2] + 2 * rise[..., 1:-1] + rise[..., 2:]
    return np.where(np.isfinite(block), out, np.nan).astype(block.dtype, copy=False)


def _sign(dem: xr.DataArray, name: Any) -> float:
    # Rows run south and columns east where nobody says otherwise.
    if name in dem.coords and dem[name].size > 1:
        return float(np.sign(float(dem[name][1]) - float(dem[name][0])))
    return -1.0 if name == dem.dims[-2] else 1.0


def _axis(dem: xr.DataArray, name: Any, verb: str) -> Array:
    if name not in dem.coords or dem[name].size < 2:
        raise BadRequest(f"{verb}: found no coordinate {name!r} of two pixels or more.")
    values = np.asarray(dem[name].values, "float64")
    steps = np.diff(values)
    if not np.allclose(steps, steps[0], rtol=1e-3) or steps[0] == 0:
        raise BadRequest(f"{verb}: the steps of {name!r} are not equal. Open the data on a regular grid.")
    return values


def placed(array: xr.DataArray) -> dict[str, Any]:
    """The attributes that what is made of an array keeps: where it lies, and that it is simulated where it is."""
    return {key: array.attrs[key] for key in ("grid_mapping", "comment") if key in array.attrs}


def _described(found: xr.DataArray, dem: xr.DataArray, name: str, units: str, words: str) -> xr.DataArray:
    named = found.rename(name)
    named.attrs = {"long_name": words, "units": units, **placed(dem)}
    return named
