"""``make bench-faults``: a class arrives at once, and meanwhile parts of the lab are killed (``kill -9``).

Run: ``python -m tests.bench.kill_seats [--seats 30] [--victim el-template …] [--times 3] [--rounds 1]``. In each burst
one kind of process is killed so many times, at random, as soon as there is one. Everybody must end up with a kernel
that is their own: user, token, account, folder, and a file that only they may read. The hub is killed once a burst,
because it takes everybody's server with it. Exits with 1 where a kernel is somebody else's, or where nothing could be
killed. Figures go to ``bench/faults.json``.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from earthlab.testing.ports import free_row
from tests.hub.burst import COPIES, HUB, Arrival, arrive, browsers, copies, invite, kill_meanwhile
from tests.hub.running_lab import Lab, Person

ROOT = Path(__file__).resolve().parents[2]
EVERY = 2.0
"""Seconds between two kills of the same kind."""


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seats", type=int, default=30)
    asked.add_argument("--victim", action="append", choices=[*COPIES, HUB])
    asked.add_argument("--times", type=int, default=3)
    asked.add_argument("--rounds", type=int, default=1)
    asked.add_argument("--out", type=Path, default=ROOT / "bench" / "faults.json")
    words = asked.parse_args()
    # Not a folder of 0700: the users' accounts must reach their homes.
    folder = Path(tempfile.mkdtemp(prefix="earthlab-faults-", dir="/var/tmp"))
    folder.chmod(0o755)
    lab = Lab(folder, free_row())
    try:
        lab.start().wait_for(r"token=\S+", seconds=300)
        bursts = [
            asyncio.run(hold_burst(lab, words.seats, victim, 1 if victim == HUB else words.times))
            for victim in words.victim or ["nobody", *COPIES, HUB]
            for _ in range(words.rounds)
        ]
    finally:
        lab.close()
        shutil.rmtree(lab.layout.run, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    words.out.parent.mkdir(exist_ok=True)
    words.out.write_text(json.dumps({"seats": words.seats, "bursts": bursts}, indent=1) + "\n", encoding="utf-8")
    return int(any(burst["not their own"] or not burst["killed"] for burst in bursts if burst["victim"] != "nobody"))


async def hold_burst(lab: Lab, seats: int, victim: str, times: int) -> dict[str, Any]:
    guests = invite(lab, [f"seat{number}" for number in range(seats)])
    async with browsers(lab, seats) as people:
        arriving = [asyncio.create_task(arrive(*each)) for each in zip(people, guests, strict=True)]
        killed = await kill_meanwhile(lab, arriving, () if victim == "nobody" else (victim,), times=times, every=EVERY)
        burst = describe(victim, killed.total(), [task.result() for task in arriving])
        for person in people:
            await leave(person)
    await asyncio.to_thread(wait_until_empty, lab)
    return burst


def describe(victim: str, killed: int, found: Sequence[Arrival]) -> dict[str, Any]:
    seconds = sorted(each.seconds for each in found)
    burst = {
        "victim": victim,
        "killed": killed,
        "kernels": len(found),
        "not their own": len([each for each in found if not each.is_their_own]),
        "came in again": sum(each.entries - 1 for each in found),
        "cells run again": sum(each.cells - 1 for each in found),
        "slow kernels": len([each for each in found if each.told["kind"] != "el-kernel"]),
        "median (s)": round(seconds[len(seconds) // 2], 1),
        "slowest (s)": round(seconds[-1], 1),
    }
    print(" | ".join(f"{name} {value}" for name, value in burst.items()), flush=True)
    return burst


def wait_until_empty(lab: Lab, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while left := [process for kind in COPIES[1:] for process in copies(lab, kind)]:
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.5)


async def leave(person: Person) -> None:
    xsrf = next(c.value for c in person.client.cookies.jar if c.name == "_xsrf" and c.path == "/hub/")
    address = f"{person.lab.url}/hub/api/users/{person.name}/server"
    answer = await person.client.delete(address, headers={"X-XSRFToken": xsrf})
    assert answer.status_code in {httpx.codes.ACCEPTED, httpx.codes.NO_CONTENT}, answer.text


if __name__ == "__main__":
    sys.exit(main())
