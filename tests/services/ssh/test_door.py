"""What bounds a door: how many, how long, and its own end; and the start of servers."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from earthlab.services.gateway.processes import marked_processes
from tests.patience import PATIENCE, eventually
from tests.services.ssh.running_door import running_door


def test_who_waits_for_a_server_is_told_on_the_errors_stream_alone(door):
    door.add_user("eva")
    door.hub.progress = [{"message": "Vous êtes 2e · You are 2nd"}, {"message": "Vous êtes 2e · You are 2nd"}]
    done = door.ssh("eva", "echo in")
    assert (done.stdout, done.stderr) == (b"in\n", "Vous êtes 2e · You are 2nd\n".encode())
    assert door.ssh("eva", "echo in").stderr == b""


def test_a_server_that_does_not_start_is_told_with_the_hubs_words(door):
    door.add_user("gil")
    door.hub.start = lambda _: False
    try:
        done = door.ssh("gil", "echo in")
    finally:
        door.hub.start = door.launch
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"Spawn failed: no" in done.stderr
    door.wait_for_line(user="gil", kind="command", exit=255)


def test_a_server_of_another_hub_is_not_entered(door):
    door.add_user("hal")
    door.extra["EARTHLAB_HEAD"] = "1"
    try:
        done = door.ssh("hal", "echo in")
    finally:
        del door.extra["EARTHLAB_HEAD"]
    assert done.returncode == 255
    assert b"Stop your server and come again" in done.stderr


def test_a_session_ends_with_the_users_server(door):
    door.add_user("ivo")
    client = door.begin("ivo", "export PROOF=ivo; sleep 600 & echo up; wait")
    assert client.stdout.readline() == b"up\n"
    door.stop_server("ivo")
    assert client.wait(PATIENCE) != 0
    client.communicate()
    assert not list(marked_processes("PROOF=ivo"))


@pytest.fixture(scope="module")
def narrow():
    """A door with the least of everything."""
    with running_door(SSH__USER_SESSIONS="2", SSH__SESSIONS="3", SSH__IDLE_MINUTES="1") as found:
        for name in ("ana", "bob"):
            found.add_user(name)
        yield found


def test_one_user_and_all_together_have_so_many_sessions_and_no_more(narrow):
    clients = [narrow.begin(name, "echo up; read x") for name in ("ana", "ana", "bob")]
    for client in clients:
        assert client.stdout.readline() == b"up\n"
    for name in ("ana", "bob"):
        refused = narrow.ssh(name, "echo in")
        assert refused.returncode == 255
        narrow.wait_for_line(user=name, why="too many sessions")
    for client in clients:
        client.communicate(b"\n", timeout=120)
    eventually(lambda: narrow.ssh("ana", "echo in").stdout == b"in\n")


def test_all_ends_with_the_door_and_what_a_killed_one_leaves_with_the_next(narrow):
    command = "export PROOF=door; trap '' HUP TERM; setsid sleep 600 & echo up; wait"
    for sent in (signal.SIGTERM, signal.SIGKILL):
        client = narrow.begin("ana", command)
        assert client.stdout.readline() == b"up\n"
        narrow.process.send_signal(sent)
        narrow.process.wait(PATIENCE)
        assert client.wait(PATIENCE) != 0
        client.communicate()
        if sent == signal.SIGKILL:
            assert list(marked_processes("PROOF=door"))
        key = (narrow.layout.ssh / "ssh_host_ed25519_key").read_bytes()
        narrow.start()
        assert (narrow.layout.ssh / "ssh_host_ed25519_key").read_bytes() == key
        eventually(lambda: not list(marked_processes("PROOF=door")))
    assert narrow.ssh("ana", "echo in").stdout == b"in\n"


def test_what_the_door_keeps_is_for_the_operator_alone(door):
    folder = door.layout.ssh
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in (
        folder / "ssh_host_ed25519_key",
        door.layout.keys,
        *folder.glob("*.jsonl"),
        *door.layout.inside.iterdir(),
    ):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_door_that_no_hub_has_started_says_so():
    done = subprocess.run(
        [sys.executable, "-P", "-m", "earthlab.services.ssh"], capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "make lab" in done.stderr
