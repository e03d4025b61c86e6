"""Dieback on 200 dates × 1 M pixels from six bands, beside date-by-date masks and numpy's fit of each pixel."""

from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from _duel import Array, Duel, run

from earthlab.analysis.dieback import dieback
from earthlab.analysis.harmonics import EPOCH

DATES = pd.date_range("2015-07-06", periods=200, freq="10D")
BANDS = ("blue", "green", "red", "nir08", "swir16", "swir22")
WIDTH, TILE = 1000, 50
TRAINING, LIMIT = np.searchsorted(DATES, pd.to_datetime(["2018-01-01", "2018-06-01"]))
LEAST, THRESHOLD, SUCCESSIVE = 10, 0.16, 3
WATER_LINE = (1610.4 - 864.0) / (2185.7 - 864.0)


def scene(rows: int) -> xr.Dataset:
    """A stand of spruce of which a part dies back; cloudy in squares; made tile by tile in the tasks."""
    shape = (len(DATES), rows, WIDTH)
    cuts = ((len(DATES),), _cut(rows), (WIDTH,))
    bands = {
        name: da.map_blocks(_tile, name, chunks=cuts, dtype="float32", meta=np.empty((0,) * 3, "float32"))
        for name in BANDS
    }
    assert all(band.shape == shape for band in bands.values())
    return xr.Dataset({name: (("time", "y", "x"), band) for name, band in bands.items()}, coords={"time": DATES})


def _cut(rows: int) -> tuple[int, ...]:
    whole, rest = divmod(rows, TILE)
    return (TILE,) * whole + ((rest,) if rest else ())


def _tile(name: str, block_info: Any = None) -> Array:
    first = block_info[None]["array-location"][1][0]
    rows, columns = block_info[None]["chunk-shape"][1:]
    return np.stack([_row(name, first + row, columns) for row in range(rows)], axis=1)


def _row(name: str, row: int, columns: int) -> Array:
    dates = len(DATES)
    cloudy = np.repeat(np.random.default_rng([row // 25, 0]).random((dates, columns // 25)) < 0.3, 25, axis=1)
    fixed = {"blue": 0.02, "green": 0.035, "red": 0.022, "nir08": 0.28, "swir22": 0.045}
    if name in fixed:
        return np.where(cloudy, np.float32(0.45), np.float32(fixed[name]))
    rng = np.random.default_rng([row, 1])
    begins = rng.integers(LIMIT, 3 * dates, columns)
    turn = 2 * np.pi * np.asarray((DATES - pd.Timestamp(EPOCH)) / pd.Timedelta(days=1)) / 365.25
    water = (0.62 + 0.05 * np.sin(turn)).astype("float32")[:, None]
    water = water + np.float32(0.015) * rng.standard_normal((dates, columns), "float32")
    water += np.float32(0.35) * (np.arange(dates)[:, None] >= begins)
    line = np.float32(0.28 + (0.045 - 0.28) * WATER_LINE)
    return np.where(cloudy, np.float32(0.30), water * line)


def ours(rows: int) -> Array:
    """The whole detection; the alarm of the first rows, and the area of all."""
    found = dieback(scene(rows))
    first = found["alarm"].isel(y=slice(0, 2)), _days(found["first_date"].isel(y=slice(0, 2)))
    counts = (found["confidence"] == code for code in (1, 2, 3))
    alarm, day, *_ = da.compute(*(part.data for part in first), *(count.sum().data for count in counts))
    return np.stack([alarm, np.where(alarm == 1, day, 0)])


def _days(dates: xr.DataArray) -> xr.DataArray:
    return (dates - np.datetime64(EPOCH)) / np.timedelta64(1, "D")


def peer(rows: int) -> Array:
    """The same by a mask a date and a fit a pixel, in memory, as a script for one small image does it."""
    cube = scene(rows).compute()
    mask = _masks(cube)
    line = cube.nir08 + (cube.swir22 - cube.nir08) * WATER_LINE
    index = np.where(mask, np.nan, cube.swir16 / line)
    turn = 2 * np.pi * np.asarray((DATES - pd.Timestamp(EPOCH)) / pd.Timedelta(days=1)) / 365.25
    design = np.stack([np.ones(len(DATES)), np.sin(turn), np.cos(turn), np.sin(2 * turn), np.cos(2 * turn)], axis=1)
    model = np.apply_along_axis(_fit, 0, index[:LIMIT], design[:LIMIT])
    apart = index - np.tensordot(design, model, axes=1)
    return _watch(apart)[:, :2]


def _masks(cube: xr.Dataset) -> Array:
    from scipy.ndimage import binary_dilation, generate_binary_structure

    cloud = (cube.blue > 0.07) | ((cube.green / (cube.nir08 + cube.red + cube.green) > 0.15) & (cube.blue > 0.04))
    cross = generate_binary_structure(2, 1)
    return np.stack([binary_dilation(image, cross, iterations=3) if image.any() else image for image in cloud.values])


def _fit(values: Array, design: Array) -> Array:
    seen = np.flatnonzero(np.isfinite(values))
    used = seen[: max(LEAST, int((seen < TRAINING).sum()))]
    return np.linalg.lstsq(design[used], values[used], rcond=None)[0]


def _watch(apart: Array) -> Array:
    shape = apart.shape[1:]
    alarm, run, first, since = np.zeros(shape, bool), np.zeros(shape, int), np.full(shape, -1), np.full(shape, -1)
    for date in range(TRAINING, len(apart)):
        seen = np.isfinite(apart[date])
        against = seen & ((apart[date] > THRESHOLD) != alarm)
        run = np.where(against, run + 1, np.where(seen, 0, run))
        since = np.where(against & (run == 1), date, since)
        turning = against & (run == SUCCESSIVE)
        alarm = alarm ^ turning
        first = np.where(turning & alarm, since, first)
        run = np.where(turning, 0, run)
    days = np.asarray((DATES - pd.Timestamp(EPOCH)) / pd.Timedelta(days=1))
    return np.stack([alarm.astype(float), np.where(alarm, days[first], 0)])


if __name__ == "__main__":
    run(
        Duel(
            "dieback",
            len(DATES),
            ours,
            peer,
            "numpy, a mask a date",
            rows=(1000, 20),
            peer_rows=(50, 4),
            tolerance=0,
        )
    )
