"""What editors and notebooks on a laptop do with a machine that they reach by ssh."""

import json
import socket
import struct
import time
from contextlib import ExitStack

from jupyter_client.blocking.client import BlockingKernelClient

from earthlab.kernel.tcp import read_listeners
from earthlab.testing.ports import free_row
from tests.hub.conftest import root_only
from tests.patience import PATIENCE

_AGENT = """\
cat > agent.py <<'END'
import socket
server = socket.create_server(("127.0.0.1", 0))
print("listeningOn==%d==" % server.getsockname()[1], flush=True)
while True:
    line = server.accept()[0]
    line.sendall(b"agent: " + line.recv(100))
    line.close()
END
nohup python agent.py < /dev/null > agent.log 2>&1 &
until grep -q listeningOn agent.log; do sleep 0.05; done
cat agent.log
"""


def _wait_for_port(port):
    until = time.monotonic() + PATIENCE
    while not any(one.port == port for one in read_listeners()):
        assert time.monotonic() < until
        time.sleep(0.05)


def _proxied(proxy, port):
    line = socket.create_connection(("127.0.0.1", proxy), timeout=120)
    line.sendall(b"\x05\x01\x00")
    assert line.recv(2) == b"\x05\x00"
    # By name, as VS Code asks for it.
    line.sendall(b"\x05\x01\x00\x03\x09localhost" + struct.pack(">H", port))
    assert line.recv(10)[:2] == b"\x05\x00"
    return line


@root_only
def test_an_editors_agent_is_started_by_a_script_and_reached_by_a_proxy(door):
    """As VS Code does it: ``ssh -T -D PORT host bash``, a script on its input, connections to where that listens."""
    ours = free_row(1)
    client = door.begin("ana", "-T", f"-D{ours}", "-oConnectTimeout=15", "bash", text=True)
    try:
        client.stdin.write(_AGENT)
        client.stdin.flush()
        port = int(client.stdout.readline().split("==")[1])
        with ExitStack() as stack:
            # An editor, its extensions and what runs in it: more than one user may have of sessions.
            lines = [stack.enter_context(_proxied(ours, port)) for _ in range(30)]
            for line in reversed(lines):
                line.sendall(b"hello")
            assert [line.recv(100) for line in lines] == [b"agent: hello"] * 30
        assert door.ssh("ana", "echo in").stdout == b"in\n"
    finally:
        client.stdin.close()
        client.kill()
        client.wait()
        client.stdout.close()
        client.stderr.close()
    until = time.monotonic() + PATIENCE
    while any(one.port == port for one in read_listeners()):
        assert time.monotonic() < until
        time.sleep(0.1)


@root_only
def test_a_kernel_on_the_lab_serves_a_notebook_on_a_laptop(door, tmp_path):
    """As kernels by ssh do it: a connection file there, a kernel that reads it, and its ports brought here."""
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    there = {name: free_row(1) for name in names}
    here = {name: free_row(1) for name in names}
    common = {"ip": "127.0.0.1", "transport": "tcp", "key": "0f1e2d3c", "signature_scheme": "hmac-sha256"}
    put = door.ssh("ana", "cat > laptop.json", input=json.dumps({**common, **there}).encode())
    assert put.returncode == 0
    tunnels = [f"-L{here[name]}:127.0.0.1:{there[name]}" for name in names]
    process = door.begin("ana", *tunnels, "exec python -m ipykernel_launcher -f laptop.json")
    (tmp_path / "here.json").write_text(json.dumps({**common, **here}))
    try:
        for port in there.values():
            _wait_for_port(port)
        kernel = BlockingKernelClient(connection_file=str(tmp_path / "here.json"))
        kernel.load_connection_file()
        kernel.start_channels()
        kernel.wait_for_ready(timeout=120)
        said = []
        kernel.execute_interactive(
            "import os; print(os.getcwd())", timeout=120, output_hook=lambda message: said.append(message["content"])
        )
        kernel.stop_channels()
        assert any(str(door.home("ana")) in content.get("text", "") for content in said)
    finally:
        process.kill()
        process.communicate()
