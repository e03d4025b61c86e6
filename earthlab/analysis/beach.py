"""The sand budget of a beach from surveys by drone: profiles, what is change and what is error, volumes, hotspots.

The protocol: elevations are read along transects in every survey; what ground that never moves seems to do tells the
limit of detection; what goes beyond it is change, and becomes a volume with its error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import check_same_grid, crs_of, flat, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import Correlation, effective_samples, nmad, nmad_interval, sigma_of_volume
from earthlab.analysis.tables import check_columns, dates_of_labels, moments_in, numbers_in
from earthlab.analysis.terrain import check_elevation
from earthlab.analysis.transects import check_geometry, check_metric, points_along
from earthlab.errors import BadRequest

Pixel = Literal["containing", "shifted"]
_PLACE = ["transect", "distance"]
_PERIOD = ["start", "end"]
_FEWEST_SETS, _MOST_SETS = 10_000, 100_000
_MOST_SHUFFLED = 8_000_000
_ROUNDING = 1e-9
"""Standard deviations by which equal means may differ."""


def sample_transects(
    surveys: Mapping[Any, xr.DataArray],
    transects: gpd.GeoDataFrame,
    *,
    name: str = "transect",
    step: float = 1.0,
    pixel: Pixel = "containing",
) -> gpd.GeoDataFrame:
    """The elevation at points along transects in each survey, each read on the survey's own grid.

    Parameters
    ----------
    surveys : mapping
        From the date of a survey (ISO 8601 words, or a date) to its surface model in metres, axes ``y`` and ``x`` in a
        projected system, that of the transects where it states none; grids may differ. NaN is no elevation, nor is what
        the attributes ``_FillValue`` or ``nodata`` name.
    transects : geopandas.GeoDataFrame
        Lines in metres, each with a name of its own; reprojected to each grid's system.
    name : str
        The column of names.
    step : float
        Metres between points along a transect, from its start.
    pixel : {"containing", "shifted"}
        ``"containing"``: the pixel in which the point lies. ``"shifted"``: half a pixel away, to the right and below,
        as sandpyper reads it, which rounds the place in pixels where it should cut it off; only to reproduce its
        figures.

    Returns
    -------
    geopandas.GeoDataFrame
        One row a survey and point: ``time``, ``transect``, ``distance`` (m), ``z`` (m, float64; NaN outside the
        survey), and the point, in the transects' system. Only the pixels named are computed.

    Raises
    ------
    BadRequest
        For no survey, what is no date, degrees, elevations in another unit, other axes, or no elevation at any point.

    References
    ----------
    Pucino, Kennedy, Carvalho, Allan and Ierodiaconou (2021), Citizen science for monitoring seasonal-scale beach
    erosion and behaviour with aerial drones, Scientific Reports 11, doi:10.1038/s41598-021-83477-6.
    """
    verb = "sample_transects"
    if not isinstance(surveys, Mapping) or not surveys:
        raise BadRequest(f"{verb}: expected surveys by date, such as {{'2018-06-06': dsm}}, found {surveys!r:.60}.")
    if pixel not in ("containing", "shifted"):
        raise BadRequest(f"{verb}: pixel is {pixel!r}, expected 'containing' or 'shifted'.")
    points = points_along(transects, name=name, step=step)
    dates = dates_of_labels(surveys, "the surveys' dates", verb)
    parts = []
    for moment, dsm in sorted(zip(dates, surveys.values(), strict=True), key=lambda pair: pair[0]):
        parts.append(points.assign(time=moment, z=_elevations(dsm, points, pixel, verb)))
    found = pd.concat(parts, ignore_index=True)[["time", *_PLACE, "z", "geometry"]]
    if found["z"].isna().all():
        raise BadRequest(
            f"{verb}: no point of the {points['transect'].nunique()} transects has an elevation in any survey. Look at "
            "both on a map: do their reference systems say where they are?"
        )
    found.attrs["units"] = {"distance": "m", "z": "m"}
    return found


def elevation_changes(profiles: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The change of elevation at each point from each survey to the next.

    Parameters
    ----------
    profiles : geopandas.GeoDataFrame
        As `sample_transects` gives it, in any order, or a part of its rows, such as those on sand.

    Returns
    -------
    geopandas.GeoDataFrame
        One row a period and point that both surveys saw: ``start``, ``end``, ``transect``, ``distance`` (m), ``dh`` (m,
        later minus earlier) and the point.

    Raises
    ------
    BadRequest
        For missing columns, fewer than two surveys, or a point that comes twice in one.
    """
    verb = "elevation_changes"
    check_columns(check_geometry(profiles, verb), ("time", *_PLACE, "z"), verb)
    if profiles.geometry.name != "geometry":
        profiles = profiles.rename_geometry("geometry")
    profiles = profiles.assign(time=moments_in(profiles, "time", verb), z=numbers_in(profiles, "z", verb))
    times = sorted(profiles["time"].dropna().unique())
    if len(times) < 2:
        raise BadRequest(f"{verb}: found {len(times)} survey, expected two or more. Widen the period.")
    if profiles.duplicated(["time", *_PLACE]).any():
        raise BadRequest(f"{verb}: a point of a transect comes twice in one survey. Keep one: drop_duplicates(…).")
    seen = profiles.dropna(subset=["z"])
    parts = []
    for start, end in pairwise(times):
        later = pd.DataFrame(seen.loc[seen["time"] == end, [*_PLACE, "z"]])
        both = seen[seen["time"] == start].merge(later, on=_PLACE, suffixes=("", "_after"))
        parts.append(both.assign(start=start, end=end, dh=both["z_after"] - both["z"]))
    found = pd.concat(parts, ignore_index=True)[[*_PERIOD, *_PLACE, "dh", "geometry"]]
    found.attrs["units"] = {"distance": "m", "dh": "m"}
    return found


