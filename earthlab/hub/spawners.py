"""Starting a user's server as a process of this machine, under the account the user has on it."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from jupyterhub.spawner import LocalProcessSpawner
from jupyterhub.utils import maybe_future, random_port
from tornado.ioloop import IOLoop
from traitlets import Bool, Enum, Instance, Integer, Tuple

from earthlab.errors import EarthlabError, SetupError
from earthlab.hub.accounts import Account, account_lock, account_name, resolve_account
from earthlab.hub.cgroups import Limits, close_group, join, open_group, open_lab_group
from earthlab.hub.cubes import open_licensed_cubes
from earthlab.hub.handout import plan_handout
from earthlab.hub.inside import Inside, forget_inside, note_inside, read_inside
from earthlab.hub.layout import AccountMode, Layout
from earthlab.hub.passes import PassStore, Share
from earthlab.hub.places import describe_wait, keep_place
from earthlab.hub.private import close_private, open_private
from earthlab.hub.processes import end_account
from earthlab.hub.rights import granted_classes
from earthlab.hub.server import MOST_PROCESSES, PARKED
from earthlab.kernel.forks import ForkedProcess, NoFork, ask_patiently, find_fork
from earthlab.kernel.groups import Group
from earthlab.kernel.identity import Identity
from earthlab.kernel.memory import SERVER, go_first
from earthlab.kernel.private import see_own
from earthlab.kernel.process import read_start
from earthlab.kernel.provisioner import NURSERY
from earthlab.kernel.tcp import TcpSocket, find_met, read_listeners, share_listener

_ANSWER_WITHIN = 10.0
"""Seconds for a server that listens to answer, before it is looked at whether it still runs."""

_MENDED_WITHIN = 2.0
"""Seconds for a look at a server that has lost its nursery to wait for the next one."""

_REST = 60.0
"""Seconds after a user has taken a kernel before their next one is made ready: a class arrives within as many."""

_MORE_STARTS = 2
"""How often a server that ends as it starts, killed or deprived of its port, is started again."""


class AccountSpawner(LocalProcessSpawner):  # type: ignore[misc]  # JupyterHub has no types
    """Runs each server as its user's own Unix account, or all of them as one where the lab shares accounts."""

    layout = Instance(Layout, config=True)
    accounts = Enum(["unix", "shared"], config=True, help="Whether each user has a Unix account of their own.")
    account = Instance(Account, allow_none=True)
    own_nurseries = Bool(config=True, help="Whether each server starts a template of its own for its kernels.")
    parked = Integer(1, config=True, help="Kernels to keep ready for each user.")
    limits = Instance(Limits, config=True, help="What all processes of a user may have together.")
    private = Tuple(config=True, help="Places of which users have one of their own, where the machine lets the lab.")
    head = Integer(config=True, help="The process with whose end all servers end: the lab's supervisor, or the hub.")
    found: ForkedProcess | None = None
    """The server, where it is no child of this hub: a copy of the template, or what an earlier hub has started."""
    share: Share | None = None
    """What the user's workshop has planned for a seat, where the user is one."""
    group: Group | None = None
    """What the server and all that it starts belong to, where the machine lets the lab make groups."""
    ungrouped = False
    """Whether there is a server, or was until now, without such a group."""
    listener: socket.socket | None = None
    """The server's own, held here too: whoever bound the port of one that has just ended would get its user's cookies.

    Until the proxy leads nobody there any more, they wait.
    """
    _listens_alone = False
    """Whether this machine does not let the hub hold it."""
    own_places: Mapping[str, str]
    """The user's folders by the places where the user's processes find them."""
    access: tuple[str, ...] = ()
    """The rules of licensed data that let the user read, when the server was started."""

    async def start(self) -> tuple[str, int]:
        """Make the account and its folders where need be, then start the server."""
        self.access = granted_classes(self.user, shared=self.accounts == "shared")
        try:
            # In a thread: `useradd` takes its time, and a class arrives all at once.
            self.account = await IOLoop.current().run_in_executor(None, self._prepare)
        except EarthlabError as exc:
            exc.jupyterhub_message = str(exc)  # type: ignore[attr-defined]  # what the hub shows on its page
            raise
        place = await self._launch_until_up()
        inside = Inside(self._identity(self.account), self.get_env(), str(self.account.home))
        note_inside(self.layout, self.user.name, inside)
        self._let_stay()
        return place

    def _let_stay(self) -> None:
        """Note what runs where the next hub looks, and only then have it outlive this one."""
        self.orm_spawner.state = self.get_state()
        self.db.commit()
        if self.found is not None:
            self.found.let_stay()

    async def _launch_until_up(self) -> tuple[str, int]:
        place = await self._launch()
        for _ in range(_MORE_STARTS):
            if await self._comes_up(*place):
                break
            self.log.warning("The server of %s ended as it started; it is started again", self.user.name)
            self.port = 0
            place = await self._launch()
        else:
            await self._comes_up(*place)
        return place

    async def _launch(self) -> tuple[str, int]:
        with self._open_log() as log:
            self.popen_kwargs = {"stdout": log, "stderr": log}
            place: tuple[str, int] = await super().start()
        return place

    async def _comes_up(self, address: str, port: int) -> bool:
        """Wait until the server answers; False where it ends first: the hub itself would wait for its answer only.

        Raises
        ------
        SetupError
            Where somebody else's process has its port.
        """
        silent = False
        while not self._has_ended():
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_ANSWER_WITHIN):
                    if await answers(address, port, f"{self.server.base_url}api"):
                        # In a thread: the machine looks through all of its connections for these tables.
                        listeners = await asyncio.to_thread(read_listeners)
                        if self._listens(listeners, address, port):
                            self._hold_port(listeners, address, port)
                            return True
                        if not silent:
                            self.log.warning(
                                "Something answers at %s:%d, and /proc/net does not tell who listens there",
                                address,
                                port,
                            )
                        silent = True
            await asyncio.sleep(0.1)
        return False

    def _listens(self, listeners: Iterable[TcpSocket], address: str, port: int) -> bool:
        """Whether it is the user's own processes that answer.

        The port was free when it was picked: any process of the machine may have bound it before the server did, and
        would be shown under the user's name, to the user's browser.
        """
        assert self.account is not None
        found = _find_uids(listeners, address, port)
        if strangers := found - {self.account.uid}:
            self.port = 0
            refusal = SetupError(
                f"port {port} of the server of {self.user.name}: found a process of uid {min(strangers)}, "
                f"expected one of uid {self.account.uid}. Start the server again: it gets another port."
            )
            refusal.jupyterhub_message = str(refusal)  # type: ignore[attr-defined]  # what the hub shows on its page
            raise refusal
        return bool(found)

    def holds_port(self, listeners: Iterable[TcpSocket]) -> bool:
        """Whether of those who listen on this machine it is the user's own processes that are met at the server's port.

        Once it has ended the port is anybody's, who must not be told its token.
        """
        assert self.account is not None
        return _find_uids(listeners, self.server.ip, self.server.port) == {self.account.uid}

    def _hold_port(self, listeners: Iterable[TcpSocket], address: str, port: int) -> None:
        if not self._may_hold_port:
            return
        try:
            self.listener = share_listener(self.pid, find_met(listeners, address, port))
        except OSError as exc:
            self._listens_alone = isinstance(exc, PermissionError)
            self.log.info("The port of the server of %s is not held: %s", self.user.name, exc)

    @property
    def _may_hold_port(self) -> bool:
        return self.listener is None and not self._listens_alone and self.accounts == "unix" and self.pid > 0

    def _free_port(self) -> None:
        self._listens_alone = False
        if self.listener is not None:
            self.listener.close()
            self.listener = None

    def _has_ended(self) -> bool:
        if self.found is not None:
            return self.found.poll() is not None
        return self.proc is None or self.proc.poll() is not None

    async def poll(self) -> int | None:
        """The server's exit code, or ``None`` while it runs."""
        ended: int | None = await super().poll() if self.found is None else self.found.poll()
        if ended is not None:
            self.clear_state()
        elif self.server is not None and self._may_hold_port:
            # An earlier hub has started it.
            self._hold_port(await asyncio.to_thread(read_listeners), self.server.ip, self.server.port)
        return ended

    async def _signal(self, sent: int) -> bool:
        if self.found is None:
            alive: bool = await super()._signal(sent)
            return alive
        self.found.send_signal(sent)
        return self.found.poll() is None

    def _prepare(self) -> Account:
        account = resolve_account(self.user.name, self.layout, cast("AccountMode", self.accounts))
        with account_lock(self.layout):
            open_licensed_cubes(self.layout, cast("AccountMode", self.accounts), account.name, self.access)
        make_runtime_folder(self._runtime_folder(), account)
        self._open_rooms(account)
        if self._log.exists():
            self._log.replace(self._log.with_suffix(".log.before"))
        return account

    def _open_rooms(self, account: Account) -> None:
        self.share = PassStore(self.layout.passes).share(self.user.name)
        if self.share is not None:
            # A class opens its notebooks at the same moment.
            self.parked = max(1, self.parked)
        self.group = self._open_group()
        self.ungrouped = self.group is None
        self.own_places = open_private(self.layout, self._account_name, account, self.private)

    @property
    def _account_name(self) -> str:
        return account_name(self.user.name, self.layout.lab_id)

    @property
    def _log(self) -> Path:
        return self.layout.server_logs / f"{self._account_name}.log"

    @contextmanager
    def _open_log(self) -> Iterator[int]:
        """A file for what the user's processes say: whoever may write to the hub's own can empty it."""
        file = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield file
        finally:
            os.close(file)

    def _open_group(self) -> Group | None:
        try:
            lab = open_lab_group(self.layout)
            return open_group(lab, self._account_name, fit_limits(self.limits, self.share))
        except OSError as exc:
            self.log.info("The memory of %s is bounded for each process by itself: %s", self.user.name, exc)
            return None

    async def run_post_stop_hook(self) -> None:
        """However the server has ended: end what it may have left, remove the user's group and temporary files."""
        try:
            await self._clear_away()
        finally:
            self._free_port()

    async def _clear_away(self) -> None:
        await maybe_future(super().run_post_stop_hook())
        forget_inside(self.layout, self.user.name)
        group, self.group = self.group, None
        if group and not await IOLoop.current().run_in_executor(None, close_group, group):
            self.log.warning("Processes of %s would not end: %s", self.user.name, ", ".join(group.places))
        if self._leaves_an_account() and self.account:
            left = await IOLoop.current().run_in_executor(None, end_account, self.layout, self.account.uid)
            if left:
                self.log.warning("Processes of %s would not end: %s", self.user.name, left)
        self.ungrouped = False
        await IOLoop.current().run_in_executor(None, close_private, self.layout, self._account_name)

    def _leaves_an_account(self) -> bool:
        """Whether what its user's account still runs is left from this server, and no group says what that is."""
        others = (each for each in self.user.spawners.values() if each is not self)
        return self.ungrouped and self.accounts == "unix" and not any(each.active for each in others)

    def _runtime_folder(self) -> Path:
        # Not the whole account name: Jupyter's socket names leave few of the 107 bytes.
        return self.layout.run / self._account_name[-6:]

    @property
    def nursery_socket(self) -> Path:
        """Where the user's server asks for forked kernels."""
        return self._runtime_folder() / "nursery.sock"

    def make_preexec_fn(self, _name: str) -> Callable[[], None] | None:
        """What the new process does first: join the user's group, give up every right but those of the account."""
        assert self.account is not None
        join_group = partial(join, self.group.places) if self.group else None
        return _become(self.account, join_group, self.own_places) if os.getuid() == 0 else join_group

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        """``env`` with the account's own names and folders."""
        assert self.account is not None
        runtime = str(self._runtime_folder())
        own = {"EARTHLAB_OWN_ACCOUNT": "1"} if self.accounts == "unix" else {}
        return (
            env
            | own
            | plan_handout(self.layout, self.user.name)
            | {
                "EARTHLAB__CUBES__ACCESS": ",".join(self.access),
                "USER": self.account.name,
                "LOGNAME": self.account.name,
                "HOME": str(self.account.home),
                "SHELL": "/bin/bash",
                "JUPYTER_RUNTIME_DIR": runtime,
                "XDG_RUNTIME_DIR": runtime,
            }
            | self._nursery_env()
        )

    def _identity(self, account: Account) -> Identity:
        own = {"nproc": MOST_PROCESSES} if self.accounts == "unix" else {}
        return Identity(
            account.uid,
            account.gid,
            tuple(os.getgrouplist(account.name, account.gid)) if os.getuid() == 0 else tuple(os.getgroups()),
            bounds={"core": 0, "data": self.mem_limit, **own},
            cgroups=self.group.places if self.group else (),
            private=dict(self.own_places),
        )

    def _nursery_env(self) -> dict[str, str]:
        return {NURSERY: str(self.nursery_socket), PARKED: str(self.parked)} if self.own_nurseries else {}

    def get_state(self) -> dict[str, Any]:
        """What the next hub needs to find the server: pid, and when it was started."""
        state: dict[str, Any] = super().get_state()
        return state | ({"since": read_start(self.pid)} if self.pid else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Find the server that an earlier hub has started, where it still runs; others may have its pid by now."""
        super().load_state({name: value for name, value in state.items() if name != "pid"})
        self.found = find_noted([state.get("pid"), state.get("since")])
        if not state.get("pid"):
            return
        self.account = resolve_account(self.user.name, self.layout, cast("AccountMode", self.accounts))
        self._open_rooms(self.account)
        if self.found is None:
            # It ended while no hub was there: JupyterHub stops it, which ends what it may have left.
            return
        inside = read_inside(self.layout, self.user.name)
        assert inside is not None, "it is noted before the state is"
        self.pid = self.found.pid
        self.api_token = inside.environment["JUPYTERHUB_API_TOKEN"]
        self.access = tuple(filter(None, inside.environment["EARTHLAB__CUBES__ACCESS"].split(",")))
        keep_place(self)

    def clear_state(self) -> None:
        """Forget the server, which ends if it has not."""
        super().clear_state()
        if self.found is not None:
            self.found.signal_group(signal.SIGKILL)
        self.found = None

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the waiting page tells."""
        async for event in describe_wait(self):
            yield event


class ForkSpawner(AccountSpawner):
    """Runs each server as a copy of the lab's template, beside a nursery for its kernels; where none is, by exec."""

    template = Instance(Path, config=True, help="The socket of the lab's template.")
    nursery: ForkedProcess | None = None
    """The template of the user's kernels, which ends with the server."""
    _renewal: asyncio.Task[None] | None = None

    async def _launch(self) -> tuple[str, int]:
        if self.port == 0:
            self.port = random_port()
        try:
            self.found = await self._fork("server", owner=self.head)
        except NoFork as exc:
            self.log.warning("The server of %s starts the slow way: %s", self.user.name, exc)
            self.found = None
            place = await super()._launch()
        else:
            self.pid = self.found.pid
            place = (self.ip or "127.0.0.1", self.port)
        # What is under way is for a server before this one.
        self._renewal = None
        # Whoever no longer waits must not take it from the others.
        await asyncio.shield(self._renew_nursery(stays=False))
        return place

    async def poll(self) -> int | None:
        """The server's exit code, or ``None`` while it runs; sees to it that one that runs has a nursery."""
        ended = await super().poll()
        if ended is None and (self.nursery is None or self.nursery.poll() is not None):
            # Not for as long as it takes: JupyterHub looks again only once it is told, and a server may end meanwhile.
            done, _ = await asyncio.wait({self._renew_nursery(stays=True)}, timeout=_MENDED_WITHIN)
            for renewed in done:
                renewed.result()
            ended = await super().poll()
        return ended

    @property
    def _running(self) -> tuple[int, ForkedProcess | None]:
        return self.pid, self.found

    def get_state(self) -> dict[str, Any]:
        """What the next hub needs to find the server and its nursery."""
        nursery = self.nursery and [self.nursery.pid, read_start(self.nursery.pid)]
        return super().get_state() | ({"nursery": nursery} if nursery else {})

    def load_state(self, state: dict[str, Any]) -> None:
        """Find server and nursery."""
        super().load_state(state)
        self.nursery = find_noted(state.get("nursery"))

    def clear_state(self) -> None:
        """Forget the server and its nursery, which end if they have not."""
        super().clear_state()
        if self.nursery is not None:
            self.nursery.signal_group(signal.SIGKILL)
        self.nursery = None

    def _let_stay(self) -> None:
        super()._let_stay()
        if self.nursery is not None:
            self.nursery.let_stay()

    def _nursery_env(self) -> dict[str, str]:
        return {NURSERY: str(self.nursery_socket)}

    def _renew_nursery(self, *, stays: bool) -> asyncio.Task[None]:
        """Make one nursery for the server, however many ask for it meanwhile; ``stays`` where the server does."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._make_nursery(stays=stays))
        return self._renewal

    async def _make_nursery(self, *, stays: bool) -> None:
        server = self._running
        extra = {"socket": str(self.nursery_socket), "parked": self.parked, "rest": _REST}
        try:
            made = await self._fork("nursery", owner=self.pid, **extra)
        except NoFork as exc:
            self.log.warning("The kernels of %s start the slow way for now: %s", self.user.name, exc)
            return
        if self._running != server:
            made.close()
            return
        self.nursery = made
        if stays and not self._has_ended():
            self._let_stay()

    async def _fork(self, life: str, *, owner: int, **extra: Any) -> ForkedProcess:
        assert self.account is not None
        content = {"environment": self.get_env(), "folder": str(self.account.home), "owner": owner, **extra}
        with self._open_log() as log:
            return await ask_patiently(self.template, life, self._identity(self.account), content, streams=(log,))


def _find_uids(listeners: Iterable[TcpSocket], address: str, port: int) -> set[int]:
    return {one.uid for one in find_met(listeners, address, port)}


def find_noted(noted: Sequence[int | None] | None) -> ForkedProcess | None:
    """The process that an earlier hub has noted by pid and start; ``None`` where it has ended or none was noted."""
    pid, since = noted or (None, None)
    return find_fork(pid, since) if pid and since else None


async def answers(address: str, port: int, path: str) -> bool:
    """Whether a web server answers at all.

    Raises
    ------
    OSError
        Where nobody listens, or the connection breaks.
    """
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).startswith(b"HTTP/1.")
    finally:
        writer.close()


def fit_limits(limits: Limits, share: Share | None) -> Limits:
    """The limits of a seat: never more memory than the operator allows, and weight by the cores planned."""
    if share is None:
        return limits
    weight = min(10_000, max(1, round(limits.cpu_weight * share.cores)))
    return replace(limits, memory=min(limits.memory, share.memory), cpu_weight=weight)


def make_runtime_folder(folder: Path, account: Account) -> None:
    """The 0700 folder of an account's sockets.

    Raises
    ------
    SetupError
        Where it belongs to somebody else.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid == os.getuid() != account.uid:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    if folder.is_symlink() or folder.lstat().st_uid != account.uid:
        raise SetupError(f"{folder} belongs to uid {folder.lstat().st_uid}, expected {account.uid}. Remove it.")
    folder.chmod(0o700)


def _become(
    account: Account, join_group: Callable[[], None] | None, own_places: Mapping[str, str]
) -> Callable[[], None]:
    # Between fork and exec nothing is looked up.
    groups = os.getgrouplist(account.name, account.gid)

    def become() -> None:
        if join_group:
            join_group()
        go_first(SERVER)
        if own_places:
            see_own(own_places)
        os.setgroups(groups)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)

    return become
