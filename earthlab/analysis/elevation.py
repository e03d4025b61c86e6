"""What two elevation models say together: how far they differ, how sure that is, and the volume that came or went.

A difference is the later model less the earlier one, so that lava, sand or snow that arrived counts as positive. Lay
the models on each other first (`earthlab.analysis.coregistration`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.grids import check_same_grid, flat, inside_of
from earthlab.analysis.kernels.compiling import Array
from earthlab.analysis.robust import (
    Correlation,
    effective_samples,
    nmad,
    nmad_interval,
    quantile_of_normal,
    sigma_of_volume,
)
from earthlab.analysis.terrain import Pixel, check_elevation, heights_of, pixel_in_metres, placed
from earthlab.errors import BadRequest

SLOPE_CLASSES = (0.0, 5.0, 10.0, 25.0, 45.0)
"""Lower edges of classes of slope, in the unit of the slope; the last class is open."""


def difference(later: xr.DataArray, earlier: xr.DataArray) -> xr.DataArray:
    """Later height less earlier height, in metres: positive where the ground rose.

    Parameters
    ----------
    later, earlier : xarray.DataArray
        Heights in metres on the same grid; NaN is unknown, and values of no data as
        `earthlab.analysis.terrain.heights_of` has it.

    Returns
    -------
    xarray.DataArray
        Float, NaN where either is unknown; lazy if one of them is.

    Raises
    ------
    BadRequest
        For models on other pixels or in other reference systems, or in another unit.
    """
    after, before = (check_elevation(model, "difference") for model in (later, earlier))
    if after.dims != before.dims:
        after, before = flat(after), flat(before)
    if after.dims != before.dims:
        raise BadRequest(f"difference: the models have axes {after.dims} and {before.dims}. Rename those of one.")
    check_same_grid(_projected(after), _projected(before), "difference")
    axes = {name: after[name] for name in after.dims[-2:] if name in after.coords and name in before.coords}
    before = before.assign_coords(axes)
    found = after - before
    words = {"long_name": "différence d'altitude / height difference", "units": "m"}
    return found.rename("height_difference").assign_attrs(**words, **placed(later))


def _projected(dem: xr.DataArray) -> xr.DataArray:
    return dem.rename({old: new for old, new in zip(dem.dims[-2:], ("y", "x"), strict=True) if old != new})


def error_table(
    errors: xr.DataArray, slope: xr.DataArray, *, classes: Sequence[float] = SLOPE_CLASSES, outliers: float | None = 3.0
) -> pd.DataFrame:
    """Errors of heights by class of slope: how good a model is where the ground is steep.

    Parameters
    ----------
    errors : xarray.DataArray
        Differences of heights in metres on stable ground; NaN is unknown.
    slope : xarray.DataArray
        On the same grid, in degrees or percent.
    classes : sequence of float
        Lower edges, ascending, in the unit of the slope. A class holds its lower edge, and the last one is open.
    outliers : float or None
        Differences farther than so many standard deviations from the mean of all of them are counted but left out of
        the statistics, as CNES demcompare does. None keeps all.

    Returns
    -------
    pandas.DataFrame
        One row a class and one for all: ``lower`` and ``upper`` edge, ``number`` of pixels, ``share`` of all pixels,
        then in metres ``mean``, ``median``, ``nmad``, ``nmad_low`` and ``nmad_high`` (95 %, as if pixels were
        independent), ``std``, ``rmse``, ``minimum``, ``maximum``.

    Raises
    ------
    BadRequest
        For grids of other shapes, edges that do not ascend, or no difference at all.

    References
    ----------
    CNES, demcompare (Apache-2.0), whose table it reproduces. There, a slope "in percent" is 100 times the angle in
    radians: give ``slope(dem, unit="rad") * 100`` for its very numbers.
    """
    edges = [*map(float, classes), math.inf]
    if len(edges) < 2 or any(high <= low for low, high in pairwise(edges)):
        raise BadRequest(f"error_table: classes are {tuple(classes)}, expected ascending edges such as 0, 5, 10.")
    off, steepness = heights_of(flat(errors)), flat(slope)
    if set(off.dims) == set(steepness.dims):
        steepness = steepness.transpose(*off.dims)
    if off.shape != steepness.shape:
        raise BadRequest(f"error_table: errors {off.shape} and slope {steepness.shape} are on other grids.")
    check_same_grid(_projected(off), _projected(steepness), "error_table")
    values, steep = (np.asarray(array.values, "float64").ravel() for array in (off, steepness))
    seen = np.isfinite(values) & np.isfinite(steep)
    if not seen.any():
        raise BadRequest("error_table: no pixel has both a difference and a slope. Do the models overlap?")
    values, steep = values[seen], steep[seen]
    if slope.attrs.get("units") in ("rad", "radian") and steep.max() <= math.pi / 2:
        raise BadRequest(
            "error_table: the slope is in radians, expected degrees or percent. Ask slope for another unit=."
        )
    sound = np.ones(values.size, bool)
    if outliers is not None:
        sound = np.abs(values - values.mean()) <= outliers * values.std()
    of_class = np.searchsorted(edges, steep, side="right") - 1
    rows = [
        {"class": _name(low, high), "lower": low, "upper": high, **_row(values, sound, of_class == at)}
        for at, (low, high) in enumerate(pairwise(edges))
    ]
    everything = of_class >= 0
    rows.append({"class": "tout / all", "lower": edges[0], "upper": math.inf, **_row(values, sound, everything)})
    table = pd.DataFrame(rows).set_index("class")
    table.attrs = {"units": dict.fromkeys(table.columns[4:], "m"), "slope_units": slope.attrs.get("units", "")}
    return table


def _name(low: float, high: float) -> str:
    return f"≥ {low:g}" if math.isinf(high) else f"{low:g} – {high:g}"


def _row(values: Array, sound: Array, inside: Array) -> dict[str, float]:
    number, kept = int(inside.sum()), values[inside & sound]
    counts: dict[str, float] = {"number": number, "share": number / values.size}
    if not kept.size:
        words = ("mean", "median", "nmad", "nmad_low", "nmad_high", "std", "rmse", "minimum", "maximum")
        return {**counts, **dict.fromkeys(words, math.nan)}
    low, high = nmad_interval(kept)
    return {
        **counts,
        "mean": float(kept.mean()),
        "median": float(np.median(kept)),
        "nmad": float(nmad(kept)),
        "nmad_low": low,
        "nmad_high": high,
        "std": float(kept.std()),
        "rmse": float(np.sqrt((kept**2).mean())),
        "minimum": float(kept.min()),
        "maximum": float(kept.max()),
    }


def voids(dem: xr.DataArray) -> xr.DataArray:
    """The holes of an elevation model, numbered from 1 where pixels without height touch by their sides; 0 elsewhere.

    Parameters
    ----------
    dem : xarray.DataArray
        Heights on two axes; holes are as `earthlab.analysis.terrain.heights_of` has them.

    Returns
    -------
    xarray.DataArray
        int32, in memory, on the grid of the model.

    Raises
    ------
    BadRequest
        As `earthlab.analysis.terrain.check_elevation`, or for more than two axes.
    """
    from scipy.ndimage import label

    heights = check_elevation(dem, "voids", single=True)
    numbered, _count = label(~np.isfinite(heights.values))
    found = heights.copy(data=numbered.astype("int32"))
    found.attrs = {"long_name": "trou du modèle / void of the model", "units": "1", **placed(dem)}
    return found.rename("void")


def void_table(dem: xr.DataArray, *, pixel: Any = None) -> pd.DataFrame:
    """The holes of an elevation model, the largest first.

    Parameters
    ----------
    dem : xarray.DataArray
        Heights in metres on two axes; NaN is a hole.
    pixel : Pixel, float or (float, float), optional
        Height and width of a pixel in metres. Default: from the coordinates of a projected grid.

    Returns
    -------
    pandas.DataFrame
        By the number of the hole in `voids`: ``pixels``, ``area`` in m², ``reach`` in metres, which is how far its
        innermost pixel is from known ground: interpolation has to bridge twice as much. ``attrs["share"]`` is the
        share of the model that is unknown.

    Raises
    ------
    BadRequest
        As `voids`; or for a grid in degrees where no pixel is given.
    """
    from scipy.ndimage import distance_transform_edt, maximum

    holes = voids(dem)
    numbered, size = holes.values, pixel_in_metres(holes, pixel, "void_table")
    count = int(numbered.max())
    areas = _areas(numbered.shape, size)
    pixels, area = (np.bincount(numbered.ravel(), each, count + 1)[1:] for each in (None, areas.ravel()))
    names = np.arange(1, count + 1)
    known = (numbered == 0).any()
    away = distance_transform_edt(numbered > 0, sampling=(size.height, size.mean_width)) if known else None
    reach = np.full(count, math.inf) if away is None else maximum(away, numbered, names)
    table = pd.DataFrame({"pixels": pixels, "area": area, "reach": reach}, index=names)
    table = table.rename_axis("void").sort_values(["pixels"], ascending=False, kind="stable")
    table.attrs = {"share": float((numbered > 0).mean()), "units": {"area": "m2", "reach": "m"}}
    return table


@dataclass(frozen=True)
class Volume:
    """What came and went within an outline, with its standard error.

    Attributes
    ----------
    net, gained, lost : float
        m³; ``lost`` is negative, ``net`` is their sum.
    sigma : float
        Standard error of ``net`` in m³.
    area : float
        m² where a difference is known.
    unknown : float
        Share of the outline where none is.
    mean : float
        Mean difference in metres.
    effective : float
        How many of the pixels are independent.
    detection : float
        Differences of that many metres or less were left out (0: none).
    """

    net: float
    gained: float
    lost: float
    sigma: float
    area: float
    unknown: float
    mean: float
    effective: float
    detection: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval that holds the true net volume with this probability, in m³."""
        reach = quantile_of_normal(level) * self.sigma
        return self.net - reach, self.net + reach


