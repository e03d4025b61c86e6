"""Dissolved oxygen of the sea: units, quality flags, saturation, and the layer that has too little of it.

Every function takes columns of a table (pandas), arrays of xarray, or numbers, and gives the same kind back.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns, numbers_in
from earthlab.analysis.units import check_units, labelled, numbers_of, unit_of
from earthlab.errors import BadRequest

GOOD_FLAGS = ("1", "2", "5", "8")
"""Argo's flags of values that are good, probably good, changed, or estimated (reference table 2a)."""
MICROMOLES_IN_MILLILITRE = 44.6596
"""Of oxygen as a gas at standard temperature and pressure."""
_MICROMOLES_IN_MILLIGRAM = 1e3 / 31.9988
_PER_LITRE = {"umol l-1": 1.0, "ml l-1": MICROMOLES_IN_MILLILITRE, "mg l-1": _MICROMOLES_IN_MILLIGRAM}
_PER_MASS = "umol kg-1"
_ABSOLUTE = ("g/kg", "gkg-1", "gkg^-1", "gkg**-1")
_HOTTEST = 100.0
"""°C that some raw values exceed by a fault of the sensor, and half of them only in kelvins."""


def accept(values: Any, flags: Any, *, good: str | int | Collection[str | int] = GOOD_FLAGS) -> Any:
    """The values whose quality flag is among ``good``; NaN in place of the others.

    Parameters
    ----------
    values : pandas.Series, xarray.DataArray or array_like
        Measurements of any kind.
    flags : like values
        Their flags, as words, bytes or numbers; a missing one is not good.
    good : str, int or collection of them
        Default: what Argo counts as good.

    Returns
    -------
    pandas.Series, xarray.DataArray or numpy.ndarray
        Like the values, float. Flags on dask are computed.

    Raises
    ------
    BadRequest
        Where values and flags differ in shape, in the order of their axes, or are columns of other rows.

    References
    ----------
    Wong, Keeley, Carval and the Argo Data Management Team, Argo quality control manual for CTD and trajectory data,
    doi:10.13155/33951, reference tables 2 and 2a.
    """
    if isinstance(values, xr.DataArray) and isinstance(flags, xr.DataArray) and set(values.dims) == set(flags.dims):
        flags = flags.transpose(*values.dims)
    if np.shape(values) != np.shape(flags):
        raise BadRequest(f"accept: {np.shape(values)} values and {np.shape(flags)} flags, expected one a value.")
    _check_rows("accept", values=values, flags=flags)
    wanted = {_flag(word) for word in ((good,) if isinstance(good, str | int) else good)}
    found = flags.filled(-1) if isinstance(flags, np.ma.MaskedArray) else np.asarray(flags)
    codes, words = pd.factorize(np.ravel(found))
    # A missing flag has the code -1, which takes the last word.
    kept = np.array([*(_flag(word) in wanted for word in words), False], bool)[codes].reshape(np.shape(flags))
    if isinstance(values, pd.Series | xr.DataArray):
        return values.where(kept)
    return np.where(kept, numbers_of(values), np.nan)


def convert(values: Any, source: str, target: str, *, density: Any = None) -> Any:
    """Oxygen in another unit: µmol/kg, µmol/l, ml/l and mg/l.

    Parameters
    ----------
    values : pandas.Series, xarray.DataArray or number
        Concentrations in ``source``; an attribute ``units`` must agree with it.
    source, target : str
        ``"umol kg-1"``, ``"umol l-1"``, ``"ml l-1"`` or ``"mg l-1"``, in any spelling (µmol/kg, mL/L, mmol m-3).
    density : pandas.Series, xarray.DataArray or number, optional
        Of the water in kg/l at the temperature of the volume, about 1.025: needed between mass and volume, and never
        guessed. Argo takes the potential density.

    Returns
    -------
    pandas.Series, xarray.DataArray or number
        With ``units`` and ``long_name``.

    Raises
    ------
    BadRequest
        For an unknown unit, a contradiction, a missing density, or one that is not in kg/l.

    Notes
    -----
    1 ml/l is 44.6596 µmol/l, as Argo's data centres and SCOR working group 142 have it.

    References
    ----------
    Thierry, Bittig, Gilbert, Kobayashi, Kanako and Schmid, Processing Argo oxygen data at the DAC level,
    doi:10.13155/39795.
    """
    source, target = (_unit(unit) for unit in (source, target))
    check_units(values, source, verb="convert", what="oxygen")
    given = numbers_of(values)
    if (source == _PER_MASS) != (target == _PER_MASS):
        heavy = _density(density, source, target)
        given = given * heavy if source == _PER_MASS else given / heavy
    factor = _PER_LITRE.get(source, 1.0) / _PER_LITRE.get(target, 1.0)
    return labelled(given * factor, "oxygen", target, "oxygène dissous / dissolved oxygen")


