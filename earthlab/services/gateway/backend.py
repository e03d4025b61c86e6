"""Clusters as processes of this machine: each under its owner's account, within the owner's caps and leases."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from aiohttp import ClientError, web
from dask_gateway_server.backends.base import PublicException
from dask_gateway_server.backends.db_base import JobStatus
from dask_gateway_server.backends.local import LocalBackend
from dask_gateway_server.models import User
from dask_gateway_server.routes import api_handler
from traitlets import Any as AnyTrait
from traitlets import Dict, Float, Instance, Integer, Unicode

from earthlab.errors import BadRequest
from earthlab.hub.accounts import Account
from earthlab.hub.cgroups import close_group
from earthlab.hub.layout import MARKER
from earthlab.hub.memory import read_free_memory
from earthlab.kernel.forks import NoFork
from earthlab.kernel.groups import Group
from earthlab.services.gateway.caps import (
    Holding,
    cluster_refusal,
    free_workers,
    machine_refusal,
    machine_room,
    parse_count,
    worker_refusal,
)
from earthlab.services.gateway.copies import fork_process
from earthlab.services.gateway.leases import LEASE, HubView, OwnedCluster, plan_stops
from earthlab.services.gateway.owners import ask_owners
from earthlab.services.gateway.preload_worker import STARTED
from earthlab.services.gateway.processes import (
    CLUSTER_MARK,
    SCORES,
    Place,
    Running,
    kill_marked,
    start_process,
    stop_process,
)
from earthlab.services.gateway.shared import (
    ROUTE,
    Standing,
    Wish,
    Wishes,
    is_shared,
    owner_of,
    parse_wishes,
    plan_steps,
)
from earthlab.services.gateway.signin import WORKSHOPS
from earthlab.services.gateway.tokens import LIFETIME, HubTokensApi
from earthlab.services.gateway.workdir import (
    Workdir,
    open_base,
    open_workdir,
    read_log_end,
    remove_workdir,
    resolve_workdir,
    write_token,
)

TOKEN_FILE = "EARTHLAB_HUB_TOKEN_FILE"  # noqa: S105 - a name
"""Variable that tells workers where their token is; it is written anew before it expires."""
_SCHEDULER_ARGUMENTS = ["--no-dashboard", "--preload", "earthlab.services.gateway.preload_scheduler"]
_WORKER_ARGUMENTS = [
    # The gateway watches workers, and each bounds itself: a nanny would be two more processes.
    *("--host", "127.0.0.1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"),
    *("--preload", "earthlab.services.gateway.preload_worker"),
]


class EarthlabBackend(LocalBackend):  # type: ignore[misc]  # the gateway ships no types
    """The gateway's local backend with the lab's accounts, caps, leases and endings."""

    max_clusters = Integer(2, min=1, help="Clusters one user may have at a time.", config=True)
    max_workers = Integer(4, min=1, help="Workers one user may have, over all of their clusters.", config=True)
    total_workers = Integer(8, min=1, help="Workers of all users together.", config=True)
    free_memory_of = AnyTrait(
        read_free_memory, help="Function that gives the bytes of memory the machine can still give.", config=True
    )
    account_of = AnyTrait(
        help="Function from a hub user's name to the Account of their processes.",
        config=True,
    )
    group_of = AnyTrait(
        help="Function from an owner's name, a cluster's and its most workers to the group of the cluster's processes.",
        config=True,
    )
    private_of = AnyTrait(
        help="Function from a hub user's name and account to the user's folders in place of /tmp and the like.",
        config=True,
    )
    template = Instance(
        Path, allow_none=True, help="Socket of the lab's template, of which processes are copies.", config=True
    )
    lab_id = Unicode(help="The lab's mark, in the environment of each process.", config=True)
    process_environment = Dict(help="Variables of every scheduler and worker.", config=True)
    offer = Dict(help="What the gateway tells its clients about the environment of the workers.", config=True)
    hub_api = Unicode(help="Root of the hub's API.", config=True)
    hub_token = Unicode(help="The service's own token for it.", config=True)
    owners_period = Float(10, help="Seconds between two questions to the hub.", config=True)
    owners_grace = Float(5, help="Seconds that a new cluster is spared from their answer.", config=True)
    hub_patience = Float(300, help="Seconds of a silent hub after which clusters stop.", config=True)
    shared_period = Float(1, help="Seconds between two looks at the clusters that workshops share.", config=True)
    stop_patience = Float(1.5, help="Seconds a process gets to end by itself.", config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._base = Path(self.clusters_directory)
        self._processes: dict[int, Running] = {}
        self._accounts: dict[str, Account] = {}
        self._groups: dict[str, Group] = {}
        self._private: dict[str, dict[str, str]] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._view = HubView(frozenset(), time.time())
        self._wishes = Wishes()
        self._shared_starts: dict[str, float] = {}
        self._shared_want = ""
        self._closing = False

    # The gateway comes and goes

    async def setup(self, app: web.Application) -> None:
        """Start the backend with the lab's own routes beside the gateway's."""
        app.add_routes(
            [
                web.get("/api/v1/earthlab", api_handler(self._tell_offer, user_authenticated=True)),
                web.put(ROUTE, api_handler(self._hear_wishes, user_authenticated=True)),
                web.delete(f"{ROUTE}/{{slug}}", api_handler(self._renew_shared, user_authenticated=True)),
            ]
        )
        await super().setup(app)

    async def do_setup(self) -> None:
        """End what an earlier gateway of this lab left, and begin to ask the hub."""
        left = await asyncio.to_thread(kill_marked, f"{MARKER}={self.lab_id}", CLUSTER_MARK)
        if left:
            self.log.warning("Killed %d processes that an earlier gateway had left", left)
        await asyncio.to_thread(open_base, self._base)
        self.task_pool.spawn(self._watch_owners())
        self.task_pool.spawn(self._watch_tokens())
        self.task_pool.spawn(self._watch_shared())

    async def stop_all(self) -> None:
        """Stop every cluster, start no other, and wait until all are gone."""
        self._closing = True
        if not hasattr(self, "db"):
            return
        live = [c for c in self.db.name_to_cluster.values() if c.status < JobStatus.STOPPED]
        for cluster in live:
            await self.stop_cluster(cluster.name)
        await asyncio.gather(*(_raised(cluster.shutdown) for cluster in live))

    async def cleanup(self) -> None:
        """End everything, the gateway's proxy last."""
        await super().cleanup()
        proxy = getattr(getattr(self, "proxy", None), "proxy_process", None)
        if proxy is not None:
            await asyncio.to_thread(proxy.wait, 5)

    # One cluster

    async def do_start_cluster(self, cluster: Any) -> AsyncIterator[dict[str, Any]]:
        """Write the cluster's folder and start its scheduler."""
        account = await asyncio.to_thread(self.account_of, cluster.username)
        paths = resolve_workdir(self._base, cluster.name)
        self._accounts[cluster.name] = account
        yield {"workdir": str(paths.folder)}
        await asyncio.to_thread(open_workdir, paths, certificate=cluster.tls_cert, key=cluster.tls_key, account=account)
        await self._renew_token(cluster)
        await self._open_group(cluster)
        self._private[cluster.name] = await asyncio.to_thread(self.private_of, cluster.username, account)
        command, env = self.get_scheduler_command(cluster), self.get_scheduler_env(cluster)
        process = await self._start(cluster, "scheduler", command, env, "scheduler")
        self._watch(process, lambda code: self._scheduler_ended(cluster, code))
        yield {"workdir": str(paths.folder), "pid": process.pid}

    async def do_stop_cluster(self, cluster: Any) -> None:
        """Stop the scheduler and whatever tasks left running, then remove the folder."""
        await self._stop(cluster.state.get("pid"))
        await asyncio.to_thread(kill_marked, f"{CLUSTER_MARK}={cluster.name}")
        if group := self._groups.pop(cluster.name, None):
            await asyncio.to_thread(close_group, group, patience=0)
        await self._revoke_token(cluster)
        await asyncio.to_thread(remove_workdir, self._paths(cluster))
        self._accounts.pop(cluster.name, None)
        self._private.pop(cluster.name, None)

    async def do_start_worker(self, worker: Any) -> AsyncIterator[dict[str, Any]]:
        """Start one worker."""
        cluster, started = worker.cluster, str(self._paths(worker.cluster).started(worker.name))
        command, env = self.get_worker_command(cluster, worker.name), self.get_worker_env(cluster) | {STARTED: started}
        process = await self._start(cluster, "worker", command, env, f"worker-{worker.name[:12]}")
        self._watch(process, lambda code: self._worker_ended(worker, code))
        yield {"pid": process.pid}

    async def do_stop_worker(self, worker: Any) -> None:
        """Stop one worker and its process group."""
        await self._stop(worker.state.get("pid"))

    async def do_check_clusters(self, clusters: list[Any]) -> list[bool]:
        """Whether each cluster's scheduler is alive."""
        return [self._is_alive(c) for c in clusters]

    async def do_check_workers(self, workers: list[Any]) -> list[bool]:
        """Whether each worker is alive."""
        return [self._is_alive(w) for w in workers]

    def get_env(self, cluster: Any) -> dict[str, str]:
        """The environment of a cluster's process: the allowed part of ours, the lab's, and the owner's."""
        return {**super().get_env(cluster), **self.process_environment, **self._owner_env(cluster)}

    def get_scheduler_command(self, cluster: Any) -> list[str]:
        """The scheduler's command line, our preload first."""
        return _spliced(super().get_scheduler_command(cluster), cluster.config.scheduler_cmd, _SCHEDULER_ARGUMENTS)

    def get_worker_command(self, cluster: Any, worker_name: str, scheduler_address: str | None = None) -> list[str]:
        """A worker's command line, our preload first."""
        arguments = [*_WORKER_ARGUMENTS, "--local-directory", str(self._paths(cluster).spill)]
        command = super().get_worker_command(cluster, worker_name, scheduler_address)
        return _spliced(command, cluster.config.worker_cmd, arguments)

    def _owner_env(self, cluster: Any) -> dict[str, str]:
        paths, account = self._paths(cluster), self._accounts[cluster.name]
        own = {"USER": account.name, "LOGNAME": account.name, "HOME": str(account.home)}
        lease = {LEASE: "inf"} if is_shared(cluster.username) else {}
        return {**own, **lease, "TMPDIR": str(paths.temporary), TOKEN_FILE: str(paths.token), MARKER: self.lab_id}

    def _paths(self, cluster: Any) -> Workdir:
        return resolve_workdir(self._base, cluster.name)

    async def _open_group(self, cluster: Any) -> None:
        try:
            owner, most = cluster.username, self._cap(cluster.username)
            self._groups[cluster.name] = await asyncio.to_thread(self.group_of, owner, cluster.name, most)
        except OSError as exc:
            self.log.info("Cluster %s has no control group: %s", cluster.name, exc)

    async def _start(
        self, cluster: Any, life: Literal["scheduler", "worker"], command: list[str], env: dict[str, str], name: str
    ) -> Running:
        paths = self._paths(cluster)
        log, account = paths.logs / f"{name}.log", self._accounts[cluster.name]
        place = Place(env, paths.folder, log, account, self._groups.get(cluster.name), self._private[cluster.name])
        process = await self._fork(life, command[len(cluster.config[f"{life}_cmd"]) :], place)
        process = process or await start_process(command, place, score=SCORES[life])
        self._processes[process.pid] = process
        return process

    async def _fork(self, life: str, arguments: list[str], place: Place) -> Running | None:
        if self.template is None:
            return None
        try:
            return await fork_process(self.template, life, arguments, place)
        except NoFork as exc:
            self.log.warning("A %s of %s starts the slow way: %s", life, place.account.name, exc)
            return None

    async def _stop(self, pid: int | None) -> None:
        process = self._processes.get(pid) if pid else None
        if process is not None:
            await stop_process(process, patience=self.stop_patience)

    def _is_alive(self, thing: Any) -> bool:
        process = self._processes.get(thing.state.get("pid"))
        return process is not None and process.returncode is None

    # A process that ends by itself

    def _watch(self, process: Running, ended: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(self._report_end(process, ended))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def _report_end(self, process: Running, ended: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        code = await process.wait()
        await ended(code)
        self._processes.pop(process.pid, None)

    async def _scheduler_ended(self, cluster: Any, code: int) -> None:
        if cluster.target != JobStatus.RUNNING:
            return
        if code:
            end = await asyncio.to_thread(read_log_end, self._paths(cluster), "scheduler")
            self.log.warning("Scheduler of cluster %s ended with code %d:\n%s", cluster.name, code, end)
        await self.stop_cluster(cluster.name, failed=code != 0)

    async def _worker_ended(self, worker: Any, code: int) -> None:
        if worker.target != JobStatus.RUNNING:
            return
        if code:
            self.log.warning("Worker %s of cluster %s ended with code %d", worker.name, worker.cluster.name, code)
        if not worker.close_expected:
            started = await asyncio.to_thread(self._paths(worker.cluster).started(worker.name).exists)
            # One that is lost at work is no sign that none can start: its task is tried elsewhere.
            worker.cluster.worker_start_failure_count += not started
        self.db.update_worker(worker, target=JobStatus.STOPPED if worker.close_expected else JobStatus.FAILED)
        self.queue.put(worker)

    # Caps

    async def start_cluster(self, user: Any, cluster_options: dict[str, Any]) -> str:
        """Start a cluster, unless the user has no server or as many clusters as they may."""
        await self._refuse_absent(user.name)
        mine = list(self.db.username_to_clusters.get(user.name, {}).values())
        stopping = sum(not c.is_active() and c.status < JobStatus.STOPPED for c in mine)
        refusal = cluster_refusal([c.name for c in mine if c.is_active()], stopping, self.max_clusters)
        refusal = refusal or machine_refusal(1, self._room())
        if refusal or self._closing:
            raise PublicException(refusal or "La passerelle s'arrête. | The gateway is stopping.")
        return str(await super().start_cluster(user, cluster_options))

    async def forward_message_to_scheduler(self, cluster: Any, msg: dict[str, Any]) -> None:
        """Pass a wish for more or fewer workers on to the scheduler, if the owner's cap allows it."""
        free, room = self._free_workers(cluster), self._room(besides=cluster.name)
        if msg["op"] == "adapt" and msg.get("active", True):
            most = min(free, room) if msg["maximum"] is None else msg["maximum"]
            msg = {**msg, "minimum": msg["minimum"] or 0, "maximum": most}
            asked = [msg["minimum"], msg["maximum"]]
        else:
            asked = [msg.get("count", 0)]
        for count in asked:
            if refusal := worker_refusal(count, free, self._cap(cluster.username)) or machine_refusal(count, room):
                raise PublicException(refusal)
        await super().forward_message_to_scheduler(cluster, msg)

    async def on_cluster_heartbeat(self, cluster_name: str, msg: dict[str, Any]) -> None:
        """Take in what a scheduler says of itself, believing no more than its owner may have.

        The scheduler is the user's own process: its wishes are cut to the cap, its addresses must be of this machine,
        and no web page of it is ever passed on under the hub's address.
        """
        cluster = self.db.get_cluster(cluster_name)
        count = parse_count(msg.get("count"))
        if cluster is None or count is None or not _is_local(msg):
            raise PublicException("heartbeat: expected a known cluster, a whole count and addresses of this machine")
        count = min(count, self._free_workers(cluster), self._room(besides=cluster.name))
        await super().on_cluster_heartbeat(cluster_name, {**msg, "count": count, "dashboard_address": ""})

    def _free_workers(self, cluster: Any) -> int:
        return free_workers(self._holdings(cluster.username), self._cap(cluster.username), besides=cluster.name)

    def _cap(self, owner: str) -> int:
        wish = self._wishes.by_owner.get(owner)
        return wish.workers if wish else self.max_workers

    def _room(self, *, besides: str = "") -> int:
        """Workers that the machine still takes; what the cluster named by `besides` has counts as room for it."""
        everybody = _held_by(self.db.active_clusters())
        # A cluster that has asked for nothing yet is about to ask.
        held = sum(max(1, each.workers) for each in everybody if each.cluster != besides)
        own = sum(len(c.active_workers()) for c in self.db.active_clusters() if c.name == besides)
        # What it has already is in the memory that is no longer free.
        return own + machine_room(held + own, self.total_workers, self.free_memory_of())

    def _holdings(self, owner: str) -> list[Holding]:
        return _held_by(self.db.username_to_clusters.get(owner, {}).values())

    async def _tell_offer(self, request: web.Request) -> web.Response:
        holdings = self._holdings(request["user"].name)
        own = {
            "clusters": {h.cluster: h.workers for h in holdings},
            "free_workers": free_workers(holdings, self.max_workers),
            "max_clusters": self.max_clusters,
            "max_workers": self.max_workers,
            "room": self._room(),
            "shared": {wish.label: self._running_name(wish) for wish in self._wishes.of(request["user"].name)},
        }
        return web.json_response({**self.offer, **own})

    # Clusters that workshops share

    def shared_with(self, person: str) -> frozenset[str]:
        """The owners of the shared clusters that a user of the hub may compute on, at this moment."""
        return frozenset(wish.owner for wish in self._wishes.of(person))

    async def list_clusters(self, username: str | None = None, statuses: Any = None) -> list[Any]:
        """A user's clusters and those that they share."""
        found = await super().list_clusters(username, statuses)
        for owner in self.shared_with(username) if username else ():
            found += await super().list_clusters(owner, statuses)
        return list(found)

    async def process_cluster_options(self, user: Any, request: dict[str, Any]) -> tuple[Any, Any]:
        """The configuration of a new cluster; a shared one stands also while nobody computes."""
        options, config = await super().process_cluster_options(user, request)
        if is_shared(user.name):
            config.idle_timeout = 0.0
        return options, config

    async def _hear_wishes(self, request: web.Request) -> web.Response:
        _require_workshops(request)
        try:
            self._wishes = parse_wishes(await request.json(), time.time())
        except (BadRequest, ValueError) as exc:
            raise web.HTTPUnprocessableEntity(reason=str(exc)) from exc
        return web.json_response({wish.slug: self._shared_workers(wish) for wish in self._wishes.by_owner.values()})

    async def _renew_shared(self, request: web.Request) -> web.Response:
        """End a shared cluster: the next one, which soon takes its place, has other keys and none of its tasks."""
        _require_workshops(request)
        for cluster in self._shared_clusters():
            if cluster.username == owner_of(request.match_info["slug"]):
                await self.stop_cluster(cluster.name)
        return web.Response(status=204)

    async def _watch_shared(self) -> None:
        while True:
            self._wishes = self._wishes.still(time.time(), patience=self.hub_patience)
            try:
                await self._keep_shared()
            except PublicException as exc:
                if str(exc) != self._shared_want:
                    self.log.warning("A shared cluster is not as it was wished: %s", exc)
                self._shared_want = str(exc)
            await asyncio.sleep(self.shared_period)

    async def _keep_shared(self) -> None:
        standing = [
            Standing(c.name, c.username, c.count, runs=c.status == JobStatus.RUNNING) for c in self._shared_clusters()
        ]
        steps = plan_steps(self._wishes, standing, self._shared_starts, time.time())
        for name in steps.stop:
            self.log.info("Shared cluster %s ends: nobody wishes it any longer", name)
            await self.stop_cluster(name)
        for wish in steps.start:
            await self._start_shared(wish)
        for name, workers in steps.scale:
            await self._scale_shared(name, workers)
        if len(standing) == len(self._wishes.by_owner):
            self._shared_want = ""

    async def _start_shared(self, wish: Wish) -> None:
        self._shared_starts[wish.owner] = time.time()
        if self._closing:
            return
        if refusal := machine_refusal(1, self._room()):
            raise PublicException(refusal)
        await super().start_cluster(User(wish.owner), {})

    async def _scale_shared(self, name: str, workers: int) -> None:
        cluster, count = await self.get_cluster(name), min(workers, self._room(besides=name))
        if cluster is not None and self.db.get_cluster(name).count != count:
            await self.forward_message_to_scheduler(cluster, {"op": "scale", "count": count})

    def _shared_clusters(self) -> list[Any]:
        return [c for c in self.db.active_clusters() if is_shared(c.username)]

    def _running_name(self, wish: Wish) -> str:
        """The name of a shared cluster that answers; empty where there is none."""
        running = (c.name for c in self._shared_clusters() if c.username == wish.owner)
        return next((name for name in running if self.db.get_cluster(name).status == JobStatus.RUNNING), "")

    def _shared_workers(self, wish: Wish) -> int:
        # Of one that has just come its scheduler tells only a quarter of a minute later.
        there = [w for c in self._shared_clusters() if c.username == wish.owner for w in c.active_workers()]
        return sum(self._is_alive(worker) for worker in there)

    # Tokens

    async def _watch_tokens(self) -> None:
        while True:
            for cluster in list(self.db.active_clusters()):
                if self._is_stale(cluster):
                    await self._renew_token(cluster)
            await asyncio.sleep(self.owners_period)

    def _is_stale(self, cluster: Any) -> bool:
        _, minted = self._tokens.get(cluster.name, ("", 0.0))
        aged = time.time() - minted > LIFETIME / 2
        return cluster.name in self._accounts and aged and not is_shared(cluster.username)

    async def _renew_token(self, cluster: Any) -> None:
        """Without a token a cluster still reads all that is open, and a shared one never reads more."""
        if is_shared(cluster.username):
            return
        api = HubTokensApi(self.hub_api, self.hub_token)
        try:
            token, token_id = await api.mint(self.session, cluster.username, f"workers of {cluster.name[:12]}")
            if cluster.name in self._accounts:
                await asyncio.to_thread(write_token, self._paths(cluster), token, self._accounts[cluster.name])
        except (ClientError, OSError, KeyError, TypeError, ValueError) as exc:
            self.log.warning("No token for the workers of %s (%s: %s)", cluster.name[:12], type(exc).__name__, exc)
            return
        await self._revoke_token(cluster)
        self._tokens[cluster.name] = (token_id, time.time())
        if not cluster.is_active():  # it ended meanwhile, and nobody else would end its new token
            await self._revoke_token(cluster)
            await asyncio.to_thread(self._paths(cluster).token.unlink, missing_ok=True)

    async def _revoke_token(self, cluster: Any) -> None:
        token_id, _ = self._tokens.pop(cluster.name, ("", 0.0))
        if not token_id:
            return
        try:
            await HubTokensApi(self.hub_api, self.hub_token).revoke(self.session, cluster.username, token_id)
        except (ClientError, TimeoutError) as exc:
            self.log.warning("The token of %s ends by itself, not at once (%s)", cluster.name[:12], type(exc).__name__)

    # Leases

    async def _watch_owners(self) -> None:
        while True:
            if any(self.db.active_clusters()):
                await self._ask_owners()
                await self._stop_orphans()
            else:
                # Nobody to watch over: an idle gateway leaves the hub in peace, and its silence does not count.
                self._view = HubView(frozenset(), time.time())
            await asyncio.sleep(self.owners_period)

    async def _ask_owners(self) -> None:
        try:
            owners = await ask_owners(self.session, self.hub_api, self.hub_token)
        except (ClientError, TimeoutError, KeyError, TypeError, ValueError) as exc:
            self.log.warning("The hub does not say whose servers run (%s: %s)", type(exc).__name__, exc)
        else:
            self._view = HubView(owners, time.time())

    async def _stop_orphans(self) -> None:
        # A shared one's owner is nobody, who has no server.
        owned = [c for c in self.db.active_clusters() if not is_shared(c.username)]
        live = [OwnedCluster(c.name, c.username, c.start_time / 1000) for c in owned]
        stops = plan_stops(live, self._view, time.time(), grace=self.owners_grace, patience=self.hub_patience)
        for name, reason in stops.items():
            self.log.info("Cluster %s ends: %s", name, reason)
            await self.stop_cluster(name)

    async def _refuse_absent(self, owner: str) -> None:
        if owner in self._view.owners:
            return
        asked = time.time()
        await self._ask_owners()
        if self._view.told >= asked and owner not in self._view.owners:
            raise PublicException(
                f"{owner} n'a pas de serveur en marche, et un cluster s'arrête avec lui. Démarrez-le d'abord. | "
                f"{owner} has no running server, and a cluster ends with it. Start the server first."
            )


def _require_workshops(request: web.Request) -> None:
    if request["user"].name != WORKSHOPS:
        raise web.HTTPForbidden(reason="Only the workshops' service says which clusters are shared")


def _held_by(clusters: Iterable[Any]) -> list[Holding]:
    return [Holding(c.name, max(c.count, len(c.active_workers()))) for c in clusters if c.is_active()]


async def _raised(flag: Any) -> None:
    await flag


def _spliced(command: list[str], program: list[str], arguments: list[str]) -> list[str]:
    return [*program, *arguments, *command[len(program) :]]


def _is_local(msg: dict[str, Any]) -> bool:
    return _is_loopback(msg.get("scheduler_address"), "tls") and _is_loopback(msg.get("api_address"), "http")


def _is_loopback(address: object, scheme: str) -> bool:
    parts = urlsplit(address) if isinstance(address, str) else None
    return parts is not None and parts.scheme == scheme and parts.hostname == "127.0.0.1"
