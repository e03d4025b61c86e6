"""``make bench-kernels``: kernels and servers of ours beside stock Jupyter's, in turn, on this machine.

Stock is the kernel ``python3`` of ipykernel, started as `jupyter_client` does, and the servers of a stock JupyterHub,
see `hubs`. A kernel's time runs from `AsyncKernelManager.start_kernel` to the reply to its first cell, which imports
the library and searches the embedded catalogue, served in a process of its own. Memory is PSS: what is shared counts to
each in equal parts. Figures go to ``bench/kernels.json``.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import httpx
from hubs import our_lab, scratch, stock_hub
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_events import EventLogger

from earthlab.hub.parts import classify_all, read_memory, read_processor
from earthlab.hub.processes import find_lab_processes
from earthlab.hub.server import kernels_folder
from earthlab.hub.template import LIVES
from earthlab.kernel.forks import ForkedProcess, ask_for_fork
from earthlab.kernel.identity import own_identity
from earthlab.kernel.provisioner import NURSERY
from earthlab.kernel.specs import LabKernelSpecs
from earthlab.kernel.starting import LabKernelManager
from earthlab.rehearsal.behaviour import seat_name
from earthlab.rehearsal.running import Place
from earthlab.testing.notebooks import notebook_surroundings

ROOT = Path(__file__).resolve().parents[2]
PARKED, FORKED, STOCK = "parked", "forked", "stock"
FIRST_CELL = 'import earthlab as el\nel.search("simulation-s2-l2a", time="2021", max_cloud=60)'
LIGHT = "import earthlab"
USUAL = """
import earthlab.accessor, earthlab.catalog, earthlab.compute, earthlab.cube, earthlab.samples, earthlab.view
import geopandas, hvplot.pandas, hvplot.xarray, ipyleaflet, matplotlib.pyplot, rioxarray, scipy.stats, xarray, zarr
import dask_gateway, distributed
"""
"""What our kernels have imported, as a notebook would write it."""

BARS = {
    "first cell, parked, p95 (ms)": 50.0,
    "first cell, forked, p95 (ms)": 300.0,
    "first cell, times faster than stock (p50)": 20.0,
    "restart, p95 (ms)": 400.0,
    "idle kernel (MB)": 50.0,
    "idle kernel, times less than stock": 7.0,
    "idle server (MB)": 40.0,
    "idle server, times less than stock": 3.0,
}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=40, help="kernels of ours of either kind")
    asked.add_argument("--stock", type=int, default=10, help="kernels of stock's")
    asked.add_argument("--many", type=int, default=50, help="kernels, and servers, of ours whose memory is read")
    asked.add_argument("--stock-many", type=int, default=50, help="and of stock's")
    asked.add_argument("--out", type=Path, default=ROOT / "bench" / "kernels.json")
    words = asked.parse_args()
    load = os.getloadavg()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="el-")))
        stack.enter_context(notebook_surroundings(folder))
        stack.enter_context(_home(folder))
        runs = asyncio.run(_measure_times(folder, words))
        memory = asyncio.run(_measure_kernels(folder, words))
    servers = {name: _measure_servers(name, words) for name in ("ours", STOCK)}
    figures = {**_tell_times(runs), **_tell_kernels(memory), **_tell_servers(servers)}
    verdict = _judge(figures)
    _print(figures, verdict)
    _write(words, load, figures, verdict, {"times (ms)": runs, "kernels": memory, "servers": servers})
    return 0


# Times


@dataclass
class Book:
    """A kernel and its client."""

    manager: AsyncKernelManager
    client: AsyncKernelClient

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.process.pid)  # type: ignore[union-attr]

    async def run(self, code: str, wanted: str = "") -> str:
        """Run a cell until its reply; the value of an expression after it."""
        expressions = {"wanted": wanted} if wanted else {}
        asked = self.client.execute(code, allow_stdin=False, user_expressions=expressions)
        while True:
            reply = await self.client.get_shell_msg(timeout=300)
            if reply["parent_header"].get("msg_id") == asked:
                break
        content = reply["content"]
        assert content["status"] == "ok", content
        return str(content["user_expressions"]["wanted"]["data"]["text/plain"]) if wanted else ""


@contextlib.asynccontextmanager
async def _book(folder: Path, kind: str, nursery: Path | None = None) -> AsyncIterator[Book]:
    """A kernel, started as Jupyter Server does: ours over sockets in the file system, stock's as it comes, over TCP."""
    ours = {"kernel_spec_manager": LabKernelSpecs(), "transport": "ipc", "event_logger": _server_events()}
    specs: dict[str, Any] = {} if kind == STOCK else ours
    name = "python3" if kind == STOCK else "earthlab"
    kind_of_manager = AsyncKernelManager if kind == STOCK else LabKernelManager
    manager = kind_of_manager(kernel_name=name, **specs)
    manager.connection_file = str(folder / "runtime" / f"k{time.monotonic_ns()}.json")
    with _environment({NURSERY: str(nursery)} if nursery else {}):
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            yield Book(manager, client)
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)


