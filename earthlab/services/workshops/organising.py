"""The organiser's pages: make a workshop, open its seats, print its passes, look after it until it is forgotten."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from earthlab.errors import BadRequest, EarthlabError, NotAllowed
from earthlab.hub.links import ENTRY
from earthlab.hub.passes import Pass
from earthlab.services.workshops.rehearsing import PAGE as REPORT
from earthlab.services.workshops.runs import KINDS, Verdict, judge_run
from earthlab.services.workshops.sheet import render_sheet
from earthlab.services.workshops.store import Entry, Run, RunKind
from earthlab.services.workshops.text import (
    LANGUAGES,
    Workshop,
    parse_workshop,
    read_workshop,
    render_bytes,
    to_toml,
)
from earthlab.services.workshops.warmth import Warmth, parse_warmth
from earthlab.services.workshops.web import Page

_ROWS = 12
"""Notebooks that the form has room for; a text may name more."""

_PDF = "application/pdf"

_CUBE_STATES = {
    "sources": ("lu des sources", "read from its sources"),
    "built": ("construit et gardé", "built and kept"),
    "found": ("gardé déjà", "kept before"),
    "faulty": ("gardé, avec des trous", "kept, with holes"),
    "large": ("trop grand pour être gardé", "too large to be kept"),
    "refused": ("n’a pas pu être gardé", "could not be kept"),
}

_LABELS = {
    "slug": "Nom court", "title": "Titre", "opens": "Début", "closes": "Fin", "time_zone": "Fuseau horaire",
    "seats": "Places", "contact": "Contact", "organisers": "Organisateurs", "trainers": "Animateurs",
    "retention_days": "Jours de conservation", "notebooks": "Notebooks", "seat": "Mémoire et cœurs par place",
    "warm": "Cubes à préparer", "cluster": "Grappe partagée", "cores": "Cœurs par place", "languages": "Langues",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A workshop in the list."""

    entry: Entry
    runs: bool


class ListPage(Page):
    """``GET /``: the workshops that concern the person; a participant is led to their seat."""

    async def get(self) -> None:
        """The list."""
        if self.person.seat:
            self.go("place")
            return
        found = [
            Row(entry, self.may_run(entry)) for entry in self.service.desk.store.entries() if self.may_watch(entry)
        ]
        self.show("list.html", rows=found)


class FormPage(Page):
    """``/new`` and ``/w/<slug>/edit``: the form, or its text."""

    async def get(self, slug: str | None = None) -> None:
        """The form, empty or with what is there."""
        entry = self.find_run(slug) if slug else None
        self._require()
        self._draw(_fields(entry.workshop) if entry else {"organisers": self.person.name}, slug)

    async def post(self, slug: str | None = None) -> None:
        """Make or change a workshop; what cannot be is told beside what was typed."""
        self._require()
        if slug:
            self.find_run(slug)
        typed = {name: self.field(name) for name in self.request.body_arguments if name != "_xsrf"}
        try:
            text = typed.get("toml", "").strip()
            workshop = parse_workshop(text) if text else read_workshop(_tables(typed))
            if self.person.name not in workshop.organisers:
                raise BadRequest(
                    f"organisers: nommez-vous aussi ({self.person.name}), sinon cet atelier n’est plus le vôtre. · "
                    "name yourself, or you lose this workshop."
                )
            if slug and workshop.slug != slug:
                raise BadRequest(
                    f"slug: c’est {slug!r} ; pour {workshop.slug!r}, faites un nouvel atelier. · "
                    f"found {workshop.slug!r}, but this is {slug!r}. Make a new workshop instead."
                )
            desk = self.service.desk
            entry = desk.edit(workshop) if slug else desk.make(workshop)
        except EarthlabError as exc:
            self.set_status(400)
            self._draw(typed, slug, str(exc))
            return
        self.go(f"w/{entry.slug}")

    def _require(self) -> None:
        if not self.organises:
            raise NotAllowed(
                "Seuls les organisateurs préparent des ateliers : demandez à l’opérateur de vous mettre dans le groupe "
                "organisateurs. Only organisers make workshops: ask the operator to add you to this group."
            )

    def _draw(self, typed: Mapping[str, str], slug: str | None, refusal: str = "") -> None:
        lab = self.service.desk.shelf.list_lab()
        self.show(
            "form.html",
            typed=typed,
            slug=slug,
            refusal=refusal,
            wrong=_label(refusal),
            rows=range(1, _ROWS + 1),
            lab=lab,
            most_workers=self.service.desk.most_workers,
        )


