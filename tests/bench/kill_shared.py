"""Kills builders, workers or schedulers at random moments, and checks that what opens is right and nothing is left.

Run: ``python tests/bench/kill_shared.py [--victim builder|worker|scheduler] [--times 50] [--seed 0]``. Builders are
killed while they build on threads and on a cluster; workers and schedulers while a cube is built and while it is read.
Exits with 1 at the first cube that opens and is wrong, wait that does not end, refusal without a name, or generation or
process that is left.
"""

import argparse
import logging
import multiprocessing
import queue
import random
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import CancelledError
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, KilledWorker
from distributed.comm.core import CommClosedError

import earthlab as el
from earthlab.cube.plan import CubePlan
from earthlab.cube.shared import Patience, open_shared, share_cube
from earthlab.cube.shared.lease import Head
from earthlab.cube.shared.stores import StoreAddress, open_store
from earthlab.errors import ComputeUnavailable, NothingFound
from earthlab.testing.clusters import KillableCluster, start_cluster
from earthlab.testing.rasters import RasterFile, SceneBand, scene_items, write_scene

PATIENCE = Patience(beat=0.05, stale=0.5, poll=0.02, workers=2.0)
LONGEST = 60.0
"""Seconds after which a build or a read is taken to hang."""

REFUSALS = ("scheduler does not answer", "has had no worker", "workers in a row")
"""What a person may be told whose cluster died while it built."""

NAMED = (CancelledError, KilledWorker, CommClosedError)
"""What dask says to a person whose cluster died while it computed."""


class Wrong(Exception):
    """What must never be."""


def make_plan(folder: Path) -> CubePlan:
    """Four dates of 1000² in 64 blocks, some of them beyond the edge: a build of some tenths of a second."""
    rng = np.random.default_rng(0)
    documents = []
    for day in range(4):
        values = rng.integers(1, 9999, (1000, 1000)).astype("uint16")
        values[:300, :300] = 0
        bands = {"red": SceneBand(RasterFile(values), "red", nodata=0, scale=0.0001)}
        documents.append(write_scene(folder, f"d{day}", bands, time=f"2018-07-0{day + 1}T10:00:00Z"))
    return el.plan(scene_items(documents), chunks={"y": 128, "x": 128})


def build(plan_json: str, store: str, address: str | None, begun: Any, told: Any) -> None:
    """Share a cube as one person does, on a cluster or on threads."""
    try:
        with _client(address):
            begun.set()
            cube = share_cube(CubePlan.from_json(plan_json), store=store, patience=PATIENCE)
        told.put("built" if cube.built else "found")
    except ComputeUnavailable as exc:
        told.put("refused: " + next(words for words in REFUSALS if words in str(exc)))


def read(plan_json: str, store: str, address: str, expected: Any, begun: Any, told: Any) -> None:
    """Compute a cube on a cluster, the shared one and then the plan's own."""
    plan = CubePlan.from_json(plan_json)
    try:
        with _client(address) as client:
            begun.set()
            for cube in (open_shared(plan.token, store=store), el.open(plan)):
                values = client.compute(cube.red.data).result(timeout=LONGEST / 2)
                if not np.array_equal(values, expected, equal_nan=True):
                    told.put("WRONG")
                    return
        told.put("read")
    except NAMED as exc:
        told.put(f"refused by dask: {type(exc).__name__}")


def _client(address: str | None) -> Any:
    logging.disable()
    if address is None:
        return nullcontext()
    client = Client(address, timeout=5)
    client.wait_for_workers(1, timeout=LONGEST)
    return client


