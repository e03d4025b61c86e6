"""One builder at a time: a lease on the head of a cube, with a heartbeat, take-over and fencing.

The head is one small key. It names the generation of the cube that readers open, and the builder at work, if any.
Whoever changes it, to claim, beat, publish or give up, does so on condition that it still holds what they last saw. A
builder that lost its lease therefore cannot publish, and of two that take over from a dead one, one wins.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from earthlab.cube.shared.stores import Found, Store
from earthlab.errors import EarthlabError, ReadFault
from earthlab.types import canonical_json

_VERSION = 1


class LeaseLost(EarthlabError):
    """Another builder has taken over."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a builder shows that it lives, and after how long a silence it is taken for dead. Seconds."""

    beat: float = 2.0
    stale: float = 20.0
    poll: float = 0.25
    workers: float = 90.0
    """How long a builder waits for a cluster that has no worker at all."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who builds, which generation, and how far it has come."""

    builder: str
    host: str
    pid: int
    started: str
    generation: str
    beat: int = 0
    at: str = ""
    done: int = 0
    of: int = 0
    remaining: float | None = None
    """Seconds that the builder expects to need."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a builder gave up."""

    builder: str
    cause: str


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a cube says."""

    current: str | None = None
    """The generation that readers open."""
    claim: Claim | None = None
    failure: Failure | None = None

    def is_building(self, generation: str) -> bool:
        """Whether the builder at work builds this generation."""
        return self.claim is not None and self.claim.generation == generation

    def render(self) -> bytes:
        """The bytes to store; those of two beats differ."""
        return canonical_json({"version": _VERSION, **asdict(self)}).encode()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The head that ``render`` wrote.

        Raises
        ------
        ReadFault
            For anything else.
        """
        try:
            values = json.loads(content)
            claim, failure = values["claim"], values["failure"]
            return cls(values["current"], Claim(**claim) if claim else None, Failure(**failure) if failure else None)
        except (ValueError, KeyError, TypeError) as exc:
            raise ReadFault(
                f"The head of a shared cube is damaged ({type(exc).__name__}). Remove its folder from the store."
            ) from exc


def read_head(store: Store, key: str) -> Head:
    """What a head says; one that is missing or damaged says that there is nothing and nobody builds."""
    found = store.get(key)
    try:
        return Head.parse(found.content) if found else Head()
    except ReadFault:
        return Head()


def new_claim() -> Claim:
    """A claim of this process on a generation of its own."""
    return Claim(uuid.uuid4().hex, socket.gethostname(), os.getpid(), _now(), _new_generation(), at=_now())


@dataclass(slots=True)
class Watch:
    """Judges by one's own clock alone whether the one who writes a key still lives.

    Only time in which the key was looked at counts: to have been asleep oneself proves nothing of the other.
    """

    patience: Patience
    clock: Callable[[], float] = time.monotonic
    _tag: str = ""
    _silence: float = 0.0
    _looked: float = 0.0

    def is_stale(self, found: Found) -> bool:
        """Whether the key has kept its content for longer than the patience lasts; to be asked again and again."""
        now = self.clock()
        if found.tag != self._tag:
            self._tag, self._silence, self._looked = found.tag, 0.0, now
            return False
        self._silence += min(now - self._looked, 4 * self.patience.poll)
        self._looked = now
        return self._silence > self.patience.stale


@dataclass(slots=True)
class Lease:
    """The right to build one cube, kept by a thread that beats until the lease is lost, published or released."""

    store: Store
    key: str
    head: Head
    tag: str
    patience: Patience
    lost: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writing: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    @property
    def claim(self) -> Claim:
        """What this builder says of itself."""
        assert self.head.claim is not None
        return self.head.claim

    def start(self) -> None:
        """Begin to beat."""
        self._thread = threading.Thread(target=self._beat_on, name="earthlab-lease", daemon=True)
        self._thread.start()

    def report(self, done: int, of: int, remaining: float | None) -> None:
        """What the next beat says of the progress."""
        with self._lock:
            self.head = replace(self.head, claim=replace(self.claim, done=done, of=of, remaining=remaining))

    def renew(self) -> bool:
        """Go on with another generation, into which nobody has written; False where the lease was lost before."""
        return self._beat(_new_generation())

    def publish(self) -> bool:
        """Make this builder's generation the current one; False where the lease was lost before."""
        return self._end(Head(current=self.claim.generation))

    def release(self, cause: str | None) -> None:
        """Give up, saying why if it was not wanted."""
        failure = Failure(self.claim.builder, cause) if cause else None
        self._end(Head(self.head.current, None, failure))

    def _end(self, head: Head) -> bool:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        return not self.lost.is_set() and self._write(head)

    def _beat_on(self) -> None:
        while not self._over.wait(self.patience.beat) and not self.lost.is_set():
            try:
                self._beat()
            except EarthlabError:
                continue  # the store is away: whether the lease outlives that, the next condition tells

    def _beat(self, generation: str | None = None) -> bool:
        with self._writing:
            with self._lock:
                claim = replace(self.claim, beat=self.claim.beat + 1, at=_now())
                self.head = replace(self.head, claim=replace(claim, generation=generation or claim.generation))
                head = self.head
            return not self.lost.is_set() and self._write(head)

    def _write(self, head: Head) -> bool:
        content = head.render()
        tag = self.store.replace(self.key, content, self.tag)
        if tag is None and (held := self.store.get(self.key)) and held.content == content:
            tag = held.tag  # it was written, and the answer was lost on the way
        if tag is None:
            self.lost.set()
            return False
        self.tag = tag
        return True


def claim_head(store: Store, key: str, seen: Found | None, *, current: str | None, patience: Patience) -> Lease | None:
    """The lease on a cube, beating; ``None`` where another was quicker.

    Parameters
    ----------
    store, key
        Where the head is.
    seen : Found, optional
        The head as last seen, which the claim takes the place of; ``None`` where there was none.
    current : str, optional
        The generation that readers go on to open meanwhile.
    patience : Patience
        The rhythm of the heartbeat.

    Raises
    ------
    earthlab.cube.shared.stores.CannotWrite
        Where the store is read-only.
    """
    head = Head(current, new_claim())
    content = head.render()
    tag = store.create(key, content) if seen is None else store.replace(key, content, seen.tag)
    if tag is None:
        return None
    lease = Lease(store, key, head, tag, patience)
    lease.start()
    return lease


def _new_generation() -> str:
    return f"g-{uuid.uuid4().hex[:16]}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
