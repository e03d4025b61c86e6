"""One machine: each of the lab's services is killed, then the disk is full. A real lab, on a disk of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from earthlab.testing.ports import free_row
from tests.gameday.conftest import LASTS
from tests.hub.conftest import root_only
from tests.hub.running_lab import Lab, Person
from tests.patience import PATIENCE, eventually, eventually_async

pytestmark = [pytest.mark.lab, root_only]

KILLED, FULL = "a service is killed", "the disk is full"
SEARCH = "import earthlab as el; print(len(el.search('simulation-s2-l2a', limit=3)))"
NOTEBOOK = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture(scope="module")
def disk():
    """A file system of memory, of 2 GB."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-disk-", dir="/var/tmp"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "earthlab-gameday", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@pytest.fixture(scope="module")
def lab(disk):
    found = Lab(disk / "lab", free_row())
    found.state.mkdir(mode=0o755)
    found.start().link()
    yield found
    found.close()
    for left in (found.layout.run, found.layout.shared_memory):
        shutil.rmtree(left, ignore_errors=True)


@pytest.fixture
async def person(lab):
    async with httpx.AsyncClient(follow_redirects=True, timeout=PATIENCE) as client:
        found = Person(lab, client)
        await found.come_in(lab.link_for("ana"))
        yield found


@contextmanager
def filled(disk):
    """Nothing more fits on the disk, for `LASTS` seconds at least."""
    filler, until = disk / "filler", time.monotonic() + LASTS
    with filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            pass
    try:
        yield
        time.sleep(max(0.0, until - time.monotonic()))
    finally:
        filler.unlink()


def pids_of(lab, module):
    """The processes of a service, by the module it runs."""
    found = []
    for process in lab.left():
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")
        if module.encode() in words:
            found.append(process.pid)
    return found


def last_line(said):
    """An error is told twice by a kernel: beside the cell, and in its reply."""
    line = said.strip().splitlines()[-1] if said.strip() else ""
    half = line[: len(line) // 2]
    return half if half + half == line and not line.isdigit() else line


async def test_a_killed_catalogue_is_back_by_itself_and_a_search_meanwhile_waits_or_says_so(
    lab, person, day, stopwatch
):
    kernel = await person.start_kernel()
    right = last_line(await person.run(kernel, SEARCH))
    assert int(right) > 0
    (pid,) = pids_of(lab, "earthlab.services.stac")
    os.kill(pid, signal.SIGKILL)
    stopwatch.start()
    said = last_line(await person.run(kernel, SEARCH))
    assert said == right or "try again" in said, said

    async def answers():
        return last_line(await person.run(kernel, SEARCH)) == right

    await eventually_async(answers)
    took = stopwatch.read()
    assert pids_of(lab, "earthlab.services.stac") != [pid]
    sees = "the search takes a little longer" if said == right else said
    day.note(f"{KILLED}: the catalogue", "searching in a notebook", sees, back=took)


@pytest.mark.parametrize(
    ("module", "path"),
    [("earthlab.services.tiles", "tiles/links"), ("earthlab.services.signing", "signing/")],
)
async def test_other_services_are_back_by_themselves(lab, person, day, stopwatch, module, path):
    (pid,) = eventually(lambda: pids_of(lab, module))
    token = await own_token(person)

    async def ask():
        headers = {"Authorization": f"token {token}"}
        return (await person.client.get(f"{lab.url}/services/{path}", headers=headers)).status_code

    async def is_up():
        return await ask() < 500

    await eventually_async(is_up)
    before = await ask()
    os.kill(pid, signal.SIGKILL)
    stopwatch.start()
    during = await ask()
    assert during == before or during in {502, 503}

    async def answers():
        return await ask() == before

    await eventually_async(answers)
    day.note(f"{KILLED}: {module.rpartition('.')[2]}", "asking it", f"HTTP {during}", back=stopwatch.read())


async def own_token(person):
    kernel = await person.start_kernel()
    return (await person.run(kernel, "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")).strip()


async def test_a_killed_gateway_is_back_by_itself_and_leaves_no_cluster_behind(lab, person, day, stopwatch):
    kernel = await person.start_kernel()
    count = "print(c.client.submit(sum, [1, 2]).result())"
    assert last_line(await person.run(kernel, f"import earthlab as el; c = el.cluster(workers=1)\n{count}")) == "3"
    pids = pids_of(lab, "earthlab.services.gateway")
    os.kill(pids[0], signal.SIGKILL)
    stopwatch.start()
    said = last_line(await person.run(kernel, count))

    async def computes():
        return last_line(await person.run(kernel, "c = el.cluster(workers=1)\n" + count)) == "3"

    await eventually_async(computes)
    took = stopwatch.read()
    await person.run(kernel, "c.stop()")
    eventually(lambda: not [p for p in lab.left() if p.command in {"el-worker", "el-scheduler"}])
    sees = "goes on" if said == "3" else f"{said}; el.cluster() makes another"
    lost = "what the cluster held; the kernel keeps its own"
    day.note(f"{KILLED}: the gateway", "computing on a cluster", sees, lost=lost, back=took)


async def save(person, name, content):
    body = {"type": "notebook", "format": "json", "content": content}
    return await person.client.put(f"{person.server}/api/contents/{name}", json=body, headers=person.xsrf)


def notebook_of(text):
    cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text}
    return {**NOTEBOOK, "cells": [cell]}


async def test_a_notebook_that_cannot_be_saved_says_so_and_what_was_saved_is_whole(lab, disk, person, day, stopwatch):
    assert (await save(person, "travail.ipynb", notebook_of("avant"))).status_code in {200, 201}
    with filled(disk):
        refused = await save(person, "travail.ipynb", notebook_of("x" * 3_000_000))
        stopwatch.start()
        kept = await person.client.get(f"{person.server}/api/contents/travail.ipynb")
    assert refused.status_code >= 500
    assert kept.status_code == 200, (kept.text, refused.text)
    assert kept.json()["content"]["cells"][0]["source"] == "avant"
    assert (await save(person, "travail.ipynb", notebook_of("après"))).status_code == 200
    message = json.loads(refused.text).get("message", "")
    assert re.search(r"No space left|disk|quota", message), message
    day.note(FULL, "saving a notebook", f"Lab's dialogue: {message}", back=None)


async def test_a_link_followed_while_the_disk_is_full_stays_good(lab, disk, day, stopwatch):
    link = lab.link_for("ben")
    async with httpx.AsyncClient(follow_redirects=True, timeout=PATIENCE) as client:
        ben = Person(lab, client)
        with filled(disk):
            page = await client.get(link)
        stopwatch.start()
        if page.status_code < 400:
            await ben.come_in(str(page.url))
        else:
            await ben.come_in(link)
    said = re.search(r'class="el-bad"[^>]*>(.*?)</p>', page.text, re.DOTALL)
    sees = said[1] if said else f"HTTP {page.status_code}"
    day.note(FULL, "at the door, with a one-time link", sees, back=stopwatch.read())
