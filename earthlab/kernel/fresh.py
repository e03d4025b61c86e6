"""What must not be alike in two copies of one process, and what each user has set otherwise: made anew in a copy."""

import gc
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, cast

_LOGGERS = ("bokeh", "distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")
"""What `distributed` gives a handler as it is imported."""

_THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def freshen() -> None:
    """Give a forked process random states and keys of its own.

    What cannot be made anew is how Python hashes texts: children of one template hash alike, as they share its memory
    layout.
    """
    random.seed()
    # Known to everybody else who is a copy, and what `multiprocessing` lets strangers in by.
    multiprocessing.current_process().authkey = os.urandom(32)
    vars(uuid)["_last_timestamp"] = None
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    tempfile.tempdir = None
    time.tzset()
    gc.enable()


@dataclass(frozen=True, slots=True)
class Renewal:
    """A library that reads its user's settings while it is imported, and how it is told to do so again."""

    module: str
    read: Callable[[], Hashable]
    """What the settings follow from: where it is as it was, there is nothing to do."""
    renew: Callable[[], None]


def settings_seen() -> dict[str, Hashable]:
    """What the settings of each imported library follow from, here and now."""
    return {each.module: each.read() for each in _RENEWALS if each.module in sys.modules}


def note_settings() -> None:
    """Remember what the settings in force follow from."""
    _seen.update(settings_seen())


def renew_settings() -> None:
    """Have those libraries read their settings again that would find others now.

    Where one cannot, it says so on the standard error, and keeps those it has: its user must come in to mend them.
    """
    for each in _RENEWALS:
        if each.module in sys.modules and _seen.get(each.module) != each.read():
            try:
                each.renew()
            except Exception as exc:  # noqa: BLE001 - whatever a library may say of a file of its user's
                sys.stderr.write(f"earthlab: the settings of {each.module} cannot be read: {exc!r}\n")
    note_settings()


_seen: dict[str, Hashable] = {}


def files_seen(folders: Iterable[str | Path], suffixes: tuple[str, ...]) -> Hashable:
    """The files with such suffixes in folders, or such files themselves, each with its time of change."""
    return tuple(sorted(_files_seen(folders, suffixes)))


def _files_seen(folders: Iterable[str | Path], suffixes: tuple[str, ...]) -> Iterable[tuple[str, int]]:
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                yield from ((e.path, e.stat().st_mtime_ns) for e in entries if e.name.endswith(suffixes))
        except NotADirectoryError:
            yield str(folder), Path(folder).stat().st_mtime_ns
        except OSError:
            # It is not there, or not to be read: what reads it finds nothing either.
            continue


