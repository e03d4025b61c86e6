"""The ssh door: who comes in, where they land, how many, for how long, and what the book says of it."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from earthlab.errors import AskLess, EarthlabError, NotAllowed
from earthlab.hub.accounts import norm_user
from earthlab.hub.inside import Inside, read_inside
from earthlab.hub.keeper import HUB_PID
from earthlab.hub.layout import AccountMode, Layout
from earthlab.services.book import Book
from earthlab.services.ssh.files import CLIENT
from earthlab.services.ssh.places import end_all_sessions
from earthlab.services.ssh.servers import Tell
from earthlab.services.ssh.sessions import Session
from earthlab.services.ssh.signin import Refused, Register, SignIn
from earthlab.services.ssh.tunnels import HERE, Tunnel, connect_to_own
from earthlab.settings import SshSettings

KEX = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
)
"""Exchanges of keys, the best first; those that this machine's libraries have are offered."""

CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
"""Fast on every processor of today, and out of reach of prefix truncation (CVE-2023-48795)."""

MACS = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com")
"""Never used beside these ciphers, but a list must be offered."""

SIGNATURES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "rsa-sha2-512", "rsa-sha2-256")

MOST_AT_THE_DOOR = 200
"""Connections that have not signed in yet."""

WINDOW, PACKET = 1 << 22, 1 << 18
"""Bytes that a client may send ahead, and at once."""

_LOGIN_WITHIN = 120
_LOOKS_EVERY = 5.0
_TELLS_EVERY = 60.0

_FULL = "Trop de sessions ouvertes, fermez-en une. · Too many sessions are open, close one."
_OLD = "Arrêtez votre serveur et revenez. · Stop your server and come again."


