"""A class of 150 takes its seats by their passes, tells of its cells, and the trainer's wall shows it: how fast.

The hub, its proxy, its sign-in and the workshops' service are the real ones; the seats' servers only say that they run,
and this program tells of their cells in their place, each by its own server's token.
"""

import argparse
import asyncio
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from earthlab.hub.passes import PassStore, seat_user, show_code
from earthlab.services.workshops.text import Notebook, to_toml
from earthlab.testing.workshops import workshop_now
from tests.hub.small_hub import SmallHub, Visitor, small_hub
from tests.services.workshops.talking import HERE, open_wall, read_server_tokens, xsrf_of

SLUG = "classe"


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seats", type=int, default=150)
    parser.add_argument("--within", type=float, default=60.0, help="seconds in which all arrive")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long they tell of their cells")
    parser.add_argument("--out", type=Path, default=Path("bench/workshop.json"))
    asked = parser.parse_args()
    words = {"HUB__SEAT_MEMORY": "20 MiB", "HUB__LEFT_MINUTES": "0"}
    with small_hub(launch=0.1, kept=("workshops",), words=words) as hub:
        found = asyncio.run(hold(hub, asked.seats, asked.within, 60 * asked.minutes))
    text = json.dumps({"cpus": os.cpu_count(), **found}, indent=2)
    print(text)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(text + "\n")


async def hold(hub: SmallHub, seats: int, within: float, seconds: float) -> dict[str, Any]:
    """One class from the making to its last event."""
    async with hub.visitor("earthlab") as trainer:
        await trainer.come()
        codes = await make_workshop(hub, trainer, seats)
        people = [hub.visitor(f"person-{number}") for number in range(seats)]
        pages: list[float] = []
        looking = asyncio.create_task(look_at_home(trainer, pages))
        began = time.monotonic()
        arrivals = await asyncio.gather(
            *(
                arrive(person, code, number * within / seats)
                for number, (person, code) in enumerate(zip(people, codes, strict=True))
            )
        )
        claimed_in = time.monotonic() - began
        taken = [seat.number for seat in PassStore(hub.layout.passes).seats(SLUG) if seat.claimed]
        tokens = await wait_for_tokens(seats)
        lags, posts = await tell_and_watch(hub, trainer, tokens, seconds)
        looking.cancel()
        for person in people:
            await person.client.aclose()
    return {
        "seats": seats,
        "arriving within s": within,
        "claimed in s": round(claimed_in, 1),
        "let in": sum(arrival.status == 200 for arrival in arrivals),
        "different users": len({arrival.user for arrival in arrivals}),
        "seats taken": len(set(taken)),
        "errors seen": sorted(status for person in people for status in person.seen if status >= 400),
        "claim s": spread([arrival.seconds for arrival in arrivals]),
        "hub's page s": spread(pages),
        "events told": posts,
        "wall lags s": spread(lags),
        "events lost": posts - len(lags),
    }


