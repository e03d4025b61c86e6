"""Folders of a process's own in place of everybody's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from earthlab.kernel.identity import Identity
from earthlab.kernel.private import can_see_own, see_own
from earthlab.testing.copies import ask_copy
from tests.kernel.running_kernel import start_bare_template

pytestmark = pytest.mark.skipif(os.getuid() != 0 or not can_see_own({}), reason="only who may mount can")

LOOK = """
import os
from pathlib import Path
Path("/tmp/mine").write_text("here")
answer = [sorted(os.listdir("/tmp")), os.stat("/tmp").st_uid, open("/proc/sysvipc/shm").read().count("\\n"),
          [line.split()[5] for line in open("/proc/self/mountinfo") if line.split()[4] == "/tmp"][-1]]
"""


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    return folder


@pytest.fixture
def template(sockets):
    service = start_bare_template(sockets / "private.sock")
    yield service
    service.stop()


def test_copies_of_one_user_meet_in_a_folder_of_their_own_and_nobody_else_does(template, own):
    identity = Identity(65534, 65534, private={"/tmp": str(own)})
    environment = {"PATH": os.environ["PATH"]}
    names, owner, segments, options = ask_copy(template.socket, LOOK, identity=identity, environment=environment)
    assert (names, owner, segments) == (["mine"], 65534, 1)
    assert {"nosuid", "nodev"} <= set(options.split(","))
    assert (own / "mine").read_text() == "here"
    more = "import os; answer = [os.listdir('/tmp'), os.path.exists('/tmp/mine')]"
    assert ask_copy(template.socket, more, identity=identity, environment=environment) == [["mine"], True]
    other = Identity(65533, 65533)
    assert ask_copy(template.socket, more, identity=other, environment=environment)[1] is False


def test_nothing_of_it_is_seen_outside(tmp_path, own):
    before = Path("/proc/self/mountinfo").read_text()
    code = "import sys, json; from earthlab.kernel.private import see_own; see_own(json.loads(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, json.dumps({"/tmp": str(own)})], check=True)
    assert Path("/proc/self/mountinfo").read_text() == before


def test_a_machine_that_does_not_let_us_says_so(tmp_path):
    assert can_see_own({"/tmp": str(tmp_path)})
    assert not can_see_own({"/tmp": str(tmp_path / "missing")})
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            see_own({})
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
