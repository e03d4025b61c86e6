"""The end of a lab, whoever sees to it: its processes, and what they had of the machine."""

import os
from collections.abc import Iterable

from earthlab.hub.cgroups import sweep
from earthlab.hub.inside import sweep_inside
from earthlab.hub.layout import Layout
from earthlab.hub.parts import Part, classify_all
from earthlab.hub.private import sweep_private
from earthlab.hub.processes import Process, end_lab_processes

_PEOPLES: frozenset[Part] = frozenset({"template", "nursery", "server", "kernel", "parked"})

END_BY_HAND = "End processes by hand and remove control groups with rmdir, or restart the machine."
"""What helps where something of a lab would not end."""


def end_all(
    layout: Layout,
    *,
    spare: Iterable[int] = (),
    below: int | None = None,
    patience: float = 0.0,
    grace: float = 5.0,
) -> list[str]:
    """End every process of a lab, remove its users' temporary folders and its control groups.

    The parameters are those of `end_lab_processes`.

    Returns
    -------
    list of str
        What is still there after all: normally nothing.
    """
    left = end_lab_processes(layout, spare=spare, below=below, patience=patience, grace=grace)
    sweep_inside(layout)
    sweep_private(layout)
    return [
        *(f"process {process.pid} ({process.command})" for process in left),
        *(f"control group {folder}" for folder in sweep(layout)),
    ]


def end_hub(layout: Layout, *, below: int, spare: Iterable[int] = ()) -> list[str]:
    """End what a hub that was killed has left, but not people's servers and all that runs in them.

    Parameters
    ----------
    below : int
        The supervisor.
    spare : iterable of int
        Further pids that stay.

    Returns
    -------
    list of str
        What is still there after all: normally nothing.
    """
    left = end_lab_processes(layout, spare=spare, below=below, stays=find_peoples, patience=3.0, grace=4.0)
    return [f"process {process.pid} ({process.command})" for process in left]


def find_peoples(processes: Iterable[Process]) -> set[int]:
    """Of the processes of a lab those that do not end with a hub: servers, what people run in them, and the template.

    Clusters are the gateway's, which ends with the hub.
    """
    known = {process.pid: process for process in processes}
    parts = classify_all({pid: process.parent for pid, process in known.items()})
    # What a user's program is called is the user's affair: an account's unknown processes are as its server.
    return {
        pid for pid, part in parts.items() if part in _PEOPLES or (part == "other" and known[pid].uid != os.getuid())
    }
