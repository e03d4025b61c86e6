"""Kernels under test: a template, nurseries and a Jupyter client, driven as JupyterLab drives them."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from earthlab.kernel import wire
from earthlab.kernel.forks import ForkedProcess, ask_for_fork
from earthlab.kernel.identity import own_identity
from earthlab.kernel.specs import LabKernelSpecs
from earthlab.testing.copies import LIFE
from tests.patience import PATIENCE, eventually

PLANTED = "planted-token-of-the-hub"


@dataclass
class Service:
    """A template or a cold nursery, and what it says."""

    process: subprocess.Popen[str]
    socket: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.said.append(line)

    def wait_until_said(self, words: str, seconds: float = PATIENCE) -> None:
        wait_until(lambda: any(words in line for line in self.said), seconds, f"{words!r} said, only {self.said}")

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        self.listener.join(PATIENCE)
        return code


def wait_until(done: Callable[[], Any], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"expected within {seconds} s: {what}"
        time.sleep(0.02)


def start_service(module: str, socket: Path, *arguments: str, owner: int | None = None, **environment: str) -> Service:
    command = [sys.executable, "-P", "-m", module, "--socket", str(socket), "--owner", str(owner or os.getpid())]
    process = subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "JUPYTERHUB_API_TOKEN": PLANTED, **environment},
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    return Service(process, socket)


def start_template(socket: Path, **words: Any) -> Service:
    return start_service("earthlab.kernel.template", socket, "--life", LIFE, **words)


BARE_TEMPLATE = """
import os, sys
from pathlib import Path
from earthlab.kernel import wire
from earthlab.kernel.forking import Template, admits_only
from earthlab.kernel.life import leave, parse_life
socket, life, pid, stale, *mishap = sys.argv[1:]
owner = os.pidfd_open(int(pid))
lives, admits = {"probe": parse_life(life)}, admits_only(int(pid), owner)
template = Template(wire.listen_at(Path(socket)), lives, admits, lambda: stale, owner)
exec("".join(mishap))
if born := template.serve():
    born.live()
leave(0)
"""
"""A template without what takes seconds to import: the arguments are socket, life, owner, why it is stale, and any code
that goes first.
"""


def start_bare_template(socket: Path, *, stale: str = "", mishap: str = "") -> Service:
    command = [sys.executable, "-P", "-c", BARE_TEMPLATE, str(socket), LIFE, str(os.getpid()), stale, mishap]
    service = Service(subprocess.Popen(command, stderr=subprocess.PIPE, text=True), socket)
    eventually(lambda: answers(socket), what="a bare template that listens")
    return service


def server_environment() -> dict[str, str]:
    """Ours, without the name by which ipykernel would know that it is tested, and leave native output alone."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def fork_nursery(template: Path, folder: Path, parked: int, owner: int | None = None, **more: object) -> ForkedProcess:
    """A nursery whose kernels have our environment."""
    content = {
        "environment": server_environment(),
        "folder": str(folder),
        "owner": owner or os.getpid(),
        "socket": str(folder / "n.sock"),
        "parked": parked,
        **more,
    }
    (folder / "n.sock").unlink(missing_ok=True)
    nursery = ask_for_fork(template, "nursery", own_identity(), content, streams=(1, 2), seconds=PATIENCE)
    eventually(lambda: answers(folder / "n.sock"), what="a nursery that listens")
    return nursery


def answers(socket: Path) -> bool:
    """Whether somebody listens."""
    try:
        wire.connect_to(socket, 1).close()
    except OSError:
        return False
    return True


def wait_for_parked(folder: Path, count: int = 1) -> None:
    """Wait until kernels are ready in a nursery's folder: their connection file is written before their last steps."""
    eventually(lambda: len(list(folder.glob("parked-*-ipc-5"))) >= count, what="a parked kernel")
    time.sleep(0.5)


@dataclass
class Said:
    """What a cell has said."""

    text: str = ""
    error: str = ""
    traceback: str = ""
    data: list[dict[str, Any]] = field(default_factory=list)


class Notebook:
    """A kernel and its client."""

    def __init__(self, folder: Path, **words: Any) -> None:
        self.manager = KernelManager(kernel_name="earthlab", kernel_spec_manager=LabKernelSpecs(), transport="ipc")
        self.manager.connection_file = str(folder / f"k{time.monotonic_ns()}.json")
        self.manager.start_kernel(env=words.pop("env", server_environment()), **words)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    @property
    def process(self) -> Any:
        return self.manager.provisioner.process

    def run(self, code: str, *, typed: str | None = None, timeout: float = PATIENCE) -> Said:
        said = Said()

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    said.text += content["text"]
                case "error":
                    said.error += f"{content['ename']}: {content['evalue']}"
                    said.traceback += "\n".join(content["traceback"])
                case "display_data" | "execute_result":
                    said.data.append(content["data"])

        def answer(_message: dict[str, Any]) -> None:
            self.client.input(typed)

        self.client.execute_interactive(
            code,
            allow_stdin=typed is not None,
            stdin_hook=answer,
            output_hook=hear,
            timeout=timeout,
            stop_on_error=False,
        )
        return said

    def reply_to(self, asked: str, *, timeout: float = PATIENCE) -> dict[str, Any]:
        """The reply to a message by its id, past replies to others."""
        while (reply := self.client.get_shell_msg(timeout=timeout))["parent_header"]["msg_id"] != asked:
            pass
        return reply

    def wait_until_idle(self, asked: str, *, timeout: float = PATIENCE) -> None:
        """Wait until a message is dealt with: until then, a kernel turns away what comes after a failed cell."""
        while True:
            said = self.client.get_iopub_msg(timeout=timeout)
            if said["parent_header"].get("msg_id") == asked and said["content"].get("execution_state") == "idle":
                return

    def wait_for_text(self, asked: str, text: str, *, timeout: float = PATIENCE) -> None:
        """Wait until what a message runs has printed something."""
        while True:
            said = self.client.get_iopub_msg(timeout=timeout)
            if said["parent_header"].get("msg_id") == asked and text in said["content"].get("text", ""):
                return

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@contextlib.contextmanager
def notebook(folder: Path, **words: Any) -> Iterator[Notebook]:
    opened = Notebook(folder, **words)
    try:
        yield opened
    finally:
        opened.close()
