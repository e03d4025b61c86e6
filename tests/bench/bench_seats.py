"""``make bench-seats``: classes on our lab and on a stock JupyterHub, in turn, on this machine, by the same people.

Stock is JupyterHub as its documentation starts it on one machine: every server a process of its own
(``SimpleLocalProcessSpawner``: as ``LocalProcessSpawner``, without an account each), ``jupyterhub-singleuser`` and the
kernel of ipykernel. Both run the same notebook, which needs nothing but the library: its imports, a cube, a picture.
Sizes grow; stock is asked no further once a size has failed it. Figures go to ``bench/seats.json``.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from earthlab.hub.layout import MARKER, resolve_layout
from earthlab.hub.links import ENTRY, LinkStore
from earthlab.hub.processes import end_lab_processes
from earthlab.rehearsal.behaviour import seat_name
from earthlab.rehearsal.leaving import remove_seats
from earthlab.rehearsal.lesson import Lesson, parse_lesson
from earthlab.rehearsal.running import Place, Wish, hold_class
from earthlab.rehearsal.statistics import Figures, compute_figures, count_visible
from earthlab.settings import load_settings
from earthlab.testing.accounts import remove_accounts

ROOT = Path(__file__).resolve().parents[2]
OURS, STOCK = "ours", "stock"
GB = 1_000_000_000
CELLS = (
    "import earthlab as el\nimport numpy as np\nimport xarray as xr",
    "from earthlab.analysis.vegetation import ndvi\nimport matplotlib.pyplot as plt",
    """rng = np.random.default_rng(1)
highs = {"red": 0.2, "nir": 0.6}
bands = {name: (("time", "y", "x"), rng.uniform(0.02, high, (12, 256, 256))) for name, high in highs.items()}
cube = xr.Dataset(bands).chunk(time=-1, y=128, x=128)
cube""",
    "course = ((cube.nir - cube.red) / (cube.nir + cube.red)).median(('y', 'x')).compute()\nfloat(course.mean())",
    "plt.plot(course)\nplt.show()",
)
BARS = {"first_picture p95 (s), 100 seats": 60.0, "peak (GB), 100 seats": 20.0}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--seats", default="10,25,50,100", help="sizes of the classes, ascending")
    asked.add_argument("--rounds", type=int, default=1)
    asked.add_argument("--minutes", type=float, default=3.0)
    asked.add_argument("--within", type=float, default=30.0)
    asked.add_argument("--out", type=Path, default=ROOT / "bench" / "seats.json")
    words = asked.parse_args()
    sizes = [int(size) for size in words.seats.split(",")]
    contenders: dict[str, Callable[[Path], contextlib.AbstractContextManager[Place]]] = {OURS: _our_lab, STOCK: _stock}
    kernels = {OURS: "earthlab", STOCK: "python3"}
    runs: list[dict[str, Any]] = []
    failed: set[str] = set()
    with contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(_scratch(name)) for name in contenders}
        for size, number in itertools.product(sizes, range(words.rounds)):
            for name in (OURS, STOCK) if number % 2 == 0 else (STOCK, OURS):
                if name in failed:
                    continue
                with contenders[name](folders[name]) as place:
                    wish = Wish(size, Path("bench.ipynb"), words.minutes, words.within, seed=number + 1)
                    rehearsal = hold_class(place, wish, _lesson(kernels[name]))
                figures = compute_figures(rehearsal, reserve=GB)
                runs.append(_row(name, size, number, figures))
                print(json.dumps(runs[-1], ensure_ascii=False), flush=True)
                if count_visible(figures.failures) or rehearsal.interrupted:
                    failed.add(name)
    _tell(runs)
    _write(words.out, runs, words)
    return 0


def _lesson(kernel: str) -> Lesson:
    cells = [{"cell_type": "code", "source": code, "metadata": {}} for code in CELLS]
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel}}
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": cells}
    cells_for_saving = [cell | {"outputs": [], "execution_count": None} for cell in cells]
    return parse_lesson(json.dumps(notebook | {"cells": cells_for_saving}), "repetition/bench.ipynb")


def _row(name: str, size: int, number: int, figures: Figures) -> dict[str, Any]:
    waits = {
        f"{what} {share}": round(getattr(found, share), 2)
        for what, found in figures.waits.items()
        for share in ("p50", "p95", "p99")
    }
    own = {part: round(use.most / max(use.processes, 1) / 1e6, 1) for part, use in figures.parts.items()}
    return {
        "contender": name,
        "seats": size,
        "round": number + 1,
        **waits,
        "finished": figures.finished,
        "visible errors": count_visible(figures.failures),
        "failures": {kind: [many, one.what] for kind, (many, one) in figures.failures.items()},
        "peak (GB)": round(figures.peak / 1e9, 2),
        "before (GB)": round(figures.before / 1e9, 2),
        "a process's memory at its part's peak (MB)": own,
        "processor (s)": {part: round(use.processor, 1) for part, use in figures.parts.items()},
        "fit": asdict(figures.fit) if figures.fit else None,
        "settled after (s)": figures.settled_after,
    }


def _tell(runs: list[dict[str, Any]]) -> None:
    columns = ("sign_in p95", "lab_ready p95", "first_cell p95", "first_picture p95", "peak (GB)", "visible errors")
    print("\n| contender | seats | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for run in runs:
        print(
            f"| {run['contender']} | {run['seats']} | " + " | ".join(str(run.get(name, "–")) for name in columns) + " |"
        )


def _write(path: Path, runs: list[dict[str, Any]], words: argparse.Namespace) -> None:
    versions = {name: version(name) for name in ("jupyterhub", "jupyterlab", "jupyter_server", "ipykernel")}
    machine = {
        "cores": os.cpu_count(),
        "memory (GB)": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
    }
    head = {
        "machine": machine | {"kernel": platform.release(), "python": platform.python_version()},
        "versions": versions,
        "within (s)": words.within,
        "minutes": words.minutes,
        "bars": BARS,
        "stock failed at": next((r["seats"] for r in runs if r["contender"] == STOCK and r["visible errors"]), None),
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(head | {"runs": runs}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# Contenders


@contextlib.contextmanager
def _scratch(name: str) -> Iterator[Path]:
    # Not a folder of 0700: the users' accounts must reach their homes.
    folder = Path(tempfile.mkdtemp(prefix=f"earthlab-bench-{name}-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _our_lab(folder: Path) -> Iterator[Place]:
    settings = load_settings({"lab.state": folder, "lab.port": _free_row()}, files=())
    layout = resolve_layout(settings)
    links = LinkStore(layout.links)
    command = [
        str(Path(sys.prefix) / "bin" / "earthlab"),
        "lab",
        "--state",
        str(folder),
        "--port",
        str(settings.lab.port),
    ]
    origin = f"http://127.0.0.1:{settings.lab.port}"
    with _running(command, folder / "lab.log", _environment(), f"{origin}/services/dask-gateway/api/health"):
        yield Place(
            layout,
            origin,
            lambda user: f"/hub/{ENTRY}?token={links.create(user, 600)}",
            lambda: remove_seats(settings),
        )
    remove_accounts(layout)
    shutil.rmtree(layout.run, ignore_errors=True)


def _environment() -> dict[str, str]:
    samples = {} if "EARTHLAB_SAMPLES" in os.environ else {"EARTHLAB_SAMPLES": str(ROOT.parent / "shared" / "data")}
    return os.environ | samples


_STOCK_CONFIG = """
import os
from jupyterhub.auth import Authenticator