@dataclass
class Round:
    """One kill and what comes of it."""

    plan: CubePlan
    store: str
    expected: np.ndarray
    rng: random.Random
    context: Any
    counts: Counter[str] = field(default_factory=Counter)

    def start(self, task: Any, *words: Any) -> tuple[Any, Any, Any]:
        begun, told = self.context.Event(), self.context.Queue()
        person = self.context.Process(target=task, args=(self.plan.to_json(), self.store, *words, begun, told))
        person.start()
        return person, begun, told

    def strike_builder(self, *, on_cluster: bool) -> None:
        """Two people, both on threads or both on one cluster, of whom one or both die."""
        with ExitStack() as stack:
            address = stack.enter_context(start_cluster()).address if on_cluster else None
            people = [self.start(build, address) for _ in range(2)]
            people[0][1].wait(LONGEST)
            time.sleep(self.rng.uniform(0, 1.2 if on_cluster else 0.7))
            people[0][0].kill()
            if self.rng.random() < 0.7:
                people[1][0].kill()
            self.join([person for person, _, _ in people])
            where = "on a cluster" if on_cluster else "on threads"
            self.counts[f"{where} {'one of two lived' if people[1][0].exitcode == 0 else 'both killed'}"] += 1
            self.look("builder")

    def strike_build(self, victim: str) -> None:
        """Two people, one of whom builds on the cluster and the other, mostly, on threads."""
        with start_cluster() as cluster:
            people = [self.start(build, cluster.address)]
            people[0][1].wait(LONGEST)
            if self.rng.random() < 0.5:
                people.append(self.start(build, None))
            time.sleep(self.rng.uniform(0, 1.2))
            self.strike(victim, cluster)
            answers = [self.answer(person, told) for person, _, told in people]
            self.join([person for person, _, _ in people])
            self.require_end(victim, cluster)
            self.counts["on the cluster " + answers[0]] += 1
            if answers[1:]:
                self.counts["on threads beside it " + answers[1]] += 1
            self.look(victim)

    def strike_read(self, victim: str) -> None:
        share_cube(self.plan, store=self.store)
        with start_cluster() as cluster:
            person, begun, told = self.start(read, cluster.address, self.expected)
            begun.wait(LONGEST)
            time.sleep(self.rng.uniform(0, 0.6))
            self.strike(victim, cluster, replace=True)
            self.counts["reading " + self.answer(person, told)] += 1
            self.join([person])
            self.require_end(victim, cluster)
        self.look(victim)

    def strike(self, victim: str, cluster: KillableCluster, *, replace: bool = False) -> None:
        if victim == "scheduler":
            cluster.kill_scheduler()
            return
        cluster.kill_worker()
        if self.rng.random() < 0.4:
            cluster.kill_worker()
            if replace or self.rng.random() < 0.5:
                cluster.start_worker()

    def answer(self, person: Any, told: Any) -> str:
        until = time.monotonic() + LONGEST
        while time.monotonic() < until:
            try:
                answer = str(told.get(timeout=0.1 if person.exitcode is None else 1))
            except queue.Empty:
                if person.exitcode:
                    raise Wrong("a process ended in an error that is no refusal") from None
            else:
                if answer == "WRONG":
                    raise Wrong("the values read are wrong")
                return answer
        raise Wrong(f"a wait of {LONGEST:.0f} s has not ended")

    def join(self, people: list[Any]) -> None:
        for person in people:
            person.join(LONGEST)
            if person.is_alive():
                raise Wrong("a process did not end")

    def require_end(self, victim: str, cluster: KillableCluster) -> None:
        if victim == "scheduler" and not cluster.is_gone():
            raise Wrong("workers outlive their scheduler")

    def look(self, victim: str) -> None:
        """What opens is right, and besides it nothing is left: but for what a killed builder could not remove."""
        state = self.state()
        self.counts[state] += 1
        if state == "WRONG":
            raise Wrong("the cube opens and is wrong")
        if victim != "builder":
            self.require_clean()
        if share_cube(self.plan, store=self.store, patience=PATIENCE).built == (state == "right"):
            raise Wrong("a cube that opened was built again, or one that did not was not")
        if self.state() != "right":
            raise Wrong("the next build is not right")
        self.require_clean()

    def state(self) -> str:
        try:
            found = open_shared(self.plan.token, store=self.store).red.values
        except NothingFound:
            return "no cube"
        return "right" if np.array_equal(found, self.expected, equal_nan=True) else "WRONG"

    def require_clean(self) -> None:
        store = open_store(StoreAddress(self.store))
        root = f"open/{self.plan.token}/"
        found = store.get(f"{root}head.json")
        head = Head.parse(found.content) if found else Head()
        names = {entry.key.removeprefix(root).split("/")[0] for entry in store.list(root)}
        left = {name for name in names if name.startswith("g-")} - {head.current}
        if left or head.claim:
            raise Wrong(f"generations {left} and the claim {head.claim} are left")


def main() -> int:
    """Kill, and look."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--victim", choices=["builder", "worker", "scheduler"], default="builder")
    asked.add_argument("--times", type=int, default=50)
    asked.add_argument("--seed", type=int, default=0)
    words = asked.parse_args()
    rng, counts = random.Random(words.seed), Counter[str]()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["earthlab.testing.clusters", "earthlab.cube.shared", "earthlab.cube.planning"])
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        plan = make_plan(Path(name))
        expected = el.open(plan).red.values
        for at in range(words.times):
            one = Round(plan, f"{name}/store-{at}", expected, rng, context, counts)
            try:
                if words.victim == "builder":
                    one.strike_builder(on_cluster=bool(at % 2))
                elif at % 2:
                    one.strike_read(words.victim)
                else:
                    one.strike_build(words.victim)
            except Wrong as exc:
                print(f"kill {at} of a {words.victim}, seed {words.seed}: {exc}")
                return 1
    for what, count in sorted(counts.items()):
        print(f"{count:4d} × {what}")
    print(f"{words.times} kills of a {words.victim}, seed {words.seed}: wrong=0, {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
