"""The kernel's program: IPython's, with ``el`` at hand, and light to start where its process is a copy."""

import inspect
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import ipykernel.ipkernel
import IPython.core.shellapp
from ipykernel.debugger import Debugger
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets import Type
from traitlets.config import Config

import earthlab
from earthlab.kernel.adapter import own_adapter
from earthlab.kernel.memory import IDLE, KERNEL, explain_memory_errors, give_back, go_first
from earthlab.kernel.modules import modules_before_the_user
from earthlab.kernel.process import stand_back

NICE = 10
"""By how much cells stand back from hub, proxy and servers: a class that arrives goes before what computes already."""


class LabDebugger(Debugger):
    """ipykernel's debugger, for the kernel's own account; looks for files of its frames only once somebody debugs."""

    @property
    def kernel_modules(self) -> list[str]:
        """Files whose frames are not shown, "just my code" or not."""
        found = (getattr(sys.modules.get(name), "__file__", None) for name in modules_before_the_user())
        # The program that was started is no longer there by its name: the user's names are.
        return [*filter(None, found), *map(str, Path(__file__).parent.glob("*.py"))]

    @kernel_modules.setter
    def kernel_modules(self, _given: list[str]) -> None:
        """What ipykernel has listed: nothing, see `_no_module_in_sight`."""

    def start(self) -> bool:
        """Start to debug, by an adapter that no other account of the machine reaches."""
        with own_adapter():
            return bool(super().start())  # type: ignore[no-untyped-call]


class LabKernel(IPythonKernel):
    """ipykernel's kernel with our debugger."""

    debugger_class = Type(LabDebugger)


class LabKernelApp(IPKernelApp):
    """IPython's kernel program for the kernel "EarthLab"."""

    kernel_class: Any = Type(LabKernel, klass="ipykernel.kernelbase.Kernel").tag(config=True)
    _resting: Any = None

    def parse_command_line(self, argv: list[str] | None = None) -> None:
        """Read the command line; where it names a connection file and nothing else, without a parser of 230 options."""
        if argv is None or len(argv) != 2 or argv[0] != "-f" or argv[1].startswith("-"):
            super().parse_command_line(argv)
            return
        self.argv = argv
        self.cli_config = Config({type(self).__name__: {"connection_file": argv[1]}})
        self.update_config(self.cli_config)
        self.extra_args = []

    def init_kernel(self) -> None:
        """Make the kernel, without a walk through all modules."""
        modules_before_the_user()
        # It would note the file of each for its debugger.
        with _no_module_in_sight(ipykernel.ipkernel):
            super().init_kernel()  # type: ignore[no-untyped-call]

    def init_code(self) -> None:
        """Run what the user wants run first, without a walk through all modules."""
        # It would note the name of each for ``%reset``.
        with _no_module_in_sight(IPython.core.shellapp):
            super().init_code()  # type: ignore[no-untyped-call]
        assert self.shell is not None
        self.shell._sys_modules_keys = modules_before_the_user()  # noqa: SLF001

    def init_gui_pylab(self) -> None:
        """Have plots drawn into the notebook, also where Matplotlib was imported before it could know."""
        super().init_gui_pylab()  # type: ignore[no-untyped-call]
        if "matplotlib" in sys.modules:
            sys.modules["matplotlib"].rcParams["backend"] = os.environ["MPLBACKEND"]

    def _configure_logging(self) -> None:
        """Log as traitlets would, without a look at the loggers of all libraries: that writes to 5 MB."""
        if self.logging_config:
            super()._configure_logging()
            return
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(self.log_level)  # type: ignore[arg-type]
        handler.setFormatter(self._log_formatter_cls(self.log_format, self.log_datefmt))
        log = logging.getLogger(type(self).__name__)
        log.handlers[:] = [handler]
        # By `setLevel`, every logger would be told to forget what it knows of its parents.
        log.level = logging.DEBUG
        self._logging_configured = True

    def initialize(self, argv: list[str] | None = None) -> None:
        """Make ready to run, with ``el`` as one of IPython's own names, so that ``%who`` leaves it out."""
        super().initialize(argv)  # type: ignore[no-untyped-call]
        assert self.shell is not None
        self.shell.push({"el": earthlab}, interactive=False)
        go_first(KERNEL)
        stand_back(NICE)
        explain_memory_errors(self.shell)
        _spare_modules(self.shell.InteractiveTB)
        # From whichever thread: subshells have their own.
        self.shell.events.register("post_run_cell", lambda _result: self.io_loop.add_callback(self._rest))

    def _rest(self) -> None:
        """Once no cell follows for a while, keep no more memory than is in use."""
        if self._resting is not None:
            self.io_loop.remove_timeout(self._resting)
        self._resting = self.io_loop.call_later(IDLE, give_back)


def _spare_modules(tracebacks: Any) -> None:
    """Have tracebacks explained without a walk through all modules: it would note the file of each for every cell."""
    explain = tracebacks.get_records

    def get_records(*words: Any) -> Any:
        with _no_module_in_sight(inspect):
            return explain(*words)

    tracebacks.get_records = get_records


class _Unlisted(dict[str, ModuleType]):
    """The table of modules for who asks for one by its name; empty for who goes through it."""

    def get(self, name: str, default: Any = None) -> Any:
        return sys.modules.get(name, default)

    def __missing__(self, name: str) -> ModuleType:
        return sys.modules[name]


class _Sys(ModuleType):
    """``sys`` as it is, but for the table of modules."""

    modules: ClassVar[dict[str, ModuleType]] = _Unlisted()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(sys, name, value)


@contextmanager
def _no_module_in_sight(program: ModuleType) -> Iterator[None]:
    """Meanwhile one module of Jupyter's sees no others.

    A walk through the 3,800 modules of a template's copy writes to 12 MB of its memory, through their names to 6 MB.
    """
    vars(program)["sys"] = _Sys("sys")
    try:
        yield
    finally:
        vars(program)["sys"] = sys