def volume(
    differences: xr.DataArray,
    where: xr.DataArray | gpd.GeoDataFrame | None = None,
    *,
    sigma: float,
    correlation: Correlation | float,
    systematic: float = 0.0,
    detection: float = 0.0,
    pixel: Any = None,
) -> Volume:
    """The volume ``Σ Δz · A`` within an outline, with the error that correlated heights leave of it.

    Parameters
    ----------
    differences : xarray.DataArray
        Differences of heights in metres on two axes, as `difference` gives them; NaN is unknown.
    where : xarray.DataArray or geopandas.GeoDataFrame, optional
        The outline: true (or not 0) inside, on the same grid, or polygons. Default: everywhere.
    sigma : float
        Standard deviation of one difference in metres, such as the NMAD on stable ground.
    correlation : Correlation or float
        Of neighbouring differences, as `earthlab.analysis.robust.fit_correlation` finds it; a number is the range of
        a spherical model in metres.
    systematic : float
        Standard error in metres that all differences share, such as that of the vertical adjustment.
    detection : float
        Level of detection in metres: only differences beyond it count. The error is still that of the whole outline,
        as leaving differences out does not make it smaller.
    pixel : Pixel, float or (float, float), optional
        Height and width of a pixel in metres. Default: from the coordinates of a projected grid.

    Returns
    -------
    Volume

    Raises
    ------
    BadRequest
        For a grid in degrees, an outline on another grid or without a known difference, or negative errors.

    References
    ----------
    Rolstad, Haug and Denby (2009), doi:10.3189/002214309789470950; Hugonnet et al. (2022),
    doi:10.1109/JSTARS.2022.3188922.
    """
    heights = check_elevation(differences, "volume", single=True)
    if not (sigma >= 0 and detection >= 0):
        raise BadRequest(f"volume: sigma {sigma!r}, detection {detection!r}; expected metres from 0.")
    size = pixel_in_metres(heights, pixel, "volume")
    outline = np.ones(heights.shape, bool) if where is None else inside_of(where, heights, "volume", "the outline")
    values = np.asarray(heights.values, "float64")
    known = outline & np.isfinite(values)
    if not known.any():
        raise BadRequest("volume: no difference is known within the outline. Is it on the same place as the models?")
    areas = _areas(values.shape, size)
    counted = np.where(known & (np.abs(values) > detection), values * areas, 0.0)
    area = float(areas[known].sum())
    effective = effective_samples(known, correlation, pixel=(size.height, size.mean_width))
    gained, lost = float(counted[counted > 0].sum()), float(counted[counted < 0].sum())
    return Volume(
        net=gained + lost,
        gained=gained,
        lost=lost,
        sigma=sigma_of_volume(sigma, area, effective, systematic=systematic),
        area=area,
        unknown=1 - float(known.sum()) / float(outline.sum()),
        mean=float((values * areas)[known].sum()) / area,
        effective=effective,
        detection=float(detection),
    )


def _areas(shape: tuple[int, ...], size: Pixel) -> Array:
    return np.broadcast_to(np.reshape(size.height * np.asarray(size.width, "float64"), (-1, 1)), shape)
