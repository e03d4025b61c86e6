"""``make bench-cube``: our engine, the peers in their own idiom and the floor, alternating in one run.

Cases a (local), b (HTTP with 50 ms to the first byte) and c (onto another CRS) of a cloud-masked median NDVI; d the
graph, e and g shared cubes, f a cube larger than its worker. Results are compared before anything is printed; the
figures go to ``bench/cube.json`` too.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import bench_graph
import bench_memory
import bench_shared
from scenes import at_address, make_scenes

from earthlab.testing.stores import serve_files

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BARS = {
    "a": {"stackstac": 15.0, "odc": 15.0, "gdal": 1 / 1.3},
    "b": {"stackstac": 5.0, "odc": 4.0},
    "c": {"stackstac": 3.0, "odc": 3.0, "gdal": 1 / 1.3},
}
TITLES = {
    "a": "24 dates, local, native grid",
    "b": "the same through HTTP, 50 ms to the first byte",
    "c": "the same onto EPSG:2154, bilinear",
}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--cases", default="abcdefg")
    asked.add_argument("--times", type=int, default=3)
    asked.add_argument("--side", type=int, default=2048)
    asked.add_argument("--scenes", type=Path, default=Path(tempfile.gettempdir()) / "earthlab-bench")
    words = asked.parse_args()
    documents = make_scenes(words.scenes, side=words.side)
    tiny = make_scenes(words.scenes / "tiny", dates=2, side=512)
    others: dict[str, Callable[[], dict[str, Any]]] = {
        "d": bench_graph.measure,
        "e": lambda: bench_shared.measure_class(words.scenes, side=words.side),
        "f": lambda: bench_memory.measure(words.scenes),
        "g": lambda: bench_shared.measure_series(words.scenes),
    }
    report = {
        case: others[case]() if case in others else bench_case(case, documents, tiny, words.scenes, words.times)
        for case in words.cases
    }
    written = ROOT / "bench" / "cube.json"
    written.parent.mkdir(exist_ok=True)
    kept = json.loads(written.read_text()) if written.exists() else {}
    written.write_text(json.dumps({**kept, **report}, indent=1, sort_keys=True) + "\n")
    return 0


def bench_case(case: str, documents: list[Any], tiny: list[Any], folder: Path, times: int) -> dict[str, Any]:
    names = ["ours", *BARS[case], "odc-1024"]
    with tempfile.TemporaryDirectory() as scratch, serve_files(folder, latency=0.05) as store:
        remote = (at_address(found, folder, store.url) for found in (documents, tiny))
        listings = [Path(scratch) / name for name in ("items.json", "tiny.json")]
        for path, found in zip(listings, remote if case == "b" else (documents, tiny), strict=True):
            path.write_text(json.dumps(found))
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        results: dict[str, np.ndarray] = {}
        for _ in range(times):
            for name in names:
                out = Path(scratch) / f"{name}.npy"
                runs[name].append(_run(name, case, listings, out))
                results[name] = np.load(out)
    agree = {name: _agreement(results["ours"], results[name]) for name in names if name not in {"ours", "gdal"}}
    return _table(case, runs, agree)


def _run(name: str, case: str, listings: list[Path], out: Path) -> dict[str, float]:
    command = [sys.executable, str(HERE / "contenders.py"), name, case, *map(str, listings), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, case {case}: {done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _agreement(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    if ours.shape != theirs.shape:
        raise SystemExit(f"shapes differ: {ours.shape} and {theirs.shape}")
    both = np.isfinite(ours) & np.isfinite(theirs)
    gap = np.abs(ours[both] - theirs[both])
    return {
        "median": float(np.median(gap)),
        "share_within_0.002": float(np.mean(gap < 0.002)),
        "nan_differs": float(np.mean(np.isfinite(ours) != np.isfinite(theirs))),
    }


def _table(case: str, runs: dict[str, list[dict[str, float]]], agree: dict[str, Any]) -> dict[str, Any]:
    seconds = {name: statistics.median(run["seconds"] for run in found) for name, found in runs.items()}
    peaks = {name: statistics.median(run["peak"] for run in found) for name, found in runs.items()}
    print(f"\ncase {case}: {TITLES[case]}")
    print(f"{'':12}{'s (median)':>12}{'all':>30}{'peak MiB':>10}{'ratio':>8}{'bar':>8}   agreement")
    for name, found in runs.items():
        every = " ".join(f"{run['seconds']:.2f}" for run in found)
        ratio, bar = seconds[name] / seconds["ours"], BARS[case].get(name)
        words = "" if name not in agree else str({k: round(v, 6) for k, v in agree[name].items()})
        line = f"{name:12}{seconds[name]:12.3f}{every:>30}{peaks[name] / 2**20:10.0f}{ratio:8.2f}"
        print(line + (f"{bar:8.2f}" if bar else " " * 8) + f"   {words}")
    return {
        name: {
            "seconds": [run["seconds"] for run in found],
            "median_seconds": seconds[name],
            "peak_bytes": peaks[name],
            "times_ours": seconds[name] / seconds["ours"],
            "peak_times_ours": peaks[name] / peaks["ours"],
            "bar": BARS[case].get(name),
            "agreement": agree.get(name),
        }
        for name, found in runs.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