def potential_density(salinity: Any, temperature: Any, pressure: Any = 0.0, *, longitude: Any, latitude: Any) -> Any:
    """The density of the water brought to the surface, in kg/l: what `convert` needs between volume and mass.

    Parameters, result and errors as for `solubility`; by the Gibbs SeaWater toolbox (gsw, TEOS-10).
    """
    _check_water(salinity, temperature, pressure, "potential_density")
    found = _elementwise("potential_density", _potential_density, salinity, temperature, pressure, longitude, latitude)
    return labelled(found, "potential_density", "kg l-1", "masse volumique potentielle / potential density")


def solubility(salinity: Any, temperature: Any, pressure: Any = 0.0, *, longitude: Any, latitude: Any) -> Any:
    """The oxygen that water holds at equilibrium with air of one atmosphere, in µmol/kg.

    Parameters
    ----------
    salinity : pandas.Series, xarray.DataArray or number
        Practical salinity.
    temperature : same
        In situ, °C.
    pressure : same
        Of the sea, dbar.
    longitude, latitude : same
        In degrees.

    Returns
    -------
    pandas.Series, xarray.DataArray or number
        NaN where an input is. Lazy if the inputs are.

    Raises
    ------
    BadRequest
        Where units contradict (kelvins, absolute salinity, metres of depth), or columns are of other rows.

    References
    ----------
    Garcia and Gordon (1992), Oxygen solubility in seawater: better fitting equations, Limnology and Oceanography 37,
    1307-1312, with the coefficients fitted to Benson and Krause, as the Gibbs SeaWater toolbox (gsw) has it.
    """
    _check_water(salinity, temperature, pressure, "solubility")
    found = _elementwise("solubility", _solubility, salinity, temperature, pressure, longitude, latitude)
    return labelled(found, "oxygen_solubility", _PER_MASS, "oxygène à saturation / oxygen at saturation")


def saturation(
    oxygen: Any, salinity: Any, temperature: Any, pressure: Any = 0.0, *, longitude: Any, latitude: Any
) -> Any:
    """How much of the oxygen at equilibrium with air there is, in percent: above 100 the water gives oxygen to the air.

    Parameters
    ----------
    oxygen : pandas.Series, xarray.DataArray or number
        µmol/kg; other units are refused, see `convert`.
    salinity, temperature, pressure, longitude, latitude : same
        As for `solubility`.

    Returns
    -------
    pandas.Series, xarray.DataArray or number
        100 · oxygen / `solubility`.

    Raises
    ------
    BadRequest
        Where units contradict.
    """
    check_units(oxygen, _PER_MASS, verb="saturation", what="oxygen")
    _check_rows("saturation", oxygen=oxygen, salinity=salinity, temperature=temperature)
    full = solubility(salinity, temperature, pressure, longitude=longitude, latitude=latitude)
    words = "saturation en oxygène / oxygen saturation"
    return labelled(100.0 * numbers_of(oxygen) / full, "oxygen_saturation", "%", words)


def apparent_utilisation(
    oxygen: Any, salinity: Any, temperature: Any, pressure: Any = 0.0, *, longitude: Any, latitude: Any
) -> Any:
    """The oxygen used up since the water left the surface (AOU), µmol/kg: `solubility` less what there is.

    Parameters, result and errors as for `saturation`.
    """
    check_units(oxygen, _PER_MASS, verb="apparent_utilisation", what="oxygen")
    _check_rows("apparent_utilisation", oxygen=oxygen, salinity=salinity, temperature=temperature)
    full = solubility(salinity, temperature, pressure, longitude=longitude, latitude=latitude)
    words = "utilisation apparente d'oxygène / apparent oxygen utilisation"
    return labelled(full - numbers_of(oxygen), "apparent_oxygen_utilisation", _PER_MASS, words)


