"""The lab itself, started as an operator starts it: few tests, and broad ones."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest

from earthlab.hub.layout import shipped
from earthlab.hub.parts import classify
from earthlab.hub.passes import GUESSES_AN_ADDRESS
from earthlab.testing.ports import free_row
from tests.hub.conftest import root_only
from tests.hub.running_lab import Lab, Person
from tests.patience import PATIENCE

pytestmark = [pytest.mark.lab]

# Hears no signal, has no mark, is nobody's child.
ESCAPE = """
import subprocess
subprocess.Popen(["setsid", "-f", "env", "-i", "sh", "-c", "trap '' TERM INT HUP; while :; do sleep 7; done"])
print("gone")
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """One state folder for all these tests: the first of them builds the catalogue, as a first run does."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="earthlab-lab-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    lab = Lab(folder, free_row())
    lab.close()
    shutil.rmtree(folder)
    for left in (lab.layout.run, lab.layout.shared_memory):
        shutil.rmtree(left, ignore_errors=True)


@pytest.fixture
def lab(state):
    found = Lab(state, free_row())
    yield found
    if hasattr(found, "process") and found.process.poll() is None:
        found.process.send_signal(signal.SIGTERM)
        found.ended()


@pytest.fixture
async def person(lab):
    async with httpx.AsyncClient(follow_redirects=True, timeout=120) as client:
        yield Person(lab, client)


@pytest.fixture
async def stranger(lab):
    async with httpx.AsyncClient(follow_redirects=True, timeout=120) as client:
        yield Person(lab, client)


async def test_a_link_leads_to_a_kernel_and_to_nobody_elses(lab, person, stranger):
    link = lab.start().link()
    await person.come_in(link)
    assert person.name == "earthlab"

    again = await stranger.client.get(link)
    assert again.status_code == 403
    assert "déjà servi" in again.text
    assert "already used" in again.text

    specs = (await person.client.get(f"{person.server}/api/kernelspecs")).json()
    assert specs["default"] == "earthlab"
    assert list(specs["kernelspecs"]) == ["earthlab"]
    kernel = await person.start_kernel()
    assert "earthlab" in await person.run(kernel, "print(el.__name__)")
    shown = await person.run(
        kernel,
        "import os, stat; d = os.environ['JUPYTER_RUNTIME_DIR']; print(oct(os.stat(d).st_mode & 0o777), os.listdir(d))",
    )
    assert shown.startswith("0o700")
    assert "-ipc-1" in shown

    await stranger.come_in(lab.link_for("ada"))
    assert (await stranger.client.get(f"{person.server}/api/kernels")).status_code == 403
    assert (await stranger.client.get(f"{person.server}/files/notebooks")).status_code == 403
    stranger.client.cookies.clear()
    assert (await stranger.client.get(f"{person.server}/api/kernels", follow_redirects=False)).status_code == 403

    log = lab.layout.log.read_text()
    assert link.partition("token=")[2] not in log
    print("ready:", *[line for line in lab.lines if "prêt" in line])

    if os.getuid() == 0:
        await _cannot_look_at_others(lab, person, kernel)

    await person.run(kernel, ESCAPE)
    lab.process.send_signal(signal.SIGTERM)
    assert lab.ended() == 0, lab.said
    assert lab.left() == []


async def _cannot_look_at_others(lab, person, kernel):
    """As far as the kernel of Linux is concerned."""
    others = [str(home) for home in lab.layout.homes.iterdir() if "ada" in home.name]
    assert others
    places = [lab.layout.hub, lab.layout.homes, *others, *(f"/proc/{p.pid}/environ" for p in lab.left() if p.uid == 0)]
    tried = f"""
import os
def can(do, *what):
    try:
        do(*what)
    except OSError:
        return False
    return True