def limit_of_detection(
    stable: pd.DataFrame, *, effective: float | None = None, confidence: float = 0.95
) -> pd.DataFrame:
    """What the change of ground that does not move amounts to, in each period: the least change to be believed.

    Parameters
    ----------
    stable : pandas.DataFrame
        Changes along transects on invariant ground (a road, a car park), as `elevation_changes` gives them.
    effective : float, optional
        How many of the points are independent, for the interval. Default: all, which is too many where they lie
        closer than the errors' range (`earthlab.analysis.robust.fit_correlation`).
    confidence : float
        Share of such intervals that should hold the true deviation.

    Returns
    -------
    pandas.DataFrame
        One row a period: ``start``, ``end``, ``lod`` (NMAD, m), ``lod_low``, ``lod_high``, ``offset`` (median, m: what
        all of the second survey seems too high) and ``n``.

    Raises
    ------
    BadRequest
        For missing columns or words outside their range.

    Notes
    -----
    In 1000 simulated samples of 5 to 500 points the intervals of 95 % hold the true deviation 97 to 98 times in 100, of
    normal errors and of heavier tails (Laplace). Of fewer than 20 points the NMAD itself is too small on average: by
    18 % for 5, by 8 % for 10.

    References
    ----------
    Höhle and Höhle (2009), doi:10.1016/j.isprsjprs.2009.02.003; Pucino et al. (2021), doi:10.1038/s41598-021-83477-6.
    """
    verb = "limit_of_detection"
    check_columns(stable, (*_PERIOD, "dh"), verb)
    known = pd.DataFrame(
        {name: moments_in(stable, name, verb) for name in _PERIOD} | {"dh": numbers_in(stable, "dh", verb)}
    )
    rows = []
    for period, part in known.dropna().groupby(_PERIOD, sort=True):
        values = part["dh"].to_numpy()
        low, high = nmad_interval(values, effective=effective, level=confidence)
        rows.append((*period, float(nmad(values)), low, high, float(np.median(values)), len(values)))
    found = pd.DataFrame(rows, columns=[*_PERIOD, "lod", "lod_low", "lod_high", "offset", "n"])
    found.attrs["units"] = dict.fromkeys(("lod", "lod_low", "lod_high", "offset"), "m")
    return found


