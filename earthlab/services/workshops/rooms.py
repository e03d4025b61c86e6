"""The rooms as they are at this moment: what the log says of each seat, and what trainers have said to it."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from earthlab.errors import AskLess, BadRequest
from earthlab.hub.passes import seat_user
from earthlab.services.workshops.events import (
    MOST_KEPT,
    PAGE,
    Event,
    Seat,
    Standing,
    count_room,
    judge_seat,
    order_seats,
    parse_post,
)
from earthlab.services.workshops.store import Act, Entry, Help, Pair, Store

_MOST_TOLD = 20
"""Messages and cells that a seat is told of, the latest."""

LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Glance:
    """What one participant's page says of their own seat."""

    standing: Standing
    answer: Mapping[str, Any]


class Room:
    """One open workshop. Everything in it follows from the book: a new one after a kill is as the old one was.

    Parameters
    ----------
    entry : Entry
    store : Store
    """

    def __init__(self, entry: Entry, store: Store) -> None:
        self.entry = entry
        self.order = entry.order
        self.seats = {number: Seat() for number in range(1, entry.workshop.seats + 1)}
        self.version = 0
        """Rises with every change that the wall must show."""
        self.changed: set[int] = set()
        """Seats of which something came since somebody last emptied it."""
        self._store = store
        self._syllabus = entry.syllabus
        self._acts: list[Act] = []
        for number, event in store.events(entry.slug):
            self.seats[number].take(event)
        for act in store.acts(entry.slug):
            self._heed(act)

    @property
    def unlocked(self) -> int:
        """The last part that participants have."""
        return max([1, *(int(act.body["part"]) for act in self._acts if act.kind == "unlock")])

    def take_post(self, number: int, body: bytes) -> dict[str, Any]:
        """What a server tells, into the log; returns what there is for its seat.

        Raises
        ------
        AskLess, BadRequest
            For what may not come in; then nothing of it has.
        """
        now = self._store.clock()
        post = parse_post(body, self._syllabus, now)
        if self.seats[number].taken + len(post.events) > MOST_KEPT:
            raise AskLess(f"This seat has told {MOST_KEPT} events, which is more than a workshop's cells can make.")
        self._note(number, self._store.take(self.entry.slug, number, post.events) if post.events else ())
        self.seats[number].hear(now)
        return {"accepted": len(post.events), **self.answer(number)}

    def raise_hand(self, number: int, *, up: bool) -> None:
        """The hand that the participant's page raises and lowers."""
        self._note(number, [self._store.say(self.entry.slug, number, PAGE, hand=up)])

    def answer(self, number: int) -> dict[str, Any]:
        """What there is for a seat, of which the latest `_MOST_TOLD` messages and cells."""
        told = [act for act in self._acts if act.seat in {None, number}]
        resets = [act for act in told if act.kind == "reset"]
        asked = [it for it in self._store.helps(self.entry.slug, number) if it.answer is None]
        return {
            "unlocked": self.unlocked,
            "cells": [{"number": a.number, **a.body} for a in told if a.kind == "cell"][-_MOST_TOLD:],
            "messages": [{"number": a.number, **a.body} for a in told if a.kind == "message"][-_MOST_TOLD:],
            "reset": {"number": resets[-1].number, **resets[-1].body} if resets else None,
            "help": {"number": asked[-1].number, "trainer": asked[-1].trainer} if asked else None,
            "guests": self.guests(number),
            "syllabus": 1,
        }

    def tell(self, kind: str, text: str, seat: int | None = None) -> Act:
        """Push a message or a cell to all, or to one.

        Raises
        ------
        BadRequest
            For an empty or endless text.
        """
        if not text.strip() or len(text) > LONGEST_TEXT:
            raise BadRequest(
                f"text: de 1 à {LONGEST_TEXT} caractères. · expected 1 to {LONGEST_TEXT} characters, found {len(text)}."
            )
        if kind == "cell":
            return self._do(self._store.act(self.entry.slug, "cell", {"source": text}, seat))
        return self._do(self._store.act(self.entry.slug, "message", {"text": text}, seat))

    def unlock_next(self) -> Act:
        """Give participants the next part.

        Raises
        ------
        BadRequest
            Where they have the last.
        """
        if self.unlocked >= self.entry.workshop.parts:
            raise BadRequest(f"toutes les parties sont ouvertes. · all {self.entry.workshop.parts} parts are unlocked.")
        return self._do(self._store.act(self.entry.slug, "unlock", {"part": self.unlocked + 1}))

    def reset(self, number: int, notebook: str, cell: str) -> Act:
        """Set one seat back to a checkpoint; an empty ``cell`` is the beginning of the notebook.

        Raises
        ------
        BadRequest
            For what is neither.
        """
        lesson = next((each for each in self.entry.lessons if each.path == notebook), None)
        if lesson is None or (cell and cell not in lesson.checkpoints):
            raise BadRequest(f"reset: {notebook} n’a pas ce point de reprise. · it has no checkpoint {cell!r}.")
        return self._do(self._store.act(self.entry.slug, "reset", {"notebook": notebook, "cell": cell}, number))

    def helps(self) -> list[Help]:
        """Trainers' requests to enter a seat that have not ended."""
        return self._store.helps(self.entry.slug)

    def pairs(self) -> list[Pair]:
        """Seats that work in one notebook, or are invited to."""
        return self._store.pairs(self.entry.slug)

    def pairs_of(self, number: int) -> list[Pair]:
        """The pair of one seat, and invitations of it and to it."""
        return self._store.pairs(self.entry.slug, number)

    def guests(self, number: int) -> list[str]:
        """Names of all whom a seat lets into its server at this moment."""
        slug = self.entry.slug
        invited = {seat_user(slug, it.guest) for it in self.pairs_of(number) if it.owner == number}
        return sorted(invited | {it.trainer for it in self._store.helps(slug, number) if it.answer == "yes"})

    def now(self) -> float:
        """Seconds since 1970 by the book's clock."""
        return self._store.clock()

    def touch(self) -> None:
        """Have the wall shown anew."""
        self.version += 1

    def stand(self, numbers: Iterable[int] | None = None) -> list[Standing]:
        """Seats as the wall shows them, the most urgent first."""
        now = self._store.clock()
        wanted = self.seats if numbers is None else numbers
        return order_seats(judge_seat(number, self.seats[number], self.order, now) for number in wanted)

    def glance(self, number: int) -> Glance:
        """One seat for its own participant."""
        return Glance(self.stand([number])[0], self.answer(number))

    def _note(self, number: int, events: Iterable[Event]) -> None:
        for event in events:
            self.seats[number].take(event)
        self.changed.add(number)

    def _do(self, act: Act) -> Act:
        self._heed(act)
        self.touch()
        return act

    def _heed(self, act: Act) -> None:
        self._acts.append(act)
        if act.kind == "reset" and act.seat is not None:
            self.seats[act.seat].reset(self._cells_from(act.body["notebook"], act.body["cell"]), act.at)
            self.changed.add(act.seat)

    def _cells_from(self, notebook: str, checkpoint: str) -> list[tuple[str, str]]:
        cells = [cell for cell in self.order if cell[0] == notebook]
        passed = [index for index, (_, cell) in enumerate(cells) if cell == checkpoint]
        return cells[passed[0] + 1 :] if passed else cells


