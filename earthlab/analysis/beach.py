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

from earthlab.analysis.grids import check_same_grid, crs_of, pixel_size
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import Correlation, effective_samples, nmad, nmad_interval, sigma_of_volume
from earthlab.analysis.tables import check_columns
from earthlab.analysis.transects import check_metric, points_along
from earthlab.analysis.units import check_units
from earthlab.errors import BadRequest

Pixel = Literal["containing", "shifted"]
_PLACE = ["transect", "distance"]
_PERIOD = ["start", "end"]


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
        From the date of a survey to its surface model in metres, axes ``y`` and ``x`` in a projected system; grids may
        differ. NaN is no elevation.
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
        For no survey, degrees, elevations in another unit, or other axes.

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
    parts = []
    for moment, dsm in sorted(((pd.Timestamp(at), dsm) for at, dsm in surveys.items()), key=lambda pair: pair[0]):
        parts.append(points.assign(time=moment, z=_elevations(dsm, points, pixel, verb)))
    found = pd.concat(parts, ignore_index=True)[["time", *_PLACE, "z", "geometry"]]
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
    check_columns(profiles, ("time", *_PLACE, "z", "geometry"), verb)
    times = sorted(profiles["time"].unique())
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
        Share of such intervals that should hold the true deviation, were the errors normal.

    Returns
    -------
    pandas.DataFrame
        One row a period: ``start``, ``end``, ``lod`` (NMAD, m), ``lod_low``, ``lod_high``, ``offset`` (median, m: what
        all of the second survey seems too high) and ``n``.

    Raises
    ------
    BadRequest
        For missing columns or words outside their range.

    References
    ----------
    Höhle and Höhle (2009), doi:10.1016/j.isprsjprs.2009.02.003; Pucino et al. (2021), doi:10.1038/s41598-021-83477-6.
    """
    check_columns(stable, (*_PERIOD, "dh"), "limit_of_detection")
    rows = []
    for period, part in stable.groupby(_PERIOD, sort=True):
        values = part["dh"].to_numpy("float64")
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
    of detection; that of a volume counts how many of the errors are independent, and what all of them share.

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
    rows = []
    for label, part in changes.groupby(groups, sort=True):
        limit = _limit_of(limits, label[:2], verb)
        change = part["dh"].to_numpy("float64")
        beyond = np.abs(change) > threshold * limit
        counted = np.where(beyond, change, 0.0) * (step * spacing)
        places = part.geometry[beyond]
        sigma = sigma_of_volume(
            limit, beyond.sum() * step * spacing, max(_independent(places, correlation), 1.0), systematic=systematic
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
        Elevations in metres on one grid in metres, axes ``y`` and ``x``; NaN is no elevation.
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
    check_same_grid(before, after, verb)
    for dsm, what in ((before, "before"), (after, "after")):
        check_units(dsm, "m", verb=verb, what=what)
    if not (limit >= 0 and threshold >= 0 and systematic >= 0):
        raise BadRequest(
            f"{verb}: limit {limit!r}, threshold {threshold!r}, systematic {systematic!r}: expected numbers from 0."
        )
    height, width = pixel_size(before, verb)
    change = (after.astype("float64") - before.astype("float64").assign_coords(after.coords)).transpose("y", "x")
    if where is not None:
        check_same_grid(before, where, verb)
        change = change.where(where.assign_coords(change.coords).astype(bool))
    values = np.nan_to_num(np.asarray(change.values))
    values = np.where(np.abs(values) > threshold * limit, values, 0.0)
    lost, won = (float(values[values * sign > 0].sum() * height * width) for sign in (-1, 1))
    moved = values != 0
    independent = float(moved.sum())
    if correlation is not None:
        independent = effective_samples(moved, correlation, pixel=(height, width))
    area = float(moved.sum() * height * width)
    sigma = sigma_of_volume(limit, area, max(independent, 1.0), systematic=systematic)
    return Volumes(lost, won, lost + won, sigma, area)


def hotspots(
    changes: gpd.GeoDataFrame,
    *,
    radius: float,
    column: str = "dh",
    level: float = 0.05,
) -> gpd.GeoDataFrame:
    """Where high changes lie among high ones and low among low, more than by chance (local Moran's I).

    High and low are relative to the mean of all points: where the whole beach lost sand, a point that is ``"high"``
    lost less. Chance is what the same values, shuffled over the other points, would give: its mean and variance are
    known without shuffling, and the mean of a point's neighbours is taken as normal. The false discovery rate is held
    at ``level``.

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

    Returns
    -------
    geopandas.GeoDataFrame
        As given, with ``moran`` (local I, no unit), ``p_value`` (two-sided) and ``cluster``:
        ``"high"``, ``"low"``, ``"high in low"``, ``"low in high"``, or ``"none"``. A point without neighbours has NaN
        and ``"none"``.

    Raises
    ------
    BadRequest
        For degrees, missing or NaN values, fewer than ten points, values all alike, or words outside their range.

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
    values = changes[column].to_numpy("float64", na_value=np.nan)
    if len(values) < 10 or not np.isfinite(values).all() or np.ptp(values) == 0:
        raise BadRequest(f"{verb}: expected ten values or more in {column!r}, none of them NaN and not all alike.")
    standard = (values - values.mean()) / values.std()
    neighbours = _neighbours(changes, radius)
    lag = np.array([standard[near].mean() if len(near) else np.nan for near in neighbours])
    p_value = _by_chance(standard, lag, np.array([len(near) for near in neighbours], "float64"))
    seen = np.isfinite(p_value)
    found = np.zeros(len(values), bool)
    found[seen] = false_discovery_control(p_value[seen]) <= level if seen.any() else False
    kinds = np.array([["low", "low in high"], ["high in low", "high"]])
    cluster = np.where(found, kinds[(standard > 0).astype(int), (np.nan_to_num(lag) > 0).astype(int)], "none")
    return changes.assign(moran=standard * lag, p_value=p_value, cluster=cluster)


def _elevations(dsm: xr.DataArray, points: gpd.GeoDataFrame, pixel: Pixel, verb: str) -> Array:
    pixel_size(dsm, verb)
    check_units(dsm, "m", verb=verb, what="elevation")
    extra = sorted(map(str, set(dsm.dims) - {"y", "x"}))
    if extra:
        raise BadRequest(f"{verb}: a survey has the axis {extra[0]!r} too, expected y and x. Choose one: isel(…).")
    system = crs_of(dsm)
    placed = points.geometry if system is None else points.geometry.to_crs(str(system))
    rows = _pixels(dsm["y"].values, placed.y.to_numpy(), pixel)
    columns = _pixels(dsm["x"].values, placed.x.to_numpy(), pixel)
    inside = (rows >= 0) & (rows < dsm.sizes["y"]) & (columns >= 0) & (columns < dsm.sizes["x"])
    at = {name: xr.DataArray(where[inside], dims="point") for name, where in (("y", rows), ("x", columns))}
    found = np.full(len(points), np.nan)
    found[inside] = dsm.isel(at).values
    return found


def _pixels(centres: Array, places: Array, pixel: Pixel) -> Array:
    step = (float(centres[-1]) - float(centres[0])) / (len(centres) - 1)
    share = (places - (float(centres[0]) - step / 2)) / step
    return np.asarray((np.floor if pixel == "containing" else np.rint)(share).astype("int64"))


def _limit_of(limits: pd.DataFrame | float, period: tuple[Any, Any], verb: str) -> float:
    if isinstance(limits, pd.DataFrame):
        check_columns(limits, (*_PERIOD, "lod"), verb)
        found = limits.loc[(limits["start"] == period[0]) & (limits["end"] == period[1]), "lod"]
        if len(found) != 1:
            raise BadRequest(f"{verb}: found {len(found)} limits for {period[0]} to {period[1]}, expected one.")
        limits = float(found.iloc[0])
    if not limits >= 0:
        raise BadRequest(f"{verb}: a limit of detection is {limits!r}, expected metres from 0.")
    return float(limits)


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


def _by_chance(standard: Array, lag: Array, number: Array) -> Array:
    from scipy.special import ndtr

    # The mean of k of the n - 1 other values, drawn without replacement.
    others = len(standard) - 1
    mean = -standard / others
    variance = (others + 1 - standard**2 - others * mean**2) / (others - 1)
    spread = np.sqrt(variance * (1 - number / others) / np.maximum(number, 1))
    known = (number > 0) & (spread > 0)
    score = np.divide(lag - mean, spread, out=np.full(len(lag), np.nan), where=known)
    return np.asarray(2 * ndtr(-np.abs(score)))