def names_seen(*prefixes: str) -> Hashable:
    """The variables of the environment whose names begin so."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(prefixes)))


def _yaml_seen(folders: list[str], prefix: str) -> Hashable:
    return names_seen(prefix), files_seen(folders, (".yaml", ".yml", ".json"))


def _dask_seen() -> Hashable:
    import dask.config

    return _yaml_seen(dask.config._get_paths(), "DASK_")  # noqa: SLF001


def _renew_dask() -> None:
    import dask.config

    dask.config.paths[:] = dask.config._get_paths()  # noqa: SLF001 - there is no other way to another home
    dask.config.PATH = dask.config.paths[-1]
    dask.config.refresh()
    if "distributed.config" in sys.modules:
        from distributed.config import initialize_logging

        for name in _LOGGERS:
            # It would add another handler to those that it has given them already, and each line come twice.
            logging.getLogger(name).handlers.clear()
        initialize_logging(dask.config.config)


def _zarr_folders() -> list[str]:
    home = [str(Path("~/.config/zarr").expanduser())]
    return home + [os.environ[name] for name in ("ZARR_CONFIG", "ZARR_ROOT_CONFIG") if name in os.environ]


def _zarr_seen() -> Hashable:
    return _yaml_seen(_zarr_folders(), "ZARR_")


def _renew_zarr() -> None:
    import zarr

    zarr.config.paths[:] = [*(path for path in zarr.config.paths if path != zarr.config.main_path), *_zarr_folders()]
    zarr.config.refresh()


def _fsspec_folder() -> str:
    return os.environ.get("FSSPEC_CONFIG_DIR") or str(Path("~/.config/fsspec").expanduser())


def _fsspec_seen() -> Hashable:
    return names_seen("FSSPEC_"), files_seen([_fsspec_folder()], (".ini", ".json"))


def _renew_fsspec() -> None:
    from fsspec import config  # type: ignore[import-untyped]

    config.conf_dir = _fsspec_folder()
    config.conf.clear()
    config.set_conf_files(config.conf_dir, config.conf)
    config.set_conf_env(config.conf)


def _matplotlib_folder() -> Path:
    named = os.environ.get("MPLCONFIGDIR")
    return Path(named) if named else Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "matplotlib"


def _matplotlib_folder_seen() -> Hashable:
    folder = _matplotlib_folder()
    return str(folder), files_seen([folder / "stylelib"], (".mplstyle",))


def _renew_matplotlib_folder() -> None:
    import matplotlib as mpl

    for known in (mpl.get_configdir, mpl.get_cachedir):
        _forget_answer(cast("FunctionType", known))
    if "matplotlib.style" in sys.modules:
        style = sys.modules["matplotlib.style"]
        own = str(Path(mpl.get_configdir(), "stylelib"))
        style.USER_LIBRARY_PATHS[:] = [own]
        if Path(own).is_dir():
            style.reload_library()


def _matplotlib_seen() -> Hashable:
    # Matplotlib takes the first of these that is there.
    named = os.environ.get("MATPLOTLIBRC", "")
    files = ("matplotlibrc", named, f"{named}/matplotlibrc", f"{_matplotlib_folder()}/matplotlibrc")
    found = [Path(file) for file in files if file and Path(file).is_file()]
    return names_seen("MPLBACKEND"), tuple((str(file.resolve()), file.stat().st_mtime_ns) for file in found)


def _renew_matplotlib() -> None:
    import matplotlib as mpl

    settings = mpl.rc_params()
    if (backend := os.environ.get("MPLBACKEND")) is not None:
        settings["backend"] = backend
    if settings != mpl.rcParams:
        mpl.rcParams.update(settings)
        mpl.rcParamsOrig.update(settings)


def _forget_answer(function: FunctionType) -> None:
    # Matplotlib keeps the answers of these functions for good, in a variable that only they can see.
    called = function.__code__.co_freevars.index("called")
    assert function.__closure__ is not None
    function.__closure__[called].cell_contents = False


def _jedi_folder() -> str:
    return str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jedi")


def _renew_jedi() -> None:
    import jedi.settings  # type: ignore[import-untyped]

    jedi.settings.cache_directory = _jedi_folder()


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _threads_seen() -> Hashable:
    return _cores(), names_seen(*_THREAD_LIMITS)


def _renew_threads() -> None:
    limits = [int(os.environ[name]) for name in _THREAD_LIMITS if os.environ.get(name, "").isdigit()]
    _pools().limit(limits=min([_cores(), *filter(None, limits)]))


@cache
def _pools() -> Any:
    # Looks at every library that is loaded: once, in the template.
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def _renew_dask_cores() -> None:
    import dask.system

    found = dask.system.cpu_count()
    for module in _counting_modules():
        vars(module)["CPU_COUNT"] = found


@cache
def _counting_modules() -> list[ModuleType]:
    ours = [module for name, module in sys.modules.items() if name.startswith(("dask.", "distributed."))]
    return [module for module in ours if "CPU_COUNT" in vars(module)]


def _numba_seen() -> Hashable:
    return _cores(), os.getuid(), names_seen("NUMBA_")


def _renew_numba() -> None:
    numba = sys.modules["numba"]
    numba.config.reload_config()
    for each in _cached_functions():
        if not os.access(each._cache.cache_path, os.W_OK):  # noqa: SLF001 - numba tells it nowhere else
            _cache_elsewhere(each)


def _cache_elsewhere(function: Any) -> None:
    from numba.core.caching import NullCache

    try:
        function.enable_caching()
    except RuntimeError:
        # Its user may write nowhere: each process compiles for itself.
        function._cache = NullCache()  # noqa: SLF001


@cache
def _cached_functions() -> list[Any]:
    from numba.core.caching import NullCache
    from numba.core.dispatcher import Dispatcher

    found: list[Any] = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return [each for each in found if not isinstance(each._cache, NullCache)]  # noqa: SLF001


def note_places() -> None:
    """In a template: find what `renew_settings` is to look after, so that no copy has to look for it.

    A walk through some thousand modules or objects writes to as many pages.
    """
    if "threadpoolctl" in sys.modules:
        _pools()
    if "numba" in sys.modules:
        _cached_functions()
    _counting_modules()


_RENEWALS = (
    Renewal("dask.config", _dask_seen, _renew_dask),
    Renewal("zarr", _zarr_seen, _renew_zarr),
    Renewal("fsspec.config", _fsspec_seen, _renew_fsspec),
    Renewal("matplotlib", _matplotlib_folder_seen, _renew_matplotlib_folder),
    Renewal("matplotlib.rcsetup", _matplotlib_seen, _renew_matplotlib),
    Renewal("jedi.settings", _jedi_folder, _renew_jedi),
    Renewal("dask.system", _cores, _renew_dask_cores),
    Renewal("numba", _numba_seen, _renew_numba),
    Renewal("threadpoolctl", _threads_seen, _renew_threads),
)
