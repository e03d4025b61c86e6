"""What a seat takes in a pod of its own: memory by part, idle and at work, with the template in the pod.

Each pod is a process tree of this machine, started as KubeSpawner asks for it: pods of one node share the pages of the
image's files as these do. Memory does not depend on how fast the machine is.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil

from earthlab.hub.layout import shipped
from earthlab.hub.parts import PARTS, classify_all, read_memory
from earthlab.samples.fetching import Places
from earthlab.services.stac.archive import build_catalogue
from earthlab.services.stac.store import Store
from tests.helm.pod_hub import PodHub, pod_hub, words_of
from tests.helm.pod_processes import Processes
from tests.hub.small_server import PROTOCOL, Server
from tests.patience import eventually
from tests.services.stac.serving import serve_open

NOTEBOOK = "start/premiers-pas.ipynb"
MIB = 2**20

Figures = dict[str, float]


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench/pod.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="earthlab-pods-") as name, served_catalogue(Path(name)) as catalogue:
        found = asyncio.run(hold(Path(name), catalogue, asked.seats))
    text = json.dumps({"seats": asked.seats, "notebook": NOTEBOOK, "MiB a seat": found}, indent=2)
    print(text)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(text + "\n")


@contextmanager
def served_catalogue(folder: Path) -> Iterator[str]:
    """The lab's own catalogue."""
    samples = Path(os.environ.get("EARTHLAB_SAMPLES", "../shared/data"))
    build_catalogue(folder / "catalogue", lambda *_: None, places=Places((samples.resolve(),), folder))
    with serve_open(Store(folder / "catalogue")) as url:
        yield url


async def hold(folder: Path, catalogue: str, seats: int) -> dict[str, Figures]:
    """Idle, then with a kernel that has come to the end of the notebook, and has computed in the pod itself."""
    pods = Processes(folder, keeps_kernels=True)
    with pod_hub(folder, CATALOGUE__URL=catalogue, KUBERNETES__GATEWAY="") as hub:
        hub.api.run, hub.api.end, pods.services = pods.run, pods.end, f"{hub.url}/services"
        try:
            users = [f"user{number}" for number in range(seats)]
            for user in users:
                await asyncio.to_thread(come_in, hub, user)
            idle = settled(pods)
            for user in users:
                await work_through(hub, user)
            return {"idle": idle, "at the end of the notebook": settled(pods)}
        finally:
            pods.close()


def come_in(hub: PodHub, user: str) -> None:
    """A pod whose JupyterLab answers and in which a kernel is parked."""
    with hub.visitor() as visitor:
        visitor.get(hub.link_for(user))
        eventually(lambda: "jupyter-config-data" in visitor.get(f"/user/{user}/lab").text, what="JupyterLab")
    parked = hub.folder / f"scratch-{len(hub.api.pods())}"
    eventually(lambda: [*parked.glob("parked-*-ipc-5")], what="a parked kernel")


async def work_through(hub: PodHub, user: str) -> None:
    """All cells of the notebook, one after the other."""
    token = words_of(hub.api.pods()[f"jupyter-{user}"])["JUPYTERHUB_API_TOKEN"]
    server = Server(f"{hub.url}/user/{user}", hub.folder / "none", token)
    cells = json.loads((shipped("notebooks") / NOTEBOOK).read_text())["cells"]
    kernel = await server.start_kernel(f"notebooks/{NOTEBOOK}")
    async with server.page(kernel, PROTOCOL) as page:
        for cell in (each for each in cells if each["cell_type"] == "code"):
            heard = await page.run("".join(cell["source"]))
            failed = [each["content"] for each in heard if each["header"]["msg_type"] == "error"]
            assert not failed, failed


def settled(pods: Processes) -> Figures:
    """Once nothing starts any more."""
    before, now = {"pss": 0.0}, measure(pods)
    while abs(now["pss"] - before["pss"]) >= 1:
        # A parked kernel may still be on its way.
        time.sleep(8)
        before, now = now, measure(pods)
    return now


def measure(pods: Processes) -> Figures:
    """The median seat: its share of everything, what it alone has, and its share by part, in MiB."""
    rows = [_seat(process.pid) for process in pods.running.values()]
    names = [name for name in ("pss", "private", *PARTS) if any(name in row for row in rows)]
    return {name: round(median(row.get(name, 0.0) for row in rows), 1) for name in names}


def _seat(pid: int) -> Figures:
    root = psutil.Process(pid)
    parents = {each.pid: each.ppid() for each in (root, *root.children(recursive=True))}
    found: Figures = {"pss": 0.0, "private": 0.0}
    for each, part in classify_all(parents).items():
        memory = read_memory(each)
        if memory is None:
            continue
        found["pss"] += memory.pss / MIB
        found["private"] += memory.private / MIB
        found[part] = found.get(part, 0.0) + memory.pss / MIB
    return found


if __name__ == "__main__":
    main()
