"""``python -m earthlab.hub.server``: a user's JupyterLab, started by the hub and run as the user.

Before JupyterLab: tie the server's life to the lab's, bound what it may use, and bring the lab's notebooks.
"""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from earthlab.hub.fetching import FAR, HandoutUnavailable, fetch_handout
from earthlab.hub.handout import VARIABLE, deliver_handout, plan_warmed, read_handout
from earthlab.hub.head import HEAD
from earthlab.hub.layout import interpreter, shipped
from earthlab.hub.lessons import deliver_notebooks
from earthlab.hub.pairs import plan_collaboration, works_in_pairs
from earthlab.kernel.identity import lower
from earthlab.kernel.memory import SERVER, go_first
from earthlab.kernel.process import end_with
from earthlab.kernel.provisioner import NURSERY

MEMORY = "EARTHLAB_SERVER_MEMORY"
"""Environment variable with the most memory, in bytes, that each of the user's processes may write to."""

STATIC = "/hub/jupyterlab"
"""Where the hub has the files of JupyterLab's page, for all: see `earthlab.hub.front`."""

MOST_PROCESSES = 4096
"""Processes and threads that an account of one user only may have."""

PARKED = "EARTHLAB_PARKED"
"""Environment variable with the number of kernels to keep ready, where a server is to start their nursery itself."""

INSIDE = "EARTHLAB_SSH_INSIDE"
"""Environment variable that is set where people come by ssh through this server, and not by its machine."""

_SSH = "earthlab.services.ssh.inside"
"""What lets them in, an extension of Jupyter's server."""

TAKING = "EARTHLAB_TAKE_HOME"
"""Environment variable that is set where what people take along from workshops is read and written by their servers."""

_TAKE_HOME = "earthlab.services.workshops.inside"
"""What does that, likewise."""

_NURSERY_AFTER = 10.0
"""Seconds between the end of a nursery and the next one."""

_UNWANTED = ("panel.io.jupyter_server_extension", "jupyter_lsp")

FIRST_LESSON = "notebooks/start/premiers-pas.ipynb"


def main() -> None:
    """Run the server until it is told to stop."""
    if HEAD in os.environ:
        # Not with the hub: one that was killed is started again, and finds us. In a pod we are all there is.
        end_with(os.pidfd_open(int(os.environ[HEAD])))
    os.umask(0o022)
    home = Path.home()
    os.chdir(home)
    bound_resources(os.environ)
    prepare_server(home)
    if PARKED in os.environ:
        threading.Thread(target=keep_nursery, args=(dict(os.environ),), name="earthlab-nursery", daemon=True).start()
    # Only now: the steps above must not wait for a second of imports, nor fail by them.
    from jupyterhub.singleuser import main as run_server

    from earthlab.hub.guests import note_lines

    note_lines()
    run_server(plan_arguments(home, pairs=works_in_pairs(os.environ), more=plan_ways_in(os.environ)))


def prepare_server(home: Path) -> None:
    """Bring the lab's notebooks, and leave in the environment what JupyterLab is to find there."""
    go_first(SERVER)
    _bring_notebooks(home)
    _fetch_handout()
    os.environ["JUPYTERHUB_DEFAULT_URL"] = _bring_handout(home) or first_page(home)
    os.environ["JUPYTER_PATH"] = str(kernels_folder())


def keep_nursery(environ: Mapping[str, str]) -> None:
    """Start a template for our own kernels, and the next one whenever it ends."""
    program = [str(interpreter()), "-P", "-m", "earthlab.kernel.nursery"]
    options = ["--socket", environ[NURSERY], "--owner", str(os.getpid()), "--parked", environ[PARKED]]
    while True:
        subprocess.run([*program, *options], env=environ, stdin=subprocess.DEVNULL, check=False)
        time.sleep(_NURSERY_AFTER)


