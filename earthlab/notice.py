"""One line about a wait: shown once the wait lasts, in the notebook or the terminal, and nothing where it is short."""

import html
import sys
import time
from types import TracebackType
from typing import Any, Self

DELAY = 2.5
"""Seconds of quiet."""


class Notice:
    """A line that changes in place while something is waited for.

    Parameters
    ----------
    delay : float
        Seconds before the first line is shown; what takes less stays silent.
    """

    def __init__(self, delay: float = DELAY) -> None:
        self._from = time.monotonic() + delay
        self._line = ""
        self._handle: Any = None

    @property
    def is_shown(self) -> bool:
        """Whether anything was said."""
        return bool(self._line)

    def say(self, line: str) -> None:
        """Show the line, if the wait has lasted long enough and the line is news."""
        if time.monotonic() < self._from or line == self._line:
            return
        self._line = line
        if in_notebook():
            self._show({"text/plain": line, "text/html": f"<small>{html.escape(line)}</small>"})
        else:
            sys.stderr.write(f"\r\x1b[K{line}" if sys.stderr.isatty() else f"{line}\n")
            sys.stderr.flush()

    def _show(self, forms: dict[str, str]) -> None:
        from IPython.display import display  # only inside a notebook

        if self._handle is None:
            self._handle = display(forms, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(forms, raw=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._line and not in_notebook() and sys.stderr.isatty():
            sys.stderr.write("\n")


def in_notebook() -> bool:
    """Whether this process is a Jupyter kernel."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return shell is not None and hasattr(shell, "kernel")
