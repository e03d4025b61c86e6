"""Theia's weighted average synthesis (WASP): the algorithm of its monthly cloud-free Level-3A products.

In each pixel the land observed within some days of the synthesis date is averaged, and counts the more, the nearer the
date, the clearer the air (aerosol optical thickness) and the farther the clouds.
"""

import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, Literal, NamedTuple

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.blockwise import Blockwise
from dask.graph_manipulation import clone
from scipy.ndimage import gaussian_filter

from earthlab.analysis import kernels
from earthlab.analysis.columns import TIME, map_columns, pick, same_axes, timed, whole_columns
from earthlab.analysis.frames import Period, attributes_of, axes_of, check_dataset, encoding_of, frame_of, resolve_time
from earthlab.analysis.grids import METRES, crs_of
from earthlab.analysis.kernels.compiling import Array, as_columns, floats_for
from earthlab.analysis.kernels.weighted import CLOUD, LAND, SNOW, WATER
from earthlab.analysis.periods import Periods
from earthlab.analysis.reductions import common_floats
from earthlab.analysis.series import is_between
from earthlab.errors import BadRequest, did_you_mean

DateWeight = Literal["linear", "integer"]

LEAST_AOT_WEIGHT, MOST_AOT = 0.33, 0.8
LEAST_DATE_WEIGHT = 0.5
COARSE_METRES = 240.0
BLURS = (2.0, 10.0)
"""Standard deviations of the two blurs of the cloud mask, in coarse pixels."""

_METHOD = "mean (comment: weighted synthesis)"
_FLAGS = "no_data cloud snow water land"
_FAINT = 1e-6
"""Weight beside a cloud that covers everything around: the only clear pixel of all dates is still taken."""


def wasp(  # noqa: PLR0913 - the one public door of a method with many inputs
    cube: xr.Dataset,
    *,
    period: Period = None,
    date: Any = None,
    half_window: float = 23,
    date_weight: DateWeight = "linear",
    cloud: str | None = None,
    aot: str | None = None,
    snow: str | None = None,
    water: str | None = None,
    pixel: float | None = None,
) -> xr.Dataset:
    """The weighted synthesis (synthèse pondérée) of Theia: reflectance, mean date, weight and flag of each pixel.

    The weight of an observation is ``W_date · W_aot · W_cloud``:
    ``W_date = 1 - 0.5 |ΔD| / half_window`` falls from 1 at the synthesis date to 0.5;
    ``W_aot = 0.33 + 0.67 (1 - AOT / 0.8)``, and 0.33 from an optical thickness of 0.8 or where it is unknown;
    ``W_cloud = (1 - G2)(1 - G10)``, where G2 and G10 are the cloud mask, averaged to 240 m and cut at one half, blurred
    with standard deviations of 2 and 10 coarse pixels, and brought back bilinearly.

    Parameters
    ----------
    cube : xarray.Dataset
        Reflectance with axes ``time``, then two in space, NaN where there is no observation, and the layers below.
    period : str or pandas.DateOffset, optional
        As for `earthlab.analysis.composite.mean`. Each period's synthesis date is its middle, the 15th of a month;
        dates of its neighbours count where they lie in the window, as in Theia's product.
    date : str or datetime, optional
        The synthesis date where there is no ``period``. Default: the middle of the cube's dates.
    half_window : float
        Days on each side of the synthesis date: 23 for Sentinel-2, 11 for Venµs.
    date_weight : {"linear", "integer"}
        ``"integer"`` is what the public code of WASP does, where a division of whole numbers makes ``W_date`` 1 but at
        the very ends of the window, where it is 0.5. ``"linear"`` is what its documentation defines.
    cloud, aot, snow, water : str, optional
        Variables of the cube: cloud and shadow (not 0), aerosol optical thickness, snow and water (not 0); of a
        classification such as Sentinel-2's SCL make masks first, ``cube["scl"].isin([3, 8, 9, 10])``. Without
        ``cloud`` a cloud is wherever no band was observed, as in a masked cube; without ``aot``, ``W_aot`` is 1.
    pixel : float, optional
        Size of a pixel in metres. Default: from the coordinate ``x``.

    Returns
    -------
    xarray.Dataset
        Every other variable with time, averaged over land; ``date``, the weighted mean date in days; ``weight``, the
        sum of weights; ``flag``, 0 no data, 1 cloud, 2 snow, 3 water, 4 land. Snow and water are not averaged: where
        no land was seen, the last such observation is taken with weight 0. Where there were only clouds the values are
        NaN (Theia's product shows the cloud). Lazy if the cube is; the mask of a cube that `earthlab.open` gave is then
        read once more, so that its blur keeps no block in memory.

    Raises
    ------
    BadRequest
        As `earthlab.analysis.composite.mean` does; for an unknown layer or word, a window that is not positive, no date
        within the window, or a grid whose pixel is not known in metres.

    Notes
    -----
    The correction of directional effects, which needs angles, is not part of it.

    References
    ----------
    Hagolle, Morin and Kadiri (2018), Detailed processing model for the weighted average synthesis processor (WASP) for
    Sentinel-2, doi:10.5281/zenodo.1401360.
    """
    cube = check_dataset(cube, "wasp")
    bands, layers = _inputs(cube, {"cloud": cloud, "aot": aot, "snow": snow, "water": water})
    periods = resolve_time(cube, period)
    window = _window(_dates(cube), _centres(cube, periods, date), half_window, date_weight)
    nearby = _nearby(bands, layers.get("cloud"), _coarse_factor(bands[0], pixel))
    arrays = [*bands, nearby, *layers.values()]
    synthesise = partial(_synthesise, bands=len(bands), names=tuple(layers), window=window)
    dtype = common_floats(bands)
    stacked = map_columns(synthesise, arrays, layers=len(bands) + 3, periods=len(periods), dtype=dtype)
    return _dataset(cube, bands, stacked, periods, window)


