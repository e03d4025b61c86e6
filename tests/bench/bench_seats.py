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
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hubs import our_lab, scratch, stock_hub

from earthlab.rehearsal.lesson import Lesson, parse_lesson
from earthlab.rehearsal.running import Place, Wish, hold_class
from earthlab.rehearsal.statistics import Figures, compute_figures, count_visible

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
    contenders: dict[str, Callable[[Path], contextlib.AbstractContextManager[Place]]] = {
        OURS: our_lab,
        STOCK: stock_hub,
    }
    kernels = {OURS: "earthlab", STOCK: "python3"}
    runs: list[dict[str, Any]] = []
    failed: set[str] = set()
    with contextlib.ExitStack() as stack:
        folders = {name: stack.enter_context(scratch(name)) for name in contenders}
        for turn, (size, number) in enumerate(itertools.product(sizes, range(words.rounds))):
            for name in (OURS, STOCK) if turn % 2 == 0 else (STOCK, OURS):
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


if __name__ == "__main__":
    sys.exit(main())
