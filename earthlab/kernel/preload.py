"""What a template imports before its first copy, in which environment, and what it must not have brought with it."""

import fcntl
import gc
import importlib
import os
import shutil
import stat
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earthlab.errors import SetupError
from earthlab.kernel import wire
from earthlab.kernel.forking import keep_only
from earthlab.kernel.fresh import note_places, note_settings
from earthlab.kernel.memory import fill_gaps, trim
from earthlab.kernel.modules import modules_before_the_user

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "EARTHLAB_LAB", "EARTHLAB_HEAD")
"""Names of the environment that a template keeps: by the last two a lab finds what it has left behind."""

_BEFORE_IMPORTS = {
    # A copy gets no thread of its parent's, only the locks that those held.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "MALLOC_ARENA_MAX": "2",
    # Both, since either alone fixes the other where it is: then each array of more than 128 KiB was given back to the
    # machine at once, and the next came as pages to be zeroed anew, half of all that a class asked of it.
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}

_SEALED = "EARTHLAB_TEMPLATE"
"""Environment variable with the descriptor of what a template had for an environment, where it may know."""

KERNEL = (
    # First what every kernel uses at once: near each other in memory, fewer pages are written to in each copy.
    "earthlab.kernel.kernels",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "debugpy",
    "faulthandler",
    "ipykernel.zmqshell",
    "tornado.platform.asyncio",
    "earthlab.accessor",
    "earthlab.catalog",
    "earthlab.compute",
    "earthlab.cube",
    "earthlab.cube.tables",
    "earthlab.samples",
    "earthlab.teaching",
    "earthlab.view",
    "dask_gateway",
    "distributed",
    "geopandas",
    "hvplot.pandas",
    "hvplot.xarray",
    "ipyleaflet",
    "matplotlib.pyplot",
    "rioxarray",
    "scipy.stats",
    "threadpoolctl",
    "xarray",
    "zarr",
)
"""What a kernel's template has imported."""


def plan_template_environment(environment: Mapping[str, str], home: str) -> dict[str, str]:
    """The environment in which a template imports: few names, none of them secret, and an empty home."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    return kept | _BEFORE_IMPORTS | {"HOME": home}


def be_scrubbed(module: str, home: Path, *, knowing: bool) -> dict[str, str]:
    """Run ``python -m module`` anew, with the same arguments, in the environment of a template.

    Parameters
    ----------
    home : Path
        Where imports find an empty home. What a template that was killed has left there goes.
    knowing : bool
        Whether the template may know which environment it was started in.

    Returns
    -------
    dict
        In the new process: that environment, or nothing.
    """
    if _SEALED not in os.environ:
        if home.exists():
            shutil.rmtree(home)
        home.mkdir(mode=0o700)
        before = wire.seal(os.environ if knowing else {})
        os.set_inheritable(before, True)  # noqa: FBT003 - it has no name
        keep_only({0, 1, 2, before})
        environment = plan_template_environment(os.environ, str(home)) | {_SEALED: str(before)}
        os.execve(sys.executable, [sys.executable, "-P", "-m", module, *sys.argv[1:]], environment)  # noqa: S606
    return wire.unseal(int(os.environ.pop(_SEALED)))


@dataclass(slots=True)
class Software:
    """What a template was made of, to notice that it has changed since."""

    since: int = field(default_factory=time.time_ns)
    """What has changed after this was not yet imported as it is now."""
    files: dict[str, int] = field(default_factory=dict)
    looked_at: float = float("-inf")
    changed: str = ""

    def note(self) -> None:
        """Remember the state of all modules of ours that are imported, and of the folder of the packages."""
        modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "earthlab"}
        ours = {file for module in modules.values() if (file := getattr(module, "__file__", None))}
        self.files = {file: _changed_at(file) for file in (*ours, sysconfig.get_path("purelib"))}
        self.changed = next((_describe(file) for file, at in self.files.items() if at > self.since), "")

    def change(self) -> str:
        """What has changed, or an empty text; looks at most once a second."""
        if not self.changed and time.monotonic() > self.looked_at + 1.0:
            self.looked_at = time.monotonic()
            self.changed = next((_describe(file) for file, at in self.files.items() if _changed_at(file) != at), "")
        return self.changed


def _describe(file: str) -> str:
    return f"it is older than {file}"


def _changed_at(file: str) -> int:
    try:
        return Path(file).stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What a template is to know of its imports."""

    kept: frozenset[int]
    """Descriptors that copies are to keep: files that imports have opened to read, as PROJ does its database."""
    software: Software


def preload(modules: Iterable[str], *, ahead: bool = False) -> Preloaded:
    """Import, tidy up, and put all that is there beyond the reach of the garbage collector.

    Parameters
    ----------
    ahead : bool
        Whether copies are kernels, whose first steps are to be done ahead, see `earthlab.kernel.ahead`.

    Raises
    ------
    SetupError
        Where an import left something behind that copies could not share: a thread, a socket, a file to write to.
    """
    software = Software()
    before = set(_open_files())
    for name in modules:
        importlib.import_module(name)
    if ahead:
        importlib.import_module("earthlab.kernel.ahead").work_ahead()
    modules_before_the_user()
    note_places()
    software.note()
    opened = frozenset(_open_files() - before)
    _refuse_threads()
    _refuse_all_but_files_to_read(opened)
    shutil.rmtree(os.environ["HOME"])
    note_settings()
    gc.collect()
    fill_gaps()
    gc.freeze()
    # What imports have used for a moment goes back: each copy would write to it.
    trim()
    sys.stderr.write(f"earthlab: template {os.getpid()} is ready\n")
    sys.stderr.flush()
    return Preloaded(opened, software)


def _open_files() -> set[int]:
    with os.scandir("/proc/self/fd") as entries:
        found = {int(entry.name) for entry in entries}
    return {file for file in found if _is_open(file)}


def _is_open(file: int) -> bool:
    try:
        os.fstat(file)
    except OSError:
        return False
    return True


def _refuse_threads() -> None:
    if threading.active_count() > 1:
        names = ", ".join(each.name for each in threading.enumerate())
        raise SetupError(f"template: found threads that an import has started ({names}), expected none.")
    if more := len(list(Path("/proc/self/task").iterdir())) - 1:
        raise SetupError(f"template: found {more} native threads that an import has started, expected none.")


def _refuse_all_but_files_to_read(opened: frozenset[int]) -> None:
    for file in opened:
        harmless = (
            stat.S_ISREG(os.fstat(file).st_mode) and fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        )
        if not harmless:
            opened_as = Path(f"/proc/self/fd/{file}").readlink()
            raise SetupError(f"template: an import has opened {opened_as}, expected only files to read.")
