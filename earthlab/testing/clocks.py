"""A clock that stands still until a test moves it on."""

from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """Tells the time as `time.time` does; ``now`` may be set."""

    now: float = 1000.0
    """Seconds since the epoch."""

    def __call__(self) -> float:
        """The time."""
        return self.now
