"""``make bench-analysis``: the poles' analyses at size, blockwise, each beside a peer in its natural idiom.

Every case is a script in ``analysis/`` that makes its data (constructed, seeded), runs ours and the peer in turns,
each in a process of its own, compares the results, and ends with one line of JSON. The figures go to
``bench/analysis.json``.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def main() -> None:
    """Run the cases that are asked for, print a table, write the figures."""
    known = sorted(path.stem for path in (HERE / "analysis").glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", choices=known, default=known)
    parser.add_argument("--small", action="store_true", help="sizes of seconds, to see that it runs")
    words = parser.parse_args()
    figures = [_run(name, small=words.small) for name in words.cases]
    print(f"\n{'case':12} {'size':34} {'ours':>9} {'MiB':>7}   {'peer':28} {'its size':24} {'s':>9} {'MiB':>7}  agree")
    for figure in figures:
        print(_line(figure))
    written = ROOT / "bench" / "analysis.json"
    written.parent.mkdir(exist_ok=True)
    machine = {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "python": platform.python_version(),
    }
    written.write_text(
        json.dumps({"machine": machine, "small": words.small, "cases": figures}, indent=1), encoding="utf-8"
    )


def _run(name: str, *, small: bool) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "analysis" / f"{name}.py"), *(["--small"] if small else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figure: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figure


def _line(figure: dict[str, Any]) -> str:
    ours, peer = (statistics.median(figure[key]) for key in ("ours_s", "peer_s"))
    return (
        f"{figure['case']:12} {figure['size']:34} {ours:9.2f} {figure['ours_peak_mib']:7,.0f}   {figure['peer']:28} "
        f"{figure['peer_size']:24} {peer:9.2f} {figure['peer_peak_mib']:7,.0f}  {figure['agree']}"
    )


if __name__ == "__main__":
    main()
