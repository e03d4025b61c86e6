"""A lab in which each user has a template of their own, as an operator may want it; with root and without."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from earthlab.testing.catalogues import bring_catalogue
from earthlab.testing.ports import free_row
from tests.hub.burst import browsers
from tests.hub.conftest import root_only
from tests.hub.running_lab import PROGRAM, Lab, Person

pytestmark = [pytest.mark.lab, root_only]

AS_NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
COMMANDS = {"root": [PROGRAM, "lab"], "nobody": [*AS_NOBODY, PROGRAM, "lab"]}
WHO = """
import os
def name(pid): return open(f"/proc/{pid}/comm").read().strip()
print(os.environ["JUPYTERHUB_USER"], os.getuid(), name("self"), name(os.getppid()), os.getppid())
"""


@pytest.fixture(params=COMMANDS)
def lab(request):
    """A lab as root or as nobody."""
    folder = Path(tempfile.mkdtemp(prefix="earthlab-lab-", dir="/var/tmp"))
    folder.chmod(0o755)
    bring_catalogue(request.config, folder)
    account = pwd.getpwnam(request.param)
    subprocess.run(["chown", "-R", f"{account.pw_uid}:{account.pw_gid}", str(folder)], check=True)
    found = Lab(folder, free_row(), words={"EARTHLAB__HUB__TEMPLATE": "user", "HOME": str(folder)})
    yield found.start(COMMANDS[request.param])
    found.close()
    for left in (folder, found.layout.run, Path(f"/tmp/earthlab-{account.pw_uid}-{found.layout.lab_id}")):
        shutil.rmtree(left, ignore_errors=True)


async def ask_until_copied(person: Person) -> tuple[str, int, int]:
    """Start kernels until one is a copy; whose it is, as whom it runs, and the pid of the nursery."""
    for _ in range(30):
        user, uid, name, above, nursery = (await person.run(await person.start_kernel(), WHO)).split()
        if (name, above) == ("el-kernel", "el-nursery"):
            return user, int(uid), int(nursery)
        await asyncio.sleep(1)
    raise AssertionError("no kernel is a copy of the user's nursery")


async def test_kernels_are_copies_of_their_users_own_process_which_is_replaced_when_it_is_killed(lab, request):
    lab.wait_for(r"token=\S+")
    async with browsers(lab, 1) as (person,):
        await person.come_in(lab.link())
        user, uid, first = await ask_until_copied(person)
        assert user == "earthlab"
        assert uid != os.getuid()
        # Once will do: it takes its time.
        if "nobody" in request.node.name:
            os.kill(first, signal.SIGKILL)
            again = await ask_until_copied(person)
            assert again[:2] == (user, uid)
            assert again[2] != first
    assert "el-template" not in {process.command for process in lab.left()}
