"""A user's own template: under the user's account, serves the user's server, and keeps kernels ready beforehand.

It is a copy of the lab's template, or, where there is none, ``python -m earthlab.kernel.nursery``, which imports all by
itself.
"""

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from earthlab.kernel import wire
from earthlab.kernel.forking import Child, Template, fork_held
from earthlab.kernel.groups import Group, own_group, read_bounds
from earthlab.kernel.identity import own_identity
from earthlab.kernel.life import Birth, Life, leave, parse_life
from earthlab.kernel.memory import SERVER, go_first, read_machine_memory
from earthlab.kernel.preload import KERNEL, Preloaded, be_scrubbed, preload
from earthlab.kernel.process import has_ended, reap, set_name, signal_group

_REST = 2.0
"""Seconds between the making of two kernels, and after one was taken where nobody says how long."""

_TAKEN_WITHIN = 2.0
"""Seconds for a parked kernel to answer that it can be the one asked for."""

_KEPT_FOR = 1800.0
"""Seconds without a request after which kernels made ready beforehand go, until the next one."""

_FREE_TO_PARK, _FREE_TO_KEEP = 0.4, 0.25
"""Shares of the memory, the machine's and the user's, that must be free for a kernel to be parked beside others, and
for it to stay.
"""

_FREE_FOR_FIRST = 0.1
"""And for a user's first: it will be wanted in a moment, and then takes no more than any kernel."""

_LOOK_EVERY = 10.0
"""Seconds between two looks at the memory that is free, while kernels are parked."""


@dataclass(slots=True)
class Parked:
    """A kernel that waits, and the line to it."""

    child: Child
    line: socket.socket
    ready: bool = False


@dataclass(slots=True, kw_only=True)
class Nursery(Template):
    """A template that keeps kernels ready.

    Parameters
    ----------
    wanted : int
        How many, where memory allows.
    content : mapping
        What a parked kernel is told before anybody wants it, see `run_parked_kernel`.
    parking : Life
        What a parked kernel does: waits, then runs.
    rest : float
        Seconds after a kernel was taken before the next is made ready: its user's first cell goes before, and so does
        the arrival of others.
    """

    wanted: int
    content: Mapping[str, Any]
    parking: Life
    rest: float = _REST
    parked: list[Parked] = field(default_factory=list)
    refill_at: float = 0.0
    look_at: float = 0.0
    asked_at: float = field(default_factory=time.monotonic)

    def tend(self) -> Birth | None:
        """Park a kernel where one is due, and drop those that ended while they waited, wait in vain or take room."""
        Template.tend(self)
        now = time.monotonic()
        # Not at each event: a request for a kernel is one, and does not wait for this.
        looks = self.look_at <= now
        self.look_at = now + _LOOK_EVERY if looks else self.look_at
        unwanted = self.parked and (self._idles() or (looks and self.children and not has_room(_FREE_TO_KEEP)))
        for each in [each for each in self.parked if unwanted or has_ended(each.child.handle)]:
            self._drop(each)
        if self.stopped or self.orphaned or self._next_refill() > now:
            return None
        if not has_room(_FREE_TO_PARK if self.children else _FREE_FOR_FIRST) or self.stale():
            self.refill_at = now + _LOOK_EVERY
            return None
        self.refill_at = now + _REST
        try:
            return self._park()
        except OSError:
            # Its user has as many processes as may be, or we as many files: who asks meanwhile is told so.
            self.refill_at = now + _LOOK_EVERY
            return None

    def next_due(self) -> float:
        """When the next kernel is to be parked, one that is parked is to be looked at, or a child is to be ended."""
        look_at = self.look_at if self.parked else float("inf")
        return min(self._next_refill(), look_at, Template.next_due(self))

    def take_ready(self, request: Mapping[str, Any], content: int) -> Child | None:
        """A parked kernel, where the request is for one that any parked one can be."""
        self.asked_at = time.monotonic()
        ready = [each for each in self.parked if each.ready]
        if not (ready and request.get("parked")):
            return None
        taken = ready[0]
        self.refill_at = time.monotonic() + self.rest
        try:
            wire.send(taken.line, {}, [content])
            answer, _ = wire.receive(taken.line)
            unfit = answer.get("unfit")
        except (EOFError, OSError, ValueError) as exc:
            unfit = f"it does not answer ({exc!r})"
        if unfit:
            sys.stderr.write(f"earthlab: a kernel made ready beforehand cannot be used: {unfit}\n")
            self._drop(taken)
            return None
        self.parked.remove(taken)
        self.selector.unregister(taken.line)
        taken.child.line = taken.line
        return taken.child

    def lines(self) -> list[socket.socket]:
        """Every socket that is this process's own."""
        return [*Template.lines(self), *(each.line for each in self.parked)]

    def _next_refill(self) -> float:
        return self.refill_at if len(self.parked) < self.wanted and not self._idles() else float("inf")

    def _idles(self) -> bool:
        return time.monotonic() >= self.asked_at + _KEPT_FOR

    def _park(self) -> Birth | None:
        ours, theirs = wire.pair()
        files: list[int] = []
        try:
            files.append(wire.seal({**self.content, "line": theirs.fileno()}))
            files.extend(map(os.dup, (1, 2)))
            child = fork_held()
        except OSError:
            ours.close()
            theirs.close()
            wire.close_files(files)
            raise
        if child is None:
            sealed, *streams = files
            ours.detach()
            return Birth(self.parking, own_identity(), sealed, tuple(streams), beside=(theirs.detach(),))
        theirs.close()
        wire.close_files(files)
        ours.settimeout(_TAKEN_WITHIN)
        parked = Parked(child, ours)
        self.parked.append(parked)
        self.watch(ours, lambda: self._on_word(parked))
        return None

    def _on_word(self, parked: Parked) -> None:
        try:
            wire.receive(parked.line)
        except (EOFError, OSError, ValueError):
            self._drop(parked)
        else:
            parked.ready = True

    def _drop(self, parked: Parked) -> None:
        self.parked.remove(parked)
        self.selector.unregister(parked.line)
        parked.line.close()
        signal_group(parked.child.pid, parked.child.handle, signal.SIGKILL)
        reap(parked.child.handle)
        os.close(parked.child.handle)
        for left in Path(self.content["place"]).glob(f"parked-{parked.child.pid}[.-]*"):
            left.unlink(missing_ok=True)


