"""What the code of a notebook can do to others in a real lab: nothing."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from earthlab.hub.layout import resolve_ports
from earthlab.hub.private import plan_private
from earthlab.hub.processes import find_lab_processes, send
from earthlab.hub.spawners import make_runtime_folder
from earthlab.hub.template import template_socket
from earthlab.settings import load_settings
from tests.hub import attacks
from tests.hub.burst import Guest, arrive, browsers, copies, invite, open_door
from tests.hub.conftest import root_only
from tests.hub.running_lab import Lab, Person

pytestmark = [pytest.mark.lab, root_only]

CODE = Path(attacks.__file__).read_text()
SURROUNDINGS = """
import json, os
names = ("JUPYTERHUB_API_TOKEN", "JUPYTERHUB_SERVICE_URL", "JUPYTERHUB_API_URL", "JUPYTER_RUNTIME_DIR")
print(json.dumps({name: os.environ[name] for name in names}))
"""


def variables(pid: int) -> dict[str, str]:
    told = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    return dict(line.split("=", 1) for line in told if "=" in line)


async def wait_for_copies(lab: Lab, guest: Guest) -> dict[str, int]:
    """The pids of somebody's processes by name, once the next kernel is parked."""
    ours: dict[str, int] = {}
    while "el-parked" not in ours:
        await asyncio.sleep(0.2)
        ours = {p.command: p.pid for p in lab.left() if p.uid == guest.account.uid and p.command.startswith("el-")}
    return ours


async def look_at(lab: Lab, person: Person, guest: Guest) -> tuple[dict[str, Any], str]:
    """What is to know of somebody with a kernel, as far as the machine's operator can tell; and the kernel's id."""
    await person.come_in(open_door(person, guest))
    kernel = await person.start_kernel()
    told = json.loads(await person.run(kernel, SURROUNDINGS))
    runtime = Path(told["JUPYTER_RUNTIME_DIR"])
    ours = await wait_for_copies(lab, guest)
    return {
        "name": guest.name,
        "pids": ours,
        "kernel": ours["el-kernel"],
        "runtime": str(runtime),
        "nursery": str(runtime / "nursery.sock"),
        "kernel_socket": str(runtime / f"kernel-{kernel}-ipc-1"),
        "connection_file": str(runtime / f"kernel-{kernel}.json"),
        "home": str(guest.account.home),
        "secret": str(guest.account.home / ".secret"),
        "server_url": f"{person.server}/",
        "server_direct": told["JUPYTERHUB_SERVICE_URL"],
        "hub_api": told["JUPYTERHUB_API_URL"],
        "token": told["JUPYTERHUB_API_TOKEN"],
    }, kernel


def know_the_lab(lab: Lab, mallory: dict[str, Any], amina: dict[str, Any]) -> dict[str, Any]:
    ports = resolve_ports(load_settings({"lab.port": lab.port}, environ={}, files=()))
    here = "http://127.0.0.1"
    return {
        "template": str(template_socket(lab.layout)),
        "run": str(lab.layout.run),
        "homes": str(lab.layout.homes),
        "hub_folder": str(lab.layout.hub),
        "hub_files": [str(file.relative_to(lab.layout.hub)) for file in lab.layout.hub.rglob("*") if file.is_file()],
        "hub_url": f"{here}:{lab.port}/hub",
        "hub_api": mallory["hub_api"],
        "proxy_api": f"{here}:{ports.proxy_api}",
        "gateway": f"{here}:{lab.port}/services/dask-gateway",
        "gateway_api": f"{here}:{ports.gateway_api}",
        "signing": f"{here}:{ports.signing}",
        "token": mallory["token"],
        "other": amina["name"],
        "other_server": amina["server_direct"],
    }


def collect_secrets(lab: Lab, amina: dict[str, Any], guest: Guest) -> dict[str, str]:
    """What must be in nobody else's memory, by name."""
    found = {"amina's token": amina["token"], "amina's file": guest.secret}
    for process in find_lab_processes(lab.layout):
        for name in ("JUPYTERHUB_API_TOKEN", "CONFIGPROXY_AUTH_TOKEN"):
            if process.uid == 0 and (secret := variables(process.pid).get(name)):
                found[f"{name} of {process.command} {process.pid}"] = secret
    return found | {"cookies": (lab.layout.hub / "cookie_secret").read_text().strip()}


def read_command_lines(lab: Lab) -> str:
    return "".join(Path(f"/proc/{each.pid}/cmdline").read_text(errors="replace") for each in lab.left())


