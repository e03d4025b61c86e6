"""The end of a lab, whoever sees to it: its processes, and what they had of the machine."""

from collections.abc import Iterable

from earthlab.hub.cgroups import sweep
from earthlab.hub.inside import sweep_inside
from earthlab.hub.layout import Layout
from earthlab.hub.private import sweep_private
from earthlab.hub.processes import end_lab_processes

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