def spread(figures: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and largest."""
    return {
        "p50": round(median(figures), 3),
        "p95": round(quantiles(figures, n=20)[-1], 3),
        "max": round(max(figures), 3),
    }


async def make_workshop(hub: SmallHub, trainer: Visitor, seats: int) -> list[str]:
    """The codes of its passes, one a seat."""
    workshop = workshop_now(
        SLUG, seats=seats, organisers=("earthlab",), trainers=(), notebooks=(Notebook("theia/neige.ipynb"),)
    )
    xsrf = xsrf_of((await trainer.get(HERE)).text)
    made = await trainer.client.post(f"{HERE}new", data={"_xsrf": xsrf, "toml": to_toml(workshop)})
    assert made.status_code == 200, made.text
    opened = await trainer.client.post(f"{HERE}w/{SLUG}/open", data={"_xsrf": xsrf})
    assert 'data-stage="open"' in opened.text, opened.text
    store = PassStore(hub.layout.passes)
    return [show_code(store.reissue(SLUG, number).code) for number in range(1, seats + 1)]


class Arrival:
    """How somebody's claim went."""

    def __init__(self, status: int, user: str, seconds: float) -> None:
        self.status = status
        self.user = user
        self.seconds = seconds


async def arrive(person: Visitor, code: str, after: float) -> Arrival:
    """Scan, press the button, and be somebody: the time until the hub has signed the person in."""
    await asyncio.sleep(after)
    began = time.monotonic()
    page = await person.get(f"/hub/entree?token={code}")
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert xsrf, page.text
    answer = await person.client.post("/hub/login", data={"_xsrf": xsrf[1], "token": code}, follow_redirects=False)
    person.seen.append(answer.status_code)
    took = time.monotonic() - began
    entered = await person.get(answer.headers["location"])
    user = re.search(r"/(?:user|spawn-pending)/([^/?]+)", str(entered.url))
    return Arrival(entered.status_code, user[1] if user else "", took)


async def look_at_home(trainer: Visitor, pages: list[float]) -> None:
    """The hub's own page, again and again, as its reader waits for it."""
    while True:
        began = time.monotonic()
        await trainer.client.get("/hub/home")
        pages.append(time.monotonic() - began)
        await asyncio.sleep(0.5)


async def wait_for_tokens(seats: int) -> dict[str, str]:
    """The token of each seat's server, as the server itself has it."""
    wanted = {seat_user(SLUG, number) for number in range(1, seats + 1)}
    until = time.monotonic() + 120
    while True:
        found = await asyncio.to_thread(read_server_tokens)
        if wanted <= found.keys():
            return {user: found[user] for user in sorted(wanted)}
        assert time.monotonic() < until, sorted(wanted - found.keys())
        await asyncio.sleep(1)


async def tell_and_watch(
    hub: SmallHub, trainer: Visitor, tokens: dict[str, str], seconds: float
) -> tuple[list[float], int]:
    """Seconds from each step told to its sight on the wall, and how many were told."""
    cells = json.loads((hub.layout.workshops / SLUG / "atelier.json").read_text())["notebooks"][0]["cells"]
    told: dict[tuple[int, int], float] = {}
    seen: dict[tuple[int, int], float] = {}
    watching = asyncio.create_task(watch(trainer, seen))
    await asyncio.sleep(2)
    steps = min(len(cells), int(seconds / 2))
    async with httpx.AsyncClient(base_url=hub.url, timeout=60, limits=httpx.Limits(max_connections=300)) as client:
        await asyncio.gather(
            *(
                tell(client, number, token, cells[:steps], seconds / steps, told)
                for number, token in enumerate(tokens.values(), start=1)
            )
        )
    await asyncio.sleep(3)
    watching.cancel()
    return [seen[step] - at for step, at in told.items() if step in seen], len(told)


async def tell(
    client: httpx.AsyncClient, seat: int, token: str, cells: list[str], every: float, told: dict[tuple[int, int], float]
) -> None:
    """One seat goes through its cells, each at its own time."""
    await asyncio.sleep(every * (seat % 20) / 20)
    for number, cell in enumerate(cells, start=1):
        event = {"seq": number, "notebook": "theia/neige.ipynb", "cell": cell, "state": "done", "error": ""}
        told[seat, number] = time.monotonic()
        answer = await client.post(
            f"{HERE}api/events",
            json={"instance": f"{seat:08x}", "events": [event | {"at": time.time()}]},
            headers={"Authorization": f"token {token}"},
        )
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(every)


async def watch(trainer: Visitor, seen: dict[tuple[int, int], float]) -> None:
    """Note when the wall first shows that a seat has done so many cells."""
    async with open_wall(trainer, SLUG) as events:
        async for _, said in events:
            for row in said.get("seats", ()):
                for done in range(1, row[2].count("d") + 1):
                    seen.setdefault((row[0], done), time.monotonic())


if __name__ == "__main__":
    main()