@dataclass(slots=True)
class Door:
    """What all connections share."""

    layout: Layout
    accounts: AccountMode
    limits: SshSettings
    register: Register
    book: Book
    guests: set["Guest"] = field(default_factory=set)
    busy: Counter[str] = field(default_factory=Counter)
    """Sessions by user."""
    used: set[str] = field(default_factory=set)
    """Users through whose connections something has passed since the hub was told."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    def admit(self, user: str) -> None:
        """Count a session.

        Raises
        ------
        AskLess
            Where there are too many.
        """
        if self.busy[user] >= self.limits.user_sessions or self.busy.total() >= self.limits.sessions:
            raise AskLess(_FULL)
        self.busy[user] += 1

    def keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that outlives the moment."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def watch(self) -> None:
        """End connections whose time or whose server is over, and tell the hub whose servers are used."""
        told = time.monotonic()
        while True:
            await asyncio.sleep(min(_LOOKS_EVERY, self.limits.idle_minutes * 15 or _LOOKS_EVERY))
            for guest in [*self.guests]:
                guest.look()
            if time.monotonic() - told > _TELLS_EVERY:
                told = time.monotonic()
                await self._tell_activity()

    async def _tell_activity(self) -> None:
        while self.used:
            with suppress(EarthlabError):
                # A hub that is away learns it when more has passed.
                await self.register.servers.note_activity(self.used.pop())

    async def close(self) -> None:
        """End all connections and what they have started."""
        for guest in [*self.guests]:
            guest.conn.disconnect(asyncssh.DISC_BY_APPLICATION, "Le labo ferme. · The lab is closing.")
        if left := [guest.conn for guest in self.guests]:
            await asyncio.wait([asyncio.ensure_future(conn.wait_closed()) for conn in left], timeout=2)
        for guest in [*self.guests]:
            guest.conn.abort()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=8)
        await asyncio.to_thread(end_all_sessions, self.layout.lab_id)


class Guest(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.began = self.active = time.monotonic()
        self.place: Inside | None = None
        self.is_in = False
        self.sessions = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Note where from."""
        self.conn = conn
        self.sign_in = SignIn(self.door.register, str(conn.get_extra_info("peername")[0]))
        self.door.guests.add(self)
        if sum(not guest.is_in for guest in self.door.guests) > MOST_AT_THE_DOOR:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
        """Leave the door, and a line in the book where nobody came in."""
        self.door.guests.discard(self)
        # Also those that had been asked for and never began.
        while self.sessions:
            self._release()
        if not self.is_in and self.sign_in.tried:
            self.door.book.write(self.sign_in.line)

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's
        """Nobody comes in without."""
        return True

    def password_auth_supported(self) -> bool:
        """Yes: a token."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Yes."""
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        """Whether it is a token of the user's."""
        try:
            return await self.sign_in.check_token(username, password)
        except Refused as exc:
            self.conn.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, str(exc))
            return False

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is a key of the user's."""
        try:
            return await self.sign_in.check_key(username, key)
        except Refused as exc:
            self.conn.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, str(exc))
            return False

    def auth_completed(self) -> None:
        """From here on it is somebody."""
        if norm_user(self.conn.get_extra_info("username")) != self.sign_in.user:
            raise asyncssh.ProtocolError("another user than the one who was let in")
        self.is_in = True
        self.began = self.active = time.monotonic()
        self.door.keep(self.sign_in.note_success())

    def session_requested(self) -> Any:
        """A session, unless there are too many."""
        self._admit("session")
        channel = self.conn.create_server_channel(encoding=None, window=WINDOW, max_pktsize=PACKET)
        return channel, Session(self)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:  # noqa: ARG002
        """A connection to a port of the user's own, and to no other."""
        self._admit("forward")
        channel = self.conn.create_tcp_channel(encoding=None, window=WINDOW, max_pktsize=PACKET)
        return channel, self._connect(dest_host, dest_port)

    async def _connect(self, host: str, port: int) -> Tunnel:
        try:
            if host.lower() not in HERE:
                raise NotAllowed(f"{host[:100]}: only your own server can be reached, as localhost")
            if self.door.accounts == "shared":
                raise NotAllowed("users of this lab share one account, so that nobody's ports can be told apart")
            inside = await self.land(lambda _: None)
            line = await connect_to_own(port, inside.identity.uid)
        except EarthlabError as exc:
            self.leave(None, {"kind": "forward", "port": port, "why": str(exc)})
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, str(exc)) from exc
        if self not in self.door.guests:
            line.close()
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "the client has gone")
        return Tunnel(line, self.touch, self.leave)

    def _admit(self, kind: str) -> None:
        try:
            self.door.admit(self.sign_in.user)
            self.sessions += 1
        except AskLess as exc:
            self._write({"kind": kind, "why": "too many sessions"})
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, str(exc)) from exc

    @property
    def words(self) -> Mapping[str, str]:
        """What a session's environment says of the connection, ssh(1)."""
        ends = [*self.conn.get_extra_info("peername")[:2], *self.conn.get_extra_info("sockname")[:2]]
        return {"SSH_CONNECTION": " ".join(map(str, ends)), CLIENT: str(self.conn.get_extra_info("client_version", ""))}

    async def land(self, tell: Tell) -> Inside:
        """Where the user's server is, started where it does not run.

        Raises
        ------
        NotAllowed
            Where it does not start.
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        user = self.sign_in.user
        await self.door.register.servers.start(user, tell)
        inside = read_inside(self.door.layout, user)
        if inside is None or inside.environment.get(HUB_PID) != os.environ.get(HUB_PID):
            raise NotAllowed(_OLD)
        self.place = inside
        return inside

    def touch(self) -> None:
        """Something has passed."""
        self.active = time.monotonic()
        self.door.used.add(self.sign_in.user)

    def leave(self, session: Any, line: Mapping[str, Any]) -> None:
        """A session is over."""
        if self.sessions:
            self._release()
        self._write(line)
        if isinstance(session, Session) and session.task:
            self.door.keep(_wait(session.task))

    def _release(self) -> None:
        self.sessions -= 1
        self.door.busy.subtract([self.sign_in.user])
        # Nobody stays in it for ever.
        self.door.busy += Counter()

    def look(self) -> None:
        """End the connection where its time is over, or the server that it led to."""
        now, limits = time.monotonic(), self.door.limits
        if not self.is_in:
            return
        if limits.idle_minutes and now - self.active > limits.idle_minutes * 60:
            self._end("Sans activité depuis trop longtemps. · Nothing has passed for too long.")
        elif limits.longest_hours and now - self.began > limits.longest_hours * 3600:
            self._end("La durée la plus longue est atteinte. · The longest time is reached.")
        elif self.place and read_inside(self.door.layout, self.sign_in.user) != self.place:
            self._end("Votre serveur s’est arrêté. · Your server has ended.")

    def _end(self, why: str) -> None:
        self._write({"kind": "ended", "why": why.partition(" · ")[2]})
        self.conn.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    def _write(self, line: Mapping[str, Any]) -> None:
        sign_in = self.sign_in
        self.door.book.write({"user": sign_in.user, "address": sign_in.address, "by": sign_in.by, **line})


async def _wait(task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.shield(task)


async def open_door(door: Door, key: asyncssh.SSHKey, address: str, port: int) -> asyncssh.SSHAcceptor:
    """Listen.

    Raises
    ------
    OSError
        Where the port is taken.
    """
    return await asyncssh.listen(
        address,
        port,
        server_factory=lambda: Guest(door),
        server_host_keys=[key],
        server_version="EarthLab",
        kex_algs=[name for name in KEX if name.encode() in asyncssh.kex.get_kex_algs()],
        encryption_algs=CIPHERS,
        mac_algs=MACS,
        signature_algs=SIGNATURES,
        compression_algs=["none"],
        encoding=None,
        line_editor=False,
        password_auth=True,
        public_key_auth=True,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        agent_forwarding=False,
        x11_forwarding=False,
        allow_scp=False,
        login_timeout=_LOGIN_WITHIN,
        keepalive_interval=60,
        keepalive_count_max=3,
    )
