"""How far a workshop's participant has come: told by their server to the workshops' service, and nothing but that.

What leaves here are ids of cells that the workshop itself has handed out, states, times and classes of errors: no
source, no output, no name. Events are numbered within one run of the server, so that the service sees a gap, and are
kept and said again while it does not answer. What it answers, parts that are unlocked and notebooks that are set back,
comes into the participant's home.
"""

import asyncio
import json
import re
import secrets
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from earthlab.hub.guests import Door
from earthlab.hub.handout import Reception, read_handout

State = Literal["running", "done", "failed"]

_MOST_KEPT = 2000
"""Events that wait for a service which does not answer; of more, the oldest are given up, and their numbers tell it."""

_MOST_EARLY = 200
_MOST_AT_ONCE = 200
_AT_MOST_EVERY = 1.0
"""Seconds between two requests of one server."""

_SIGN_OF_LIFE_EVERY = 10.0
"""And at least so often one that says only that somebody is there, and brings back what there is for the seat."""

_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
"""What a class of errors can be called; a name is the user's own word, and could else say anything."""

_NEVER_TAKEN = {400, 413}
_STOPPED = 403


@dataclass(frozen=True, slots=True)
class Event:
    """One step of one cell."""

    seq: int
    notebook: str
    """Its place in the workshop, as the service has named it."""
    cell: str
    state: State
    error: str
    """The class of what it failed with, or nothing."""
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Syllabus:
    """The cells whose progress may be told: their ids by the place of their notebook."""

    cells: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def knows(self, notebook: str, cell: str) -> bool:
        """Whether the workshop has handed out this cell."""
        return cell in self.cells.get(notebook, ())


def parse_syllabus(said: Mapping[str, Any]) -> Syllabus:
    """The syllabus in what the service says: lists of ids by notebook."""
    return Syllabus({str(place): frozenset(map(str, cells)) for place, cells in said.items()})


class Follower:
    """Follows the cells of one kernel by the messages between a page and it; tells each step once.

    Parameters
    ----------
    tell : callable
        Is given cell, state and class of error.
    """

    def __init__(self, tell: Callable[[str, State, str], None]) -> None:
        self._tell = tell
        self._asked: dict[str, str] = {}
        self._failed: dict[str, str] = {}
        self._running: set[str] = set()

    def on_request(self, message: str, cell: str) -> None:
        """A page asks the kernel to run a cell."""
        self._asked[message] = cell

    def on_said(self, parent: str, kind: str, content: Mapping[str, Any]) -> None:
        """The kernel says something on its public channel, of a request of the page's."""
        cell = self._asked.get(parent)
        if cell is None:
            return
        match kind:
            case "execute_input":
                self._running.add(parent)
                self._tell(cell, "running", "")
            case "error":
                name = str(content.get("ename", ""))
                self._failed[parent] = name if _CLASS.fullmatch(name) else "Error"
            case "status" if content.get("execution_state") == "idle":
                self._end(parent)

    def on_death(self) -> None:
        """The kernel is gone: what it ran has failed, what waited has not been reached."""
        for parent in tuple(self._running):
            self._failed.setdefault(parent, "KernelDied")
            self._end(parent)
        self._asked.clear()

    def _end(self, parent: str) -> None:
        cell, error = self._asked.pop(parent), self._failed.pop(parent, None)
        if parent not in self._running:
            # Turned away, since a cell before it has failed.
            return
        self._running.discard(parent)
        self._tell(cell, "done" if error is None else "failed", error or "")


class Outbox:
    """Events in their order, until the service has them.

    Parameters
    ----------
    instance : str
        Names this run of the server: numbers begin anew with each.
    """

    def __init__(self, instance: str = "", clock: Callable[[], float] = time.time) -> None:
        self.instance = instance or secrets.token_hex(8)
        self._clock = clock
        self._next = 1
        self._kept: deque[Event] = deque(maxlen=_MOST_KEPT)

    def put(self, notebook: str, cell: str, state: State, error: str = "") -> None:
        """Note a step."""
        self._kept.append(Event(self._next, notebook, cell, state, error, round(self._clock(), 3)))
        self._next += 1

    def first(self) -> Sequence[Event]:
        """Those to be sent now."""
        return [self._kept[index] for index in range(min(_MOST_AT_ONCE, len(self._kept)))]

    def confirm(self, seq: int) -> None:
        """The service has all up to this number."""
        while self._kept and self._kept[0].seq <= seq:
            self._kept.popleft()


