"""64 indicators of seven seasons on 500 dates × 1 M pixels, beside numpy a pixel under `xarray.apply_ufunc`."""

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from _duel import Array, Duel, run

from earthlab.analysis.phenology import phenology

DATES = pd.date_range("2015-01-01", periods=500, freq="5D")
WIDTH, TILE = 1000, 50
COMPARED = ("peak_value", "base", "amplitude", "sos_50", "eos_50", "los_50", "small_integral_50")


def series(rows: int) -> xr.DataArray:
    """A noisy double logistic curve each year, three dates in ten lost to clouds; made tile by tile in the tasks."""
    chunks = (len(DATES), min(TILE, rows), WIDTH)
    data = da.map_blocks(
        _tile, chunks=((chunks[0],), _cut(rows), (WIDTH,)), dtype="float32", meta=np.empty((0,) * 3, "float32")
    )
    return xr.DataArray(data, dims=("time", "y", "x"), coords={"time": DATES})


def _cut(rows: int) -> tuple[int, ...]:
    whole, rest = divmod(rows, TILE)
    return (TILE,) * whole + ((rest,) if rest else ())


def _tile(block_info: Any = None) -> Array:
    shape = block_info[None]["chunk-shape"]
    days = DATES.dayofyear.to_numpy("float32")
    course = 0.2 + 0.6 * (1 / (1 + np.exp(-0.08 * (days - 120))) - 1 / (1 + np.exp(-0.05 * (days - 270))))
    values = np.empty(shape, "float32")
    first = block_info[None]["array-location"][1][0]
    for row in range(shape[1]):  # so that a pixel is the same whatever the size
        rng = np.random.default_rng(first + row)
        layer = course.astype("float32")[:, None] + np.float32(0.02) * rng.standard_normal(
            (shape[0], shape[2]), "float32"
        )
        values[:, row] = np.where(rng.random(layer.shape, "float32") < 0.3, np.float32(np.nan), layer)
    return values


def ours(rows: int) -> Array:
    """All 64 indicators, each averaged over all pixels in the same pass; what is compared is of the first row."""
    found = phenology(series(rows))
    first = found[list(COMPARED)].isel(y=0, x=slice(0, 200)).to_array()
    return np.asarray(da.compute(first.data, *(found[name].mean(("y", "x")).data for name in found))[0])


def peer(rows: int) -> Array:
    """Seven of them, as one writes it: a function of one pixel, vectorised by xarray."""
    index = series(rows)
    found = xr.apply_ufunc(
        _pixel,
        index,
        input_core_dims=[["time"]],
        output_core_dims=[["indicator", "season"]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=["float32"],
        dask_gufunc_kwargs={"output_sizes": {"indicator": len(COMPARED), "season": 7}},
    )
    first = found.isel(y=0, x=slice(0, 200)).transpose("indicator", "season", "x")
    return np.asarray(da.compute(first.data, found.mean(("y", "x")).data)[0])


def _pixel(values: Array) -> Array:
    years = DATES.year.to_numpy()
    seasons = (
        _season(DATES.dayofyear.to_numpy("float64")[years == year], values[years == year]) for year in np.unique(years)
    )
    return np.array(list(seasons), "float32").T


def _season(days: Array, values: Array) -> list[float]:
    seen = np.isfinite(values)
    days, values = days[seen], values[seen].astype("float64")
    top = values.argmax()
    low, high = values[:top].min(), values[top + 1 :].min()
    base, peak = (low + high) / 2, values[top]
    start = _crossing(days[: top + 1][::-1], values[: top + 1][::-1], low + (peak - low) / 2)
    end = _crossing(days[top:], values[top:], high + (peak - high) / 2)
    inner = (days > start) & (days < end)
    at = np.concatenate([[start], days[inner], [end]])
    area = np.trapezoid(np.interp(at, days, values) - base, at)
    return [peak, base, peak - base, start, end, end - start, area]


def _crossing(days: Array, values: Array, level: float) -> float:
    after = int(np.argmax(values < level))
    share = (values[after - 1] - level) / (values[after - 1] - values[after])
    return float(days[after - 1] + share * (days[after] - days[after - 1]))


if __name__ == "__main__":
    run(
        Duel(
            "phenology",
            len(DATES),
            ours,
            peer,
            "numpy a pixel (7 of 64)",
            rows=(1000, 20),
            peer_rows=(20, 2),
            tolerance=2e-3,
        )
    )