def low_oxygen_layer(
    table: pd.DataFrame,
    *,
    profile: str | Sequence[str],
    oxygen: str = "DOXY_ADJUSTED",
    pressure: str = "PRES",
    latitude: str = "LATITUDE",
    uncertainty: str | None = None,
    threshold: float = 60.0,
) -> pd.DataFrame:
    """Where each profile has less oxygen than a threshold, and how thick that water is.

    Oxygen is linear between levels. A layer that goes on below the last level is counted so far.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a level, in any order. Levels without oxygen or pressure are left out.
    profile : str or sequence of str
        Columns that together name a profile, such as the float and its cycle.
    oxygen, pressure, latitude : str
        Columns: µmol/kg, dbar, degrees.
    uncertainty : str, optional
        Column with the standard error of the oxygen, taken as common to a profile: the thickness is found again with
        oxygen that much higher and lower, and is unknown where an error is missing.
    threshold : float
        µmol/kg; 60 is a usual bound of oxygen minimum zones, 20 of their suboxic core.

    Returns
    -------
    pandas.DataFrame
        One row a profile, indexed by ``profile``: ``thickness`` (m; 0 where there is no such water), ``top`` and
        ``bottom`` (m, NaN without a layer), ``goes_on`` (at the last level), ``minimum`` (µmol/kg), ``minimum_depth``
        (m), ``levels`` and, with ``uncertainty``, ``thickness_low`` and ``thickness_high``. NaN for profiles with fewer
        than two levels. Units in ``attrs``.

    Raises
    ------
    BadRequest
        For missing columns, no profile at all, units that contradict, or a threshold that is not positive.

    References
    ----------
    Paulmier and Ruiz-Pino (2009), Oxygen minimum zones in the modern ocean, Progress in Oceanography 80, 113-128,
    doi:10.1016/j.pocean.2008.08.001.
    """
    profile = [profile] if isinstance(profile, str) else list(profile)
    wanted = [*profile, oxygen, pressure, latitude, *([uncertainty] if uncertainty else [])]
    check_columns(table, tuple(wanted), "low_oxygen_layer")
    check_units(table[oxygen], _PER_MASS, verb="low_oxygen_layer", what=oxygen)
    check_units(table[pressure], "dbar", verb="low_oxygen_layer", what=pressure)
    if not threshold > 0:
        raise BadRequest(f"low_oxygen_layer: threshold is {threshold!r}, expected µmol/kg above 0, such as 60.")
    columns = {"oxygen": oxygen, "pressure": pressure, "latitude": latitude, "error": uncertainty}
    numbers = {name: numbers_in(table, column, "low_oxygen_layer") for name, column in columns.items() if column}
    keys = [table[name].to_numpy() for name in profile]
    rows = {key: _layer(part, threshold) for key, part in pd.DataFrame(numbers).groupby(keys, sort=True)}
    if not rows:
        raise BadRequest(f"low_oxygen_layer: no row names its profile in {', '.join(profile)}. Widen the search.")
    found = pd.DataFrame.from_dict(rows, orient="index")
    keyed = pd.MultiIndex.from_tuples(list(rows), names=list(profile))
    found.index = keyed if len(profile) > 1 else keyed.get_level_values(0)
    found.attrs["units"] = {
        **dict.fromkeys(("thickness", "thickness_low", "thickness_high", "top", "bottom", "minimum_depth"), "m"),
        "minimum": _PER_MASS,
    }
    return found


def _flag(word: Any) -> str:
    if isinstance(word, bytes):
        word = word.decode("ascii", "replace")
    if isinstance(word, int | float | np.number):
        return str(int(word)) if np.isfinite(word) else ""
    # A column read with gaps holds "1.0".
    return str(word).strip().removesuffix(".0")


def _unit(word: str) -> str:
    known = (_PER_MASS, *_PER_LITRE)
    try:
        found = check_units(xr.DataArray(attrs={"units": word}), *known, verb="convert", what="oxygen")
    except BadRequest as exc:
        raise BadRequest(f"convert: {word!r} is no unit of oxygen. Known: {', '.join(known)}.") from exc
    return str(found)


def _check_rows(verb: str, **named: Any) -> None:
    columns = {name: values.index for name, values in named.items() if isinstance(values, pd.Series)}
    sizes = {name: np.shape(values)[0] for name, values in named.items() if np.ndim(values) == 1}
    first = next(iter(columns), "")
    for name, index in columns.items():
        if not index.equals(columns[first]):
            raise BadRequest(
                f"{verb}: {first} and {name} are columns of other rows, or in another order. Take them from one table, "
                "or bring one to the other: reindex(…)."
            )
    if columns and len(set(sizes.values())) > 1:
        found = ", ".join(f"{size} of {name}" for name, size in sizes.items())
        raise BadRequest(f"{verb}: found {found}; expected one a row, or one for all.")