@dataclass(slots=True)
class Sender:
    """Tells the service, once a second at most, for as long as the server runs.

    Parameters
    ----------
    address : str
        The service's ``api/events``.
    token : str
        The server's own.
    heed : callable
        Is given what the service answers.
    """

    address: str
    token: str = field(repr=False)
    heed: Callable[[Mapping[str, Any]], None]
    outbox: Outbox = field(default_factory=Outbox)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def tell(self, notebook: str, cell: str, state: State, error: str = "") -> None:
        """Note a step, to be sent within a second."""
        self.outbox.put(notebook, cell, state, error)
        self._woken.set()

    async def run(self) -> None:
        """Send until cancelled, or until the service does not take this user's progress any more."""
        pause = _AT_MOST_EVERY
        while (answer := await self._send()) != "stop":
            pause = _AT_MOST_EVERY if answer == "taken" else min(2 * pause, 30.0)
            await asyncio.sleep(pause)
            if not self.outbox.first():
                await self._wait()

    async def _wait(self) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE_EVERY):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _send(self) -> Literal["taken", "later", "stop"]:
        events = self.outbox.first()
        told = json.dumps({"instance": self.outbox.instance, "events": [asdict(event) for event in events]})
        try:
            said = await _ask(HTTPRequest(self.address, "POST", headers=_headers(self.token), body=told))
        except HTTPClientError as exc:
            if exc.code in _NEVER_TAKEN and events:
                # Said again, it would keep all others from being heard.
                self.outbox.confirm(events[-1].seq)
            return "stop" if exc.code == _STOPPED else "later"
        except (OSError, ValueError):
            # Kept: the next request brings them.
            return "later"
        if events:
            self.outbox.confirm(events[-1].seq)
        self.heed(said)
        return "taken"


class Progress:
    """What a server of a workshop's participant tells, and what it heeds.

    Parameters
    ----------
    service : str
        The address of the service, without a slash at its end.
    token : str
        The server's own.
    reception : Reception, optional
        Takes in what the service answers.
    """

    def __init__(self, service: str, token: str, reception: Reception | None = None) -> None:
        self._service = service
        self._token = token
        self._reception = reception
        self._taking: asyncio.Task[None] | None = None
        self._complaint = ""
        self._door = Door()
        self._folder = ""
        self._syllabus = Syllabus()
        self._revision = -1
        self._early: deque[tuple[str, str, State, str]] = deque(maxlen=_MOST_EARLY)
        self._sender = Sender(f"{service}/api/events", token, self._heed)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Tell from now on, in the loop that runs."""
        self.keep(self._read_syllabus())
        self.keep(self._sender.run())

    def tell(self, path: str, cell: str, state: State, error: str) -> None:
        """Note a step of a cell of the notebook at a path in the home; of other cells than the workshop's, nothing."""
        if not self._folder:
            # Whoever runs a cell at once is quicker than the answer that says which are the workshop's.
            self._early.append((path, cell, state, error))
            return
        place = path.removeprefix(f"{self._folder}/")
        if place != path and self._syllabus.knows(place, cell):
            self._sender.tell(place, cell, state, error)

    def _heed(self, said: Mapping[str, Any]) -> None:
        if said.get("syllabus", self._revision) != self._revision:
            self.keep(self._read_syllabus())
        if "guests" in said:
            self._door.admit(said["guests"])
        if self._reception is not None and (self._taking is None or self._taking.done()):
            self._taking = self.keep(self._take_in(self._reception, said))

    async def _take_in(self, reception: Reception, said: Mapping[str, Any]) -> None:
        try:
            await asyncio.to_thread(reception.take, said)
        except OSError as exc:
            # A full home, perhaps, which its owner can make room in: the next answer says the same again.
            if str(exc) != self._complaint:
                self._complaint = str(exc)
                sys.stderr.write(f"earthlab: what the workshop gives out could not be brought: {exc}\n")

    async def _read_syllabus(self) -> None:
        try:
            said = await _ask(HTTPRequest(f"{self._service}/api/syllabus", headers=_headers(self._token)))
        except (HTTPClientError, OSError, ValueError):
            # Asked again with the next sign of life.
            return
        self._folder, self._syllabus = str(said["folder"]).rstrip("/"), parse_syllabus(said["cells"])
        self._revision = int(said["revision"])
        while self._early:
            self.tell(*self._early.popleft())

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done beside, in the loop that runs."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def resolve_progress(environ: Mapping[str, str]) -> Progress | None:
    """How a server tells its progress: not at all, where its user is at no workshop."""
    services, workshop = environ.get("EARTHLAB_SERVICES", ""), environ.get("EARTHLAB_WORKSHOP", "")
    if not (services and workshop):
        return None
    handout = read_handout(environ)
    reception = Reception(handout, Path.home()) if handout else None
    return Progress(f"{services.rstrip('/')}/workshops", environ.get("JUPYTERHUB_API_TOKEN", ""), reception)


async def _ask(request: HTTPRequest) -> Mapping[str, Any]:
    request.request_timeout, request.connect_timeout, request.follow_redirects = 10, 5, False
    answer: Mapping[str, Any] = json.loads((await AsyncHTTPClient().fetch(request)).body)
    return answer


def _headers(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}", "Content-Type": "application/json"}
