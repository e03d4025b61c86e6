"""JupyterHub's configuration file: the lab's settings, turned into JupyterHub's by functions that only set."""

import os
import sys

from earthlab.errors import EarthlabError
from earthlab.hub.configure import configure
from earthlab.hub.database import write_ahead
from earthlab.hub.head import is_supervised
from earthlab.hub.layout import MARKER, resolve_layout
from earthlab.hub.places import publish_metrics
from earthlab.hub.prepare import prepare_lab
from earthlab.settings import load_settings

try:
    settings = load_settings()
    layout = resolve_layout(settings)
    # Not configuration, but what must be so before the hub opens its database.
    os.environ[MARKER] = layout.lab_id
    lab_lock = prepare_lab(layout, clear=not is_supervised(os.environ))
    configure(get_config(), settings)
    write_ahead()
    publish_metrics()
except EarthlabError as exc:
    sys.exit(f"earthlab: {exc}")
