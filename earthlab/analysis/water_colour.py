"""The colour of water: where it is, how turbid, what it carries, how much chlorophyll, from surface reflectance.

Every algorithm works on the water reflectance ρ = π·Rrs (no unit); where a cube holds the remote sensing reflectance
Rrs (sr-1), say so with ``quantity="rrs"``. Coefficients are those of SISPPEO's tables (INRAE, Apache-2.0) for
Sentinel-2. Above an algorithm's limit of validity, and where reflectance is negative, there is no value.

References
----------
SISPPEO, Satellite imagery and signal processing package for Earth observation, INRAE,
https://github.com/inrae/SISPPEO, tables ``resources/wc_algo_calibration`` at commit e4163afb.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from earthlab.analysis.frames import own_values
from earthlab.analysis.units import check_units
from earthlab.analysis.vegetation import check_bands, ndvi
from earthlab.errors import BadRequest

Quantity = Literal["rho", "rrs"]
MatterMethod = Literal["nechad2010", "nechad2016", "get2018"]
ChlorophyllMethod = Literal["oc3", "gons2004", "gitelson2008", "ndci"]

BOA_OFFSET = 0.1
"""What Sentinel-2 reflectance is too high by where the offset of processing baseline 04.00 was not taken off."""


@dataclass(frozen=True)
class Saturating:
    """A single band algorithm of Nechad's form, ``A ρ / (1 - ρ / C)``, in the unit of ``a``."""

    a: float
    c: float

    def __call__(self, reflectance: Any) -> Any:
        """The quantity at each reflectance; NaN from ``ρ = C`` on, where the formula turns negative."""
        return (self.a * reflectance / (1 - reflectance / self.c)).where(reflectance < self.c)


DOGLIOTTI_RED, DOGLIOTTI_NIR = Saturating(228.1, 0.1641), Saturating(3078.9, 0.2112)
DOGLIOTTI_SWITCH = (0.05, 0.07)
NECHAD = {"nechad2010": Saturating(342.1, 0.19563), "nechad2016": Saturating(610.94, 0.2324)}
GET_SWITCH = (0.07, 0.14)
GET_RATIO = (691.13, 2.5411)
"""Factor (mg/l) and exponent of the power law of the ratio nir / red."""
OC3 = (0.2424, -2.2146, 1.15193, -0.7702, -0.4291)
GITELSON = (23.09, 117.4)
NDCI = (14.039, 86.115, 194.325)

_COUNTS = 2.0
"""Reflectance beyond which there is none: what is stored as counts."""
_SCALE = "Apply scale and offset first, for Sentinel-2 since 2022 (counts - 1000) / 10000; earthlab.open does."
_LIMITS = {
    "dogliotti2015": 1500.0,
    "nechad2010": 100.0,
    "nechad2016": 1500.0,
    "get2018": 3500.0,
    "oc3": 30.0,
    "gons2004": 200.0,
    "gitelson2008": 240.0,
    "ndci": np.inf,
}


def mndwi(cube: xr.Dataset, *, green: str = "green", swir: str = "swir16") -> xr.DataArray:
    """The modified normalised difference water index, (green - swir) / (green + swir): positive over water.

    CoastSat writes it with the other sign; the contour at the threshold is the same line.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface or top-of-atmosphere reflectance.
    green, swir : str
        Names of the two bands.

    Returns
    -------
    xarray.DataArray
        As `earthlab.analysis.vegetation.ndvi` gives it; lazy if the cube is.

    Raises
    ------
    BadRequest
        Where the cube lacks one of the bands.

    References
    ----------
    Xu (2006), Modification of normalised difference water index (NDWI) to enhance open water features in remotely
    sensed imagery, International Journal of Remote Sensing 27, 3025-3033, doi:10.1080/01431160600589179.
    """
    check_bands(cube, (green, swir), "mndwi")
    return ndvi(cube, red=swir, nir=green).rename("mndwi").assign_attrs(long_name="MNDWI")


def water_mask(cube: xr.Dataset, *, green: str = "green", swir: str = "swir16", threshold: float = 0.0) -> xr.DataArray:
    """Where there is open water: MNDWI above the threshold.

    Parameters
    ----------
    cube, green, swir
        As for `mndwi`.
    threshold : float
        Of MNDWI; 0 by default.

    Returns
    -------
    xarray.DataArray of bool
        False where MNDWI is unknown. Lazy if the cube is. Cloud shadow and dark roofs can pass for water.

    Raises
    ------
    BadRequest
        As `mndwi` does.
    """
    index = mndwi(cube, green=green, swir=swir)
    return _named(index > threshold, "water", "1", "eau libre / open water", cube[green])