class Rooms:
    """The rooms of all open workshops, made from the book when somebody asks.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rooms: dict[str, Room] = {}

    def find(self, slug: str) -> Room:
        """The room of a workshop whose seats are, or were, open.

        Raises
        ------
        NothingFound
            Where no workshop is called so.
        BadRequest
            Where it has no room.
        """
        entry = self._store.find(slug)
        if entry.stage not in {"open", "closed"} or not entry.lessons:
            self._rooms.pop(slug, None)
            raise BadRequest(f"{slug} : personne n’y a de place. · nobody has a seat ({entry.stage}).")
        room = self._rooms.get(slug)
        if room is None:
            room = self._rooms[slug] = Room(entry, self._store)
        if room.entry != entry:
            room.entry = entry
            room.touch()
        return room

    def drop(self, slug: str) -> None:
        """Keep nothing of a room in memory."""
        self._rooms.pop(slug, None)

    def forget(self, slug: str) -> None:
        """Delete a workshop's log; its counts remain."""
        entry = self._store.find(slug)
        counts = None
        if entry.lessons:
            room = self._rooms.get(slug) or Room(entry, self._store)
            counts = count_room(room.seats, entry.workshop.seats, room.order)
        self._store.forget(slug, counts)
        self.drop(slug)


@dataclass(slots=True)
class Broadcast:
    """What the walls of one room are sent: a whole picture first, then what has changed since.

    Pictures are numbered, so that a wall sees whether one is missing.
    """

    room: Room
    names: Callable[[], Mapping[int, str]]
    """What participants want to be called, by seat."""
    clock: Callable[[], float] = time.monotonic
    sequence: int = 0
    _shown: dict[int, tuple[Any, ...]] | None = None
    _version: int = -1
    _whole_at: float = 0.0

    def picture(self) -> str:
        """The whole room as one server-sent event."""
        rows = self._rows(self.room.stand())
        self._shown = dict(rows)
        entry = self.room.entry
        about = {
            "sequence": self.sequence,
            "seats": [row for _, row in rows],
            "unlocked": self.room.unlocked,
            "parts": entry.workshop.parts,
            "closes": entry.closes,
            "now": self.room.now(),
            "stage": entry.stage,
            "helps": [
                {"number": it.number, "seat": it.seat, "trainer": it.trainer, "answer": it.answer, "until": it.until}
                for it in self.room.helps()
            ],
            "pairs": [[it.owner, it.guest] for it in self.room.pairs() if it.accepted is not None],
        }
        return self._event("room", about)

    def change(self) -> str | None:
        """What has changed since the last call, as one server-sent event; None where nothing has."""
        if self._shown is None or self._version != self.room.version:
            self._version = self.room.version
            self.sequence += 1
            self.room.changed.clear()
            return self.picture()
        # Silence changes a seat too, though nothing comes of it.
        everybody = self.clock() - self._whole_at > 3.0
        if everybody:
            self._whole_at = self.clock()
        rows = self._rows(self.room.stand(None if everybody else tuple(self.room.changed)))
        self.room.changed.clear()
        news = [(number, row) for number, row in rows if self._shown.get(number) != row]
        if not news:
            return None
        self._shown.update(news)
        self.sequence += 1
        return self._event("seats", {"sequence": self.sequence, "seats": [row for _, row in news]})

    def _rows(self, standings: Iterable[Standing]) -> list[tuple[int, tuple[Any, ...]]]:
        names = self.names()
        return [
            (it.number, (it.number, names.get(it.number, ""), it.cells, it.presence, it.hand, it.stuck, it.error,
                         it.current, it.since, it.missing))
            for it in standings
        ]  # fmt: skip

    def _event(self, kind: str, data: Mapping[str, Any]) -> str:
        return f"event: {kind}\nid: {self.sequence}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
