"""``make bench-stac``: our STAC service and stac-fastapi-geoparquet over the same constructed items, in one run.

The items are made once, deterministically, and kept in the temporary folder, as is the peer's environment. Ours are
ingested by ``earthlab catalog ingest`` from a file in no order, and served by a process behind its token door. The peer
serves what rustac wrote, in that same order and, as a second service, sorted by time, which is the best its operator
could do for it. Each question goes to all in turn over HTTP and the ids must agree before anything is printed; the
figures go to ``bench/stac.json`` too. The peer's collections are files and are searched one after the other, so all
items are in one collection.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import urllib3

sys.path.insert(0, str(Path(__file__).parent))
from stac_items import COLLECTION, EPOCH, REVISIT, TILES, write_lines, write_table

from earthlab.services.stac.folder import COLLECTIONS, MARKER
from earthlab.services.stac.geoparquet import ITEMS, write_items
from earthlab.testing.stac import serve_catalogue

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEER_LIST = HERE / "peer-stac.txt"
CLIENTS, EACH = 40, 5
PEER, PEER_BY_TIME = "peer", "peer, by time"
BARS = {
    "bbox+month p50 (ms)": ("ours", "<=", 50.0),
    "bbox+month p50, times ours": (PEER, ">=", 20.0),
    "40 clients, errors": ("ours", "<=", 0.0),
    "memory, peak (MB)": ("ours", "<=", 1000.0),
    "first start (s)": ("ours", "<=", 3.0),
    "ingestion, NDJSON (items/s)": ("ours", ">=", 20_000.0),
    "ingestion, GeoParquet (items/s)": ("ours", ">=", 20_000.0),
}
Words = Mapping[str, Any]


@dataclass(frozen=True)
class Contender:
    """A running service that can be asked."""

    url: str
    pid: int
    headers: Mapping[str, str]
    first_start: float
    """Seconds from the start of the process to its first answer."""

    def ask(self, words: Words, pool: urllib3.PoolManager) -> tuple[float, list[str]]:
        """Seconds, and the ids in the order of the answer."""
        begun = time.perf_counter()
        answer = pool.request("POST", f"{self.url}search", json=dict(words), headers=dict(self.headers))
        seconds = time.perf_counter() - begun
        if answer.status != 200:
            raise SystemExit(f"{self.url} answered {answer.status} to {words}: {answer.data[:500]!r}")
        return seconds, [feature["id"] for feature in answer.json()["features"]]

    def peak(self) -> float:
        """The most memory its processes ever had, in MB."""
        me = psutil.Process(self.pid)
        return sum(_peak(process.pid) for process in (me, *me.children(recursive=True)))


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--items", type=int, default=1_000_000)
    asked.add_argument("--rounds", type=int, default=25)
    asked.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "earthlab-bench" / "stac")
    words = asked.parse_args()
    words.scratch.mkdir(parents=True, exist_ok=True)
    lines, table, by_time = (
        words.scratch / f"{words.items}{kind}" for kind in (".ndjson", "-unsorted.parquet", "-by-time.parquet")
    )
    print(f"{words.items:,} constructed items (made once, kept in {words.scratch})", flush=True)
    write_lines(lines, words.items)
    write_table(table, words.items, sorted_by_time=False)
    write_table(by_time, words.items, sorted_by_time=True)
    folder = words.scratch / "lab" / "catalogue"
    shutil.rmtree(folder.parent, ignore_errors=True)
    rates = {"GeoParquet": _ingest(folder, table, words.items), "NDJSON": _ingest(folder, lines, words.items)}
    with ExitStack() as stack:
        ours = stack.enter_context(_serve_ours(folder))
        peers = {PEER: table, PEER_BY_TIME: by_time}
        others = {name: stack.enter_context(_serve_peer(file, words.scratch)) for name, file in peers.items()}
        figures = _compare({"ours": ours, **others}, words.items, words.rounds)
    for kind, (rate, busy) in rates.items():
        figures[f"ingestion, {kind} (items/s)"] = {"ours": rate, **dict.fromkeys(others)}
        figures[f"ingestion, {kind}, processor time (s)"] = {"ours": busy, **dict.fromkeys(others)}
    return _tell(figures, words)


def _ingest(folder: Path, source: Path, items: int) -> tuple[float, float]:
    """Items a second of the command itself, from its start to its end, into an empty catalogue; its processor time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_items(folder / ITEMS, [])
    (folder / COLLECTIONS).write_text("[]", encoding="utf-8")
    (folder / MARKER).write_text(json.dumps({"version": "bench", "items": {}, "left_out": {}}), encoding="utf-8")
    command = [sys.executable, "-m", "earthlab.cli", "catalog", "ingest", "--state", str(folder.parent), str(source)]
    begun, busy = time.perf_counter(), _children_time()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds, busy = time.perf_counter() - begun, _children_time() - busy
    if done.returncode or not done.stdout.startswith(f"{items:,} items came in"):
        raise SystemExit(f"ingesting {source} failed: {done.stdout} {done.stderr[-3000:]}")
    print(f"{source.suffix}: {items / seconds:,.0f} items/s, {busy:.0f} s of processors", flush=True)
    return items / seconds, busy


