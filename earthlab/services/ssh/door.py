"""The ssh door: who comes in, where they land, how many, for how long, and what the book says of it."""

import asyncio
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import asyncssh

from earthlab.errors import AskLess, CatalogueUnavailable, EarthlabError, NotAllowed
from earthlab.hub.accounts import norm_user
from earthlab.services.book import Book
from earthlab.services.ssh.connections import Connection, Patience, resolve_source
from earthlab.services.ssh.files import CLIENT
from earthlab.services.ssh.landings import Ground, Landing
from earthlab.services.ssh.listeners import HERE
from earthlab.services.ssh.places import MARK
from earthlab.services.ssh.servers import Tell
from earthlab.services.ssh.sessions import Session
from earthlab.services.ssh.signin import Refused, Register, SignIn
from earthlab.services.ssh.tunnels import Tunnel
from earthlab.settings import SshSettings

SAFEST_KEX = ("mlkem768x25519-sha256", "sntrup761x25519-sha512@openssh.com")
"""Exchanges of keys that a quantum computer would not break, of OpenSSH 9.9 and 8.5."""

KEX = (*SAFEST_KEX, "curve25519-sha256", "curve25519-sha256@libssh.org")
"""Exchanges of keys, the best first; those that this machine's libraries have are offered."""

CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com")
"""Fast on every processor of today, and out of reach of prefix truncation (CVE-2023-48795)."""

MACS = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com")
"""Never used beside these ciphers, but a list must be offered."""

SIGNATURES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "rsa-sha2-512", "rsa-sha2-256")

MOST_AT_THE_DOOR, MOST_OF_ONE = 200, 150
"""Connections that have not signed in yet, in all and from one source, behind which a whole class may be."""

Kind = Literal["session", "forward"]

_LOGIN_WITHIN = 120
_LOOKS_EVERY = 2.0
_ASKS_EVERY = 15
"""Looks, of which one asks the hub."""
_TELLS_EVERY = 60.0

_FULL = "Trop de sessions ouvertes, fermez-en une. · Too many sessions are open, close one."
_GONE = "Votre clé ou votre jeton ne vaut plus. · Your key or token is no longer valid."


@dataclass(slots=True)
class Door:
    """What all connections share."""

    ground: Ground
    limits: SshSettings
    register: Register
    book: Book
    guests: set["Guest"] = field(default_factory=set)
    busy: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    """Sessions and forwarded connections by user."""
    used: set[str] = field(default_factory=set)
    """Users through whose connections something has passed since the hub was told."""
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    patience: Patience = field(default_factory=Patience)

    def admit(self, kind: Kind, user: str) -> None:
        """Count a session or a forwarded connection.

        Raises
        ------
        AskLess
            Where there are too many.
        """
        own, all_together = (
            (self.limits.user_sessions, self.limits.sessions)
            if kind == "session"
            else (self.limits.user_forwards, self.limits.forwards)
        )
        together = sum(count for (each, _), count in self.busy.items() if each == kind)
        if self.busy[kind, user] >= own or together >= all_together:
            raise AskLess(_FULL)
        self.busy[kind, user] += 1

    def release(self, kind: Kind, user: str) -> None:
        """Count one less."""
        self.busy.subtract([(kind, user)])
        # Nobody stays in it for ever.
        self.busy += Counter()

    def has_room(self, source: str) -> bool:
        """Whether one more may begin to sign in."""
        waiting = [guest.source for guest in self.guests if not guest.is_in]
        return len(waiting) < MOST_AT_THE_DOOR and waiting.count(source) < MOST_OF_ONE

    def keep(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that outlives the moment."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def watch(self) -> None:
        """End connections whose time, right or server is over, and tell the hub whose servers are used."""
        await asyncio.gather(self._look_again(), self._check_again(), self._tell_again())

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(_LOOKS_EVERY)
            for guest in [*self.guests]:
                guest.look()

    async def _check_again(self) -> None:
        for look in count(1):
            await asyncio.sleep(_LOOKS_EVERY)
            await self.check_guests(ask=look % _ASKS_EVERY == 0)

    async def _tell_again(self) -> None:
        while True:
            await asyncio.sleep(_TELLS_EVERY)
            await self.tell_activity()

    async def check_guests(self, *, ask: bool) -> None:
        """End connections whose key was removed and, where the hub is asked, whose token or user has gone."""
        for guest in [each for each in self.guests if each.is_in]:
            try:
                why = await guest.sign_in.find_doubt(ask=ask)
            except (CatalogueUnavailable, sqlite3.OperationalError):
                # A hub that is away says nothing of anybody: the next look tells.
                return
            if why and guest in self.guests:
                guest.end(_GONE, why)

    async def tell_activity(self) -> None:
        """Tell the hub who is active; where it is away, later."""
        with suppress(CatalogueUnavailable):
            for user in [*self.used]:
                await self.register.servers.note_activity(user)
                self.used.discard(user)

    async def close(self) -> None:
        """End all connections and what they have started."""
        for guest in [*self.guests]:
            guest.conn.show_out("Le labo ferme. · The lab is closing.")
        if left := [guest.conn for guest in self.guests]:
            await asyncio.wait([asyncio.ensure_future(conn.wait_closed()) for conn in left], timeout=2)
        for guest in [*self.guests]:
            guest.conn.abort()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=8)
        await asyncio.to_thread(self.ground.sweep)