def volume_changes(
    changes: gpd.GeoDataFrame,
    limits: pd.DataFrame | float,
    *,
    step: float,
    spacing: float,
    per: Literal["period", "transect"] = "period",
    threshold: float = 1.0,
    correlation: Correlation | float | None = None,
    systematic: float = 0.0,
) -> pd.DataFrame:
    """The volume of sand lost and gained beyond the limit of detection, with its standard error.

    A point stands for ``step`` metres along its transect and ``spacing`` metres along the shore. Its error is the limit
    of detection; that of a volume counts how many of the errors are independent, what all of them share, and that
    errors carry points that did not move beyond the limit.

    Parameters
    ----------
    changes : geopandas.GeoDataFrame
        As `elevation_changes` gives it.
    limits : pandas.DataFrame or float
        As `limit_of_detection` gives it, or one number for all periods, in metres.
    step, spacing : float
        Metres between points of a transect, and between transects.
    per : {"period", "transect"}
        One row a period, or one a period and transect.
    threshold : float
        Changes within so many limits of detection count as none; 0 counts all.
    correlation : earthlab.analysis.robust.Correlation or float, optional
        How the errors of neighbouring points resemble each other; a number is the range of a spherical model, in
        metres. Default: they do not, which makes the error too small where ``step`` is below that range.
    systematic : float
        Standard error in metres that all points of a period share, such as that of the vertical adjustment.

    Returns
    -------
    pandas.DataFrame
        ``start``, ``end``, ``transect`` where asked, ``erosion`` (negative), ``deposition``, ``net`` and ``sigma`` (m3,
        float64), ``points`` seen and ``changed`` beyond the limit.

    Raises
    ------
    BadRequest
        For missing columns, a period without a limit, or words outside their range.

    Notes
    -----
    A limit leaves out the part of small changes that errors carry below it, and ``sigma`` does not know: of 200
    simulated beaches whose sand moved by half a limit, by one and a half or by five, 2 sigma held the true net volume
    in 78, 91 and 80 of 100 cases. With ``threshold=0`` it does in 95, whatever the change: take that for the net volume
    of a whole beach, and a limit for where it moved.

    References
    ----------
    Wheaton, Brasington, Darby and Sear (2010), Accounting for uncertainty in DEMs from repeat topographic surveys,
    doi:10.1002/esp.1886; Rolstad, Haug and Denby (2009), doi:10.3189/002214309789470950.
    """
    verb = "volume_changes"
    check_columns(check_metric(changes, verb), (*_PERIOD, *_PLACE, "dh"), verb)
    if per not in ("period", "transect"):
        raise BadRequest(f"{verb}: per is {per!r}, expected 'period' or 'transect'.")
    if not (step > 0 and spacing > 0 and threshold >= 0 and systematic >= 0):
        raise BadRequest(
            f"{verb}: step {step!r}, spacing {spacing!r}, threshold {threshold!r}, systematic {systematic!r}: expected "
            "metres above 0, and numbers from 0."
        )
    groups = _PERIOD if per == "period" else [*_PERIOD, "transect"]
    known = changes.assign(
        **{name: moments_in(changes, name, verb) for name in _PERIOD}, dh=numbers_in(changes, "dh", verb)
    )
    rows = []
    for label, part in known.dropna(subset=["dh"]).groupby(groups, sort=True, observed=True):
        limit = _limit_of(limits, label[:2], verb)
        change = part["dh"].to_numpy()
        beyond = np.abs(change) > threshold * limit
        counted = np.where(beyond, change, 0.0) * (step * spacing)
        counts = np.where(beyond, 1.0, _crossing(threshold)).mean()
        sigma = sigma_of_volume(
            limit * np.sqrt(counts),
            len(change) * step * spacing,
            max(_independent(part.geometry, correlation), 1.0),
            systematic=systematic * counts,
        )
        lost, won = counted[counted < 0].sum(), counted[counted > 0].sum()
        rows.append((*label, lost, won, lost + won, sigma, len(change), int(beyond.sum())))
    columns = [*groups, "erosion", "deposition", "net", "sigma", "points", "changed"]
    found = pd.DataFrame(rows, columns=columns)
    found.attrs["units"] = dict.fromkeys(("erosion", "deposition", "net", "sigma"), "m3")
    return found


