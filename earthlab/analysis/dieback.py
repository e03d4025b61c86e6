"""Dieback of forests, found date by date as FORDEAD finds it: a model of the healthy forest, anomalies, and an alarm.

Three steps, each of use by itself: `crswir` is the index of the water in a canopy, `forest_view` says on which dates
the canopy was seen at all, `watch` learns each pixel's healthy years and then raises and ends the alarm. `dieback` is
all three.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import binary_dilation, generate_binary_structure

from earthlab.analysis.columns import TIME, map_columns, pick
from earthlab.analysis.harmonics import EPOCH, YEAR, harmonic_design
from earthlab.analysis.kernels import states
from earthlab.analysis.kernels.compiling import Array, as_columns, floats_for
from earthlab.analysis.reflectance import reflectances
from earthlab.analysis.series import (
    check_series,
    constant,
    dates_at,
    earliest_first,
    in_space,
    is_between,
    kept_attributes,
    space_of,
    unit_of,
)
from earthlab.errors import BadRequest

NIR_NM, SWIR_NM, FAR_NM = 864.0, 1610.4, 2185.7
"""Centres of Sentinel-2's B8A, B11 and B12, between which CRSWIR draws its line."""
TERMS = ("mean", "sin_1", "cos_1", "sin_2", "cos_2")
NONE, LOW, SEVERE, BARE = range(4)
"""Classes of confidence."""

_PATCH = generate_binary_structure(2, 1)
_SOIL_DATE = "soil_date"


@dataclass(frozen=True, slots=True)
class Bands:
    """The names of the six bands in a cube; the defaults are the common names of Sentinel-2's."""

    blue: str = "blue"
    green: str = "green"
    red: str = "red"
    nir: str = "nir08"
    swir: str = "swir16"
    far: str = "swir22"

    @property
    def names(self) -> tuple[str, ...]:
        """All six, in the order of their wavelengths."""
        return (self.blue, self.green, self.red, self.nir, self.swir, self.far)


@dataclass(frozen=True, slots=True)
class Limits:
    """Reflectances at which a pixel is bare soil or cloud, and for how long; the defaults are FORDEAD's."""

    soil_swir: float = 0.1250
    soil_blue: float = 0.0600
    soil_green_and_red: float = 0.0800
    cloud_blue: float = 0.0700
    cloud_green_share: float = 0.15
    haze_blue: float = 0.0400
    soil_dates: int = 3
    """Successive dates of bare soil after which a pixel stays so."""
    cloud_margin: int = 3
    """Pixels around a cloud that are taken as cloud too."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a pixel is trained, and what raises and ends its alarm; the defaults are FORDEAD's for CRSWIR and spruce."""

    training_end: str = "2018-01-01"
    """The training takes all dates before this day…"""
    training_limit: str = "2018-06-01"
    """… and goes on at most to here where it has fewer than ``least`` dates."""
    least: int = 10
    threshold: float = 0.16
    """Least difference between observation and model that is an anomaly, in the index's unit."""
    direction: Literal["up", "down"] = "up"
    """Whether dieback raises the index, as CRSWIR, or lowers it, as NDVI."""
    into: int = 3
    """Successive anomalies that raise the alarm."""
    back: int = 3
    """Successive normal dates that end it."""
    stress: Literal["weighted", "mean"] = "weighted"
    """Whether the stress weighs the dates of a period 1, 2, 3, … or all alike."""
    most_periods: int = 5
    severe: float = 0.265
    """Stress from which dieback is severe."""