print([p for p in {[str(p) for p in places]!r} if can(os.listdir if os.path.isdir(p) else open, p)])
print(can(os.kill, {lab.hub_pid()}, 0), os.getuid() == 0)
"""
    assert await person.run(kernel, tried) == "[]\nFalse False\n"


async def test_the_operator_gives_a_right_and_its_holder_alone_has_it_on_the_page_and_at_the_broker(
    lab, person, stranger
):
    lab.start()
    await person.come_in(lab.link())
    await stranger.come_in(lab.link_for("ana"))
    droits = f"{lab.url}/hub/droits"
    before = (await stranger.client.get(droits)).text
    assert 'lang="en">You may not read these data.' in before
    assert "https://dinamis.data-terra.org" in before

    for who, status in ((stranger, 403), (person, 200)):
        assert (await change_groups(lab, who)) == {status}
    assert "Vous pouvez lire ces données" in (await stranger.client.get(droits)).text
    assert "Vous ne pouvez pas lire ces données" in (await person.client.get(droits)).text

    old_token = await stranger.run(await stranger.start_kernel(), ASK_RIGHTS)
    assert "False" in old_token
    assert "redémarrez votre serveur" in old_token
    await restart_server(lab, stranger)
    assert "True" in await stranger.run(await stranger.start_kernel(), ASK_RIGHTS)
    assert "False" in await person.run(await person.start_kernel(), ASK_RIGHTS)
    async with httpx.AsyncClient() as nobody:
        assert (await nobody.get(f"{lab.url}/services/signing/rights")).status_code == 401
        assert (await nobody.get(droits)).status_code == 302


ASK_RIGHTS = """
import json, os, urllib.request
request = urllib.request.Request(os.environ["EARTHLAB__CATALOGUE__SIGNING"] + "/rights")
request.add_header("Authorization", "token " + os.environ["JUPYTERHUB_API_TOKEN"])
told = json.load(urllib.request.urlopen(request))
print([(right["allowed"], right["reason"]["fr"]) for right in told["rights"]])
"""


async def restart_server(lab, who):
    stopped = await who.client.delete(f"{lab.url}/hub/api/users/{who.name}/server", headers=hub_xsrf(who))
    assert stopped.status_code in {202, 204}, stopped.text
    await who.come_in(f"{lab.url}/hub/spawn/{who.name}")


def hub_xsrf(who):
    return {"X-XSRFToken": next(c.value for c in who.client.cookies.jar if c.name == "_xsrf" and c.path == "/hub/")}


async def change_groups(lab, who):
    """Enter ana as a scientist of an organisation that signed the charter; gives the answers, 2xx as 200."""
    api = f"{lab.url}/hub/api/groups"
    answers = [
        await who.client.request(method, f"{api}/{path}", json=body, headers=hub_xsrf(who))
        for method, path, body in (
            ("POST", "org-x", {}),
            ("PUT", "org-x/properties", {"dinamis-charter": "2025-03-01"}),
            ("POST", "org-x/users", {"users": ["ana"]}),
            ("POST", "dinamis-science/users", {"users": ["ana"]}),
        )
    ]
    return {answer.status_code if answer.status_code >= 300 else 200 for answer in answers}


async def test_the_sign_in_page_takes_codes_and_no_tricks(lab, person, stranger):
    lab.start().link()
    login = f"{lab.url}/hub/login"
    page = await person.client.get(login)
    assert "Lien ou code" in page.text
    assert "http://" not in page.text.replace(lab.url, "").replace("http://www.w3.org", "")

    fields = {"_xsrf": page.text.split('name="_xsrf" value="')[1].split('"')[0]}
    wrong = await person.client.post(login, data=fields | {"token": "guess"})
    assert wrong.status_code == 403
    assert "n’existe pas" in wrong.text
    forged = await stranger.client.post(login, data={"token": lab.link_for("ada")})
    assert forged.status_code == 403

    entered = await person.client.post(login, data=fields | {"token": lab.link_for("ada")}, follow_redirects=False)
    assert entered.status_code == 302
    ahead = await stranger.client.get(link := lab.link_for("bob"), headers={"Sec-Purpose": "prefetch"})
    assert ahead.status_code == 503
    for target in ("//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"):
        led = await stranger.client.get(lab.link_for("bob"), params={"next": target}, follow_redirects=False)
        assert led.status_code == 302, led.text
        assert "evil" not in led.headers["location"] or led.headers["location"].startswith("/hub/")
        assert "token" not in led.headers["location"]
    assert (await stranger.client.get(link, follow_redirects=False)).status_code == 302

    second = Lab(lab.state, lab.port).start()
    assert second.ended() == 2
    assert "already runs" in second.lines[-1]

    for _ in range(GUESSES_AN_ADDRESS + 1):
        last = await stranger.client.get(f"{lab.url}/hub/entree?token=guess")
    assert last.status_code == 429


def read_command(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def until_answered(person, page, seconds=PATIENCE):
    until = time.monotonic() + seconds
    while True:
        try:
            if (await person.client.get(page)).status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < until
        await asyncio.sleep(0.2)


async def test_a_killed_hub_is_started_again_while_servers_and_kernels_go_on(lab, person):
    page = await person.come_in(lab.start().link())
    kernel = await person.start_kernel()
    await person.run(kernel, f"work = 6 * 7\n{ESCAPE}")
    await person.run(kernel, "c = el.cluster(workers=1)")
    assert [p for p in lab.left() if p.command == "el-worker"]
    before = {p.pid for p in lab.left() if p.command in {"el-server", "el-nursery", "el-kernel"}}
    assert len(before) == 3
    os.kill(lab.hub_pid(), signal.SIGKILL)
    lab.wait_for(r"kernels go on[\s\S]*· ready")
    assert "SIGKILL" in lab.said
    assert before <= {p.pid for p in lab.left()}
    assert not [p for p in lab.left() if p.command in {"el-scheduler", "el-worker"}]
    assert (await person.client.get(page)).status_code == 200
    assert (await person.run(kernel, "print(work)")).strip() == "42"
    assert "el-kernel" in await person.run(await person.start_kernel(), "print(open('/proc/self/comm').read())")
    # A proxy that is killed is followed by another, which learns all ways again.
    [proxy] = [p for p in lab.left() if classify(p.command, read_command(p.pid)) == "proxy"]
    os.kill(proxy.pid, signal.SIGKILL)
    await until_answered(person, page)
    assert (await person.run(kernel, "print(work)")).strip() == "42"
    # The new hub knows the server as its own: how it ends, and who has ended it.
    hub = f"{lab.url}/hub/api/users/{person.name}/server"
    stopped = await person.client.delete(hub, headers={"X-XSRFToken": person._cookie("_xsrf", "/hub/")})
    assert stopped.status_code in {202, 204}, stopped.text
    until = time.monotonic() + PATIENCE
    while [p for p in lab.left() if p.pid in before or p.command == "sleep"]:
        assert time.monotonic() < until, lab.left()
        await asyncio.sleep(0.1)

    os.kill(lab.hub_pid(), signal.SIGKILL)
    # That it is killed again before it is ready changes nothing: three times it is started, and no more.
    lab.wait_for(r"(kernels go on[\s\S]*){2}")
    os.kill(lab.next_hub_pid(), signal.SIGKILL)
    lab.wait_for(r"(kernels go on[\s\S]*){3}")
    os.kill(lab.next_hub_pid(), signal.SIGKILL)
    assert lab.ended() == 2, lab.said
    assert lab.left() == []


async def test_a_killed_supervisor_leaves_nothing_and_the_next_lab_starts_clean(lab, person):
    await person.come_in(lab.start().link())
    await person.run(await person.start_kernel(), ESCAPE)
    lab.process.kill()
    print(f"nothing left {lab.wait_until_nothing_is_left():.1f} s after kill -9 of the supervisor")
    lab.ended()
    began = time.monotonic()
    lab.start().link()
    print(f"a later start: {time.monotonic() - began:.1f} s")


@root_only
async def test_the_hub_alone_leaves_nothing_either(lab, person):
    lab.start([sys.executable, "-m", "jupyterhub", "-f", str(shipped("jupyterhub_config.py"))])
    lab.wait_for("JupyterHub is now running")
    await person.come_in(lab.link_for("ada"))
    await person.run(await person.start_kernel(), ESCAPE)
    lab.process.kill()
    print(f"nothing left {lab.wait_until_nothing_is_left():.1f} s after kill -9 of the hub")
    lab.ended()


def test_a_taken_port_is_one_line_and_no_process(lab):
    with socket.create_server(("127.0.0.1", lab.port + 2)):
        lab.start()
        assert lab.ended() == 2
    assert f"port {lab.port + 2}" in lab.lines[-1]
    assert "EARTHLAB__LAB__PORT" in lab.lines[-1]
    assert lab.left() == []
