"""Case f: a cube of 400 GB reduced over time on one worker of 1.5 GB: part of it whole, all of it by numbers.

The files are GDAL VRTs that repeat one small constructed scene over 20,480²: large to read, small on disk.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import dask
import numpy as np
from dask.distributed import Client, LocalCluster
from scenes import CORNER, CRS, PIXEL, make_scenes

import earthlab as el
from earthlab.analysis import composite
from earthlab.catalog import ItemSet, norm_item
from earthlab.errors import AskLess

REPEAT, SMALL = 10, 2048
DATES = 120
WORKER = "1.5 GB"


def measure(folder: Path, *, pixels: int = 4096) -> dict[str, Any]:
    os.environ["EARTHLAB__COMPUTE__WORKER_MEMORY"] = WORKER
    items = _virtual_items(folder)
    whole = el.plan(items, bands=["red", "nir"])
    told = whole.explain()
    part = whole.geobox[:pixels, :pixels]
    cube = el.open(items, bands=["red", "nir"], like=part)
    with (
        dask.config.set({"distributed.worker.memory.terminate": 0.98}),
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=WORKER, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        before = client.run(os.getpid)
        median = composite.median(cube.nir).compute()
        after = client.run(os.getpid)
        peak = next(iter(client.run(_peak).values()))
    found = {
        "whole_gigabytes": whole.nbytes / 1e9,
        "whole_peak_bytes_a_thread": told.peak_bytes,
        "whole_tasks": told.tasks,
        "part_gigabytes": cube.nbytes / 1e9,
        "worker_survived": before == after,
        "worker_peak_gigabytes": peak / 1e9,
        "share_observed": float(np.isfinite(median).mean()),
        "too_large": _refusal(items),
    }
    print(f"\ncase f: {found['whole_gigabytes']:.0f} GB over one worker of {WORKER}")
    print(told)
    print(f"a part of {found['part_gigabytes']:.0f} GB: worker survived: {found['worker_survived']}, its peak", end=" ")
    print(f"{found['worker_peak_gigabytes']:.2f} GB, pixels observed: {found['share_observed']:.1%}")
    print(f"what cannot fit: {found['too_large']}")
    return found


def _refusal(items: ItemSet) -> str:
    try:
        el.plan(items, bands=["red", "nir"], chunks={"time": DATES, "y": 4096, "x": 4096})
    except AskLess as refused:
        return str(refused)
    raise SystemExit("a block of 16 GB for a worker of 1.5 GB was not refused")


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _virtual_items(folder: Path) -> ItemSet:
    documents = make_scenes(folder, side=SMALL)
    for document in documents:
        document["properties"]["proj:shape"] = [REPEAT * SMALL, REPEAT * SMALL]
        for asset in document["assets"].values():
            asset["href"] = str(_write_vrt(Path(asset["href"])))
    dated = [
        {**document, "id": f"{document['id']}-{year}", "properties": {**document["properties"], "datetime": when}}
        for year in range(DATES // len(documents))
        for document in documents
        for when in [document["properties"]["datetime"].replace("2020", str(2015 + year))]
    ]
    return ItemSet(tuple(sorted((norm_item(document) for document in dated), key=lambda item: item.moment)))


def _write_vrt(path: Path) -> Path:
    kind = "Byte" if path.stem.endswith("SCL") else "UInt16"
    size, (left, top) = REPEAT * SMALL, CORNER
    copies = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{SMALL}" ySize="{SMALL}"/>'
        f'<DstRect xOff="{x * SMALL}" yOff="{y * SMALL}" xSize="{SMALL}" ySize="{SMALL}"/></SimpleSource>'
        for y in range(REPEAT)
        for x in range(REPEAT)
    )
    text = (
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>{CRS}</SRS>'
        f"<GeoTransform>{left}, {PIXEL}, 0, {top}, 0, -{PIXEL}</GeoTransform>"
        f'<VRTRasterBand dataType="{kind}" band="1"><NoDataValue>0</NoDataValue>{copies}</VRTRasterBand></VRTDataset>'
    )
    vrt = path.with_suffix(".vrt")
    vrt.write_text(text)
    return vrt


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--scenes", type=Path, default=Path(tempfile.gettempdir()) / "earthlab-bench")
    asked.add_argument("--pixels", type=int, default=4096)
    words = asked.parse_args()
    measure(words.scenes, pixels=words.pixels)
