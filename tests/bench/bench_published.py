"""Tiles of a shared cube: milliseconds of a picture, near and from afar, read anew and from what is kept.

Run: ``python tests/bench/bench_published.py [--scenes FOLDER] [--side 4096] [--dates 12]``. Bars, of the median: 40 ms
at the cube's own zoom, 80 ms further out. Beside them, where rio-tiler is installed, its ``XarrayReader`` on the same
cube, open in this process. Wall-clock time is told, and the processor's own, which others change less. The figures go
to ``bench/published.json`` too.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from scenes import make_scenes

import earthlab as el
from earthlab.catalog import ItemSet, norm_item
from earthlab.cube.shared import share_cube
from earthlab.cube.shared.sharing import SharedCube
from earthlab.errors import AskLess
from earthlab.services.tiles.cubes import Cubes, PublishedCube
from earthlab.services.tiles.pictures import draw, plan_picture
from earthlab.services.tiles.shards import KeptChunks
from earthlab.services.tiles.shelf import FolderShelf

ROOT = Path(__file__).parents[2]
STYLE = {"colormap": "viridis", "low": "0", "high": "0.4"}
OUT = (0, 1, 2, 3, 5)
"""Zooms further out than the cube's own."""

Draw = Callable[[int, int, int, int], object]
"""Draws a step on a tile."""


def tiles_of(cube: PublishedCube, zoom: int, most: int) -> list[tuple[int, int]]:
    """Some of the tiles on which the cube is, spread over it."""
    west, south, east, north = cube.bounds

    def down(latitude: float) -> float:
        return (1 - math.asinh(math.tan(math.radians(latitude))) / math.pi) / 2

    columns = range(int((west + 180) / 360 * 2**zoom), int((east + 180) / 360 * 2**zoom) + 1)
    rows = range(int(down(north) * 2**zoom), int(down(south) * 2**zoom) + 1)
    every = [(x, y) for y in rows for x in columns]
    chosen = np.random.default_rng(0).permutation(len(every))[:most]
    return [every[at] for at in chosen]


def measure(cube: PublishedCube, render: Draw, forget: Callable[[], None], most: int) -> Iterator[dict[str, Any]]:
    """A row a zoom: what a tile takes that is read anew, and one of another date beside it."""
    for out in OUT:
        zoom = cube.zoom - out
        told: dict[str, list[float]] = {"cold": [], "cpu": [], "next": []}
        try:
            for at, (x, y) in enumerate(tiles_of(cube, zoom, most)):
                forget()
                began, worked = time.perf_counter(), time.thread_time()
                render(at % len(cube.times), zoom, x, y)
                told["cpu"].append(1e3 * (time.thread_time() - worked))
                told["cold"].append(1e3 * (time.perf_counter() - began))
                began = time.perf_counter()
                render((at + 1) % len(cube.times), zoom, x, y)
                told["next"].append(1e3 * (time.perf_counter() - began))
        except AskLess:
            yield {"out": out, "refused": True}
            continue
        yield {
            "out": out,
            **{name: statistics.median(found) for name, found in told.items()},
            "p95": _p95(told["cold"]),
        }


def _p95(found: list[float]) -> float:
    return sorted(found)[min(len(found) - 1, int(0.95 * len(found)))]


def ours(store: str, shared: SharedCube, *, overviews: bool = True) -> tuple[PublishedCube, Draw, Callable[[], None]]:
    """The service's own way, without its doors."""
    cubes = Cubes(FolderShelf(Path(store)))
    cube = cubes.find(shared.token)
    if not overviews:
        for part in cube.parts:
            object.__setattr__(part, "factors", (1,))
            object.__setattr__(part, "levels", part.levels[:1])

    def render(step: int, zoom: int, x: int, y: int) -> bytes:
        return draw(cubes, plan_picture(cube, ["red"], cube.times[step], STYLE, (zoom, x, y)))

    def forget() -> None:
        fresh = KeptChunks()
        for part in cube.parts:
            for level in part.levels:
                object.__setattr__(level.source, "kept", fresh)

    return cube, render, forget


def rio_tilers(shared: SharedCube) -> Draw | None:
    """rio-tiler on the cube as it is open in this process; None where that is not installed."""
    try:
        from rio_tiler.errors import TileOutsideBounds
        from rio_tiler.io.xarray import XarrayReader
    except ImportError:
        return None
    array = shared.open().red
    array = array.rio.write_crs(array.odc.geobox.crs.to_wkt())

    def render(step: int, zoom: int, x: int, y: int) -> bytes:
        with XarrayReader(array.isel(time=[step])) as reader:
            try:
                image = reader.tile(x, y, zoom, tilesize=256)
            except TileOutsideBounds:  # the box of the cube is larger than the cube
                return b""
        image.rescale(((0, 0.4),))
        found: bytes = image.render(img_format="PNG")
        return found

    return render


def show(title: str, measured: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a zoom."""
    rows = []
    print(f"\n{title}\n  zooms out   median     p95   (cpu)   next date   ms")
    for row in measured:
        rows.append(row)
        if row.get("refused"):
            print(f"  {row['out']:>9}  refused: too much for one picture")
            continue
        cold, p95, cpu, following = (row[name] for name in ("cold", "p95", "cpu", "next"))
        print(f"  {row['out']:>9} {cold:>8.1f} {p95:>7.1f} {cpu:>7.1f} {following:>11.1f}")
    return rows


def main() -> None:
    """Build the cube, and tell the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--scenes", type=Path, default=Path(tempfile.gettempdir()) / "earthlab-bench")
    asked.add_argument("--side", type=int, default=4096)
    asked.add_argument("--dates", type=int, default=12)
    asked.add_argument("--tiles", type=int, default=40)
    words = asked.parse_args()
    documents = make_scenes(words.scenes, dates=words.dates, side=words.side)
    plan = el.plan(ItemSet(tuple(norm_item(document) for document in documents)), bands=["red"])
    with tempfile.TemporaryDirectory() as store:
        began = time.perf_counter()
        shared = share_cube(plan, store=store)
        took = time.perf_counter() - began
        print(f"{words.dates} dates × {words.side}², built in {took:.1f} s: {shared.marker.size:,} bytes")
        cube, render, forget = ours(store, shared)
        render(0, cube.zoom, *tiles_of(cube, cube.zoom, 1)[0])
        report = {
            "ours": show("published tiles, with overviews", measure(cube, render, forget, words.tiles)),
            "without overviews": show("without overviews", measure(*ours(store, shared, overviews=False), words.tiles)),
        }
        theirs = rio_tilers(shared)
        if theirs is not None:
            report["rio-tiler"] = show(
                "rio-tiler's XarrayReader, the cube open in the process",
                measure(cube, theirs, lambda: None, words.tiles),
            )
    written = ROOT / "bench" / "published.json"
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