def _children_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def _serve_ours(folder: Path) -> Iterator[Contender]:
    begun = time.perf_counter()
    with serve_catalogue(folder) as served:
        found = Contender(served.url, served.pid, served.headers, 0.0)
        yield _started(found, begun)


@contextmanager
def _serve_peer(table: Path, scratch: Path) -> Iterator[Contender]:
    python = _resolve_peer(scratch)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.perf_counter()
    command = [str(python), str(HERE / "peer_stac.py"), str(table), str(port), str(scratch / "extensions")]
    with (scratch / f"{table.stem}.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield _started(Contender(f"http://127.0.0.1:{port}/", process.pid, {}, 0.0), begun)
        finally:
            process.terminate()


def _started(contender: Contender, begun: float) -> Contender:
    deadline = begun + 120
    pool = urllib3.PoolManager(retries=False)
    while time.perf_counter() < deadline:
        try:
            answer = pool.request("GET", f"{contender.url}search?limit=1", headers=dict(contender.headers))
        except urllib3.exceptions.HTTPError:
            time.sleep(0.02)
            continue
        if answer.status == 200:
            seconds = time.perf_counter() - begun
            return Contender(contender.url, contender.pid, contender.headers, seconds)
        raise SystemExit(f"{contender.url} answered {answer.status}: {answer.data[:500]!r}")
    raise SystemExit(f"{contender.url} did not answer within two minutes")


def _resolve_peer(scratch: Path) -> Path:
    """The Python of the peer's environment, which is made where it is not yet."""
    folder = scratch / "peer"
    noted = folder / PEER_LIST.name
    if not noted.exists() or noted.read_bytes() != PEER_LIST.read_bytes():
        uv = Path(sys.executable).parent / "uv"
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        python = folder / "bin" / "python"
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, "-r", PEER_LIST], check=True)
        shutil.copy(PEER_LIST, noted)
    return folder / "bin" / "python"


def _compare(contenders: Mapping[str, Contender], items: int, rounds: int) -> dict[str, dict[str, float | None]]:
    figures: dict[str, dict[str, float | None]] = {
        "first start (s)": {name: one.first_start for name, one in contenders.items()}
    }
    for title, make in QUESTIONS.items():
        asked = [make(at, items) for at in range(rounds)]
        seconds, found = _ask_in_turn(contenders, asked)
        for share, label in ((0.5, "p50"), (0.95, "p95")):
            figures[f"{title} {label} (ms)"] = {name: _quantile(took, share) * 1000 for name, took in seconds.items()}
        figures[f"{title} p50, times ours"] = {
            name: statistics.median(took) / statistics.median(seconds["ours"]) for name, took in seconds.items()
        }
        print(f"{title}: ids agree in {rounds} questions, {found} items", flush=True)
    for name, one in contenders.items():
        errors, took = _crowd(one, items)
        figures.setdefault("40 clients, errors", {})[name] = errors
        figures.setdefault(f"40 clients, {CLIENTS * EACH} searches (s)", {})[name] = took
    figures["memory, peak (MB)"] = {name: one.peak() for name, one in contenders.items()}
    return figures


