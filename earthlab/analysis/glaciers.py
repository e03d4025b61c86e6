"""Glaciers: how fast they flow, how well that is known, and how much mass they lose.

Rock beside a glacier does not move. What a velocity map shows there is its error: its spread is the uncertainty, its
middle the bias.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from earthlab.analysis.grids import check_same_grid, flat, inside_of, on_grid_of, pixel_size, unpacked
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import Correlation, effective_samples, nmad, sigma_of_volume
from earthlab.analysis.terrain import heights_of
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest

_SPEED = ("m d-1", "m yr-1", "m s-1")
_UNSAID = (-9999.0, -32767.0, -32768.0)
"""What velocity maps hold where they have no match, whether they say so or not."""
_HUSS_DENSITY, _HUSS_ERROR = 850.0, 60.0
_WATER = 1000.0
_EPANECHNIKOV = 2.1991


@dataclass(frozen=True, slots=True)
class StaticError:
    """Uncertainty of a velocity map from ground that does not move, in the unit of the map.

    ``error_x`` and ``error_y`` are half the width of where the velocities lie densest (two standard deviations of a
    normal law for ``sigmas`` = 2), ``bias_x`` and ``bias_y`` the place of the highest density, ``wrong`` the share of
    velocities outside that rectangle, ``number`` how many were judged.
    """

    error_x: float
    error_y: float
    bias_x: float
    bias_y: float
    wrong: float
    number: int
    sigmas: float
    units: str


def static_error(
    vx: xr.DataArray, vy: xr.DataArray, static: xr.DataArray, *, sigmas: float = 2.0, mesh: int = 60
) -> StaticError:
    """Uncertainty, bias and share of wrong matches of a velocity map, from ground that does not move.

    The density of the pairs (vx, vy) is estimated with an Epanechnikov kernel on a mesh around their median, first
    coarse, then fine. Where it is above ``exp(-sigmas²/2)`` of its maximum, as a normal law is within ``sigmas``, the
    matches are taken as right; the half extent of that region is the uncertainty.

    Parameters
    ----------
    vx, vy : xarray.DataArray
        Velocity along x and y, axes ``y`` and ``x``, NaN where there is none.
    static : xarray.DataArray
        bool, on the same grid: rock and other ground at rest, as `earthlab.analysis.grids.polygon_mask` gives it.
    sigmas : float
        Width of the region in standard deviations of a normal law.
    mesh : int
        Nodes along each side of the mesh: the resolution of the result is the region divided by it.

    Returns
    -------
    StaticError

    Raises
    ------
    BadRequest
        For two grids or units, a unit that is no velocity, fewer than 30 velocities on static ground, velocities that
        are all the same, or numbers that are not positive.

    References
    ----------
    Zheng, Bhushan, Van Wyk de Vries, Kochtitzky, Shean, Copland, Dow, Jones-Ivey and Pérez (2023), GLAcier Feature
    Tracking testkit (GLAFT): a statistically and physically based framework for evaluating glacier velocity products
    derived from optical satellite image feature tracking, doi:10.5194/tc-17-4063-2023, metric 1.
    """
    from sklearn.neighbors import KernelDensity

    vx, vy, units = _velocities_of(vx, vy, "static_error")
    if not (sigmas > 0 and mesh >= 10):
        raise BadRequest(f"static_error: sigmas {sigmas!r}, mesh {mesh!r}; expected above 0, and ten nodes or more.")
    pairs = _static_pairs(vx, vy, static)
    spread = float(np.prod(pairs.var(axis=0, ddof=1)) ** 0.25)
    if not spread > 0:
        raise BadRequest(
            "static_error: all velocities on static ground are the same along an axis: is this a filled map?"
        )
    density = KernelDensity(kernel="epanechnikov", bandwidth=_EPANECHNIKOV * spread * len(pairs) ** (-1 / 6)).fit(pairs)
    middle = np.median(pairs, axis=0)
    coarse = _dense_region(density, middle, (sigmas + 1) * spread, mesh, sigmas)
    fine = _dense_region(density, middle, float(coarse.extent.mean()), mesh, sigmas)
    outside = ((pairs < fine.low) | (pairs > fine.high)).any(axis=1)
    error, bias = fine.extent / 2, fine.peak
    return StaticError(
        float(error[0]),
        float(error[1]),
        float(bias[0]),
        float(bias[1]),
        float(outside.mean()),
        len(pairs),
        sigmas,
        units,
    )


def _velocities_of(vx: xr.DataArray, vy: xr.DataArray, verb: str) -> tuple[xr.DataArray, xr.DataArray, str]:
    for velocity in (vx, vy):
        if not isinstance(velocity, xr.DataArray):
            raise BadRequest(f"{verb}: expected velocities as DataArrays, found {type(velocity).__name__}.")
    units = [check_units(velocity, *_SPEED, verb=verb, what="velocity") or "m d-1" for velocity in (vx, vy)]
    if units[0] != units[1]:
        raise BadRequest(f"{verb}: vx is in {units[0]!r} and vy in {units[1]!r}. Convert one.")
    first, second = (unpacked(flat(velocity), unsaid=_UNSAID) for velocity in (vx, vy))
    return first, on_grid_of(first, second, verb), units[0]


def _static_pairs(vx: xr.DataArray, vy: xr.DataArray, static: Any) -> Array:
    first, second = vx.values, vy.transpose(*vx.dims).values
    still = inside_of(static, vx, "static_error", "static")
    kept = still & np.isfinite(first) & np.isfinite(second)
    if kept.sum() < 30:
        raise BadRequest(
            f"static_error: found {int(kept.sum())} velocities on static ground, expected 30 or more. Draw more of it."
        )
    return np.column_stack([first[kept], second[kept]]).astype("float64")


@dataclass(frozen=True, slots=True)
class _Region:
    low: Array
    high: Array
    peak: Array

    @property
    def extent(self) -> Array:
        return self.high - self.low


def _dense_region(density: Any, middle: Array, reach: float, mesh: int, sigmas: float) -> _Region:
    axes = [np.linspace(centre - reach, centre + reach, mesh) for centre in middle]
    nodes = np.column_stack([axis.ravel() for axis in np.meshgrid(*axes)])
    values = np.exp(density.score_samples(nodes))
    dense = nodes[values >= values.max() / math.exp(sigmas**2 / 2)]
    return _Region(dense.min(axis=0), dense.max(axis=0), nodes[values.argmax()])


def speed(vx: xr.DataArray, vy: xr.DataArray, error: StaticError | None = None) -> xr.Dataset:
    """Speed of the flow and, where the error is known, its standard error and the bias taken off.

    Parameters
    ----------
    vx, vy : xarray.DataArray
        Velocity along x and y, in one unit.
    error : StaticError, optional
        Of the same map, as `static_error` gives it: its bias is taken off both components.

    Returns
    -------
    xarray.Dataset
        ``speed`` and, with an error, ``speed_error`` (one standard error, by propagation), in the unit of the map.
        Lazy if the components are.

    Raises
    ------
    BadRequest
        For two grids or units, or an error in another unit.
    """
    vx, vy, units = _velocities_of(vx, vy, "speed")
    if error is not None and error.units != units:
        raise BadRequest(f"speed: the error is in {error.units!r} and the velocities in {units!r}.")
    along_x, along_y = (vx, vy) if error is None else (vx - error.bias_x, vy - error.bias_y)
    size = xr.ufuncs.sqrt(along_x**2 + along_y**2)
    marks = {"units": units, "grid_mapping": "spatial_ref"}
    found = xr.Dataset({"speed": size.assign_attrs(long_name="vitesse / speed", **marks)})
    if error is None:
        return found
    parts = ((along_x * error.error_x) ** 2 + (along_y * error.error_y) ** 2) / error.sigmas**2
    still = max(error.error_x, error.error_y) / error.sigmas
    doubt = xr.ufuncs.sqrt(parts) / size.where(size > 0)
    doubt = doubt.fillna(still).where(size.notnull())
    return found.assign(speed_error=doubt.assign_attrs(long_name="erreur type / standard error", **marks))


@dataclass(frozen=True, slots=True)
class MassBalance:
    """Change of a glacier between two elevations; every ``…_error`` is one standard error.

    ``volume`` in m³, ``mass`` in Gt, ``rate`` in metres of water equivalent a year over the glacier's ``area`` (m²);
    ``covered`` is the share of it that was observed, ``effective`` the number of independent errors on it.
    """

    volume: float
    volume_error: float
    mass: float
    mass_error: float
    rate: float
    rate_error: float
    area: float
    covered: float
    effective: float


def geodetic_balance(  # noqa: PLR0913 - what the balance depends on, each by its name
    change: xr.DataArray,
    glacier: xr.DataArray,
    *,
    years: float,
    correlation: Correlation | float,
    sigma: float | None = None,
    static: xr.DataArray | None = None,
    systematic: float = 0.0,
    density: float = _HUSS_DENSITY,
    density_error: float = _HUSS_ERROR,
) -> MassBalance:
    """Volume, mass and specific balance of a glacier from its change of elevation, each with its standard error.

    Parameters
    ----------
    change : xarray.DataArray
        Later minus earlier elevation, metres, of co-registered models; axes ``y`` and ``x`` in metres, NaN for a void.
    glacier : xarray.DataArray
        bool, on the same grid. Its voids take the mean of what was observed.
    years : float
        Between the two.
    correlation : Correlation or float
        Of the errors, or the range in metres of a spherical model, as `earthlab.analysis.robust` fits it on static
        ground.
    sigma : float, optional
        Standard deviation of one pixel's error in metres. Default: the NMAD over ``static``.
    static : xarray.DataArray, optional
        bool: ground that did not change.
    systematic : float
        Standard error in metres that all pixels share, such as that of the vertical adjustment.
    density, density_error : float
        kg m⁻³ that volume is turned into mass with; the defaults, 850 ± 60, hold for periods of five years or more.

    Returns
    -------
    MassBalance
        Errors of volume and density are independent; those of voids are those of pixels.

    Raises
    ------
    BadRequest
        For two grids, degrees or another unit, no observation on the glacier, a sigma that is neither given nor to be
        had, or numbers that are not positive.

    References
    ----------
    Huss (2013), Density assumptions for converting geodetic glacier volume change to mass change,
    doi:10.5194/tc-7-877-2013; Rolstad et al. (2009), doi:10.3189/002214309789470950; Hugonnet et al. (2022),
    doi:10.1109/JSTARS.2022.3188922.
    """
    verb = "geodetic_balance"
    check_units(change, "m", verb=verb, what="change")
    change = heights_of(flat(change))
    height, width = pixel_size(change, verb)
    if not (years > 0 and density > 0 and density_error >= 0 and systematic >= 0):
        raise BadRequest(
            f"{verb}: years {years!r}, density {density!r} ± {density_error!r}, systematic {systematic!r}; expected "
            "positive numbers."
        )
    values = change.transpose("y", "x").values.astype("float64")
    on_ice = inside_of(glacier, change, verb, "the glacier")
    observed = on_ice & np.isfinite(values)
    if not observed.any():
        raise BadRequest(f"{verb}: no elevation change is observed on the glacier. Do the grids overlap?")
    doubt = _pixel_error(change, static, verb) if sigma is None else sigma
    if not doubt >= 0:
        raise BadRequest(f"{verb}: sigma is {doubt!r}, expected metres from 0.")
    area = float(on_ice.sum()) * height * width
    effective = effective_samples(observed, correlation, pixel=(height, width))
    volume = float(values[observed].mean()) * area
    volume_error = sigma_of_volume(doubt, area, effective, systematic=systematic)
    mass = volume * density
    mass_error = math.hypot(volume_error * density, volume * density_error)
    per_year = 1 / (area * _WATER * years)
    return MassBalance(
        volume, volume_error, mass / 1e12, mass_error / 1e12, mass * per_year, mass_error * per_year, area,
        float(observed.sum() / on_ice.sum()), effective,
    )  # fmt: skip


def _pixel_error(change: xr.DataArray, static: Any, verb: str) -> float:
    if static is None:
        raise BadRequest(f"{verb}: expected sigma= in metres, or static=, the ground to tell it from.")
    off = change.values[inside_of(static, change, verb, "static")]
    if not np.isfinite(off).any():
        raise BadRequest(f"{verb}: no elevation change is observed on static ground. Draw more of it.")
    return float(nmad(off))


def track_features(
    first: xr.DataArray, second: xr.DataArray, *, days: float, window: int = 32, step: int = 16, upsample: int = 50
) -> xr.Dataset:
    """Velocity between two images, from how far the features of each window moved.

    Parameters
    ----------
    first, second : xarray.DataArray
        Axes ``y`` and ``x`` in metres, on one grid, the earlier first; brightness, hillshade or amplitude.
    days : float
        Between the two.
    window, step : int
        Side of the windows and distance of their middles, in pixels.
    upsample : int
        A shift is told to 1/upsample of a pixel.

    Returns
    -------
    xarray.Dataset
        ``vx`` and ``vy`` in m/d towards greater x and y, and ``match``, the correlation of the two windows once they
        lie on each other, -1 to 1; one pixel a window, NaN where a window has a missing value, no contrast, or moved
        by half a window or more.

    Raises
    ------
    BadRequest
        For two grids, degrees, images smaller than a window, or numbers that are not positive.

    References
    ----------
    Guizar-Sicairos, Thurman and Fienup (2008), Efficient subpixel image registration algorithms,
    doi:10.1364/OL.33.000156, as scikit-image has it.
    """
    check_same_grid(first, second, "track_features")
    height, width = pixel_size(first, "track_features")
    first, second = (unpacked(flat(image), unsaid=_UNSAID) for image in (first, second))
    earlier, later = (image.transpose("y", "x").values.astype("float64") for image in (first, second))
    if not (days > 0 and window >= 8 and step >= 1 and upsample >= 1):
        raise BadRequest(
            f"track_features: days {days!r}, window {window!r}, step {step!r}, upsample {upsample!r}; expected "
            "days above 0 and windows of 8 pixels or more."
        )
    if min(earlier.shape) < window:
        raise BadRequest(f"track_features: the images have {earlier.shape} pixels, expected {window} or more each way.")
    rows = np.arange(0, earlier.shape[0] - window + 1, step)
    columns = np.arange(0, earlier.shape[1] - window + 1, step)
    found = np.full((3, rows.size, columns.size), np.nan)
    for at, row in enumerate(rows):
        for place, column in enumerate(columns):
            found[:, at, place] = _shift(earlier, later, (row, column), window, upsample)
    return _velocities(first, found, rows + window / 2 - 0.5, columns + window / 2 - 0.5, (height / days, width / days))


def _shift(
    earlier: Array, later: Array, corner: tuple[int, int], window: int, upsample: int
) -> tuple[float, float, float]:
    # Whole pixels first: windows that show the same ground are then compared for the rest, which is less than one.
    from skimage.registration import phase_cross_correlation

    none = (math.nan, math.nan, math.nan)
    before, after = _cut(earlier, corner, window), _cut(later, corner, window)
    if _is_blank(before) or _is_blank(after):
        return none
    whole = -phase_cross_correlation(before - before.mean(), after - after.mean(), normalization=None)[0]
    if np.abs(whole).max() >= window / 2:
        return none
    followed = (corner[0] + int(whole[0]), corner[1] + int(whole[1]))
    after = _cut(later, followed, window)
    if _is_blank(after):
        return none
    taper = np.hanning(window)[:, None] * np.hanning(window)
    tapered = [(image - image.mean()) * taper for image in (before, after)]
    rest = -phase_cross_correlation(*tapered, upsample_factor=upsample, normalization=None)[0]
    match = np.corrcoef(before.ravel(), after.ravel())[0, 1]
    return float(whole[0] + rest[0]), float(whole[1] + rest[1]), float(match)


def _cut(image: Array, corner: tuple[int, int], window: int) -> Array:
    row, column = corner
    if min(corner) < 0 or row + window > image.shape[0] or column + window > image.shape[1]:
        return np.full((window, window), np.nan)
    return image[row : row + window, column : column + window]


def _is_blank(image: Array) -> bool:
    return not np.isfinite(image).all() or np.ptp(image) == 0


def _velocities(
    like: xr.DataArray, found: Array, rows: Array, columns: Array, per_pixel: tuple[float, float]
) -> xr.Dataset:
    steps = {name: float(like[name][1] - like[name][0]) for name in ("y", "x")}
    middles = {name: float(like[name][0]) + steps[name] * at for name, at in (("y", rows), ("x", columns))}
    coords: dict[str, Any] = {name: (name, places, like[name].attrs) for name, places in middles.items()}
    if "spatial_ref" in like.coords:
        coords["spatial_ref"] = like.spatial_ref
    signs = [math.copysign(1, step) for step in steps.values()]
    layers = {
        "vx": (found[1] * per_pixel[1] * signs[1], "vitesse vers l'est / velocity along x", "m d-1"),
        "vy": (found[0] * per_pixel[0] * signs[0], "vitesse vers le nord / velocity along y", "m d-1"),
        "match": (found[2], "corrélation / correlation", "1"),
    }
    return xr.Dataset(
        {
            name: (("y", "x"), values, {"long_name": words, "units": units, "grid_mapping": "spatial_ref"})
            for name, (values, words, units) in layers.items()
        },
        coords,
    )
