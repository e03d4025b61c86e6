"""What an analysis asks of the units of its inputs, and how it says those of its results."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.errors import BadRequest

Labelled = TypeVar("Labelled")

_SPELLINGS = {
    "1": ("1", "", "-", "dimensionless", "unitless"),
    "%": ("%", "percent", "pct"),
    "degree": ("degree", "degrees", "deg", "°", "degrees_north", "degrees_east", "degree_north", "degree_east"),
    "rad": ("rad", "radian", "radians"),
    "degC": (
        "degC",
        "°C",
        "deg_C",
        "C",
        "deg C",
        "celsius",
        "degree_Celsius",
        "degrees_Celsius",
        "degrees_C",
        "degree_C",
    ),
    "K": ("K", "kelvin", "kelvins", "degK", "deg_K"),
    "dB": ("dB", "decibel"),
    "day": ("day", "days", "d"),
    "h": ("h", "hour", "hours", "hr"),
    "m": ("m", "metre", "metres", "meter", "meters"),
    "km2": ("km2", "km^2", "km**2", "km²"),
    "m s-1": ("m s-1", "m/s", "m s^-1", "m.s-1"),
    "m d-1": ("m d-1",),
    "m yr-1": ("m yr-1", "m y-1", "m a-1", "m year-1"),
    "m3 s-1": ("m3 s-1", "m3/s", "m^3/s", "m³/s", "m^3 s^-1", "m**3 s**-1"),
    "m3 m-3": ("m3 m-3", "m3/m3", "m^3/m^3", "m³/m³", "m^3 m^-3"),
    "mg l-1": ("mg l-1", "mg/l", "mg L-1", "mg.l-1", "g m-3", "g/m3"),
    "km": ("km", "kilometre", "kilometres", "kilometer", "kilometers"),
    "cm": ("cm", "centimetre", "centimetres", "centimeter", "centimeters"),
    "mm": ("mm", "millimetre", "millimetres", "millimeter", "millimeters"),
    "m2": ("m2", "m^2", "m**2", "m²"),
    "ha": ("ha", "hectare", "hectares"),
    "km h-1": ("km h-1", "km/h", "kph"),
    "km day-1": ("km day-1", "km/day", "km/d", "km d-1"),
    "kPa": ("kPa",),
    "hPa": ("hPa", "mbar", "mb", "millibar", "millibars"),
    "Pa": ("Pa", "pascal"),
    "W m-2": ("W m-2", "W/m2", "W/m^2", "W m^-2", "W/m²", "W m**-2"),
    "MJ m-2 day-1": ("MJ m-2 day-1", "MJ m-2 d-1", "MJ/m2/day", "MJ/m2/d"),
    "MJ m-2 h-1": ("MJ m-2 h-1", "MJ m-2 hour-1", "MJ/m2/h"),
    "umol kg-1": ("umol kg-1", "µmol kg-1", "micromole/kg", "umol/kg", "µmol/kg", "micromol kg-1", "micromol/kg"),
    "umol l-1": ("umol l-1", "µmol l-1", "micromole/l", "umol/l", "µmol/l", "mmol m-3", "mmol/m3"),
    "ml l-1": ("ml l-1", "ml/l", "ml L-1", "ml.l-1"),
    "dbar": ("dbar", "decibar", "decibars"),
    "ug m-3": ("ug m-3", "µg m-3", "ug/m3", "µg/m³", "µg/m3", "μg/m³", "μg m-3", "ug-m3", "µg-m3"),
    "ug l-1": ("ug l-1", "ug/l", "µg/l", "µg l-1", "μg/l", "ug L-1"),
    "mg m-3": ("mg m-3", "mg/m3", "mg/m³", "mg-m3"),
    "ppb": ("ppb", "1e-9", "nmol mol-1", "ppbv", "nmol/mol"),
    "ppm": ("ppm", "1e-6", "umol mol-1", "µmol mol-1", "ppmv"),
    "mol m-2 s-1": ("mol m-2 s-1", "mol/m2/s", "mol/m²/s", "mol m**-2 s**-1"),
    "kg m-2 s-1": ("kg m-2 s-1", "kg/m2/s", "kg/m²/s", "kg m**-2 s**-1"),
    "g m-2 year-1": ("g m-2 year-1", "g m-2 yr-1", "g m-2 a-1"),
    "umol m-2 s-1": ("umol m-2 s-1", "µmol m-2 s-1", "μmol m-2 s-1", "umolCO2 m-2 s-1", "umol CO2 m-2 s-1"),
    "sr-1": ("sr-1", "1/sr", "sr^-1"),
    "W m-2 sr-1 um-1": ("W m-2 sr-1 um-1",),
}
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻−μ·⋅×*", "0123456789--u    ", "^")
_WORDS = {
    "d": "day", "days": "day", "hour": "h", "hours": "h", "hr": "h", "second": "s", "seconds": "s", "sec": "s",
    "metre": "m", "metres": "m", "meter": "m", "meters": "m", "litre": "l", "liter": "l", "liters": "l", "litres": "l",
    "micromol": "umol", "micromole": "umol", "micrometer": "um", "micrometre": "um",
}  # fmt: skip
_FACTOR = re.compile(r"([^\W\d]+|%|°[^\W\d]*)(-?\d+)?")


_YEAR = 365.25 * 86_400
_SCALES: tuple[dict[str, tuple[float, float]], ...] = (
    {"m": (1, 0), "km": (1e3, 0), "cm": (1e-2, 0), "mm": (1e-3, 0)},
    {"km2": (1e6, 0), "ha": (1e4, 0), "m2": (1, 0)},
    {"m s-1": (1, 0), "km h-1": (1 / 3.6, 0), "km day-1": (1 / 86.4, 0)},
    {"kPa": (1, 0), "hPa": (0.1, 0), "Pa": (1e-3, 0)},
    {"1": (1, 0), "%": (0.01, 0)},
    {"ug m-3": (1, 0), "mg m-3": (1e3, 0)},
    {"ppb": (1, 0), "ppm": (1e3, 0)},
    {
        "kg m-2 s-1": (1, 0),
        "g m-2 s-1": (1e-3, 0),
        "g m-2 year-1": (1e-3 / _YEAR, 0),
        "mg m-2 day-1": (1e-6 / 86_400, 0),
    },
    {"degC": (1, 0), "K": (1, -273.15)},
    {"W m-2": (1, 0), "MJ m-2 day-1": (1 / 0.0864, 0), "MJ m-2 h-1": (1 / 0.0036, 0)},
)
"""Units of one kind: factor and then offset to a common one. Radiation is a mean over the day or hour."""


def unit_of(values: Any) -> str | None:
    """The unit an xarray or pandas object states, None where it states none.

    That is its attribute ``units``; the column of a table of `earthlab.table` finds its own among those of the table.
    """
    found = getattr(values, "attrs", {}).get("units")
    if isinstance(found, Mapping):
        found = found.get(values.name)
    return None if found is None else str(found).strip()


def is_in(values: Any, unit: str) -> bool:
    """Whether the values state this unit (UDUNITS spelling), however they spell it."""
    found = unit_of(values)
    return found is not None and bool(_spelled(found, {unit: unit}))


def check_units(values: Any, *expected: str, verb: str, what: str) -> str | None:
    """The unit of the values, spelled as in ``expected``; None where they do not say theirs.

    Parameters
    ----------
    values : xarray.DataArray, pandas.Series or other
        Only an attribute ``units`` is looked at.
    *expected : str
        Units that will do, in UDUNITS spelling; other spellings of the common ones are understood.
    verb, what : str
        Who asks, and for what, for the message.

    Raises
    ------
    BadRequest
        Where the attribute contradicts every expected unit.
    """
    found = unit_of(values)
    if found is None:
        return None
    for unit in expected:
        if is_in(values, unit):
            return unit
    raise BadRequest(
        f"{verb}: {what} has units {found!r}, expected {' or '.join(map(repr, expected))}. "
        "Convert the values (earthlab.analysis.units.convert), or correct their attribute 'units'."
    )


def convert(values: Any, unit: str, *, given: str | None = None) -> Any:
    """The values in another unit, which they then state.

    Arithmetic of xarray and pandas keeps the attribute ``units`` of what it started from, right or wrong; this sets it.

    Parameters
    ----------
    values : xarray.DataArray, pandas.Series or array_like
        A column of a table of `earthlab.table` knows its unit.
    unit : str
        The unit wanted, in UDUNITS or another usual spelling, which becomes that of UDUNITS: lengths, areas, speeds,
        pressures, shares, temperatures, radiation.
    given : str, optional
        The unit they are in. Default: what they state.

    Returns
    -------
    as ``values``
        Lazy if they are.

    Raises
    ------
    BadRequest
        Where the values state no unit and none is given, or there is no way from one to the other.
    """
    stated = unit_of(values) if given is None else given
    if stated is None:
        raise BadRequest(f"convert: the values state no unit. Say which they are in: given=, such as {unit!r}.")
    unit = next((_spelled(unit, scale) for scale in _SCALES if _spelled(unit, scale)), unit)
    scales = next((scale for scale in _SCALES if _spelled(stated, scale) and unit in scale), None)
    if scales is None:
        raise BadRequest(f"convert: there is no way from {stated!r} to {unit!r}. Known: {_ways(unit)}.")
    (factor, offset), (to_factor, to_offset) = scales[_spelled(stated, scales)], scales[unit]
    same = (factor, offset) == (to_factor, to_offset)
    numbers = numbers_of(values)
    found = numbers if same else (numbers * factor + offset - to_offset) * (1 / to_factor)
    if isinstance(found, xr.DataArray):
        return found.assign_attrs(values.attrs, units=unit)
    name: Any = getattr(values, "name", None)
    return labelled(found, name, unit, str(name))


def _spelled(unit: str, among: Mapping[str, Any]) -> str:
    exact = (key for key in among if unit in _SPELLINGS.get(key, (key,)))
    loose = (key for key in among if _norm(unit) in {_norm(word) for word in _SPELLINGS.get(key, (key,))})
    return next(exact, next(loose, ""))


@lru_cache(maxsize=1024)
def _norm(unit: str) -> str:
    """One spelling of "W/m²", "W m**-2", "W.m-2" and "w m^-2"; what is no product of units stays, in small letters."""
    plain = unit.casefold().replace("**", "").translate(_PLAIN)
    over, *under = re.sub(r"(?<=[^\W_])\.(?=[^\W\d])", " ", plain).split("/")
    factors = [(word, 1) for word in over.split() if word != "1"]
    factors += [(word, -1) for part in under for word in part.strip(" ()").split()]
    found = [(_FACTOR.fullmatch(word), sign) for word, sign in factors]
    if not found or not all(match for match, _ in found):
        return plain
    powers = sorted((_WORDS.get(match[1], match[1]), sign * int(match[2] or 1)) for match, sign in found if match)
    return " ".join(f"{name}{power}" for name, power in powers)


def _ways(unit: str) -> str:
    return next((", ".join(scale) for scale in _SCALES if unit in scale), ", ".join(k for s in _SCALES for k in s))


def numbers_of(given: Any) -> Any:
    """Xarray and pandas objects as they are, a number as a float, which leaves float32 alone, the rest as float64.

    Columns of pandas' own types (``Float64``, text that reads as numbers) become float64; what a masked array of numpy
    hides becomes NaN.

    Raises
    ------
    BadRequest
        For what does not read as numbers.
    """
    try:
        return _as_numbers(given)
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"Expected numbers, found values that are none ({exc}). Convert or mask them first.") from exc


def _as_numbers(given: Any) -> Any:
    if isinstance(given, pd.Series) and not (isinstance(given.dtype, np.dtype) and given.dtype.kind in "fiub"):
        return given.astype("float64")
    if hasattr(given, "attrs"):
        return given
    if isinstance(given, np.ma.MaskedArray):
        return np.ma.filled(given.astype("float64"), np.nan)
    return float(given) if np.ndim(given) == 0 else np.asarray(given, "float64")


def labelled(result: Labelled, name: str, units: str, words: str, **attrs: Any) -> Labelled:
    """The result with its name, units and ``long_name`` ("français / English"), where it can carry them.

    Of what xarray's arithmetic brings along from the inputs only ``grid_mapping`` and ``comment`` stay true.
    """
    if isinstance(result, xr.DataArray):
        named = result.rename(name)
        kept = {key: value for key, value in result.attrs.items() if key in ("grid_mapping", "comment")}
        named.attrs = {**kept, "long_name": words, "units": units, **attrs}
        return named
    if isinstance(result, pd.Series):
        renamed = result.rename(name)
        renamed.attrs.clear()
        renamed.attrs.update(attrs, long_name=words, units=units)
        return renamed
    return result


def aligned(verb: str, **named: Any) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """The inputs as flat float64 arrays of one length.

    Raises
    ------
    BadRequest
        Where one is no series of numbers, the lengths differ, or two of them are indexed by other dates.
    """
    arrays = {}
    for name, values in named.items():
        try:
            arrays[name] = np.asarray(_as_numbers(values), "float64")
        except (TypeError, ValueError) as exc:
            raise BadRequest(f"{verb}: {name} is no series of numbers ({exc}).") from exc
    shapes = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise BadRequest(f"{verb}: expected series of the same length, found shapes {found}.")
    _check_dates(named, verb)
    return arrays


def _check_dates(named: Mapping[str, Any], verb: str) -> None:
    indexes = {name: values.index for name, values in named.items() if isinstance(values, pd.Series)}
    indexes |= {
        name: values.indexes[values.dims[0]]
        for name, values in named.items()
        if isinstance(values, xr.DataArray) and values.dims[0] in values.indexes
    }
    dated = [(name, index) for name, index in indexes.items() if isinstance(index, pd.DatetimeIndex)]
    for name, index in dated[1:]:
        if not index.equals(dated[0][1]):
            raise BadRequest(
                f"{verb}: {dated[0][0]} and {name} are indexed by other dates. Join them first: pandas.concat([…], "
                "axis=1)."
            )
