"""How long composites take on one core, beside what numpy and xarray take for the same.

Not a test: it asserts that the results agree, prints a table, and never fails for being slow.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis import composite
from earthlab.analysis.vegetation import ndvi

BANDS = ("red", "nir", "swir", "blue")


class Case(NamedTuple):
    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any] | None


def make_cube(dates: int, side: int) -> xr.Dataset:
    random = np.random.default_rng(dates)

    def band() -> Any:
        values = random.random((dates, side, side), np.float32)
        clouds = random.random((dates, side // 16, side // 16)) < 0.4
        values[clouds.repeat(16, axis=1).repeat(16, axis=2)] = np.nan
        return values

    times = pd.date_range("2018-01-03", periods=dates, freq="5D")
    return xr.Dataset({name: (("time", "y", "x"), band()) for name in BANDS}, {"time": times})


def plain_ndvi(cube: xr.Dataset) -> xr.DataArray:
    total = cube.nir + cube.red
    return (cube.nir - cube.red) / total.where(total > 0)


def cases(cube: xr.Dataset) -> Iterator[Case]:
    red, values = cube.red, cube.red.values
    yield Case("ndvi", lambda: ndvi(cube), lambda: plain_ndvi(cube))
    yield Case("median", lambda: composite.median(red), lambda: np.nanmedian(values, axis=0))
    yield Case("median of ndvi", lambda: composite.median(ndvi(cube)), lambda: plain_ndvi(cube).median("time"))
    yield Case(
        "quantiles .1 .5 .9",
        lambda: composite.quantile(red, [0.1, 0.5, 0.9]),
        (lambda: np.nanquantile(values, [0.1, 0.5, 0.9], axis=0)) if values.size < 7_000_000 else None,
    )
    yield Case("mean", lambda: composite.mean(red), lambda: np.nanmean(values, axis=0))
    yield Case("maximum", lambda: composite.maximum(red), lambda: np.nanmax(values, axis=0))
    yield Case("count", lambda: composite.count(red), lambda: red.count("time"))
    yield Case(
        "median a month",
        lambda: composite.median(red, period="month"),
        lambda: red.resample(time="MS").median(),
    )
    yield Case("max_ndvi, 4 bands", lambda: composite.max_ndvi(cube), None)
    yield Case("medoid, 4 bands", lambda: composite.medoid(cube), None)
    yield Case("wasp, 4 bands", lambda: composite.wasp(cube, pixel=10, half_window=500), None)


def best_of(call: Callable[[], Any], times: int) -> tuple[float, Any]:
    shortest, found = float("inf"), None
    for _ in range(times):
        start = time.perf_counter()
        found = call()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest, found


def agree(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-5, atol=1e-6)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--dates", type=int, nargs="+", default=[1, 6, 24, 73])
    words.add_argument("--side", type=int, default=512)
    chosen = words.parse_args()
    print(f"{'dates':>5}  {'case':<20} {'first ms':>9} {'ours ms':>9} {'numpy or xarray ms':>19} {'ratio':>7}")
    for dates in chosen.dates:
        cube = make_cube(dates, chosen.side)
        for case in cases(cube):
            first, _ = best_of(case.ours, 1)
            ours, found = best_of(case.ours, 5)
            line = f"{dates:>5}  {case.name:<20} {first * 1e3:9.1f} {ours * 1e3:9.1f}"
            if case.theirs is None:
                print(line)
                continue
            theirs, expected = best_of(case.theirs, 1)
            agree(found, expected)
            print(f"{line} {theirs * 1e3:19.1f} {theirs / ours:6.1f}x")


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of columns without an observation
        main()
