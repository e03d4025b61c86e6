"""Jupyter's way to a forked kernel: asks the user's nursery, and starts an ordinary kernel where there is none."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from earthlab.kernel.forks import ForkedProcess, NoFork, ask_for_fork, until_ended
from earthlab.kernel.identity import own_identity

NURSERY = "EARTHLAB_NURSERY"
"""Environment variable with the path of the nursery's socket."""

ANSWER_WITHIN = 10.0
"""Seconds for a nursery to answer: as long as a kernel takes that starts the ordinary way."""

_BOUND_WITHIN, _LOOKS_EVERY = 3.0, 0.003
"""Seconds for a copy to bind its sockets, and between two looks for them."""

_PROGRAM = "earthlab.kernel"
_UNDERSTOOD = {"env", "cwd", "stdin", "stdout", "stderr", "independent"}
_READ_AT_START = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONUTF8"),
    *("PYTHONMALLOC", "PYTHONTRACEMALLOC", "PYTHONFAULTHANDLER", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"),
)
"""What a process heeds only while it starts: a copy has started already."""


class ForkProvisioner(LocalProvisioner):
    """Launches kernels as copies of a process that has imported everything."""

    process: Any

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Have a kernel forked where there is a nursery, or launch an ordinary one."""
        if NURSERY not in os.environ:
            return await super().launch_kernel(cmd, **kwargs)
        try:
            self.process = await asyncio.get_running_loop().run_in_executor(None, self._fork, cmd, kwargs)
        except NoFork as exc:
            self.log.warning("The kernel starts the slow way: %s", exc)
            return await super().launch_kernel(cmd, **kwargs)
        await self._until_bound()
        # It leads a session of its own.
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs.get("cwd", Path.cwd())
        return self.connection_info

    async def _until_bound(self) -> None:
        """Wait for the kernel's sockets in the file system: who connects before is made to wait for 0.1 s by ZeroMQ."""
        assert self.parent is not None
        places = [Path(f"{self.parent.ip}-{port}") for port in self.parent.ports]
        until = time.monotonic() + _BOUND_WITHIN
        while self.parent.transport == "ipc" and not all(place.exists() for place in places):
            if self.process.poll() is not None or time.monotonic() > until:
                return
            await asyncio.sleep(_LOOKS_EVERY)

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel and what it has started."""
        if isinstance(self.process, ForkedProcess):
            self.process.signal_group(signum)
        else:
            await super().send_signal(signum)

    async def wait(self) -> int | None:
        """Wait for the kernel's end: woken by it, where Jupyter would look every tenth of a second."""
        if not isinstance(self.process, ForkedProcess):
            return await super().wait()
        process = self.process
        await until_ended(process)
        code = process.poll()
        process.close()
        self.process = None
        return code

    def _fork(self, cmd: list[str], kwargs: Mapping[str, Any]) -> ForkedProcess:
        environment = kwargs.get("env") or dict(os.environ)
        if reason := reason_against(cmd, kwargs, environment):
            raise NoFork(reason)
        arguments = cmd[cmd.index(_PROGRAM) + 1 :]
        assert self.parent is not None
        file = self.parent.connection_file
        content = {
            "environment": environment,
            "folder": str(kwargs.get("cwd") or Path.cwd()),
            "owner": os.getpid(),
            "arguments": arguments,
            "connection_file": file,
        }
        parked = can_be_parked(arguments, kwargs, json.loads(Path(file).read_text()))
        streams = [_descriptor(kwargs.get(name), own) for name, own in (("stdout", 1), ("stderr", 2))]
        path, identity = Path(os.environ[NURSERY]), own_identity()
        return ask_for_fork(path, "kernel", identity, content, streams=streams, parked=parked, seconds=ANSWER_WITHIN)


def reason_against(command: list[str], kwargs: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Why a kernel cannot be a copy, or an empty text.

    Parameters
    ----------
    command : list of str
        The command line of an ordinary kernel.
    kwargs : mapping
        What else `subprocess.Popen` would get.
    environment : mapping
        That of the kernel.
    """
    if command[:1] != [sys.executable] or _PROGRAM not in command:
        return "it is another program than the nursery's"
    if heeded := [name for name in _READ_AT_START if environment.get(name) != os.environ.get(name)]:
        return f"{', '.join(heeded)} can only be heeded by a process that starts"
    if more := [name for name in kwargs.keys() - _UNDERSTOOD if kwargs[name] is not None]:
        return f"a copy cannot be given {', '.join(sorted(more))}"
    if kwargs.get("independent"):
        return "a copy ends with its server"
    if any(_descriptor(kwargs.get(name), 0) < 0 for name in ("stdin", "stdout", "stderr")):
        return "a copy writes to no pipe of Jupyter's"
    return ""


def _descriptor(stream: Any, own: int) -> int:
    if stream is None:
        return own
    return stream if isinstance(stream, int) else int(stream.fileno())


def can_be_parked(arguments: list[str], kwargs: Mapping[str, Any], connection: Mapping[str, Any]) -> bool:
    """Whether a kernel made ready beforehand can stand for one with these arguments and this connection file."""
    plain = len(arguments) == 2 and arguments[0] == "-f" and not {"stdout", "stderr"} & kwargs.keys()
    return plain and connection["transport"] == "ipc" and "curve_secretkey" not in connection