def crswir(cube: xr.Dataset, *, nir: str = "nir08", swir: str = "swir16", far: str = "swir22") -> xr.DataArray:
    """The continuum removed short-wave infrared: B11 over the line from B8A to B12, without unit. It rises in dieback.

    ``B11 / (B8A + (B12 - B8A) / (2185.7 - 864) · (1610.4 - 864))``, wavelengths in nm.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance (0 to 1), any axes.
    nir, swir, far : str
        Names of the bands at 864, 1610 and 2186 nm.

    Returns
    -------
    xarray.DataArray
        Axes, chunks and float dtype of the bands; NaN where one is missing or the line is not positive. Lazy if the
        cube is.

    Raises
    ------
    BadRequest
        Where a band is missing or in another unit.

    References
    ----------
    Dutrieux, Féret, Ose and de Boissieu (2021), Package Fordead, doi:10.15454/4TEO6H.
    """
    bands = reflectances(cube, (nir, swir, far), "crswir")
    index: xr.DataArray = xr.apply_ufunc(_crswir, *bands, dask="allowed", keep_attrs="drop_conflicts").rename("crswir")
    return index.assign_attrs({**kept_attributes(index), "long_name": "CRSWIR", "units": "1"})


def forest_view(cube: xr.Dataset, *, bands: Bands | None = None, limits: Limits | None = None) -> xr.Dataset:
    """On which dates the forest of each pixel was seen: neither cloud, nor nodata, nor bare soil.

    Soil is where B11 is bright, B2 dark and B3 + B4 bright; a pixel that was soil on three successive dates stays soil.
    A cloud is bright in B2, or less bright with much green; it grows by three pixels on each side.

    Parameters
    ----------
    cube : xarray.Dataset
        Surface reflectance without unit (0 to 1) with axes ``time`` and two in space, dates in any order. NaN, zero and
        below zero are no observation.
    bands : Bands, optional
        Names of the six bands.
    limits : Limits, optional
        Other thresholds.

    Returns
    -------
    xarray.Dataset
        ``state`` (uint8, with time): 0 forest, 1 no data, 2 cloud, 3 soil; ``soil_date`` (datetime64): the first of the
        dates of bare soil, NaT where it never stayed. Lazy if the cube is.

    Raises
    ------
    BadRequest
        Where a band is missing or says it holds anything but reflectance from 0 to 1.

    References
    ----------
    Dutrieux et al. (2021), Package Fordead, doi:10.15454/4TEO6H. Dates too cloudy as a whole (FORDEAD leaves out those
    above 40 %) are left out by the search: ``max_cloud=40``.
    """
    names, limits = _check_bands(bands), limits or Limits()
    _check_least(limits, "cloud_margin", 0)
    _check_least(limits, "soil_dates", 1)
    seen_bands = reflectances(cube, names.names, "dieback")
    first = check_series(seen_bands[0], "dieback")
    if first.ndim != 3:
        raise BadRequest(f"dieback: expected axes time, y, x, found {', '.join(map(str, first.dims))}.")
    series = [band.transpose(*first.dims) for band in seen_bands]
    order = earliest_first(first)
    look = partial(_look, order=order, limits=limits)
    dates = first.sizes[TIME]
    stacked = map_columns(look, series, layers=1, periods=dates + 1, dtype=np.dtype("int32"))
    seen = pick(stacked, 0, drop_time=False)
    state = _with_margin(seen[:dates], limits.cloud_margin)
    flags = {"flag_values": np.arange(4, dtype="uint8"), "flag_meanings": "forest no_data cloud soil"}
    kept = kept_attributes(first)
    words = {"long_name": "ce que l'on voit / what is seen", "standard_name": "status_flag", **flags, **kept}
    soil = dates_at(seen[dates], first.indexes[TIME])
    title = {"long_name": "premier jour de sol nu durable / first day of lasting bare soil", **kept}
    variables = {"state": (first.dims, state, words), _SOIL_DATE: (first.dims[1:], soil, title)}
    return xr.Dataset(variables, coords=first.coords)


