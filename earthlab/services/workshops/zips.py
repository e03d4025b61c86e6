"""A participant's zip on its way to their browser, from the process that makes it in their home."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from earthlab.hub.layout import interpreter

ZIP = "earthlab-atelier.zip"
"""Where it is below a participant's server, in a pod."""

_PATIENCE = 600.0
_CHUNK = 256 * 1024


async def start_zip(home: Path, words: Sequence[str], **who: Any) -> Process:
    """A process that writes the zip of a home to its output.

    Parameters
    ----------
    words : sequence of str
        The workshop's folder in the home, its title, and whom to ask afterwards.
    who
        ``user``, ``group`` and ``extra_groups``, where the home is somebody else's.
    """
    return await asyncio.create_subprocess_exec(
        *(str(interpreter()), "-P", "-m", "earthlab.services.workshops.takehome", *words),
        stdin=DEVNULL, stdout=PIPE, stderr=sys.stderr, cwd=home, start_new_session=True,
        env={"LANG": "C.UTF-8", "HOME": str(home)}, **who,
    )  # fmt: skip


async def send_zip(page: RequestHandler, process: Process, name: str) -> None:
    """Send the zip that a process writes."""
    page.set_header("Content-Type", "application/zip")
    page.set_header("Content-Disposition", f'attachment; filename="{name}"')
    await send_output(page, process)


async def send_output(page: RequestHandler, process: Process) -> None:
    """Send what a process writes, as it comes; the process ends with us."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await _pass_on(page, process)
    except StreamClosedError:
        return
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _pass_on(page: RequestHandler, process: Process) -> None:
    assert process.stdout is not None
    while chunk := await process.stdout.read(_CHUNK):
        page.write(chunk)
        await page.flush()
    if await process.wait():
        # Half of it must not look like the whole: the connection breaks.
        raise HTTPError(500, "what was to be sent could not be made")
