"""The conversation with a Dask Gateway: what it offers, a cluster from it, and its refusals in the lab's words."""

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import dask
from dask_gateway import Gateway
from dask_gateway.auth import JupyterHubAuth
from dask_gateway.client import ClusterReport, GatewayClusterError, GatewayServerError
from distributed import Client

from earthlab.errors import BadRequest, ComputeUnavailable, did_you_mean
from earthlab.notice import Notice
from earthlab.settings import ComputeSettings

TOKEN = "JUPYTERHUB_API_TOKEN"  # noqa: S105  the variable's name
_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 10.0


class Refused(ComputeUnavailable):
    """The gateway has answered, and will not: mostly for want of room, which others may have taken a moment ago."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a gateway says of itself: how much this user may take, and which versions its workers run."""

    free_workers: int | None = None
    max_workers: int | None = None
    room: int | None = None
    """Workers that the machine still takes, whoever asks."""
    cores: int | None = None
    worker_cores: int = 1
    clusters: Mapping[str, int] = field(default_factory=dict)
    """The user's clusters, with the workers each holds."""
    environment: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)
    """The clusters that the user shares with a workshop's people, by what those call them: the name of each that runs,
    empty where it does not just now."""

    def is_full(self) -> bool:
        """Whether the machine takes no further worker, though this user might have one."""
        return self.room == 0 and self.free_workers != 0

    def usual_workers(self) -> int:
        """How many workers a cluster gets that was asked for without a number: what is free, within the cores."""
        by_cores = max(1, (self.cores or 2) // self.worker_cores)
        return min(by_cores, *(free for free in (self.free_workers, self.room, by_cores) if free is not None))


@dataclass(frozen=True, slots=True)
class Connection:
    """A gateway as the owner of this process's hub token sees it; holds nothing open.

    All that goes wrong on the way is raised as `ComputeUnavailable`, with the cause attached.
    """

    address: str
    proxy: str | None

    def ask_offer(self) -> Offer:
        """What the gateway offers; a gateway without the lab's own route says nothing, which is an empty `Offer`."""
        with _translated(self.address):
            told = json.loads(self._send("GET", "earthlab") or "{}")
        return Offer(**{f.name: told[f.name] for f in fields(Offer) if f.name in told})

    def start(self, *, until: float, notice: Notice) -> ClusterReport:
        """A new cluster without workers yet; stopped again where it is late or the user interrupts."""
        name = self._ask(lambda gateway: gateway.submit())
        try:
            return self._wait_for_start(name, until, notice)
        except BaseException:
            self.stop(name)
            raise

    def _wait_for_start(self, name: str, until: float, notice: Notice) -> ClusterReport:
        pause = 0.1
        while (report := self.report(name)).status.name == "PENDING" and time.monotonic() < until:
            notice.say(f"Cluster {name[:8]} : démarrage… | starting…")
            time.sleep(pause)
            pause = min(pause * 1.3, 0.5)
        if report.status.name != "RUNNING":
            raise _not_started(name, report.status.name)
        return report

    def find(self, name: str) -> ClusterReport:
        """The user's running cluster of that name, or of a name that alone begins so.

        Raises
        ------
        BadRequest
            Where none of theirs, or more than one, is called so.
        """
        running = [c.name for c in self._ask(lambda gateway: gateway.list_clusters(status="running"))]
        found = [n for n in running if name and n.startswith(name)]
        if len(found) != 1:
            raise BadRequest(
                f"cluster {name!r}: found {len(found)} running clusters of yours with a name that begins so, "
                f"expected one. {did_you_mean(name, [n[:8] for n in running])} Start a new one with el.cluster()."
            )
        return self.report(found[0])

    def report(self, name: str) -> ClusterReport:
        """What the gateway says of a cluster, with what it takes to connect."""
        return self._ask(lambda gateway: gateway.get_cluster(name))

    def connect(self, report: ClusterReport) -> Client:
        """The client of a running cluster, from now on where dask computes."""
        with _translated(self.address):
            return Client(report.scheduler_address, security=report.security, timeout=_CONNECT_SECONDS)

    def scale(self, name: str, workers: int) -> None:
        """Ask for so many workers; they come later."""
        self._ask(lambda gateway: gateway.scale_cluster(name, workers))

    def adapt(self, name: str, minimum: int, maximum: int | None) -> None:
        """Ask for as many workers as there is work for, between the two."""
        self._ask(lambda gateway: gateway.adapt_cluster(name, minimum=minimum, maximum=maximum))

    def stop(self, name: str) -> None:
        """Stop a cluster; one that is already stopped is no fault."""
        # Not by the gateway's own client: that needs threads, and at the end of the process there are none to be had.
        with _translated(self.address):
            self._send("DELETE", f"clusters/{name}")

    def _send(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(  # noqa: S310  only http and https come here
            f"{self.address}/api/v1/{path}", method=method, headers={"Authorization": f"jupyterhub {_token()}"}
        )
        try:
            with _opener(self.address).open(request, timeout=_ANSWER_SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as exc:
            exc.close()
            if exc.code == 404:
                return b""
            raise _refused(self.address, exc.code) from exc

    def _ask(self, question: Callable[[Gateway], Coroutine[Any, Any, Any]]) -> Any:
        # In a thread of its own because a notebook's main thread already has a running loop. The gateway's own blocking
        # calls are no choice: their objects block or complain when they are let go.
        with _translated(self.address), ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(self._talk(question))).result()

    async def _talk(self, question: Callable[[Gateway], Coroutine[Any, Any, Any]]) -> Any:
        with dask.config.set({"gateway.http-client.proxy": not _is_near(self.address)}):
            gateway = Gateway(self.address, self.proxy, auth=JupyterHubAuth(_token()), asynchronous=True)
        async with gateway:
            return await question(gateway)


def resolve_connection(settings: ComputeSettings) -> Connection:
    """The connection that the settings describe; nothing is asked yet.

    Raises
    ------
    BadRequest
        For an address that is not one of the web.
    """
    if urlsplit(settings.gateway).scheme not in {"http", "https"}:
        raise BadRequest(
            f"compute.gateway is {settings.gateway!r}, expected an address that begins with http:// or https://."
        )
    return Connection(settings.gateway.rstrip("/"), settings.gateway_proxy or None)


def _token() -> str:
    token = os.environ.get(TOKEN)
    if not token:
        raise ComputeUnavailable(
            f"{TOKEN} n'est pas défini : la passerelle ne saurait pas qui vous êtes. Ouvrez un carnet du "
            f"laboratoire. | {TOKEN} is not set: the gateway could not tell who you are. Open a notebook in the lab, "
            "or set a hub token."
        )
    return token


def _opener(address: str) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if _is_near(address) else []))


