"""A cluster's door: commands, shells, files and ports inside of pods, by Debian's own client."""

import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import aiohttp
import pytest

from earthlab.errors import NotAllowed
from earthlab.services.gateway.processes import marked_processes
from earthlab.services.ssh.lines import HOLD, PORT, PROGRAM, Request
from earthlab.services.ssh.places import MARK, Wish
from earthlab.services.ssh.pods import open_line
from earthlab.testing.ports import free_row
from tests.patience import PATIENCE, eventually
from tests.services.ssh.pod_door import SERVICE_TOKEN, line_url, pod_door
from tests.services.ssh.running_door import Screen

SOMEBODY = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def pods():
    with pod_door() as door:
        for name in ("ana", "bob"):
            door.add_user(name)
        yield door


@pytest.mark.parametrize("code", [0, 42, 255])
def test_the_exit_code_is_the_commands(pods, code):
    assert pods.ssh("ana", f"exit {code}").returncode == code


def test_output_and_errors_come_apart_and_as_they_are(pods):
    done = pods.ssh("ana", r"printf 'out\0\377\n'; printf 'err\001' >&2")
    assert (done.stdout, done.stderr) == (b"out\0\xff\n", b"err\x01")


def test_a_program_is_inside_of_the_pod_with_the_environment_of_its_server(pods):
    told = pods.ssh("ana", "pwd; echo $JUPYTERHUB_API_TOKEN; echo ${HUSH:-none}; umask").stdout.decode().split()
    assert told == [str(pods.home("ana")), "server-token-of-ana", "none", "0022"]
    assert pods.ssh("bob", "pwd").stdout.decode().strip() == str(pods.home("bob"))


def test_bytes_of_any_kind_pass_both_ways_whole(pods):
    sent = os.urandom(24 << 20)
    done = pods.ssh("ana", "cat", input=sent)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()
    assert done.returncode == 0


def test_input_that_ends_ends_for_the_program_and_one_that_it_does_not_want_holds_up_nothing(pods):
    assert pods.ssh("ana", "wc -c", input=b"x" * 1000).stdout == b"1000\n"
    assert pods.ssh("ana", "head -c 3", input=b"abc" * (4 << 20)).stdout == b"abc"


def test_who_reads_slowly_holds_the_program_up_instead_of_filling_memory(pods):
    client = pods.begin("ana", "head -c 200000000 /dev/zero; echo done > done; sleep 600")
    try:
        done = pods.home("ana") / "done"
        time.sleep(3)
        assert not done.exists()
        seen = 0
        while seen < 200_000_000:
            seen += len(os.read(client.stdout.fileno(), 1 << 20))
        eventually(done.exists, what="the program's end")
    finally:
        client.kill()
        client.communicate()


def test_a_program_that_a_signal_has_ended_is_told_as_such(pods):
    client = pods.begin("ana", "kill -TERM $$")
    _, said = client.communicate(timeout=PATIENCE)
    assert client.returncode == 255, said


