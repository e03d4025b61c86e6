"""``earthlab workshop …``: what the organiser's pages do, from a shell on the lab's machine."""

import argparse
import os
from pathlib import Path

from earthlab.errors import BadRequest
from earthlab.hub.links import entry_url
from earthlab.hub.passes import Pass, show_code
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.sheet import render_sheet
from earthlab.services.workshops.store import Entry
from earthlab.services.workshops.text import Workshop, parse_workshop, to_toml

_STAGES = {
    "draft": "brouillon · draft",
    "open": "ouvert · open",
    "closed": "terminé · over",
    "forgotten": "effacé · deleted",
}


def run_action(desk: Desk, asked: argparse.Namespace, public: str) -> str:
    """Do one action; what comes of it in words for the organiser.

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
    if asked.action == "list":
        return "\n".join(map(_line, desk.store.entries())) or "aucun atelier · no workshops"
    if not asked.what:
        raise BadRequest(f"workshop {asked.action}: of which? `earthlab workshop` lists all.")
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
            return desk.extend(asked.what, desk.store.require_open(asked.what).closes + 60 * asked.minutes)
        case "close":
            return desk.end(asked.what)
        case _:
            # The lab deletes everything as soon as it runs.
            return desk.store.hasten(asked.what)


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
    return (
        f"{entry.slug}: {_STAGES[entry.stage]}, {dates} ({workshop.time_zone}), {workshop.seats} places · seats{came}"
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