def watch(index: xr.DataArray, rule: Rule | None = None) -> xr.Dataset:
    """What became of each pixel: its healthy model, the alarm, its first date, its periods of stress.

    The model ``a + b₁ sin + b₂ cos + b₃ sin2 + b₄ cos2`` of the year is fitted to the dates before
    ``rule.training_end``, in a pixel seen fewer than ``rule.least`` times on those that follow until
    ``rule.training_limit``. On the dates after the training an observation that differs from the model by more than
    ``rule.threshold`` is an anomaly. Three successive anomalies raise the alarm, three successive normal dates end it;
    dates on which the pixel was not seen neither count nor interrupt.

    Parameters
    ----------
    index : xarray.DataArray
        An index of the canopy, such as CRSWIR, with dates along ``time`` in any order; NaN where the canopy was not
        seen.
    rule : Rule, optional
        Other dates, thresholds or numbers.

    Returns
    -------
    xarray.Dataset
        ``alarm`` (float32: 1, 0, NaN where there is no model); ``first_date``, the first anomaly of the alarm that
        stands; ``stress``, the (weighted) mean difference from the model since then, in the dieback direction, and
        ``dates``, the number of its dates; ``periods``, the number of alarms that ended, and of the first
        ``rule.most_periods`` of them (axis ``period``) ``period_start``, ``period_end`` (the first normal date),
        ``period_stress`` and ``period_dates``; ``reliable``, whether there were no more than these; ``trained`` and
        ``watched``, dates of the training and after it; ``last_training``; ``coefficient`` (axis ``term``). Lazy if the
        index is.

    Raises
    ------
    BadRequest
        Without dates, for a rule that cannot be, or where no date lies before or after the training.

    Notes
    -----
    False alarms, of 600 healthy pixels each (240 dates, 8 days apart, from 2016; the default rule): where the index
    scatters by 0.05 about its course none was ever alarmed, by 0.08 0.5 %, by 0.10 6 %; where errors follow their
    forerunners (autocorrelation 0.5) none, 16 % and 49 %, of which 0.7 % and 2 % still stood at the end.

    References
    ----------
    Dutrieux et al. (2021), Package Fordead, doi:10.15454/4TEO6H.
    """
    rule = _check_rule(rule or Rule())
    series = check_series(index, "dieback")
    plan = _plan(series, rule)
    layers = states.PERIODS + 4 * rule.most_periods + len(TERMS)
    stacked = map_columns(
        partial(_watch, plan=plan, rule=rule), [series], layers=layers, periods=1, dtype=np.dtype("float64")
    )
    return _report(series, pick(stacked, None, drop_time=True), rule)


def dieback(
    cube: xr.Dataset, *, bands: Bands | None = None, limits: Limits | None = None, rule: Rule | None = None
) -> xr.Dataset:
    """Dieback of a forest from Sentinel-2 reflectance: `forest_view`, `crswir` and `watch` in one, with a confidence.

    Parameters
    ----------
    cube, bands, limits, rule
        As for `forest_view` and `watch`. The cube should hold forest only: elsewhere the model means nothing.

    Returns
    -------
    xarray.Dataset
        As `watch` gives it, with ``soil_date``, and ``confidence`` (uint8): 0 no alarm or not judged, 1 low (a stress
        below ``rule.severe``), 2 severe, 3 bare soil (felled or cleared). Lazy if the cube is.

    Raises
    ------
    BadRequest
        As these do.
    """
    names, chosen = _check_bands(bands), rule or Rule()
    view = forest_view(cube, bands=names, limits=limits)
    index = crswir(cube, nir=names.nir, swir=names.swir, far=names.far)
    found = watch(index.where(view["state"] == states.CLEAR), chosen)
    severe = xr.where(found["stress"] >= chosen.severe, SEVERE, LOW)
    alarmed = xr.where(found["alarm"] == 1, severe, NONE)
    confidence = xr.where(view[_SOIL_DATE].notnull(), BARE, alarmed).astype("uint8")
    words = {
        "long_name": "confiance / confidence",
        "standard_name": "status_flag",
        "flag_values": np.arange(4, dtype="uint8"),
        "flag_meanings": "none low severe bare_soil",
        **kept_attributes(index),
    }
    return found.assign({_SOIL_DATE: view[_SOIL_DATE], "confidence": confidence.assign_attrs(words)})


