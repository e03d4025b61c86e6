"""Two ways to one result, in turns, each run in a process of its own."""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dask
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Contender = Callable[[int], Array]
"""From a number of rows of 1,000 pixels to what is compared: rows of the first tile, one a figure."""

_RUNS = 3
_MIB = 1024.0
_THREADS = 2


class Duel(NamedTuple):
    """One case: both contenders, what they are called, and their numbers of rows of 1,000 pixels, full and small."""

    case: str
    dates: int
    ours: Contender
    peer: Contender
    peer_name: str
    rows: tuple[int, int]
    peer_rows: tuple[int, int]
    tolerance: float


def run(duel: Duel) -> None:
    """Run both in turns, compare, and print one line of JSON; in a child, run one and save what it gave."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--child", choices=["ours", "peer"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--save", type=Path)
    words = parser.parse_args()
    if words.child:
        _be_a_child(getattr(duel, words.child), words.rows, words.save)
    else:
        sys.stdout.write(json.dumps(_referee(duel, small=words.small)) + "\n")


def _be_a_child(contender: Contender, rows: int, save: Path) -> None:
    with dask.config.set(scheduler="threads", num_workers=_THREADS):
        contender(1)  # compiles, imports
        begun = time.perf_counter()
        found = contender(rows)
        seconds = time.perf_counter() - begun
    np.save(save, found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mib": peak}) + "\n")


def _referee(duel: Duel, *, small: bool) -> dict[str, Any]:
    rows = {"ours": duel.rows[small], "peer": duel.peer_rows[small]}
    told: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        saved = {who: Path(folder) / f"{who}.npy" for who in told}
        for turn in range(1 if small else _RUNS):
            for who in told if turn % 2 == 0 else reversed(told):
                told[who].append(_start(who, rows[who], saved[who]))
                sys.stderr.write(f"{duel.case} {who}: {told[who][-1]}\n")
        ours, peer = (np.load(path) for path in saved.values())
    apart = np.abs(ours - peer)
    if not np.array_equal(np.isnan(ours), np.isnan(peer)) or not np.nanmax(apart) <= duel.tolerance:
        raise SystemExit(f"{duel.case}: the results differ by {np.nanmax(apart)}, expected {duel.tolerance} at most.")
    return {
        "case": duel.case,
        "size": f"{duel.dates} dates × {rows['ours'] * 1000:,} px",
        "ours_s": [run["seconds"] for run in told["ours"]],
        "peer": duel.peer_name,
        "peer_size": f"{duel.dates} dates × {rows['peer'] * 1000:,} px",
        "peer_s": [run["seconds"] for run in told["peer"]],
        "ours_peak_mib": max(run["peak_mib"] for run in told["ours"]),
        "peer_peak_mib": max(run["peak_mib"] for run in told["peer"]),
        "agree": f"largest difference {float(np.nanmax(apart)):.1e}",
    }


def _start(who: str, rows: int, save: Path) -> dict[str, float]:
    command = [sys.executable, sys.argv[0], "--child", who, "--rows", str(rows), "--save", str(save)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return told