def plan_ways_in(environ: Mapping[str, str]) -> list[str]:
    """Extensions of Jupyter's server for what the machine itself does where it is one: none there."""
    return [name for variable, name in ((INSIDE, _SSH), (TAKING, _TAKE_HOME)) if variable in environ]


def plan_arguments(home: Path, *, pairs: bool = False, more: Sequence[str] = ()) -> list[str]:
    """JupyterLab's command line: kernels over sockets of the file system, ours first, the home as root."""
    return [
        f"--ServerApp.root_dir={home}",
        "--KernelManager.transport=ipc",
        "--MultiKernelManager.default_kernel_name=earthlab",
        "--AsyncMappingKernelManager.kernel_manager_class=earthlab.kernel.starting.LabKernelManager",
        "--ServerApp.kernel_spec_manager_class=earthlab.kernel.specs.LabKernelSpecs",
        "--ServerApp.kernel_websocket_connection_class=earthlab.hub.connections.LabKernelConnection",
        "--ServerApp.contents_manager_class=earthlab.hub.contents.HomeContents",
        # Nobody previews Panel apps here, and no language servers are installed: together they cost 40 MB a user.
        *(f"--ServerApp.jpserver_extensions={name}=False" for name in _UNWANTED),
        # Our defaults. JupyterLab would ask its makers' site for news, versions and extensions: no use in a workshop.
        *plan_collaboration(home, pairs=pairs),
        *(f"--ServerApp.jpserver_extensions={name}=True" for name in more),
        f"--LabApp.override_static_url={STATIC}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]


def first_page(home: Path) -> str:
    """The page JupyterLab opens with: the first lesson, where the user still has it."""
    return f"/lab/tree/{FIRST_LESSON}" if (home / FIRST_LESSON).is_file() else "/lab"


def kernels_folder() -> Path:
    """The Jupyter data folder that holds the kernel "EarthLab"."""
    return Path(__file__).resolve().parent.parent / "kernel" / "share" / "jupyter"


def bound_resources(environ: Mapping[str, str]) -> None:
    """Bound memory (each process by itself), core files and, for an account of one user only, processes."""
    lower(resource.RLIMIT_CORE, 0)
    if MEMORY in environ:
        lower(resource.RLIMIT_DATA, int(environ[MEMORY]))
    if environ.get("EARTHLAB_OWN_ACCOUNT"):
        lower(resource.RLIMIT_NPROC, MOST_PROCESSES)


def _bring_notebooks(home: Path) -> None:
    try:
        delivery = deliver_notebooks(shipped("notebooks"), home)
    except OSError as exc:
        # A full home must not keep its owner from the files that would have to go.
        sys.stderr.write(f"earthlab: the lab's notebooks could not be brought to {home}: {exc}\n")
    else:
        sys.stderr.write(f"earthlab: {len(delivery.brought)} notebooks brought, {len(delivery.kept)} left as changed\n")


def _fetch_handout() -> None:
    """In a pod: have the material at hand that is laid out for all on one machine, and kernels know what is warm."""
    if FAR not in os.environ:
        return
    try:
        fetch_handout(os.environ)
    except (HandoutUnavailable, OSError) as exc:
        sys.stderr.write(f"earthlab: the workshop's notebooks stay as an earlier start brought them: {exc}\n")
    os.environ |= plan_warmed(Path(os.environ[VARIABLE]))


def _bring_handout(home: Path) -> str:
    """Bring what the workshop of this seat hands out; the page to open with, or nothing at no workshop."""
    try:
        handout = read_handout(os.environ)
        if handout is None:
            return ""
        brought = deliver_handout(handout, home)
    except OSError as exc:
        sys.stderr.write(f"earthlab: the workshop's notebooks could not be brought to {home}: {exc}\n")
        return ""
    sys.stderr.write(f"earthlab: {len(brought)} notebooks of the workshop brought\n")
    return f"/lab/tree/{handout.first()}"


if __name__ == "__main__":
    main()
