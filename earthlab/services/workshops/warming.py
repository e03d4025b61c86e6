"""The warm-up of a workshop: its notebooks run once beforehand by an ordinary user, the seat that nobody is given.

That user signs in and starts a server as everybody does, so that account, memory and token are those of a seat. The
notebooks run inside that server's place, twice: once as in the class, and once with the outside network cut off.
"""

import asyncio
import json
import os
import secrets
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from earthlab.errors import BadRequest, CatalogueUnavailable, EarthlabError
from earthlab.hub.accounts import remove_account
from earthlab.hub.handout import WARMED
from earthlab.hub.inside import Inside, forget_inside, read_inside
from earthlab.hub.layout import MARKER, interpreter, local_url, resolve_accounts
from earthlab.hub.links import ENTRY, LinkStore
from earthlab.hub.passes import seat_user
from earthlab.kernel import wire
from earthlab.kernel.provisioner import NURSERY
from earthlab.services.gateway.processes import kill_marked
from earthlab.services.workshops.cutting import CANNOT, LISTENER
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.hub import HubClient
from earthlab.services.workshops.material import write_material
from earthlab.services.workshops.store import Entry
from earthlab.services.workshops.trial import exchange
from earthlab.services.workshops.warmth import Warmth, compile_warmth, prove

MARK = "EARTHLAB_TRIAL"
"""Variable that tells the processes of one trial from all others."""

LONGEST = 3600.0
"""Seconds for all cells of one run of the notebooks; a class waits for less."""

CELL_SECONDS = 600.0

_SEAT_SECONDS = 900.0
"""Seconds to wait for a place in the lab and a server in it."""

_READABLE = ("LANG", "LC_ALL", "TZ", "PATH", MARKER)
_LINE = 1 << 20

Tell = Callable[[str], None]
"""Is given how far a run is, in a few words, French and English."""


