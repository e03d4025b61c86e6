"""What a page is told when memory has cost its kernel its life: a real server, a real kernel, a real limit."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from earthlab.hub.cgroups import Limits, Use, close_group, governed_group, open_group, open_lab_group, sweep
from earthlab.hub.connections import render_kill
from earthlab.hub.server import kernels_folder

MIB = 2**20
TOKEN = "page"
PROTOCOL = "v1.kernel.websocket.jupyter.org"
GREEDY = "import time; print('first', flush=True); time.sleep(0.5); x = bytearray(b'x') * 2**30"


def test_the_error_says_limit_use_and_next_steps_in_both_languages():
    said = "\n".join(render_kill(Use(memory=int(1.25 * 2**30), limit=4 * 2**30, kills=1))["traceback"])
    assert "4,0 Gio" in said
    assert "1,2 Gio" in said
    assert "4.0 GiB" in said
    assert "1.2 GiB" in said
    assert "el.cluster()" in said
    assert said.index("Le noyau") < said.index("The kernel")


def test_where_no_limit_was_met_it_was_the_machines_memory():
    content = render_kill(Use(memory=2**30, limit=None, kills=1))
    assert "machine has no memory left" in content["evalue"]
    assert content["ename"] == "MemoryError"


@dataclass(frozen=True)
class Server:
    url: str
    log: Path

    async def start_kernel(self) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            made = await client.post(f"{self.url}/api/kernels?token={TOKEN}", json={"name": "earthlab"}, timeout=60)
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    @asynccontextmanager
    async def page(self, kernel: str, protocol: str | None) -> AsyncIterator["Page"]:
        url = f"{self.url}/api/kernels/{kernel}/channels?session_id={uuid.uuid4()}&token={TOKEN}"
        request = HTTPRequest(url.replace("http:", "ws:"), connect_timeout=60, request_timeout=60)
        line = await websocket_connect(request, subprotocols=[protocol] if protocol else None)
        try:
            yield Page(line, protocol)
        finally:
            line.close()
            while await line.read_message() is not None:
                pass


@dataclass(frozen=True)
class Page:
    line: WebSocketClientConnection
    protocol: str | None

    async def run(self, code: str, until: str = "idle", seconds: float = 60.0) -> list[dict]:
        """What the page hears on iopub after it sent a cell, until the kernel's state is as said."""
        cell = _request(code)
        await self.line.write_message(*_pack(cell, self.protocol))
        heard: list[dict] = []
        async with asyncio.timeout(seconds):
            while True:
                text = await self.line.read_message()
                assert text is not None
                channel, message = _unpack(text)
                if channel == "iopub":
                    heard.append(message)
                    ours = message["parent_header"].get("msg_id") in {cell["header"]["msg_id"], None}
                    if ours and message["content"].get("execution_state") == until:
                        return heard

    async def wait_for_kernel(self) -> None:
        """Send cells until one is heard of: a kernel that restarts does not hear all, nor does the page hear it."""
        for _ in range(12):
            with suppress(TimeoutError):
                await self.run("1 + 1", seconds=5.0)
                return
        raise AssertionError("the kernel did not come back")


def _request(code: str) -> dict:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "s", "username": "u",
              "version": "5.3", "date": "2026-01-01T00:00:00Z"}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content}


def _pack(cell: dict, protocol: str | None) -> tuple[str | bytes, bool]:
    if protocol is None:
        return json.dumps(cell | {"channel": "shell", "buffers": []}), False
    parts = [json.dumps(cell[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
    return serialize_msg_to_ws_v1(parts, "shell"), True


def _unpack(text: str | bytes) -> tuple[str, dict]:
    if isinstance(text, str):
        message = json.loads(text)
        return message["channel"], message
    channel, parts = deserialize_msg_from_ws_v1(text)
    return channel, dict(
        zip(("header", "parent_header", "metadata", "content"), map(json.loads, parts[:4]), strict=True)
    )


@pytest.fixture
def server(layout, open_folder, tmp_path, unused_tcp_port) -> Iterator[Server]:
    """A user's server with its kernels in a group of 400 MiB."""
    group = open_group(open_lab_group(layout), "amina", Limits(400 * MIB))
    folders = {name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    # Names of sockets have to be short.
    folders |= {"JUPYTER_RUNTIME_DIR": str(open_folder / "run"), "JUPYTER_PATH": str(kernels_folder())}
    arguments = [
        f"--ServerApp.root_dir={tmp_path}",
        f"--ServerApp.port={unused_tcp_port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        "--ServerApp.allow_root=True",
        f"--IdentityProvider.token={TOKEN}",
        "--KernelManager.transport=ipc",
        "--ServerApp.jpserver_extensions={}",
        # The page would not hear of a young kernel that is restarted under new names.
        "--AsyncIOLoopKernelRestarter.random_ports_until_alive=False",
        "--ServerApp.kernel_websocket_connection_class=earthlab.hub.connections.LabKernelConnection",
    ]
    start = f"""
from earthlab.hub.cgroups import join
join({group.places})
from jupyter_server.serverapp import main
main()"""
    log = tmp_path / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", start, *arguments],
            env=os.environ | folders,
            stdout=output,
            stderr=output,
            cwd=tmp_path,
        )
    server = Server(f"http://127.0.0.1:{unused_tcp_port}", log)
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        assert close_group(group, patience=15)
        process.wait(5)
        assert sweep(layout) == []


def _wait_until_it_answers(server: Server, process: subprocess.Popen) -> None:
    for _ in range(600):
        assert process.poll() is None, server.log.read_text()
        try:
            httpx.get(f"{server.url}/api?token={TOKEN}", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(server.log.read_text())


@pytest.mark.skipif(governed_group() is None, reason="control groups of this machine are not ours to make")
@pytest.mark.lab
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("protocol", [PROTOCOL, None])
async def test_the_running_cell_is_told_before_the_page_hears_of_the_restart(server, protocol):
    async with server.page(await server.start_kernel(), protocol) as page:
        heard = await page.run("bytearray(2**62)")
        (error,) = (message["content"] for message in heard if message["header"]["msg_type"] == "error")
        assert "Que faire" in error["traceback"][-1]

        heard = await page.run(GREEDY, until="restarting")
        kinds = [message["header"]["msg_type"] for message in heard]
        error = heard[kinds.index("error")]
        assert error["parent_header"]["msg_type"] == "execute_request"
        assert kinds.index("stream") < kinds.index("error") < len(kinds) - 1
        assert "0,4 Gio" in error["content"]["evalue"]
        assert "el.cluster()" in error["content"]["traceback"][-1]

        # The kernel comes back, and its own end by other means is not laid to memory.
        await page.wait_for_kernel()
        heard = await page.run("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", until="restarting")
        assert "error" not in [message["header"]["msg_type"] for message in heard]
        # Jupyter's server cannot be stopped while a kernel starts.
        await page.wait_for_kernel()