class _Window(NamedTuple):
    periods: Periods
    centres: pd.DatetimeIndex
    nearness: Array
    days: Array
    origin: pd.Timestamp


def _inputs(cube: xr.Dataset, named: dict[str, str | None]) -> tuple[list[xr.DataArray], dict[str, xr.DataArray]]:
    variables = timed(cube)
    for word, name in named.items():
        if name is not None and name not in variables:
            raise BadRequest(f"wasp: {word}={name!r} is no variable with time. {did_you_mean(name, variables)}")
    bands = [array for name, array in variables.items() if name not in named.values()]
    if not bands:
        raise BadRequest("wasp: expected at least one band beside the layers of masks and optical thickness.")
    taken = {"date", "weight", "flag"} & {str(band.name) for band in bands}
    if taken:
        raise BadRequest(f"wasp: the result has variables of its own called {', '.join(sorted(taken))}. Rename yours.")
    layers = {word: variables[name] for word, name in named.items() if name is not None}
    if "aot" in layers and layers["aot"].dtype.kind != "f":
        raise BadRequest(
            f"wasp: aot={named['aot']!r} holds {layers['aot'].dtype} values, expected a thickness such as 0.12. "
            "Apply its scale: Sen2Cor divides by 1,000, MAJA by 200."
        )
    aligned = same_axes([*bands, *layers.values()], "wasp")
    if aligned[0].ndim != 3:
        raise BadRequest(f"wasp: expected axes time, y, x, found {', '.join(map(str, aligned[0].dims))}.")
    return aligned[: len(bands)], dict(zip(layers, aligned[len(bands) :], strict=True))


def _dates(cube: xr.Dataset) -> pd.DatetimeIndex:
    times = cube.indexes.get(TIME)
    if not isinstance(times, pd.DatetimeIndex) or times.hasnans:
        raise BadRequest("wasp: expected dates along 'time', for the weight of an observation depends on its date.")
    return times.normalize()


