"""One person of a class, in a process of their own: opens the shared cube of a list of items and composes it.

``python opener.py ITEMS.json SMALL.json STORE`` warms up on a small scene, waits for a line on its input, so that many
begin at once, and prints one JSON line.
"""

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import dask
import numpy as np


def main(listing: str, small: str, store: str) -> None:
    warnings.simplefilter("ignore")
    with dask.config.set(scheduler="threads", num_workers=2):
        with tempfile.TemporaryDirectory() as scratch:
            compose(small, scratch)
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(compose(listing, store)), flush=True)


def compose(listing: str, store: str) -> dict[str, Any]:
    """Seconds until the shared cube is open and until its composite is there, and what came of it."""
    import earthlab as el
    from earthlab.analysis import composite, vegetation
    from earthlab.catalog import ItemSet, norm_item

    os.environ["EARTHLAB__CUBES__STORE"] = store
    items = ItemSet(tuple(norm_item(item) for item in json.loads(Path(listing).read_text())))
    started = time.perf_counter()
    cube = el.open(items, bands=["red", "nir"], share=True)
    opened = time.perf_counter()
    median = composite.median(vegetation.ndvi(cube)).compute()
    ended = time.perf_counter()
    return {"open": opened - started, "whole": ended - started, "mean": float(np.nanmean(median))}


if __name__ == "__main__":
    main(*sys.argv[1:])