def test_a_shell_has_a_terminal_of_the_clients_size_and_ctrl_c_interrupts(pods):
    screen = Screen(pods, "ana")
    try:
        screen.type("stty size; echo re'ady'\r")
        screen.wait_for("ready")
        fcntl.ioctl(screen.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
        screen.client.send_signal(signal.SIGWINCH)
        until = time.monotonic() + PATIENCE
        while b"33 111" not in screen.seen:
            assert time.monotonic() < until, screen.seen[-2000:]
            screen.type("stty size\r")
            screen.read(0.5)
        screen.type("sleep 600\r")
        time.sleep(0.5)
        screen.type("\x03")
        screen.type("echo af'ter'\r")
        screen.wait_for("after")
        screen.type("exit 7\r")
        assert screen.client.wait(PATIENCE) == 7
    finally:
        screen.close()


def test_files_go_both_ways(pods, tmp_path):
    content = tmp_path / "a.bin"
    content.write_bytes(os.urandom(5 << 20))
    assert pods.transfer("scp", "ana", str(content), "ana@127.0.0.1:là.bin").returncode == 0
    assert (pods.home("ana") / "là.bin").read_bytes() == content.read_bytes()
    assert pods.transfer("scp", "ana", "ana@127.0.0.1:là.bin", str(tmp_path / "b.bin")).returncode == 0
    assert (tmp_path / "b.bin").read_bytes() == content.read_bytes()


def test_rsync_keeps_a_folder_alike(pods, tmp_path):
    (tmp_path / "arbre/sous").mkdir(parents=True)
    (tmp_path / "arbre/sous/x.txt").write_text("un\n")
    shell = " ".join(["ssh", *pods.options(pods.folder / "id_ana"), f"-p{pods.port}"])
    line = ["rsync", "-a", "-e", shell, f"{tmp_path}/arbre/", "ana@127.0.0.1:arbre/"]
    assert subprocess.run(line, check=False, timeout=120).returncode == 0
    assert (pods.home("ana") / "arbre/sous/x.txt").read_text() == "un\n"


def test_a_port_of_the_pod_is_reached_and_one_where_nobody_listens_is_refused(pods):
    there, ours = free_row(1), free_row(1)
    words = f"{sys.executable} -u -m http.server --bind 127.0.0.1 {there}"
    client = pods.begin("ana", f"-L{ours}:localhost:{there}", words)
    try:
        eventually(lambda: b"Directory listing" in (_asked(ours) or b""), what="the page behind the port")
    finally:
        client.kill()
        client.communicate()
    dead = free_row(1)
    client = pods.begin("ana", f"-L{ours}:localhost:{dead}", "sleep 600")
    try:
        eventually(lambda: _asked(ours) == b"", what="a refusal")
        assert "no process of yours" in pods.wait_for_line(kind="forward", port=dead)["why"]
    finally:
        client.kill()
        client.communicate()


def _asked(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            line.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"".join(iter(lambda: line.recv(65536), b""))
    except ConnectionRefusedError:
        return None
    except ConnectionResetError:
        return b""


def _marked(mark):
    return list(marked_processes(f"PROOF={mark}"))


def test_what_a_session_leaves_goes_on_as_long_as_its_connection_and_no_longer(pods):
    control = pods.folder / "control"
    options = pods.options(pods.folder / "id_ana", "-M", f"-S{control}", "-N")
    master = subprocess.Popen(["ssh", *options, f"-p{pods.port}", "ana@127.0.0.1"])
    try:
        eventually(control.exists, what="the connection")
        line = ["ssh", f"-S{control}", "-p1", "ana@127.0.0.1", "PROOF=left nohup sleep 600 >/dev/null 2>&1 & exit 0"]
        assert subprocess.run(line, check=False, timeout=PATIENCE).returncode == 0
        time.sleep(3)
        assert _marked("left")
    finally:
        master.terminate()
        master.wait(PATIENCE)
    eventually(lambda: not _marked("left"), what="the end of what was left")


def test_a_door_that_is_killed_leaves_nothing_behind(pods):
    client = pods.begin("ana", "PROOF=door sleep 600")
    try:
        eventually(lambda: _marked("door"), what="the program")
        pods.process.kill()
        pods.process.wait()
        eventually(lambda: not _marked("door"), what="its end")
    finally:
        client.kill()
        client.communicate()
        pods.start()


def test_the_end_of_the_server_ends_the_connection_and_the_next_one_starts_it(pods):
    client = pods.begin("bob", "echo up; sleep 600")
    assert client.stdout.readline() == b"up\n"
    pods.stop_server("bob")
    client.communicate(timeout=PATIENCE)
    assert client.returncode == 255
    assert pods.ssh("bob", "echo again").stdout == b"again\n"


def test_a_key_that_is_not_on_the_page_or_no_longer_opens_nothing(pods):
    eve = pods.add_user("eve")
    (own,) = [each for each in pods.hub.keys if each[0] == "eve"]
    assert pods.ssh("ana", "true", key=eve).returncode == 255
    pods.hub.active.add("eve")
    assert pods.hub.keys.pop(own)
    assert pods.ssh("eve", "true", key=eve).returncode == 255
    assert pods.wait_for_line(kind="refused", user="eve")["why"] == "a key that is not the user's"
    pods.hub.active.discard("eve")


def test_a_token_of_the_users_own_opens_too_and_the_use_of_a_key_is_noted(pods):
    assert pods.ssh("ana", "echo in", token="token-of-ana").stdout == b"in\n"
    assert pods.ssh("ana", "true").returncode == 0
    (found,) = [key for (user, _), key in pods.hub.keys.items() if user == "ana"]
    eventually(lambda: found["used"] is not None, what="the note")


def test_the_hub_is_told_by_what_the_door_is_known(pods):
    eventually(lambda: pods.hub.announced, what="the door's key")
    assert pods.hub.announced[-1].split()[1] in pods.known.read_text()


@pytest.mark.parametrize("path", [f"{HOLD}?mark={SOMEBODY}", PROGRAM, f"{PORT}?port=22"])
@pytest.mark.parametrize("token", ["", "somebody-elses"])
async def test_who_may_not_enter_the_server_may_not_use_its_inside(pods, path, token):
    pods.ssh("ana", "true")
    headers = {"Authorization": f"token {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(line_url(pods, "ana", path))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("path", "first", "why"),
    [
        (f"{HOLD}?mark=x", "", "32 hexadecimal"),
        (PROGRAM, "{}", "expected what the ssh door sends"),
        (PROGRAM, Request(Wish("command", "true"), words={MARK: "x"}).render(), "32 hexadecimal"),
        (PROGRAM, Request(Wish("command", "true"), words={MARK: SOMEBODY}).render(), "nobody holds it"),
        (f"{PORT}?port=x", "", "x"),
    ],
)
async def test_the_inside_refuses_what_it_does_not_know(pods, path, first, why):
    pods.ssh("ana", "true")
    with pytest.raises(NotAllowed, match=why):
        await open_line(line_url(pods, "ana", path), SERVICE_TOKEN, first)


def test_nothing_of_the_doors_is_in_a_programs_environment(pods):
    pid = pods.process.pid
    assert SERVICE_TOKEN in Path(f"/proc/{pid}/environ").read_text()
    seen = pods.ssh("ana", "cat /proc/self/environ").stdout.decode().split("\0")
    assert not [each for each in seen if each.endswith(f"={SERVICE_TOKEN}")]