def _crswir(nir: Any, swir: Any, far: Any) -> Any:
    if any(isinstance(band, da.Array) for band in (nir, swir, far)):
        return da.map_blocks(
            _crswir, nir, swir, far, dtype=np.result_type(*(floats_for(b.dtype) for b in (nir, swir, far)))
        )
    dtype = np.result_type(*(floats_for(band.dtype) for band in (nir, swir, far)))
    near, middle, end = (band.astype(dtype, copy=False) for band in (nir, swir, far))
    line = near + (end - near) * dtype.type((SWIR_NM - NIR_NM) / (FAR_NM - NIR_NM))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(line > 0, middle / line, dtype.type(np.nan))


def _look(*blocks: Array, order: Array, limits: Limits) -> Array:
    blue, green, red, nir, swir, far = (as_columns(block) for block in blocks)
    dates, pixels = blue.shape
    state, soil = np.empty((dates, pixels), "uint8"), np.empty(pixels, "int32")
    thresholds = (
        limits.soil_swir,
        limits.soil_blue,
        limits.soil_green_and_red,
        limits.cloud_blue,
        limits.cloud_green_share,
        limits.haze_blue,
    )
    words = (constant(order), constant(np.array(thresholds)), limits.soil_dates, state, soil)
    states.see_ground(blue, green, red, nir, swir, far, *words)
    return np.concatenate([state, soil[None]]).astype("int32").reshape(1, dates + 1, *blocks[0].shape[1:])


def _with_margin(state: Any, margin: int) -> Any:
    grow = partial(_grow, margin=margin)
    if not isinstance(state, da.Array):
        return grow(state)
    whole = state.rechunk({0: -1})
    depth = {axis: min(margin, whole.shape[axis]) for axis in (1, 2)}
    return da.map_overlap(grow, whole, depth=depth, boundary=states.CLEAR, dtype="uint8")


def _grow(state: Array, *, margin: int) -> Array:
    grown = state.astype("uint8")
    for date, seen in enumerate(state) if margin else ():
        cloud = seen == states.CLOUD
        if cloud.any():
            near = binary_dilation(cloud, _PATCH, iterations=margin)
            grown[date][near & (seen == states.CLEAR)] = states.CLOUD
    return grown


def _check_bands(bands: Bands | None) -> Bands:
    if bands is not None and not isinstance(bands, Bands):
        raise BadRequest(f"dieback: bands is a {type(bands).__name__}, expected Bands, such as Bands(nir='B8A').")
    return bands or Bands()


def _check_least(words: Rule | Limits, name: str, least: int) -> None:
    number: Any = getattr(words, name)
    if not is_between(number, least - 0.5, np.inf):
        raise BadRequest(f"dieback: {name} is {number!r}, expected {least} or more.")


def _check_rule(rule: Rule) -> Rule:
    if not isinstance(rule, Rule):
        raise BadRequest(f"dieback: rule is a {type(rule).__name__}, expected a Rule, such as Rule(threshold=0.2).")
    for name, least in (("least", len(TERMS)), ("into", 1), ("back", 1), ("most_periods", 1)):
        _check_least(rule, name, least)
    if rule.direction not in ("up", "down"):
        raise BadRequest(f"dieback: direction is {rule.direction!r}, expected 'up' or 'down'.")
    if rule.stress not in ("weighted", "mean"):
        raise BadRequest(f"dieback: stress is {rule.stress!r}, expected 'weighted' or 'mean'.")
    if not is_between(rule.threshold, 0, np.inf):
        raise BadRequest(f"dieback: threshold is {rule.threshold!r}, expected a positive number.")
    return rule


class _Plan(NamedTuple):
    order: Array
    design: Array
    training: tuple[int, int]