class _OfWorkshop(Page):
    """A page that shows one workshop."""

    def draw(self, entry: Entry, *, passes: list[Pass] | None = None, link: str = "") -> None:
        """The page, with what can be shown this once."""
        desk = self.service.desk
        seats = desk.seats(entry.slug)
        self.show(
            "workshop.html",
            entry=entry,
            seats=seats,
            claimed=sum(1 for seat in seats if seat.claimed),
            sheet=self.service.sheets.find(entry.slug) is not None,
            passes=passes or [],
            link=link,
            warm=self._trial(entry, "warm"),
            rehearsal=self._trial(entry, "rehearse"),
            cube_states=_CUBE_STATES,
            can_try=desk.can_try,
            standing=self.service.clusters.workers(entry.slug),
        )

    def _trial(self, entry: Entry, kind: RunKind) -> "Tried | None":
        run = self.service.desk.store.latest_run(entry.slug, kind)
        if run is None:
            return None
        warmth = parse_warmth(run.outcome) if kind == "warm" and run.state == "done" else None
        return Tried(run, run.toml != to_toml(entry.workshop), warmth, judge_run(run, entry.workshop))


@dataclass(frozen=True, slots=True)
class Tried:
    """A warm-up or rehearsal as the page shows it."""

    run: Run
    stale: bool
    """Whether the workshop was changed since."""
    warmth: Warmth | None
    verdict: Verdict | None


class RunsPage(Page):
    """``GET /w/<slug>/runs``: how far what is tried is, as JSON, for the page to stay up to date."""

    redirects = False

    async def get(self, slug: str) -> None:
        """State and progress of both kinds."""
        self.find_run(slug)
        found = {kind: self.service.desk.store.latest_run(slug, kind) for kind in KINDS}
        self.finish({kind: {"state": it.state, "progress": it.progress} for kind, it in found.items() if it})


class ReportPage(Page):
    """``GET /w/<slug>/rehearsal/<number>``: the report of the last rehearsal, for one of its notebooks."""

    async def get(self, slug: str, number: str) -> None:
        """The page as the rehearsal has written it."""
        self.find_run(slug)
        desk = self.service.desk
        run = desk.store.latest_run(slug, "rehearse")
        page = desk.rehearsals(slug) / str(run.number if run else 0) / str(int(number)) / REPORT
        if not page.is_file():
            raise BadRequest(
                "Ce rapport n’est plus là : répétez de nouveau. This report is no longer there: rehearse again."
            )
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
        self.finish(page.read_text(encoding="utf-8"))


class WorkshopPage(_OfWorkshop):
    """``GET /w/<slug>``: one workshop as its organiser sees it."""

    async def get(self, slug: str) -> None:
        """The page."""
        self.draw(self.find_run(slug))


