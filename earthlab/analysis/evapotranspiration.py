"""Evapotranspiration: what the air asks for (reference), what a satellite sees (S-SEBI), what a flux tower measures.

Temperatures are in degrees Celsius, vapour pressures in kPa, radiation in MJ m-2 a day or an hour, wind in m s-1,
latitudes in degrees, and water in millimetres (a litre a square metre). Every formula takes numbers, numpy arrays,
pandas series and xarray objects, lazy ones too.

References
----------
Allen, Pereira, Raes and Smith (1998), Crop evapotranspiration, FAO Irrigation and Drainage Paper 56,
https://www.fao.org/4/x0490e/x0490e00.htm. Equation numbers below are its own.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import on_grid_of
from earthlab.analysis.robust import check_level
from earthlab.analysis.towers import reach_of_days, steps_of
from earthlab.analysis.units import check_units, labelled, numbers_of
from earthlab.errors import BadRequest

Array = np.ndarray[Any, np.dtype[Any]]
Step = Literal["day", "hour"]
Steps = Literal["complete", "each"]

_SOLAR = 0.0820
"""Solar constant, MJ m-2 min-1."""
_STEFAN = {"day": 4.903e-9, "hour": 4.903e-9 / 24}
_AERODYNAMIC = {"day": 900.0, "hour": 37.0}
_RADIATION = {"day": "MJ m-2 day-1", "hour": "MJ m-2 h-1"}
_DEPTH = {"day": "mm day-1", "hour": "mm h-1"}
_LARGEST = {
    "MJ m-2 day-1": 60.0, "MJ m-2 h-1": 6.0, "kPa": 12.0, "pressure": 120.0, "m s-1": 150.0,
}  # fmt: skip
"""What is larger comes in another unit: W m-2, hPa, Pa."""
_WATER = 0.408
"""Millimetres of water evaporated by one MJ m-2: 1 / 2.45."""


def vapour_pressure(temperature: Any, *, humidity: Any = 100.0) -> Any:
    """Vapour pressure in kPa of air at a temperature (°C) and relative humidity (%); saturated by default (11, 54).

    Raises
    ------
    BadRequest
        For units that contradict, and (unless lazy) for temperatures in kelvin or humidities from 0 to 1.
    """
    _check_celsius(temperature, "vapour_pressure")
    check_units(humidity, "%", verb="vapour_pressure", what="humidity")
    if getattr(humidity, "chunks", None) is None:
        known = np.asarray(numbers_of(humidity), "float64")
        if known.size and 0 < np.nanmax(np.where(np.isfinite(known), known, 0.0)) <= 1:
            raise BadRequest(
                f"vapour_pressure: humidity reaches {np.nanmax(known):g}, expected per cent. Multiply by 100."
            )
    warm = numbers_of(temperature)
    pressure = 0.6108 * np.exp(17.27 * warm / (warm + 237.3)) * (numbers_of(humidity) / 100)
    return labelled(pressure, "vapour_pressure", "kPa", "pression de vapeur / vapour pressure")


def mean_vapour_pressure(tmin: Any, tmax: Any, *, rhmin: Any = 100.0, rhmax: Any = 100.0) -> Any:
    """Mean vapour pressure of a day, kPa: saturated by default (12), actual with the extremes of humidity in % (17).

    The lowest humidity goes with the highest temperature.
    """
    low, high = vapour_pressure(tmin, humidity=rhmax), vapour_pressure(tmax, humidity=rhmin)
    return labelled((low + high) / 2, "vapour_pressure", "kPa", "pression de vapeur / vapour pressure")


def pressure_at(altitude: Any) -> Any:
    """Atmospheric pressure in kPa at an altitude in metres (7)."""
    check_units(altitude, "m", verb="pressure_at", what="altitude")
    return labelled(
        101.3 * ((293 - 0.0065 * numbers_of(altitude)) / 293) ** 5.26, "pressure", "kPa", "pression / pressure"
    )


def wind_at_2m(wind: Any, *, height: float) -> Any:
    """Wind at 2 m above grass, m s-1, from that at another height in metres (47).

    Raises
    ------
    BadRequest
        For units that contradict, or a height below 0.5 m.
    """
    check_units(wind, "m s-1", verb="wind_at_2m", what="wind")
    if not height >= 0.5:
        raise BadRequest(f"wind_at_2m: height is {height!r}, expected metres above the grass, such as 10.")
    return labelled(
        numbers_of(wind) * (4.87 / math.log(67.8 * height - 5.42)), "wind", "m s-1", "vent à 2 m / wind at 2 m"
    )


def extraterrestrial_radiation(day: Any, latitude: Any) -> Any:
    """Solar radiation above the atmosphere over a day, MJ m-2 day-1 (21).

    Parameters
    ----------
    day : array_like
        Day of the year, 1 to 366.
    latitude : array_like
        Degrees, north positive.

    Raises
    ------
    BadRequest
        For units that contradict or a latitude beyond 90 degrees.
    """
    north, away, declination = _sun(day, latitude)
    sunset = np.arccos(_clipped(-np.tan(north) * np.tan(declination), -1, 1))
    over = sunset * np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.sin(sunset)
    radiation = 24 * 60 / np.pi * _SOLAR * away * over
    words = "rayonnement extraterrestre / extraterrestrial radiation"
    return labelled(radiation, "extraterrestrial_radiation", _RADIATION["day"], words)


def hourly_extraterrestrial_radiation(day: Any, hour: Any, latitude: Any, longitude: Any) -> Any:
    """Solar radiation above the atmosphere over an hour, MJ m-2 h-1, and 0 at night (28).

    Parameters
    ----------
    day : array_like
        Day of the year.
    hour : array_like
        The middle of the hour in UTC: 14.5 for 14:00 to 15:00.
    latitude, longitude : array_like
        Degrees, north and east positive.

    Raises
    ------
    BadRequest
        As `extraterrestrial_radiation` does.
    """
    check_units(longitude, "degree", verb="hourly_extraterrestrial_radiation", what="longitude")
    north, away, declination = _sun(day, latitude)
    season = 2 * np.pi * (numbers_of(day) - 81) / 364
    correction = 0.1645 * np.sin(2 * season) - 0.1255 * np.cos(season) - 0.025 * np.sin(season)
    turn = np.pi / 12 * (numbers_of(hour) + numbers_of(longitude) / 15 + correction - 12)
    middle = np.arctan2(np.sin(turn), np.cos(turn))
    sunset = np.arccos(_clipped(-np.tan(north) * np.tan(declination), -1, 1))
    # Where the sun does not set, the hour about midnight is whole as well.
    limit = _where(sunset < np.pi, sunset, 2 * np.pi)
    start, end = (_clipped(middle + part, -limit, limit) for part in (-np.pi / 24, np.pi / 24))
    over = (end - start) * np.sin(north) * np.sin(declination)
    over = over + np.cos(north) * np.cos(declination) * (np.sin(end) - np.sin(start))
    radiation = _clipped(12 * 60 / np.pi * _SOLAR * away * over, 0, np.inf)
    words = "rayonnement extraterrestre / extraterrestrial radiation"
    return labelled(radiation, "extraterrestrial_radiation", _RADIATION["hour"], words)


def solar_radiation(sunshine: Any, day: Any, latitude: Any, *, a: float = 0.25, b: float = 0.5) -> Any:
    """Solar radiation at the ground from hours of sunshine, MJ m-2 day-1: Ångström's formula (34, 35).

    Raises
    ------
    BadRequest
        As `extraterrestrial_radiation`, and for sunshine beyond 24 hours, such as minutes.
    """
    check_units(sunshine, "h", verb="solar_radiation", what="sunshine")
    _check_size(sunshine, 24, "solar_radiation", "sunshine", "hours")
    north, _, declination = _sun(day, latitude)
    possible = 24 / np.pi * np.arccos(_clipped(-np.tan(north) * np.tan(declination), -1, 1))
    # In the polar night nothing is possible, and nothing comes in.
    bright = numbers_of(sunshine) / _where(possible > 0, possible, 1.0)
    radiation = (a + b * bright) * extraterrestrial_radiation(day, latitude)
    return labelled(radiation, "solar_radiation", _RADIATION["day"], "rayonnement solaire / solar radiation")


def net_radiation(
    solar: Any,
    clear_sky: Any,
    tmin: Any,
    tmax: Any,
    vapour: Any,
    *,
    albedo: float = 0.23,
    step: Step = "day",
    night_ratio: float | None = None,
) -> Any:
    """Net radiation: what the sun brings less what is reflected and what leaves as heat (38, 39, 40).

    Parameters
    ----------
    solar : array_like
        At the ground, MJ m-2 a step.
    clear_sky : array_like
        What there would be without clouds: ``(0.75 + 2e-5 z) Ra`` with the altitude z in metres (37).
    tmin, tmax : array_like
        °C; for hours give the same temperature twice.
    vapour : array_like
        Actual vapour pressure, kPa.
    albedo : float
        0.23 is that of the reference grass.
    step : {"day", "hour"}
    night_ratio : float, optional
        What stands for solar / clear_sky where there is no sun, needed for hours: FAO-56 takes 0.8 where it is dry,
        0.4 to 0.6 where it is humid, or the value some hours before sunset.

    Returns
    -------
    as the inputs
        MJ m-2 a step.

    Raises
    ------
    BadRequest
        For units that contradict, sizes that are those of another unit, or for hours without ``night_ratio``.
    """
    _check_step(step, "net_radiation")
    check_units(solar, _RADIATION[step], verb="net_radiation", what="solar")
    check_units(clear_sky, _RADIATION[step], verb="net_radiation", what="clear_sky")
    check_units(vapour, "kPa", verb="net_radiation", what="vapour")
    for name, temperature in (("tmin", tmin), ("tmax", tmax)):
        _check_celsius(temperature, "net_radiation", name)
    for name, given, unit in (("solar", solar, _RADIATION[step]), ("vapour", vapour, "kPa")):
        _check_size(given, _LARGEST[unit], "net_radiation", name, unit)
    if step == "hour" and night_ratio is None:
        raise BadRequest("net_radiation: hours need night_ratio=, the clearness of the sky at night, such as 0.8.")
    sky = numbers_of(clear_sky)
    dark = 1.0 if night_ratio is None else night_ratio
    # Where the clear sky is unknown it is no night: NaN passes through the division.
    ratio = _where(sky <= 0, dark, _clipped(numbers_of(solar) / _where(sky <= 0, 1.0, sky), 0, 1))
    fourth = ((numbers_of(tmax) + 273.16) ** 4 + (numbers_of(tmin) + 273.16) ** 4) / 2
    lost = _STEFAN[step] * fourth * (0.34 - 0.14 * numbers_of(vapour) ** 0.5) * (1.35 * ratio - 0.35)
    radiation = (1 - albedo) * numbers_of(solar) - lost
    return labelled(radiation, "net_radiation", _RADIATION[step], "rayonnement net / net radiation")


def reference_evapotranspiration(
    *,
    tmin: Any,
    tmax: Any,
    vapour: Any,
    wind: Any,
    radiation: Any,
    pressure: Any,
    soil_heat: Any = 0.0,
    step: Step = "day",
) -> Any:
    """Reference evapotranspiration ET0 of FAO-56: what short, well watered grass would evaporate (6, 53).

    Penman-Monteith: ``(0.408 Δ (Rn - G) + γ C u2 (es - ea) / (T + 273)) / (Δ + γ (1 + 0.34 u2))`` with C = 900 for
    days and 37 for hours.

    Parameters
    ----------
    tmin, tmax : array_like
        °C; for hours give the same temperature twice.
    vapour : array_like
        Actual vapour pressure, kPa, as `mean_vapour_pressure` gives it.
    wind : array_like
        At 2 m, m s-1; see `wind_at_2m`.
    radiation : array_like
        Net, MJ m-2 a step; see `net_radiation`.
    pressure : array_like
        kPa; see `pressure_at`.
    soil_heat : array_like
        Into the ground, MJ m-2 a step: 0 for a day; for an hour 0.1 of the net radiation by day, 0.5 by night.
    step : {"day", "hour"}

    Returns
    -------
    as the inputs
        mm a step; NaN where an input is missing. Values below 0 (dew) are kept.

    Raises
    ------
    BadRequest
        For units that contradict, sizes that are those of another unit (kelvin, hPa, W m-2), or another step.

    References
    ----------
    FAO-56, chapter 4; examples 17 (Bangkok, 5.72 mm/day), 18 (Uccle, 3.88 mm/day) and 19 (N'Diaye, 0.63 mm/h).
    """
    verb = "reference_evapotranspiration"
    _check_step(step, verb)
    for name, values, unit in (
        ("vapour", vapour, "kPa"),
        ("wind", wind, "m s-1"),
        ("radiation", radiation, _RADIATION[step]),
        ("pressure", pressure, "kPa"),
        ("soil_heat", soil_heat, _RADIATION[step]),
    ):
        check_units(values, unit, verb=verb, what=name)
        _check_size(values, _LARGEST[unit if name != "pressure" else "pressure"], verb, name, unit)
    for name, temperature in (("tmin", tmin), ("tmax", tmax)):
        _check_celsius(temperature, verb, name)
    warm = (numbers_of(tmin) + numbers_of(tmax)) / 2
    # The slope is that at the mean temperature (13), the deficit that of the mean of both extremes (12).
    slope = 4098 * (0.6108 * np.exp(17.27 * warm / (warm + 237.3))) / (warm + 237.3) ** 2
    gamma = 0.665e-3 * numbers_of(pressure)
    deficit = numbers_of(mean_vapour_pressure(tmin, tmax)) - numbers_of(vapour)
    moving = numbers_of(wind)
    energy = _WATER * slope * (numbers_of(radiation) - numbers_of(soil_heat))
    air = gamma * _AERODYNAMIC[step] / (warm + 273) * moving * deficit
    depth = (energy + air) / (slope + gamma * (1 + 0.34 * moving))
    words = "évapotranspiration de référence / reference evapotranspiration"
    return labelled(depth, "reference_evapotranspiration", _DEPTH[step], words)


@dataclass(frozen=True)
class Edges:
    """The dry and the wet edge of the surface temperatures of a scene by albedo: two lines, as `fit_edges` gives them.

    Attributes
    ----------
    dry, wet : (float, float)
        Temperature at albedo 0 (in the unit of the temperatures) and slope: where all energy heats the air, and where
        all of it evaporates water.
    dry_error, wet_error : float
        Standard deviation of the points of each edge about its line.
    lowest, highest : float
        Albedos the lines were fitted to.
    units : str, optional
        Of the temperatures, where they said it.
    """

    dry: tuple[float, float]
    wet: tuple[float, float]
    dry_error: float
    wet_error: float
    lowest: float
    highest: float
    units: str | None = None


def fit_edges(
    albedo: xr.DataArray,
    temperature: xr.DataArray,
    *,
    classes: int = 20,
    share: float = 0.02,
    fewest: int = 50,
    dry_from: float | None = None,
) -> Edges:
    """The dry and wet edge of a scene: lines through the hottest and the coldest pixels of each class of albedo.

    Parameters
    ----------
    albedo, temperature : xarray.DataArray
        Of the same pixels, without clouds and shadow; temperature in K or °C. Computed.
    classes : int
        Number of classes of albedo, of equal width between its 1st and 99th percentile.
    share : float
        Share of a class that counts as its hottest and its coldest.
    fewest : int
        Pixels a class needs.
    dry_from : float, optional
        Albedo from which the dry edge falls: below it evaporation, not reflection, rules the temperature. Default: the
        class of the hottest point.

    Returns
    -------
    Edges

    Raises
    ------
    BadRequest
        For units that contradict, another grid, or fewer than three classes with enough pixels on an edge: the scene
        then lacks dry or wet places, and S-SEBI does not hold.

    References
    ----------
    Roerink, Su and Menenti (2000), S-SEBI: A simple remote sensing algorithm to estimate the surface energy balance,
    Physics and Chemistry of the Earth B 25, 147-157, doi:10.1016/S1464-1909(99)00128-8.
    """
    check_units(albedo, "1", verb="fit_edges", what="albedo")
    unit = check_units(temperature, "K", "degC", verb="fit_edges", what="temperature")
    if set(albedo.dims) != set(temperature.dims) or not 0 < share < 0.5:
        raise BadRequest(
            f"fit_edges: albedo has axes {albedo.dims}, temperature {temperature.dims}, share is {share!r}; expected "
            "the same axes and a share below one half."
        )
    same = on_grid_of(albedo, temperature, "fit_edges").transpose(*albedo.dims)
    bright, warm = (np.asarray(values, "float64").ravel() for values in (albedo, same))
    seen = np.isfinite(bright) & np.isfinite(warm)
    points = _edge_points(bright[seen], warm[seen], classes, share, fewest)
    if len(points) < 3:
        raise BadRequest(
            f"fit_edges: {len(points)} classes of albedo have {fewest} pixels or more, expected at least 3. Take a "
            "larger or more varied scene, or fewer classes=."
        )
    middle, hot, cold = np.array(points).T
    falling = middle >= (middle[hot.argmax()] if dry_from is None else dry_from)
    if falling.sum() < 3:
        raise BadRequest(
            f"fit_edges: {int(falling.sum())} classes lie on the falling part of the dry edge, expected at least 3. "
            "Give dry_from= a smaller albedo, or take a scene with dry bright soil."
        )
    dry, wet = _line(middle[falling], hot[falling]), _line(middle, cold)
    return Edges(dry[:2], wet[:2], dry[2], wet[2], float(middle[0]), float(middle[-1]), unit)


def _edge_points(
    bright: Array, warm: Array, classes: int, share: float, fewest: int
) -> list[tuple[float, float, float]]:
    if not bright.size:
        return []
    low, high = np.percentile(bright, [1, 99])
    borders = np.linspace(float(low), float(high), classes + 1)
    at = np.searchsorted(borders, bright, side="right") - 1
    points = []
    for place in range(classes):
        inside = at == place
        if inside.sum() >= fewest:
            hot, cold = np.quantile(warm[inside], [1 - share, share])
            points.append((float(bright[inside].mean()), float(hot), float(cold)))
    return points


def _line(at: Array, values: Array) -> tuple[float, float, float]:
    slope, start = np.polyfit(at, values, 1)
    return float(start), float(slope), float((values - start - slope * at).std(ddof=2)) if len(at) > 2 else np.nan


def evaporative_fraction(albedo: xr.DataArray, temperature: xr.DataArray, edges: Edges) -> xr.DataArray:
    """The share of the available energy that evaporates water: ``(T_dry - T) / (T_dry - T_wet)`` at the pixel's albedo.

    Parameters
    ----------
    albedo, temperature : xarray.DataArray
        As for `fit_edges`, in the same units.
    edges : Edges
        As `fit_edges` gives them, of the same scene.

    Returns
    -------
    xarray.DataArray
        Without unit, held within 0 and 1; NaN where an input is missing, or where the dry edge is not above the wet
        one. Lazy if the inputs are.

    Raises
    ------
    BadRequest
        For units that contradict each other or the edges, or for another grid.

    References
    ----------
    Roerink, Su and Menenti (2000), doi:10.1016/S1464-1909(99)00128-8.
    """
    check_units(albedo, "1", verb="evaporative_fraction", what="albedo")
    unit = check_units(temperature, "K", "degC", verb="evaporative_fraction", what="temperature")
    if None not in (unit, edges.units) and unit != edges.units:
        raise BadRequest(
            f"evaporative_fraction: temperatures in {unit}, edges fitted in {edges.units}. Convert: "
            "earthlab.analysis.units.convert."
        )
    temperature = on_grid_of(albedo, temperature, "evaporative_fraction")
    dry, wet = (start + slope * albedo for start, slope in (edges.dry, edges.wet))
    span = dry - wet
    found = ((dry - temperature) / span.where(span > 0)).clip(0, 1)
    words = "fraction évaporative / evaporative fraction"
    return labelled(found, "evaporative_fraction", "1", words, grid_mapping="spatial_ref")


def daily_evapotranspiration(fraction: Any, radiation: Any) -> Any:
    """Evapotranspiration of a day in mm: the evaporative fraction of its net radiation (MJ m-2 day-1), ``EF · Rn / λ``.

    The fraction seen at one moment is taken for that of the day, and the ground stores nothing over a day.

    Raises
    ------
    BadRequest
        For units that contradict.
    """
    check_units(fraction, "1", verb="daily_evapotranspiration", what="fraction")
    check_units(radiation, _RADIATION["day"], verb="daily_evapotranspiration", what="radiation")
    depth = numbers_of(fraction) * numbers_of(radiation) * _WATER
    return labelled(depth, "evapotranspiration", _DEPTH["day"], "évapotranspiration / evapotranspiration")


def latent_heat(temperature: Any) -> Any:
    """Heat that evaporates a kilogram of water at a temperature in °C: ``(2.501 - 0.00237 T)·10⁶`` J kg-1.

    References
    ----------
    Stull (1988), An introduction to boundary layer meteorology, p. 641; as in the package bigleaf.
    """
    _check_celsius(temperature, "latent_heat")
    heat = (2.501 - 0.00237 * numbers_of(temperature)) * 1e6
    return labelled(heat, "latent_heat", "J kg-1", "chaleur latente / latent heat")


@dataclass(frozen=True)
class WaterBudget:
    """What a flux tower saw over a period, as `flux_budget` gives it.

    Attributes
    ----------
    evapotranspiration : float
        Sum over the steps with latent heat and temperature, mm.
    closure : float
        Energy balance ratio: turbulent heat by available energy. 1 would close the balance.
    closure_interval : (float, float)
        From how much the days differ, and how much they resemble each other.
    slope, intercept : float
        Of turbulent heat (W m-2) by available energy, ordinary least squares.
    closed, closed_interval : float, (float, float)
        The evapotranspiration if the missing energy were shared as heat and water are, ``ET / closure``, mm: what the
        tower measured is a lower bound, and this an upper one.
    number, complete : int
        Steps with latent heat, and steps with all terms of the balance.
    filled : float
        Share of the latent heat that was not measured but filled, by the quality flag; NaN without flags.
    """

    evapotranspiration: float
    closure: float
    closure_interval: tuple[float, float]
    slope: float
    intercept: float
    closed: float
    closed_interval: tuple[float, float]
    number: int
    complete: int
    filled: float


def flux_budget(  # noqa: PLR0913 - the terms of a balance
    table: pd.DataFrame,
    *,
    latent: str,
    sensible: str,
    net: str,
    temperature: str,
    ground: str | None = None,
    storage: str | None = None,
    quality: str | None = None,
    time: str = "time",
    steps: Steps = "complete",
    level: float = 0.95,
) -> WaterBudget:
    """The water that evaporated under a flux tower, and how well its energy balance closes.

    Evapotranspiration is ``Σ LE / λ(T) · Δt``; the energy balance ratio ``Σ(LE + H) / Σ(Rn - G - S)``. Terms without a
    column are 0.

    Parameters
    ----------
    table : pandas.DataFrame
        One row a step of time, of equal length, in any order. NaN or -9999 is no measurement.
    latent, sensible, net, temperature : str
        Columns: latent and sensible heat, net radiation (W m-2), air temperature (°C).
    ground, storage : str, optional
        Columns: heat into the ground and stored in the canopy (W m-2).
    quality : str, optional
        Column of the quality flag of the latent heat: 0 is measured.
    time : str
        Column of the start of each step, or the name of the index: dates, or FLUXNET's ``TIMESTAMP_START``.
    steps : {"complete", "each"}
        Which steps count in the ratio: those with all terms, as the definition says, or for each term all steps where
        it was measured. The latter counts heat of steps without radiation and makes the balance look better closed.
    level : float
        Probability of the intervals, of which `earthlab.analysis.towers.reach_of_days` says how often they hold.

    Returns
    -------
    WaterBudget
        Its intervals are NaN with fewer than three days.

    Raises
    ------
    BadRequest
        For missing columns, temperatures in kelvin, heat beyond 5000 W m-2, units that contradict, steps of unequal
        length, or fewer than two steps.

    References
    ----------
    Wilson et al. (2002), Energy balance closure at FLUXNET sites, Agricultural and Forest Meteorology 113, 223-243,
    doi:10.1016/S0168-1923(02)00109-0; formulas as in the package bigleaf (Knauer et al. 2018,
    doi:10.1371/journal.pone.0201114).
    """
    if steps not in ("complete", "each"):
        raise BadRequest(f"flux_budget: steps is {steps!r}, expected 'complete' or 'each'.")
    check_level(level, "flux_budget")
    named = {"latent": latent, "sensible": sensible, "net": net, "temperature": temperature}
    named |= {key: name for key, name in (("ground", ground), ("storage", storage)) if name is not None}
    limits = dict.fromkeys(named.values(), 5000.0) | ({} if quality is None else {quality: 9000.0})
    read = steps_of(table, limits, time=time, verb="flux_budget")
    _check_heat_units(table, named)
    terms = {key: read.values[name] for key, name in named.items()}
    depth = terms["latent"] / numbers_of(latent_heat(terms["temperature"])) * read.seconds
    turbulent = terms["latent"] + terms["sensible"]
    available = terms["net"] - terms.get("ground", 0.0) - terms.get("storage", 0.0)
    whole = np.isfinite(turbulent) & np.isfinite(available)
    if whole.sum() < 2:
        raise BadRequest(f"flux_budget: {int(whole.sum())} steps have all terms of the balance, expected 2 or more.")
    counted = whole if steps == "complete" else np.ones_like(whole)
    up, down = (_daily(np.where(counted, heat, np.nan), read.by_day) for heat in (turbulent, available))
    closure = float(np.nansum(up) / np.nansum(down))
    reach = reach_of_days((up - closure * down) / np.nansum(down), level, "flux_budget")
    slope, start = np.polyfit(available[whole], turbulent[whole], 1)
    flags, seen = None if quality is None else read.values[quality], np.isfinite(depth)
    water = float(np.nansum(depth))
    return WaterBudget(
        evapotranspiration=water,
        closure=closure,
        closure_interval=(closure - reach, closure + reach),
        slope=float(slope),
        intercept=float(start),
        closed=water / closure,
        closed_interval=(water / (closure + reach), water / (closure - reach) if closure > reach else np.inf),
        number=int(seen.sum()),
        complete=int(whole.sum()),
        filled=float("nan") if flags is None else float((flags[seen] != 0).mean()),
    )


def _check_heat_units(table: pd.DataFrame, named: dict[str, str]) -> None:
    for key, name in named.items():
        if name in table:
            unit = "W m-2" if key != "temperature" else "degC"
            check_units(table[name], unit, verb="flux_budget", what=f"column {name!r}")


def _daily(values: Array, by_day: int) -> Array:
    """Sums of the days from the first step, NaN where nothing was measured."""
    days = np.full(-(-len(values) // by_day) * by_day, np.nan)
    days[: len(values)] = values
    rows = days.reshape(-1, by_day)
    return np.where(np.isfinite(rows).any(axis=1), np.nansum(rows, axis=1), np.nan)


def _sun(day: Any, latitude: Any) -> tuple[Any, Any, Any]:
    check_units(latitude, "degree", verb="extraterrestrial_radiation", what="latitude")
    north = numbers_of(latitude)
    if (abs(np.asarray(north, "float64")) > 90).any():
        raise BadRequest("extraterrestrial_radiation: a latitude lies beyond 90 degrees.")
    turn = 2 * np.pi / 365 * numbers_of(day)
    if getattr(day, "chunks", None) is None:
        known = np.asarray(numbers_of(day), "float64")
        if ((known < 1) | (known > 366)).any():
            raise BadRequest(
                f"extraterrestrial_radiation: days go from {np.nanmin(known):g} to {np.nanmax(known):g}, expected days "
                "of the year, 1 to 366: index.dayofyear of dates, or .dt.dayofyear."
            )
    return north * (np.pi / 180), 1 + 0.033 * np.cos(turn), 0.409 * np.sin(turn - 1.39)


def _check_step(step: str, verb: str) -> None:
    if step not in _RADIATION:
        raise BadRequest(f"{verb}: step is {step!r}, expected 'day' or 'hour'.")


def _check_celsius(temperature: Any, verb: str, what: str = "temperature") -> None:
    check_units(temperature, "degC", verb=verb, what=what)
    if getattr(temperature, "chunks", None) is not None:  # what is lazy is not computed for a check
        return
    known = np.asarray(numbers_of(temperature), "float64")
    if known.size and np.nanmin(np.where(np.isfinite(known), known, np.inf)) > 150 and np.isfinite(known).any():
        raise BadRequest(f"{verb}: {what} lies above 150, as if in kelvin; expected °C. Subtract 273.15.")


def _check_size(values: Any, largest: float, verb: str, what: str, unit: str) -> None:
    if getattr(values, "chunks", None) is not None:  # what is lazy is not computed for a check
        return
    sizes = np.abs(np.asarray(numbers_of(values), "float64"))
    if (sizes > largest).any():
        raise BadRequest(
            f"{verb}: {what} reaches {sizes[sizes > largest].max():g}, expected {unit} up to {largest:g}. Convert the "
            "values (earthlab.analysis.units.convert) and mask what stands for no observation."
        )


def _clipped(values: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(values, low), high)


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, xr.DataArray):
        return xr.where(condition, yes, no)
    if isinstance(condition, pd.Series):
        return pd.Series(np.where(condition, yes, no), condition.index)
    return np.where(condition, yes, no)