@dataclass(frozen=True)
class Volumes:
    """Volumes between two surveys, in m³, and the area whose change goes beyond the limit of detection, in m²."""

    erosion: float
    """Negative."""
    deposition: float
    net: float
    sigma: float
    """Standard error of ``net``."""
    area: float


def volumes_of_cells(
    before: xr.DataArray,
    after: xr.DataArray,
    limit: float,
    *,
    where: xr.DataArray | None = None,
    threshold: float = 1.0,
    correlation: Correlation | float | None = None,
    systematic: float = 0.0,
) -> Volumes:
    """The volumes between two surface models, cell by cell, beyond the limit of detection.

    Parameters
    ----------
    before, after : xarray.DataArray
        Elevations in metres on one grid in metres, axes ``y`` and ``x``; NaN is no elevation, nor is what the
        attributes ``_FillValue`` or ``nodata`` name.
    limit : float
        Of detection, in metres: the standard deviation of the difference where nothing moved.
    where : xarray.DataArray, optional
        True in the cells that count, such as `earthlab.analysis.grids.polygon_mask` of the beach.
    threshold, correlation, systematic
        As for `volume_changes`.

    Returns
    -------
    Volumes
        Computed; the two models and masks of their size must fit in memory.

    Raises
    ------
    BadRequest
        For other grids, degrees, other units, or words outside their range.

    References
    ----------
    As for `volume_changes`.
    """
    verb = "volumes_of_cells"
    before, after = (_surface(dsm, verb) for dsm in (before, after))
    check_same_grid(before, after, verb)
    if not (np.ndim(limit) == 0 and limit >= 0 and threshold >= 0 and systematic >= 0):
        raise BadRequest(
            f"{verb}: limit {limit!r}, threshold {threshold!r}, systematic {systematic!r}: expected numbers from 0."
        )
    height, width = pixel_size(before, verb)
    change = after.astype("float64").drop_vars(after.coords) - before.astype("float64").drop_vars(before.coords)
    if where is not None:
        if not isinstance(where, xr.DataArray):
            raise BadRequest(f"{verb}: where is {type(where).__name__}, expected a DataArray on the models' grid.")
        where = flat(where)
        check_same_grid(before, where, verb)
        change = change.where(where.drop_vars(where.coords).fillna(0) != 0)
    values = np.asarray(change.values)
    seen = np.isfinite(values)
    values = np.where(seen, values, 0.0)
    values = np.where(np.abs(values) > threshold * limit, values, 0.0)
    lost, won = (float(values[values * sign > 0].sum() * height * width) for sign in (-1, 1))
    moved = values != 0
    area = float(moved.sum() * height * width)
    if not seen.any():
        return Volumes(0.0, 0.0, 0.0, 0.0, 0.0)
    independent = seen.sum() if correlation is None else effective_samples(seen, correlation, pixel=(height, width))
    counts = float(np.where(moved, 1.0, _crossing(threshold))[seen].mean())
    sigma = sigma_of_volume(
        limit * np.sqrt(counts),
        float(seen.sum() * height * width),
        max(float(independent), 1.0),
        systematic=systematic * counts,
    )
    return Volumes(lost, won, lost + won, sigma, area)


