"""A process that forks itself for whoever may ask.

It has one thread and never reads what it passes on: a child finds its environment in a file that only the child opens,
so that no user's secret is ever in the memory that later children are copies of.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earthlab.kernel import wire
from earthlab.kernel.identity import parse_identity
from earthlab.kernel.life import Birth, Life
from earthlab.kernel.process import fork_deaf, has_ended, reap, signal_group

GRACE = 5.0
"""Seconds between asking a child to end and ending it."""

_MOST_FILES = 1 << 20


@dataclass(slots=True)
class Child:
    """A running fork, and the connection of whoever asked for it: its end is the child's, unless that may stay."""

    pid: int
    handle: int
    connection: socket.socket | None = None
    line: socket.socket | None = None
    """The end of whoever asked of the line on which it waits for the word to begin."""
    stays: bool = False
    """Whether it goes on without the connection, until its owner ends."""
    kill_at: float = float("inf")


@dataclass(slots=True)
class Template:
    """Answers requests until it is told to stop.

    Parameters
    ----------
    listener : socket
        Where requests come in.
    lives : mapping
        What may be asked for, by name.
    admits : callable
        Whether a peer may ask at all.
    stale : callable
        Why this process must not be copied any more, or an empty text.
    owner : int
        A pidfd: when that process ends, so do all children, and then this process.
    kept : set of int
        Descriptors of files to read that copies keep, beside 0, 1 and 2.
    """

    listener: socket.socket
    lives: Mapping[str, Life]
    admits: Callable[[wire.Peer], bool]
    stale: Callable[[], str]
    owner: int
    kept: frozenset[int] = frozenset()
    children: dict[int, Child] = field(default_factory=dict)
    """By handle."""
    waiting: set[socket.socket] = field(default_factory=set)
    selector: selectors.BaseSelector = field(default_factory=selectors.PollSelector)
    woken: int = -1
    stopped: bool = False
    orphaned: bool = False

    def serve(self) -> Birth | None:
        """Fork on request. Returns in a child what it is to do, and in this process ``None`` once it is to end."""
        self.woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        self.watch(self.listener, self._accept)
        self.watch(self.woken, self._wake)
        self.watch(self.owner, self._on_owner_end)
        while not (self.stopped or (self.orphaned and not self.children)):
            for key, _ in self.selector.select(self._patience()):
                # An act before it in this round may have closed the file, and its number be another's by now.
                if self.selector.get_map().get(key.fd) is key and (born := key.data()):
                    return self._let_go(born)
            if born := self.tend():
                return self._let_go(born)
        return None

    def watch(self, file: Any, on_ready: Callable[[], Birth | None]) -> None:
        """Call ``on_ready`` whenever there is something to read; what it returns is the life of a child."""
        self.selector.register(file, selectors.EVENT_READ, on_ready)

    def tend(self) -> Birth | None:
        """What is due by the clock."""
        for child in self.children.values():
            if child.kill_at <= time.monotonic():
                signal_group(child.pid, child.handle, signal.SIGKILL)
                child.kill_at = float("inf")
        return None

    def next_due(self) -> float:
        """When `tend` has something to do, on the monotonic clock."""
        return min((child.kill_at for child in self.children.values()), default=float("inf"))

    def take_ready(self, _request: Mapping[str, Any], _content: int) -> Child | None:
        """A child made ready beforehand for such a life, if there is one."""
        return None

    def end(self, child: Child) -> None:
        """Ask a child to end, and see to it that it does."""
        signal_group(child.pid, child.handle, signal.SIGTERM)
        child.kill_at = time.monotonic() + GRACE

    def lines(self) -> list[socket.socket]:
        """Every socket that is this process's own."""
        theirs = (child.connection for child in self.children.values() if child.connection is not None)
        return [self.listener, *self.waiting, *theirs]

    def _stop(self, _sent: int, _frame: object) -> None:
        self.stopped = True

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.woken, 4096)

    def _patience(self) -> float | None:
        due = self.next_due()
        return None if due == float("inf") else max(0.0, due - time.monotonic())

    def _accept(self) -> None:
        try:
            connection, _ = self.listener.accept()
        except OSError:
            # Whoever it was has gone, or all descriptors are taken for the moment.
            return
        if not self.admits(wire.peer_of(connection)):
            connection.close()
            return
        connection.settimeout(1.0)
        self.waiting.add(connection)
        self.watch(connection, lambda: self._on_request(connection))

    def _on_request(self, connection: socket.socket) -> Birth | None:
        self.selector.unregister(connection)
        self.waiting.discard(connection)
        try:
            request, files = wire.receive(connection)
        except (EOFError, OSError, ValueError):
            connection.close()
            return None
        born = None
        try:
            born = self._answer(connection, request, files)
        finally:
            if born is None:
                wire.close_files(files)
        return born

    def _answer(self, connection: socket.socket, request: Mapping[str, Any], files: list[int]) -> Birth | None:
        try:
            life, identity = self.lives[request["life"]], parse_identity(request["identity"])
            content, *streams = files
        except (KeyError, TypeError, ValueError) as exc:
            self._refuse(connection, f"the request cannot be understood: {exc!r}")
            return None
        if reason := self.stale():
            self._refuse(connection, reason)
            self.stopped = True
            return None
        child = self.take_ready(request, content)
        if child is None:
            try:
                child, line = fork_on_line()
            except OSError as exc:
                self._refuse(connection, f"no process can be made ({exc.strerror})")
                return None
            if child is None:
                connection.detach()
                return Birth(life, identity, content, tuple(streams), line=line.detach())
        self._adopt(child, connection)
        return None

    def _adopt(self, child: Child, connection: socket.socket) -> None:
        child.connection = connection
        self.children[child.handle] = child
        self.watch(child.handle, lambda: self._on_end(child))
        self.watch(connection, lambda: self._on_word_of(child))
        assert child.line is not None
        # Whoever asked says the word to begin. Where nobody came to know of it there is none, and it ends by itself: it
        # would stand where a process of their own is put.
        with child.line, suppress(OSError):
            wire.send(connection, {"pid": child.pid}, [child.handle, child.line.fileno()])
        child.line = None

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        with suppress(OSError):
            wire.send(connection, {"refused": reason})
        connection.close()

    def _on_end(self, child: Child) -> None:
        code = reap(child.handle)
        self.selector.unregister(child.handle)
        del self.children[child.handle]
        os.close(child.handle)
        if child.connection is not None:
            with suppress(OSError):
                wire.send(child.connection, {"ended": code})
            self.selector.unregister(child.connection)
            child.connection.close()
            child.connection = None

    def _on_word_of(self, child: Child) -> None:
        assert child.connection is not None
        try:
            word, files = wire.receive(child.connection)
        except (EOFError, OSError, ValueError):
            self._on_requester_gone(child)
        else:
            wire.close_files(files)
            child.stays = bool(word.get("stays"))

    def _on_requester_gone(self, child: Child) -> None:
        assert child.connection is not None
        self.selector.unregister(child.connection)
        child.connection.close()
        child.connection = None
        if not child.stays:
            self.end(child)

    def _on_owner_end(self) -> None:
        self.orphaned = True
        self.selector.unregister(self.owner)
        self.selector.unregister(self.listener)
        for child in self.children.values():
            self.end(child)

    def _let_go(self, born: Birth) -> Birth:
        """In a child: forget all connections without a word to those at their other ends."""
        for each in self.lines():
            each.detach()
        self.selector.close()
        for file in self.kept:
            _open_anew(file)
        keep_only({0, 1, 2, *born.files, *self.kept})
        return born


