"""SBAS on 100 interferograms of a million pixels, beside a loop over pixels with numpy's pseudo-inverse.

The stack is constructed: 36 dates, each joined to the next three, displacements that wander, and what is missing both
in patches of 20 × 20 pixels (one in ten) and at random (one in a hundred), so that hardly two pixels miss the same.
Both invert all interferograms of each pixel by least squares and give the displacement on every date. The peer is how
PyRate does it: for each pixel the rows of the design that it has, `numpy.linalg.pinv`, and a sum over the intervals.
It would take an hour for the whole image, so it is timed on some rows of it, and ours on these rows as well.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from earthlab.analysis import insar, networks

DATES, PAIRS = 36, 100
TILE = 100
MIB = 2**20
PEER = "numpy.linalg.pinv by pixel"


def main() -> None:
    """Make the stack, run both in turns, compare, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--part", choices=["ours", "peer"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int)
    words = parser.parse_args()
    if words.part:
        run = run_ours if words.part == "ours" else run_peer
        print(json.dumps(run(words.folder, words.rows)))
        return
    folder = Path(tempfile.mkdtemp(prefix="earthlab-sbas-"))
    try:
        print(json.dumps(compare(folder, small=words.small)))
    finally:
        shutil.rmtree(folder)


def compare(folder: Path, *, small: bool) -> dict[str, Any]:
    """Ours on the whole image, the peer and ours on its first rows, in turns."""
    side, rows, rounds = (200, 4, 1) if small else (1000, 10, 3)
    make_stack(folder, side)
    ours, peer, same = [], [], []
    for _ in range(rounds):
        ours.append(start("ours", folder, side))
        peer.append(start("peer", folder, rows))
        same.append(start("ours", folder, rows))
        print(f"ours {ours[-1]}, peer {peer[-1]}, ours on its rows {same[-1]}", file=sys.stderr)
    theirs = np.load(folder / "peer.npy")
    found = xr.open_zarr(folder / "ours.zarr", consolidated=False).displacement[:, :rows].values
    off = np.nanmax(np.abs(found - theirs))
    return {
        "case": "sbas",
        "size": f"{PAIRS} × {side * side:,} pixels",
        "ours_s": [each["seconds"] for each in ours],
        "ours_peak_mib": max(each["mib"] for each in ours),
        "peer": PEER,
        "peer_size": f"{PAIRS} × {side * rows:,} pixels",
        "peer_s": [each["seconds"] for each in peer],
        "peer_peak_mib": max(each["mib"] for each in peer),
        "ours_at_peer_size_s": [each["seconds"] for each in same],
        "agree": f"largest difference {off:.1e} mm, {np.isfinite(theirs).mean():.1%} known",
    }


def start(part: str, folder: Path, rows: int) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--rows", str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figure: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figure


def pairs_of(number: int = PAIRS) -> list[tuple[int, int]]:
    """Each date with the next, then the one after, and so on, until there are enough."""
    return [(one, one + step) for step in (1, 2, 3) for one in range(DATES - step)][:number]


def make_stack(folder: Path, side: int) -> None:
    """Write the stack as Zarr, a strip of rows at a time."""
    dates = pd.date_range("2015-01-01", periods=DATES, freq="12D")
    pairs = pairs_of()
    random = np.random.default_rng(0)
    firsts = [one for one, _ in pairs]
    patches = random.random((PAIRS, side // 20, side // 20)) < 0.1
    for top in range(0, side, TILE):
        truth = random.normal(0, 3, (DATES, TILE, side)).cumsum(axis=0)
        values = np.stack([truth[other] - truth[one] for one, other in pairs])
        values += random.normal(0, 1, values.shape)
        gone = patches[:, top // 20 : (top + TILE) // 20].repeat(20, axis=1).repeat(20, axis=2)
        values[gone | (random.random(values.shape) < 0.01)] = np.nan
        strip = xr.Dataset({"moved": (("time", "y", "x"), values.astype("float32"))}, {"time": dates[firsts]})
        chunked = strip.chunk(time=-1, y=TILE, x=TILE)
        chunked.to_zarr(folder / "stack.zarr", consolidated=False, **({"append_dim": "y"} if top else {"mode": "w"}))


def open_stack(folder: Path, rows: int) -> xr.DataArray:
    """The first rows of the stack, lazily."""
    dates = pd.date_range("2015-01-01", periods=DATES, freq="12D")
    cube = xr.open_zarr(folder / "stack.zarr", consolidated=False).moved[:, :rows].assign_attrs(units="mm")
    return networks.interferograms(cube, secondary=dates[[other for _, other in pairs_of()]])


def run_ours(folder: Path, rows: int) -> dict[str, float]:
    """From Zarr to Zarr, a block at a time."""
    begun = time.perf_counter()
    series = insar.time_series(open_stack(folder, rows), solution="all")
    series.drop_encoding().to_zarr(folder / ("ours.zarr" if rows > TILE else "part.zarr"), mode="w", consolidated=False)
    return told(begun)


def run_peer(folder: Path, rows: int) -> dict[str, float]:
    """A loop over pixels in memory."""
    begun = time.perf_counter()
    values = open_stack(folder, rows).values.astype("float64")
    steps = np.full(DATES - 1, 12 / 365.25)
    design = np.zeros((PAIRS, DATES - 1))
    for row, (one, other) in zip(design, pairs_of(), strict=True):
        row[one:other] = steps[one:other]
    found = np.full((DATES, *values.shape[1:]), np.nan)
    for row, column in np.ndindex(values.shape[1:]):
        seen = np.isfinite(values[:, row, column])
        if np.linalg.matrix_rank(design[seen]) == DATES - 1:
            velocities = np.linalg.pinv(design[seen]) @ values[seen, row, column]
            found[:, row, column] = np.concatenate([[0], np.cumsum(velocities * steps)])
    np.save(folder / "peer.npy", found)
    return told(begun)


def told(begun: float) -> dict[str, float]:
    """Seconds since then, and the peak of this process's memory (getrusage would count that of its parent)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    peak = int(status["VmHWM"].split()[0]) * 1024 / MIB
    return {"seconds": round(time.perf_counter() - begun, 3), "mib": round(peak, 1)}


if __name__ == "__main__":
    main()
