"""Commands and shells: what comes out, what they run as, and that nothing of them stays."""

import fcntl
import hashlib
import os
import signal
import struct
import termios
import time
from pathlib import Path

import pytest

from earthlab.services.gateway.processes import marked_processes
from earthlab.services.ssh.places import Wish, plan_command
from tests.hub.conftest import root_only
from tests.patience import PATIENCE, eventually
from tests.services.ssh.running_door import Screen


def _words(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        # It has ended since it was seen.
        return b""


def _marked(mark):
    return list(marked_processes(f"PROOF={mark}"))


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_the_commands(door, code):
    assert door.ssh("ana", f"exit {code}").returncode == code


def test_output_and_errors_come_apart_and_as_they_are(door):
    done = door.ssh("ana", r"printf 'out\0\377\n'; printf 'err\001' >&2")
    assert (done.stdout, done.stderr) == (b"out\0\xff\n", b"err\x01")


def test_every_byte_passes_both_ways(door):
    content = os.urandom(3_000_001)
    assert door.ssh("ana", "cat", input=content).stdout == content
    counted = door.ssh("ana", "sha256sum", input=content)
    assert counted.stdout.split()[0].decode() == hashlib.sha256(content).hexdigest()
    door.wait_for_line(kind="command", bytes_in=len(content), bytes_out=len(content))


def test_a_client_that_reads_slowly_holds_the_program_up_and_loses_nothing(door):
    client = door.begin("ana", "PROOF=slow head -c 60000000 /dev/zero")
    assert os.read(client.stdout.fileno(), 1) == b"\0"
    # All that is on the way is full: pipes, windows, and what the machine keeps for a connection.
    eventually(lambda: _waits_to_write(_marked("slow")))
    assert 1 + len(client.communicate(timeout=120)[0]) == 60_000_000
    assert client.returncode == 0


def _waits_to_write(pids):
    return any("pipe" in Path(f"/proc/{pid}/wchan").read_text() for pid in pids)


def test_a_program_that_reads_nothing_holds_up_nobody(door):
    assert door.ssh("ana", "exec <&-; echo done", input=b"x" * 30_000_000).stdout == b"done\n"


def test_what_runs_is_where_the_users_server_is(door):
    told = door.ssh("ana", "pwd; umask; ulimit -c; ulimit -d; echo $JUPYTERHUB_API_TOKEN; env").stdout.decode()
    lines = told.splitlines()
    assert lines[:2] == [str(door.home("ana")), "0022"]
    assert lines[2:4] == ["0", str((2 << 30) // 1024)]
    assert lines[4] == "server-token-of-ana"
    assert "HUSH" not in told
    assert "token-of-ana" in told.replace("server-token-of-ana", "", 1) or "JUPYTERHUB_API_TOKEN=server" in told


@root_only
def test_what_runs_has_the_account_the_group_and_the_folders_of_the_users_server(door):
    account = door.home("ana").name
    told = door.ssh("ana", "id -un; cat /proc/self/cgroup; touch /dev/shm/mine; stat -c %U /dev/shm").stdout.decode()
    assert told.splitlines()[0] == account
    if "ana" in door.groups:
        assert f"/earthlab-{door.layout.lab_id}/{account}" in told
    assert told.splitlines()[-1] == account
    assert not Path("/dev/shm/mine").exists()
    assert door.ssh("bob", "ls /dev/shm").stdout == b""
    refused = door.ssh("ana", f"cat {door.layout.hub}/keys.sqlite; ls {door.home('bob')}; ls {door.layout.inside}")
    assert refused.stderr.count(b"Permission denied") == 3


def test_the_services_own_secrets_are_not_to_be_found_in_its_children(door):
    told = door.ssh("ana", "cat /proc/$$/environ /proc/$PPID/environ; ls /proc/$$/fd", "-T").stdout
    assert b"secret" not in told
    assert b"JUPYTERHUB_API_TOKEN=own" not in told


def test_a_signal_ends_a_command_as_one(door):
    done = door.ssh("ana", "kill -TERM $$")
    assert done.returncode == 255


def test_what_a_client_leaves_running_ends_with_its_connection(door):
    deaf = door.begin("ana", "export PROOF=deaf; trap '' HUP TERM; sleep 600 & setsid sleep 601 & echo up; wait")
    bare = door.begin("ana", "echo up; PROOF=bare exec env -u EARTHLAB_SSH sleep 600")
    for client in (deaf, bare):
        assert client.stdout.readline() == b"up\n"
    eventually(lambda: len(_marked("deaf")) >= 2 and _marked("bare"))
    began = time.monotonic()
    assert door.ssh("ana", "PROOF=back setsid sleep 600 & echo done").stdout == b"done\n"
    assert time.monotonic() - began < 300
    for client in (deaf, bare):
        client.kill()
        client.communicate()
    for mark in ("deaf", "bare", "back"):
        eventually(lambda mark=mark: not _marked(mark))


def test_what_a_session_leaves_goes_on_as_long_as_its_connection(door, tmp_path):
    """As kernels and editors by ssh want it, which start something in one session and reach it by another."""
    way = f"-oControlPath={tmp_path}/way"
    master = door.begin("ana", "-oControlMaster=yes", way, "echo up; read x")
    assert master.stdout.readline() == b"up\n"
    detached = door.ssh("ana", "PROOF=kept nohup sleep 600 < /dev/null > /dev/null 2>&1 & echo done", way)
    assert detached.stdout == b"done\n"
    warns = "echo up; read x; sleep 0.5; /bin/echo warning >&2 && exec sleep 600"
    left = door.begin("ana", way, f"PROOF=left exec sh -c '{warns}'")
    assert left.stdout.readline() == b"up\n"
    left.kill()
    left.wait()
    # It is at its next turn that Debian's client closes what this one has left.
    assert door.ssh("ana", "echo in", way).stdout == b"in\n"
    left.communicate()
    eventually(lambda: any(_words(pid) == b"sleep\x00600\0" for pid in _marked("left")))
    assert _marked("kept")
    master.communicate(b"\n", timeout=120)
    eventually(lambda: not _marked("kept") and not _marked("left"))


@pytest.fixture
def screen(door):
    found = Screen(door, "ana")
    yield found
    found.close()


def test_a_shell_has_a_terminal_its_size_and_its_signals(screen):
    screen.type("PS1='$ '; tty; stty size; echo $TERM\n")
    screen.wait_for("/dev/pts/")
    screen.type("sleep 600\n")
    time.sleep(0.5)
    screen.type("\x03")
    screen.type("echo in$((40+2))$?\n")
    screen.wait_for("in42130")
    screen.type("echo > $(tty) && exit 7\n")
    assert screen.client.wait(PATIENCE) == 7


def test_a_window_that_changes_tells_the_program(screen):
    screen.type("trap 'stty size' WINCH; echo re''ady\n")
    screen.wait_for("ready")
    os.set_blocking(screen.ours, True)
    fcntl.ioctl(screen.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    screen.client.send_signal(signal.SIGWINCH)
    screen.type("\n")
    screen.wait_for("33 111")


def test_a_shell_that_hangs_up_leaves_nothing(door):
    screen = Screen(door, "ana")
    screen.type("export PROOF=shell; sleep 600 &\n echo be''gun\n")
    screen.wait_for("begun")
    eventually(lambda: _marked("shell"))
    screen.close()
    eventually(lambda: not _marked("shell"))


def test_other_subsystems_agents_and_screens_are_refused(door):
    netconf = door.ssh("ana", "netconf", "-s")
    assert netconf.returncode == 255
    agent = door.ssh("ana", "echo ${SSH_AUTH_SOCK:-none}", "-oForwardAgent=yes")
    assert agent.stdout == b"none\n"
    shown = door.ssh("ana", "echo ${DISPLAY:-none}", "-oForwardX11=yes")
    assert shown.stdout == b"none\n"


def test_the_book_says_what_kind_and_nothing_of_what(door):
    door.ssh("ana", "echo hidden-word")
    door.wait_for_line(user="ana", kind="command", bytes_out=12)
    assert "hidden-word" not in str(door.book)


@pytest.mark.parametrize(
    ("wish", "terminal", "begins", "ends"),
    [
        (Wish("shell"), True, "/bin/bash", "-i"),
        (Wish("shell"), False, "/bin/bash", "/bin/bash"),
        (Wish("command", "a 'b c'"), True, "/bin/bash", "a 'b c'"),
        (Wish("kernel", "kernel 'mon cahier.ipynb'"), True, "", "mon cahier.ipynb"),
        (Wish("sftp"), False, "", "earthlab.services.ssh.files"),
    ],
)
def test_each_wish_has_its_program(wish, terminal, begins, ends):
    command = plan_command(wish, "/bin/bash", terminal=terminal)
    assert command[0].startswith(begins)
    assert command[-1] == ends
