"""Who has left: seats where nobody is seen and nothing is computed go to those who wait, when no other is free."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earthlab.hub.seats import list_stats

_ESTABLISHED = "01"
_BUSY = 0.05
"""Of one core: what a seat's processes use that wait for nothing but their user is a tenth of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A seat as far as one sees it from outside: its account, and the port at which its server listens."""

    uid: int
    port: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What there was to see at one moment, in seconds of a steady clock."""

    at: float
    lines: frozenset[int]
    """The ports to which somebody has a line: a page of JupyterLab has one for as long as it is open."""
    ticks: Mapping[int, int]
    """Processor time that the processes of each account have used, in clock ticks."""


def parse_lines(table: str) -> set[int]:
    """The local ports with an established connection in a ``/proc/net/tcp`` or ``tcp6``, proc_pid_net(5)."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _ESTABLISHED}


def look(at: float) -> Sight:
    """What there is to see now; takes some 20 ms where there are hundreds of processes."""
    tables = [file.read_text() for name in ("tcp", "tcp6") if (file := Path("/proc/net", name)).exists()]
    ticks: dict[int, int] = {}
    for stat in list_stats().values():
        ticks[stat.uid] = ticks.get(stat.uid, 0) + stat.ticks
    return Sight(at, frozenset().union(*map(parse_lines, tables)), ticks)


@dataclass(slots=True)
class Attendance:
    """Since when nobody has been seen at each seat, by its name."""

    _last: Sight | None = None
    _since: dict[str, float] = field(default_factory=dict)

    def note(self, sight: Sight, places: Mapping[str, Place]) -> None:
        """Take a look into account; ``places`` are all seats that there are."""
        here = {who for who, place in places.items() if place.port in sight.lines or self._computes(sight, place)}
        self._since = {who: self._since.get(who, sight.at) for who in places.keys() - here}
        self._last = sight

    def left(self, now: float, after: float) -> list[str]:
        """Where nobody has been seen for so many seconds: who has been away longest first."""
        return sorted((who for who, since in self._since.items() if now - since >= after), key=self._since.__getitem__)

    def _computes(self, sight: Sight, place: Place) -> bool:
        if self._last is None:
            return True
        used = sight.ticks.get(place.uid, 0) - self._last.ticks.get(place.uid, 0)
        return used / os.sysconf("SC_CLK_TCK") > _BUSY * (sight.at - self._last.at)
