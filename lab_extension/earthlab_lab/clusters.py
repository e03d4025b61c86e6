"""The clusters of this user on the lab's Dask Gateway: what they do, and starting, scaling and stopping them."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from earthlab.errors import BadRequest, ComputeUnavailable, NotAllowed, NothingFound
from earthlab.settings import load_settings
from earthlab_lab.desk import Desk
from earthlab_lab.routes import NOTHING, Asked, Route
from earthlab_lab.schemas import COUNT, FLAG, NUMBER, Schema, listed, maybe, one_of, shape, text
from earthlab_lab.services import Service, own_token

MOST_WORKERS_SHOWN, MOST_TASKS_SHOWN = 64, 24

_NAME: Schema = text(200, least=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")
_WORKERS: Schema = {"type": "integer", "minimum": 0, "maximum": 10_000}

SEEN: Schema = shape(
    {
        "workers": listed(
            shape(
                {
                    "name": text(200),
                    "threads": COUNT,
                    "memory": COUNT,
                    "limit": COUNT,
                    "cpu": NUMBER,
                    "running": COUNT,
                }
            ),
            MOST_WORKERS_SHOWN,
        ),
        "count": COUNT,
        "memory": COUNT,
        "limit": COUNT,
        "tasks": listed(
            shape({"name": text(200), "done": COUNT, "running": COUNT, "waiting": COUNT, "failed": COUNT}),
            MOST_TASKS_SHOWN,
        ),
        "ends_in": maybe(NUMBER),
    }
)
"""What a scheduler tells: memory in bytes, ``cpu`` in percent of a core, tasks by what they are called, seconds until
it ends for want of work."""

CLUSTERS: Schema = shape(
    {
        "clusters": listed(
            shape(
                {
                    "name": text(200), "label": text(200), "shared": FLAG,
                    "status": one_of("PENDING", "RUNNING", "STOPPING", "STOPPED", "FAILED", "AWAY"),
                    "started": maybe(NUMBER), "wanted": maybe(COUNT), "seen": maybe(SEEN),
                }
            )
        ),
        "free_workers": maybe(COUNT), "max_workers": maybe(COUNT), "max_clusters": maybe(COUNT), "room": maybe(COUNT),
    }
)  # fmt: skip
"""``started`` in seconds since 1970; ``wanted`` workers; ``free_workers`` that this user may still take."""

START_ASKED: Schema = shape({}, {"workers": maybe(_WORKERS)})
SCALE_ASKED: Schema = shape({"name": _NAME, "workers": _WORKERS})
ADAPT_ASKED: Schema = shape({"name": _NAME, "minimum": _WORKERS, "maximum": _WORKERS})
STOP_ASKED: Schema = shape({"name": _NAME})
STARTED: Schema = shape({"name": text(200)})

_NOT_THE_OWNER = "lacks permissions"
"""How the gateway refuses to who may see a cluster, and no more."""

_START_PATIENCE, _START_PAUSE = 30.0, 0.3
_SEE_PATIENCE = 3.0


@dataclass(slots=True)
class Watch:
    """The schedulers of this user's own clusters, and with what their certificate lets us in; forgotten with them."""

    entries: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    def keep(self, names: set[str]) -> None:
        """Forget all clusters but these."""
        for gone in self.entries.keys() - names:
            del self.entries[gone]


def make_clusters_routes(desk: Desk) -> tuple[Route, ...]:
    """The routes of the clusters' panel."""
    watch = Watch()

    async def list_all(_asked: Asked) -> dict[str, Any]:
        return await list_clusters(desk, watch)

    return (
        Route("GET", "clusters", list_all, gives=CLUSTERS),
        Route("POST", "clusters", start, START_ASKED, STARTED),
        Route("POST", "clusters/scale", scale, SCALE_ASKED, NOTHING),
        Route("POST", "clusters/adapt", adapt, ADAPT_ASKED, NOTHING),
        Route("POST", "clusters/stop", stop, STOP_ASKED, NOTHING),
    )


async def list_clusters(desk: Desk, watch: Watch) -> dict[str, Any]:
    """The clusters of this user and those that they share, with what the schedulers of their own tell.

    A shared one's scheduler is not asked: whoever shares it could answer in its place, and with anything; and a whole
    class would ask one scheduler every few seconds.

    Raises
    ------
    ComputeUnavailable, NotAllowed
        Where there is no gateway, or it does not answer this user.
    """
    gateway = _gateway()
    told, offer = await asyncio.gather(gateway.ask("GET", "clusters/"), _ask_offer(gateway))
    shared = {name: label for label, name in offer.get("shared", {}).items() if name}
    own = [name for name, each in told.items() if name not in shared and each["status"] == "RUNNING"]
    watch.keep(set(own))
    seen = dict(zip(own, await asyncio.gather(*(_see(desk, gateway, watch, name) for name in own)), strict=True))
    wanted = offer.get("clusters", {})
    away = [label for label, name in offer.get("shared", {}).items() if not name]
    clusters = [_rendered(each, shared.get(name), wanted.get(name), seen.get(name)) for name, each in told.items()]
    clusters += [_rendered({"name": "", "status": "AWAY", "start_time": None}, label, None, None) for label in away]
    limits = {key: offer.get(key) for key in ("free_workers", "max_workers", "max_clusters", "room")}
    return {"clusters": sorted(clusters, key=lambda each: (each["shared"], each["started"] or 0)), **limits}


