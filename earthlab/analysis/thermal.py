"""Temperature of the surface from thermal infrared, and how much warmer a town (or a clearing) is than around.

Radiance gives the temperature a black body would have; the emissivity of the ground, told from its vegetation, corrects
that. What the air between adds and takes is not corrected here: compare places of one image, not one image with a
thermometer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import xarray as xr

from earthlab.analysis.grids import check_same_grid, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest, did_you_mean

_KELVIN = ("K", "kelvin")
_RADIANCE = ("W m-2 sr-1 um-1", "W m-2 sr-1 µm-1", "W/(m2 sr um)", "W m**-2 sr**-1 um**-1")
_SECOND_RADIATION = 1.438777e-2
"""h c / k in m K (CODATA 2018)."""


@dataclass(frozen=True, slots=True)
class ThermalConstants:
    """``k1`` (W m⁻² sr⁻¹ µm⁻¹) and ``k2`` (K) of a thermal band, as its metadata states them."""

    k1: float
    k2: float


SENSORS: Mapping[str, ThermalConstants] = MappingProxyType({"landsat-5-tm": ThermalConstants(607.76, 1260.56)})
"""Chander, Markham and Helder (2009), doi:10.1016/j.rse.2009.01.007, table 7; others: give those of the metadata."""


def brightness_temperature(radiance: xr.DataArray, constants: ThermalConstants | str) -> xr.DataArray:
    """Temperature of the black body that would shine so, ``k2 / ln(k1 / L + 1)``, in kelvin; lazy if the radiance is.

    Parameters
    ----------
    radiance : xarray.DataArray
        At the sensor, in W m⁻² sr⁻¹ µm⁻¹.
    constants : ThermalConstants or str
        Of the band, or the name of a sensor in `SENSORS`.

    Returns
    -------
    xarray.DataArray
        NaN where the radiance is missing or not positive.

    Raises
    ------
    BadRequest
        For another unit, an unknown sensor, or constants that are not positive.

    References
    ----------
    Chander, Markham and Helder (2009), Summary of current radiometric calibration coefficients for Landsat MSS, TM,
    ETM+, and EO-1 ALI sensors, doi:10.1016/j.rse.2009.01.007.
    """
    check_units(radiance, *_RADIANCE, verb="brightness_temperature", what="radiance")
    known = _constants(constants)
    seen = radiance.where(radiance > 0)
    temperature: xr.DataArray = known.k2 / xr.ufuncs.log(known.k1 / seen + 1)
    return _kelvin(temperature, "brightness_temperature", "température de brillance / brightness temperature")


def _constants(constants: ThermalConstants | str) -> ThermalConstants:
    if isinstance(constants, str):
        if constants not in SENSORS:
            raise BadRequest(f"brightness_temperature: {constants!r} is no known sensor. {_sensors(constants)}")
        return SENSORS[constants]
    if not (constants.k1 > 0 and constants.k2 > 0):
        raise BadRequest(f"brightness_temperature: k1 {constants.k1!r}, k2 {constants.k2!r}; expected both above 0.")
    return constants


def _sensors(found: str) -> str:
    return f"{did_you_mean(found, SENSORS)} Or give ThermalConstants(k1, k2) from the metadata."


def _kelvin(temperature: xr.DataArray, name: str, words: str) -> xr.DataArray:
    return temperature.rename(name).assign_attrs(long_name=words, units="K", grid_mapping="spatial_ref")


def sun_reflectance(
    radiance: xr.DataArray, *, irradiance: float, sun_elevation: float, distance: float
) -> xr.DataArray:
    """Reflectance at the top of the air, ``π L d² / (E sin h)``, without unit; lazy if the radiance is.

    Parameters
    ----------
    radiance : xarray.DataArray
        At the sensor, in W m⁻² sr⁻¹ µm⁻¹.
    irradiance : float
        Of the sun at one astronomical unit in the band (ESUN), W m⁻² µm⁻¹.
    sun_elevation : float
        In degrees above the horizon.
    distance : float
        From the Earth to the Sun, in astronomical units, as `sun_distance` gives it.

    Returns
    -------
    xarray.DataArray

    Raises
    ------
    BadRequest
        For another unit, a sun that is not above the horizon, or lengths and irradiances that are not positive.

    References
    ----------
    Chander, Markham and Helder (2009), doi:10.1016/j.rse.2009.01.007.
    """
    check_units(radiance, *_RADIANCE, verb="sun_reflectance", what="radiance")
    if not (0 < sun_elevation <= 90 and irradiance > 0 and distance > 0):
        raise BadRequest(
            f"sun_reflectance: sun_elevation {sun_elevation!r} (degrees), irradiance {irradiance!r}, distance "
            f"{distance!r}; expected a sun above the horizon and positive numbers."
        )
    factor = math.pi * distance**2 / (irradiance * math.sin(math.radians(sun_elevation)))
    return (radiance * factor).assign_attrs(
        long_name="réflectance au sommet de l'atmosphère / top-of-atmosphere reflectance",
        units="1", grid_mapping="spatial_ref",
    )  # fmt: skip


def sun_distance(day: int) -> float:
    """Distance from the Earth to the Sun in astronomical units on a day of the year, right to some 1e-4.

    Raises
    ------
    BadRequest
        For a day outside 1 to 366.

    References
    ----------
    ``1 - 0.01672 cos(0.9856 (day - 4))``, Landsat 7 science data users handbook.
    """
    if not 1 <= day <= 366:
        raise BadRequest(f"sun_distance: day is {day!r}, expected a day of the year, 1 to 366.")
    return 1 - 0.01672 * math.cos(math.radians(0.9856 * (day - 4)))


@dataclass(frozen=True, slots=True)
class EmissivitySettings:
    """What the NDVI thresholds method takes: emissivities without unit near 11 µm, and NDVI of bare and full ground.

    ``shape`` is the geometrical factor of the cavity effect between plants. The defaults give
    ``0.986 + 0.004 · vegetation`` for mixed pixels, as printed for Landsat TM.
    """

    soil: float = 0.97
    vegetation: float = 0.99
    water: float = 0.991
    bare_ndvi: float = 0.2
    full_ndvi: float = 0.5
    shape: float = 0.55


THRESHOLDS = EmissivitySettings()


def emissivity(index: xr.DataArray, settings: EmissivitySettings = THRESHOLDS) -> xr.DataArray:
    """Emissivity of the ground from its NDVI, by the method of thresholds; lazy if the index is.

    Below 0 it is that of water, below ``bare_ndvi`` that of soil, above ``full_ndvi`` that of vegetation; between,
    ``εv P + εs (1 - P) + (1 - εs) εv F (1 - P)`` with the share of vegetation ``P = ((NDVI - bare) / (full - bare))²``
    and the last term for the cavities between plants.

    Parameters
    ----------
    index : xarray.DataArray
        NDVI, best from surface reflectance.
    settings : EmissivitySettings

    Returns
    -------
    xarray.DataArray
        Between 0 and 1; NaN where the index is. Its standard error is some 0.01.

    Raises
    ------
    BadRequest
        For an index in another unit than 1, or settings that cannot be.

    References
    ----------
    Sobrino, Jiménez-Muñoz and Paolini (2004), Land surface temperature retrieval from LANDSAT TM 5,
    doi:10.1016/j.rse.2004.02.003.
    """
    check_units(index, "1", verb="emissivity", what="index")
    values = (settings.soil, settings.vegetation, settings.water)
    if not all(0 < value <= 1 for value in values) or not 0 <= settings.bare_ndvi < settings.full_ndvi <= 1:
        raise BadRequest(f"emissivity: {settings}: expected emissivities in ]0, 1] and 0 ≤ bare_ndvi < full_ndvi ≤ 1.")
    share = (((index - settings.bare_ndvi) / (settings.full_ndvi - settings.bare_ndvi)).clip(0, 1)) ** 2
    cavity = (1 - settings.soil) * settings.vegetation * settings.shape
    mixed = settings.vegetation * share + settings.soil * (1 - share) + cavity * (1 - share)
    found = mixed.where(index >= settings.bare_ndvi, settings.soil).where(index >= 0, settings.water)
    found = found.where(index <= settings.full_ndvi, settings.vegetation).where(index.notnull())
    return found.rename("emissivity").assign_attrs(
        long_name="émissivité / emissivity", units="1", grid_mapping="spatial_ref"
    )


def surface_temperature(brightness: xr.DataArray, ground: xr.DataArray | float, *, wavelength: float) -> xr.DataArray:
    """Temperature of the surface from one thermal band, ``T / (1 + λ T ln(ε) / ρ)`` with ρ = h c / k, in kelvin.

    Parameters
    ----------
    brightness : xarray.DataArray
        Brightness temperature in K.
    ground : xarray.DataArray or float
        Emissivity, as `emissivity` gives it.
    wavelength : float
        Effective wavelength of the band in metres, such as 11.45e-6 for the middle of TM's band 6 (10.40-12.50 µm).

    Returns
    -------
    xarray.DataArray
        Lazy if an input is; NaN where one is missing.

    Raises
    ------
    BadRequest
        For another unit, another grid, a single emissivity outside ]0, 1], or a wavelength outside 8 to 14 µm.

    Notes
    -----
    An error of 0.01 in emissivity is some 0.7 K at 300 K. Moist air makes the surface look cooler by several kelvin:
    only differences within one image are to be trusted.

    References
    ----------
    Artis and Carnahan (1982), Survey of emissivity variability in thermography of urban areas,
    doi:10.1016/0034-4257(82)90043-8.
    """
    check_units(brightness, *_KELVIN, verb="surface_temperature", what="brightness")
    if not 8e-6 <= wavelength <= 14e-6:
        raise BadRequest(
            f"surface_temperature: wavelength is {wavelength!r}, expected metres between 8e-6 and 14e-6, such as "
            "11.45e-6."
        )
    if isinstance(ground, xr.DataArray):
        check_units(ground, "1", verb="surface_temperature", what="ground")
        check_same_grid(brightness, ground, "surface_temperature")
        logarithm = xr.ufuncs.log(ground.where((ground > 0) & (ground <= 1)))
    elif 0 < ground <= 1:
        logarithm = math.log(ground)
    else:
        raise BadRequest(f"surface_temperature: the emissivity is {ground!r}, expected a number in ]0, 1].")
    temperature = brightness / (1 + wavelength * brightness * logarithm / _SECOND_RADIATION)
    return _kelvin(temperature, "surface_temperature", "température de surface / surface temperature")


@dataclass(frozen=True, slots=True)
class HeatIsland:
    """How much warmer the first zone is than the second, in kelvin (which is °C of difference).

    ``error`` is the standard error of ``difference``; ``low`` and ``high`` bound the interval of ``level``. ``blocks``
    are the independent pieces of each zone that the error was told from, ``pixels`` the pixels.
    """

    difference: float
    error: float
    low: float
    high: float
    level: float
    blocks: tuple[int, int]
    pixels: tuple[int, int]


def heat_island(
    temperature: xr.DataArray,
    inside: xr.DataArray,
    outside: xr.DataArray,
    *,
    block: float,
    level: float = 0.95,
) -> HeatIsland:
    """Mean temperature of one zone minus that of another, with an error that neighbouring pixels do not make too small.

    Pixels beside each other are no independent measurements. The zones are cut into squares of side ``block``; the
    spread between squares, not between pixels, gives the error (the variance of a ratio of totals over clusters).

    Parameters
    ----------
    temperature : xarray.DataArray
        Two axes, K or °C; NaN is no observation.
    inside, outside : xarray.DataArray
        bool, on the same grid: the town and its countryside, the clearing and the forest.
    block : float
        Side of the squares in metres: several times the distance from which temperatures are independent, for what
        neighbouring squares share along their border is not counted.
    level : float
        Probability of the interval.

    Returns
    -------
    HeatIsland
        The interval takes Student's law with the degrees of freedom of both zones (Welch and Satterthwaite).

    Raises
    ------
    BadRequest
        For another unit or grid, zones that overlap, fewer than five squares in a zone, or a block below two pixels.

    References
    ----------
    Cochran (1977), Sampling techniques, section 9A (ratio estimates over clusters of unequal size).
    """
    from scipy.stats import t as student

    check_units(temperature, *_KELVIN, "degC", "°C", "degree_Celsius", verb="heat_island", what="temperature")
    if not 0 < level < 1:
        raise BadRequest(f"heat_island: level is {level!r}, expected a number between 0 and 1, such as 0.95.")
    for zone in (inside, outside):
        check_same_grid(temperature, zone, "heat_island")
    squares = _squares(temperature, block)
    values = temperature.transpose("y", "x").values.astype("float64")
    zones = [np.asarray(zone.transpose("y", "x").values, bool) & np.isfinite(values) for zone in (inside, outside)]
    if (zones[0] & zones[1]).any():
        raise BadRequest("heat_island: the zones overlap. Take from the second what lies in the first.")
    means, variances, numbers = zip(*(_cluster_mean(values[zone], squares[zone]) for zone in zones), strict=True)
    if min(numbers) < 5:
        raise BadRequest(
            f"heat_island: the zones have {numbers[0]} and {numbers[1]} squares of {block:g} m, expected five or more "
            "in each. Take smaller squares or larger zones."
        )
    error = math.sqrt(sum(variances))
    freedom = _freedom(variances, numbers)
    reach = float(student.ppf(0.5 + level / 2, freedom)) * error
    gap = means[0] - means[1]
    return HeatIsland(gap, error, gap - reach, gap + reach, level, numbers, (int(zones[0].sum()), int(zones[1].sum())))


def _squares(temperature: xr.DataArray, block: float) -> Array:
    height, width = pixel_size(temperature, "heat_island")
    if not block >= 2 * max(height, width):
        raise BadRequest(
            f"heat_island: block is {block!r} m, expected two pixels ({2 * max(height, width):g} m) or more."
        )
    rows = (np.arange(temperature.sizes["y"]) * height // block).astype("int64")
    columns = (np.arange(temperature.sizes["x"]) * width // block).astype("int64")
    return np.asarray(rows[:, None] * (columns[-1] + 1) + columns)


def _cluster_mean(values: Array, squares: Array) -> tuple[float, float, int]:
    _, at = np.unique(squares, return_inverse=True)
    number = int(at.max(initial=-1)) + 1
    if number < 2:
        return math.nan, math.nan, number
    mean = float(values.mean())
    totals = np.bincount(at, weights=values - mean)
    variance = number / (number - 1) * float((totals**2).sum()) / values.size**2
    return mean, variance, number


def _freedom(variances: tuple[float, ...], numbers: tuple[int, ...]) -> float:
    parts = sum(variance**2 / (number - 1) for variance, number in zip(variances, numbers, strict=True))
    return sum(variances) ** 2 / parts if parts > 0 else float(sum(numbers) - 2)
