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

from earthlab.analysis.frames import own_values
from earthlab.analysis.grids import flat, inside_of, on_grid_of, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import check_level
from earthlab.analysis.units import check_units, labelled
from earthlab.errors import BadRequest, did_you_mean

_RADIANCE = "W m-2 sr-1 um-1"
_BRIGHTEST = 100.0
"""Radiance of nothing on the ground but the hottest fires: most of an image beyond are counts."""
_SECOND_RADIATION = 1.438777e-2
"""h c / k in m K (CODATA 2018)."""


@dataclass(frozen=True, slots=True)
class ThermalConstants:
    """``k1`` (W m⁻² sr⁻¹ µm⁻¹) and ``k2`` (K) of a thermal band, as its metadata states them."""

    k1: float
    k2: float


SENSORS: Mapping[str, ThermalConstants] = MappingProxyType(
    {
        "landsat-4-tm": ThermalConstants(671.62, 1284.30),
        "landsat-5-tm": ThermalConstants(607.76, 1260.56),
        "landsat-7-etm": ThermalConstants(666.09, 1282.71),
        "landsat-8-b10": ThermalConstants(774.8853, 1321.0789),
        "landsat-8-b11": ThermalConstants(480.8883, 1201.1442),
        "landsat-9-b10": ThermalConstants(799.0284, 1329.2405),
        "landsat-9-b11": ThermalConstants(475.6581, 1198.3494),
    }
)
"""Landsat 4 to 7: Chander, Markham and Helder (2009), doi:10.1016/j.rse.2009.01.007, table 7; 8 and 9: ``K1_CONSTANT``
and ``K2_CONSTANT`` of the metadata of Collection 2. Others: give those of the metadata."""


def brightness_temperature(radiance: xr.DataArray, constants: ThermalConstants | str) -> xr.DataArray:
    """Temperature of the black body that would shine so, ``k2 / ln(k1 / L + 1)``, in kelvin; lazy if the radiance is.

    Parameters
    ----------
    radiance : xarray.DataArray
        At the sensor, in W m⁻² sr⁻¹ µm⁻¹: of counts, ``RADIANCE_MULT · counts + RADIANCE_ADD`` of the metadata.
    constants : ThermalConstants or str
        Of the band, or the name of a sensor in `SENSORS`.

    Returns
    -------
    xarray.DataArray
        NaN where the radiance is missing or not positive.

    Raises
    ------
    BadRequest
        For another unit, an unknown sensor, constants that are not positive, or (unless lazy) counts.

    References
    ----------
    Chander, Markham and Helder (2009), Summary of current radiometric calibration coefficients for Landsat MSS, TM,
    ETM+, and EO-1 ALI sensors, doi:10.1016/j.rse.2009.01.007.
    """
    _check_array(radiance, "brightness_temperature", "radiance")
    check_units(radiance, _RADIANCE, verb="brightness_temperature", what="radiance")
    middle = _middle(radiance)
    if middle > _BRIGHTEST:
        raise BadRequest(
            f"brightness_temperature: half of the radiance is above {middle:g}, expected W m-2 sr-1 um-1 of some 5 to "
            "15. Turn counts into radiance: RADIANCE_MULT · counts + RADIANCE_ADD of the metadata."
        )
    known = _constants(constants)
    seen = radiance.where(radiance > 0)
    temperature: xr.DataArray = known.k2 / xr.ufuncs.log(known.k1 / seen + 1)
    return _named(temperature, "brightness_temperature", "K", "température de brillance / brightness temperature")


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


def _check_array(values: xr.DataArray, verb: str, what: str) -> None:
    if not isinstance(values, xr.DataArray):
        raise BadRequest(f"{verb}: {what} is {type(values).__name__}, expected an xarray DataArray. Wrap it.")


def _middle(values: xr.DataArray) -> float:
    """The median of what is known; NaN of what is lazy, which is not computed for a check."""
    if values.chunks is not None:
        return math.nan
    known = np.asarray(values.values, "float64")
    known = known[np.isfinite(known)]
    return float(np.median(known)) if known.size else math.nan