async def start(asked: Asked) -> dict[str, str]:
    """Start a cluster of this user's own, with so many workers, or as many as it would have in a notebook.

    Raises
    ------
    ComputeUnavailable
        Where they have all they may have, or it did not start in time; then it is stopped again.
    """
    gateway = _gateway()
    offer = await _ask_offer(gateway)
    name = str((await _wish(gateway, "POST", "clusters/", {"cluster_options": {}}))["name"])
    workers = asked.words.get("workers")
    try:
        await _wait_until_it_runs(gateway, name)
        count = _usual_workers(offer) if workers is None else workers
        await _wish(gateway, "POST", f"clusters/{name}/scale", {"count": count})
    except BaseException:
        await gateway.ask("DELETE", f"clusters/{name}")
        raise
    return {"name": name}


async def scale(asked: Asked) -> dict[str, Any]:
    """Have so many workers; they come later.

    Raises
    ------
    ComputeUnavailable
        Where they are more than the user may have.
    NotAllowed
        For a workshop's cluster.
    """
    name, workers = asked.words["name"], asked.words["workers"]
    await _change(name, "scale", {"count": workers})
    return {}


async def adapt(asked: Asked) -> dict[str, Any]:
    """Have as many workers as there is work for, between two numbers.

    Raises
    ------
    BadRequest
        Where the lower is above the other.
    ComputeUnavailable, NotAllowed
        As for `scale`.
    """
    name, least, most = (asked.words[word] for word in ("name", "minimum", "maximum"))
    if least > most:
        raise BadRequest(
            f"minimum {least}, maximum {most} : le minimum doit être au plus le maximum. | "
            f"minimum {least}, maximum {most}: the minimum must be at most the maximum."
        )
    await _change(name, "adapt", {"minimum": least, "maximum": most, "active": True})
    return {}


async def stop(asked: Asked) -> dict[str, Any]:
    """Stop a cluster; one that is gone is no fault.

    Raises
    ------
    NotAllowed
        For a workshop's cluster.
    """
    await _own(_gateway().ask("DELETE", f"clusters/{asked.words['name']}"))
    return {}


def _gateway() -> Service:
    address = load_settings().compute.gateway.rstrip("/")
    if not address:
        raise ComputeUnavailable(
            "Aucune passerelle n’est configurée ici : el.cluster() calcule dans le noyau du carnet. | "
            "No gateway is configured here: el.cluster() computes in the notebook's kernel."
        )
    title = "La passerelle des grappes de calcul", "The gateway to the clusters"
    return Service(title, f"{address}/api/v1", own_token(), "jupyterhub")


async def _ask_offer(gateway: Service) -> Mapping[str, Any]:
    try:
        told = await gateway.ask("GET", "earthlab")
    except NothingFound:  # a gateway without the lab's own route: it has no limits to tell
        return {}
    return told if isinstance(told, dict) else {}


async def _change(name: str, what: str, body: Mapping[str, Any]) -> None:
    await _own(_wish(_gateway(), "POST", f"clusters/{name}/{what}", body))


async def _wish(gateway: Service, method: str, path: str, body: Mapping[str, Any]) -> Any:
    """Ask for something that there may be no room for."""
    try:
        return await gateway.ask(method, path, body)
    except BadRequest as exc:
        raise ComputeUnavailable(str(exc)) from exc


async def _own(asking: Any) -> None:
    """Have done what only the owner of a cluster may do."""
    try:
        await asking
    except NotAllowed as exc:
        if _NOT_THE_OWNER not in str(exc):
            raise
        raise NotAllowed(
            "Cette grappe est à tout l’atelier : elle garde ses workers et finit avec lui. Une grappe à vous : "
            "el.cluster(shared=False). | This cluster is the whole workshop's: it keeps its workers and ends with it. "
            "One of your own: el.cluster(shared=False)."
        ) from exc


async def _wait_until_it_runs(gateway: Service, name: str) -> None:
    until = time.monotonic() + _START_PATIENCE
    while (status := (await gateway.ask("GET", f"clusters/{name}"))["status"]) == "PENDING":
        if time.monotonic() > until:
            break
        await asyncio.sleep(_START_PAUSE)
    if status != "RUNNING":
        raise ComputeUnavailable(
            f"La grappe {name[:8]} n’a pas démarré ({status}) : réessayez, puis prévenez l’équipe du labo. | "
            f"Cluster {name[:8]} did not start ({status}): try again, then tell the lab's team."
        )


