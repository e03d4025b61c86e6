"""A rehearsal from its first link to the last removed home: everything that touches the lab and this machine."""

import asyncio
import fcntl
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from earthlab.errors import BadRequest
from earthlab.hub.layout import Layout, interpreter, local_url, resolve_layout, shipped
from earthlab.hub.links import ENTRY, LinkStore
from earthlab.hub.prepare import lab_runs
from earthlab.kernel.memory import read_machine_memory
from earthlab.rehearsal.behaviour import Plan, plan_seats
from earthlab.rehearsal.leaving import remove_seats
from earthlab.rehearsal.lesson import Lesson, read_lesson
from earthlab.rehearsal.person import Patience, Person
from earthlab.rehearsal.sampling import Sampler
from earthlab.rehearsal.story import Failure, Rehearsal
from earthlab.rehearsal.traffic import describe_drift, load_recording
from earthlab.settings import Settings

_LINK_LIFETIME = 600.0
_LEAST_MEMORY = 512_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be rehearsed: ``seats`` people who come ``within`` seconds and stay ``minutes``."""

    seats: int
    notebook: Path
    minutes: float = 10.0
    within: float = 30.0
    seed: int = 1
    patience: Patience = field(default_factory=Patience)

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises
        ------
        BadRequest
            Naming the option.
        """
        if not 1 <= self.seats <= 999:
            raise BadRequest(f"--seats {self.seats}: expected 1 to 999.")
        if self.minutes <= 0 or self.within < 0:
            raise BadRequest("--minutes and --within: expected positive numbers, minutes above 0.")


@dataclass(frozen=True, slots=True)
class Place:
    """A hub to rehearse on, and how its seats are opened and cleared away."""

    layout: Layout
    """By which its processes are found."""
    origin: str
    make_link: Callable[[str], str]
    """The address, from ``/`` on, that signs in the user of this name."""
    clear: Callable[[], list[str]]
    """Removes all seats; what would not go. It may take minutes."""


def rehearse(settings: Settings, wish: Wish) -> Rehearsal:
    """Rehearse on the running lab of this machine, and remove every seat afterwards, whatever happens.

    Raises
    ------
    BadRequest
        Where no lab runs, another rehearsal does, or the wish makes no sense.
    """
    wish.check()
    layout = resolve_layout(settings)
    if not lab_runs(layout):
        raise BadRequest(f"no lab runs on {layout.state}. Start it with `make lab`, or name its folder by --state.")
    lesson = read_lesson(wish.notebook, _shipped_place(wish.notebook))
    links = LinkStore(layout.links)
    with _alone(layout) as lock:
        if left := remove_seats(settings):
            raise BadRequest(f"seats of an earlier rehearsal would not go: {'; '.join(left[:3])}. See the hub's log.")
        with _start_leaver(settings, layout, lock) as leaver:
            place = Place(
                layout=layout,
                origin=local_url(settings.lab),
                make_link=lambda user: f"/hub/{ENTRY}?token={links.create(user, _LINK_LIFETIME)}",
                clear=lambda: _leave(leaver),
            )
            return hold_class(place, wish, lesson)


def hold_class(place: Place, wish: Wish, lesson: Lesson) -> Rehearsal:
    """Hold one class and clear its seats away; Ctrl-C cuts it short and still gives what was measured."""
    return asyncio.run(_Class(place, wish, lesson).run())


def _shipped_place(notebook: Path) -> str | None:
    # The lab brings its own notebooks to every home by itself, under their place in the checkout.
    ours = shipped("notebooks").resolve()
    found = notebook.resolve()
    return f"notebooks/{found.relative_to(ours)}" if found.is_relative_to(ours) else None


