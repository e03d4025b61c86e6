"""The clusters that workshops share: the gateway is told which are to stand, and who may compute on them."""

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from earthlab.errors import ComputeUnavailable
from earthlab.hub.layout import resolve_ports
from earthlab.services.gateway.shared import ROUTE
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.store import Entry
from earthlab.settings import Settings

_LOG = logging.getLogger("earthlab.workshops")

SAID_AGAIN = 5.0
"""Seconds after which the gateway is told the same once more: one that was started again knows of nothing."""

_GROWING = 1.0
"""The same while workers come: the page is to tell how many there are."""

_TIMEOUT = 10.0

Wish = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GatewayClient:
    """The gateway's API. ``token`` is the service's own at the hub, with which it may say what is shared."""

    url: str
    token: str = field(repr=False)

    async def wish(self, wishes: Sequence[Wish]) -> Mapping[str, int]:
        """Say which shared clusters are to stand, all of them; how many workers each has now.

        Raises
        ------
        ComputeUnavailable
            Where the gateway does not answer, or refuses.
        """
        return {slug: int(workers) for slug, workers in (await self._ask("PUT", "", {"clusters": wishes})).items()}

    async def renew(self, slug: str) -> None:
        """End a workshop's cluster, in whose place comes one with other keys. Raises as `wish`."""
        await self._ask("DELETE", f"/{quote(slug)}")

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        request = HTTPRequest(
            f"{self.url}{ROUTE}{path}",
            method,
            headers={"Authorization": f"jupyterhub {self.token}", "Content-Type": "application/json"},
            body=None if body is None else json.dumps(body),
            follow_redirects=False,
            request_timeout=_TIMEOUT,
        )
        try:
            answer = await AsyncHTTPClient().fetch(request)
            said = json.loads(answer.body or b"{}")
        except (OSError, HTTPClientError, ValueError) as exc:
            raise ComputeUnavailable(
                f"La passerelle de calcul ne répond pas ({exc}) : réessayez dans une minute. "
                "The Dask Gateway does not answer: try again in a minute."
            ) from exc
        return said if isinstance(said, dict) else {}


@dataclass(slots=True)
class SharedClusters:
    """The shared clusters of all workshops, as the gateway was told and has said."""

    desk: Desk
    gateway: GatewayClient
    clock: Callable[[], float] = time.monotonic
    _workers: Mapping[str, int] = field(default_factory=dict)
    _told: Sequence[Wish] | None = None
    _until: float = 0.0
    _silent: bool = False

    def workers(self, slug: str) -> int | None:
        """How many workers a workshop's cluster has; None where it is not its hour, or the gateway does not say."""
        return self._workers.get(slug)

    async def keep(self) -> None:
        """Tell the gateway what is wished, where that has changed or was said a while ago."""
        wishes = plan_wishes(self.desk)
        if wishes == self._told and (not wishes or self.clock() < self._until):
            return
        try:
            self._workers = await self.gateway.wish(wishes)
        except ComputeUnavailable as exc:
            if not self._silent:
                _LOG.warning("The clusters that workshops share cannot be looked after: %s", exc)
            self._told, self._workers, self._silent = None, {}, True
            return
        grows = any(self._workers.get(wish["slug"], 0) < wish["workers"] for wish in wishes)
        self._told, self._silent = wishes, False
        self._until = self.clock() + (_GROWING if grows else SAID_AGAIN)

    async def renew(self, slug: str) -> None:
        """End a workshop's cluster with all that was left in it; another takes its place.

        Raises
        ------
        ComputeUnavailable
            Where the gateway does not answer.
        """
        await self.gateway.renew(slug)


def open_clusters(desk: Desk, token: str) -> SharedClusters:
    """The clusters of a desk's workshops, with the service's token at the hub."""
    return SharedClusters(desk, GatewayClient(gateway_url(desk.settings), token))


def gateway_url(settings: Settings) -> str:
    """Where the gateway's API is, on this machine."""
    return f"http://127.0.0.1:{resolve_ports(settings).gateway_api}"


def plan_wishes(desk: Desk) -> list[Wish]:
    """The shared clusters of the workshops whose hours these are, with those who may compute on them now."""
    wished = [entry for entry in desk.in_hours() if entry.workshop.workers]
    return [{"slug": entry.slug, "workers": entry.workshop.workers, "people": sharers(desk, entry)} for entry in wished]


def sharers(desk: Desk, entry: Entry) -> list[str]:
    """The users of the hub who share a workshop's cluster: its trainers, and its seats but for those that were revoked.

    The hub's group of the workshop does not tell: a seat stays in it when it is revoked, and trainers are in none.
    """
    seats = [seat.user for seat in desk.seats(entry.slug) if seat.revoked is None]
    return sorted({*seats, *entry.workshop.trainers})
