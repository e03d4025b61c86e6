"""``python -m earthlab.services.workshops.trial``: runs a workshop's notebooks once, as whoever runs this, and tells.

It reads what to do as JSON from its input and writes what comes of it to its output, one JSON object a line. It runs
as an ordinary user of the lab, in that user's home, and starts kernels as the user's own server does.
"""

import asyncio
import json
import os
import secrets
import socket
import sys
import traceback
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir

from earthlab.hub.handout import deliver_handout, read_handout
from earthlab.hub.server import kernels_folder

CUBES = "cubes"
"""The name under which the cubes are told that the workshop itself names."""

_START_SECONDS = 120.0
_ALL_PARTS = 10_000
_RECORD = ".echauffement.jsonl"
_CHUNK = 1 << 16
_RECORDING = "from earthlab.services.workshops.recorder import record\n__recorder = record({file!r})\ndel record"
_KEEPING = "__recorder.keep()"
_NAMED = "from earthlab.services.workshops.recorder import open_named\nopen_named({cube!r})"


@dataclass(frozen=True, slots=True)
class Cell:
    """A code cell to run; one that ``may_fail`` is a lesson about an error."""

    id: str
    code: str
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """The cells of one notebook, in the folder where its participants have it."""

    name: str
    kernel: str
    folder: Path
    cells: tuple[Cell, ...]


@dataclass(slots=True)
class Trial:
    """One run of everything.

    Parameters
    ----------
    out : file
        Where lines are told.
    seconds : float
        For each cell.
    keep : bool
        Whether cubes that are read over the network are built as shared ones, for those who come after.
    """

    out: TextIO
    seconds: float
    keep: bool
    _record: Path = field(default_factory=lambda: Path.home() / _RECORD)
    _read: int = 0

    async def run(self, scripts: Sequence[Script]) -> None:
        """Run one after the other; a cell that fails ends its notebook, as it would stop a class."""
        self._record.unlink(missing_ok=True)
        of, number = sum(len(script.cells) for script in scripts), 0
        for script in scripts:
            async with _kernel(script) as (manager, client):
                await _execute(manager, client, _RECORDING.format(file=str(self._record)), self.seconds, silent=True)
                for cell in script.cells:
                    number += 1
                    self._tell("begin", notebook=script.name, cell=cell.id, number=number, of=of)
                    error, words = await _execute(manager, client, cell.code, self.seconds)
                    took = self._pass_on(script.name, cell.id)
                    fatal = bool(error) and not cell.may_fail
                    self._tell("cell", notebook=script.name, cell=cell.id, error=error if fatal else "",
                               words=words if fatal else "", **took)  # fmt: skip
                    if fatal:
                        break
                else:
                    await self._keep_cubes(manager, client, script)
        self._tell("end")

    async def _keep_cubes(self, manager: AsyncKernelManager, client: AsyncKernelClient, script: Script) -> None:
        if self.keep:
            error, words = await _execute(manager, client, _KEEPING, 4 * self.seconds, silent=True)
            self._pass_on(script.name, "")
            if error:
                self._tell("kept", token="", state="refused", words=f"{error}: {words}")

    def _pass_on(self, notebook: str, cell: str) -> dict[str, Any]:
        """Tell what the recorder has noted since, and give what it says of the cell itself."""
        took: dict[str, Any] = {"seconds": 0.0, "memory": 0}
        for line in self._new_lines():
            said = json.loads(line)
            if said.pop("kind") == "cell":
                took = said
            else:
                self._tell(json.loads(line)["kind"], notebook=notebook, cell=cell, **said)
        return took

    def _new_lines(self) -> Iterator[str]:
        if not self._record.exists():
            return
        with self._record.open(encoding="utf-8") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text.encode())
        yield from text.splitlines()

    def _tell(self, kind: str, **words: Any) -> None:
        self.out.write(json.dumps({"kind": kind, **words}, ensure_ascii=False) + "\n")
        self.out.flush()