class ActPage(_OfWorkshop):
    """``POST /w/<slug>/<what>``: what an organiser does with a workshop."""

    async def get(self, slug: str, _what: str) -> None:
        """Lead to the workshop: this address is only posted to."""
        self.find_run(slug)
        self.go(f"w/{slug}")

    async def post(self, slug: str, what: str) -> None:
        """Do it, and show the workshop."""
        entry = self.find_run(slug)
        desk = self.service.desk
        match what:
            case "open":
                # In a thread: a repository may have to be fetched.
                await asyncio.to_thread(self._open, entry)
            case "passes":
                self._print(entry, desk.new_passes(slug))
            case "link":
                code = desk.passes.join_secret(desk.store.require_open(slug).slug)
                self.draw(entry, link=f"{self.service.public}/hub/{ENTRY}?token={code}")
                return
            case "reissue":
                self.draw(entry, passes=[desk.passes.reissue(slug, self.whole("seat"))])
                return
            case "revoke":
                desk.passes.revoke(slug, self.whole("seat"))
            case "extend":
                desk.extend(slug, entry.closes + 60 * self.whole("minutes"))
            case "close":
                desk.end(slug)
            case "forget":
                if self.field("slug") != slug:
                    raise BadRequest(
                        f"slug: tapez {slug} pour tout effacer maintenant. · "
                        f"type {slug} to have everything of it deleted now."
                    )
                desk.store.hasten(slug)
        self.go(f"w/{slug}")

    def _open(self, entry: Entry) -> None:
        # The book's connection is the loop's own: a thread opens another.
        desk = self.service.desk.apart()
        try:
            self._print(entry, desk.open(entry.slug))
        finally:
            desk.store.close()

    def _print(self, entry: Entry, passes: list[Pass]) -> None:
        sheet = render_sheet(
            passes,
            title=entry.workshop.title,
            closes=entry.local(entry.closes),
            url=self.service.public,
            contact=entry.workshop.contact,
        )
        self.service.sheets.put(entry.slug, sheet)


class RenewPage(Page):
    """``POST /w/<slug>/renew``: another shared cluster in the place of the one that stands, with other keys."""

    async def get(self, slug: str) -> None:
        """Lead to the workshop: this address is only posted to."""
        self.find_run(slug)
        self.go(f"w/{slug}")

    async def post(self, slug: str) -> None:
        """End it; the gateway starts the next one by itself."""
        self.find_run(slug)
        await self.service.clusters.renew(slug)
        self.go(f"w/{slug}")


class TryPage(Page):
    """``POST /w/<slug>/try/<what>``: have the workshop warmed up or rehearsed by the lab, or break that off."""

    async def get(self, slug: str, _what: str) -> None:
        """Lead to the workshop: this address is only posted to."""
        self.find_run(slug)
        self.go(f"w/{slug}")

    async def post(self, slug: str, what: str) -> None:
        """Ask for it; the service does it by itself."""
        self.find_run(slug)
        desk = self.service.desk
        if what == "warm":
            desk.ask_run(slug, "warm")
        elif what == "rehearse":
            desk.ask_run(slug, "rehearse", float(self.whole("minutes")))
        else:
            for kind in KINDS:
                desk.store.stop_run(slug, kind)
        self.go(f"w/{slug}#{'rehearsal' if what == 'rehearse' else 'warm'}")


class SheetPage(Page):
    """``GET /w/<slug>/sheet.pdf``: the printed passes, for half an hour after they were made."""

    async def get(self, slug: str) -> None:
        """The sheet."""
        self.find_run(slug)
        sheet = self.service.sheets.find(slug)
        if sheet is None:
            raise BadRequest(
                "La feuille n’est plus là, les codes ne sont gardés nulle part : faites-en une pour les places libres. "
                "The sheet is no longer there, codes are kept nowhere: make a new one for the free seats."
            )
        self.set_header("Content-Type", _PDF)
        self.set_header("Content-Disposition", f'attachment; filename="{slug}.pdf"')
        self.finish(sheet)


