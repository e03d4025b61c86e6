"""What JupyterHub's configuration files call: this checkout's, and the JupyterHub chart's ``extraConfig``."""

import os
import sys
from typing import Any

from earthlab.errors import EarthlabError
from earthlab.hub.absence import refuse_without_database
from earthlab.hub.configure import configure
from earthlab.hub.database import write_ahead
from earthlab.hub.head import is_supervised
from earthlab.hub.layout import MARKER, Layout, resolve_layout
from earthlab.hub.places import publish_metrics
from earthlab.hub.prepare import lab_runs, make_pod_folders, prepare_lab, take_lock
from earthlab.settings import Settings, load_settings

_LOCKS: list[int] = []
"""Descriptors that are held for as long as the hub runs."""


def set_up(c: Any) -> None:
    """Read the lab's settings, make what must be there before the hub opens its database, and fill ``c``.

    Raises
    ------
    SystemExit
        With one line, where a setting cannot be met.
    """
    try:
        settings = load_settings()
        layout = resolve_layout(settings)
        os.environ[MARKER] = layout.lab_id
        _prepare(layout, settings)
        configure(c, settings)
        write_ahead()
        publish_metrics()
        refuse_without_database()
    except EarthlabError as exc:
        sys.exit(f"earthlab: {exc}")


def _prepare(layout: Layout, settings: Settings) -> None:
    if settings.kubernetes.enabled:
        # Nobody's processes and no other lab's are in the hub's pod.
        make_pod_folders(layout)
        # `jupyterhub token` and the like read the same file in the pod of a hub that holds it.
        if not lab_runs(layout):
            _LOCKS.append(take_lock(layout))
    else:
        _LOCKS.append(prepare_lab(layout, clear=not is_supervised(os.environ)))
