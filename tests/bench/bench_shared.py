"""Cases e and g: a class that opens one shared cube at once, and the series of a pixel from a cube of 500 dates."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from scenes import at_address, make_scenes

import earthlab as el
from earthlab.catalog import ItemSet, norm_item
from earthlab.cube.shared import open_shared, share_cube
from earthlab.testing.stores import serve_files

HERE = Path(__file__).parent
PEOPLE = 20


def measure_class(folder: Path, *, side: int = 2048, times: int = 3) -> dict[str, Any]:
    """Case e, over HTTP with 50 ms to the first byte."""
    documents = make_scenes(folder, side=side)
    firsts, seconds = [], []
    with tempfile.TemporaryDirectory() as name, serve_files(folder, latency=0.05) as store:
        listings = Path(name) / "items.json", Path(name) / "small.json"
        for path, found in zip(listings, (documents, make_scenes(folder / "tiny", dates=2, side=512)), strict=True):
            path.write_text(json.dumps(at_address(found, folder, store.url)))
        for at in range(times):
            for found in (firsts, seconds):
                found.extend(_open_at_once(1, listings, Path(name) / f"cubes-{at}"))
        store.reset()
        everyone = _open_at_once(PEOPLE, listings, Path(name) / "class")
        sent = [one for one in store.requests() if not one.path.startswith("tiny/")]
        ranges = Counter((one.path, one.start, one.stop) for one in sent if one.method == "GET")
        kept = sum(path.stat().st_size for path in (Path(name) / "class").rglob("*") if path.is_file())
    first, second = (statistics.median(person["whole"] for person in found) for found in (firsts, seconds))
    found = {
        "first_seconds": first,
        "second_seconds": second,
        "first_over_second": first / second,
        "people": PEOPLE,
        "ranges_fetched": len(ranges),
        "ranges_fetched_twice": sum(count > 1 for count in ranges.values()),
        "overlapping_bytes": _overlap(ranges),
        "results_differ": len({round(person["mean"], 9) for person in (*firsts, *seconds, *everyone)}) - 1,
        "class_seconds": max(person["whole"] for person in everyone),
        "stored_megabytes": kept / 1e6,
    }
    print(f"\ncase e: {PEOPLE} processes at once, 24 dates × {side}² over HTTP")
    for label, value in found.items():
        print(f"  {label:<24} {value:.4g}")
    return found


def _open_at_once(people: int, listings: tuple[Path, Path], store: Path) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / "opener.py"), *map(str, listings), str(store)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(people)
    ]
    for one in running:
        if not one.stdout or one.stdout.readline().strip() != "ready":
            raise SystemExit("an opener did not start")
    for one in running:
        if one.stdin:
            one.stdin.write("go\n")
            one.stdin.flush()
    told = [json.loads(one.communicate()[0].splitlines()[-1]) for one in running]
    if any(one.returncode for one in running):
        raise SystemExit("an opener failed")
    return told


def _overlap(ranges: Counter[tuple[str, int, int]]) -> int:
    """Bytes that were sent more than once, whatever the ranges they were asked in."""
    total = 0
    for path in {path for path, _, _ in ranges}:
        reached = 0
        for start, stop in sorted((start, stop) for found, start, stop in ranges.elements() if found == path):
            total += max(0, min(stop, reached) - start)
            reached = max(reached, stop)
    return total


def measure_series(folder: Path, *, dates: int = 500, side: int = 512) -> dict[str, Any]:
    """Case g, opening included."""
    items = ItemSet(tuple(norm_item(item) for item in make_scenes(folder / "long", dates=dates, side=side)))
    plan = el.plan(items, bands=["red", "nir"])
    with tempfile.TemporaryDirectory() as store:
        share_cube(plan, store=store)
        rng = np.random.default_rng(1)

        def series() -> float:
            row, column = (int(at) for at in rng.integers(0, side, 2))
            started = time.perf_counter()
            values = open_shared(plan.token, store=store).red.isel(y=row, x=column).compute()
            assert values.sizes == {"time": dates}
            return time.perf_counter() - started

        first, later = series(), [series() for _ in range(20)]
    found = {"first_seconds": first, "median_seconds": statistics.median(later), "worst_seconds": max(later)}
    print(f"\ncase g: a pixel's series of {dates} dates from a shared cube, opening included (bar 0.1 s)")
    for label, value in found.items():
        print(f"  {label:<24} {value:.4g}")
    return found


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--scenes", type=Path, default=Path(tempfile.gettempdir()) / "earthlab-bench")
    words = asked.parse_args()
    measure_class(words.scenes)
    measure_series(words.scenes)
