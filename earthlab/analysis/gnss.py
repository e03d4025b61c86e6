"""How a GNSS station moves: velocity, seasons, steps, and what follows an earthquake.

The trajectory model explains a series of daily positions by a few terms, each with its error. MIDAS gives a velocity
that steps, seasons and outliers hardly disturb. `find_steps` proposes dates of steps, for a person to confirm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from numbers import Number
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.stats import t as student

from earthlab.analysis.harmonics import YEAR
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.noise import Fit, fit_flicker, fit_white
from earthlab.analysis.robust import NORMAL
from earthlab.analysis.tables import check_columns, moments_in, numbers_in
from earthlab.analysis.units import convert, unit_of
from earthlab.errors import BadRequest

Noise = Literal["white", "flicker"]
Shape = Literal["log", "exp"]

SEASONS = (YEAR, YEAR / 2)
"""Periods of the annual and the semi-annual term, in days."""

_POLYNOMIAL = (("offset", "mm"), ("velocity", "mm year-1"), ("acceleration", "mm year-2"))
_DAY = pd.Timedelta(days=1)
_FREE = 3
"""Observations, or averages of them, that a model must leave over."""
_MEDIAN_ERROR = 1.2533
"""Standard error of the median of n normal values, in σ/√n: √(π/2)."""
_REALISM = 3.0
"""By which Blewitt et al. multiply the error of the median velocity, to make it realistic."""
_USES = 4
"""How often each position nominally takes part in a pair of MIDAS."""
_LEAST_PAIRS = 10
_BESIDE = 10
"""Observations on each side of a step, without which it is not told from a few outliers."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """What follows an earthquake: ``a·ln(1 + Δt/τ)`` (afterslip) or ``a·(1 - exp(-Δt/τ))`` (viscous), from its date on.

    Attributes
    ----------
    date : str or datetime
        Of the earthquake.
    shape : {"log", "exp"}
    days : float, optional
        The relaxation time τ; fitted where it is not given.
    """

    date: Any
    shape: Shape = "log"
    days: float | None = None


@dataclass(frozen=True)
class Trajectory:
    """A fitted trajectory model.

    Attributes
    ----------
    terms : pandas.DataFrame
        One row a term: ``estimate``, ``standard_error``, ``low``, ``high`` (the confidence interval), ``units``. Rows
        are ``offset``, ``velocity``, ``acceleration``; ``step <date>``; ``log <date>`` or ``exp <date>``, and ``days
        log <date>`` for a relaxation time that was fitted; ``cos 365.25 d``, ``sin 365.25 d``. Offset, velocity
        and seasons count from ``origin``.
    series : pandas.DataFrame
        By date, in mm: ``observed``, ``modelled``, ``residual``, and the parts of the model ``polynomial``, ``events``
        (steps and relaxations) and ``seasons``.
    noise : mapping
        ``rms`` of the residuals and ``white`` noise in mm; ``flicker`` in mm a year^1/4 where it was asked for.
    origin : pandas.Timestamp
    """

    terms: pd.DataFrame
    series: pd.DataFrame
    noise: Mapping[str, float]
    origin: pd.Timestamp

    @property
    def seasons(self) -> pd.DataFrame:
        """By period in days: ``amplitude`` in mm with its ``standard_error``, and ``maximum``, a day of the year."""
        names = [name.removeprefix("cos ") for name in self.terms.index if name.startswith("cos ")]
        rows = {float(name.removesuffix(" d")): self._season(name) for name in names}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["amplitude", "standard_error", "maximum"])

    def _season(self, name: str) -> tuple[float, float, float]:
        pair = self.terms.loc[[f"cos {name}", f"sin {name}"]]
        cosine, sine = pair["estimate"]
        amplitude = math.hypot(cosine, sine)
        error = math.hypot(*(pair["estimate"] * pair["standard_error"])) / amplitude if amplitude else math.nan
        period = float(name.removesuffix(" d"))
        first = self.origin + math.atan2(sine, cosine) / (2 * math.pi) * period * _DAY
        return amplitude, error, (first.dayofyear - 1) % period + 1


@dataclass(frozen=True, slots=True)
class Midas:
    """A velocity by MIDAS in mm a year, its standard error, and the pairs of dates it comes from.

    Attributes
    ----------
    velocity, standard_error : float
        In mm a year of 365.25 days.
    pairs, kept : int
        Pairs of dates about a year apart, and those within two standard deviations of their median.
    scatter : float
        Standard deviation of the velocities of the pairs that were kept, robust, in mm a year.
    """

    velocity: float
    standard_error: float
    pairs: int
    kept: int
    scatter: float


class _Series(NamedTuple):
    times: pd.DatetimeIndex
    days: Array
    values: Array
    weights: Array


class _Model(NamedTuple):
    """What is asked for, with dates as timestamps and every relaxation time known."""

    origin: pd.Timestamp
    degree: int
    periods: tuple[float, ...]
    steps: tuple[pd.Timestamp, ...]
    relaxations: tuple[Relaxation, ...]


class _Term(NamedTuple):
    name: str
    units: str
    part: str
    column: Array


def trajectory(  # noqa: PLR0913 - the one public door of the model
    table: pd.DataFrame,
    value: str,
    *,
    steps: Any = (),
    relaxations: Sequence[Relaxation] = (),
    degree: int = 1,
    periods: Sequence[float] = SEASONS,
    noise: Noise = "white",
    time: str = "time",
    sigma: str | None = None,
    units: str | None = None,
    level: float = 0.95,
) -> Trajectory:
    """The trajectory model of Bevis and Brown, fitted to one component of one station by least squares.

    ``x(t) = Σ p_k (t-t₀)^k + Σ b_j H(t-t_j) + Σ (s sin ωt + c cos ωt) + Σ a_m f(t-t_m)``: a polynomial, steps, seasons,
    and relaxations after earthquakes.

    Parameters
    ----------
    table : pandas.DataFrame
        One row an observation, in any order; rows without a value, or with an infinite one, are left out.
    value : str
        The column of the component: east, north or up.
    steps : date or iterable of dates
        Of earthquakes and changes of antenna; a date that is there twice counts once. An observation on the date itself
        counts as after the step.
    relaxations : sequence of Relaxation
        Where a relaxation time is not given it is fitted, and its error with it.
    degree : {0, 1, 2}
        Of the polynomial: 1 is a constant velocity, 2 adds an acceleration.
    periods : sequence of float
        In days; by default a year and half a year. Empty for no seasons.
    noise : {"white", "flicker"}
        ``"white"`` takes the errors of different days as independent, which makes the errors of velocities several
        times too small. ``"flicker"`` finds in the series how much of its noise is 1/f and how much white, and weights
        and judges every term accordingly; it works on averages over up to 600 spans of time.
    time : str
        The column of dates, or of texts such as ``"2011-03-11"``; where there is none an index of dates will do.
    sigma : str, optional
        A column of standard deviations, which then weight the observations.
    units : str, optional
        Of ``value`` and ``sigma``, where ``table.attrs["units"]`` does not say: m, cm or mm.
    level : float
        Of the confidence intervals, by Student's t.

    Returns
    -------
    Trajectory
        In mm and years of 365.25 days.

    Raises
    ------
    BadRequest
        For unknown columns, units or words, two rows of one date (several stations?), dates of steps outside the
        series, too few observations, and terms that these cannot tell apart, such as two steps within a gap.

    Notes
    -----
    Below two and a half years seasons and velocity disturb each other (Blewitt and Lavallée 2002,
    doi:10.1029/2001JB000570).

    In 100 to 200 simulated series of 900 to 2,200 days with gaps, steps, white noise of 2 mm and flicker noise of
    6 mm a year^1/4, intervals of 95 % with ``"flicker"`` held the true velocity in 94 of 100 and the step in 90 to 93;
    with ``"white"`` in 47 and 38. In series of 1,500 days with white noise of 1 mm, flicker noise of 4 mm and a random
    walk of 2 mm a year^1/2, as of an unstable monument, those with ``"flicker"`` held the velocity in 58.

    References
    ----------
    Bevis and Brown (2014), Trajectory models and reference frames for crustal motion geodesy, Journal of Geodesy 88,
    283-311, doi:10.1007/s00190-013-0685-5.
    """
    _check_words(degree, periods, noise, level)
    series = _read(table, value, time=time, sigma=sigma, units=units, verb="trajectory")
    model = _model(series, steps, relaxations, degree, periods, "trajectory")
    free = tuple(at for at, each in enumerate(model.relaxations) if each.days is None)
    settled = _settle(series, model, free)
    terms = [*_terms(series, settled), *(_bend(series, settled, at) for at in free)]
    design = np.stack([term.column for term in terms], axis=1)
    _check_design(design, terms, "trajectory")
    if noise == "flicker":
        fitted = fit_flicker(series.days, design, series.values, series.weights)
    else:
        fitted = fit_white(design, series.values, series.weights)
    found = [settled.relaxations[at].days or 0.0 for at in free]
    return Trajectory(
        _table_of_terms(fitted, terms, found, level),
        _table_of_series(series, fitted, terms),
        {"rms": _rms(series.values - design @ fitted.estimates), **fitted.noise},
        model.origin,
    )


def _check_words(degree: int, periods: Sequence[float], noise: str, level: float) -> None:
    if degree not in range(len(_POLYNOMIAL)):
        raise BadRequest(f"trajectory: degree is {degree!r}, expected 0, 1 or 2.")
    if not all(period > 0 for period in periods):
        raise BadRequest(f"trajectory: periods are {list(periods)}, expected positive numbers of days.")
    if noise not in ("white", "flicker"):
        raise BadRequest(f"trajectory: noise is {noise!r}, expected 'white' or 'flicker'.")
    if not 0 < level < 1:
        raise BadRequest(f"trajectory: level is {level!r}, expected a number between 0 and 1, such as 0.95.")


def _read(table: pd.DataFrame, value: str, *, time: str, sigma: str | None, units: str | None, verb: str) -> _Series:
    if not isinstance(table, pd.DataFrame):
        raise BadRequest(f"{verb}: expected a table (DataFrame), found {type(table).__name__}. Use .to_frame(…).")
    frame = _with_dates(table, time)
    names = (time, value, sigma) if sigma else (time, value)
    check_columns(frame, names, verb)
    scale = _scale(unit_of(frame[value]), units, f"{verb}: {value!r}")
    times = _times(frame, time, verb)
    sigmas = np.ones(len(frame)) if sigma is None else numbers_in(frame, sigma, verb) * scale
    values = numbers_in(frame, value, verb) * scale
    order = np.argsort(times, kind="stable")
    kept = order[np.isfinite(values[order]) & np.isfinite(sigmas[order]) & times[order].notna()]
    times, values, sigmas = times[kept], values[kept], sigmas[kept]
    twice = times[times.duplicated()]
    if len(twice):
        raise BadRequest(f"{verb}: {twice[0]:%Y-%m-%d %H:%M} has several rows. Choose the rows of one station.")
    if not (sigmas > 0).all():
        raise BadRequest(f"{verb}: {sigma!r} is not positive somewhere. Leave these rows out.")
    days = np.asarray((times - times[0]) / _DAY, "float64") if len(times) else np.empty(0)
    return _Series(times, days, values, sigmas**-2)


def _with_dates(table: pd.DataFrame, time: str) -> pd.DataFrame:
    if time in table.columns:
        return table
    return (table.rename_axis(time) if isinstance(table.index, pd.DatetimeIndex) else table).reset_index()


def _scale(stated: str | None, given: str | None, what: str) -> float:
    if stated and given and stated != given:
        raise BadRequest(f"{what} is in {stated!r} by the table and in {given!r} by units=. Leave units= out.")
    found = given or stated
    try:
        return float(convert(1.0, "mm", given=found))
    except BadRequest as exc:
        raise BadRequest(f"{what} has units {found!r}, expected a length: m, cm or mm. Say it with units=.") from exc


def _times(frame: pd.DataFrame, time: str, verb: str) -> pd.DatetimeIndex:
    if pd.api.types.is_numeric_dtype(frame[time].dtype):
        raise BadRequest(
            f"{verb}: column {time!r} holds {frame[time].dtype}, expected dates. Of modified Julian days make them "
            "with pandas.to_datetime(mjd, unit='D', origin='1858-11-17'); of decimal years of 365.25 days, such as "
            "those of tenv3, mjd is 51544.5 + 365.25 * (year - 2000)."
        )
    return moments_in(frame, time, verb)


def _step_dates(steps: Any, series: _Series) -> tuple[pd.Timestamp, ...]:
    """The dates of steps, each once, whether there is one or several of them."""
    several = [steps] if isinstance(steps, str | date | np.datetime64) else steps
    return tuple(dict.fromkeys(_date(step, series, "steps") for step in several))


def _date(date: Any, series: _Series, verb: str) -> pd.Timestamp:
    try:
        found = pd.Timestamp("" if isinstance(date, Number) else date)
    except (ValueError, TypeError) as exc:
        raise BadRequest(f"{verb}: {date!r} is not understood as a date. Expected one such as '2011-03-11'.") from exc
    if not isinstance(found, pd.Timestamp):
        raise BadRequest(f"{verb}: {date!r} is no date. Leave it out.")
    found = found.tz_convert("UTC").tz_localize(None) if found.tz is not None else found
    if not series.times[0] < found <= series.times[-1]:
        raise BadRequest(
            f"{verb}: {found:%Y-%m-%d} lies outside the series, {series.times[0]:%Y-%m-%d} to "
            f"{series.times[-1]:%Y-%m-%d}. Leave it out."
        )
    return found


def _model(
    series: _Series, steps: Any, relaxations: Sequence[Relaxation], degree: int, periods: Sequence[float], verb: str
) -> _Model:
    dates = _step_dates(steps, series) if len(series.times) else ()
    number = degree + 1 + 2 * len(periods) + len(relaxations) + len(dates)
    if len(series.times) < number + _FREE:
        raise BadRequest(
            f"{verb}: {len(series.times)} observations for {number} terms, expected {_FREE} more than terms. Ask "
            "for fewer terms: periods=(), or fewer steps."
        )
    for each in relaxations:
        if not isinstance(each, Relaxation):
            raise BadRequest(f"{verb}: relaxations has {each!r}, expected Relaxation('2011-03-11', 'log') or the like.")
        if each.shape not in ("log", "exp") or (each.days is not None and not each.days > 0):
            raise BadRequest(f"trajectory: {each} is not understood. Expected shape 'log' or 'exp' and positive days.")
    return _Model(
        series.times[0] + (series.times[-1] - series.times[0]) / 2,
        int(degree),
        tuple(periods),
        dates,
        tuple(replace(each, date=_quake(each, series)) for each in relaxations),
    )


def _quake(relaxation: Relaxation, series: _Series) -> pd.Timestamp:
    found = _date(relaxation.date, series, "relaxations")
    if found == series.times[-1]:
        raise BadRequest(
            f"relaxations: {found:%Y-%m-%d} is the last date; nothing was observed after it. Leave it out."
        )
    return found


def _terms(series: _Series, model: _Model) -> list[_Term]:
    days = np.asarray((series.times - model.origin) / _DAY, "float64")
    years = days / YEAR
    terms = [
        _Term(name, units, "polynomial", years**power / math.factorial(power))
        for power, (name, units) in enumerate(_POLYNOMIAL[: model.degree + 1])
    ]
    terms += [
        _Term(f"step {date:%Y-%m-%d}", "mm", "events", (series.times >= date).astype("float64")) for date in model.steps
    ]
    for each in model.relaxations:
        course = _course(series, each) if each.days else np.ones(len(days))
        terms.append(_Term(f"{each.shape} {each.date:%Y-%m-%d}", "mm", "events", course))
    for period in model.periods:
        turn = 2 * math.pi * days / period
        terms.append(_Term(f"cos {period:g} d", "mm", "seasons", np.cos(turn)))
        terms.append(_Term(f"sin {period:g} d", "mm", "seasons", np.sin(turn)))
    return terms


def _since(series: _Series, each: Relaxation) -> Array:
    return np.asarray(np.clip((series.times - each.date) / _DAY, 0, None), "float64") / (each.days or 1.0)


def _course(series: _Series, each: Relaxation) -> Array:
    since = _since(series, each)
    return np.asarray(np.log1p(since) if each.shape == "log" else -np.expm1(-since))


def _settle(series: _Series, model: _Model, free: Sequence[int]) -> _Model:
    """The model with the relaxation times that leave least; the other terms follow linearly from these."""
    if not free:
        return model
    span = float(series.days[-1])
    bounds = [(0.0, math.log(span))] * len(free)
    start = np.full(len(free), math.log(span) / 2)
    found = minimize(
        lambda logs: _left(series, _with_days(model, free, logs)), start, method="Nelder-Mead", bounds=bounds
    )
    return _with_days(model, free, found.x)


def _with_days(model: _Model, free: Sequence[int], logs: Array) -> _Model:
    times = dict(zip(free, np.exp(logs).tolist(), strict=True))
    known = tuple(replace(each, days=times.get(at, each.days)) for at, each in enumerate(model.relaxations))
    return model._replace(relaxations=known)


def _left(series: _Series, model: _Model) -> float:
    design = np.stack([term.column for term in _terms(series, model)], axis=1) * np.sqrt(series.weights)[:, None]
    values = series.values * np.sqrt(series.weights)
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(left @ left)


def _bend(series: _Series, model: _Model, at: int) -> _Term:
    """How the modelled series changes with one relaxation time, for the error of that and of the terms beside it."""
    each = model.relaxations[at]
    terms = _terms(series, model)
    design = np.stack([term.column for term in terms], axis=1)
    sizes = fit_white(design, series.values, series.weights).estimates
    size = sizes[model.degree + 1 + len(model.steps) + at]
    since = _since(series, each)
    slope = -since / (1 + since) if each.shape == "log" else -since * np.exp(-since)
    return _Term(f"days {each.shape} {each.date:%Y-%m-%d}", "days", "events", size * slope / (each.days or 1.0))


def _check_design(design: Array, terms: Sequence[_Term], verb: str) -> None:
    sizes = np.linalg.norm(design, axis=0)
    values = np.linalg.svd(design / np.where(sizes > 0, sizes, 1), full_matrices=False)
    weak = len(design) * np.finfo("float64").eps * 1e3 > values.S
    if weak.any():
        mixed = [
            term.name for term, share in zip(terms, np.abs(values.Vh[weak]).max(axis=0), strict=True) if share > 0.1
        ]
        raise BadRequest(
            f"{verb}: the observations cannot tell apart {', '.join(mixed)}. Leave out one of them, or a step "
            "without observations on both sides."
        )


def _table_of_terms(fitted: Fit, terms: Sequence[_Term], found: Sequence[float], level: float) -> pd.DataFrame:
    estimates = fitted.estimates.copy()
    estimates[len(estimates) - len(found) :] = found
    errors = np.sqrt(np.diag(fitted.covariance))
    half = errors * student.ppf((1 + level) / 2, fitted.freedom)
    return pd.DataFrame(
        {
            "estimate": estimates,
            "standard_error": errors,
            "low": estimates - half,
            "high": estimates + half,
            "units": [term.units for term in terms],
        },
        index=pd.Index([term.name for term in terms], name="term"),
    )


def _table_of_series(series: _Series, fitted: Fit, terms: Sequence[_Term]) -> pd.DataFrame:
    parts = {name: np.zeros(len(series.values)) for name in ("polynomial", "events", "seasons")}
    for term, estimate in zip(terms, fitted.estimates, strict=True):
        parts[term.part] += term.column * estimate
    modelled = parts["polynomial"] + parts["events"] + parts["seasons"]
    table = {"observed": series.values, "modelled": modelled, "residual": series.values - modelled, **parts}
    return pd.DataFrame(table, index=series.times.rename("time"))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))


def find_steps(  # noqa: PLR0913 - as `trajectory`
    table: pd.DataFrame,
    value: str,
    *,
    steps: Any = (),
    most: int = 10,
    threshold: float = 10.0,
    smallest: float = 0.0,
    periods: Sequence[float] = SEASONS,
    time: str = "time",
    units: str | None = None,
) -> pd.DataFrame:
    """Dates at which the series seems to jump: candidates, to be checked against logs of the antenna and earthquakes.

    The step that explains most of what a line and seasons leave is added, one after the other, while it explains
    enough. Flicker noise wanders and looks like small steps, and a relaxation like a stair: judge what is proposed.

    Parameters
    ----------
    table, value, periods, time, units
        As for `trajectory`.
    steps : date or iterable of dates
        Steps that are known already.
    most : int
        Candidates to propose.
    threshold : float
        The least ratio of a step to its standard error under white noise. In white noise alone 5 is rare; 10 leaves
        room for noise that is not.
    smallest : float
        The smallest size in mm.

    Returns
    -------
    pandas.DataFrame
        One row a candidate, by date: ``date`` (the first observation after it), ``size`` and ``standard_error`` (white)
        in mm with all candidates in the model, and ``ratio`` of the two.

    Raises
    ------
    BadRequest
        As `trajectory` does, and for a threshold that is not positive.
    """
    if not threshold > 0 or most < 1:
        raise BadRequest(f"find_steps: threshold {threshold!r} and most {most!r} are to be positive.")
    series = _read(table, value, time=time, sigma=None, units=units, verb="find_steps")
    model = _model(series, steps, (), 1, periods, "find_steps")
    terms = _terms(series, model)
    design = np.stack([term.column for term in terms], axis=1)
    _check_design(design, terms, "find_steps")
    places: list[int] = []
    while len(places) < most and (place := _largest_step(series.values, design, places, threshold)) is not None:
        places.append(place)
        design = np.column_stack([design, np.arange(len(series.days)) >= place])
    fitted = fit_white(design, series.values, series.weights)
    sizes, errors = fitted.estimates[len(terms) :], np.sqrt(np.diag(fitted.covariance))[len(terms) :]
    found = pd.DataFrame(
        {"date": series.times[places], "size": sizes, "standard_error": errors, "ratio": np.abs(sizes) / errors}
    )
    return found[found["size"].abs() >= smallest].sort_values("date", ignore_index=True)


def _largest_step(values: Array, design: Array, places: Sequence[int], threshold: float) -> int | None:
    """Where one more step explains most, or None where it does not explain enough."""
    basis, _ = np.linalg.qr(design)
    left = values - basis @ (basis.T @ values)
    behind = np.cumsum(left[::-1])[::-1]
    seen = np.cumsum(basis[::-1], axis=0)[::-1]
    length = np.arange(len(values), 0, -1) - (seen**2).sum(axis=1)
    gain = np.where(length > 1e-6, behind**2 / np.maximum(length, 1e-6), 0)
    for edge in (0, *places, len(values)):
        gain[max(edge - _BESIDE + 1, 0) : edge + _BESIDE] = 0
    place = int(np.argmax(gain))
    freedom = len(values) - design.shape[1] - 1
    rounding = (1e-9 * float(np.abs(values).max())) ** 2 * len(values)
    rest = max(float(left @ left) - gain[place], rounding)
    enough = freedom > 0 and gain[place] > 0 and gain[place] * freedom > rest * threshold**2
    return place if enough else None


def midas(
    table: pd.DataFrame,
    value: str,
    *,
    steps: Any = (),
    tolerance: float = 0.001,
    time: str = "time",
    units: str | None = None,
) -> Midas:
    """A robust velocity: the median over pairs of positions one year apart, without those beyond two deviations.

    Pairs of exactly a year do not see the seasons; a step disturbs only the pairs across it. Each date is paired
    forwards and backwards in time with the date a year away, or else with the next one beyond that is not taken yet.

    Parameters
    ----------
    table, value, time, units
        As for `trajectory`.
    steps : date or iterable of dates
        No pair is taken across them; the day of a step is not used.
    tolerance : float
        Years by which a pair may miss a year.

    Returns
    -------
    Midas
        With the standard error ``3 · 1.2533 · σ / √(N/4)``, where σ is the scatter of the N pairs kept.

    Raises
    ------
    BadRequest
        As `trajectory` does, and for a series with fewer than ten pairs a year apart.

    Notes
    -----
    Of those simulated series (see `trajectory`) 99 of 100 had the true velocity within 1.96 standard errors; of those
    with the random walk 61.

    References
    ----------
    Blewitt et al. (2016), MIDAS robust trend estimator for accurate GPS station velocities without step detection,
    Journal of Geophysical Research: Solid Earth 121, 2054-2068, doi:10.1002/2015JB012552. The choice of pairs, the trim
    and the factors are those of the authors' program ``midas.f`` (MIDAS4).
    """
    if not 0 < tolerance < 0.5:
        raise BadRequest(f"midas: tolerance is {tolerance!r}, expected a small part of a year, such as 0.001.")
    series = _read(table, value, time=time, sigma=None, units=units, verb="midas")
    years = series.days / YEAR
    cuts = pd.DatetimeIndex(sorted(_step_dates(steps, series))) if len(years) else series.times
    pairs = _year_pairs(years, series.times, cuts, tolerance)
    if len(pairs) < _LEAST_PAIRS:
        raise BadRequest(
            f"midas: {len(pairs)} pairs of dates a year apart among {len(years)} observations, expected "
            f"{_LEAST_PAIRS} or more. Use a longer series, or trajectory(…) with periods=()."
        )
    slopes = (series.values[pairs[:, 1]] - series.values[pairs[:, 0]]) / (years[pairs[:, 1]] - years[pairs[:, 0]])
    apart = np.abs(slopes - np.median(slopes))
    kept = slopes[apart <= 2 * NORMAL * np.median(apart)]
    velocity = float(np.median(kept))
    scatter = NORMAL * float(np.median(np.abs(kept - velocity)))
    error = _REALISM * _MEDIAN_ERROR * scatter / math.sqrt(len(kept) / _USES)
    return Midas(velocity, error, len(slopes), len(kept), scatter)


def _year_pairs(years: Array, times: pd.DatetimeIndex, cuts: pd.DatetimeIndex, tolerance: float) -> Array:
    """Places (earlier, later) of the pairs, shape (pairs, 2)."""
    parts: list[Array] = []
    for part in np.split(np.arange(len(years)), times.searchsorted(cuts)):
        inside = part[~times[part].normalize().isin(cuts.normalize())]
        if len(inside):
            parts += [
                inside[_forward_pairs(years[inside], tolerance)],
                inside[::-1][_forward_pairs(-years[inside][::-1], tolerance)][:, ::-1],
            ]
    return np.concatenate(parts) if parts else np.empty((0, 2), "int64")


def _forward_pairs(years: Array, tolerance: float) -> Array:
    nearest = np.searchsorted(years, years + (1 - tolerance))
    pairs = []
    unused = 0
    for place, partner in enumerate(nearest[nearest < len(years)].tolist()):
        if years[partner] - years[place] < 1 + tolerance:
            pairs.append((place, partner))
            continue
        unused = max(unused, partner)
        pairs.append((place, unused))
        unused = unused + 1 if unused + 1 < len(years) else 0
    return np.array(pairs, "int64").reshape(-1, 2)
