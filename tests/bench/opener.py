"""One person of a class, in a process of their own: opens the shared cube of a list of items and composes it.

``python opener.py ITEMS.json STORE`` waits for a line on its input, so that many begin at once, and prints one JSON
line.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import dask
import numpy as np


def main(listing: str, store: str) -> None:
    import os

    os.environ["EARTHLAB__CUBES__STORE"] = store
    warnings.simplefilter("ignore")
    import earthlab as el
    from earthlab.analysis import composite, vegetation
    from earthlab.catalog import ItemSet, norm_item

    items = ItemSet(tuple(norm_item(item) for item in json.loads(Path(listing).read_text())))
    with dask.config.set(scheduler="threads", num_workers=2):
        composite.median(vegetation.ndvi(_warm_cube())).compute()
        print("ready", flush=True)
        sys.stdin.readline()
        started = time.perf_counter()
        cube = el.open(items, bands=["red", "nir"], share=True)
        opened = time.perf_counter()
        median = composite.median(vegetation.ndvi(cube)).compute()
        ended = time.perf_counter()
    told = {
        "open": opened - started,
        "whole": ended - started,
        "mean": float(np.nanmean(median)),
        "token": cube.attrs["earthlab_token"],
    }
    print(json.dumps(told), flush=True)


def _warm_cube():
    import xarray as xr

    rng = np.random.default_rng(0)
    values = {name: (("time", "y", "x"), rng.random((24, 8, 8), "float32")) for name in ("red", "nir")}
    return xr.Dataset(values).chunk()


if __name__ == "__main__":
    main(*sys.argv[1:])