@contextmanager
def _alone(layout: Layout) -> Iterator[int]:
    lock = os.open(layout.rehearsal_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(lock)
        raise BadRequest("another rehearsal of this lab runs, or is being cleared away. Try again later.") from exc
    try:
        yield lock
    finally:
        os.close(lock)


@dataclass(slots=True)
class _Class:
    """One class while it is held."""

    place: Place
    wish: Wish
    lesson: Lesson
    failures: list[Failure] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)
    lives: list["asyncio.Task[None]"] = field(default_factory=list)
    interrupted: bool = False

    async def run(self) -> Rehearsal:
        started, began = datetime.now(UTC), time.monotonic()
        sampler = Sampler(self.place.layout, began, lambda: sum(person.present for person in self.people))
        async with sampler.running():
            try:
                await self._attend()
            finally:
                ended = time.monotonic() - began
                _say("  les places sont rendues… · the seats are being cleared away…")
                left = await asyncio.to_thread(self.place.clear)
        recording = load_recording()
        return Rehearsal(
            notebook=self.lesson.path,
            cells=len(self.lesson.cells),
            seats=self.wish.seats,
            within=self.wish.within,
            minutes=self.wish.minutes,
            seed=self.wish.seed,
            began=started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 1),
            machine={
                "cores": os.cpu_count(),
                "memory": read_machine_memory().total,
                "kernel": platform.release(),
                "python": platform.python_version(),
            },
            versions={"earthlab": version("earthlab"), **recording.recorded},
            stories=[person.story for person in self.people],
            failures=self.failures,
            samples=sampler.samples,
            drift=describe_drift(recording),
            interrupted=self.interrupted,
            class_ended=round(ended, 1),
            left_behind=left,
        )

    async def _attend(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        plans = plan_seats(
            self.wish.seats, self.lesson, within=self.wish.within, minutes=self.wish.minutes, seed=self.wish.seed
        )
        self.people += [self._person(plan, began) for plan in plans]
        self.lives += [asyncio.create_task(person.live()) for person in self.people]
        for sent in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(sent, self._on_signal)
        beside = [asyncio.create_task(_show(self.people, self.failures)), asyncio.create_task(self._guard(began))]
        try:
            for ended in await asyncio.gather(*self.lives, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
        finally:
            for task in beside:
                task.cancel()

    async def _guard(self, began: float) -> None:
        # A machine without memory kills whom it likes, the hub perhaps: the class ends before.
        while True:
            if read_machine_memory().available < _LEAST_MEMORY:
                break
            await asyncio.sleep(0.5)
        second = round(asyncio.get_running_loop().time() - began, 2)
        what = f"less than {_LEAST_MEMORY / 1e6:.0f} MB of the machine's memory were left; the class was ended"
        self.failures.append(Failure("memory", "", second, what))
        self._interrupt()

    def _on_signal(self) -> None:
        if self.interrupted:
            _say("  encore un instant, on range · one moment, it is being tidied up")
        self._interrupt()

    def _interrupt(self) -> None:
        # Once: a second word would catch people as they take their leave.
        if self.interrupted:
            return
        self.interrupted = True
        for life in self.lives:
            life.cancel()

    def _person(self, plan: Plan, began: float) -> Person:
        return Person(
            plan=plan,
            lesson=self.lesson,
            recording=load_recording(),
            origin=self.place.origin,
            link=partial(self.place.make_link, plan.user),
            began=began,
            ends=began + self.wish.minutes * 60,
            failures=self.failures,
            patience=self.wish.patience,
        )


@contextmanager
def _start_leaver(settings: Settings, layout: Layout, lock: int) -> Iterator["subprocess.Popen[bytes]"]:
    # In a session of its own, which no Ctrl-C reaches; the end of its input is the end of the rehearsal.
    leaver = subprocess.Popen(
        [str(interpreter()), "-P", "-m", "earthlab.rehearsal.leaving"],
        env={
            **os.environ,
            "EARTHLAB__LAB__STATE": str(layout.state),
            "EARTHLAB__LAB__PORT": str(settings.lab.port),
            "EARTHLAB__LAB__ADDRESS": settings.lab.address,
            "EARTHLAB__LAB__ACCOUNTS": settings.lab.accounts,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(lock,),
        start_new_session=True,
    )
    with leaver:
        yield leaver


def _leave(leaver: "subprocess.Popen[bytes]") -> list[str]:
    said, _ = leaver.communicate()
    try:
        left: list[str] = json.loads(said)
    except ValueError:
        return [f"the leaving itself failed (exit code {leaver.returncode}); the next rehearsal clears up first"]
    return left


async def _show(people: Sequence[Person], failures: Sequence[Failure]) -> None:
    began = time.monotonic()
    while True:
        phases = Counter(person.phase for person in people if person.present)
        done = sum(person.story.finished for person in people)
        words = ", ".join(f"{many} {phase}" for phase, many in phases.most_common())
        _say_over(
            f"  {time.monotonic() - began:4.0f} s  {words or 'personne · nobody yet'}; {done} ✓, {len(failures)} ✗"
        )
        await asyncio.sleep(1.0 if sys.stderr.isatty() else 15.0)


def _say_over(text: str) -> None:
    sys.stderr.write(f"\r\x1b[K{text[:118]}" if sys.stderr.isatty() else f"{text}\n")
    sys.stderr.flush()


def _say(text: str) -> None:
    _end_line()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _end_line() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
