"""``python -m earthlab.hub.keeper``: started by the hub, ends all that the lab started once the hub is gone.

It holds a handle of the hub's process, so that it learns of the hub's end even by ``kill -9``. When an orderly hub
tells it to stop, it steps aside but stays until the hub itself is gone. Where a supervisor outlives the hub, it does
nothing: the supervisor starts the next one, which finds the servers of the last.
"""

import os
import signal
import sys

from earthlab.hub.ending import end_all
from earthlab.hub.head import HEAD
from earthlab.hub.layout import Layout, resolve_layout
from earthlab.kernel.process import has_ended, wait_for_end
from earthlab.settings import load_settings

HUB_PID = "EARTHLAB_HUB"
"""Environment variable with the hub's pid."""


def main() -> int:
    """Wait for the end of the hub named by ``EARTHLAB_HUB``, then end the lab; 1 where something would not end."""
    layout = resolve_layout(load_settings())
    hub, head = int(os.environ[HUB_PID]), int(os.environ[HEAD])
    _step_aside_when_told()
    supervisor = None if head == hub else _open(head)
    _wait_for_end(hub)
    if supervisor is not None and not has_ended(supervisor):
        return 0
    return keep(layout)


def keep(layout: Layout) -> int:
    """End what the hub left behind: first by waiting, then by asking, then by force. At most about 20 s."""
    left = end_all(layout, patience=3.0, grace=5.0)
    for each in left:
        sys.stderr.write(f"earthlab keeper: {each} would not end\n")
    return 1 if left else 0


def _wait_for_end(pid: int) -> None:
    hub = _open(pid)
    if hub is not None and os.getppid() == pid:
        wait_for_end(hub)


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _step_aside_when_told() -> None:
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, _step_aside)


def _step_aside(_sent: int, _frame: object) -> None:
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sent, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    os.setsid()


if __name__ == "__main__":
    sys.exit(main())
