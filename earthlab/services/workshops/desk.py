"""What organisers do with workshops, from a page or a shell: each step changes the book, the passes and the files."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from earthlab.errors import BadRequest, SetupError
from earthlab.hub.accounts import remove_account
from earthlab.hub.handout import remove_handout
from earthlab.hub.keys import KeyStore
from earthlab.hub.layout import Layout, resolve_accounts, shipped
from earthlab.hub.passes import Pass, PassStore, Seat, Share, seat_user
from earthlab.hub.profiles import read_profiles, seat_profile
from earthlab.services.doors import resolve_hub
from earthlab.services.gateway.caps import total_workers
from earthlab.services.gateway.shared import owner_of
from earthlab.services.workshops.material import Shelf, write_material
from earthlab.services.workshops.rooms import Rooms
from earthlab.services.workshops.seats import Seats, hub_seats
from earthlab.services.workshops.store import Entry, Run, RunKind, Store
from earthlab.services.workshops.text import Workshop, render_bytes
from earthlab.services.workshops.warmth import parse_warmth
from earthlab.settings import Settings, parse_bytes

_LONGEST_EXTENSION = 31 * 86400.0

_TIDYING = 300.0
"""Seconds that a rehearsal takes with each notebook beside the class itself."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The lab's desk for workshops."""

    settings: Settings
    layout: Layout
    store: Store
    passes: Seats
    shelf: Shelf
    rooms: Rooms = field(repr=False)

    def apart(self) -> "Desk":
        """The same desk with a connection of its own to the book, for another thread; close its store afterwards."""
        store = Store(self.store.path, self.store.clock)
        return Desk(self.settings, self.layout, store, self.passes, self.shelf, Rooms(store))

    def make(self, workshop: Workshop) -> Entry:
        """A new draft.

        Raises
        ------
        BadRequest
            Where the name is taken, or a seat would get more than the operator allows.
        """
        self._check(workshop)
        self.store.add(workshop)
        return self.store.find(workshop.slug)

    def edit(self, workshop: Workshop) -> Entry:
        """Another text for a draft.

        Raises
        ------
        BadRequest
            Where its seats are open, or a seat would get more than the operator allows.
        """
        self._check(workshop)
        self.store.replace(workshop)
        return self.store.find(workshop.slug)

    def open(self, slug: str) -> list[Pass]:
        """Gather the notebooks, lay them out and open the seats; the passes' codes cannot be shown again.

        Raises
        ------
        BadRequest
            Where a notebook cannot be had, the workshop is over, or its seats were opened before.
        """
        with self._alone():
            return self._open(self.store.find(slug))

    def _open(self, entry: Entry) -> list[Pass]:
        slug = entry.slug
        if entry.stage != "draft":
            raise BadRequest(
                f"{slug} : ses places ont déjà été ouvertes. · its seats were opened before ({entry.stage})."
            )
        if entry.closes <= self.store.clock():
            raise BadRequest(
                f"{slug} : fini le {entry.local(entry.closes):%d/%m/%Y %H:%M}, changez d’abord ses dates. · "
                f"ended {entry.local(entry.closes):%Y-%m-%d %H:%M}. Change its dates first."
            )
        workshop = entry.workshop
        documents = self.shelf.gather(workshop)
        write_material(self.material(slug), workshop, documents, warmed=self.warmed(slug))
        # Those of an opening that was cut short, whose codes nobody has seen.
        self.passes.close(slug)
        self.note_share(workshop)
        passes = self.passes.open_seats(
            slug,
            workshop.seats,
            workshop.opens.timestamp(),
            entry.closes,
            title=workshop.title.get("fr") or workshop.title["en"],
            kept=entry.forgotten,
        )
        self.store.open(slug, [document.lesson for document in documents])
        return passes

    def note_share(self, workshop: Workshop) -> None:
        """Tell the hub what each seat gets."""
        self.passes.note_share(workshop.slug, Share(workshop.memory, workshop.cores))

    def new_passes(self, slug: str) -> list[Pass]:
        """New passes for the seats that nobody has; the printed ones of these seats die.

        Raises
        ------
        BadRequest
            Where its seats are not open.
        """
        self.store.require_open(slug)
        free = [seat.number for seat in self.passes.seats(slug) if not seat.claimed and not seat.revoked]
        return [self.passes.reissue(slug, number) for number in free]

    def extend(self, slug: str, closes: float) -> Entry:
        """Move a workshop's end, and the day of its deletion as much.

        Raises
        ------
        BadRequest
            For an end in the past or more than a month away.
        """
        now = self.store.clock()
        if not now < closes <= now + _LONGEST_EXTENSION:
            raise BadRequest(
                "closes: une heure à venir, dans les 31 jours. · expected a time from now on and within 31 days."
            )
        entry = self.store.extend(slug, closes)
        self.passes.extend(slug, closes, kept=entry.forgotten)
        return entry

    def end(self, slug: str) -> Entry:
        """The workshop is over: no code lets anybody in. Work is kept until the day announced.

        Raises
        ------
        BadRequest
            Where its seats are not open.
        """
        entry = self.store.require_open(slug)
        now = self.store.clock()
        if now > entry.workshop.opens.timestamp():
            self.passes.extend(slug, now, kept=entry.forgotten)
        else:
            # Nobody has come: its codes must not begin to be good.
            self.passes.close(slug)
        return self.store.end(slug)

    def seats(self, slug: str) -> Sequence[Seat]:
        """The seats of a workshop; none where they are not open."""
        return self.passes.seats(slug) if self.store.find(slug).stage in {"open", "closed"} else ()

    def material(self, slug: str) -> Path:
        """The folder of what participants are given."""
        return self.layout.workshops / slug

    def warmed(self, slug: str) -> tuple[str, ...]:
        """Tokens of the cubes that the last warm-up has put into the store."""
        run = self.store.latest_run(slug, "warm")
        return parse_warmth(run.outcome).warmed if run and run.state == "done" else ()

    def rehearsals(self, slug: str) -> Path:
        """The folder of a workshop's reports of rehearsals, for the operator's eyes only."""
        return self.layout.hub / "rehearsals" / slug

    def ask_run(self, slug: str, kind: RunKind, minutes: float = 0.0) -> Run:
        """Ask the lab for a warm-up or a rehearsal, which it does by itself from now on.

        Raises
        ------
        BadRequest
            Where the workshop is over, another run is under way, or a rehearsal would disturb a workshop.
        """
        entry = self.store.find(slug)
        if not self.can_try:
            raise BadRequest(
                "échauffements et répétitions se font sur une seule machine : exécutez d’abord les carnets. · "
                "warm-ups and rehearsals are for labs on one machine: run the notebooks yourself beforehand."
            )
        if entry.stage not in {"draft", "open"}:
            raise BadRequest(f"{slug} : l’atelier est terminé. · {slug}: the workshop is over.")
        if kind == "rehearse":
            self.refuse_disturbance(entry, minutes)
        return self.store.ask_run(slug, kind, minutes)

    @property
    def can_try(self) -> bool:
        """Whether this lab can do warm-ups and rehearsals, which enter servers by the machine that they are on."""
        return not self.settings.kubernetes.enabled

    def refuse_disturbance(self, entry: Entry, minutes: float) -> None:
        """Nothing, unless a rehearsal from now on would take place in the hours of a workshop.

        Raises
        ------
        BadRequest
            Naming the workshop and its hours.
        """
        disturbed = self.in_hours(len(entry.workshop.notebooks) * (60 * minutes + _TIDYING))
        if disturbed:
            other = disturbed[0]
            hours = f"{other.workshop.opens:%d/%m/%Y %H:%M} → {other.local(other.closes):%d/%m/%Y %H:%M}"
            raise BadRequest(
                f"une répétition dérangerait l’atelier {other.slug} ({hours}) : faites-la à une autre heure. · "
                f"a rehearsal would disturb the workshop {other.slug} ({hours}): hold it at another time."
            )

    def in_hours(self, seconds: float = 0.0) -> list[Entry]:
        """Open workshops of which a moment lies between now and so many seconds later."""
        now = self.store.clock()
        opened = (entry for entry in self.store.entries() if entry.stage == "open")
        return [it for it in opened if it.workshop.opens.timestamp() <= now + seconds and now < it.closes]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # The pages and a shell may open the same workshop at once.
        with (self.layout.hub / "workshops.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _check(self, workshop: Workshop) -> None:
        most, where = self._most_memory()
        if workshop.memory > most:
            raise BadRequest(
                f"seat.memory: ce labo donne au plus {render_bytes(most)} à chacun : demandez-en moins. · "
                f"found {render_bytes(workshop.memory)}, but users may take {render_bytes(most)} in this "
                f"lab. Ask for less, or ask the operator to raise {where}."
            )
        if workshop.workers and not self.most_workers:
            raise BadRequest(
                "cluster: ce labo n’a pas de grappes partagées : ôtez la table, chacun peut avoir la sienne. · "
                "this lab has no shared clusters. Take the table out: everybody may have a cluster of their own."
            )
        if workshop.workers > self.most_workers:
            raise BadRequest(
                f"cluster.workers: la machine prend au plus {self.most_workers} workers, tous utilisateurs ensemble : "
                f"demandez-en moins. · found {workshop.workers}, but the machine takes at most {self.most_workers} "
                "for all users together. Ask for fewer, or ask the operator to raise compute.total_workers."
            )

    def _most_memory(self) -> tuple[int, str]:
        """What a seat may get at most, and by which setting."""
        if self.settings.kubernetes.enabled:
            profile = seat_profile(read_profiles(self.settings))
            return parse_bytes(profile.memory, "memory"), f"memory of the profile {profile.slug}"
        return parse_bytes(self.settings.hub.server_memory, "hub.server_memory"), "hub.server_memory"

    @property
    def most_workers(self) -> int:
        """Workers that the machine takes, whoever asks; none on a cluster, whose gateway keeps no shared ones."""
        compute = self.settings.compute
        if self.settings.kubernetes.enabled:
            return 0
        return total_workers(compute.total_workers, compute.max_workers, os.cpu_count() or 1)

    def forget(self, entry: Entry) -> None:
        """Delete the homes, seats, codes and log of a workshop whose users the hub has forgotten; counts remain."""
        if not self.settings.kubernetes.enabled:
            # A cluster's hub has removed homes with their users, and forgets keys with seats.
            self._remove_homes(entry)
        self.passes.close(entry.slug)
        remove_handout(self.material(entry.slug))
        shutil.rmtree(self.rehearsals(entry.slug), ignore_errors=True)
        self.rooms.forget(entry.slug)

    def _remove_homes(self, entry: Entry) -> None:
        mode = resolve_accounts(self.settings)
        keys = KeyStore(self.layout.keys)
        for user in seat_users(entry):
            keys.forget(user)
            remove_account(user, self.layout, mode)
        remove_account(owner_of(entry.slug), self.layout, mode)


def open_desk(settings: Settings, layout: Layout, environ: Mapping[str, str] = os.environ) -> Desk:
    """The desk of the lab that these settings describe; on a cluster, with the hub's address and token of ``environ``.

    Raises
    ------
    SetupError
        Where no lab was started there yet.
    """
    passes: Seats = PassStore(layout.passes)
    if settings.kubernetes.enabled:
        layout.hub.mkdir(mode=0o700, parents=True, exist_ok=True)
        passes = hub_seats(resolve_hub(environ).url, environ["JUPYTERHUB_API_TOKEN"])
    if not layout.hub.is_dir():
        raise SetupError(f"there is no lab at {layout.state}. Start it with `make lab`, or name its folder by --state.")
    store = Store(layout.hub / "workshops.sqlite")
    shelf = Shelf(shipped("notebooks"), layout.hub / "mirrors", settings.workshops.repositories)
    return Desk(settings, layout, store, passes, shelf, Rooms(store))


def seat_users(entry: Entry) -> Iterable[str]:
    """The hub's names of all seats of a workshop."""
    return [seat_user(entry.slug, number) for number in range(1, entry.workshop.seats + 1)]