def hotspots(
    changes: gpd.GeoDataFrame,
    *,
    radius: float,
    column: str = "dh",
    level: float = 0.05,
    seed: int = 0,
) -> gpd.GeoDataFrame:
    """Where high changes lie among high ones and low among low, more than by chance (local Moran's I).

    High and low are relative to the mean of all points: where the whole beach lost sand, a point that is ``"high"``
    lost less. Chance is what the same values, shuffled over the other points, give a point as neighbours. The false
    discovery rate is held at ``level``.

    Parameters
    ----------
    changes : geopandas.GeoDataFrame
        Points in metres with one value each, such as one period of `elevation_changes`.
    radius : float
        Metres within which points are neighbours; each neighbour counts alike.
    column : str
        Of the values.
    level : float
        Share of wrong findings among those made that is accepted.
    seed : int
        Of the shuffling: up to 100,000 times for each number of neighbours.

    Returns
    -------
    geopandas.GeoDataFrame
        As given, with ``moran`` (local I, no unit), ``p_value`` (two-sided) and ``cluster``:
        ``"high"``, ``"low"``, ``"high in low"``, ``"low in high"``, or ``"none"``. A point without neighbours has NaN
        and ``"none"``.

    Raises
    ------
    BadRequest
        For degrees, several periods at once, what is no point, missing or NaN values, fewer than ten points, values all
        alike, or words outside their range.

    References
    ----------
    Anselin (1995), Local indicators of spatial association, Geographical Analysis 27, 93-115,
    doi:10.1111/j.1538-4632.1995.tb00338.x; Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import false_discovery_control

    verb = "hotspots"
    check_columns(check_metric(changes, verb), (column,), verb)
    if not (radius > 0 and 0 < level < 1):
        raise BadRequest(f"{verb}: radius {radius!r}, level {level!r}: expected metres above 0, and a share below 1.")
    periods = len(changes[_PERIOD].drop_duplicates()) if set(_PERIOD) <= set(changes.columns) else 1
    if periods > 1:
        raise BadRequest(
            f"{verb}: found {periods} periods, in which a point would be its own neighbour. Choose one: "
            "changes[changes['start'] == …]."
        )
    if not (changes.geom_type == "Point").all() or changes.geometry.is_empty.any():
        raise BadRequest(f"{verb}: expected a point in every row. Drop those without, or take their centroids.")
    values = numbers_in(changes, column, verb)
    if len(values) < 10 or not np.isfinite(values).all() or np.ptp(values) == 0:
        raise BadRequest(f"{verb}: expected ten values or more in {column!r}, none of them NaN and not all alike.")
    standard = (values - values.mean()) / values.std()
    neighbours = _neighbours(changes, radius)
    lag = np.array([standard[near].mean() if len(near) else np.nan for near in neighbours])
    p_value = _by_chance(standard, lag, np.array([len(near) for near in neighbours]), level, seed)
    seen = np.isfinite(p_value)
    found = np.zeros(len(values), bool)
    found[seen] = false_discovery_control(p_value[seen]) <= level if seen.any() else False
    kinds = np.array([["low", "low in high"], ["high in low", "high"]])
    cluster = np.where(found, kinds[(standard > 0).astype(int), (np.nan_to_num(lag) > 0).astype(int)], "none")
    return changes.assign(moran=standard * lag, p_value=p_value, cluster=cluster)


def _elevations(dsm: xr.DataArray, points: gpd.GeoDataFrame, pixel: Pixel, verb: str) -> Array:
    dsm = _surface(dsm, verb)
    system = crs_of(dsm)
    placed = points.geometry if system is None else points.geometry.to_crs(str(system))
    rows = _pixels(dsm["y"].values, placed.y.to_numpy(), pixel)
    columns = _pixels(dsm["x"].values, placed.x.to_numpy(), pixel)
    inside = (rows >= 0) & (rows < dsm.sizes["y"]) & (columns >= 0) & (columns < dsm.sizes["x"])
    at = {name: xr.DataArray(where[inside], dims="point") for name, where in (("y", rows), ("x", columns))}
    found = np.full(len(points), np.nan)
    found[inside] = dsm.isel(at).values
    found[np.isinf(found)] = np.nan
    return found


def _surface(dsm: xr.DataArray, verb: str) -> xr.DataArray:
    found = check_elevation(dsm, verb, single=True)
    pixel_size(found, verb)
    return found


def _pixels(centres: Array, places: Array, pixel: Pixel) -> Array:
    step = (float(centres[-1]) - float(centres[0])) / (len(centres) - 1)
    share = (places - (float(centres[0]) - step / 2)) / step
    return np.asarray((np.floor if pixel == "containing" else np.rint)(share).astype("int64"))


def _limit_of(limits: pd.DataFrame | float, period: tuple[Any, Any], verb: str) -> float:
    if isinstance(limits, pd.DataFrame):
        starts, ends = (moments_in(limits, name, verb) for name in _PERIOD)
        found = pd.Series(numbers_in(limits, "lod", verb))[(starts == period[0]) & (ends == period[1])]
        if len(found) != 1:
            raise BadRequest(f"{verb}: found {len(found)} limits for {period[0]} to {period[1]}, expected one.")
        limits = float(found.iloc[0])
    if not limits >= 0:
        raise BadRequest(f"{verb}: a limit of detection is {limits!r}, expected metres from 0.")
    return float(limits)


def _crossing(threshold: float) -> float:
    """Share of an error's variance, and of a shift, that reaches a volume from a place where nothing moved."""
    from scipy.special import ndtr

    return float(2 * threshold * np.exp(-(threshold**2) / 2) / np.sqrt(2 * np.pi) + 2 * ndtr(-threshold))


