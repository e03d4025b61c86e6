"""One contender at one case, in a process of its own: warmed up on a small scene, then timed once, caches cold.

``python contenders.py NAME CASE ITEMS.json OUT.npy`` prints one JSON line: seconds, peak memory, and what was read.
Each peer is written as its own documentation shows it.
"""

import json
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent))
from scenes import CORNER, CRS, KEEP, PIXEL, SCALE

Items = list[dict[str, Any]]
OTHER_CRS = 2154
CHUNK = 1024


def ours(items: Items, *, side: int, other: bool) -> np.ndarray:
    import earthlab as el
    from earthlab.analysis import composite, vegetation
    from earthlab.catalog import ItemSet, norm_item

    found = ItemSet(tuple(norm_item(item) for item in items))
    words: dict[str, Any] = {"like": _box(side), "resampling": "bilinear"} if other else {}
    cube = el.open(found, bands=["red", "nir"], **words)
    return np.asarray(composite.median(vegetation.ndvi(cube)))


def stackstac(items: Items, *, side: int, other: bool) -> np.ndarray:
    import stackstac as peer
    from rasterio.enums import Resampling

    grid = _box(side).boundingbox if other else None
    words: dict[str, Any] = (
        {"epsg": OTHER_CRS, "bounds": tuple(grid), "resampling": Resampling.bilinear} if grid else {"epsg": 32631}
    )
    stack = peer.stack(items, assets=["B04", "B08"], resolution=10, chunksize=CHUNK, snap_bounds=False, **words)
    flags = peer.stack(
        items,
        assets=["SCL"],
        resolution=10,
        chunksize=CHUNK,
        snap_bounds=False,
        **{k: v for k, v in words.items() if k != "resampling"},
    )
    stack = stack.where(flags.sel(band="SCL").isin(KEEP))
    red, nir = stack.sel(band="B04"), stack.sel(band="B08")
    return np.asarray(((nir - red) / (nir + red)).chunk(time=-1).median("time"))


def odc(items: Items, *, side: int, other: bool, chunk: int = 2048) -> np.ndarray:
    """With the chunks of its documentation."""
    import odc.stac
    import pystac

    words: dict[str, Any] = (
        {"geobox": _box(side), "resampling": {"SCL": "nearest", "*": "bilinear"}}
        if other
        else {"crs": CRS, "resolution": 10}
    )
    cube = odc.stac.load(
        [pystac.Item.from_dict(item) for item in items],
        bands=["B04", "B08", "SCL"],
        chunks={"x": chunk, "y": chunk},
        groupby="time",
        **words,
    )
    clear = cube.SCL.isin(KEEP)
    red, nir = ((cube[k].where(clear & (cube[k] != 0)) * SCALE).astype("float32") for k in ("B04", "B08"))
    return np.asarray(((nir - red) / (nir + red)).chunk(time=-1).median("time"))


def decode(items: Items, *, side: int, other: bool) -> np.ndarray:
    """The floor: GDAL alone, two threads, each file once; warped where the case warps. Nothing is computed."""
    import rasterio

    hrefs = [(asset["href"], key) for item in items for key, asset in item["assets"].items()]
    read = _warp_alone(side) if other else _decode_alone
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda found: read(*found), hrefs))
    return np.zeros(0)


def _decode_alone(href: str, _key: str) -> None:
    import rasterio

    with rasterio.open(href, sharing=False) as source:
        source.read(1)


def _warp_alone(side: int) -> Callable[[str, str], None]:
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    grid = _box(side)

    def warp(href: str, key: str) -> None:
        with rasterio.open(href, sharing=False) as source:
            out = np.zeros(grid.shape, source.dtypes[0])
            how = Resampling.nearest if key == "SCL" else Resampling.bilinear
            reproject(rasterio.band(source, 1), out, dst_transform=grid.transform, dst_crs="EPSG:2154", resampling=how)

    return warp


def _box(side: int) -> Any:
    from odc.geo.geobox import GeoBox

    left, top = CORNER
    native = GeoBox.from_bbox((left, top - side * PIXEL, left + side * PIXEL, top), CRS, resolution=PIXEL)
    middle = native.extent.to_crs("EPSG:2154").centroid.coords[0]
    x, y = (round(v / 10) * 10 for v in middle)
    half = side * PIXEL / 2
    return GeoBox.from_bbox((x - half, y - half, x + half, y + half), "EPSG:2154", resolution=PIXEL)


CONTENDERS = {
    "ours": ours,
    "stackstac": stackstac,
    "odc": odc,
    "odc-1024": partial(odc, chunk=CHUNK),
    "gdal": decode,
}


class Peak(threading.Thread):
    """The highest resident memory of this process while it runs, bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done, self.bytes = threading.Event(), 0

    def run(self) -> None:
        me = psutil.Process()
        while not self.done.wait(0.005):
            self.bytes = max(self.bytes, me.memory_info().rss)


def main(name: str, case: str, listing: str, small: str, out: str) -> None:
    warnings.simplefilter("ignore")
    items, tiny = (json.loads(Path(path).read_text()) for path in (listing, small))
    side = items[0]["properties"]["proj:shape"][0]
    with dask.config.set(scheduler="threads", num_workers=2):
        CONTENDERS[name](tiny, side=tiny[0]["properties"]["proj:shape"][0], other=case == "c")
        before = psutil.Process().memory_info().rss
        peak = Peak()
        peak.start()
        started = time.perf_counter()
        result = CONTENDERS[name](items, side=side, other=case == "c")
        seconds = time.perf_counter() - started
        peak.done.set()
        peak.join()
    np.save(out, result)
    print(json.dumps({"seconds": seconds, "peak": peak.bytes, "before": before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