class Guest(asyncssh.SSHServer):
    """One connection."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.began = self.active = time.monotonic()
        self.landing: Landing | None = None
        self._landing = asyncio.Lock()
        self.is_in = False
        self.mark = secrets.token_hex(16)
        """By which its processes are known."""
        self.begun: set[Session] = set()
        """Sessions whose program runs, also those that the client has left."""
        self.held: Counter[Kind] = Counter()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Note where from."""
        assert isinstance(conn, Connection)
        self.conn = conn
        address = str(conn.get_extra_info("peername")[0])
        self.sign_in = SignIn(self.door.register, address, lambda words: conn.send_auth_banner(f"{words}\r\n"))
        self.source = resolve_source(self.sign_in.address)
        if not self.door.has_room(self.source):
            conn.abort()
        self.door.guests.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's
        """Leave the door with all that was started, and a line in the book where nobody came in."""
        self.door.guests.discard(self)
        for kind in self.held.elements():
            # Also those that had been asked for and never began.
            self.door.release(kind, self.sign_in.user)
        self.held.clear()
        if not self.is_in:
            self.door.patience.count(self.source)
            if self.sign_in.tried:
                self.door.book.write(self.sign_in.line)
        elif self.landing:
            self.door.keep(self._leave(self.landing))

    async def _leave(self, landing: Landing) -> None:
        """End whatever runs of this connection, then wait until all of it was noted."""
        await landing.leave()
        if tasks := [session.task for session in self.begun if session.task]:
            await asyncio.wait(tasks)

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
        self._write({"kind": "arrival"})
        self.door.keep(self.sign_in.note_success())

    def session_requested(self) -> Any:
        """A session, unless there are too many."""
        self._admit("session")
        return self.conn.create_server_channel(), Session(self)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:  # noqa: ARG002
        """A connection to a port of the user's own, and to no other."""
        self._admit("forward")
        return self.conn.create_tcp_channel(), self._connect(dest_host, dest_port)

    async def _connect(self, host: str, port: int) -> Tunnel:
        try:
            if host.lower() not in HERE:
                raise NotAllowed(f"{host[:100]}: only your own server can be reached, as localhost")
            landing = await self.land(lambda _: None)
            line = await landing.connect(port)
        except EarthlabError as exc:
            self.leave({"kind": "forward", "port": port, "why": str(exc)})
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, str(exc)) from exc
        if self not in self.door.guests:
            line.close()
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "the client has gone")
        return Tunnel(line, port, self.touch, self.leave)

    def _admit(self, kind: Kind) -> None:
        try:
            self.door.admit(kind, self.sign_in.user)
            self.held[kind] += 1
        except AskLess as exc:
            self._write({"kind": kind, "why": "too many sessions"})
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, str(exc)) from exc

    @property
    def words(self) -> Mapping[str, str]:
        """What a session's environment says of the connection, ssh(1)."""
        ends = [*self.conn.get_extra_info("peername")[:2], *self.conn.get_extra_info("sockname")[:2]]
        return {
            "SSH_CONNECTION": " ".join(map(str, ends)),
            CLIENT: str(self.conn.get_extra_info("client_version", "")),
            MARK: self.mark,
        }

    async def land(self, tell: Tell) -> Landing:
        """Where the user's server is, started where it does not run.

        Raises
        ------
        NotAllowed
            Where it does not start.
        CatalogueUnavailable
            Where the hub cannot be asked.
        """
        async with self._landing:
            if self.landing is None or not self.landing.stands():
                await self.door.register.servers.start(self.sign_in.user, tell)
                self.landing = await self.door.ground.reach(self.sign_in.user, self.mark)
                if self not in self.door.guests:
                    await self.landing.leave()
            return self.landing

    def touch(self) -> None:
        """Something has passed."""
        self.active = time.monotonic()
        self.door.used.add(self.sign_in.user)

    def leave(self, line: Mapping[str, Any]) -> None:
        """A session or a forwarded connection is over."""
        kind: Kind = "forward" if line["kind"] == "forward" else "session"
        if self.held[kind]:
            self.held[kind] -= 1
            self.door.release(kind, self.sign_in.user)
        self._write(line)

    def look(self) -> None:
        """End the connection where its time is over, or the server that it led to."""
        now, limits = time.monotonic(), self.door.limits
        if not self.is_in:
            return
        if limits.idle_minutes and now - self.active > limits.idle_minutes * 60:
            self.end("Sans activité depuis trop longtemps. · Nothing has passed for too long.")
        elif limits.longest_hours and now - self.began > limits.longest_hours * 3600:
            self.end("La durée la plus longue est atteinte. · The longest time is reached.")
        elif self.landing and not self.landing.stands():
            self.end("Votre serveur s’est arrêté. · Your server has ended.")

    def end(self, words: str, why: str = "") -> None:
        """End the connection, and say why: the client by words in two languages, the book more precisely."""
        self._write({"kind": "ended", "why": why or words.partition(" · ")[2]})
        self.conn.show_out(words)

    def _write(self, line: Mapping[str, Any]) -> None:
        sign_in = self.sign_in
        self.door.book.write({"user": sign_in.user, "address": sign_in.address, "by": sign_in.by, **line})


async def open_door(door: Door, key: asyncssh.SSHKey, address: str, port: int) -> asyncio.Server:
    """Listen.

    Raises
    ------
    OSError
        Where the port is taken.
    """
    loop = asyncio.get_running_loop()
    options = plan_options(door, key)
    return await loop.create_server(lambda: Connection(loop, options, door.patience), address or None, port)


def plan_options(door: Door, key: asyncssh.SSHKey) -> asyncssh.SSHServerConnectionOptions:
    """What the door speaks, and what it does not."""
    kex = SAFEST_KEX if door.limits.post_quantum else KEX
    return asyncssh.SSHServerConnectionOptions(
        server_factory=lambda: Guest(door),
        server_host_keys=[key],
        server_version="EarthLab",
        kex_algs=[name for name in kex if name.encode() in asyncssh.kex.get_kex_algs()],
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