def _centres(cube: xr.Dataset, periods: Periods, date: Any) -> pd.DatetimeIndex:
    if periods.edges is not None:
        if date is not None:
            raise BadRequest("wasp: give period= or date=, not both: each period has a date of its own.")
        starts, ends = pd.DatetimeIndex(periods.edges[:-1]), pd.DatetimeIndex(periods.edges[1:])
        months = (starts.day == 1) & (ends == starts + pd.offsets.MonthBegin())
        middle = (starts + (ends - starts - pd.Timedelta(days=1)) / 2).normalize()
        return pd.DatetimeIndex(np.where(months, starts + pd.Timedelta(days=14), middle))
    if date is None:
        dates = _dates(cube)
        return pd.DatetimeIndex([dates.min() + (dates.max() - dates.min()) / 2]).normalize()
    try:
        return pd.DatetimeIndex([pd.Timestamp(date)]).normalize()
    except (TypeError, ValueError) as exc:
        raise BadRequest(f"wasp: date={date!r} is not understood. Expected a date such as '2018-07-15'.") from exc


def _window(dates: pd.DatetimeIndex, centres: pd.DatetimeIndex, half_window: float, date_weight: str) -> _Window:
    if not is_between(half_window, 0, np.inf):
        raise BadRequest(f"wasp: half_window is {half_window!r}, expected a positive number of days.")
    if date_weight not in ("linear", "integer"):
        raise BadRequest(f"wasp: date_weight is {date_weight!r}, expected 'linear' or 'integer'.")
    order = np.argsort(dates, kind="stable")
    apart = np.abs((dates.values[order] - centres.values[:, None]) / np.timedelta64(1, "D"))
    inside = apart <= half_window
    if not inside.any():
        raise BadRequest(
            f"wasp: no date lies within {half_window:g} days of {centres[0]:%Y-%m-%d}; the cube has "
            f"{dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}. Change date= or half_window=."
        )
    share = apart / half_window if date_weight == "linear" else apart // half_window
    nearness = (1 - (1 - LEAST_DATE_WEIGHT) * share)[inside]
    cuts = np.concatenate([[0], inside.sum(axis=1).cumsum()])
    within = Periods(order[np.nonzero(inside)[1]].astype("int64"), cuts.astype("int64"))
    days = ((dates - dates.min()) / pd.Timedelta(days=1)).to_numpy()
    return _Window(within, centres, nearness, days, dates.min())


def _coarse_factor(band: xr.DataArray, pixel: float | None) -> int:
    size = _pixel_metres(band) if pixel is None else pixel
    if not is_between(size, 0, np.inf):
        raise BadRequest(f"wasp: pixel is {pixel!r}, expected its size in metres.")
    return max(round(COARSE_METRES / size), 1)


def _pixel_metres(band: xr.DataArray) -> float:
    name = band.dims[-1]
    axis = band[name] if name in band.coords else None
    crs = crs_of(band)
    units = "none" if axis is None else str(axis.attrs.get("units", crs.units[0] if crs else "none"))
    if axis is None or axis.size < 2 or units not in METRES:
        raise BadRequest(
            f"wasp: the size of a pixel is not known in metres (axis {name!r} of {band.sizes[name]}, units {units!r}). "
            "Give pixel=, such as pixel=10."
        )
    return float(abs(axis[1] - axis[0]))


def aot_weight(thickness: Any) -> Any:
    """The weight of an observation by its aerosol optical thickness: 1 in clear air, 0.33 from 0.8 or where unknown."""
    clear = np.clip(1 - np.asarray(thickness, "float32") / np.float32(MOST_AOT), 0, 1)
    return LEAST_AOT_WEIGHT + (1 - LEAST_AOT_WEIGHT) * np.nan_to_num(clear, nan=0.0)


