"""Servers and kernels as copies, in a real lab: who they belong to, and what is left of them when parts are killed."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from earthlab.hub.processes import Process, send
from tests.hub.burst import COPIES, HUB, arrive, browsers, copies, invite, kill_meanwhile
from tests.hub.running_lab import KernelGone

pytestmark = [pytest.mark.lab]

WHO = "import os; print(os.environ['JUPYTERHUB_USER'], os.getuid(), os.getcwd(), open('/proc/self/comm').read())"
PEOPLE = 10


@pytest.fixture
def lab(standing_lab):
    return standing_lab


@pytest.fixture
async def people(lab):
    lab.wait_for(r"token=\S+")
    async with browsers(lab, PEOPLE) as found:
        yield found


def started_in(process: Process) -> str:
    return Path(f"/proc/{process.pid}/environ").read_text()


async def test_whatever_is_killed_while_a_class_arrives_everybody_has_a_kernel_of_their_own(lab, people):
    guests = invite(lab, [f"seat{number}" for number in range(PEOPLE)])
    arriving = [asyncio.create_task(arrive(*each)) for each in zip(people, guests, strict=True)]
    killed = await kill_meanwhile(lab, arriving, COPIES)
    found = [task.result() for task in arriving]
    assert set(killed) == set(COPIES)
    assert [each for each in found if not each.is_their_own] == []
    assert len({each.told["uid"] for each in found}) == (PEOPLE if os.getuid() == 0 else 1)


async def test_a_kernel_that_is_killed_is_reported_and_followed_by_another(lab, people):
    await people[0].come_in(lab.link_for("seat0"))
    kernel = await people[0].start_kernel()
    await people[0].run(kernel, "x = 1")
    with pytest.raises(KernelGone):
        await people[0].run(kernel, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "not defined" in await people[0].run(kernel, "x")


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
    guests = invite(lab, [f"late{number}" for number in range(PEOPLE)])
    arriving = [asyncio.create_task(arrive(*each)) for each in zip(people, guests, strict=True)]
    assert await kill_meanwhile(lab, arriving, [HUB]) == {HUB: 1}
    found = [task.result() for task in arriving]
    assert [each for each in found if not each.is_their_own] == []
    assert max(each.entries for each in found) > 1
