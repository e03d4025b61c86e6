"""The kernel's program: IPython's, with ``el`` at hand, and light to start where its process is a copy."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import ipykernel.ipkernel
from ipykernel.debugger import Debugger
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from traitlets import Type

import earthlab
from earthlab.kernel.memory import KERNEL, explain_memory_errors, go_first
from earthlab.kernel.modules import modules_before_the_user


class LabDebugger(Debugger):
    """ipykernel's debugger, which looks for the files of its own frames only once somebody debugs."""

    @property
    def kernel_modules(self) -> list[str]:
        """Files whose frames are not shown, "just my code" or not."""
        found = (getattr(sys.modules.get(name), "__file__", None) for name in modules_before_the_user())
        # The program that was started is no longer there by its name: the user's names are.
        return [*filter(None, found), *map(str, Path(__file__).parent.glob("*.py"))]

    @kernel_modules.setter
    def kernel_modules(self, _given: list[str]) -> None:
        """What ipykernel has listed: nothing, see `_no_module_in_sight`."""


class LabKernel(IPythonKernel):
    """ipykernel's kernel with our debugger."""

    debugger_class = Type(LabDebugger)


class LabKernelApp(IPKernelApp):
    """IPython's kernel program for the kernel "EarthLab"."""

    kernel_class: Any = Type(LabKernel, klass="ipykernel.kernelbase.Kernel").tag(config=True)

    def init_kernel(self) -> None:
        """Make the kernel, without a walk through all modules."""
        modules_before_the_user()
        with _no_module_in_sight():
            super().init_kernel()  # type: ignore[no-untyped-call]

    def init_gui_pylab(self) -> None:
        """Have plots drawn into the notebook, also where Matplotlib was imported before it could know."""
        super().init_gui_pylab()  # type: ignore[no-untyped-call]
        if "matplotlib" in sys.modules:
            sys.modules["matplotlib"].rcParams["backend"] = os.environ["MPLBACKEND"]

    def initialize(self, argv: list[str] | None = None) -> None:
        """Make ready to run, with ``el`` as one of IPython's own names, so that ``%who`` leaves it out."""
        super().initialize(argv)  # type: ignore[no-untyped-call]
        assert self.shell is not None
        self.shell.push({"el": earthlab}, interactive=False)
        go_first(KERNEL)
        explain_memory_errors(self.shell)


class _Sys(ModuleType):
    """``sys`` as it is, but for the table of modules."""

    modules: ClassVar[dict[str, ModuleType]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)


@contextmanager
def _no_module_in_sight() -> Iterator[None]:
    """While ipykernel makes a kernel, it sees no modules: it would note the file of each for its debugger.

    A walk through the 3,800 modules of a template's copy writes to 12 MB of its memory, a quarter of what it would own.
    """
    vars(ipykernel.ipkernel)["sys"] = _Sys("sys")
    try:
        yield
    finally:
        vars(ipykernel.ipkernel)["sys"] = sys