def has_offset(cube: xr.Dataset, *, offset: float = BOA_OFFSET, bands: tuple[str, ...] | None = None) -> bool:
    """Whether reflectance seems to hold Sentinel-2's offset still: no pixel of any band is darker than it.

    Since processing baseline 04.00 (January 2022) Sentinel-2 values are stored 1000 too high, that is 0.1 in
    reflectance. Water is the darkest thing there is in the infrared: where even it seems to reflect a tenth of the
    light, the offset was forgotten, and turbidity comes out many times too high.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance, holes masked. What is lazy is computed: one minimum a band.
    offset : float
        In reflectance.
    bands : tuple of str, optional
        Bands to look at. Default: all.

    Returns
    -------
    bool
        True where the smallest value of every band lies at or above nine tenths of the offset.

    Raises
    ------
    BadRequest
        Where the cube lacks one of the bands, has no value, or holds counts.

    References
    ----------
    ESA, Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), BOA_ADD_OFFSET of baseline 04.00.
    """
    names = tuple(map(str, cube.data_vars)) if bands is None else bands
    check_bands(cube, names, "has_offset")
    darkest = xr.Dataset({name: _reflectance(cube[name], name, "has_offset").min() for name in names}).compute()
    values = [float(darkest[name]) for name in names]
    if not values or not np.isfinite(values).all():
        raise BadRequest("has_offset: a band has no value at all. Choose bands= with pixels.")
    if min(values) > _COUNTS:
        raise BadRequest(f"has_offset: the darkest pixel has {min(values):g}, expected reflectance. {_SCALE}")
    return min(values) >= 0.9 * offset


def turbidity(cube: xr.Dataset, *, red: str = "red", nir: str = "nir", quantity: Quantity = "rho") -> xr.DataArray:
    """The turbidity of water in FNU, after Dogliotti: red where it is clear, near infrared where it is turbid.

    ``T = A ρ / (1 - ρ / C)`` of red below ρ_red = 0.05, of near infrared above 0.07, and both blended linearly
    between. Up to 1500 FNU.

    Parameters
    ----------
    cube : xarray.Dataset
        Water reflectance; mask land first, as with ``cube.where(water_mask(cube))``.
    red, nir : str
        Names of the bands near 645 to 665 and 840 to 865 nm.
    quantity : {"rho", "rrs"}
        What the cube holds: ρ, or Rrs in sr-1.

    Returns
    -------
    xarray.DataArray
        FNU; NaN where reflectance is negative or missing, and beyond 1500 FNU. Lazy if the cube is.

    Raises
    ------
    BadRequest
        For a missing band, an unknown quantity, units that contradict it, or counts instead of reflectance: whole
        numbers that state no scale, or (unless lazy) a median above 2.

    Notes
    -----
    SISPPEO up to 4f8fdc0c puts the red band into the branch of the near infrared; ``nir=`` given the name of the red
    band reproduces its values.

    References
    ----------
    Dogliotti, Ruddick, Nechad, Doxaran and Knaeps (2015), A single algorithm to retrieve turbidity from remotely-sensed
    data in all coastal and estuarine waters, Remote Sensing of Environment 156, 157-168,
    doi:10.1016/j.rse.2014.09.020.
    """
    first, second = _water_reflectance(cube, (red, nir), quantity, "turbidity")
    mixed = _blended(first, DOGLIOTTI_RED(first), DOGLIOTTI_NIR(second), DOGLIOTTI_SWITCH)
    return _named(_valid(mixed, "dogliotti2015"), "turbidity", "FNU", "turbidité / turbidity", first)


def suspended_matter(
    cube: xr.Dataset,
    *,
    method: MatterMethod = "nechad2016",
    red: str = "red",
    nir: str = "nir",
    quantity: Quantity = "rho",
) -> xr.DataArray:
    """Suspended particulate matter (matières en suspension) in mg/l.

    Parameters
    ----------
    cube : xarray.Dataset
        Water reflectance; mask land first.
    method : {"nechad2016", "nechad2010", "get2018"}
        ``A ρ / (1 - ρ / C)`` of red with A 610.94 mg/l, C 0.2324 (2016, up to 1500 mg/l) or 342.1 and 0.19563 (2010, up
        to 100); or that of 2016 below ρ_red = 0.07, ``691.13 (ρ_nir / ρ_red)^2.5411`` above 0.14, and both blended
        between (GET 2018, from tropical rivers, up to 3500 mg/l).
    red, nir : str
        Names of the bands; ``nir`` is only read for ``"get2018"``.
    quantity
        As for `turbidity`.

    Returns
    -------
    xarray.DataArray
        mg/l; NaN where reflectance is negative or missing, and beyond the method's limit. Lazy if the cube is.

    Raises
    ------
    BadRequest
        As `turbidity` does, and for an unknown method.

    References
    ----------
    Nechad, Ruddick and Park (2010), Calibration and validation of a generic multisensor algorithm for mapping of total
    suspended matter in turbid waters, Remote Sensing of Environment 114, 854-866, doi:10.1016/j.rse.2009.11.022;
    recalibration of 2016 and GET (Toulouse) 2018 as in the tables of SISPPEO.
    """
    if method not in ("nechad2010", "nechad2016", "get2018"):
        raise BadRequest(f"suspended_matter: method is {method!r}, expected 'nechad2010', 'nechad2016' or 'get2018'.")
    names = (red, nir) if method == "get2018" else (red,)
    bands = _water_reflectance(cube, names, quantity, "suspended_matter")
    if method == "get2018":
        factor, power = GET_RATIO
        high = factor * (bands[1] / bands[0].where(bands[0] > 0)) ** power
        found = _blended(bands[0], NECHAD["nechad2016"](bands[0]), high, GET_SWITCH)
    else:
        found = NECHAD[method](bands[0])
    words = "matières en suspension / suspended matter"
    return _named(_valid(found, method), "suspended_matter", "mg l-1", words, bands[0], method=method)