def cloud_weights(shares: Array) -> Array:
    """The weight of each coarse pixel by the clouds around it, float32 between 0 and 1.

    Parameters
    ----------
    shares : numpy.ndarray
        Share of cloud in each coarse pixel of 240 m, axes time, y, x.
    """
    cloudy = (shares > 0.5).astype("float32")
    near, far = (gaussian_filter(cloudy, (0, blur, blur), mode="nearest") for blur in BLURS)
    return np.asarray((1 - near) * (1 - far), "float32")


def _nearby(bands: Sequence[xr.DataArray], cloud: xr.DataArray | None, factor: int) -> xr.DataArray:
    sources = list(bands) if cloud is None else [cloud]
    see = partial(_cloudy, is_mask=cloud is not None)
    if all(source.chunks is None for source in sources):
        coarse = cloud_weights(_averages(see(*(source.values for source in sources)), factor))
        return sources[0].copy(
            data=_spread(coarse, factor, np.arange(sources[0].shape[1]), np.arange(sources[0].shape[2]))
        )
    axes = tuple(range(sources[0].ndim))
    again = [part for source in sources for part in (_read_again(source.chunk().data), axes)]
    cloudy = da.blockwise(see, axes, *again, dtype=bool, meta=np.empty((0,) * 3, bool))
    tiled = whole_columns(next(source for source in sources if source.chunks is not None))
    rows, columns = (da.arange(tiled.sizes[name], chunks=(tiled.chunksizes[name],)) for name in tiled.dims[1:])
    pairs = (_coarse(cloudy, factor), (0, 3, 4), rows, (1,), columns, (2,))
    meta = np.empty((0,) * 3, "float32")
    spread = da.blockwise(partial(_spread_block, factor=factor), axes, *pairs, dtype=meta.dtype, meta=meta)
    return tiled.copy(data=spread)


def _read_again(source: Any) -> Any:
    # Were the blur to share its blocks with the synthesis, every block of the cube would wait in memory for the blur.
    # Only sources and symbolic layers are cloned: dask's clone of others refers to keys that are not there (2026.8).
    graph = source.dask
    sound = (isinstance(layer, Blockwise) or not graph.dependencies[name] for name, layer in graph.layers.items())
    return clone(source, seed=source.name) if all(sound) else source


def _cloudy(*blocks: Array, is_mask: bool) -> Array:
    if is_mask:
        return _is_set(blocks[0])
    return reduce(np.logical_and, map(np.isnan, blocks))


def _is_set(mask: Array) -> Array:
    return np.asarray((mask != 0) & (mask == mask))  # noqa: PLR0124 - false for NaN


def _coarse(cloudy: Any, factor: int) -> Any:
    dates = cloudy.shape[0]
    aligned = cloudy.rechunk((dates, *(math.ceil(max(sizes) / factor) * factor for sizes in cloudy.chunks[1:])))
    sizes = tuple(tuple(math.ceil(size / factor) for size in chunks) for chunks in aligned.chunks[1:])
    shares = da.map_blocks(_averages, aligned, factor=factor, chunks=((dates,), *sizes), dtype="float32")
    return da.map_blocks(cloud_weights, shares.rechunk(shares.shape), dtype="float32")


def _averages(cloudy: Array, factor: int) -> Array:
    rows, columns = (np.arange(0, size, factor) for size in cloudy.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(cloudy, rows, axis=1, dtype="float32"), columns, axis=2)
    heights, widths = (
        np.minimum(factor, size - starts) for size, starts in zip(cloudy.shape[1:], (rows, columns), strict=True)
    )
    return np.asarray(sums / (heights[:, None] * widths), "float32")


def _spread_block(coarse: Any, rows: Array, columns: Array, *, factor: int) -> Array:
    while isinstance(coarse, list):  # the coarse axes end here
        coarse = coarse[0]
    return _spread(coarse, factor, rows, columns)


def _spread(coarse: Array, factor: int, rows: Array, columns: Array) -> Array:
    low, high, share = _neighbours(rows, factor, coarse.shape[1])
    left, right, across = _neighbours(columns, factor, coarse.shape[2])
    along = coarse[:, low] * (1 - share)[:, None] + coarse[:, high] * share[:, None]
    return np.asarray(along[:, :, left] * (1 - across) + along[:, :, right] * across, "float32")


