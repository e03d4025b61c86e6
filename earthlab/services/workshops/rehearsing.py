"""The rehearsal of a workshop: `earthlab rehearse` with its seats, once with each of its notebooks."""

import asyncio
import json
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthlab.errors import BadRequest
from earthlab.hub.configure import tethered
from earthlab.hub.layout import interpreter
from earthlab.services.workshops.desk import Desk
from earthlab.services.workshops.store import Entry, Run
from earthlab.settings import PREFIX

PAGE, FIGURES = "repetition.html", "repetition.json"

_PATIENCE = 120.0
"""Seconds to clear its seats away for a rehearsal that is broken off."""

_READABLE = ("LANG", "LC_ALL", "TZ", "PATH")
_SAID = 4000


@dataclass(frozen=True, slots=True)
class Rehearsing:
    """One rehearsal of a workshop.

    Parameters
    ----------
    desk : Desk
    tell : callable
        Is given how far it is.
    """

    desk: Desk
    tell: Callable[[str], None]

    async def run(self, entry: Entry, run: Run) -> dict[str, Any]:
        """Rehearse; the verdict on each notebook, and the place of its report.

        Raises
        ------
        BadRequest
            Where a rehearsal is refused, with its words.
        """
        self.desk.refuse_disturbance(entry, run.minutes)
        folder = self.desk.rehearsals(entry.slug) / str(run.number)
        notebooks = await asyncio.to_thread(self._gather, entry, folder)
        held = [
            await self._hold(entry, run, path, folder / str(number)) for number, path in enumerate(notebooks.values())
        ]
        rows = [{"notebook": name, **verdict} for name, verdict in zip(notebooks, held, strict=True)]
        return {"go": all(row["go"] for row in rows), "notebooks": rows}

    def _gather(self, entry: Entry, folder: Path) -> dict[str, Path]:
        shutil.rmtree(folder.parent, ignore_errors=True)
        found = {}
        for number, document in enumerate(self.desk.shelf.gather(entry.workshop)):
            path = folder / str(number) / Path(document.lesson.path).name
            path.parent.mkdir(mode=0o700, parents=True)
            path.write_text(document.text, encoding="utf-8")
            found[document.lesson.path] = path
        return found

    async def _hold(self, entry: Entry, run: Run, notebook: Path, report: Path) -> dict[str, Any]:
        self.tell(f"{notebook.name} : {entry.workshop.seats} places · seats")
        command = [
            *tethered(), str(interpreter()), "-P", "-m", "earthlab.cli", "rehearse",
            "--seats", str(entry.workshop.seats), "--notebook", str(notebook), "--minutes", f"{run.minutes:g}",
            "--report", str(report),
        ]  # fmt: skip
        # Without the lab's mark: who measures the lab is no part of it.
        own = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        kept = {name: os.environ[name] for name in _READABLE if name in os.environ}
        async with _started(command, kept | own) as process:
            said = await self._listen(notebook.name, process)
            code = await process.wait()
        if code not in {0, 1} or not (report / FIGURES).is_file():
            raise BadRequest(f"{notebook.name}: {said.strip().splitlines()[-1] if said.strip() else code}")
        return await asyncio.to_thread(read_verdict, report / FIGURES)

    async def _listen(self, name: str, process: Process) -> str:
        said = ""
        assert process.stderr is not None
        async for line in process.stderr:
            words = line.decode(errors="replace").strip()
            said = f"{said}\n{words}"[-_SAID:]
            if words:
                self.tell(f"{name} : {words[:150]}")
        return said


def read_verdict(figures: Path) -> dict[str, Any]:
    """Go or no-go with its reasons, and how far people came, from the figures of a report."""
    said = json.loads(figures.read_text(encoding="utf-8"))
    return {
        "go": bool(said["verdict"]["go"]),
        "reasons": [
            {"holds": bool(row["holds"]), "french": row["french"], "english": row["english"]}
            for row in said["verdict"]["reasons"]
        ],
    }


@asynccontextmanager
async def _started(command: list[str], environment: dict[str, str]) -> AsyncIterator[Process]:
    """A rehearsal, which takes its leave when it is broken off: its seats must go."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await process.communicate()
            except TimeoutError:
                process.kill()
                await process.wait()
