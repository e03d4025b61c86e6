"""Who has left: seats where nobody is seen and nothing is computed go to those who wait, when no other is free."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from earthlab.hub.seats import list_stats

_BUSY = 0.05
"""Of one core: what a seat's processes use that wait for nothing but their user is a tenth of it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The processor time that the processes of each account had used at one moment, in seconds of a steady clock."""

    at: float
    ticks: Mapping[int, int]


def look(at: float) -> Sight:
    """What there is to see now; takes some 20 ms where there are hundreds of processes."""
    ticks: dict[int, int] = {}
    for stat in list_stats().values():
        ticks[stat.uid] = ticks.get(stat.uid, 0) + stat.ticks
    return Sight(at, ticks)


@dataclass(slots=True)
class Attendance:
    """Since when nobody has been seen at each seat, by its name."""

    _last: Sight | None = None
    _since: dict[str, float] = field(default_factory=dict)

    def quiet(self, sight: Sight, accounts: Mapping[str, int]) -> set[str]:
        """The seats, given with the uid of their account, whose processes have waited since the last look."""
        before, self._last = self._last, sight
        if before is None:
            return set()
        most = _BUSY * (sight.at - before.at) * os.sysconf("SC_CLK_TCK")
        return {who for who, uid in accounts.items() if sight.ticks.get(uid, 0) - before.ticks.get(uid, 0) <= most}

    def note(self, at: float, empty: Collection[str]) -> None:
        """Note the seats where nobody is; of all others, that somebody is."""
        self._since = {who: self._since.get(who, at) for who in empty}

    def left(self, now: float, after: float) -> list[str]:
        """Where nobody has been seen for so many seconds: who has been away longest first."""
        return sorted((who for who, since in self._since.items() if now - since >= after), key=self._since.__getitem__)


async def has_no_page(server: str, token: str) -> bool:
    """Whether no page is connected to any kernel of a Jupyter server, given with the slash at its end.

    A server that does not answer is nobody's to judge: False.
    """
    try:
        answer = await AsyncHTTPClient().fetch(
            f"{server}api/status", headers={"Authorization": f"token {token}"}, request_timeout=5, connect_timeout=2
        )
        said: Any = json.loads(answer.body)
        return bool(said["connections"] == 0)
    except (HTTPClientError, OSError, ValueError, KeyError, TypeError):
        return False
