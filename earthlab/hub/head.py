"""Whose end is the end of a lab: its supervisor, which starts a hub again that was killed, or a hub without one."""

import os
from collections.abc import Mapping

HEAD = "EARTHLAB_HEAD"
"""Environment variable with the pid of that process."""


def resolve_head(environ: Mapping[str, str]) -> int:
    """The pid of this hub's supervisor, which is its parent, or of the hub itself where it was started without one."""
    parent = os.getppid()
    return parent if environ.get(HEAD) == str(parent) else os.getpid()


def is_supervised(environ: Mapping[str, str]) -> bool:
    """Whether this hub has a supervisor."""
    return resolve_head(environ) != os.getpid()
