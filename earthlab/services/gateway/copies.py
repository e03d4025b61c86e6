"""Processes of a cluster as copies of the lab's template, with the face of those that asyncio starts."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from earthlab.kernel.forks import ForkedProcess, NoFork, ask_patiently, until_ended
from earthlab.kernel.identity import Identity
from earthlab.services.gateway.processes import Place


class Copy:
    """A copy that runs until it is told to stop, and ends with this object at the latest."""

    def __init__(self, forked: ForkedProcess) -> None:
        self.pid = forked.pid
        self.returncode: int | None = None
        self._forked = forked
        self._end = asyncio.ensure_future(self._note_end())

    async def wait(self) -> int:
        """The exit code (minus the signal, where one ended it), once it has ended."""
        return await asyncio.shield(self._end)

    def terminate(self) -> None:
        """Ask it to end; nobody where it has ended."""
        self._forked.terminate()

    def kill(self) -> None:
        """End it; nobody where it has ended."""
        self._forked.kill()

    async def _note_end(self) -> int:
        await until_ended(self._forked)
        # In a thread: its template has a second to say how.
        self.returncode = await asyncio.to_thread(self._forked.wait)
        self._forked.close()
        return self.returncode


async def fork_process(template: Path, life: str, arguments: Sequence[str], place: Place) -> Copy:
    """A copy in a session of its own that does not outlive this process.

    Parameters
    ----------
    template : Path
        The socket of the lab's template.
    life : str
        What the copy is to be, by the template's name for it.
    arguments : sequence of str
        Those of the command line, without the program.
    place : Place

    Raises
    ------
    NoFork
        Where the template refuses or is not there.
    """
    content = {
        "environment": dict(place.env),
        "folder": str(place.folder),
        "owner": os.getpid(),
        "arguments": list(arguments),
    }
    try:
        with place.log.open("xb") as output:
            return Copy(await ask_patiently(template, life, _identity(place), content, streams=(output.fileno(),)))
    except NoFork:
        place.log.unlink()
        raise


def _identity(place: Place) -> Identity:
    account, places = place.account, place.group.places if place.group else ()
    groups = os.getgroups() if account.uid == os.getuid() else os.getgrouplist(account.name, account.gid)
    private = dict(place.private)
    return Identity(account.uid, account.gid, tuple(groups), cgroups=places, umask=0o077, private=private)