class Named(Authenticator):
    # Whoever names a seat is let in: the bench measures what comes after the door.
    auto_login = True

    async def authenticate(self, handler, data=None):
        return handler.get_argument("user", "") or None

c.JupyterHub.authenticator_class = Named
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {folder!r} + "/homes/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/lab"
c.Spawner.env_keep = ["PATH", "LANG", {marker!r}]
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {port} + 1
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:" + str({port} + 2)
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.cookie_secret_file = {folder!r} + "/cookie_secret"
c.JupyterHub.db_url = "sqlite:///" + {folder!r} + "/hub.sqlite"
c.JupyterHub.services = [{{"name": "bench", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [{{"name": "bench", "scopes": ["admin:users", "admin:servers"], "services": ["bench"]}}]
"""


@contextlib.contextmanager
def _stock(folder: Path) -> Iterator[Place]:
    from earthlab.hub.configure import node, proxy_program

    port, token = _free_row(), os.urandom(16).hex()
    layout = resolve_layout(load_settings({"lab.state": folder}, environ={}, files=()))
    (folder / "homes").mkdir(exist_ok=True)
    text = _STOCK_CONFIG.format(
        folder=str(folder),
        python=sys.executable,
        marker=MARKER,
        port=port,
        token=token,
        proxy=[str(node()), str(proxy_program())],
    )
    config = folder / "jupyterhub_config.py"
    config.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EARTHLAB")}
    origin = f"http://127.0.0.1:{port}"
    with _running(command, folder / "hub.log", environment | {MARKER: layout.lab_id}, f"{origin}/hub/health"):
        yield Place(layout, origin, lambda user: f"/hub/login?user={user}", lambda: _clear(origin, token))
    end_lab_processes(layout, grace=5.0)


def _clear(origin: str, token: str) -> list[str]:
    left = []
    for number in range(1, 1000):
        request = urllib.request.Request(
            f"{origin}/hub/api/users/{seat_name(number)}", method="DELETE", headers={"Authorization": f"token {token}"}
        )
        try:
            urllib.request.urlopen(request, timeout=120).close()
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                break
            left.append(f"{seat_name(number)}: {exc.code}")
    return left


@contextlib.contextmanager
def _running(command: list[str], log: Path, environment: dict[str, str], health: str) -> Iterator[None]:
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, stdout=out, stderr=out, env=environment, cwd=log.parent, start_new_session=True
        ) as process,
    ):
        try:
            _wait_for(health, process, log)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 240
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"it did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status < 400)
    except urllib.error.HTTPError as exc:
        return exc.code in {401, 403}
    except OSError:
        return False


def _free_row(length: int = 8) -> int:
    for first in range(21000, 29000, 10):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + length):
                    probe = stack.enter_context(socket.socket())
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise SystemExit("no eight free ports in a row")


if __name__ == "__main__":
    sys.exit(main())
