"""Which ports can be reached: the user's own, and no others of the machine."""

import os
import socket
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest

from earthlab.errors import NotAllowed
from earthlab.kernel.tcp import parse_sockets, read_listeners
from earthlab.services.ssh.listeners import connect_to_own, resolve_target
from earthlab.testing.ports import free_row
from tests.hub.conftest import root_only
from tests.patience import PATIENCE
from tests.services.ssh.running_door import running_door

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 11 1 0 100 0 0 10 0
   1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 12 1 0 100 0 0 10 0
   2: 0100007F:1F92 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1001        0 13 1 0 100 0 0 10 0
   3: 0A01A8C0:1F93 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 14 1 0 100 0 0 10 0
"""
TABLE_6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F94 00000000000000000000000000000000:0000 0A 0:0 00:0 0 1001 0 15 1
   1: 00000000000000000000000000000000:1F95 00000000000000000000000000000000:0000 0A 0:0 00:0 0 1001 0 16 1
   2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 0:0 00:0 0 1001 0 17 1
"""
ALL = [one for table in (TABLE, TABLE_6) for one in parse_sockets(table, listening=True)]


@pytest.mark.parametrize(("port", "address"), [(8080, "127.0.0.1"), (8084, "::1"), (8085, "127.0.0.1")])
def test_a_port_of_the_users_own_is_reached_where_they_listen(port, address):
    assert resolve_target(ALL, port, 1001)[0] == address


@pytest.mark.parametrize("port", [8081, 8082, 8083, 8086])
def test_shared_foreign_and_dead_ports_and_other_addresses_are_refused_alike(port):
    with pytest.raises(NotAllowed, match="no process of yours listens there"):
        resolve_target(ALL, port, 1001)


def test_somebody_elses_port_is_not_ours():
    with pytest.raises(NotAllowed):
        resolve_target(ALL, 8080, 1002)


async def test_a_listener_is_found_by_its_uid_and_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert any(one.port == port and one.uid == os.getuid() for one in read_listeners())
        (await connect_to_own(port, os.getuid())).close()
        with pytest.raises(NotAllowed):
            await connect_to_own(port, os.getuid() + 1)


@contextmanager
def _served(door, name, word):
    """A port that a user's process listens on; it says the word and what it was told."""
    port = free_row(1)
    code = (
        "import socket\n"
        f"s = socket.create_server(('127.0.0.1', {port})); print('up', flush=True)\n"
        "while True:\n"
        f"    c = s.accept()[0]; f = c.makefile('rwb'); t = f.read(); f.write(b'{word} ' + t); f.close(); c.close()\n"
    )
    client = door.begin(name, "exec python -")
    client.stdin.write(code.encode())
    client.stdin.close()
    assert client.stdout.readline() == b"up\n"
    try:
        yield port
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
        client.stderr.close()


@contextmanager
def _forward(door, name, target):
    ours = free_row(1)
    options = door.options(door.folder / f"id_{name}", "-N", f"-L{ours}:{target}")
    line = ["ssh", *options, f"-p{door.port}", f"{name}@127.0.0.1"]
    client = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + PATIENCE
    while not any(one.port == ours for one in read_listeners()):
        assert time.monotonic() < until
        time.sleep(0.05)
    try:
        yield ours
    finally:
        client.kill()
        client.communicate()


def _talk(port, text=b"hello"):
    with socket.create_connection(("127.0.0.1", port), timeout=120) as line:
        found = b""
        # The client of whoever is refused breaks the connection off.
        with suppress(OSError):
            line.sendall(text)
            line.shutdown(socket.SHUT_WR)
            while data := line.recv(65536):
                found += data
        return found


@root_only
def test_a_port_of_ones_own_server_is_reached_with_every_byte(door):
    text = b"x" * 2_000_000
    with _served(door, "ana", "own") as port, _forward(door, "ana", f"localhost:{port}") as ours:
        assert _talk(ours, text) == b"own " + text
        line = door.wait_for_line(user="ana", kind="forward", port=port)
        assert (line["bytes_in"], line["bytes_out"]) == (len(text), len(text) + 4)


@root_only
def test_ports_of_others_of_the_hub_and_of_nobody_are_refused_and_written_down(door):
    hub = int(door.hub.url.rpartition(":")[2].partition("/")[0])
    with _served(door, "bob", "theirs") as theirs:
        for port in (theirs, hub, door.port, free_row(1)):
            with _forward(door, "ana", f"127.0.0.1:{port}") as ours:
                assert _talk(ours) == b""
            line = door.wait_for_line(user="ana", kind="forward", port=port)
            assert "no process of yours listens there" in line["why"]


@root_only
@pytest.mark.parametrize("host", ["192.0.2.1", "example.org", "0.0.0.0", "127.0.0.2"])
def test_other_machines_are_refused(door, host):
    with _forward(door, "ana", f"{host}:80") as ours:
        assert _talk(ours) == b""
    door.wait_for_line(user="ana", kind="forward", why=f"{host}: only your own server can be reached, as localhost")


def test_the_way_back_and_sockets_of_the_file_system_are_refused(door):
    back = door.ssh("ana", "true", f"-R{free_row(1)}:127.0.0.1:{door.port}", "-oExitOnForwardFailure=yes")
    assert back.returncode == 255
    ours = free_row(1)
    options = door.options(door.folder / "id_ana", "-N", f"-L{ours}:{door.layout.run}/template.sock")
    client = subprocess.Popen(["ssh", *options, f"-p{door.port}", "ana@127.0.0.1"], stderr=subprocess.DEVNULL)
    try:
        while not any(one.port == ours for one in read_listeners()):
            time.sleep(0.05)
        assert _talk(ours) == b""
    finally:
        client.kill()
        client.wait()


def test_where_users_share_an_account_nobodys_ports_can_be_told_apart():
    with running_door(LAB__ACCOUNTS="shared") as shared:
        shared.add_user("ana")
        assert shared.ssh("ana", "echo in").stdout == b"in\n"
        with _served(shared, "ana", "own") as port, _forward(shared, "ana", f"localhost:{port}") as ours:
            assert _talk(ours) == b""
            assert "share one account" in shared.wait_for_line(kind="forward", port=port)["why"]
