"""What organisers have asked the lab to try: warm-ups and rehearsals, one at a time, each to its end or broken off."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from earthlab.errors import EarthlabError
from earthlab.hub.passes import seat_user
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.hub import HubClient
from earthlab.services.workshops.material import note_warmed
from earthlab.services.workshops.rehearsing import Rehearsing
from earthlab.services.workshops.store import Run, RunKind
from earthlab.services.workshops.text import Workshop
from earthlab.services.workshops.warming import Warming
from earthlab.services.workshops.warmth import Reason, Warmth, goes, judge_warmth, parse_warmth

_LOG = logging.getLogger("earthlab.workshops")

_LOOKS_EVERY = 0.5

_BROKEN_OFF = "interrompu · broken off"

KINDS: tuple[RunKind, ...] = ("warm", "rehearse")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Go or no-go, with its reasons by notebook; by no notebook in particular under an empty name."""

    go: bool
    reasons: Mapping[str, Sequence[Reason]]


def judge_run(run: Run, workshop: Workshop) -> Verdict | None:
    """What has come of a run for a workshop; None where it is not over."""
    if not run.over:
        return None
    if run.state == "failed":
        words = str(run.outcome.get("words", ""))
        return Verdict(go=False, reasons={"": [Reason(holds=False, french=words, english="")]})
    if run.kind == "warm":
        found = judge_warmth(parse_warmth(run.outcome), workshop.memory)
        return Verdict(goes(found), {"": found})
    rows = {row["notebook"]: [Reason(**reason) for reason in row["reasons"]] for row in run.outcome["notebooks"]}
    return Verdict(bool(run.outcome["go"]), rows)


async def do_asked(desk: Desk, hub: HubClient) -> None:
    """Do the one run that is asked for, if there is one, and note what comes of it."""
    run = desk.store.run_under_way()
    if run is None:
        return
    if run.state != "asked":
        # Of a service that ended in the middle of it.
        await _tidy(desk, hub, run)
        return
    desk.store.tell_run(run.number, "…")
    doing = asyncio.create_task(_do(desk, hub, run))
    try:
        while not doing.done():
            await asyncio.wait({doing}, timeout=_LOOKS_EVERY)
            # Somebody may have opened a workshop meanwhile whose hours are now.
            if desk.store.run(run.number).state == "stopping" or (run.kind == "rehearse" and desk.in_hours()):
                doing.cancel()
    finally:
        # Also where this service ends, or the workshop is deleted in the middle of it.
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
    state, outcome = _outcome(doing, run)
    desk.store.end_run(run.number, state, outcome)


def _outcome(done: "asyncio.Task[dict[str, Any]]", run: Run) -> tuple[Literal["done", "failed"], dict[str, Any]]:
    if done.cancelled():
        return "failed", {"words": _BROKEN_OFF}
    fault = done.exception()
    if fault is None:
        return "done", done.result()
    if isinstance(fault, EarthlabError):
        return "failed", {"words": str(fault)}
    _LOG.error("The run %s of %s failed", run.kind, run.slug, exc_info=fault)
    return "failed", {"words": type(fault).__name__}


async def _do(desk: Desk, hub: HubClient, run: Run) -> dict[str, Any]:
    entry = desk.store.find(run.slug)

    def tell(words: str) -> None:
        desk.store.tell_run(run.number, words)

    if run.kind == "rehearse":
        return await Rehearsing(desk, tell).run(entry, run)
    warmth: Warmth = await Warming(desk, hub, tell).run(entry)
    if (desk.material(run.slug)).is_dir():
        await asyncio.to_thread(note_warmed, desk.material(run.slug), warmth.warmed)
    return warmth.to_json()


async def _tidy(desk: Desk, hub: HubClient, run: Run) -> None:
    try:
        if run.kind == "warm":
            await Warming(desk, hub, lambda _: None).clear(seat_user(run.slug, 0))
    except (EarthlabError, OSError):
        _LOG.exception("What a run of %s has left could not be cleared away; it is tried again", run.slug)
        return
    desk.store.end_run(run.number, "failed", {"words": _BROKEN_OFF})
