"""Whose turn it is on a machine without room: kernels that compute inside themselves do so a few at a time.

A hundred kernels that compute at once on two cores are all done at the end, and hold a hundred cubes in memory until
then; a few at a time, half of them are done by half the time. A turn is a lock on one of a handful of files, which ends
with the process at the latest. It is a courtesy: who waits too long computes without one, and nobody keeps theirs for
long.
"""

import contextlib
import fcntl
import os
import random
import threading
import time
from pathlib import Path

from earthlab.notice import Notice

PATIENCE = 300.0
"""Seconds after which one computes without a turn."""

LONGEST = 60.0
"""Seconds after which a turn is over, though its owner may compute on: others must not wait for a day's work."""

_LOOK_EVERY = (0.2, 0.6)
"""Seconds between two looks, at random, so that a hundred kernels do not look at once."""


class Turn:
    """A turn that was taken, over by itself after `LONGEST` seconds; none where ``file`` is negative."""

    def __init__(self, file: int = -1, longest: float = LONGEST) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._timer = threading.Timer(longest, self.end)
        self._timer.daemon = True
        if file >= 0:
            self._timer.start()

    def end(self) -> None:
        """Let the next one have it; a second time does nothing."""
        self._timer.cancel()
        with self._lock:
            file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def take_turn(folder: str, notice: Notice, *, patience: float = PATIENCE, longest: float = LONGEST) -> Turn:
    """Wait for one's turn on this machine.

    Parameters
    ----------
    folder : str
        With one file a turn, made by the hub; without, or where it cannot be read, nobody waits.
    notice : Notice
        Is told what is waited for.
    patience, longest : float
        Seconds, as above.

    Returns
    -------
    Turn
        To be ended by the caller.
    """
    until = time.monotonic() + patience
    while places := _places(folder):
        for place in random.sample(places, len(places)):
            if (file := _take(place)) is not None:
                return Turn(file, longest)
        if time.monotonic() >= until:
            break
        notice.say(
            f"La machine est pleine : {len(places)} personnes calculent, votre tour vient… | "
            f"The machine is full: {len(places)} people compute, your turn will come…"
        )
        time.sleep(random.uniform(*_LOOK_EVERY))  # noqa: S311 - nothing secret
    return Turn()


def _places(folder: str) -> list[Path]:
    if not folder:
        return []
    with contextlib.suppress(OSError):
        return sorted(Path(folder).iterdir())
    return []


def _take(place: Path) -> int | None:
    try:
        file = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