def fork_held() -> Child | None:
    """A copy of this process, and a hold on it; ``None`` in the copy itself, which takes SIGTERM from `become` on.

    Raises
    ------
    OSError
        Where no copy can be made or held: there is none then.
    """
    pid = fork_deaf({signal.SIGTERM})
    if pid == 0:
        return None
    try:
        return Child(pid, os.pidfd_open(pid))
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def fork_on_line() -> tuple[Child | None, socket.socket]:
    """As `fork_held`, with a line between the two, and the end of it that is for either.

    Raises
    ------
    OSError
        As `fork_held`, and where there can be no line.
    """
    ours, theirs = wire.pair()
    try:
        child = fork_held()
    except OSError:
        ours.close()
        theirs.close()
        raise
    if child is None:
        ours.detach()
        return None, theirs
    theirs.close()
    child.line = ours
    return child, ours


def admits_only(pid: int, handle: int) -> Callable[[wire.Peer], bool]:
    """Whether a peer is that one process of our own user, given its pid and its pidfd."""
    uid = os.getuid()
    return lambda peer: (peer.uid, peer.pid) == (uid, pid) and not has_ended(handle)


_GENERATIONS = 2
"""A lab's head starts the hub, and the hub its services."""


def admits_household(pid: int, handle: int) -> Callable[[wire.Peer], bool]:
    """Whether a peer is that one process of our own user, given its pid and its pidfd, its child or its grandchild."""
    is_head, uid = admits_only(pid, handle), os.getuid()
    # A peer may have ended and its pid be another's by now. It was of our own user, though, whose processes need not
    # come here to do as we do.
    return lambda peer: is_head(peer) or (peer.uid == uid and not has_ended(handle) and _descends(peer.pid, pid))


def _descends(peer: int, head: int) -> bool:
    line: int | None = peer
    for _ in range(_GENERATIONS):
        line = None if line is None else _parent_of(line)
        if line == head:
            return True
    return False


def _parent_of(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def keep_only(files: set[int]) -> None:
    """Close every descriptor of this process but these."""
    low = 0
    for each in (*sorted(files), _MOST_FILES):
        # Python takes the empty range at zero for all there are.
        if each > low:
            os.closerange(low, each)
        low = each + 1


def _open_anew(file: int) -> None:
    # Copies of a descriptor share one position in the file, and SQLite, which reads PROJ's, seeks before it reads.
    own = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(own, file, inheritable=False)
    os.close(own)
