"""Where somebody lands who comes by ssh: inside the user's own server, on this machine or in a pod."""

import asyncio
import os
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from earthlab.errors import NotAllowed
from earthlab.hub.head import HEAD
from earthlab.hub.inside import Inside, read_inside
from earthlab.hub.layout import AccountMode, Layout
from earthlab.services.ssh.listeners import connect_to_own
from earthlab.services.ssh.places import MARK, Running, Size, Terminal, Wish, end_all_sessions, end_left, start_wish

_ENDING = ThreadPoolExecutor(8, "earthlab-ssh")
"""Threads of their own: where many connections end at once, those who come in do not wait for it."""

_OLD = "Arrêtez votre serveur et revenez. · Stop your server and come again."


class Program(Protocol):
    """A program of the user's, and our ends of its streams, which do not block; those of a terminal are one."""

    handle: int
    """Can be read when the program has ended."""
    stdin: int
    stdout: int
    stderr: int | None

    def send(self, name: str) -> None:
        """Signal it and its group, by the signal's name without ``SIG``."""

    def resize(self, size: Size) -> None:
        """Tell its terminal how large the client's is."""

    def reap(self) -> int:
        """How it has ended: the exit code, or minus the signal."""

    def close(self) -> None:
        """Forget it; the streams are closed by who reads and writes them."""


class Landing(Protocol):
    """The inside of a user's server, for one connection."""

    async def start(self, wish: Wish, terminal: Terminal | None, words: Mapping[str, str]) -> Program:
        """Start what the client asks for.

        Raises
        ------
        NotAllowed, CatalogueUnavailable, OSError, ValueError
            Where it cannot be started.
        """

    async def connect(self, port: int) -> socket.socket:
        """A connection to a port that the user alone listens on.

        Raises
        ------
        NotAllowed
            Where there is none.
        """

    def stands(self) -> bool:
        """Whether the server is still the one it was."""

    async def leave(self) -> None:
        """End what the connection has started: by asking, then for certain."""


class Ground(Protocol):
    """Where the servers of all users are."""

    async def reach(self, user: str, mark: str) -> Landing:
        """The inside of a server that runs; ``mark`` is the connection's.

        Raises
        ------
        NotAllowed, CatalogueUnavailable
            Where there is no way in.
        """

    def sweep(self) -> None:
        """End what an earlier door has left."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine, on which servers run under accounts."""

    layout: Layout
    accounts: AccountMode

    async def reach(self, user: str, mark: str) -> "Here":
        """Where the hub has noted that the server is."""
        inside = read_inside(self.layout, user)
        if inside is None or inside.environment.get(HEAD) != os.environ.get(HEAD):
            raise NotAllowed(_OLD)
        return Here(self, user, mark, inside)

    def sweep(self) -> None:
        """End what an earlier door has left."""
        end_all_sessions(self.layout.lab_id)


@dataclass(slots=True)
class Here:
    """Inside a server on this machine."""

    machine: Machine
    user: str
    mark: str
    inside: Inside
    _begun: list[Running] = field(default_factory=list)

    async def start(self, wish: Wish, terminal: Terminal | None, words: Mapping[str, str]) -> Running:
        """Start it under the user's account."""
        running = start_wish(self.inside, wish, terminal, words)
        self._begun = [*self._running(), running]
        return running

    async def connect(self, port: int) -> socket.socket:
        """By the addresses of this machine itself."""
        if self.machine.accounts == "shared":
            raise NotAllowed("users of this lab share one account, so that nobody's ports can be told apart")
        return await connect_to_own(port, self.inside.identity.uid)

    def stands(self) -> bool:
        """Whether the hub's note of it is the same."""
        return read_inside(self.machine.layout, self.user) == self.inside

    async def leave(self) -> None:
        """End whatever runs of this connection."""
        running = [each.copy() for each in self._running()]
        work = partial(end_left, running, f"{MARK}={self.mark}", self.inside.identity.uid)
        await asyncio.get_running_loop().run_in_executor(_ENDING, work)

    def _running(self) -> list[Running]:
        return [each for each in self._begun if each.handle >= 0]