def _neighbours(fine: Array, factor: int, size: int) -> tuple[Array, Array, Array]:
    place = np.clip((fine + 0.5) / factor - 0.5, 0, size - 1)
    low = np.minimum(place.astype("int64"), max(size - 2, 0))
    return low, np.minimum(low + 1, size - 1), (place - low).astype("float32")


def _synthesise(*blocks: Array, bands: int, names: tuple[str, ...], window: _Window) -> Array:
    values, nearby, layers = blocks[:bands], blocks[bands], dict(zip(names, blocks[bands + 1 :], strict=True))
    columns = [as_columns(block) for block in values]
    dates, pixels = columns[0].shape
    states = _states(values, layers).reshape(dates, pixels)
    weights = np.maximum(nearby, _FAINT) * (aot_weight(layers["aot"]) if "aot" in layers else np.float32(1))
    weights = as_columns(weights.astype("float32", copy=False))
    days = as_columns(np.broadcast_to(window.days.astype("float32")[:, None], (dates, pixels)))
    words = (states, weights, *window.periods.places, np.array(window.nearness))
    out = np.empty((bands + 3, len(window.periods), pixels), common_floats(values))
    for column, filled in zip([*columns, days], out[: bands + 1], strict=True):
        kernels.weighted_means(column, *words, filled)
    flag, weight = np.empty(out.shape[1:], "uint8"), np.empty(out.shape[1:], "float32")
    kernels.column_flags(*words, flag, weight)
    out[bands + 1 :] = weight, flag
    return out.reshape(*out.shape[:2], *values[0].shape[1:])


def _states(values: Sequence[Array], layers: dict[str, Array]) -> Array:
    observed = ~_cloudy(*values, is_mask=False)
    states = np.where(observed, np.uint8(LAND), np.uint8(0))
    for word, state in (("snow", SNOW), ("water", WATER)):
        if word in layers:
            states[observed & _is_set(layers[word])] = state
    if "cloud" in layers:
        states[_is_set(layers["cloud"])] = CLOUD
    return states


def _dataset(
    cube: xr.Dataset, bands: Sequence[xr.DataArray], stacked: Any, periods: Periods, window: _Window
) -> xr.Dataset:
    pieces = [(str(band.name), floats_for(band.dtype), attributes_of(band, _METHOD)) for band in bands]
    layers = [(name, np.dtype(dtype), attrs) for name, dtype, attrs in _layers(window)]
    placed = {key: bands[0].attrs[key] for key in ("grid_mapping", "comment") if key in bands[0].attrs}
    variables = {
        name: xr.Variable(
            axes_of(bands[0], periods),
            pick(stacked, at, drop_time=periods.edges is None, dtype=dtype),
            {**placed, **attrs},
            encoding_of(bands[0]),
        )
        for at, (name, dtype, attrs) in enumerate([*pieces, *layers])
    }
    axis, centres = (TIME, window.centres) if periods.edges is not None else ((), window.centres[0])
    words = {"long_name": "date de synthèse / synthesis date"}
    return frame_of(cube, periods, variables).assign_coords(synthesis_date=(axis, centres, words))


def _layers(window: _Window) -> list[tuple[str, str, dict[str, Any]]]:
    days = f"days since {window.origin:%Y-%m-%d}"
    flags = {"flag_values": np.arange(5, dtype="uint8"), "flag_meanings": _FLAGS, "standard_name": "status_flag"}
    return [
        ("date", "float32", {"long_name": "date moyenne pondérée / weighted mean date", "units": days}),
        ("weight", "float32", {"long_name": "somme des poids / sum of weights", "units": "1"}),
        ("flag", "uint8", {"long_name": "nature du pixel / kind of pixel", **flags}),
    ]