def _density(density: Any, source: str, target: str) -> Any:
    if density is None:
        raise BadRequest(
            f"convert: {source} to {target} goes between mass and volume. Give density= in kg/l, such as "
            "that of oxygen.potential_density(…)."
        )
    heavy = numbers_of(density)
    values = np.asarray(heavy, "float64")
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 1.0)
    if not 0.9 < low <= high < 1.2:
        raise BadRequest(
            f"convert: density goes from {low:g} to {high:g}, expected kg/l, about 1.025. Divide kg/m³ by 1000."
        )
    return heavy


def _check_water(salinity: Any, temperature: Any, pressure: Any, verb: str) -> None:
    check_units(temperature, "degC", verb=verb, what="temperature")
    check_units(pressure, "dbar", verb=verb, what="pressure")
    if str(unit_of(salinity)).casefold().replace(" ", "") in _ABSOLUTE:
        raise BadRequest(
            f"{verb}: salinity is in {unit_of(salinity)!r}, which is absolute salinity; expected practical salinity. "
            "Convert it: gsw.SP_from_SA(…), or correct its attribute 'units'."
        )
    if getattr(temperature, "chunks", None) is None:
        middle = pd.Series(np.ravel(np.asarray(numbers_of(temperature), "float64"))).median()
        if middle > _HOTTEST:
            raise BadRequest(
                f"{verb}: half of the temperatures are above {middle:.0f}, expected °C. Are they kelvins? Take 273.15 "
                "away."
            )


def _elementwise(verb: str, function: Any, *inputs: Any) -> Any:
    given = [numbers_of(value) for value in inputs]
    arrays = [value for value in given if isinstance(value, xr.DataArray)]
    index = next((value.index for value in given if isinstance(value, pd.Series)), None)
    if arrays and index is not None:
        raise BadRequest(f"{verb}: found columns of a table beside arrays of xarray. Convert the columns: to_xarray().")
    if arrays:
        return xr.apply_ufunc(function, *given, dask="parallelized", output_dtypes=[np.float64])
    names = ("salinity", "temperature", "pressure", "longitude", "latitude")
    _check_rows(verb, **dict(zip(names, given, strict=True)))
    found = function(
        *(value.to_numpy("float64", na_value=np.nan) if isinstance(value, pd.Series) else value for value in given)
    )
    return found if index is None else pd.Series(found, index)


def _solubility(salinity: Any, temperature: Any, pressure: Any, longitude: Any, latitude: Any) -> Any:
    import gsw  # late: its tables are loaded for those who need them

    absolute = gsw.SA_from_SP(salinity, pressure, longitude, latitude)
    return gsw.O2sol_SP_pt(salinity, gsw.pt0_from_t(absolute, temperature, pressure))


def _potential_density(salinity: Any, temperature: Any, pressure: Any, longitude: Any, latitude: Any) -> Any:
    import gsw

    absolute = gsw.SA_from_SP(salinity, pressure, longitude, latitude)
    return gsw.pot_rho_t_exact(absolute, temperature, pressure, 0.0) / 1e3


def _layer(part: pd.DataFrame, threshold: float) -> dict[str, Any]:
    import gsw

    known = part.dropna(subset=["oxygen", "pressure", "latitude"]).sort_values("pressure")
    depth = -np.asarray(gsw.z_from_p(known["pressure"].to_numpy(), known["latitude"].to_numpy()))
    oxygen = known["oxygen"].to_numpy()
    if len(depth) < 2:
        return {"thickness": np.nan, "levels": len(depth), "goes_on": False}
    tops, bottoms = _crossings(depth, oxygen, threshold)
    at = int(np.argmin(oxygen))
    row = {
        "thickness": float((bottoms - tops).sum()),
        "top": float(tops[0]) if tops.size else np.nan,
        "bottom": float(bottoms[-1]) if tops.size else np.nan,
        "goes_on": bool(oxygen[-1] < threshold),
        "minimum": float(oxygen[at]),
        "minimum_depth": float(depth[at]),
        "levels": len(depth),
    }
    if "error" in known:
        error = known["error"].to_numpy()
        for name, sign in (("thickness_low", 1.0), ("thickness_high", -1.0)):
            above, below = _crossings(depth, oxygen + sign * error, threshold)
            row[name] = float((below - above).sum()) if np.isfinite(error).all() else np.nan
    return row


def _crossings(depth: Array, oxygen: Array, threshold: float) -> tuple[Array, Array]:
    lacking = oxygen - threshold
    upper, lower = lacking[:-1], lacking[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(upper == lower, 0.0, upper / (upper - lower))
    middle = depth[:-1] + share * np.diff(depth)
    tops = np.where(upper < 0, depth[:-1], middle)
    bottoms = np.where(lower < 0, depth[1:], middle)
    inside = (upper < 0) | (lower < 0)
    return tops[inside], bottoms[inside]