def halve(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


@pytest.fixture(scope="module")
def told(standing_lab):
    """What the attacks have come to, all of them, in one cell of mallory's while amina works."""
    standing_lab.wait_for(r"token=\S+")
    return asyncio.run(attack(standing_lab))


async def attack(lab: Lab) -> dict[str, Any]:
    guests = invite(lab, ["amina", "mallory"])
    async with browsers(lab, 2) as people:
        (amina, her_kernel), (mallory, kernel) = [
            await look_at(lab, *each) for each in zip(people, guests, strict=True)
        ]
        has = json.loads(await people[0].run(her_kernel, f"{CODE}\ntell(have_own_things())"))
        hidden = collect_secrets(lab, amina, guests[0])
        named = {f"{process.command} {process.pid}": process.pid for process in lab.left() if process.uid == 0}
        facts = {
            "pids": {**amina.pop("pids"), **named, "the hub": lab.hub_pid()},
            "other": {
                **amina,
                **has,
                "token": "",
                "with_token": mallory["token"],
                "user_model": f"{amina['hub_api']}/users/amina",
            },
            "own": {**mallory, "with_token": mallory["token"], "user_model": f"{mallory['hub_api']}/user"},
            "lab": know_the_lab(lab, mallory, amina),
            "halves": {name: halve(secret) for name, secret in hidden.items()} | {"own": halve(mallory["token"])},
        }
        asked = f"{CODE}\ntell(attack_all(json.loads({json.dumps(json.dumps(facts))})))"
        answer = json.loads(await people[1].run(kernel, asked))
        lines = read_command_lines(lab)
        shown = [name for name, secret in hidden.items() if secret in lines]
        alive = await people[0].run(her_kernel, "print(6 * 7)")
        return answer | {
            "log": f"{guests[1].account.name}.log",
            "shown": shown,
            "alive": alive,
            "searched": sorted(facts["halves"]),
        }


@pytest.mark.parametrize("attack", sorted(attacks.PROCESS))
def test_a_process_is_its_users_alone(told, attack):
    came_to = {whose: found[attack] for whose, found in told["processes"].items()}
    assert came_to.pop("own").startswith("done"), "the attack itself does not work"
    assert [f"{whose}: {said}" for whose, said in came_to.items() if not said.startswith("refused")] == []
    assert {"the hub", "el-server", "el-nursery", "el-kernel", "el-parked"} <= came_to.keys()
    assert [whose for whose in came_to if "el-template" in whose]


@pytest.mark.parametrize("attack", sorted(attacks.PLACES))
def test_a_users_things_are_the_users_alone(told, attack, standing_lab):
    assert told["places"]["own"][attack].startswith("done"), "the attack itself does not work"
    # Where the lab itself, or what all users read, lies in /tmp, that stays everybody's.
    private = plan_private(load_settings(environ={}, files=()), standing_lab.layout, os.environ)
    open_to_all = attack == "its temporary file" and Path("/tmp") not in private
    assert told["places"]["other"][attack].startswith("done" if open_to_all else "refused")


def test_nobody_gets_what_is_the_labs(told):
    given = {name for name, said in told["always refused"].items() if not said.startswith("refused")}
    # Only who may raise bounds, capabilities(7), can bound how late a process is ended.
    capabilities = int(Path("/proc/self/status").read_text().split("CapEff:")[1].split()[0], 16)
    assert given == (set() if capabilities >> 24 & 1 else {"to be ended later"})


def test_a_kernel_holds_no_descriptor_of_anybody_elses(told):
    own = ("/dev/null", "pipe:[", "socket:[", "anon_inode:[")
    files = {told for told in told["descriptors"] if not told.startswith(own)}
    assert {Path(file).name.removesuffix("-journal") for file in files} == {"proj.db", "history.sqlite", told["log"]}


def test_no_secret_of_others_is_in_a_kernels_memory_or_on_a_command_line(told):
    assert told["in own memory"] == ["own"]
    assert told["shown"] == []
    assert len(told["searched"]) > 6


def test_who_is_attacked_does_not_notice(told):
    assert told["alive"] == "42\n"


NOTE = """
import os
with open({file!r}, "a") as notes:
    notes.write(f"{{os.getuid()}} {{open('/proc/self/comm').read()}}")
"""
PACKAGES = f".local/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
STARTUP = ".ipython/profile_default/startup/00-own.py"
PLANTED = (
    STARTUP,
    ".jupyter/jupyter_server_config.py",
    f"{PACKAGES}/usercustomize.py",
    f"{PACKAGES}/sitecustomize.py",
    f"{PACKAGES}/earthlab/__init__.py",
    "sitecustomize.py",
    "earthlab/__init__.py",
    "numpy.py",
)


def plant(guest: Guest, runtime: Path, template: Path) -> Path:
    """Everything by which a home can have Python run code, each with a note of who did; and a false nursery."""
    home, account = guest.account.home, guest.account
    notes = home / "notes"
    code = NOTE.format(file=str(notes))
    for name in PLANTED:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(code)
    (home / PACKAGES / "own.pth").write_text(f"import os; exec({code!r})\n")
    notes.touch()
    for folder, names, files in os.walk(home):
        for name in (*names, *files):
            os.chown(Path(folder, name), account.uid, account.gid, follow_symlinks=False)
    make_runtime_folder(runtime, account)
    (runtime / "nursery.sock").symlink_to(template)
    return notes


def test_what_somebody_plants_at_home_runs_as_that_somebody_alone(standing_lab):
    lab = standing_lab
    lab.wait_for(r"token=\S+")
    trudy, uma = invite(lab, ["trudy", "uma"])
    notes = plant(trudy, lab.layout.run / trudy.account.name[-6:], template_socket(lab.layout))

    async def come() -> list[bool]:
        async with browsers(lab, 2) as people:
            first = await arrive(people[0], trudy)
            (template,) = copies(lab, "el-template")
            send(template, signal.SIGKILL)
            return [each.is_their_own for each in (first, await arrive(people[1], uma))]

    assert asyncio.run(come()) == [True, True]
    told = [line.split() for line in notes.read_text().splitlines()]
    assert {int(uid) for uid, _ in told} == {trudy.account.uid}
    assert {"el-server", "el-parked"} <= {name for _, name in told}
    assert template_socket(lab.layout).is_socket()