def _ask_in_turn(contenders: Mapping[str, Contender], asked: Sequence[Words]) -> tuple[dict[str, list[float]], int]:
    pool = urllib3.PoolManager(retries=False)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    found = 0
    for at, words in enumerate([asked[0], *asked]):
        answers = {name: one.ask(words, pool) for name, one in contenders.items()}
        ids = {name: answer[1] for name, answer in answers.items()}
        if not words.get("sortby"):
            ids = {name: sorted(one) for name, one in ids.items()}
        for name, one in ids.items():
            if one != ids["ours"]:
                raise SystemExit(f"answers differ to {words}: ours {ids['ours'][:5]}, {name} {one[:5]}")
        if at:  # the first is for warming up
            found += len(ids["ours"])
            for name, answer in answers.items():
                seconds[name].append(answer[0])
    return seconds, found


def _crowd(contender: Contender, items: int) -> tuple[int, float]:
    """Errors and seconds of many clients at once, each with a connection of its own."""

    def visit(number: int) -> int:
        pool = urllib3.PoolManager(retries=False, timeout=120)
        failed = 0
        for at in range(EACH):
            words = dict(_box_and_month(number * EACH + at, items))
            try:
                answer = pool.request("POST", f"{contender.url}search", json=words, headers=dict(contender.headers))
                failed += answer.status != 200
            except urllib3.exceptions.HTTPError:
                failed += 1
        return failed

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as people:
        errors = sum(people.map(visit, range(CLIENTS)))
    return errors, time.perf_counter() - begun


def _box_and_month(at: int, items: int) -> Words:
    west, south = -170 + at * 37 % 320, -50 + at * 13 % 100
    months = max(items // TILES * REVISIT // 30, 1)
    begins = EPOCH + timedelta(days=at * 11 % months * 30)
    period = "/".join(f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (begins, begins + timedelta(days=30)))
    return {
        "collections": [COLLECTION],
        "bbox": [west + 0.05, south + 0.05, west + 12.05, south + 9.05],
        "datetime": period,
        "limit": 100,
    }


def _clear_sky(at: int, items: int) -> Words:
    low, step = at * 3.7 % 90, 50 * 100 / items
    wanted = [
        {"op": op, "args": [{"property": "eo:cloud_cover"}, value]} for op, value in ((">=", low), ("<", low + step))
    ]
    return {
        "collections": [COLLECTION],
        "filter-lang": "cql2-json",
        "filter": {"op": "and", "args": wanted},
        "limit": 200,
    }


def _latest(at: int, items: int) -> Words:
    words = {key: value for key, value in _box_and_month(at, items).items() if key != "bbox"}
    order = [{"field": "eo:cloud_cover", "direction": "desc" if at % 2 else "asc"}]
    return {**words, "sortby": order, "limit": 10 + at}


def _by_name(at: int, items: int) -> Words:
    names = [f"constructed-{(at * 7919 + k * 104_729) % items:07d}" for k in range(5)]
    return {"collections": [COLLECTION], "ids": names, "limit": 10}


QUESTIONS: Mapping[str, Callable[[int, int], Words]] = {
    "bbox+month": _box_and_month,
    "property filter": _clear_sky,
    "sort of a month": _latest,
    "ids": _by_name,
}


def _quantile(values: Sequence[float], share: float) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return float(status.split("VmHWM:")[1].split()[0]) / 1000


def _tell(figures: Mapping[str, Mapping[str, float | None]], words: argparse.Namespace) -> int:
    print(f"\n{'':48}" + "".join(f"{name:>15}" for name in next(iter(figures.values()))) + "   bar")
    missed = []
    for title, found in figures.items():
        shown = "".join(f"{'' if value is None else format(value, ',.2f'):>15}" for value in found.values())
        verdict = ""
        if title in BARS:
            whose, sign, bar = BARS[title]
            value = found[whose] or 0.0
            reached = value <= bar if sign == "<=" else value >= bar
            verdict = f"{whose} {sign} {bar:g}: {'reached' if reached else 'MISSED'}"
            missed += [] if reached else [title]
        print(f"{title:48}{shown}   {verdict}")
    written = ROOT / "bench" / "stac.json"
    written.parent.mkdir(exist_ok=True)
    load = os.getloadavg()[1]
    machine = {
        "processors": os.cpu_count(),
        "load_of_5_minutes": load,
        "python": platform.python_version(),
        "system": platform.machine(),
    }
    report = {"items": words.items, "rounds": words.rounds, "machine": machine, "missed": missed, "figures": figures}
    written.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