def _usual_workers(offer: Mapping[str, Any]) -> int:
    """As many as the machine has cores for and this user may have, as `el.cluster()` takes them."""
    cores = max(1, int(offer.get("cores") or os.cpu_count() or 2) // int(offer.get("worker_cores") or 1))
    free = [int(offer[key]) for key in ("free_workers", "room") if offer.get(key) is not None]
    return min(cores, *free) if free else cores


def _rendered(
    told: Mapping[str, Any], shared: str | None, wanted: int | None, seen: Mapping[str, Any] | None
) -> dict[str, Any]:
    started = told["start_time"]
    return {
        "name": told["name"],
        "label": shared or told["name"][:8],
        "shared": shared is not None,
        "status": told["status"],
        "started": None if started is None else started / 1000,
        "wanted": wanted,
        "seen": seen,
    }


async def _see(desk: Desk, gateway: Service, watch: Watch, name: str) -> dict[str, Any] | None:
    """What a scheduler tells; None where it does not just now: the cluster is listed all the same."""
    if name not in watch.entries:
        try:
            told = await gateway.ask("GET", f"clusters/{name}")
        except (NothingFound, NotAllowed):  # it has ended meanwhile
            return None
        if not told.get("tls_key"):
            return None
        watch.entries[name] = await desk.ask(lambda: _entry(name, told["tls_cert"], told["tls_key"]))
    address, arguments = watch.entries[name]
    return await desk.ask(lambda: _ask_scheduler(address, arguments))


def _entry(name: str, certificate: str, key: str) -> tuple[str, Mapping[str, Any]]:
    from dask_gateway.client import GatewaySecurity  # half a second of imports, where no template has made them

    proxy = load_settings().compute.gateway_proxy.rstrip("/")
    arguments: Mapping[str, Any] = GatewaySecurity(tls_key=key, tls_cert=certificate).get_connection_args("client")
    return f"{proxy}/{name}", arguments


def _ask_scheduler(address: str, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return asyncio.run(_talk(address, arguments))
    except (OSError, TimeoutError, LookupError, TypeError, ValueError):
        # Busy, or on its way out; what it tells is no matter of life and death.
        return None


async def _talk(address: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a scheduler three things as its own tools do: this is no client, for which the cluster would stay."""
    from distributed.core import rpc

    async with asyncio.timeout(_SEE_PATIENCE):
        async with rpc(address, connection_args=arguments, deserialize=False, timeout=_SEE_PATIENCE) as scheduler:
            known = await scheduler.identity()
            tasks = await scheduler.get_task_prefix_states()
            idle_since = await scheduler.check_idle()
    return render_seen(known, tasks, idle_since, now=time.time(), patience=load_settings().compute.idle_timeout)


def render_seen(
    known: Mapping[str, Any], tasks: Mapping[str, Any], idle_since: float | None, *, now: float, patience: float
) -> dict[str, Any]:
    """What a scheduler has told, of the form `SEEN`.

    Parameters
    ----------
    known, tasks, idle_since
        As ``identity``, ``get_task_prefix_states`` and ``check_idle`` of distributed give them.
    now : float
        Seconds since 1970.
    patience : float
        Seconds without work after which the cluster ends; 0 for never.
    """
    workers = [_render_worker(each) for each in known["workers"].values()]
    rows = [_render_tasks(str(name), states) for name, states in tasks.items()]
    rows.sort(key=lambda row: (-row["running"] - row["waiting"], row["name"]))
    return {
        "workers": workers[:MOST_WORKERS_SHOWN],
        "count": len(workers),
        "memory": sum(each["memory"] for each in workers),
        "limit": sum(each["limit"] for each in workers),
        "tasks": rows[:MOST_TASKS_SHOWN],
        "ends_in": max(0.0, idle_since + patience - now) if idle_since and patience else None,
    }


def _render_worker(told: Mapping[str, Any]) -> dict[str, Any]:
    metrics = told.get("metrics") or {}
    return {
        "name": str(told.get("name") or told["id"])[:200],
        "threads": int(told["nthreads"]),
        "memory": int(metrics.get("memory") or 0),
        "limit": int(told.get("memory_limit") or 0),
        "cpu": round(float(metrics.get("cpu") or 0), 1),
        "running": int((metrics.get("task_counts") or {}).get("executing") or 0),
    }


def _render_tasks(name: str, states: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": name[:200],
        "done": int(states.get("memory", 0)) + int(states.get("released", 0)),
        "running": int(states.get("processing", 0)),
        "waiting": int(states.get("waiting", 0)),
        "failed": int(states.get("erred", 0)),
    }