def chlorophyll(
    cube: xr.Dataset,
    *,
    method: ChlorophyllMethod,
    bands: tuple[str, ...] | None = None,
    quantity: Quantity = "rho",
) -> xr.DataArray:
    """Chlorophyll a in mg/m³. Which method holds depends on the water, so that none is the default.

    ========== =================================================== ==========================================
    method     bands, in this order (Sentinel-2)                   for
    ========== =================================================== ==========================================
    oc3        violet 443, blue 490, green 560 (B1, B2, B3)        clear water of the open sea, up to 30
    gons2004   red 665, red edge 705, nir 783 (B4, B5, B7)         turbid productive water, up to 200
    gitelson2008  red 665, red edge 705, red edge 740 (B4, B5, B6) turbid productive water, up to 240
    ndci       red 665, red edge 705 (B4, B5)                      estuaries and bays, 1 to 60
    ========== =================================================== ==========================================

    ``oc3``: ``log10 C = Σ a_i X^i`` with ``X = log10(max(violet, blue) / green)``. ``gons2004``:
    ``C = (ρ705 / ρ665 (0.7 + bb) - 0.4 - bb^1.05) / 0.015`` with ``bb = 1.56 ρ783 / (0.082 - 0.6 ρ783)``.
    ``gitelson2008``: ``C = 23.09 + 117.4 (1/ρ665 - 1/ρ705) ρ740``. ``ndci``: ``C = 14.039 + 86.115 N + 194.325 N²``
    with ``N = (ρ705 - ρ665) / (ρ705 + ρ665)``.

    Parameters
    ----------
    cube : xarray.Dataset
        Water reflectance; mask land first.
    method : {"oc3", "gons2004", "gitelson2008", "ndci"}
    bands : tuple of str, optional
        Names of the method's bands in the order of the table. Default: the common names of STAC (``coastal``,
        ``blue``, ``green``, ``red``, ``rededge071``, ``rededge075``, ``rededge078``).
    quantity
        As for `turbidity`.

    Returns
    -------
    xarray.DataArray
        mg m-3; NaN where reflectance is negative or missing, where the formula gives a negative value, and beyond the
        method's limit. Lazy if the cube is.

    Raises
    ------
    BadRequest
        As `turbidity` does, for an unknown method or another number of bands.

    References
    ----------
    O'Reilly and Werdell (2019), Chlorophyll algorithms for ocean color sensors - OC4, OC5 & OC6, Remote Sensing of
    Environment 229, 32-47, doi:10.1016/j.rse.2019.04.021 (coefficients for MSI after Pahlevan et al. 2020, as in
    SISPPEO). Gons, Rijkeboer and Ruddick (2002), A chlorophyll-retrieval algorithm for satellite imagery of inland and
    coastal waters, Journal of Plankton Research 24, 947-951, doi:10.1093/plankt/24.9.947. Gitelson et al. (2008), A
    simple semi-analytical model for remote estimation of chlorophyll-a in turbid waters, Remote Sensing of Environment
    112, 3582-3593, doi:10.1016/j.rse.2008.04.015. Mishra and Mishra (2012), Normalized difference chlorophyll index,
    Remote Sensing of Environment 117, 394-406, doi:10.1016/j.rse.2011.10.016.

    Notes
    -----
    SISPPEO up to 6e586c5a takes the natural logarithm in OC3, whose coefficients are for the decimal one, and gives
    Gons' formula Rrs where it wants ρ and, as in `turbidity`, red for near infrared: its values differ from these.
    """
    if method not in _CHLOROPHYLL:
        raise BadRequest(f"chlorophyll: method is {method!r}, expected one of {', '.join(_CHLOROPHYLL)}.")
    usual, formula = _CHLOROPHYLL[method]
    names = usual if bands is None else tuple(bands)
    if len(names) != len(usual):
        raise BadRequest(
            f"chlorophyll: {len(names)} bands for {method}, expected {len(usual)}: {', '.join(usual)} or their likes."
        )
    reflectances = _water_reflectance(cube, names, quantity, "chlorophyll")
    found = _valid(formula(*reflectances), method)
    return _named(found, "chlorophyll", "mg m-3", "chlorophylle a / chlorophyll a", reflectances[0], method=method)


