"""Where lava would flow, and how far: many noisy paths of steepest descent, and the cooling of a channel of lava.

The first (DOWNFLOW) answers which ground lies in the way of a vent: each path falls over a ground that chance raised or
lowered by a few metres, as real lava fills and overtops. The second (FLOWGO) follows lava down one path until it has
cooled too far to flow; its reach depends on how much comes out each second.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import inside_of, upright
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.kernels.descent import LEFT, descend
from earthlab.analysis.terrain import check_elevation, pixel_in_metres, placed
from earthlab.errors import BadRequest

REDRAWS = 10
"""How often the noise about a pit is drawn anew before the pit is raised."""
DEPOSIT = 0.01
"""Metres by which a pit is raised then."""

_MOST_STEPS = 10_000_000
_LINE = 200_000
_LEAST_SLOPE = 0.1
"""Degrees: flatter places of a profile are left out, as PyFLOWGO does; the slope goes on between their neighbours."""


def flow_paths(
    dem: xr.DataArray,
    vent: tuple[float, float],
    *,
    paths: int = 10_000,
    noise: float = 2.0,
    seed: int = 0,
    like: xr.DataArray | None = None,
    longest: float = math.inf,
) -> xr.Dataset:
    """How probable it is that lava from a vent passes a pixel: the share of noisy steepest-descent paths that do.

    Parameters
    ----------
    dem : xarray.DataArray
        Heights in metres on two axes of a projected grid; NaN is unknown, such as the sea. It is read into memory.
    vent : (float, float)
        x and y of the vent in the system of the grid. Paths start from the centre of its pixel.
    paths : int
        Number of paths.
    noise : float
        Metres that every pixel's centre is raised or lowered by at most, drawn uniformly for each path: the height that
        lava can overtop. It is calibrated for each volcano.
    seed : int
        Of the random numbers: the same seed gives the same paths on every machine.
    like : xarray.DataArray, optional
        Another grid in the same system whose pixels are counted. Default: those of the model.
    longest : float
        Metres after which a path ends.

    Returns
    -------
    xarray.Dataset
        ``probability`` and its ``standard_error`` from the number of paths, float64, on the grid; ``attrs``: ``seed``,
        ``paths``, ``noise`` and ``reached_edge``, the share of paths that ended at unknown ground or the rim.

    Raises
    ------
    BadRequest
        For a grid in degrees, a vent outside or on unknown ground, or numbers that are not positive.

    Notes
    -----
    Squares between the centres of four pixels are cut into triangles along a diagonal that chance picks. Where a path
    finds no way down, the noise is drawn anew up to ten times, then the pit is raised by 1 cm, for the paths that
    follow too. The slope is not a weight: each path counts a pixel once.

    References
    ----------
    Favalli et al. (2005), Forecasting lava flow paths by a stochastic approach, doi:10.1029/2004GL021718.
    """
    if not (paths >= 1 and paths % 1 == 0 and noise >= 0 and longest > 0 and seed >= 0 and seed % 1 == 0):
        raise BadRequest(
            f"flow_paths: paths {paths!r}, noise {noise!r}, longest {longest!r}, seed {seed!r}; "
            "expected a whole number, at least 1, from 0, above 0, and a whole number from 0."
        )
    ground = _ground(dem, vent, "flow_paths")
    target = upright(dem if like is None else like)
    counts = np.zeros(target.shape[-2:], np.int64)
    ends = np.empty((int(paths), 2))
    numbers = np.array([paths, noise, REDRAWS, DEPOSIT, longest, _MOST_STEPS], "float64")
    marks = (counts, np.zeros_like(counts), _frame(ground, target))
    descend(ground.heights, ground.size, ground.start, numbers, seed, marks, ends, np.empty((1, 2)))
    return _probability(counts, ends, dem, target, {"paths": int(paths), "noise": float(noise), "seed": int(seed)})


def steepest_descent(dem: xr.DataArray, vent: tuple[float, float], *, step: float = 10.0) -> pd.DataFrame:
    """The line of steepest descent from a vent, with its profile.

    Parameters
    ----------
    dem : xarray.DataArray
        Heights in metres on two axes of a projected grid; NaN is unknown, such as the sea. Pits are filled by
        centimetres until the line leaves them.
    vent : (float, float)
        x and y of the vent in the system of the grid. The line starts from the centre of its pixel.
    step : float
        Metres between two points.

    Returns
    -------
    pandas.DataFrame
        ``distance`` from the vent along the line in metres, ``x``, ``y``, ``height`` in metres (bilinear, of the filled
        ground), and ``slope`` in degrees downwards over the two neighbouring points.

    Raises
    ------
    BadRequest
        As `flow_paths`; for a step that is not positive; or where the line goes nowhere.

    References
    ----------
    Favalli et al. (2005), doi:10.1029/2004GL021718.
    """
    if not step > 0:
        raise BadRequest(f"steepest_descent: step is {step!r}, expected metres above 0.")
    ground = _ground(dem, vent, "steepest_descent")
    line, ends = np.empty((_LINE, 2)), np.empty((1, 2))
    marks = (np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64), np.ones(4))
    numbers = np.array([1, 0.0, 0, DEPOSIT, math.inf, _MOST_STEPS])
    for _ in range(2):  # the first fills the pits, the second runs over them
        points = descend(ground.heights, ground.size, ground.start, numbers, 0, marks, ends, line)
    if points < 2:
        raise BadRequest("steepest_descent: the vent lies at the rim of what is known. Widen the model.")
    return _profile(line[: min(points, _LINE)], ground, step)


class Overlap(NamedTuple):
    """How well two footprints agree.

    ``shared`` over ``either`` is ``fitness``; ``hit`` is the share of the reference that was found, ``right`` the share
    of what was found that is in the reference.
    """

    fitness: float
    hit: float
    right: float
    shared: int
    either: int


def overlap(found: xr.DataArray, reference: xr.DataArray) -> Overlap:
    """How well a footprint of lava agrees with another: pixels above 0 count, whatever their probability.

    Its fitness is the pixels of both over the pixels of either (Jaccard's index): 1 where they are the same.

    Parameters
    ----------
    found, reference : xarray.DataArray
        On the same grid; NaN is outside.

    Returns
    -------
    Overlap

    Raises
    ------
    BadRequest
        For other shapes, or where neither holds a pixel.
    """
    one = inside_of(found.where(found > 0), found, "overlap", "what was found")
    other = inside_of(reference.where(reference > 0), found, "overlap", "the reference")
    shared, either = int((one & other).sum()), int((one | other).sum())
    if not either:
        raise BadRequest("overlap: neither holds a pixel above 0.")
    return Overlap(
        shared / either,
        shared / int(other.sum()) if other.any() else math.nan,
        shared / int(one.sum()) if one.any() else math.nan,
        shared,
        either,
    )


@dataclass(frozen=True)
class Lava:
    """Lava of a channel and what cools it. The defaults are those of Piton de la Fournaise in DOWNFLOWGO.

    Attributes
    ----------
    width : float
        Of the channel at the vent, m.
    eruption_temperature, solid_temperature, crust_temperature, base_temperature, air_temperature : float
        K.
    crystals, crystals_grown : float
        Volume fraction of crystals at the vent, and how much grows until the lava is solid.
    vesicles : float
        Volume fraction of gas.
    dense_density : float
        Of lava without gas, kg m-3.
    latent_heat : float
        Of crystallisation, J kg-1.
    melt_a, melt_b, melt_c : float
        Vogel-Fulcher-Tammann: log10 of the viscosity of the melt in Pa s is ``a + b / (T - c)``.
    packing : float
        Einstein-Roscoe: viscosity grows by ``(1 - packing · crystals)^-2.5``; 1.51 is one over the densest packing.
    crust_cover, crust_decay : float
        Share of the surface under crust where lava stands, and how it falls with velocity, s m-1.
    melt_buffer : float
        K by which lava shining through the crust is cooler than the core.
    base_share : float
        Thickness of the crust at the bottom as a share of the channel's depth.
    emissivity : float
        Of the surface.
    wind, drag, air_density, air_heat : float
        m s-1; Greeley and Iversen's friction, without unit; kg m-3; J kg-1 K-1.
    gravity : float
        m s-2.
    """

    width: float = 4.0
    eruption_temperature: float = 1387.15
    solid_temperature: float = 1237.15
    crust_temperature: float = 773.15
    base_temperature: float = 773.15
    air_temperature: float = 293.15
    crystals: float = 0.104
    crystals_grown: float = 0.89
    vesicles: float = 0.3
    dense_density: float = 2970.0
    latent_heat: float = 350_000.0
    melt_a: float = -4.52
    melt_b: float = 5558.0
    melt_c: float = 582.9
    packing: float = 1.51
    crust_cover: float = 0.9
    crust_decay: float = -0.0076
    melt_buffer: float = 140.0
    base_share: float = 0.19
    emissivity: float = 0.95
    wind: float = 5.0
    drag: float = 0.0036
    air_density: float = 0.4412
    air_heat: float = 1099.0
    gravity: float = 9.8

    @property
    def density(self) -> float:
        """Of the lava with its gas, kg m-3."""
        return self.dense_density * (1 - self.vesicles)

    def viscosity(self, temperature: float, crystals: float) -> float:
        """Of melt and crystals, Pa s."""
        melt = 10 ** (self.melt_a + self.melt_b / (temperature - self.melt_c))
        return float(melt * (1 - self.packing * crystals) ** -2.5)

    def yield_strength(self, temperature: float, crystals: float) -> float:
        """The stress that makes it flow, Pa."""
        cooled = self.eruption_temperature - temperature
        return 0.01 * math.exp(0.08 * cooled - 1) + 6500 * float(crystals**2.85)


Reason = Literal["sea or rim", "solid", "crystals", "strength", "stopped"]


@dataclass(frozen=True)
class Runout:
    """How far lava came and why it ended there.

    Attributes
    ----------
    distance : float
        Metres along the profile, at the last of its points that was reached.
    reason : str
        ``"sea or rim"``: it reached the end of the profile; ``"solid"``: cooled to its solid temperature;
        ``"crystals"``: packed with crystals; ``"strength"``: stiffer than its weight pulls; ``"stopped"``: no velocity.
    depth : float
        Of the channel in metres, found from the effusion rate at the vent.
    hours : float
        From the vent to the end.
    states : pandas.DataFrame
        By distance: ``temperature`` K, ``crystals``, ``viscosity`` Pa s, ``velocity`` m s-1, ``width`` m.
    """

    distance: float
    reason: Reason
    depth: float
    hours: float
    states: pd.DataFrame


def thermal_runout(profile: pd.DataFrame, effusion_rate: float, lava: Lava | None = None) -> Runout:
    """How far lava flows down a profile until it is too cold, for a given effusion rate.

    A control volume runs down a channel of constant depth: slope and rheology give its velocity (Jeffreys, for a
    Bingham fluid), radiation, wind and the ground cool it, cooling makes crystals, crystals make it stiff.

    Parameters
    ----------
    profile : pandas.DataFrame
        ``distance`` from the vent in equal steps of metres and ``slope`` in degrees downwards, as `steepest_descent`
        gives them.
    effusion_rate : float
        m3 s-1 at the vent.
    lava : Lava, optional
        Default: lava of Piton de la Fournaise.

    Returns
    -------
    Runout

    Raises
    ------
    BadRequest
        For a profile without these columns, distances that do not ascend, fewer than three sloping points, or an
        effusion rate that no channel of up to 50 m carries.

    References
    ----------
    Harris and Rowland (2001), FLOWGO: a kinematic thermo-rheological model for lava flowing in a channel,
    doi:10.1007/s004450000120; Chevrel et al. (2018), PyFLOWGO, doi:10.1016/j.cageo.2017.11.009, whose form of the yield
    strength it takes; values for Piton de la Fournaise from DOWNFLOWGO (Chevrel et al. 2023,
    doi:10.30909/vol.06.02.391404).
    """
    lava = lava or Lava()
    places, angles = _sloping(profile)
    depth = _depth(effusion_rate, float(angles[0]), lava)
    points = np.asarray(profile["distance"], "float64")
    step, end = float(points[1] - points[0]), float(points[-1])
    temperature, crystals, seconds, place = lava.eruption_temperature, lava.crystals, 0.0, 0.0
    flux = _velocity(float(angles[0]), depth, temperature, crystals, lava) * lava.width * depth
    rows: list[tuple[float, ...]] = []
    reason: Reason = "sea or rim"
    while place < end:
        angle = float(np.interp(place, places, angles))
        speed = _velocity(angle, depth, temperature, crystals, lava)
        if speed <= 0:
            reason = "stopped"
            break
        width = flux / (speed * depth)
        viscosity = lava.viscosity(temperature, crystals)
        rows.append((place, temperature, crystals, viscosity, speed, width))
        growth = lava.crystals_grown / (lava.eruption_temperature - lava.solid_temperature)
        cooling = _heat_loss(temperature, speed, width, depth, lava) / (flux * lava.density * lava.latent_heat * growth)
        temperature, crystals = temperature - cooling * step, crystals + cooling * growth * step
        place, seconds = place + step, seconds + step / speed
        ended = _ended(temperature, crystals, float(np.interp(place, places, angles)), depth, lava)
        if ended is not None:
            reason = ended
            break
    names = ["distance", "temperature", "crystals", "viscosity", "velocity", "width"]
    states = pd.DataFrame(rows, columns=names).set_index("distance")
    return Runout(float(points[points <= place][-1]), reason, depth, seconds / 3600, states)


def runout_table(profile: pd.DataFrame, effusion_rates: Any, lava: Lava | None = None) -> pd.DataFrame:
    """The runout for each of several effusion rates.

    Parameters
    ----------
    profile, lava
        As for `thermal_runout`.
    effusion_rates : sequence of float
        m3 s-1.

    Returns
    -------
    pandas.DataFrame
        By ``effusion_rate``: ``distance`` in metres, ``reason``, ``depth`` in metres, ``hours``.

    Raises
    ------
    BadRequest
        As `thermal_runout`.
    """
    found = {float(rate): thermal_runout(profile, float(rate), lava) for rate in np.atleast_1d(effusion_rates)}
    rows = [(one.distance, one.reason, one.depth, one.hours) for one in found.values()]
    index = pd.Index(found, name="effusion_rate")
    table = pd.DataFrame(rows, columns=["distance", "reason", "depth", "hours"], index=index)
    table.attrs = {"units": {"effusion_rate": "m3 s-1", "distance": "m", "depth": "m", "hours": "h"}}
    return table


class _Ground(NamedTuple):
    heights: Array
    size: Array
    start: Array
    x: Array
    y: Array


def _ground(dem: xr.DataArray, vent: tuple[float, float], verb: str) -> _Ground:
    heights = check_elevation(dem, verb, single=True)
    size = pixel_in_metres(heights, None, verb)
    y, x = (np.asarray(dem[name].values, "float64") for name in heights.dims)
    row, column = (int(np.abs(axis - place).argmin()) for axis, place in ((y, vent[1]), (x, vent[0])))
    away = max(abs(x[column] - vent[0]) / size.width, abs(y[row] - vent[1]) / size.height)
    if not away <= 1:
        raise BadRequest(
            f"{verb}: the vent at x {vent[0]:g}, y {vent[1]:g} lies outside the model, whose x is {x.min():g} to "
            f"{x.max():g} and y {y.min():g} to {y.max():g}. Give it in the system of the grid."
        )
    values = np.array(heights.values, "float64", order="C")
    if not np.isfinite(values[row, column]):
        raise BadRequest(f"{verb}: no height is known at the vent, x {x[column]:g}, y {y[row]:g}. Is it in the sea?")
    return _Ground(values, np.array([size.height, float(size.width)]), np.array([row, column]), x, y)


def _frame(ground: _Ground, target: xr.DataArray) -> Array:
    # Paths are in metres right of and below the first pixel's centre, as it is stored.
    pieces = []
    for own, name, size in ((ground.x, target.dims[-1], ground.size[1]), (ground.y, target.dims[-2], ground.size[0])):
        sign = math.copysign(1.0, own[1] - own[0])
        axis = np.asarray(target[name].values, "float64")
        width = sign * float(axis[1] - axis[0]) if axis.size > 1 else size
        pieces.append((sign * float(axis[0] - own[0]) - width / 2, width))
    return np.array([pieces[0][0], pieces[1][0], pieces[0][1], pieces[1][1]])


def _probability(
    counts: Array, ends: Array, dem: xr.DataArray, target: xr.DataArray, words: dict[str, Any]
) -> xr.Dataset:
    share = counts / words["paths"]
    axes = target.dims[-2:]
    kept = {name: target[name] for name in (*axes, "spatial_ref") if name in target.coords}
    told = {**placed(dem), **({"grid_mapping": "spatial_ref"} if "spatial_ref" in kept else {})}
    layers = {
        "probability": (share, "probabilité de passage de la lave / probability that lava passes"),
        "standard_error": (np.sqrt(share * (1 - share) / words["paths"]), "erreur-type / standard error"),
    }
    variables = {
        name: xr.DataArray(values, dims=axes, coords=kept, attrs={"long_name": title, "units": "1", **told})
        for name, (values, title) in layers.items()
    }
    return xr.Dataset(variables, attrs={**words, "reached_edge": float((ends[:, 0] == LEFT).mean())})


def _profile(line: Array, ground: _Ground, step: float) -> pd.DataFrame:
    along = np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T).cumsum()])
    distance = np.arange(0.0, along[-1], step)
    right, down = (np.interp(distance, along, line[:, at]) for at in (0, 1))
    heights = _bilinear(ground.heights, down / ground.size[0], right / ground.size[1])
    known = np.isfinite(heights)  # beside the sea a height between pixels is unknown
    distance, right, down, heights = (part[known] for part in (distance, right, down, heights))
    signs = [math.copysign(1.0, axis[1] - axis[0]) for axis in (ground.x, ground.y)]
    fall = -np.gradient(heights, distance) if distance.size > 1 else np.full(1, math.nan)
    return pd.DataFrame(
        {
            "distance": distance,
            "x": ground.x[0] + signs[0] * right,
            "y": ground.y[0] + signs[1] * down,
            "height": heights,
            "slope": np.degrees(np.arctan(fall)),
        }
    )


def _bilinear(values: Array, rows: Array, columns: Array) -> Array:
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(values, [rows, columns], order=1, mode="nearest"))


def _sloping(profile: pd.DataFrame) -> tuple[Array, Array]:
    absent = {"distance", "slope"} - set(profile.columns)
    if absent:
        raise BadRequest(f"thermal_runout: the profile has no column {', '.join(sorted(absent))}. Rename yours.")
    places, angles = (np.asarray(profile[name], "float64") for name in ("distance", "slope"))
    kept = np.isfinite(angles) & (angles > _LEAST_SLOPE)
    if kept.sum() < 3 or (np.diff(places) <= 0).any():
        raise BadRequest(
            f"thermal_runout: {int(kept.sum())} sloping points; expected 3 or more, at distances that ascend."
        )
    return places[kept], np.radians(angles[kept])


def _depth(effusion_rate: float, angle: float, lava: Lava) -> float:
    # In millimetres, as PyFLOWGO seeks it: the first depth that carries the rate.
    depths = np.arange(0.01, 50.0, 0.001)
    strength = lava.yield_strength(lava.eruption_temperature, lava.crystals)
    stress = depths * lava.density * lava.gravity * math.sin(angle)
    speeds = _bingham(depths, stress, strength, lava.viscosity(lava.eruption_temperature, lava.crystals))
    carrying = np.flatnonzero((speeds * depths * lava.width >= effusion_rate) & (stress > strength))
    if not (effusion_rate > 0 and carrying.size):
        raise BadRequest(
            f"thermal_runout: effusion rate {effusion_rate!r} m3 s-1 in a channel {lava.width:g} m wide; expected more "
            "than 0, and what 50 m of depth can carry."
        )
    return float(depths[carrying[0]])


def _velocity(angle: float, depth: float, temperature: float, crystals: float, lava: Lava) -> float:
    stress = depth * lava.density * lava.gravity * math.sin(angle)
    strength = lava.yield_strength(temperature, crystals)
    return float(_bingham(depth, stress, strength, lava.viscosity(temperature, crystals)))


def _bingham(depth: Any, stress: Any, strength: float, viscosity: float) -> Any:
    share = strength / stress
    return depth * stress / (3 * viscosity) * (1 - 1.5 * share + 0.5 * share**3)


def _heat_loss(temperature: float, speed: float, width: float, depth: float, lava: Lava) -> float:
    # W for a metre of channel.
    covered = lava.crust_cover * math.exp(lava.crust_decay * speed)
    melt = temperature - lava.melt_buffer
    air = lava.air_temperature
    radiated = covered * (lava.crust_temperature**4 - air**4) + (1 - covered) * (melt**4 - air**4)
    surface = (covered * lava.crust_temperature**1.333 + (1 - covered) * melt**1.333) ** 0.75
    wind = lava.wind * lava.drag * lava.air_density * lava.air_heat
    conductivity = (1.929 - 1.554 * lava.vesicles) ** 2
    ground = conductivity * (temperature - lava.base_temperature) / (lava.base_share * depth)
    return float(width * (5.67e-8 * lava.emissivity * radiated + wind * (surface - air) + ground))


def _ended(temperature: float, crystals: float, angle: float, depth: float, lava: Lava) -> Reason | None:
    if temperature <= lava.solid_temperature:
        return "solid"
    if crystals >= 1 / lava.packing:
        return "crystals"
    stress = depth * lava.density * lava.gravity * math.sin(angle)
    return "strength" if lava.yield_strength(temperature, crystals) >= stress else None
