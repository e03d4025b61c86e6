"""``earthlab workshop …``: what the organiser's pages do, from a shell on the lab's machine."""

import argparse
import os
import sys
import time
from pathlib import Path

from earthlab.errors import BadRequest
from earthlab.hub.links import entry_url
from earthlab.hub.passes import Pass, show_code
from earthlab.hub.prepare import lab_runs
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.runs import judge_run
from earthlab.services.workshops.sheet import render_sheet
from earthlab.services.workshops.store import Entry, Run, RunKind
from earthlab.services.workshops.text import Workshop, parse_workshop, to_toml
from earthlab.services.workshops.warmth import list_warmth, parse_warmth

_EXTENSION, _CLASS = 30, 10
"""Minutes by which a workshop is extended, and for which a class is rehearsed with each notebook."""

_LOOKS_EVERY = 0.5

_SIGNS = {True: "✓", False: "✗", None: "–"}

_STAGES = {
    "draft": "brouillon · draft",
    "open": "ouvert · open",
    "closed": "terminé · over",
    "forgotten": "effacé · deleted",
}


def run_action(desk: Desk, asked: argparse.Namespace, public: str) -> tuple[str, bool]:
    """Do one action; what comes of it in words for the organiser, and whether it is good.

    Parameters
    ----------
    asked : argparse.Namespace
        ``action``, ``what`` (a file or a slug), ``sheet``, ``seat``, ``minutes``.
    public : str
        The address people open, for what is printed.

    Raises
    ------
    BadRequest
        For what cannot be done, with the reason.
    """
    if not asked.what and asked.action != "list":
        raise BadRequest(
            f"workshop {asked.action} : lequel ? `earthlab workshop` les montre tous. · of which? It lists all."
        )
    if asked.action in {"warm", "rehearse"}:
        return _try(desk, asked)
    return _act(desk, asked, public), True


def _act(desk: Desk, asked: argparse.Namespace, public: str) -> str:
    if asked.action == "list":
        return "\n".join(map(_line, desk.store.entries())) or "aucun atelier · no workshops"
    if asked.action in {"open", "passes"}:
        return _hand_out(desk, asked, public)
    if asked.action == "link":
        return entry_url(public, desk.passes.join_secret(desk.store.require_open(asked.what).slug))
    if asked.action == "show":
        entry = desk.store.find(asked.what)
        return f"# {_line(entry)}\n{to_toml(entry.workshop)}"
    return _line(_changed(desk, asked))


def _changed(desk: Desk, asked: argparse.Namespace) -> Entry:
    match asked.action:
        case "new":
            return desk.make(_read(asked.what))
        case "edit":
            return desk.edit(_read(asked.what))
        case "extend":
            minutes = _EXTENSION if asked.minutes is None else asked.minutes
            return desk.extend(asked.what, desk.store.require_open(asked.what).closes + 60 * minutes)
        case "close":
            return desk.end(asked.what)
        case _:
            # The lab deletes everything as soon as it runs.
            return desk.store.hasten(asked.what)


def _try(desk: Desk, asked: argparse.Namespace) -> tuple[str, bool]:
    """Have the lab warm a workshop up or rehearse it, follow it to its end, and tell what has come of it."""
    kind: RunKind = "warm" if asked.action == "warm" else "rehearse"
    if not lab_runs(desk.layout):
        raise BadRequest(
            f"le labo de {desk.layout.state} ne tourne pas : lancez `make lab`. · "
            f"no lab runs on {desk.layout.state}: start it with `make lab`."
        )
    run = desk.ask_run(asked.what, kind, float(_CLASS if asked.minutes is None else asked.minutes))
    told = ""
    try:
        while not (run := desk.store.run(run.number)).over:
            if run.progress not in {told, ""}:
                told = run.progress
                sys.stderr.write(f"{told}\n")
            time.sleep(_LOOKS_EVERY)
    except KeyboardInterrupt:
        desk.store.stop_run(asked.what, kind)
        raise
    return _render_run(run, desk.store.find(asked.what).workshop)


def _render_run(run: Run, workshop: Workshop) -> tuple[str, bool]:
    verdict = judge_run(run, workshop)
    assert verdict is not None
    lines = ["✓ go" if verdict.go else "✗ no-go"]
    for name, reasons in verdict.reasons.items():
        lines += [name] if name else []
        lines += [f"  {_SIGNS[it.holds]} {it.french}{f' · {it.english}' if it.english else ''}" for it in reasons]
    if run.kind == "warm" and run.state == "done":
        lines += list_warmth(parse_warmth(run.outcome))
    return "\n".join(lines), verdict.go


def _hand_out(desk: Desk, asked: argparse.Namespace, public: str) -> str:
    if asked.seat is not None:
        issued = desk.passes.reissue(desk.store.require_open(asked.what).slug, asked.seat)
        return f"{issued.seat}: {show_code(issued.code)}"
    sheet = _sheet(asked)
    passes = desk.open(asked.what) if asked.action == "open" else desk.new_passes(asked.what)
    _write_sheet(desk.store.find(asked.what), passes, sheet, public)
    return str(sheet)


def _line(entry: Entry) -> str:
    workshop = entry.workshop
    dates = f"{workshop.opens:%Y-%m-%d %H:%M} → {entry.local(entry.closes):%Y-%m-%d %H:%M}"
    came = f", {entry.counts.came} venus · came" if entry.counts else ""
    shared = f", grappe partagée · shared cluster: {workshop.workers} workers" if workshop.workers else ""
    return (
        f"{entry.slug}: {_STAGES[entry.stage]}, {dates} ({workshop.time_zone}), {workshop.seats} places · seats"
        f"{shared}{came}"
    )


def _read(name: str) -> Workshop:
    try:
        return parse_workshop(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise BadRequest(f"{name}: cannot be read ({exc}). Name a workshop's TOML.") from exc


def _sheet(asked: argparse.Namespace) -> Path:
    """Where the sheet goes, asked before any code is made: codes cannot be shown again."""
    sheet = Path(asked.sheet or f"{asked.what}.pdf")
    if sheet.exists() or not sheet.absolute().parent.is_dir():
        raise BadRequest(f"--sheet {sheet}: exists, or has no folder. Name a new file in a folder that is there.")
    return sheet


def _write_sheet(entry: Entry, passes: list[Pass], sheet: Path, public: str) -> None:
    workshop = entry.workshop
    content = render_sheet(
        passes, title=workshop.title, closes=entry.local(entry.closes), url=public, contact=workshop.contact
    )
    descriptor = os.open(sheet, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