def _independent(places: gpd.GeoSeries, correlation: Correlation | float | None) -> float:
    number = len(places)
    if correlation is None or number < 2:
        return float(number)
    from scipy.spatial import KDTree

    model = correlation if isinstance(correlation, Correlation) else Correlation((float(correlation),))
    xy = np.column_stack([places.x, places.y])
    # Beyond twice the range nothing is left of a correlation, whatever its model: 0.25 % of an exponential one.
    pairs = KDTree(xy).query_pairs(2 * max(model.ranges), output_type="ndarray")
    apart = np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)
    return number**2 / (number + 2 * float(model.at(apart).sum()))


def _neighbours(points: gpd.GeoDataFrame, radius: float) -> list[Array]:
    from scipy.spatial import KDTree

    xy = np.column_stack([points.geometry.x, points.geometry.y])
    near = KDTree(xy).query_ball_point(xy, radius)
    return [np.array([other for other in others if other != at], "int64") for at, others in enumerate(near)]


def _by_chance(standard: Array, lag: Array, neighbours: Array, level: float, seed: int) -> Array:
    points, found = len(standard), np.full(len(standard), np.nan)
    numbers = np.unique(neighbours[(neighbours > 0) & (neighbours < points - 1)])
    if not numbers.size:
        return found
    # Enough sets for the smallest probability to be told from chance among as many points.
    wanted = min(max(int(4 * points / level), _FEWEST_SETS), _MOST_SETS)
    shufflings = max(min(-(-wanted // (points // int(numbers[-1]))), _MOST_SHUFFLED // points), 1)
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(points), (shufflings, 1)), axis=1)
    places = np.argsort(orders, axis=1)
    totals = np.concatenate([np.zeros((shufflings, 1)), standard[orders].cumsum(axis=1)], axis=1)
    for number in numbers:
        at = np.flatnonzero(neighbours == number)
        # One shuffling makes several sets of neighbours that share no point.
        sets = points // number
        means = np.diff(totals[:, : sets * number + 1 : number], axis=1) / number
        found[at] = _two_sided(lag[at], means, places[:, at] // number)
    return found


def _two_sided(lag: Array, means: Array, own: Array) -> Array:
    """How often a mean of the sets is as far out as each lag, on its side; a point's own set is not its neighbours."""
    rest = own >= means.shape[1]
    mine = np.take_along_axis(means, np.where(rest, 0, own), axis=1)
    every = np.sort(means, axis=None)
    low, high = lag - _ROUNDING, lag + _ROUNDING
    below = np.searchsorted(every, high, side="right") - ((mine <= high) & ~rest).sum(axis=0)
    above = every.size - np.searchsorted(every, low, side="left") - ((mine >= low) & ~rest).sum(axis=0)
    others = every.size - (~rest).sum(axis=0)
    return np.asarray(np.minimum(2 * (np.minimum(below, above) + 1) / (others + 1), 1.0))