@dataclass(frozen=True, slots=True)
class Warming:
    """One warm-up.

    Parameters
    ----------
    desk : Desk
        With a connection to the book that belongs to this loop.
    hub : HubClient
        Removes the user afterwards.
    tell : callable
    """

    desk: Desk
    hub: HubClient
    tell: Tell
    seconds: float = CELL_SECONDS

    async def run(self, entry: Entry) -> Warmth:
        """Run everything and take the user away again, whatever happens.

        Raises
        ------
        BadRequest
            For notebooks that are not there, and where no server can be had.
        """
        self.tell("Les carnets sont rassemblés · Gathering the notebooks")
        await asyncio.to_thread(self._lay_out, entry)
        user = seat_user(entry.slug, 0)
        await self.clear(user)
        try:
            async with self._seated(entry.slug) as inside:
                lines = await self.try_notebooks(inside, entry, {"keep": True})
                warmth = compile_warmth(lines)
                if warmth.failures or warmth.broken:
                    return warmth
                self.tell("Encore une fois, réseau coupé · Once more, with the network cut off")
                return prove(warmth, await self.try_alone(inside, entry, warmth))
        finally:
            self.tell("Rangement · Tidying up")
            await asyncio.shield(self.clear(user))

    async def clear(self, user: str) -> None:
        """Take the user of warm-ups away, with its server, account and home."""
        await self.hub.remove_user(user)
        mode = resolve_accounts(self.desk.settings)
        await asyncio.to_thread(remove_account, user, self.desk.layout, mode, patience=10.0)

    def _lay_out(self, entry: Entry) -> None:
        self.desk.note_share(entry.workshop)
        folder = self.desk.material(entry.slug)
        # Of an open workshop it lies there already, and servers read it.
        if entry.stage == "draft" or not folder.is_dir():
            write_material(folder, entry.workshop, self.desk.shelf.gather(entry.workshop))

    @asynccontextmanager
    async def _seated(self, slug: str) -> AsyncIterator[Inside]:
        """The user's server, started as people start theirs: with a link, and a place in the queue."""
        self.tell("Une place est demandée · Asking for a place")
        user = seat_user(slug, 0)
        forget_inside(self.desk.layout, user)
        origin = f"{local_url(self.desk.settings.lab)}/hub"
        jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=60)) as browser:
            code = LinkStore(self.desk.layout.links).create_trial(slug)
            await _visit(browser, f"{origin}/{ENTRY}?token={code}")
            await _visit(browser, f"{origin}/spawn")
            try:
                async with asyncio.timeout(_SEAT_SECONDS):
                    while (inside := read_inside(self.desk.layout, user)) is None:
                        # The page on which people wait: it says so where the start has failed.
                        await _visit(browser, f"{origin}/spawn-pending/{quote(user)}")
                        await asyncio.sleep(0.5)
            except TimeoutError as exc:
                raise BadRequest(
                    f"aucune place en {_SEAT_SECONDS / 60:.0f} min : le labo est plein, réessayez plus tard. · "
                    f"no place within {_SEAT_SECONDS / 60:.0f} min: the lab is full, try again later."
                ) from exc
        yield inside

    async def try_alone(self, inside: Inside, entry: Entry, warmth: Warmth) -> list[dict[str, Any]] | None:
        """The lines of a run without the outside network; ``None`` where this machine does not let us cut it off."""
        if os.getuid() != 0:
            return None
        here = f"http://127.0.0.1:{self.desk.settings.lab.port}"
        origin = local_url(self.desk.settings.lab)
        environment = {name: value.replace(origin, here) for name, value in inside.environment.items()}
        # Workers and forked kernels would have the network of those who start them.
        for name in ("EARTHLAB__COMPUTE__GATEWAY", NURSERY):
            environment.pop(name, None)
        environment[WARMED] = ",".join(warmth.warmed)
        alone = Inside(inside.identity, environment, inside.home)
        async with self._line(inside.identity.uid) as line:
            job = {"keep": False, "line": str(line), "listener": LISTENER}
            try:
                return await self.try_notebooks(alone, entry, job, cut=True)
            except _CannotCut:
                return None

    @asynccontextmanager
    async def _line(self, uid: int) -> AsyncIterator[Path]:
        """A socket in a folder, for one account, at whose other end the lab is."""
        lab = urlsplit(local_url(self.desk.settings.lab))
        path = self.desk.layout.run / f"line-{secrets.token_hex(4)}"

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there = await asyncio.open_connection(lab.hostname, lab.port)
            await exchange((reader, writer), there)

        server = await asyncio.start_unix_server(carry, path=str(path))
        try:
            path.chmod(0o600)
            os.chown(path, uid, -1)
            yield path
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def try_notebooks(
        self, inside: Inside, entry: Entry, job: Mapping[str, Any], *, cut: bool = False
    ) -> list[dict[str, Any]]:
        """The lines of one run of everything, in a user's place.

        Parameters
        ----------
        job : mapping
            What `earthlab.services.workshops.trial` is told beside the usual.
        cut : bool
            Whether the outside network is cut off.
        """
        asked = {"seconds": self.seconds, "cubes": list(entry.workshop.cubes), **job}
        lines: list[dict[str, Any]] = []
        async with self._start(inside, cut=cut) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            with suppress(ConnectionError):
                process.stdin.write(json.dumps(asked).encode())
                await process.stdin.drain()
            process.stdin.close()
            try:
                async with asyncio.timeout(LONGEST):
                    async for line in process.stdout:
                        said = json.loads(line)
                        if said["kind"] == "begin":
                            self._tell_cell(said, cut=cut)
                        lines.append(said)
                    code = await process.wait()
            except TimeoutError:
                lines.append({"kind": "broken", "words": f"> {LONGEST:.0f} s"})
                return lines
        if cut and code == CANNOT:
            raise _CannotCut
        if code and not any(said["kind"] == "broken" for said in lines):
            lines.append({"kind": "broken", "words": f"({code})"})
        return lines

    def _tell_cell(self, said: Mapping[str, Any], *, cut: bool) -> None:
        more = ", réseau coupé · network cut off" if cut else ""
        self.tell(f"{said['number']} / {said['of']} : {said['notebook']} [{said['cell']}]{more}")

    @asynccontextmanager
    async def _start(self, inside: Inside, *, cut: bool) -> AsyncIterator[Process]:
        """The trial as the user, in the user's place, ended with all that it has started."""
        mark = secrets.token_hex(16)
        python = [str(interpreter()), "-P", "-m"]
        letter = wire.seal(
            {
                "identity": inside.identity.to_dict(),
                "home": inside.home,
                "environment": {**inside.environment, MARK: mark},
                "command": [*python, "earthlab.services.workshops.trial"],
                "terminal": False,
                "parent": os.getpid(),
            }
        )
        way = ["earthlab.services.workshops.cutting", str(letter), str(self.desk.settings.lab.port)]
        if not cut:
            way = ["earthlab.services.ssh.entering", str(letter)]
        try:
            process = await asyncio.create_subprocess_exec(
                *python, *way, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, pass_fds=(letter,), cwd="/", limit=_LINE,
                env={name: os.environ[name] for name in _READABLE if name in os.environ} | {MARK: mark},
            )  # fmt: skip
        finally:
            os.close(letter)
        try:
            yield process
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await asyncio.to_thread(kill_marked, f"{MARK}={mark}")


async def _visit(browser: aiohttp.ClientSession, url: str) -> None:
    try:
        async with browser.get(url, allow_redirects=False) as answer:
            await answer.read()
    except aiohttp.ClientError as exc:
        raise CatalogueUnavailable(f"le hub ne répond pas · the hub does not answer ({type(exc).__name__})") from exc
    if answer.status >= 400:
        page = url.partition("?")[0].rpartition("/hub/")[2]
        raise BadRequest(
            f"le hub ne donne pas de serveur (/hub/{page} : {answer.status}), voyez son journal. · "
            f"the hub gives no server (/hub/{page}: {answer.status}), see its log."
        )


class _CannotCut(EarthlabError):
    pass