def _named(values: xr.DataArray, name: str, units: str, words: str) -> xr.DataArray:
    return labelled(values, name, units, words, grid_mapping="spatial_ref")


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
    _check_array(radiance, "sun_reflectance", "radiance")
    check_units(radiance, _RADIANCE, verb="sun_reflectance", what="radiance")
    if not (0 < sun_elevation <= 90 and irradiance > 0 and distance > 0):
        raise BadRequest(
            f"sun_reflectance: sun_elevation {sun_elevation!r} (degrees), irradiance {irradiance!r}, distance "
            f"{distance!r}; expected a sun above the horizon and positive numbers."
        )
    factor = math.pi * distance**2 / (irradiance * math.sin(math.radians(sun_elevation)))
    words = "réflectance au sommet de l'atmosphère / top-of-atmosphere reflectance"
    return _named(radiance * factor, str(radiance.name or "reflectance"), "1", words)


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
        For an index in another unit than 1 or (unless lazy) beyond 1, or settings that cannot be.

    References
    ----------
    Sobrino, Jiménez-Muñoz and Paolini (2004), Land surface temperature retrieval from LANDSAT TM 5,
    doi:10.1016/j.rse.2004.02.003.
    """
    _check_array(index, "emissivity", "index")
    check_units(index, "1", verb="emissivity", what="index")
    if index.chunks is None and float(abs(index).max()) > 1.001:
        raise BadRequest(
            f"emissivity: the index reaches {float(abs(index).max()):g}, expected NDVI from -1 to 1. Apply its scale."
        )
    values = (settings.soil, settings.vegetation, settings.water)
    if not all(0 < value <= 1 for value in values) or not 0 <= settings.bare_ndvi < settings.full_ndvi <= 1:
        raise BadRequest(f"emissivity: {settings}: expected emissivities in ]0, 1] and 0 ≤ bare_ndvi < full_ndvi ≤ 1.")
    share = (((index - settings.bare_ndvi) / (settings.full_ndvi - settings.bare_ndvi)).clip(0, 1)) ** 2
    cavity = (1 - settings.soil) * settings.vegetation * settings.shape
    mixed = settings.vegetation * share + settings.soil * (1 - share) + cavity * (1 - share)
    found = mixed.where(index >= settings.bare_ndvi, settings.soil).where(index >= 0, settings.water)
    found = found.where(index <= settings.full_ndvi, settings.vegetation).where(index.notnull())
    return _named(found, "emissivity", "1", "émissivité / emissivity")


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
        For another unit, (unless lazy) degrees Celsius, another grid, a single emissivity outside ]0, 1], or a
        wavelength outside 8 to 14 µm.

    Notes
    -----
    An error of 0.01 in emissivity is some 0.7 K at 300 K. Moist air makes the surface look cooler by several kelvin:
    only differences within one image are to be trusted.

    References
    ----------
    Artis and Carnahan (1982), Survey of emissivity variability in thermography of urban areas,
    doi:10.1016/0034-4257(82)90043-8.
    """
    _check_array(brightness, "surface_temperature", "brightness")
    check_units(brightness, "K", verb="surface_temperature", what="brightness")
    if _middle(brightness) < 150:
        raise BadRequest(
            f"surface_temperature: half of the brightness is below {_middle(brightness):g}, expected kelvin. Add "
            "273.15 to degrees Celsius."
        )
    if not 8e-6 <= wavelength <= 14e-6:
        raise BadRequest(
            f"surface_temperature: wavelength is {wavelength!r}, expected metres between 8e-6 and 14e-6, such as "
            "11.45e-6."
        )
    if isinstance(ground, xr.DataArray):
        check_units(ground, "1", verb="surface_temperature", what="ground")
        same = on_grid_of(brightness, ground, "surface_temperature")
        logarithm = xr.ufuncs.log(same.where((same > 0) & (same <= 1)))
    elif 0 < ground <= 1:
        logarithm = math.log(ground)
    else:
        raise BadRequest(f"surface_temperature: the emissivity is {ground!r}, expected a number in ]0, 1].")
    temperature = brightness / (1 + wavelength * brightness * logarithm / _SECOND_RADIATION)
    return _named(temperature, "surface_temperature", "K", "température de surface / surface temperature")


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
        Two axes (and others of length one), K or °C; NaN is no observation.
    inside, outside : xarray.DataArray or geopandas.GeoDataFrame
        The town and its countryside, the clearing and the forest: masks on the same grid, in which NaN and 0 are no
        part of the zone, or polygons.
    block : float
        Side of the squares in metres: several times the distance from which temperatures are independent, for what
        neighbouring squares share along their border is not counted. Intervals of 95 % held the truth in 94 of 100
        simulated scenes with squares of seven such distances, in 77 with squares of two.
    level : float
        Probability of the interval.

    Returns
    -------
    HeatIsland
        The interval takes Student's law with the degrees of freedom of both zones (Welch and Satterthwaite).

    Raises
    ------
    BadRequest
        For another unit or grid, several dates, zones that overlap, fewer than five squares in a zone, or a block below
        two pixels.

    References
    ----------
    Cochran (1977), Sampling techniques, section 9A (ratio estimates over clusters of unequal size).
    """
    from scipy.stats import t as student

    _check_array(temperature, "heat_island", "temperature")
    check_units(temperature, "K", "degC", verb="heat_island", what="temperature")
    check_level(level, "heat_island")
    image = own_values(flat(temperature), "heat_island")
    if image.ndim != 2:
        axes = ", ".join(f"{name} {size}" for name, size in image.sizes.items())
        raise BadRequest(
            f"heat_island: the temperature has axes {axes}, expected y and x. Choose a date: .isel(time=0)."
        )
    squares = _squares(image, block)
    values = image.transpose("y", "x").values.astype("float64")
    seen = np.isfinite(values)
    zones = [
        inside_of(zone, image.transpose("y", "x"), "heat_island", what) & seen
        for zone, what in ((inside, "inside"), (outside, "outside"))
    ]
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
