"""People who all arrive at once, come back when they are thrown out, and let their kernels say whose they are."""

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
from tornado.httpclient import HTTPClientError
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from earthlab.hub.accounts import Account, resolve_account
from earthlab.hub.layout import resolve_accounts
from earthlab.hub.links import LinkStore, entry_url
from earthlab.hub.processes import Process, send
from earthlab.settings import load_settings
from tests.hub.running_lab import KernelGone, Lab, Person

COPIES = ("el-template", "el-server", "el-nursery", "el-parked", "el-kernel")
HUB = "hub"

THROWN_OUT = (
    AssertionError,
    ConnectionError,
    TimeoutError,
    httpx.HTTPError,
    HTTPClientError,
    StreamClosedError,
    WebSocketClosedError,
)
"""What a page meets whose server, hub or proxy has ended."""

SAY_WHOSE = """
import json, os, urllib.request
from pathlib import Path
asked = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user")
asked.add_header("Authorization", "token " + os.environ["JUPYTERHUB_API_TOKEN"])
print(json.dumps({
    "user": os.environ["JUPYTERHUB_USER"],
    "token": json.load(urllib.request.urlopen(asked))["name"],
    "uid": os.getuid(),
    "folder": os.getcwd(),
    "secret": Path(".secret").read_text(),
    "kind": Path("/proc/self/comm").read_text().strip(),
}))
"""


@dataclass(frozen=True)
class Guest:
    """Who is to arrive, and what only their kernels may read."""

    name: str
    account: Account
    secret: str


@dataclass(frozen=True)
class Arrival:
    """What a kernel said of itself, and what it took to have it."""

    guest: Guest
    told: dict[str, str | int]
    seconds: float
    entries: int
    """How often the person came in: more than once after a server or the hub was killed."""
    cells: int
    """How often the cell was run: more than once after a kernel was killed."""

    @property
    def is_their_own(self) -> bool:
        account = self.guest.account
        whose = {"user": self.guest.name, "token": self.guest.name, "uid": account.uid, "folder": str(account.home)}
        return self.told == whose | {"secret": self.guest.secret, "kind": self.told["kind"]}


def invite(lab: Lab, names: Sequence[str]) -> list[Guest]:
    """People with accounts, and a secret in the home of each."""
    settings = load_settings({"lab.state": lab.state}, environ=lab.environment, files=())
    return [_invite(lab, name, resolve_account(name, lab.layout, resolve_accounts(settings))) for name in names]


def _invite(lab: Lab, name: str, account: Account) -> Guest:
    file = account.home / ".secret"
    secret = secrets.token_hex(16)
    file.write_text(secret)
    file.chmod(0o600)
    os.chown(file, account.uid, account.gid)
    return Guest(name, account, secret)


@contextlib.asynccontextmanager
async def browsers(lab: Lab, count: int) -> AsyncIterator[list[Person]]:
    async with contextlib.AsyncExitStack() as stack:
        clients = [httpx.AsyncClient(follow_redirects=True, timeout=120) for _ in range(count)]
        yield [Person(lab, await stack.enter_async_context(client)) for client in clients]


async def arrive(person: Person, guest: Guest, *, patience: float = 240.0) -> Arrival:
    """Come in, start a kernel and run a cell; whoever is thrown out comes back a moment later."""
    began, entries, cells = time.monotonic(), 0, Counter[str]()
    while True:
        entries += 1
        try:
            await person.come_in(open_door(person, guest))
            told = await _ask(person, await person.start_kernel(), cells)
            return Arrival(guest, told, time.monotonic() - began, entries, cells.total())
        except THROWN_OUT:
            if time.monotonic() - began > patience:
                raise
        await asyncio.sleep(1)


def open_door(person: Person, guest: Guest) -> str:
    """The address by which somebody comes in, for the first time or again."""
    if person.name:
        return f"{person.lab.url}/hub/spawn/{guest.name}"
    return entry_url(person.lab.url, LinkStore(person.lab.layout.links).create(guest.name))


async def _ask(person: Person, kernel: str, cells: Counter[str]) -> dict[str, str | int]:
    while True:
        cells[kernel] += 1
        try:
            return json.loads(await person.run(kernel, SAY_WHOSE))
        except KernelGone:
            # The page says that it restarts: its user runs the cell again.
            await asyncio.sleep(0.5)


def copies(lab: Lab, name: str) -> list[Process]:
    return [process for process in lab.left() if process.command == name]


async def kill_meanwhile(
    lab: Lab, arriving: Sequence[asyncio.Task[Arrival]], kinds: Sequence[str], *, times: int = 1, every: float = 0.0
) -> Counter[str]:
    """Kill so many processes of each kind, as they come up, while people arrive; how many of each were."""
    killed: Counter[str] = Counter()
    next_at = dict.fromkeys(kinds, 0.0)
    while not all(task.done() for task in arriving):
        for kind in kinds:
            if killed[kind] < times and next_at[kind] <= time.monotonic() and await asyncio.to_thread(_kill, lab, kind):
                killed[kind] += 1
                next_at[kind] = time.monotonic() + every
        await asyncio.sleep(0.1)
    return killed


def _kill(lab: Lab, kind: str) -> bool:
    # Not before the first server: a hub that nobody has come to yet is no burst's.
    found = copies(lab, "el-server" if kind == HUB else kind)
    if found and kind == HUB:
        os.kill(lab.hub_pid(), signal.SIGKILL)
    elif found:
        send(random.choice(found), signal.SIGKILL)
    return bool(found)
