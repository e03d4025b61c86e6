"""What an analysis asks of the units of its inputs, and how it says those of its results."""

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.errors import BadRequest

Labelled = TypeVar("Labelled")

_SPELLINGS = {
    "1": ("1", "", "-", "dimensionless", "unitless"),
    "%": ("%", "percent"),
    "degree": ("degree", "degrees", "deg", "°"),
    "degC": ("degC", "°C", "deg_C", "celsius", "degree_Celsius", "degrees_Celsius"),
    "K": ("K", "kelvin"),
    "dB": ("dB", "decibel"),
    "day": ("day", "days", "d"),
    "m": ("m", "metre", "metres", "meter", "meters"),
    "km2": ("km2", "km^2", "km**2", "km²"),
    "m s-1": ("m s-1", "m/s", "m s^-1", "m.s-1"),
    "m3 s-1": ("m3 s-1", "m3/s", "m^3/s", "m³/s", "m^3 s^-1", "m**3 s**-1"),
    "m3 m-3": ("m3 m-3", "m3/m3", "m^3/m^3", "m³/m³", "m^3 m^-3"),
    "mg l-1": ("mg l-1", "mg/l", "mg L-1", "mg.l-1", "g m-3", "g/m3"),
    "km": ("km", "kilometre", "kilometer"),
    "cm": ("cm", "centimetre", "centimeter"),
    "mm": ("mm", "millimetre", "millimeter"),
    "m2": ("m2", "m^2", "m**2", "m²"),
    "ha": ("ha", "hectare"),
    "km h-1": ("km h-1", "km/h", "kph"),
    "km day-1": ("km day-1", "km/day", "km/d", "km d-1"),
    "kPa": ("kPa",),
    "hPa": ("hPa", "mbar", "millibar"),
    "Pa": ("Pa", "pascal"),
    "W m-2": ("W m-2", "W/m2", "W/m^2", "W m^-2", "W/m²", "W m**-2"),
    "MJ m-2 day-1": ("MJ m-2 day-1", "MJ m-2 d-1", "MJ/m2/day", "MJ/m2/d"),
    "MJ m-2 h-1": ("MJ m-2 h-1", "MJ m-2 hour-1", "MJ/m2/h"),
    "umol kg-1": ("umol kg-1", "µmol kg-1", "micromole/kg", "umol/kg", "µmol/kg", "micromol kg-1", "micromol/kg"),
    "umol l-1": ("umol l-1", "µmol l-1", "micromole/l", "umol/l", "µmol/l", "mmol m-3", "mmol/m3"),
    "ml l-1": ("ml l-1", "ml/l", "ml L-1", "ml.l-1"),
    "dbar": ("dbar", "decibar", "decibars"),
    "ug m-3": ("ug m-3", "µg m-3", "ug/m3", "µg/m³", "µg/m3", "μg/m³", "μg m-3"),
    "ug l-1": ("ug l-1", "ug/l", "µg/l", "µg l-1", "μg/l", "ug L-1"),
    "mg m-3": ("mg m-3", "mg/m3", "mg/m³"),
    "ppb": ("ppb", "1e-9", "nmol mol-1", "ppbv", "nmol/mol"),
    "ppm": ("ppm", "1e-6", "umol mol-1", "µmol mol-1", "ppmv"),
    "mol m-2 s-1": ("mol m-2 s-1", "mol/m2/s", "mol/m²/s", "mol m**-2 s**-1"),
    "kg m-2 s-1": ("kg m-2 s-1", "kg/m2/s", "kg/m²/s", "kg m**-2 s**-1"),
    "umol m-2 s-1": ("umol m-2 s-1", "µmol m-2 s-1", "μmol m-2 s-1", "umol/m2/s", "µmol/m2/s", "umolCO2 m-2 s-1"),
    "sr-1": ("sr-1", "1/sr", "sr^-1"),
}


_SCALES: tuple[dict[str, tuple[float, float]], ...] = (
    {"m": (1, 0), "km": (1e3, 0), "cm": (1e-2, 0), "mm": (1e-3, 0)},
    {"km2": (1e6, 0), "ha": (1e4, 0), "m2": (1, 0)},
    {"m s-1": (1, 0), "km h-1": (1 / 3.6, 0), "km day-1": (1 / 86.4, 0)},
    {"kPa": (1, 0), "hPa": (0.1, 0), "Pa": (1e-3, 0)},
    {"1": (1, 0), "%": (0.01, 0)},
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
        if found.casefold() in {spelling.casefold() for spelling in _SPELLINGS.get(unit, (unit,))}:
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
        UDUNITS spelling of the unit wanted: lengths, areas, speeds, pressures, shares, temperatures, radiation.
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
    folded = unit.casefold()
    exact = (key for key in among if unit in _SPELLINGS.get(key, (key,)))
    loose = (key for key in among if folded in {word.casefold() for word in _SPELLINGS.get(key, (key,))})
    return next(exact, next(loose, ""))


def _ways(unit: str) -> str:
    return next((", ".join(scale) for scale in _SCALES if unit in scale), ", ".join(k for s in _SCALES for k in s))


def numbers_of(given: Any) -> Any:
    """Xarray and pandas objects as they are, a number as a float, which leaves float32 alone, the rest as float64."""
    if hasattr(given, "attrs"):
        return given
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
        Where one is no series of numbers, or the lengths differ.
    """
    arrays = {}
    for name, values in named.items():
        try:
            arrays[name] = np.asarray(values, "float64")
        except (TypeError, ValueError) as exc:
            raise BadRequest(f"{verb}: {name} is no series of numbers ({exc}).") from exc
    shapes = {name: array.shape for name, array in arrays.items()}
    if any(len(shape) != 1 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise BadRequest(f"{verb}: expected series of the same length, found shapes {found}.")
    return arrays