def has_room(share: float) -> bool:
    """Whether more than such a share is free of the machine's memory, and of what its control groups leave a user.

    Where they cannot be read, by a process that has no file left to open, there is none.
    """
    try:
        machine, group = read_machine_memory(), _own_group()
        bounds = read_bounds(group) if group else []
    except (OSError, LookupError, ValueError):
        return False
    return machine.available > share * machine.total and all(bound.free > share * bound.limit for bound in bounds)


@cache
def _own_group() -> Group | None:
    # A nursery has joined its user's group before anything else, and stays.
    with suppress(OSError):
        return own_group()
    return None


def run_nursery(content: dict[str, Any], preloaded: Preloaded) -> NoReturn:
    """Serve one user until ``owner``, the pid of the user's server, ends; kernels have our environment and folder.

    ``socket`` is where requests come in, ``parked`` how many kernels to keep ready, ``rest`` the seconds after one was
    taken before the next is made, where it is said.
    """
    go_first(SERVER)
    serve(wire.listen_at(Path(content["socket"])), content, preloaded)


def serve(listener: socket.socket, content: Mapping[str, Any], preloaded: Preloaded) -> NoReturn:
    """Be a nursery, or in a copy what that copy is for."""
    uid = os.getuid()
    nursery = Nursery(
        listener=listener,
        lives={"kernel": parse_life("kernel=earthlab.kernel.kernels:run_kernel")},
        parking=parse_life("parked=earthlab.kernel.kernels:run_parked_kernel"),
        admits=lambda peer: peer.uid == uid,
        stale=preloaded.software.change,
        owner=os.pidfd_open(content["owner"]),
        kept=preloaded.kept,
        wanted=content["parked"],
        rest=content.get("rest", _REST),
        content={
            **{name: content[name] for name in ("environment", "folder", "owner")},
            "place": str(Path(content["socket"]).parent),
        },
    )
    if born := nursery.serve():
        born.live()
    leave(0)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Be a nursery that is nobody's copy."""
    parser = argparse.ArgumentParser(prog="python -m earthlab.kernel.nursery", description=__doc__)
    parser.add_argument("--socket", required=True, help="where kernels are asked for")
    parser.add_argument("--owner", required=True, type=int, help="pid of the server whose kernels these are")
    parser.add_argument("--parked", type=int, default=1, help="kernels to keep ready")
    given = parser.parse_args(arguments)
    socket_path = Path(given.socket)
    environment = be_scrubbed("earthlab.kernel.nursery", socket_path.with_suffix(".home"), knowing=True)
    set_name("el-nursery")
    listener = wire.listen_at(socket_path)
    content = {**vars(given), "environment": environment, "folder": str(Path.cwd())}
    serve(listener, content, preload(KERNEL, ahead=True))


if __name__ == "__main__":
    main()
