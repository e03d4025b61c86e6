"""Kills builders of shared cubes at random moments, and checks that what opens is right.

Run: ``python tests/bench/kill_shared.py [TIMES] [SEED]``. Exits with 1 at the first cube that opens and is wrong.
"""

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import earthlab as el
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared import Patience, open_shared, share_cube
from earthlab.errors import NothingFound
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

PATIENCE = Patience(beat=0.05, stale=0.5, poll=0.02)


def make_plan(folder: Path) -> CubePlan:
    """Four dates of 1024² in 64 blocks: a build of some tenths of a second."""
    rng = np.random.default_rng(0)
    documents = []
    for day in range(4):
        values = rng.integers(1, 9999, (1024, 1024)).astype("uint16")
        values[:300, :300] = 0
        bands = {"red": SceneBand(RasterFile(values), "red", nodata=0, scale=0.0001)}
        documents.append(write_scene(folder, f"d{day}", bands, time=f"2018-07-0{day + 1}T10:00:00Z"))
    return el.plan(scene_items(documents), chunks={"y": 128, "x": 128})


def build(plan_json: str, store: str, started: object) -> None:
    started.set()
    share_cube(CubePlan.from_json(plan_json), store=store, patience=PATIENCE)


def state_of(plan: CubePlan, store: str, expected: np.ndarray) -> str:
    try:
        found = open_shared(plan.token, store=store).red.values
    except NothingFound:
        return "no cube"
    return "right" if np.array_equal(found, expected, equal_nan=True) else "WRONG"


def main() -> int:
    """Kill, look, and now and then let one finish."""
    times, seed = (int(word) for word in (*sys.argv[1:], "50", "0")[:2])
    rng, states = random.Random(seed), Counter()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["earthlab.cube.shared", "earthlab.cube.planning"])
    with tempfile.TemporaryDirectory() as name:
        plan = make_plan(Path(name))
        expected = el.open(plan).red.values
        share_cube(plan, store=f"{name}/warm")
        store = f"{name}/store-0"
        for at in range(times):
            started = context.Event()
            people = [context.Process(target=build, args=(plan.to_json(), store, started)) for _ in range(2)]
            for person in people:
                person.start()
            started.wait(60)
            time.sleep(rng.uniform(0, 0.7))
            people[0].kill()
            if rng.random() < 0.7:
                people[1].kill()
            for person in people:
                person.join()
            state = state_of(plan, store, expected)
            states[state, "" if all(p.exitcode for p in people) else "one of two lived"] += 1
            if state == "WRONG":
                print(f"kill {at}: the cube opens and is wrong")
                return 1
            if state == "right":
                store = f"{name}/store-{at + 1}"
        share_cube(plan, store=store, patience=PATIENCE)
        assert state_of(plan, store, expected) == "right"
    for (state, what), count in sorted(states.items()):
        print(f"{count:4d} × {state} {what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
