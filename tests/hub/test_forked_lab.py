"""Servers and kernels as copies, in a real lab: who they belong to, and what is left of them when parts are killed."""

import asyncio
import os
import signal
import tempfile
from pathlib import Path

import httpx
import pytest

from earthlab.hub.cgroups import sweep
from earthlab.hub.processes import Process, send
from tests.hub.running_lab import Lab, Person

pytestmark = [pytest.mark.lab]

WHO = "import os; print(os.environ['JUPYTERHUB_USER'], os.getuid(), os.getcwd(), open('/proc/self/comm').read())"
PEOPLE = 6


@pytest.fixture(scope="module")
def lab():
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="earthlab-lab-", dir="/var/tmp"))
    folder.chmod(0o755)
    found = Lab(folder, 8140)
    yield found.start()
    found.close()
    sweep(found.layout)
    shutil.rmtree(folder)
    shutil.rmtree(found.layout.run, ignore_errors=True)


@pytest.fixture
async def people(lab):
    lab.wait_for(r"token=\S+", seconds=300)
    clients = [httpx.AsyncClient(follow_redirects=True, timeout=120) for _ in range(PEOPLE)]
    yield [Person(lab, client) for client in clients]
    for client in clients:
        await client.aclose()


def copies(lab: Lab, name: str) -> list[Process]:
    return [process for process in lab.left() if process.command == name]


def started_in(process: Process) -> str:
    return Path(f"/proc/{process.pid}/environ").read_text()


async def until_there_is(lab: Lab, name: str) -> Process:
    for _ in range(600):
        if found := copies(lab, name):
            return found[0]
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {name} among {lab.left()}")


async def work(person: Person, link: str) -> tuple[str, int, str, str]:
    """Come in, start a kernel, and let it say whose it is."""
    await person.come_in(link)
    name, uid, folder, kind = (await person.run(await person.start_kernel(), WHO)).split()
    return name, int(uid), folder, kind


async def test_whatever_is_killed_while_a_class_arrives_everybody_has_a_kernel_of_their_own(lab, people):
    names = [f"seat{number}" for number in range(PEOPLE)]
    links = {name: lab.link_for(name) for name in names}
    arriving = [asyncio.create_task(work(person, links[name])) for person, name in zip(people, names, strict=True)]
    killed = set()
    while not all(task.done() for task in arriving):
        for kind in ("el-server", "el-nursery", "el-template"):
            if kind not in killed and (found := copies(lab, kind)):
                send(found[0], signal.SIGKILL)
                killed.add(kind)
        await asyncio.sleep(0.1)
    found = [task.result() for task in arriving]
    assert killed == {"el-server", "el-nursery", "el-template"}
    assert [name for name, *_ in found] == names
    assert len({uid for _, uid, *_ in found}) == (PEOPLE if os.getuid() == 0 else 1)
    assert len({folder for _, _, folder, _ in found}) == PEOPLE


async def test_a_nursery_that_is_killed_is_followed_by_another(lab, people):
    await people[0].come_in(lab.link_for("seat0"))
    for nursery in copies(lab, "el-nursery"):
        send(nursery, signal.SIGKILL)
    kind = ""
    for _ in range(40):
        kind = (await people[0].run(await people[0].start_kernel(), WHO)).split()[-1]
        if kind == "el-kernel":
            break
        await asyncio.sleep(1)
    assert kind == "el-kernel"


async def test_a_copys_page_comes_from_one_place_and_its_settings_from_its_users_home(lab, people):
    ada = people[1]
    page = await ada.client.get(await ada.come_in(lab.link_for("ada")))
    assert '"fullStaticUrl": "/hub/jupyterlab"' in page.text
    script = page.text.split('src="/hub/jupyterlab/')[1].split('"')[0]
    async with httpx.AsyncClient() as nobody:
        sent = await nobody.get(f"{lab.url}/hub/jupyterlab/{script}")
        assert sent.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert (await nobody.get(f"{ada.server}/lab/api/settings")).status_code in {302, 403}

    plugin = f"{ada.server}/lab/api/settings/@jupyterlab/apputils-extension:themes"
    saved = await ada.client.put(plugin, json={"raw": '{"theme": "JupyterLab Dark"}'}, headers=ada.xsrf)
    assert saved.status_code == 204, saved.text
    (home,) = (home for home in lab.layout.homes.iterdir() if "-ada-" in home.name)
    assert list((home / ".jupyter" / "lab" / "user-settings").rglob("themes.jupyterlab-settings"))


async def test_no_copy_was_started_in_an_environment_with_the_hubs_tokens(lab, people):
    await people[2].come_in(lab.link_for("eve"))
    found = [process for kind in ("el-template", "el-server", "el-nursery") for process in copies(lab, kind)]
    assert len(found) >= 3
    assert not [process for process in found if "JUPYTERHUB" in started_in(process)]


async def test_a_hub_that_is_killed_while_a_class_arrives_keeps_nobody_from_a_kernel_for_long(lab, people):
    names = [f"late{number}" for number in range(PEOPLE)]
    links = [lab.link_for(name) for name in names]
    arriving = [asyncio.create_task(work(person, link)) for person, link in zip(people, links, strict=True)]
    await until_there_is(lab, "el-server")
    os.kill(lab.hub_pid(), signal.SIGKILL)
    await asyncio.gather(*arriving, return_exceptions=True)
    await asyncio.to_thread(lab.wait_for, r"reload your pages[\s\S]*· ready", 300)
    # A link works once: whoever was signed in by then only loads a page, others ask for another link.
    again = [work(person, lab.link_for(name)) for person, name in zip(people, names, strict=True)]
    found = await asyncio.gather(*again)
    assert [name for name, *_ in found] == names
    assert len({folder for _, _, folder, _ in found}) == PEOPLE
