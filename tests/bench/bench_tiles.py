"""Live tiles of a real kernel, asked over its socket: of a cube in files, of an array in memory, of a recipe.

Each tile is another place or date than the one before, so that nothing of it is at hand but open files. The scenes are
constructed. Bars: half of the tiles within 40 ms at native zoom, and within 80 ms zoomed out. The figures go to
``bench/tiles.json`` too.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
from scenes import make_scenes

from tests.view.drawn import tile_at
from tests.view.kernels import RunningKernel, running_kernel
from tests.view.test_serving import ask

ROOT = Path(__file__).parents[2]
BARS = {"native": 40.0, "zoomed out": 80.0}
ZOOMS = {"native": (14,), "zoomed out": (8, 9, 10, 11, 12)}
STYLE = {"cube": "band=red&low=0&high=0.2", "array": "low=0&high=0.2", "ndvi": "low=-1&high=1"}

PREPARE = """
import json
import earthlab as el
from pathlib import Path
from earthlab.catalog import ItemSet, norm_item
documents = json.loads(Path({listing!r}).read_text())
cube = el.open(ItemSet(tuple(norm_item(each) for each in documents)), bands=["red", "nir"])
array = cube.red.compute()
ndvi = ((cube.nir - cube.red) / (cube.nir + cube.red)).median("time")
"""


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--tiles", type=int, default=120)
    asked.add_argument("--side", type=int, default=4096)
    asked.add_argument("--dates", type=int, default=4)
    asked.add_argument("--scenes", type=Path, default=Path(tempfile.gettempdir()) / "earthlab-bench")
    words = asked.parse_args()
    documents = make_scenes(words.scenes / f"tiles-{words.side}", dates=words.dates, side=words.side)
    with tempfile.TemporaryDirectory() as scratch, running_kernel() as kernel:
        listing = Path(scratch) / "items.json"
        listing.write_text(json.dumps(documents))
        kernel.run(PREPARE.format(listing=str(listing)), timeout=600)
        report = {name: _measure(kernel, name, documents, words.tiles) for name in STYLE}
    written = ROOT / "bench" / "tiles.json"
    written.parent.mkdir(exist_ok=True)
    written.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    return 0


def _measure(kernel: RunningKernel, name: str, documents: list[Any], count: int) -> dict[str, Any]:
    left, pixel, top = (documents[0]["properties"]["proj:transform"][at] for at in (2, 0, 5))
    side = documents[0]["properties"]["proj:shape"][0] * pixel
    times = [each["properties"]["datetime"].rstrip("Z") for each in documents]
    chance, found = random.Random(0), {}
    for label, zooms in ZOOMS.items():
        seconds = []
        for at in range(count + 5):
            x, y = left + chance.random() * side, top - chance.random() * side
            tile = tile_at(zooms[at % len(zooms)], "EPSG:32631", x, y)
            time_ = "" if name == "ndvi" else f"&time={chance.choice(times)}"
            address = f"/tiles/{name}/{tile.z}/{tile.x}/{tile.y}.png?{STYLE[name]}{time_}"
            begun = time.perf_counter()
            status, content = ask(kernel.socket, "GET", address)
            seconds.append(time.perf_counter() - begun)
            if status != 200:
                raise SystemExit(f"{address}: {content.decode()}")
        found[label] = _table(name, label, seconds[5:])
    return found


def _table(name: str, label: str, seconds: list[float]) -> dict[str, float]:
    p50, p95 = (1000 * statistics.quantiles(seconds, n=100)[at - 1] for at in (50, 95))
    worst, bar = 1000 * max(seconds), BARS[label]
    print(f"{name:8}{label:12} p50 {p50:7.1f} ms (bar {bar:.0f})   p95 {p95:7.1f} ms   worst {worst:7.1f} ms")
    return {"p50_ms": p50, "p95_ms": p95, "worst_ms": worst, "bar_ms": bar, "tiles": len(seconds)}


if __name__ == "__main__":
    raise SystemExit(main())
