"""The slope of a beach face from where the shoreline lies in images taken at all tides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.shoreline_series import dates_of
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest

_DAY = 86400.0
_YEAR = 365.2425 * _DAY
_FINENESS = 10
"""Frequencies looked at for each that is independent; more change nothing, as the energy is smooth between."""
_AT_ONCE = 2_000_000
"""Most numbers of a table of waves held at once."""


@dataclass(frozen=True)
class BeachSlope:
    """The slope of a beach face, tan β, without unit, and what it was found from."""

    slope: float
    """The slope that leaves the least energy of the tide in the corrected positions; NaN where none does."""
    low: float
    high: float
    """Ends of the interval of confidence; ``high`` is infinite where the tide hardly shows."""
    trial: float
    """The best of the slopes tried, as the published method gives it."""
    period: float
    """Period of the tide as the images sample it, in days."""
    energy: xr.DataArray
    """Energy in the tidal band (m²) of each slope tried, axis ``slope``."""


def beach_slope(
    position: pd.Series,
    tide: pd.Series,
    *,
    slopes: Sequence[float] | Array | None = None,
    sampling: float = 8.0,
    longest: float = 30.0,
    half_width: float = 1e-8,
    confidence: float = 0.95,
) -> BeachSlope:
    """The slope of the beach face from positions that are not corrected for the tide, and the tide.

    Images sample the tide at the same hour, so that it shows as one slow wave. The right slope is the one whose
    correction takes that wave out of the positions: it leaves the least energy (Lomb-Scargle) in the band around the
    wave's frequency. That energy is a square in 1 / slope, so its least is known without trying; the slopes are
    tried none the less, for the curve. The interval comes from what the least leaves in the band.

    Parameters
    ----------
    position : pandas.Series
        Metres seawards at dates in any order, not corrected for the tide; NaN is no observation.
    tide : pandas.Series
        Metres, at the same dates.
    slopes : sequence of float, optional
        Slopes to try. Default: 0.01 to 0.2 by 0.005; the published code begins at 0.035.
    sampling : float
        Days between two images at best: twice as long is the shortest period that shows.
    longest : float
        Days of the longest period at which the tide is looked for.
    half_width : float
        Hertz on each side of the tidal frequency.
    confidence : float
        Share of such intervals that should hold the true slope.

    Returns
    -------
    BeachSlope

    Raises
    ------
    BadRequest
        For series of other lengths or dates, fewer than 20 dates with both, a tide that never changes, too short a
        period, or words outside their range.

    References
    ----------
    Vos, Harley, Splinter, Walker and Turner (2020), Beach slopes from satellite-derived shorelines, Geophysical
    Research Letters 47, doi:10.1029/2020GL088365; ``sampling``, ``longest``, ``half_width`` and the step of 0.005 are
    those of its example for Narrabeen. The interval is ours.
    """
    tried = _trial_slopes(slopes)
    if not 0 < confidence < 1 or not 0 < 2 * sampling < longest or not half_width > 0:
        raise BadRequest(
            f"beach_slope: confidence {confidence!r}, sampling {sampling!r}, longest {longest!r}, half_width "
            f"{half_width!r}: expected a share below 1, days with twice the sampling below the longest, and hertz."
        )
    seconds, x, z = _with_tide(position, tide)
    span = float(np.ptp(seconds))
    grid = np.arange(1 / (longest * _DAY), 1 / (2 * sampling * _DAY), 1 / (_FINENESS * span))
    if 2 * half_width * span < 2 or len(grid) < 3:
        raise BadRequest(
            f"beach_slope: {span / _YEAR:.1f} years are too few for a band of {2 * half_width:g} Hz. Expected "
            f"{1 / half_width / _YEAR:.1f} years or more, or a wider half_width=."
        )
    peak = float(grid[(_projections(seconds, z, grid) ** 2).sum(axis=0).argmax()])
    band = np.arange(peak - half_width, peak + half_width, 1 / (_FINENESS * span))
    moved, driven = _projections(seconds, x, band).ravel(), _projections(seconds, z, band).ravel()
    return _least_energy(moved, driven, tried, peak, 4 * half_width * span, confidence)


def _least_energy(
    moved: Array, driven: Array, tried: Array, peak: float, freedom: float, confidence: float
) -> BeachSlope:
    from scipy.stats import t as student

    own, shared, forced = moved @ moved, moved @ driven, driven @ driven
    energy = (own + 2 * shared / tried + forced / tried**2) / 2
    inverse = -shared / forced
    left = max(own - shared**2 / forced, 0.0)
    away = float(student.ppf(0.5 + confidence / 2, freedom - 1)) * np.sqrt(left / forced / (freedom - 1))
    low, high = inverse - away, inverse + away
    attrs = {"units": "m2", "long_name": "énergie dans la bande de marée / energy in the tidal band"}
    return BeachSlope(
        slope=float(1 / inverse) if inverse > 0 else np.nan,
        low=float(1 / high) if high > 0 else np.nan,
        high=float(1 / low) if low > 0 else np.inf,
        trial=float(tried[energy.argmin()]),
        period=1 / peak / _DAY,
        energy=xr.DataArray(energy, {"slope": ("slope", tried, {"units": "1"})}, ("slope",), "energy", attrs),
    )


def _trial_slopes(slopes: Sequence[float] | Array | None) -> Array:
    tried = np.arange(0.01, 0.2001, 0.005) if slopes is None else np.sort(np.asarray(slopes, "float64").ravel())
    if not tried.size or not (tried > 0).all():
        raise BadRequest("beach_slope: expected slopes= to try, all above 0, such as numpy.arange(0.01, 0.2, 0.005).")
    return tried


def _with_tide(position: pd.Series, tide: pd.Series) -> tuple[Array, Array, Array]:
    verb = "beach_slope"
    times = dates_of(position, verb)
    if len(tide) != len(position) or not times.equals(dates_of(tide, verb)):
        raise BadRequest(f"{verb}: positions and tide have other dates. Join them first: tide.reindex(position.index).")
    for values, what in ((position, "position"), (tide, "tide")):
        check_units(values, "m", verb=verb, what=what)
    x, z = (series.to_numpy("float64", na_value=np.nan) for series in (position, tide))
    seen = np.isfinite(x) & np.isfinite(z)
    if seen.sum() < 20 or np.ptp(z[seen]) == 0:
        raise BadRequest(
            f"{verb}: found {int(seen.sum())} dates with a position and a tide that changes, expected 20 or more."
        )
    seconds = (times - times.min()) / pd.Timedelta(seconds=1)
    return np.asarray(seconds)[seen], x[seen], z[seen]


def _projections(seconds: Array, values: Array, frequencies: Array) -> Array:
    parts = max(-(-len(frequencies) * len(seconds) // _AT_ONCE), 1)
    return np.concatenate([_project(seconds, values, part) for part in np.array_split(frequencies, parts)], axis=1)


def _project(seconds: Array, values: Array, frequencies: Array) -> Array:
    # Two orthonormal waves a frequency, free of the mean (the floating-mean periodogram): their energies are its power.
    phase = 2 * np.pi * frequencies[:, None] * seconds
    cosine, sine = (wave - wave.mean(axis=1, keepdims=True) for wave in (np.cos(phase), np.sin(phase)))
    cosine /= np.sqrt((cosine**2).sum(axis=1, keepdims=True))
    sine -= (cosine * sine).sum(axis=1, keepdims=True) * cosine
    sine /= np.sqrt((sine**2).sum(axis=1, keepdims=True))
    return np.stack([cosine @ values, sine @ values])
