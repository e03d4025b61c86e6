"""A real lab as a child process, and a browser without a screen in front of it."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from earthlab.hub.cgroups import sweep
from earthlab.hub.layout import Layout, resolve_layout
from earthlab.hub.processes import find_lab_processes, read_process
from earthlab.settings import load_settings
from earthlab.testing.accounts import remove_accounts
from tests.patience import PATIENCE

PROGRAM = str(Path(sys.prefix) / "bin" / "earthlab")


@dataclass
class Lab:
    state: Path
    port: int
    lines: list[str] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    """More of its environment."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def layout(self) -> Layout:
        return resolve_layout(load_settings({"lab.state": self.state}, environ={}, files=()))

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("EARTHLAB_", "JUPYTERHUB"))}
        samples = {k: v for k, v in os.environ.items() if k == "EARTHLAB_SAMPLES"}
        place = {"EARTHLAB__LAB__STATE": str(self.state), "EARTHLAB__LAB__PORT": str(self.port)}
        return {**kept, **samples, **place, **self.words}

    def start(self, command=(PROGRAM, "lab")):
        self.lines.clear()
        self.process = subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=self.state,
        )
        self.listener = threading.Thread(target=self._listen)
        self.listener.start()
        return self

    def _listen(self):
        with self.process.stdout as out:
            self.lines.extend(out)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = 600) -> str:
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.05)
        return found[0]

    def link(self) -> str:
        return self.wait_for(r"http://\S+token=\S+")

    def link_for(self, user: str) -> str:
        done = subprocess.run([PROGRAM, "link", user], env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def ended(self, seconds: float = PATIENCE) -> int:
        code = self.process.wait(seconds)
        self.listener.join(seconds)
        return code

    def left(self):
        return find_lab_processes(self.layout)

    def wait_until_nothing_is_left(self, seconds: float = PATIENCE) -> float:
        began = time.monotonic()
        while left := self.left():
            assert time.monotonic() - began < seconds, left
            time.sleep(0.1)
        return time.monotonic() - began

    def hub_pid(self) -> int:
        return int(self.layout.lock.read_text())

    def next_hub_pid(self) -> int:
        """The pid of the hub that follows one that has ended, once it holds the lab's lock."""
        while not (text := self.layout.lock.read_text().strip()) or read_process(int(text)) is None:
            time.sleep(0.05)
        return int(text)

    def close(self):
        with contextlib.suppress(AttributeError, ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
            self.ended()
        assert sweep(self.layout) == []
        remove_accounts(self.layout)


class KernelGone(Exception):
    """The kernel has ended and restarts: what it was asked to run is lost."""


@dataclass
class Person:
    """Somebody with a browser; keeps cookies as one."""

    lab: Lab
    client: httpx.AsyncClient
    name: str = ""

    async def come_in(self, link: str) -> str:
        """Open a link and wait for JupyterLab; gives the page's address."""
        page = await self.client.get(link)
        while "spawn-pending" in str(page.url) and page.status_code == 200:
            await asyncio.sleep(0.3)
            page = await self.client.get(page.url)
        assert page.status_code == 200, (page.status_code, page.url, page.text[:500])
        self.name = re.search(r"/user/([^/]+)/", str(page.url))[1]
        return str(page.url)

    @property
    def server(self) -> str:
        return f"{self.lab.url}/user/{self.name}"

    def _cookie(self, name: str, path: str) -> str:
        return next(c.value for c in self.client.cookies.jar if c.name == name and c.path.startswith(path))

    @property
    def xsrf(self) -> dict[str, str]:
        return {"X-XSRFToken": self._cookie("_xsrf", f"/user/{self.name}")}

    async def start_kernel(self, name: str = "earthlab") -> str:
        made = await self.client.post(f"{self.server}/api/kernels", json={"name": name}, headers=self.xsrf)
        assert made.status_code == 201, made.text
        return made.json()["id"]

    async def run(self, kernel: str, code: str) -> str:
        """What the code printed, or its error."""
        paths = ("/", f"/user/{self.name}/")
        cookies = "; ".join(f"{c.name}={c.value}" for c in self.client.cookies.jar if c.path in paths)
        url = f"{self.server}/api/kernels/{kernel}/channels?session_id=s".replace("http:", "ws:")
        socket = await websocket_connect(HTTPRequest(url, headers={"Cookie": cookies}))
        try:
            # Not twice the same: the server repeats to a page that comes back what it may not have heard.
            request = _execute(code, uuid.uuid4().hex)
            await socket.write_message(json.dumps(request))
            return await asyncio.wait_for(_printed(socket, request["header"]["msg_id"]), PATIENCE)
        finally:
            await _close(socket)


async def _close(socket) -> None:
    # To the end: a socket that is still open when its loop is gone is a warning in some later test.
    socket.close()
    while await socket.read_message() is not None:
        pass


def _execute(code: str, number: str) -> dict:
    header = {"msg_id": number, "msg_type": "execute_request", "session": "s", "username": "u", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "channel": "shell",
        "buffers": [],
    }


async def _printed(socket, request: str) -> str:
    said = ""
    replied = idle = False
    while not (replied and idle):
        heard = await socket.read_message()
        if heard is None:
            raise ConnectionError("the line to the kernel has been closed")
        message = json.loads(heard)
        state = message["content"].get("execution_state")
        if state == "restarting":
            raise KernelGone("the kernel restarts")
        if state == "dead":
            raise ConnectionError("the kernel does not come back")
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        said += content.get("text", "") if message["msg_type"] == "stream" else content.get("evalue", "")
        replied |= message["msg_type"] == "execute_reply"
        idle |= message["msg_type"] == "status" and content["execution_state"] == "idle"
    return said
