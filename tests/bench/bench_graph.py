"""Case d: how big the graph of a large cube is, how long it takes to build, and how long 10,000 items take to plan."""

import pickle
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import earthlab as el
from earthlab.catalog import Band, Item, ItemSet
from earthlab.types import BBox

BANDS = {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B11": "swir16", "SCL": None}
ASKED = ["blue", "green", "red", "nir"]


def measure() -> dict[str, Any]:
    hundred, many = make_items(100), make_items(10_000, tiles=5)
    planned = el.plan(hundred, bands=ASKED)
    cube = el.open(planned)
    found = {
        "graph_megabytes": len(pickle.dumps(cube.__dask_graph__())) / 1e6,
        "graph_seconds": _median_seconds(lambda: el.open(planned)),
        "tasks": sum(len(array.data.dask) for array in cube.data_vars.values()),
        "plan_10000_items_seconds": _median_seconds(lambda: el.plan(many, bands=ASKED)),
    }
    print("\ncase d: 100 items × 4 bands × 10980²; 10,000 items")
    print(f"graph {found['graph_megabytes']:.3f} MB pickled (bar 0.3), {found['tasks']} tasks")
    print(f"built in {found['graph_seconds'] * 1e3:.1f} ms (bar 50)")
    print(f"10,000 items planned in {found['plan_10000_items_seconds']:.2f} s (bar 1)")
    return found


def make_items(count: int, *, tiles: int = 1) -> ItemSet:
    """Items of Sentinel-2 size that no file stands behind: planning reads none."""
    return ItemSet(tuple(_item(at, at % tiles, tiles) for at in range(count)))


def _item(at: int, tile: int, tiles: int) -> Item:
    name = f"31TC{chr(65 + tile)}"
    folder = f"https://data.example.org/sentinel-2-l2a/31/T/{name[3:]}/2020/S2A_{name}_{at:05d}_0_L2A"
    transform = (10.0, 0.0, 300_000.0 + tile * 100_000, 0.0, -10.0, 4_900_020.0)
    bands = tuple(
        Band(
            asset=key,
            name=key,
            href=f"{folder}/{key}.tif",
            common_name=common,
            media_type="image/tiff; application=geotiff; profile=cloud-optimized",
            crs="EPSG:32631",
            transform=transform,
            shape=(10_980, 10_980),
            dtype="uint16",
            nodata=0.0,
            scale=1e-4,
            offset=0.0,
            unit="1",
        )
        for key, common in BANDS.items()
    )
    moment = datetime(2017, 1, 1, 10, 30, tzinfo=UTC) + timedelta(days=at // tiles)
    box = BBox(0.5 + tile, 43.2, 1.9 + tile, 44.2)
    return Item(f"S2A_{at:05d}", "sentinel-2-l2a", moment, moment, box, None, bands)


def _median_seconds(act: Any) -> float:
    def once() -> float:
        started = time.perf_counter()
        act()
        return time.perf_counter() - started

    return statistics.median(once() for _ in range(5))


if __name__ == "__main__":
    measure()
