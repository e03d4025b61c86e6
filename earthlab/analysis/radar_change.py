"""Forest loss in radar series: the radar change ratio, the shadows at the edge of clearings, cumulative sums.

Where trees fall, radar sees less, and at the edge of the clearing the remaining wall of trees casts a shadow that
stays. A change in backscatter that lasts is told from speckle by means over several dates before and after.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis.columns import TIME, whole_columns
from earthlab.analysis.grids import check_same_grid, flat, inside_of, pixel_size, unpacked
from earthlab.analysis.kernels.compiling import Array
from earthlab.errors import BadRequest

Scale = Literal["dB", "power"]
_DECIBEL = ("db", "decibel", "decibels")
_POWER = ("1", "power", "linear", "linear power", "m2 m-2", "m2/m2", "m^2/m^2", "m2.m-2")
_NOTHING = 1e-10
"""Powers up to -100 dB are no echo: Sentinel-1 has 0 beside its swath, and -9999 dB is no decibel."""


def to_power(backscatter: xr.DataArray, scale: Scale | None = None) -> xr.DataArray:
    """Backscatter as a ratio of powers (γ⁰ or σ⁰, unit 1), from decibels or as it is; lazy if it is.

    Parameters
    ----------
    backscatter : xarray.DataArray
        In decibels or as a ratio of powers. NaN, what it declares as no data and powers up to -100 dB (0 is what
        Sentinel-1 has beside its swath) are no observation.
    scale : {"dB", "power"}, optional
        Default: what its ``units`` say.

    Raises
    ------
    BadRequest
        Where neither the units nor ``scale`` say which it is, or where they contradict each other.
    """
    if not isinstance(backscatter, xr.DataArray):
        raise BadRequest(
            f"backscatter: expected a DataArray, found {type(backscatter).__name__}. Choose a polarisation."
        )
    units = str(backscatter.attrs.get("units", "")).strip()
    stated = "dB" if units.casefold() in _DECIBEL else "power" if units.casefold() in _POWER else None
    if (
        scale not in ("dB", "power", None)
        or (stated is None and scale is None)
        or (stated and scale not in (None, stated))
    ):
        raise BadRequest(
            f"backscatter: units are {units or 'not stated'!r} and scale is {scale!r}; expected one of 'dB' and "
            "'power'. Set attrs['units'] to 'dB' or '1', or give scale=."
        )
    seen = unpacked(backscatter)
    power = seen if (scale or stated) == "power" else 10 ** (seen / 10)
    found: xr.DataArray = power.where(power > _NOTHING)
    return found.assign_attrs({**seen.attrs, "units": "1"})


def to_decibel(power: xr.DataArray) -> xr.DataArray:
    """``10 log₁₀`` of a ratio of powers; NaN where it is not positive. Lazy if it is."""
    decibel: xr.DataArray = 10 * xr.ufuncs.log10(power.where(power > 0))
    return decibel.assign_attrs({**power.attrs, "units": "dB"})


def filter_speckle(backscatter: xr.DataArray, *, window: int = 7, scale: Scale | None = None) -> xr.DataArray:
    """Less speckle without less detail: each date borrows from the others what does not change.

    ``J_k = ⟨I_k⟩ / M · Σ_i I_i / ⟨I_i⟩`` over the M dates seen, where ⟨ ⟩ is the mean over a square of ``window``
    pixels.

    Parameters
    ----------
    backscatter : xarray.DataArray
        Axes ``time``, ``y``, ``x``; ``scale`` as for `to_power`. NaN is no observation.
    window : int
        Odd, in pixels.

    Returns
    -------
    xarray.DataArray
        A ratio of powers, NaN where the date was not seen. Lazy if it is, with one task a tile that holds all dates
        and a rim of half a window.

    Raises
    ------
    BadRequest
        As `to_power`; for other axes or an even window.

    References
    ----------
    Quegan and Yu (2001), Filtering of multichannel SAR images, doi:10.1109/36.964973, with uncorrelated dates of equal
    weight.
    """
    backscatter = _without_band(backscatter)
    if set(backscatter.dims) != {TIME, "y", "x"}:
        raise BadRequest(f"filter_speckle: found axes {backscatter.dims}, expected time, y and x.")
    if window < 1 or window % 2 == 0:
        raise BadRequest(f"filter_speckle: window is {window!r}, expected an odd number of pixels, such as 7.")
    power = to_power(backscatter, scale).transpose(TIME, "y", "x")
    work = partial(_quegan, window=window)
    if power.chunks is None:
        return power.copy(data=work(power.values))
    rim = {1: window // 2, 2: window // 2}
    data = da.map_overlap(work, whole_columns(power).data, depth=rim, boundary="none", dtype=power.dtype)
    return power.copy(data=data)


def _without_band(backscatter: xr.DataArray) -> xr.DataArray:
    axes = {TIME, "y", "x"}
    return backscatter.isel({name: 0 for name in backscatter.dims if name not in axes and backscatter.sizes[name] == 1})


def _quegan(power: Array, *, window: int) -> Array:
    from scipy.ndimage import uniform_filter

    seen = np.isfinite(power) & (power > 0)
    filled = np.where(seen, power, 0.0).astype("float64")
    size = (1, window, window)
    share = uniform_filter(seen.astype("float64"), size, mode="constant")
    with np.errstate(divide="ignore", invalid="ignore"):
        local = uniform_filter(filled, size, mode="constant") / share
        ratio = np.where(seen, filled / local, 0.0).sum(axis=0) / seen.sum(axis=0)
        return np.where(seen, local * ratio, np.nan).astype(power.dtype)


def change_ratio(
    backscatter: xr.DataArray, *, before: int = 5, after: int = 5, least: int = 3, scale: Scale | None = None
) -> xr.DataArray:
    """The radar change ratio of each date: mean power from then on over mean power until then, in decibels.

    Parameters
    ----------
    backscatter : xarray.DataArray
        Along ``time``, in any order; ``scale`` as for `to_power`. NaN is no observation.
    before, after : int
        Dates on each side; the date itself is the first of those after.
    least : int
        Observations that each side must have.

    Returns
    -------
    xarray.DataArray
        dB, dates ascending; below 0 where the forest sends back less than before. NaN where a side has too few. Lazy if
        the series is.

    Raises
    ------
    BadRequest
        As `to_power`; without dates, with fewer than ``before + after``, or for numbers that cannot be.

    References
    ----------
    Bouvet, Mermoz, Ballère, Koleck and Le Toan (2018), Use of the SAR shadowing effect for deforestation detection with
    Sentinel-1 time series, doi:10.3390/rs10081250.
    """
    series = _by_date(backscatter, "change_ratio")
    if not (before >= 1 and after >= 1 and 1 <= least <= min(before, after)):
        raise BadRequest(
            f"change_ratio: before {before!r}, after {after!r}, least {least!r}; expected 1 ≤ least ≤ both."
        )
    if series.sizes[TIME] < before + after:
        raise BadRequest(
            f"change_ratio: found {series.sizes[TIME]} dates, expected {before + after} or more. Widen the period, or "
            "take fewer dates before and after."
        )
    ratio: xr.DataArray = xr.apply_ufunc(
        _ratio,
        _whole(to_power(series, scale)),
        kwargs={"before": before, "after": after, "least": least},
        input_core_dims=[[TIME]],
        output_core_dims=[[TIME]],
        dask="parallelized",
        output_dtypes=[np.dtype("float32")],
    )
    words = "rapport de changement radar / radar change ratio"
    return (
        ratio.transpose(*series.dims)
        .rename("change_ratio")
        .assign_attrs(long_name=words, units="dB", grid_mapping="spatial_ref")
    )


def _by_date(series: xr.DataArray, verb: str) -> xr.DataArray:
    if not isinstance(series, xr.DataArray):
        raise BadRequest(f"{verb}: expected a DataArray with dates along 'time', found {type(series).__name__}.")
    dates = series.indexes.get(TIME)
    if not isinstance(dates, pd.DatetimeIndex) or dates.hasnans or not len(dates):
        found = f"axes {', '.join(map(str, series.dims))}" if dates is None else f"{dates.dtype}"
        raise BadRequest(
            f"{verb}: expected dates along an axis 'time', none missing; found {found}. "
            "Rename the axis, or convert with pandas.to_datetime."
        )
    return series.sortby(TIME)


def _whole(series: xr.DataArray) -> xr.DataArray:
    return whole_columns(series.transpose(TIME, ...)) if series.chunks is not None else series


def _ratio(power: Array, *, before: int, after: int, least: int) -> Array:
    early, early_number = _running(power, before)
    late, late_number = _running(power, after)
    out = np.full(power.shape, np.nan, "float32")
    dates = np.arange(before, power.shape[-1] - after + 1)
    first, second = dates - before, dates
    enough = (early_number[..., first] >= least) & (late_number[..., second] >= least)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = 10 * np.log10(late[..., second] / early[..., first])
    out[..., dates] = np.where(enough, values, np.nan)
    return out


def _running(power: Array, width: int) -> tuple[Array, Array]:
    # Mean and number of observations of the `width` dates from each date on.
    seen = np.isfinite(power) & (power > 0)
    windows = np.lib.stride_tricks.sliding_window_view
    number = windows(seen, width, axis=-1).sum(axis=-1)
    total = windows(np.where(seen, power, 0.0).astype("float64"), width, axis=-1).sum(axis=-1)
    return total / np.maximum(number, 1), number


def find_drop(ratio: xr.DataArray, *, threshold: float) -> xr.Dataset:
    """Date and size of the deepest drop of each pixel.

    Parameters
    ----------
    ratio : xarray.DataArray
        As `change_ratio` gives it, dB along ``time``.
    threshold : float
        dB, below 0, to which it must drop. There is no default: it depends on polarisation, filter and forest. Public
        implementations after Bouvet et al. (2018) take -4.5 dB for new shadows in filtered Sentinel-1 (and -3 dB for
        pixels beside them), or ratios of 0.40 (-4.0 dB) and 0.50 (-3.0 dB).

    Returns
    -------
    xarray.Dataset
        ``drop`` in dB, the least ratio; ``date``, the first date after the change, NaT where it is not reached;
        ``detected``. Lazy if the ratio is.

    Raises
    ------
    BadRequest
        For a ratio in another unit than dB, without dates, or a threshold that is not below 0.
    """
    series = _by_date(ratio, "find_drop")
    if str(ratio.attrs.get("units", "dB")).strip().casefold() not in _DECIBEL:
        raise BadRequest(f"find_drop: the ratio is in {ratio.attrs['units']!r}, expected 'dB'. Use change_ratio.")
    if not threshold < 0:
        raise BadRequest(f"find_drop: threshold is {threshold!r}, expected decibels below 0, such as -4.5.")
    depth, place = xr.apply_ufunc(
        _deepest,
        _whole(series),
        input_core_dims=[[TIME]],
        output_core_dims=[[], []],
        dask="parallelized",
        output_dtypes=[np.dtype("float32"), np.dtype("int64")],
    )
    detected = depth <= threshold
    dates = _dated(place, series.indexes[TIME]).where(detected)
    return xr.Dataset(
        {
            "drop": depth.assign_attrs(long_name="baisse / drop", units="dB", grid_mapping="spatial_ref"),
            "date": dates.assign_attrs(long_name="date du changement / date of change", grid_mapping="spatial_ref"),
            "detected": detected.assign_attrs(long_name="détecté / detected", grid_mapping="spatial_ref"),
        }
    )


def _deepest(ratio: Array) -> tuple[Array, Array]:
    seen = np.isfinite(ratio)
    filled = np.where(seen, ratio, np.inf)
    place = filled.argmin(axis=-1)
    depth = np.take_along_axis(filled, place[..., None], -1)[..., 0]
    return np.where(seen.any(axis=-1), depth, np.nan).astype("float32"), place


def _dated(place: xr.DataArray, dates: pd.DatetimeIndex) -> xr.DataArray:
    times = dates.values.astype("datetime64[ns]")
    dated: xr.DataArray = xr.apply_ufunc(
        _take, place, kwargs={"times": times}, dask="parallelized", output_dtypes=[times.dtype]
    )
    return dated


def _take(place: Array, *, times: Array) -> Array:
    return np.asarray(times[place])


def find_break(values: xr.DataArray, *, resamples: int = 500, seed: int = 0, least: int = 10) -> xr.Dataset:
    """The one lasting change of each series, by cumulative sums, and how sure it is one.

    The sums ``S_k = Σ_{i≤k} (x_i - mean)`` of the decibels rise or fall for as long as the series lies on one side of
    its mean; they turn where the level changes. The same series in random orders tells how far they stray without a
    change.

    Parameters
    ----------
    values : xarray.DataArray
        Along ``time``, in any order; backscatter in decibels (`to_decibel`), or any index. NaN is no observation.
    resamples : int
        Random orders, the same for all pixels.
    seed : int
        Of the random orders.
    least : int
        Observations a series must have.

    Returns
    -------
    xarray.Dataset
        ``date``, the first observed after the change; ``confidence``, the share of random orders that stray less, 0 to
        1; ``change``, mean after minus mean before in the unit of the values, with its standard error
        ``change_error``, as if observations were independent. NaN and NaT with fewer than ``least`` observations, or
        with less than two on a side. Lazy if the series is.

    Raises
    ------
    BadRequest
        Without dates, or for fewer than 20 resamples.

    Notes
    -----
    It finds the strongest change of a series, not several; a season in the signal is a change as well: take its
    residual. Dates that resemble their neighbours make it too sure: with a correlation of 0.5 from one date to the next
    48 % of 600 simulated series without a change had a confidence of 0.95 or more, rather than 5 %, and 72 % of the
    intervals of 95 % held a planted step of three standard deviations, rather than 93 %. The change of a series without
    one is the largest that chance made: its error is only for series where the confidence is high.

    References
    ----------
    Taylor (2000), Change-point analysis: a powerful new tool for detecting changes; Kellndorfer (2019), Using SAR data
    for mapping deforestation and forest degradation, in The SAR Handbook.
    """
    series = unpacked(_by_date(values, "find_break"))
    if resamples < 20:
        raise BadRequest(f"find_break: resamples is {resamples!r}, expected 20 or more.")
    orders = np.argsort(np.random.default_rng(seed).random((resamples, series.sizes[TIME])), axis=1)
    units = str(values.attrs.get("units", "1"))
    place, confidence, change, error = xr.apply_ufunc(
        _turn,
        _whole(series),
        kwargs={"orders": orders, "least": max(least, 4)},
        input_core_dims=[[TIME]],
        output_core_dims=[[], [], [], []],
        dask="parallelized",
        output_dtypes=[np.dtype("int64"), *[np.dtype("float32")] * 3],
    )
    date = _dated(place.clip(min=0), series.indexes[TIME]).where(place >= 0)
    words = {
        "date": (date, "date du changement / date of change", None),
        "confidence": (confidence, "confiance / confidence", "1"),
        "change": (change, "changement de niveau / change of level", units),
        "change_error": (error, "erreur type du changement / standard error of the change", units),
    }
    return xr.Dataset(
        {
            name: array.assign_attrs(
                {"long_name": title, "grid_mapping": "spatial_ref"} | ({"units": unit} if unit else {})
            )
            for name, (array, title, unit) in words.items()
        }
    )


def _turn(values: Array, *, orders: Array, least: int) -> tuple[Array, Array, Array, Array]:
    seen = np.isfinite(values)
    number = seen.sum(axis=-1)
    mean = np.where(seen, values, 0.0).sum(axis=-1) / np.maximum(number, 1)
    apart = np.where(seen, values - mean[..., None], 0.0)
    sums = apart.cumsum(axis=-1)
    last_before = np.abs(sums).argmax(axis=-1)
    early = np.arange(values.shape[-1]) <= last_before[..., None]
    groups = [_moments(values, seen & side) for side in (early, ~early)]
    enough = (number >= least) & (groups[0][2] >= 2) & (groups[1][2] >= 2)
    stray = np.zeros(number.shape)
    width = np.ptp(sums, axis=-1)
    for order in orders:
        stray += np.ptp(apart[..., order].cumsum(axis=-1), axis=-1) < width
    first_after = (seen & ~early).argmax(axis=-1)
    change = groups[1][0] - groups[0][0]
    error = np.sqrt(groups[0][1] + groups[1][1])
    kept = [np.where(enough, part, np.nan).astype("float32") for part in (stray / len(orders), change, error)]
    return np.where(enough, first_after, -1), kept[0], kept[1], kept[2]


def _moments(values: Array, chosen: Array) -> tuple[Array, Array, Array]:
    # Mean, variance of the mean, number.
    number = chosen.sum(axis=-1)
    mean = np.where(chosen, values, 0.0).sum(axis=-1) / np.maximum(number, 1)
    squares = (np.where(chosen, values - mean[..., None], 0.0) ** 2).sum(axis=-1)
    return mean, squares / np.maximum(number - 1, 1) / np.maximum(number, 1), number


def grow_shadows(drop: xr.DataArray, *, threshold: float, neighbour: float) -> xr.DataArray:
    """Pixels of new shadow, and those connected with them where the drop is not quite as deep.

    Parameters
    ----------
    drop : xarray.DataArray
        dB, axes ``y`` and ``x``, as `find_drop` gives it for one orbit.
    threshold, neighbour : float
        dB: what a shadow is found by, and what its neighbours (eight around) must reach. See `find_drop` for values.

    Returns
    -------
    xarray.DataArray
        bool; computed.

    Raises
    ------
    BadRequest
        For other axes, or unless ``threshold ≤ neighbour < 0``.
    """
    from skimage.filters import apply_hysteresis_threshold

    if not isinstance(drop, xr.DataArray) or set(drop.dims) != {"y", "x"}:
        found = f"axes {drop.dims}" if isinstance(drop, xr.DataArray) else type(drop).__name__
        raise BadRequest(f"grow_shadows: found {found}, expected a DataArray with y and x, such as found['drop'].")
    if not threshold <= neighbour < 0:
        raise BadRequest(
            f"grow_shadows: threshold {threshold!r}, neighbour {neighbour!r}; expected threshold ≤ neighbour < 0."
        )
    plain = drop.compute()
    depth = -np.nan_to_num(plain.values, nan=0.0)
    # The thresholds are reached, not passed: the nearest number below each.
    low, high = (np.nextafter(np.float64(-limit), 0.0) for limit in (neighbour, threshold))
    grown = apply_hysteresis_threshold(depth.astype("float64"), low, high)
    return plain.copy(data=grown).rename("shadow").assign_attrs(long_name="ombre / shadow", units="1")


def reconstruct_patches(
    shadows: Sequence[xr.DataArray] | xr.DataArray, *, reach: float, smallest: float = 1000.0
) -> xr.DataArray:
    """Clearings from the shadows at their edges: what lies between shadows that belong together.

    One orbit sees the shadow on one side of a clearing, the other orbit that on the other side. Shadows no farther
    apart than ``reach`` are taken as those of one clearing, which is their convex hull.

    Parameters
    ----------
    shadows : sequence of xarray.DataArray
        bool, axes ``y`` and ``x`` in metres, one an orbit (ascending, descending), on one grid; NaN is no shadow.
    reach : float
        Metres: the width of the clearings that are to be closed.
    smallest : float
        Least area of a patch in m², 1000 by default (0.1 ha).

    Returns
    -------
    xarray.DataArray
        int32: 0 outside, else the number of the patch, from 1.

    Raises
    ------
    BadRequest
        Without shadows, for two grids or degrees, or lengths that are not positive.

    Notes
    -----
    The principle is that of Bouvet et al. (2018), doi:10.3390/rs10081250; the rule of distance and hull is this
    library's. Clearings nearer to each other than ``reach`` become one, and a hull fills what bends inwards.
    """
    from scipy.ndimage import distance_transform_edt, find_objects, label
    from skimage.morphology import convex_hull_image

    shadows = [shadows] if isinstance(shadows, xr.DataArray) else list(shadows)
    if not shadows:
        raise BadRequest("reconstruct_patches: found no shadows, expected one array an orbit.")
    for other in shadows[1:]:
        check_same_grid(shadows[0], other, "reconstruct_patches")
    height, width = pixel_size(shadows[0], "reconstruct_patches")
    if not (reach > 0 and smallest >= 0):
        raise BadRequest(
            f"reconstruct_patches: reach {reach!r}, smallest {smallest!r}; expected metres above 0 and m²."
        )
    grids = [flat(shadow) for shadow in shadows]
    masks = [inside_of(grid, grids[0], "reconstruct_patches", "a shadow") for grid in grids]
    union = np.logical_or.reduce(masks)
    away = distance_transform_edt(~union, sampling=(height, width)) if union.any() else np.full(union.shape, np.inf)
    groups, _number = label(away <= reach / 2, structure=np.ones((3, 3)))
    patches, last = np.zeros(union.shape, "int32"), 0
    for group, part in enumerate(find_objects(groups), 1):
        rows, columns = np.nonzero(union[part] & (groups[part] == group))
        rows, columns = rows + part[0].start, columns + part[1].start
        corner, size = (rows.min(), columns.min()), (np.ptp(rows) + 1, np.ptp(columns) + 1)
        window = np.zeros(size, bool)
        window[rows - corner[0], columns - corner[1]] = True
        hull = window if min(size) < 3 else convex_hull_image(window)
        if hull.sum() * height * width >= smallest:
            last += 1
            patches[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]][hull] = last
    return grids[0].copy(data=patches).rename("patch").assign_attrs(long_name="clairière / clearing", units="1")