class TomlPage(Page):
    """``GET /w/<slug>/<slug>.toml``: the text of a workshop, to be kept in git."""

    async def get(self, slug: str) -> None:
        """The text."""
        entry = self.find_run(slug)
        self.set_header("Content-Type", "application/toml; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{slug}.toml"')
        self.finish(to_toml(entry.workshop))


def _label(refusal: str) -> str:
    """The field that a refusal begins with, as the form calls it; nothing where it is none."""
    name = refusal.partition(":")[0]
    row = re.match(r"notebooks\[(\d+)\]", name)
    return f"Notebook {row[1]}" if row else _LABELS.get(name.partition(".")[0], "")


def _tables(typed: Mapping[str, str]) -> dict[str, Any]:
    """The tables of a workshop's TOML from a form."""
    said: dict[str, Any] = {
        "slug": typed.get("slug", "").strip(),
        "title": {lang: typed.get(f"title_{lang}", "").strip() for lang in ("fr", "en")},
        "opens": _local(typed, "opens"),
        "closes": _local(typed, "closes"),
        "time_zone": typed.get("time_zone") or "Europe/Paris",
        "seats": _number(typed, "seats"),
        "contact": typed.get("contact", "").strip(),
        "organisers": _names(typed, "organisers"),
        "trainers": _names(typed, "trainers"),
        "retention_days": _number(typed, "retention_days"),
        "pairs": typed.get("pairs") == "yes",
        "seat": {"memory": typed.get("memory", "").strip() or "1 GiB", "cores": _decimal(typed, "cores")},
        "warm": {"cubes": _names(typed, "cubes")},
        "languages": _names(typed, "languages") or list(LANGUAGES),
        "notebooks": [row for row in (_notebook(typed, n) for n in range(1, _ROWS + 1)) if row],
    }
    workers = _number(typed, "workers")
    return said | ({"cluster": {"workers": workers}} if workers else {})


def _fields(workshop: Workshop) -> dict[str, str]:
    """What the form shows for a workshop."""
    found = {
        "slug": workshop.slug,
        **{f"title_{lang}": words for lang, words in workshop.title.items()},
        "opens": f"{workshop.opens:%Y-%m-%dT%H:%M}",
        "closes": f"{workshop.closes:%Y-%m-%dT%H:%M}",
        "time_zone": workshop.time_zone,
        "seats": str(workshop.seats),
        "contact": workshop.contact,
        "organisers": ", ".join(workshop.organisers),
        "trainers": ", ".join(workshop.trainers),
        "retention_days": str(workshop.retention_days),
        "pairs": "yes" if workshop.pairs else "",
        "memory": render_bytes(workshop.memory),
        "cores": f"{workshop.cores:g}",
        "workers": str(workshop.workers or ""),
        "cubes": ", ".join(workshop.cubes),
        "languages": ", ".join(workshop.languages),
    }
    for number, notebook in enumerate(workshop.notebooks[:_ROWS], 1):
        found |= {
            f"path_{number}": notebook.path,
            f"part_{number}": str(notebook.part),
            f"checkpoints_{number}": ", ".join(notebook.checkpoints),
        }
        if notebook.source:
            found |= {f"git_{number}": notebook.source.git, f"commit_{number}": notebook.source.commit}
    if len(workshop.notebooks) > _ROWS or len(workshop.languages) != len(LANGUAGES):
        found["toml"] = to_toml(workshop)
    return found


def _notebook(typed: Mapping[str, str], number: int) -> dict[str, Any]:
    path = typed.get(f"path_{number}", "").strip()
    if not path:
        return {}
    given = {"git": typed.get(f"git_{number}", "").strip(), "commit": typed.get(f"commit_{number}", "").strip()}
    return {
        "path": path,
        "part": _number(typed, f"part_{number}", 1),
        "checkpoints": _names(typed, f"checkpoints_{number}"),
        **{key: value for key, value in given.items() if value},
    }


def _local(typed: Mapping[str, str], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(typed.get(name, ""))
    except ValueError as exc:
        raise BadRequest(
            f"{name}: une date et une heure. · found {typed.get(name, '')!r}, expected a date and a time."
        ) from exc
    return moment if moment.tzinfo is None else moment.astimezone(ZoneInfo("UTC"))


def _number(typed: Mapping[str, str], name: str, default: int = 0) -> int:
    text = typed.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise BadRequest(f"{name}: un nombre entier. · found {text!r}, expected a whole number.")
    return int(text)


def _decimal(typed: Mapping[str, str], name: str) -> float:
    text = typed.get(name, "").strip().replace(",", ".") or "1"
    try:
        return float(text)
    except ValueError as exc:
        raise BadRequest(f"{name}: un nombre. · found {text!r}, expected a number.") from exc


def _names(typed: Mapping[str, str], name: str) -> list[str]:
    return [word.strip() for word in typed.get(name, "").split(",") if word.strip()]