@cache
def _server_events() -> EventLogger:
    """What a server has once for all its kernels; `jupyter_client` alone has none."""
    return cast("EventLogger", LabKernelManager().event_logger)


async def _measure_times(folder: Path, words: argparse.Namespace) -> list[dict[str, Any]]:
    """Rounds of one kernel of each kind after the other, the first of all for warming up."""
    runs: list[dict[str, Any]] = []
    every = max(1, words.rounds // words.stock)
    with _template(folder) as template:
        nurseries = {kind: _fork_nursery(template, folder / kind, int(kind == PARKED)) for kind in (PARKED, FORKED)}
        for number in range(words.rounds + 1):
            for kind in (PARKED, FORKED, STOCK):
                if kind != STOCK or number % every == 0:
                    await _wait_for_parked(folder / PARKED)
                    socket = None if kind == STOCK else folder / kind / "n.sock"
                    runs.append({"kind": kind, "round": number, **await _time_one(folder, kind, socket)})
        for nursery in nurseries.values():
            nursery.close()
    assert len({run.pop("found") for run in runs}) == 1
    return [run for run in runs if run["round"]]


async def _time_one(folder: Path, kind: str, nursery: Path | None) -> dict[str, Any]:
    begun = time.perf_counter()
    async with _book(folder, kind, nursery) as book:
        started = time.perf_counter()
        found = await book.run(FIRST_CELL, "len(_)")
        replied = time.perf_counter()
        processor = read_processor(book.pid)
        if kind == PARKED:
            await _wait_for_parked(folder / PARKED)
        again = time.perf_counter()
        await book.manager.restart_kernel(now=True)
        await book.run("1 + 1")
        restarted = time.perf_counter()
    return {
        "found": found,
        "start": _ms(started - begun),
        "first cell": _ms(replied - begun),
        "processor": _ms(processor),
        "restart": _ms(restarted - again),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


# Memory


async def _measure_kernels(folder: Path, words: argparse.Namespace) -> dict[str, Any]:
    """PSS and private memory of many kernels, idle as they are started, and after a first cell."""
    found: dict[str, Any] = {}
    with _template(folder) as template:
        nurseries = [_fork_nursery(template, folder / f"u{number}", 0) for number in range(words.many)]
        async with contextlib.AsyncExitStack() as stack:
            books = [
                await stack.enter_async_context(_book(folder, FORKED, folder / f"u{number}" / "n.sock"))
                for number in range(words.many)
            ]
            await _run_in_all(books, "")
            found["ours, idle"] = _read(book.pid for book in books)
            await _run_in_all(books, FIRST_CELL)
            found["ours, after the first cell"] = _read(book.pid for book in books)
            found["nurseries"] = _read(nursery.pid for nursery in nurseries)
        for nursery in nurseries:
            nursery.close()
    async with contextlib.AsyncExitStack() as stack:
        books = []
        for _ in range(words.stock_many):
            books.append(await stack.enter_async_context(_book(folder, STOCK)))
            # Its TCP ports were free when they were chosen: another client's connection may take one before it binds.
            await books[-1].run("")
        for name, code in (
            ("stock, bare", ""),
            ("stock, import earthlab", LIGHT),
            ("stock, after the first cell", FIRST_CELL),
            ("stock, the libraries that ours has", USUAL),
        ):
            await _run_in_all(books, code)
            found[name] = _read(book.pid for book in books)
    return found


async def _run_in_all(books: Sequence[Book], code: str) -> None:
    for book in books:
        await book.run(code)
    await asyncio.sleep(1.0)


def _read(pids: Iterator[int]) -> dict[str, float]:
    memories = [memory for pid in pids if (memory := read_memory(pid))]
    return {
        "processes": len(memories),
        "pss (MB)": round(statistics.mean(memory.pss for memory in memories) / 1e6, 1),
        "private (MB)": round(statistics.mean(memory.private for memory in memories) / 1e6, 1),
    }


def _measure_servers(name: str, words: argparse.Namespace) -> dict[str, Any]:
    """The same of the servers of a hub, and the processor time that each has taken until it answered."""
    hub, many = (our_lab, words.many) if name == "ours" else (stock_hub, words.stock_many)
    with scratch(name) as folder, hub(folder) as place:
        asyncio.run(_claim(place, many))
        time.sleep(5)
        processes = {each.pid: each.parent for each in find_lab_processes(place.layout)}
        parts = classify_all(processes)
        found: dict[str, Any] = {
            part: _read(pid for pid in processes if parts[pid] == part)
            for part in ("server", "nursery", "parked")
            if part in parts.values()
        }
        servers = [pid for pid in processes if parts[pid] == "server"]
        assert len(servers) == many, (len(servers), many)
        found["processor of a server (s)"] = round(statistics.mean(map(read_processor, servers)), 3)
        place.clear()
    return found


async def _claim(place: Place, many: int) -> None:
    few = asyncio.Semaphore(4)

    async def come(user: str) -> None:
        async with few, httpx.AsyncClient(base_url=place.origin, follow_redirects=True, timeout=120) as client:
            page = await client.get(place.make_link(user))
            while "spawn-pending" in str(page.url):
                await asyncio.sleep(0.3)
                page = await client.get(page.url)
            assert page.status_code == 200, (page.status_code, str(page.url))

    await asyncio.gather(*(come(seat_name(number)) for number in range(1, many + 1)))


# Templates


@contextlib.contextmanager
def _template(folder: Path) -> Iterator[Path]:
    """The socket of a template, which forks nurseries as the lab's does."""
    socket = folder / "t.sock"
    program = [sys.executable, "-P", "-m", "earthlab.kernel.template", "--socket", str(socket)]
    options = ["--owner", str(os.getpid()), *(f"--life={name}={place}" for name, place in LIVES.items())]
    with subprocess.Popen([*program, *options], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield socket
        finally:
            process.kill()
            socket.unlink()


def _fork_nursery(template: Path, folder: Path, parked: int) -> ForkedProcess:
    folder.mkdir(mode=0o700, exist_ok=True)
    content = {
        "environment": dict(os.environ),
        "folder": str(folder),
        "owner": os.getpid(),
        "socket": str(folder / "n.sock"),
        "parked": parked,
    }
    return _patiently(template, content)


def _patiently(template: Path, content: Mapping[str, Any]) -> ForkedProcess:
    while not template.exists():
        time.sleep(0.05)
    nursery = ask_for_fork(template, "nursery", own_identity(), content, streams=(1, 2), seconds=120)
    while not Path(content["socket"]).exists():
        time.sleep(0.01)
    return nursery


async def _wait_for_parked(folder: Path) -> None:
    """Wait until a kernel is parked, and the machine is quiet again."""
    await asyncio.to_thread(_until_parked, folder)
    await asyncio.sleep(0.5)


def _until_parked(folder: Path) -> None:
    while not list(folder.glob("parked-*-ipc-5")):
        time.sleep(0.05)


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    """A home with nothing in it but the kernel "EarthLab"."""
    (folder / "runtime").mkdir(mode=0o700)
    shutil.copytree(kernels_folder() / "kernels" / "earthlab", folder / "data" / "kernels" / "earthlab")
    data = str(folder / "data")
    names = {"HOME": str(folder), "JUPYTER_PATH": data, "JUPYTER_DATA_DIR": data}
    with _environment(names | {"JUPYTER_RUNTIME_DIR": str(folder / "runtime")}):
        yield


@contextlib.contextmanager
def _environment(names: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(names)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# Figures


def _tell_times(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    told: dict[str, float] = {}
    for kind in (PARKED, FORKED, STOCK):
        for what in ("first cell", "restart", "processor"):
            seen = sorted(run[what] for run in runs if run["kind"] == kind)
            told[f"{what}, {kind}, p50 (ms)"] = round(statistics.median(seen), 1)
            told[f"{what}, {kind}, p95 (ms)"] = seen[min(len(seen) - 1, int(0.95 * len(seen)))]
    for kind in (PARKED, FORKED):
        slow, quick = told[f"first cell, {STOCK}, p50 (ms)"], told[f"first cell, {kind}, p50 (ms)"]
        told[f"first cell, {kind}, times faster than stock (p50)"] = round(slow / quick, 1)
    return told


def _tell_kernels(memory: Mapping[str, Any]) -> dict[str, float]:
    told = {f"kernel: {name} (MB)": figures["pss (MB)"] for name, figures in memory.items()}
    ours, stock = memory["ours, idle"], memory["stock, the libraries that ours has"]
    return told | {"idle kernel, times less than stock": round(stock["pss (MB)"] / ours["pss (MB)"], 1)}


def _tell_servers(servers: Mapping[str, Any]) -> dict[str, float]:
    told: dict[str, float] = {}
    for name, found in servers.items():
        told |= {f"{part}: {name} (MB)": found[part]["pss (MB)"] for part in found if isinstance(found[part], dict)}
        told[f"processor until ready: {name} (s)"] = found["processor of a server (s)"]
    ours, stock = (servers[name]["server"]["pss (MB)"] for name in ("ours", STOCK))
    return told | {"idle server, times less than stock": round(stock / ours, 1)}


def _judge(figures: Mapping[str, float]) -> dict[str, bool]:
    most = {
        "first cell, parked, p95 (ms)": figures["first cell, parked, p95 (ms)"],
        "first cell, forked, p95 (ms)": figures["first cell, forked, p95 (ms)"],
        "restart, p95 (ms)": max(figures[f"restart, {kind}, p95 (ms)"] for kind in (PARKED, FORKED)),
        "idle kernel (MB)": figures["kernel: ours, idle (MB)"],
        "idle server (MB)": figures["server: ours (MB)"],
    }
    least = {
        "first cell, times faster than stock (p50)": figures["first cell, forked, times faster than stock (p50)"],
        "idle kernel, times less than stock": figures["idle kernel, times less than stock"],
        "idle server, times less than stock": figures["idle server, times less than stock"],
    }
    reached = {name: found <= BARS[name] for name, found in most.items()}
    return reached | {name: found >= BARS[name] for name, found in least.items()}


def _print(figures: Mapping[str, float], verdict: Mapping[str, bool]) -> None:
    print("\n| figure | found |\n|---|---|")
    for name, found in figures.items():
        print(f"| {name} | {found} |")
    print("\n| bar | | reached |\n|---|---|---|")
    for name, reached in verdict.items():
        print(f"| {name} | {BARS[name]} | {'yes' if reached else 'NO'} |")


def _write(
    words: argparse.Namespace,
    load: Sequence[float],
    figures: Mapping[str, float],
    verdict: Mapping[str, bool],
    runs: Mapping[str, Any],
) -> None:
    machine = {
        "cores": os.cpu_count(),
        "memory (GB)": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load before": [round(each, 2) for each in load],
    }
    head = {
        "machine": machine,
        "versions": {
            name: version(name)
            for name in ("jupyter_client", "ipykernel", "jupyter_server", "jupyterlab", "jupyterhub")
        },
        "first cell": FIRST_CELL,
        "libraries that ours has": USUAL.split("\n")[1:-1],
        "bars": {name: {"bar": bar, "reached": verdict[name]} for name, bar in BARS.items()},
    }
    words.out.parent.mkdir(exist_ok=True)
    words.out.write_text(json.dumps(head | {"figures": figures, "runs": runs}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
