"""What happened in a rehearsal: one story a seat, the failures, and the samples of what the machine spent."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Phase = Literal["sign-in", "waiting", "page", "notebook", "kernel", "cell", "thinking", "away", "open tab"]

PHASES: tuple[Phase, ...] = (
    "sign-in",
    "waiting",
    "page",
    "notebook",
    "kernel",
    "cell",
    "thinking",
    "away",
    "open tab",
)

Kind = Literal[
    "HTTP 429",
    "HTTP 5xx",
    "HTTP 4xx",
    "timeout",
    "connection",
    "kernel died",
    "cell error",
    "lost output",
    "start failed",
    "memory",
    "stale recording",
    "rehearsal",
]

NOTES: tuple[Kind, ...] = ("stale recording",)
"""Kinds that say something of the rehearsal and nothing of the lab."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something a person would have seen go wrong; ``what`` is one example in words."""

    kind: Kind
    user: str
    second: float
    what: str


@dataclass(frozen=True, slots=True)
class Span:
    """A seat in one phase, in seconds since the start of the rehearsal."""

    phase: Phase
    begun: float
    ended: float


@dataclass(slots=True)
class Story:
    """One seat. Moments are seconds since the start of the rehearsal; ``None`` for what never came."""

    user: str
    habit: str
    arrived: float = 0.0
    signed_in: float | None = None
    lab_ready: float | None = None
    first_cell: float | None = None
    first_picture: float | None = None
    thought_before_cell: float = 0.0
    thought_before_picture: float = 0.0
    cells_run: int = 0
    finished: bool = False
    requests: int = 0
    bytes_read: int = 0
    spans: list[Span] = field(default_factory=list)
    cell_seconds: list[float] = field(default_factory=list)

    def waits(self) -> dict[str, float]:
        """Seconds that the person waited for each thing, counted from the click on the link, without own thought."""
        moments = {
            "sign_in": (self.signed_in, 0.0),
            "lab_ready": (self.lab_ready, 0.0),
            "first_cell": (self.first_cell, self.thought_before_cell),
            "first_picture": (self.first_picture, self.thought_before_picture),
        }
        return {
            name: moment - self.arrived - thought for name, (moment, thought) in moments.items() if moment is not None
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment: ``memory`` and ``private`` in bytes and ``processor`` in seconds so far, by part."""

    second: float
    seats: int
    """Seats that had arrived and not left."""
    memory: Mapping[str, int]
    private: Mapping[str, int]
    processes: Mapping[str, int]
    processor: Mapping[str, float]
    available: int
    """Bytes that the machine could still give."""
    people: tuple[int, ...] = ()
    """Memory of each person's processes, where each has an account; without the lab's own parts."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A whole rehearsal, from which the report is made."""

    notebook: str
    cells: int
    seats: int
    within: float
    minutes: float
    seed: int
    began: str
    seconds: float
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    stories: Sequence[Story]
    failures: Sequence[Failure]
    samples: Sequence[Sample]
    drift: Sequence[str] = ()
    interrupted: bool = False
    class_ended: float = 0.0
    """Second at which the last person was done; what comes after is the leaving."""
    left_behind: Sequence[str] = ()
    """What could not be removed after the rehearsal."""

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)
