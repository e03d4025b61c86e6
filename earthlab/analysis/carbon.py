"""What an ecosystem takes from the air and gives back, from the CO2 flux that a tower measured."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.tables import check_columns
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest

CARBON = 12.011
"""g mol-1, IUPAC's abridged standard atomic weight."""
CARBON_DIOXIDE = 44.009
"""g mol-1, of the same weights."""
_FEWEST_DAYS = 3
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class CarbonBudget:
    """The net exchange of a period: negative where the ecosystem takes up CO2."""

    carbon: float
    """g C m-2."""
    carbon_interval: tuple[float, float]
    """How much the total would vary with other days of the same kind; systematic errors are not in it. Days are counted
    from the first step."""
    carbon_dioxide: float
    """g CO2 m-2."""
    days: int
    filled: float
    """Share of the steps that were missing and took the mean of their time of day."""


def carbon_budget(
    table: pd.DataFrame, *, flux: str, time: str = "time", level: float = 0.95, draws: int = 1000, seed: int = 0
) -> CarbonBudget:
    """The carbon that an ecosystem exchanged over the days of a table.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a step of time, of equal length, in any order.
    flux : str
        Column of the net ecosystem exchange (NEE) of CO2, µmol m-2 s-1, upward positive. NaN is no measurement: such
        steps take the mean of the others at the same time of day (mean diurnal course).
    time : str
        Column of the start of each step.
    level : float
        Probability of the interval, which resamples whole days.
    draws, seed : int
        Resamplings of days, and their seed.

    Returns
    -------
    CarbonBudget
        Its interval is NaN with fewer than three days.

    Raises
    ------
    BadRequest
        For missing columns, another unit, steps of unequal length, twice the same, or a time of day that was never
        measured.

    References
    ----------
    Falge et al. (2001), Gap filling strategies for defensible annual sums of net ecosystem exchange, Agricultural and
    Forest Meteorology 107, 43-69, doi:10.1016/S0168-1923(00)00225-2.
    """
    check_columns(table, (flux, time), "carbon_budget")
    check_units(table[flux], "umol m-2 s-1", verb="carbon_budget", what=repr(flux))
    if not 0 < level < 1:
        raise BadRequest(f"carbon_budget: level is {level!r}, expected a number between 0 and 1, such as 0.95.")
    rows = table[[time, flux]].sort_values(time)
    seconds = _step(pd.DatetimeIndex(rows[time]))
    values = rows[flux].to_numpy("float64", na_value=np.nan)
    hours = pd.DatetimeIndex(rows[time]).strftime("%H:%M:%S")
    whole = _diurnally_filled(pd.Series(values, hours))
    moles = whole * seconds * 1e-6
    daily = np.bincount((np.arange(len(moles)) * seconds // _DAY).astype("int64"), moles)
    low, high = _resampled(daily, level, draws, seed)
    total = float(moles.sum())
    return CarbonBudget(
        total * CARBON,
        (low * CARBON, high * CARBON),
        total * CARBON_DIOXIDE,
        len(daily),
        float(np.isnan(values).mean()),
    )


def _step(times: pd.DatetimeIndex) -> float:
    steps = np.unique(np.diff(times.to_numpy()) / np.timedelta64(1, "s"))
    if times.hasnans or len(steps) != 1 or steps[0] <= 0:
        found = ", ".join(f"{step:g} s" for step in steps[:3]) or "one row"
        raise BadRequest(f"carbon_budget: expected steps of equal length, found {found}. Fill the gaps with NaN rows.")
    return float(steps[0])


def _diurnally_filled(series: "pd.Series[float]") -> Array:
    course = series.groupby(level=0).transform("mean")
    if course.isna().any():
        hour = course.index[course.isna()][0]
        raise BadRequest(f"carbon_budget: {hour} was never measured. Take a longer period.")
    return np.asarray(series.fillna(course), "float64")


def _resampled(daily: Array, level: float, draws: int, seed: int) -> tuple[float, float]:
    if len(daily) < _FEWEST_DAYS:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).choice(daily, (draws, len(daily))).sum(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