def _oc3(violet: xr.DataArray, blue: xr.DataArray, green: xr.DataArray) -> xr.DataArray:
    brightest: xr.DataArray = xr.apply_ufunc(np.maximum, violet, blue, dask="allowed")
    ratio = brightest / green.where(green > 0)
    found: xr.DataArray = 10.0 ** _polynomial(OC3, _log10(ratio.where(ratio > 0)))
    return found


def _log10(values: xr.DataArray) -> xr.DataArray:
    logs: xr.DataArray = xr.apply_ufunc(np.log10, values, dask="allowed")
    return logs


def _gons(red: xr.DataArray, edge: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    backscatter = (1.56 * nir / (0.082 - 0.6 * nir)).where(nir < 0.082 / 0.6)
    return (edge / red.where(red > 0) * (0.7 + backscatter) - 0.4 - backscatter**1.05) / 0.015


def _gitelson(red: xr.DataArray, edge: xr.DataArray, nir: xr.DataArray) -> xr.DataArray:
    return GITELSON[0] + GITELSON[1] * (1 / red.where(red > 0) - 1 / edge.where(edge > 0)) * nir


def _ndci(red: xr.DataArray, edge: xr.DataArray) -> xr.DataArray:
    total = red + edge
    return _polynomial(NDCI, (edge - red) / total.where(total > 0))


_CHLOROPHYLL: dict[str, tuple[tuple[str, ...], Any]] = {
    "oc3": (("coastal", "blue", "green"), _oc3),
    "gons2004": (("red", "rededge071", "rededge078"), _gons),
    "gitelson2008": (("red", "rededge071", "rededge075"), _gitelson),
    "ndci": (("red", "rededge071"), _ndci),
}


def _polynomial(coefficients: tuple[float, ...], values: xr.DataArray) -> xr.DataArray:
    total = values * 0 + coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * values + coefficient
    return total


def _water_reflectance(cube: xr.Dataset, names: tuple[str, ...], quantity: str, verb: str) -> tuple[xr.DataArray, ...]:
    check_bands(cube, names, verb)
    if quantity not in ("rho", "rrs"):
        raise BadRequest(f"{verb}: quantity is {quantity!r}, expected 'rho' (no unit) or 'rrs' (sr-1).")
    factor = 1.0 if quantity == "rho" else np.pi
    unit = "1" if quantity == "rho" else "sr-1"
    for name in names:
        check_units(cube[name], unit, verb=verb, what=f"band {name!r}")
    bands = [_reflectance(cube[name], name, verb) for name in names]
    return tuple((band * factor).where(band >= 0).assign_attrs(band.attrs) for band in bands)


def _reflectance(band: xr.DataArray, name: str, verb: str) -> xr.DataArray:
    own = own_values(band, verb)
    if own.dtype.kind != "f":
        raise BadRequest(f"{verb}: band {name!r} holds {own.dtype} values, expected reflectance from 0 to 1. {_SCALE}")
    seen = own.values[np.isfinite(own.values)] if own.chunks is None else np.empty(0)
    if seen.size and np.median(seen) > _COUNTS:
        raise BadRequest(
            f"{verb}: band {name!r} has a median of {np.median(seen):g}, expected reflectance from 0 to 1. {_SCALE}"
        )
    return own


def _blended(by: xr.DataArray, low: xr.DataArray, high: xr.DataArray, switch: tuple[float, float]) -> xr.DataArray:
    share = ((by - switch[0]) / (switch[1] - switch[0])).clip(0, 1)
    mixed = (1 - share) * low + share * high
    chosen: xr.DataArray = xr.where(by <= switch[0], low, xr.where(by >= switch[1], high, mixed))
    return chosen


def _valid(found: xr.DataArray, method: str) -> xr.DataArray:
    return found.where((found >= 0) & (found <= _LIMITS[method]))


def _named(found: xr.DataArray, name: str, units: str, words: str, like: xr.DataArray, **attrs: Any) -> xr.DataArray:
    kept = {key: like.attrs[key] for key in ("comment",) if key in like.attrs}
    named = found.rename(name)
    named.attrs = {"long_name": words, "units": units, "grid_mapping": "spatial_ref", **kept, **attrs}
    return named
