"""A user's Jupyter server with our connections to its kernels, and pages that talk to it, without a hub."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from earthlab.hub.server import kernels_folder
from tests.patience import PATIENCE

TOKEN = "page"
PROTOCOL = "v1.kernel.websocket.jupyter.org"


@dataclass(frozen=True)
class Server:
    url: str
    log: Path
    token: str = TOKEN

    async def start_kernel(self, notebook: str = "") -> str:
        """A kernel by its id; of a notebook, where one is named."""
        asked: dict[str, Any] = {"name": "earthlab"}
        if notebook:
            asked = {"path": notebook, "type": "notebook", "name": "", "kernel": asked}
        async with httpx.AsyncClient(trust_env=False, headers=self._headers) as client:
            made = await client.post(f"{self.url}/api/{'sessions' if notebook else 'kernels'}", json=asked, timeout=120)
        assert made.status_code == 201, made.text
        return str((made.json()["kernel"] if notebook else made.json())["id"])

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token}"}

    @asynccontextmanager
    async def page(self, kernel: str, protocol: str | None, session: str = "") -> AsyncIterator["Page"]:
        url = f"{self.url}/api/kernels/{kernel}/channels?session_id={session or uuid.uuid4()}"
        request = HTTPRequest(
            url.replace("http:", "ws:"), headers=self._headers, connect_timeout=120, request_timeout=120
        )
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

    async def run(
        self, code: str, until: str = "idle", seconds: float = PATIENCE, *, cell: str = ""
    ) -> list[dict[str, Any]]:
        """What the page hears on iopub after it sent a cell, until the kernel's state is as said."""
        return await self.hear(await self.send(code, cell), until, seconds)

    async def send(self, code: str, cell_id: str = "") -> dict[str, Any]:
        """Send a cell, of a notebook where its id is given."""
        cell = _request(code) | {"metadata": {"cellId": cell_id} if cell_id else {}}
        await self.line.write_message(*_pack(cell, self.protocol))
        return cell

    def break_off(self) -> list[dict[str, Any]]:
        """Be gone without a word; what was sent before arrives. What has come by then is returned.

        A socket that is closed over bytes that nobody has read resets the line, and with it what is under way.
        """
        with suppress(BlockingIOError):
            while self.line.stream.socket.recv(1 << 16):
                pass
        self.line.stream.close()
        come = []
        while self.line.read_queue.qsize():
            text = self.line.read_queue.get_nowait()
            come += [_unpack(text)[1]] if text is not None else []
        return come

    async def hear(self, cell: dict[str, Any], until: str = "idle", seconds: float = PATIENCE) -> list[dict[str, Any]]:
        """What comes on iopub until the kernel's state is as said, because of the cell or by itself."""
        heard: list[dict[str, Any]] = []
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


def _request(code: str) -> dict[str, Any]:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": "s", "username": "u",
              "version": "5.3", "date": "2026-01-01T00:00:00Z"}  # fmt: skip
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content}


def _pack(cell: dict[str, Any], protocol: str | None) -> tuple[str | bytes, bool]:
    if protocol is None:
        return json.dumps(cell | {"channel": "shell", "buffers": []}), False
    parts = [json.dumps(cell[name]).encode() for name in ("header", "parent_header", "metadata", "content")]
    return serialize_msg_to_ws_v1(parts, "shell"), True


def _unpack(text: str | bytes) -> tuple[str, dict[str, Any]]:
    if isinstance(text, str):
        message = json.loads(text)
        return message["channel"], message
    channel, parts = deserialize_msg_from_ws_v1(text)
    return channel, dict(
        zip(("header", "parent_header", "metadata", "content"), map(json.loads, parts[:4]), strict=True)
    )


@contextmanager
def running_server(folder: Path, run: Path, port: int, first: str = "") -> Iterator[Server]:
    """A server on a port, with its sockets in ``run``, whose process does ``first``."""
    folders = {name: str(folder / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    # Names of sockets have to be short.
    folders |= {"JUPYTER_RUNTIME_DIR": str(run), "JUPYTER_PATH": str(kernels_folder())}
    arguments = [
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.port={port}",
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
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", f"{first}\nfrom jupyter_server.serverapp import main\nmain()", *arguments],
            env=os.environ | folders,
            stdout=output,
            stderr=output,
            cwd=folder,
        )
    server = Server(f"http://127.0.0.1:{port}", log)
    try:
        _wait_until_it_answers(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait_until_it_answers(server: Server, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        assert process.poll() is None, server.log.read_text()
        try:
            httpx.get(f"{server.url}/api?token={TOKEN}", trust_env=False).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(server.log.read_text())
