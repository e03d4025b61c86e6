"""Pods as processes of this machine: the very program that a pod is asked to run, with its environment."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earthlab.hub.kubernetes import HOME
from earthlab.hub.server import PARKED
from earthlab.kernel.provisioner import NURSERY
from tests.helm.pod_hub import words_of


@dataclass
class Processes:
    """Runs what pods would: each at an address of its own, in a folder for its volumes."""

    folder: Path
    services: str = "http://proxy-public/services"
    """Where the name of the cluster's own proxy leads to."""
    keeps_kernels: bool = False
    """Whether a template stands beside each server, which is what other tests are about."""
    running: dict[str, subprocess.Popen] = field(default_factory=dict)
    _started: int = 0

    def run(self, pod) -> str:
        name, (container,) = pod["metadata"]["name"], pod["spec"]["containers"]
        self._started += 1
        address = f"127.78.0.{self._started}"
        home, scratch = self.folder / "volumes" / name, self.folder / f"scratch-{self._started}"
        for each in (home, scratch):
            each.mkdir(parents=True, exist_ok=True)
        in_place_of = {HOME: str(home), "http://proxy-public/services": self.services}
        words = {variable: _replaced(value, in_place_of) for variable, value in words_of(pod).items()}
        words |= {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(scratch), "XDG_RUNTIME_DIR": str(scratch)}
        words["JUPYTERHUB_SERVICE_URL"] = re.sub(r"//[^:/]+:", f"//{address}:", words["JUPYTERHUB_SERVICE_URL"])
        # A pod's server runs as somebody else than root.
        (scratch / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
        words["JUPYTER_CONFIG_DIR"] = str(scratch)
        words[NURSERY] = f"{scratch}/nursery.sock"
        if not self.keeps_kernels:
            del words[PARKED]
        words["PATH"] = f"{Path(sys.prefix).resolve()}/bin:/usr/local/bin:/usr/bin:/bin"
        line = [sys.executable, *container["args"][1:]]
        with (self.folder / f"{name}.log").open("a") as log:
            self.running[name] = subprocess.Popen(
                line, env=words, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return address

    def end(self, name: str) -> None:
        if found := self.running.pop(name, None):
            os.killpg(found.pid, signal.SIGKILL)
            found.wait()

    def close(self) -> None:
        for name in [*self.running]:
            self.end(name)


def _replaced(value: str, in_place_of: Mapping[str, str]) -> str:
    for name, other in in_place_of.items():
        value = value.replace(name, other)
    return value