def _is_near(address: str) -> bool:
    return urlsplit(address).hostname in {"127.0.0.1", "localhost", "::1"}


@contextmanager
def _translated(address: str) -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as exc:
        raise _nonsense(address) from exc
    except (GatewayClusterError, GatewayServerError, ValueError) as exc:
        raise Refused(f"Passerelle | Gateway: {exc}") from exc
    except aiohttp.ClientResponseError as exc:
        raise _refused(address, exc.status) from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise _away(address, exc) from exc


def _not_started(name: str, status: str) -> ComputeUnavailable:
    return ComputeUnavailable(
        f"Le cluster {name[:8]} n'a pas démarré (état {status}). Réessayez, puis prévenez l'équipe du laboratoire. | "
        f"Cluster {name[:8]} did not start (state {status}). Try again, then tell the operators of the lab."
    )


def _nonsense(address: str) -> ComputeUnavailable:
    return ComputeUnavailable(
        f"{address} ne répond pas comme une passerelle Dask. Vérifiez EARTHLAB__COMPUTE__GATEWAY. | "
        f"{address} does not answer as a Dask Gateway does. Check EARTHLAB__COMPUTE__GATEWAY."
    )


def _refused(address: str, status: int) -> ComputeUnavailable:
    if status in {401, 403}:
        return ComputeUnavailable(
            f"La passerelle {address} n'accepte pas votre jeton ({status}). Redémarrez votre serveur depuis la page "
            f"du hub. | The gateway {address} does not accept your token ({status}). Restart your server from the "
            "hub's page."
        )
    return ComputeUnavailable(
        f"La passerelle {address} a répondu {status}. Réessayez dans une minute. | "
        f"The gateway {address} answered {status}. Try again in a minute."
    )


def _away(address: str, exc: Exception) -> ComputeUnavailable:
    cause = str(getattr(exc, "reason", None) or exc) or type(exc).__name__
    return ComputeUnavailable(
        f"La passerelle de calcul {address} ne répond pas ({cause}). Réessayez dans une minute ; si cela dure, "
        f"prévenez l'équipe du laboratoire. | The Dask Gateway {address} does not answer ({cause}). Try again in "
        "a minute; if it lasts, tell the operators of the lab."
    )