@asynccontextmanager
async def _kernel(script: Script) -> AsyncIterator[tuple[AsyncKernelManager, AsyncKernelClient]]:
    # Its sockets lie beside this file: the kernel and we are in different folders.
    file = Path(jupyter_runtime_dir()) / f"el-{os.getpid()}-{secrets.token_hex(3)}.json"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    manager = AsyncKernelManager(kernel_name=script.kernel, transport="ipc", connection_file=str(file))
    await manager.start_kernel(cwd=str(script.folder))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=_START_SECONDS)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def _execute(
    manager: AsyncKernelManager, client: AsyncKernelClient, code: str, seconds: float, *, silent: bool = False
) -> tuple[str, str]:
    """Class and first line of the error, or two empty texts."""
    running = asyncio.ensure_future(
        client.execute_interactive(
            code, silent=silent, store_history=not silent, allow_stdin=False, output_hook=lambda _: None
        )
    )
    until = asyncio.get_running_loop().time() + seconds
    while not running.done():
        await asyncio.wait({running}, timeout=1.0)
        if running.done():
            break
        if not await manager.is_alive():
            return await _given_up(running, "KernelDied", "the kernel ended; a machine ends it where memory ends")
        if asyncio.get_running_loop().time() > until:
            return await _given_up(running, "TimeoutError", f"more than {seconds:.0f} s")
    content = (await running)["content"]
    if content["status"] == "ok":
        return "", ""
    first = next(iter(str(content.get("evalue", "")).splitlines()), "")
    return str(content.get("ename") or "Error"), first[:300]


async def _given_up(running: "asyncio.Future[Any]", error: str, words: str) -> tuple[str, str]:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return error, words


def plan_scripts(home: Path, environ: Mapping[str, str], cubes: Sequence[str]) -> list[Script]:
    """The notebooks of this seat's workshop, brought as to a participant, and before them the cubes that it names."""
    scripts = []
    if cubes:
        cells = tuple(Cell(cube, _NAMED.format(cube=cube)) for cube in cubes)
        scripts.append(Script(CUBES, "earthlab", home, cells))
    handout = read_handout(environ)
    assert handout is not None
    deliver_handout(handout, home, unlocked=_ALL_PARTS)
    scripts += [_read_script(home / handout.slug / path, path) for path in handout.notebooks]
    return scripts


def _read_script(file: Path, name: str) -> Script:
    found = json.loads(file.read_text(encoding="utf-8"))
    kernel = found.get("metadata", {}).get("kernelspec", {}).get("name", "earthlab")
    return Script(name, str(kernel), file.parent, tuple(_code_cells(found["cells"])))


def _code_cells(cells: Sequence[Mapping[str, Any]]) -> Iterator[Cell]:
    for cell in cells:
        code = "".join(cell.get("source", ""))
        if cell["cell_type"] == "code" and code.strip():
            yield Cell(str(cell["id"]), code, "raises-exception" in cell.get("metadata", {}).get("tags", ()))


async def pass_on_to_lab(listener: socket.socket, line: str) -> asyncio.Server:
    """Where the network is cut off: hand what comes to the lab's address here on to the lab, by a socket in a folder.

    Parameters
    ----------
    listener : socket.socket
        Listens at the lab's own address, which nothing answers here.
    line : str
        The path of a Unix socket at whose other end the lab is.
    """

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(line)
        await exchange((reader, writer), (there, back))

    return await asyncio.start_server(carry, sock=listener)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def exchange(here: Ends, there: Ends) -> None:
    """Carry bytes both ways until both sides have ended."""
    await asyncio.gather(_carry(here[0], there[1]), _carry(there[0], here[1]))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A side that goes away takes nothing more: the other is told by the end.
    with suppress(ConnectionError):
        while piece := await reader.read(_CHUNK):
            writer.write(piece)
            await writer.drain()
    with suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def _main(job: Mapping[str, Any], out: TextIO) -> None:
    os.environ["JUPYTER_PATH"] = str(kernels_folder())
    trial = Trial(out, float(job["seconds"]), bool(job["keep"]))
    if "line" in job:
        await pass_on_to_lab(socket.socket(fileno=int(job["listener"])), str(job["line"]))
    await trial.run(plan_scripts(Path.home(), os.environ, job["cubes"]))


def main() -> int:
    """Do what the input says; 1 where the trial itself broke, which the last line tells."""
    job = json.load(sys.stdin)
    # What kernels print goes elsewhere than our lines.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        asyncio.run(_main(job, out))
    except Exception as exc:  # noqa: BLE001 - whatever it is, the organiser is told
        words = traceback.format_exception_only(exc)[-1].strip()[:300]
        out.write(json.dumps({"kind": "broken", "words": words}) + "\n")
        out.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
