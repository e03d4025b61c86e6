"""Laying one elevation model exactly over another: the horizontal and vertical shift between the two.

Two models that lie a little apart differ the more, the steeper the ground, and with the sign of the direction it
looks to. Nuth and Kääb turn this around and find the shift from the differences:
``dh = shift · (sin ψ sin α, cos ψ cos α) tan(slope) + bias`` for a ground that looks to ψ, solved again and again until
nothing moves.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import xarray as xr

from earthlab.analysis.grids import crs_of, inside_of
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import effective_samples, fit_correlation, nmad, variogram
from earthlab.analysis.terrain import Pixel, check_elevation, gradient, pixel_in_metres
from earthlab.errors import BadRequest

_FEWEST = 50
_FULL_STEPS = 8
_TRIMS = 3
_ROUNDING = 1e-9
_SAME = 1e-3
"""Share by which the pixels of two grids may differ, from rounding."""


@dataclass(frozen=True)
class Shift:
    """What to add to the places and heights of a model so that it lies on the reference.

    Attributes
    ----------
    east, north, up : float
        Metres.
    east_error, north_error, up_error : float
        Standard errors in metres, with the correlation of neighbouring differences.
    columns, rows : float
        The same shift in pixels: columns to the right, rows downwards as they are stored.
    nmad_before, nmad_after : float
        Of the differences on stable ground, in metres.
    used : int
        Pixels the last solution rests on.
    effective : float
        How many of them are independent.
    iterations : int
        Until nothing moved.
    """

    east: float
    north: float
    up: float
    east_error: float
    north_error: float
    up_error: float
    columns: float
    rows: float
    nmad_before: float
    nmad_after: float
    used: int
    effective: float
    iterations: int


def coregister(
    reference: xr.DataArray,
    other: xr.DataArray,
    *,
    stable: xr.DataArray | gpd.GeoDataFrame | None = None,
    pixel: Any = None,
    tolerance: float = 1e-3,
    iterations: int = 50,
) -> Shift:
    """The shift that lays a model on a reference (Nuth and Kääb), with its standard errors.

    Parameters
    ----------
    reference, other : xarray.DataArray
        Heights in metres on two axes with coordinates, in one reference system and with pixels of one size; their
        extents may differ. NaN is unknown, and values of no data as `earthlab.analysis.terrain.heights_of` has
        it. They are read into memory.
    stable : xarray.DataArray or geopandas.GeoDataFrame, optional
        Where the ground did not change: true on the grid of the reference, or polygons. Default: everywhere.
    pixel : Pixel, float or (float, float), optional
        Height and width of a pixel in metres. Default: from the coordinates of a projected grid.
    tolerance : float
        Pixels; the search ends when a step is shorter.
    iterations : int
        Most steps.

    Returns
    -------
    Shift
        Add it to the coordinates and heights of ``other``, as `shifted` does.

    Raises
    ------
    BadRequest
        For a grid in degrees (unless ``pixel`` is given), other systems or sizes of pixels, models that do not overlap
        on stable ground, ground without slopes, heights in another unit, or a search that does not end.

    Notes
    -----
    Each step is the least-squares solution of the equation of Nuth and Kääb multiplied by the tangent of the slope, so
    that steep ground counts by what it knows, over the differences within 3 NMAD of their median.

    References
    ----------
    Nuth and Kääb (2011), Co-registration and bias corrections of satellite elevation data sets for quantifying glacier
    thickness change, doi:10.5194/tc-5-271-2011.
    """
    reference = check_elevation(reference, "coregister", single=True)
    pair = _paired(reference, other, pixel)
    rises = _rises(reference)
    ground = np.ones(reference.shape, bool)
    if stable is not None:
        ground = inside_of(stable, reference, "coregister", "stable")
    moved = np.zeros(2)
    before = step = _solve(pair, rises, ground, moved)
    for count in range(1, iterations + 1):
        # Shorter steps in the end: which pixels are outliers changes with the shift, and would go back and forth.
        forward = step.columns_rows * min(1.0, _FULL_STEPS / count)
        moved = moved + forward
        if float(np.abs(forward).max()) < tolerance:
            return _shift(pair, before, _solve(pair, rises, ground, moved), moved, count)
        step = _solve(pair, rises, ground, moved)
    raise BadRequest(
        f"coregister: still moving by {np.abs(step.columns_rows).max():.2g} pixels after {iterations} steps. "
        "Mask what changed with stable=, or lay the models roughly over each other first."
    )


def shifted(other: xr.DataArray, shift: Shift, *, like: xr.DataArray) -> xr.DataArray:
    """The model moved by a shift, on the grid of a reference, between pixels bilinearly.

    Parameters
    ----------
    other : xarray.DataArray
        The model that was laid on the reference.
    shift : Shift
        As `coregister` gives it.
    like : xarray.DataArray
        The reference.

    Returns
    -------
    xarray.DataArray
        Heights in metres, NaN where a neighbour is unknown or outside; in memory.

    Raises
    ------
    BadRequest
        As `coregister` for models that do not fit each other.
    """
    like, other = (check_elevation(model, "shifted", single=True) for model in (like, other))
    pair = _paired(like, other, Pixel(1.0, 1.0))
    heights = _sampled(pair, np.array([shift.columns, shift.rows])) + shift.up
    words = {key: value for key, value in other.attrs.items() if key != "grid_mapping"}
    placed = {"grid_mapping": like.attrs["grid_mapping"]} if "grid_mapping" in like.attrs else {}
    found = like.copy(data=heights.astype(np.result_type(other.dtype, "float32")))
    found.attrs = {**words, **placed}
    return found.rename(other.name)


class _Pair(NamedTuple):
    reference: Array
    other: Array
    offset: Array
    pixel: Pixel
    signs: tuple[float, float]


class _Step(NamedTuple):
    columns_rows: Array
    bias: float
    design: Array
    residuals: Array
    nmad: float


def _paired(reference: xr.DataArray, other: xr.DataArray, pixel: Any) -> _Pair:
    other = check_elevation(other, "coregister", single=True)
    systems = [crs_of(model) for model in (reference, other)]
    if None not in systems and systems[0] != systems[1]:
        found = " and ".join(f"EPSG:{system.epsg}" if system.epsg else str(system) for system in systems)
        raise BadRequest(f"coregister: the models are in {found}. Open both in one system: crs=.")
    size = pixel_in_metres(reference, pixel, "coregister")
    offsets, signs = [], []
    for first, second in zip(reference.dims, other.dims, strict=True):
        other = _running_like(reference, other, first, second)
        offset, sign = _offset(reference, other, first, second)
        offsets.append(offset)
        signs.append(sign)
    values = [np.asarray(model.values, "float64") for model in (reference, other)]
    return _Pair(values[0], values[1], np.array(offsets[::-1]), size, (signs[0], signs[1]))


def _running_like(reference: xr.DataArray, other: xr.DataArray, first: Any, second: Any) -> xr.DataArray:
    if first not in reference.coords or second not in other.coords:
        raise BadRequest(f"coregister: found no coordinates along {first!r} in both models. Give them their x and y.")
    steps = [float(model[name][-1] - model[name][0]) for model, name in ((reference, first), (other, second))]
    return other if steps[0] * steps[1] > 0 else other.isel({second: slice(None, None, -1)})


def _offset(reference: xr.DataArray, other: xr.DataArray, first: Any, second: Any) -> tuple[float, float]:
    axes = [np.asarray(model[name].values, "float64") for model, name in ((reference, first), (other, second))]
    steps = [(axis[-1] - axis[0]) / (axis.size - 1) for axis in axes]
    if abs(steps[1] / steps[0] - 1) > _SAME:
        raise BadRequest(
            f"coregister: pixels of {steps[0]:g} and {steps[1]:g} along {first!r}, expected one size. "
            "Open the second like the first: el.open(…, like=…)."
        )
    apart = float((axes[0][0] - axes[1][0]) / steps[0])
    if apart >= axes[1].size or -apart >= axes[0].size:
        raise BadRequest(
            f"coregister: the models do not overlap along {first!r}: {axes[0].min():g} to {axes[0].max():g}, and "
            f"{axes[1].min():g} to {axes[1].max():g}."
        )
    return apart, float(np.sign(steps[0]))


def _sampled(pair: _Pair, moved: Array) -> Array:
    rows = np.arange(pair.reference.shape[0]) + pair.offset[1] - moved[1]
    columns = np.arange(pair.reference.shape[1]) + pair.offset[0] - moved[0]
    below = _between(pair.other, rows)
    return np.asarray(_between(below.T, columns).T)


def _between(values: Array, places: Array) -> Array:
    # A whole number of pixels must not ask for a neighbour that is not there.
    near = np.rint(places)
    places = np.where(np.abs(places - near) < 1e-9, near, places)
    low = np.floor(places).astype("int64")
    share = (places - low)[:, None]
    high = np.where(share[:, 0] > 0, low + 1, low)
    inside = (low >= 0) & (high < values.shape[0])
    low, high = (np.clip(at, 0, values.shape[0] - 1) for at in (low, high))
    found = np.where(share > 0, values[low] * (1 - share) + values[high] * share, values[low])
    return np.where(inside[:, None], found, np.nan)


def _rises(reference: xr.DataArray) -> tuple[Array, Array]:
    # How much the ground rises from one column, and one row, to the next as they are stored.
    plain = reference.drop_vars(reference.coords)
    north, east = (np.asarray(part.values, "float64") for part in gradient(plain, pixel=1.0))
    return east, -north


def _solve(pair: _Pair, rises: tuple[Array, Array], ground: Array, moved: Array) -> _Step:
    differences = _sampled(pair, moved) - pair.reference
    usable = ground & np.isfinite(differences) & np.isfinite(rises[0]) & np.isfinite(rises[1])
    if int(usable.sum()) < _FEWEST:
        raise BadRequest(
            f"coregister: the models share {int(usable.sum())} pixels of stable ground, expected {_FEWEST} or more."
        )
    values = differences[usable]
    spread = float(nmad(values))
    # What must move by m shows at p the ground of p + m: it is too high by the rise over m.
    design = np.stack([rises[0][usable], rises[1][usable], np.ones_like(values)], 1)
    if np.linalg.matrix_rank(design.T @ design) < 3:
        raise BadRequest("coregister: the ground has no slopes in two directions, so no shift shows. Widen the area.")
    kept = np.abs(values - np.median(values)) <= 3 * spread
    for _ in range(_TRIMS):
        part = design[kept]
        found = np.linalg.solve(part.T @ part, part.T @ values[kept])
        residuals = values - design @ found
        kept = np.abs(residuals) <= 3 * nmad(residuals[kept]) + _ROUNDING
    field = np.full(differences.shape, np.nan)
    field[usable] = np.where(kept, residuals, np.nan)
    return _Step(found[:2], float(found[2]), design[kept], field, spread)


def _shift(pair: _Pair, before: _Step, last: _Step, moved: Array, iterations: int) -> Shift:
    seen = last.residuals[np.isfinite(last.residuals)]
    effective = _effective(last.residuals, pair.pixel)
    inflated = float(np.sqrt(seen.var() * seen.size / effective))
    errors = inflated * np.sqrt(np.diag(np.linalg.inv(last.design.T @ last.design)))
    size = np.array([pair.pixel.mean_width * pair.signs[1], pair.pixel.height * pair.signs[0]])
    east, north = map(float, moved * size)
    east_error, north_error = map(float, errors[:2] * np.abs(size))
    return Shift(
        east=east,
        north=north,
        up=-last.bias,
        east_error=east_error,
        north_error=north_error,
        up_error=float(errors[2]),
        columns=float(moved[0]),
        rows=float(moved[1]),
        nmad_before=before.nmad,
        nmad_after=last.nmad,
        used=seen.size,
        effective=effective,
        iterations=iterations,
    )


def _effective(residuals: Array, pixel: Pixel) -> float:
    size = (pixel.height, pixel.mean_width)
    if float(nmad(residuals)) <= _ROUNDING:
        return float(np.isfinite(residuals).sum())
    return effective_samples(np.isfinite(residuals), fit_correlation(variogram(residuals, pixel=size)), pixel=size)