def _plan(series: xr.DataArray, rule: Rule) -> _Plan:
    dates = series.indexes[TIME]
    order = earliest_first(series)
    try:
        end, limit = (_day(given) for given in (rule.training_end, rule.training_limit))
    except ValueError as exc:
        raise BadRequest(
            f"dieback: training_end={rule.training_end!r} or training_limit={rule.training_limit!r} is no date."
        ) from exc
    if limit < end:
        raise BadRequest(f"dieback: training_limit {limit:%Y-%m-%d} lies before training_end {end:%Y-%m-%d}.")
    before, until = (int(dates[order].searchsorted(day)) for day in (end, limit))
    if until < rule.least or until == len(dates):
        raise BadRequest(
            f"dieback: {until} dates lie before {limit:%Y-%m-%d} and {len(dates) - until} after, expected at least "
            f"{rule.least} to learn from and 1 to watch; the series has {dates.min():%Y-%m-%d} to "
            f"{dates.max():%Y-%m-%d}. Change training_end and training_limit, or widen the search."
        )
    return _Plan(order, harmonic_design(dates, TERMS, period=YEAR, epoch=EPOCH), (before, until))


def _day(given: Any) -> pd.Timestamp:
    moment = pd.Timestamp(given)
    return moment if moment.tz is None else moment.tz_convert("UTC").tz_localize(None)


def _watch(values: Array, *, plan: _Plan, rule: Rule) -> Array:
    columns = as_columns(values)
    layers, pixels = states.PERIODS + 4 * rule.most_periods, columns.shape[1]
    out = np.empty((layers + len(TERMS), pixels))
    change = (1.0 if rule.direction == "up" else -1.0, float(rule.threshold), rule.into, rule.back)
    words = (plan.training, rule.least, change, rule.stress == "weighted", out[layers:], out[:layers])
    states.watch_forest(columns, constant(plan.design), constant(plan.order), *words)
    return out.reshape(-1, 1, *values.shape[1:])


def _report(series: xr.DataArray, layers: Any, rule: Rule) -> xr.Dataset:
    unit, dates = unit_of(series), series.indexes[TIME]
    periods = layers[states.PERIODS : states.PERIODS + 4 * rule.most_periods]
    alone = {
        "alarm": (layers[states.ALARM].astype("float32"), "alerte / alarm", "1"),
        "stress": (layers[states.STRESS], "stress depuis l'alerte / stress since the alarm", unit),
        "dates": (layers[states.DATES], "dates de l'alerte / dates of the alarm", "1"),
        "periods": (layers[states.ENDED], "alertes terminées / alarms that ended", "1"),
        "trained": (layers[states.TRAINED], "dates d'apprentissage / dates of the training", "1"),
        "watched": (layers[states.WATCHED], "dates surveillées / dates watched", "1"),
    }
    each = {
        "period_stress": (periods[2::4], "stress de la période / stress of the period", unit),
        "period_dates": (periods[3::4], "dates de la période / dates of the period", "1"),
    }
    model = {"coefficient": (layers[-len(TERMS) :], "coefficient du modèle / coefficient of the model", unit)}
    days = {
        "first_date": (layers[states.FIRST], "première anomalie de l'alerte / first anomaly of the alarm"),
        "last_training": (layers[states.LAST_TRAINING], "fin de l'apprentissage / end of the training"),
    }
    ends = {
        "period_start": (periods[0::4], "début de la période / start of the period"),
        "period_end": (periods[1::4], "fin de la période / end of the period"),
    }
    variables = {
        **in_space(series, alone),
        **in_space(series, each, "period"),
        **in_space(series, model, "term"),
        **_dated(series, days, dates),
        **_dated(series, ends, dates, "period"),
    }
    axes = {"term": list(TERMS), "period": np.arange(1, rule.most_periods + 1)}
    found = xr.Dataset(variables, {**space_of(series), **axes})
    title = f"au plus {rule.most_periods} alertes terminées / at most {rule.most_periods} alarms that ended"
    reliable = (found["periods"] <= rule.most_periods).assign_attrs(long_name=title, **kept_attributes(series))
    return found.assign(reliable=reliable)


def _dated(
    series: xr.DataArray, layers: dict[str, tuple[Any, str]], dates: pd.DatetimeIndex, *leading: str
) -> dict[Any, Any]:
    named = {name: (dates_at(places, dates), title, "") for name, (places, title) in layers.items()}
    framed = in_space(series, named, *leading)
    return {
        name: (axes, data, {k: v for k, v in words.items() if k != "units"})
        for name, (axes, data, words) in framed.items()
    }
