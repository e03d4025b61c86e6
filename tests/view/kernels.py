"""Real kernels for tests of what they serve: an ordinary one of ipykernel, and "EarthLab" started the ordinary way."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

PROGRAMS = {"ipykernel": ["-m", "ipykernel_launcher"], "earthlab": ["-P", "-m", "earthlab.kernel"]}


class RunningKernel:
    """A kernel, its client, and its folder for what Jupyter keeps while it runs."""

    def __init__(self, runtime: Path, program: str) -> None:
        self.id = str(uuid4())
        self.manager = KernelManager(transport="ipc", kernel_name="python3")
        self.manager.connection_file = str(runtime / f"kernel-{self.id}.json")
        self.manager._kernel_spec = KernelSpec(argv=[sys.executable, *PROGRAMS[program], "-f", "{connection_file}"])
        # Without the name by which ipykernel would know that it is tested.
        kept = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self.manager.start_kernel(env={**kept, "JUPYTER_RUNTIME_DIR": str(runtime)})
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        self.socket = runtime / f"earthlab-{self.id}.sock"

    def list_kernel_ids(self) -> list[str]:
        """As a server's manager of kernels has it."""
        return [self.id] if self.manager.is_alive() else []

    def run(self, code: str, timeout: float = 60) -> str:
        """What a cell prints; an error is raised."""
        said = []

        def hear(message) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                said.append(content["text"])
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))

        self.client.execute_interactive(code, timeout=timeout, output_hook=hear)
        return "".join(said)

    def interrupt(self, asked: str) -> None:
        """Interrupt a cell, and wait until the kernel takes the next."""
        self.manager.interrupt_kernel()
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") == asked and message["content"].get("execution_state") == "idle":
                return

    def close(self, *, now: bool = True) -> None:
        """End it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=now)


@contextmanager
def running_kernel(program: str = "ipykernel") -> Iterator[RunningKernel]:
    """A kernel, with a folder of its own whose path is short enough for Jupyter's sockets."""
    with tempfile.TemporaryDirectory(prefix="el-") as name:
        kernel = RunningKernel(Path(name), program)
        try:
            yield kernel
        finally:
            if kernel.manager.has_kernel:
                kernel.close()


def code_of_cube(folder: Path) -> str:
    """A cell that opens a small constructed cube of two dates, whose items ``scenes.json`` then has."""
    return f"""
import json
import numpy as np
import earthlab as el
from earthlab.testing.rasters import scene_items, write_scene
from pathlib import Path

rng = np.random.default_rng(0)
scenes = [
    write_scene(Path({str(folder)!r}), f"d{{at}}", {{
        name: rng.integers(1, 200, (300, 280)).astype("uint8") for name in ("red", "nir")
    }}, time=f"2018-07-0{{at}}T10:00:00Z")
    for at in (1, 2)
]
Path({str(folder)!r}, "scenes.json").write_text(json.dumps(scenes))
cube = el.open(scene_items(scenes))
"""
