"""The life "server" of a copy of the lab's template: a user's JupyterLab whose imports are there already."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from glob import glob
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat
from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_core.paths import jupyter_path
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from jupyterlab.commands import get_app_dir, get_user_settings_dir, get_workspaces_dir  # type: ignore[import-untyped]

from earthlab.hub.guests import note_lines
from earthlab.hub.pairs import works_in_pairs
from earthlab.hub.server import plan_arguments, prepare_server
from earthlab.kernel.memory import trim_at_rest

_LATE = (
    "anyio._backends._asyncio",
    "babel.dates",
    "babel.numbers",
    "earthlab.hub.connections",
    "earthlab.hub.histories",
    "earthlab.kernel.provisioner",
    "earthlab.kernel.specs",
    "earthlab.kernel.starting",
    "earthlab_lab.app",
    "jinja2.ext",
    "jupyter_lsp",
    "jupyter_server.kernelspecs.handlers",
    "jupyter_server.nbconvert.handlers",
    "jupyter_server.services.api.handlers",
    "jupyter_server.services.config.handlers",
    "jupyter_server.services.contents.handlers",
    "jupyter_server.services.events.handlers",
    "jupyter_server.services.kernels.handlers",
    "jupyter_server.services.kernelspecs.handlers",
    "jupyter_server.services.nbconvert.handlers",
    "jupyter_server.services.security.handlers",
    "jupyter_server.services.sessions.handlers",
    "jupyter_server.services.shutdown",
    "jupyter_server.view.handlers",
    "jupyter_server_fileid.extension",
    "jupyter_server_terminals",
    "jupyter_ydoc",
    "jupyterlab.labapp",
    "nbconvert",
    "notebook_shim.nbserver",
    "pycrdt.websocket",
    "tornado.platform.asyncio",
)
"""What a server imports only as it starts, 20 MB that would be each one's own: here the template does it for all.

Not ``jupyter_server_ydoc``, which makes the server's mark as it is imported: pages of an earlier server would be taken
for pages of this one, and what they hold be merged with another history of their notebook.
"""

_LOCALES = ("fr_FR", "en")
"""The lab's pages are in these."""


def import_and_ask_ahead() -> None:
    """Import the rest, and ask once what each server would ask anew.

    The first time that Python is asked whether a text is a mapping, as for every line of a log, it looks at each class
    that says it is one: 2 MB. The page's first question for a notebook compiles the schema of notebooks, its list of
    kernels looks through all installed packages, its menu of exports has one of each exporter made: 0.5 s of a core.
    """
    for name in _LATE:
        import_module(name)
    values: tuple[object, ...] = ("", 0, 0.0, [], Path())
    for value in values:
        isinstance(value, Mapping)
    nbformat.validate(nbformat.v4.new_notebook())
    remember_exporters()
    remember_provisioners()
    remember_languages()
    remember_schemas()


def remember_exporters() -> None:
    """Have nbconvert keep the list of its exporters, and the class of each that can be had: no copy finds others."""
    exporters = vars(import_module("nbconvert.exporters.base"))
    for question in ("get_export_names", "get_exporter"):
        exporters[question] = cache(exporters[question])
    for name in exporters["get_export_names"]():
        # For want of a program or of a library: it is not offered.
        with suppress(ImportError, ValueError, exporters["ExporterDisabledError"]):
            exporters["get_exporter"](name)


def remember_provisioners() -> None:
    """Have jupyter_client keep what it finds of kernel provisioners."""
    found = KernelProvisionerFactory._get_all_provisioners()  # noqa: SLF001 - it asks nobody else
    KernelProvisionerFactory._get_all_provisioners = staticmethod(lambda: found)  # type: ignore[method-assign]  # noqa: SLF001


def remember_languages() -> None:
    """Have JupyterLab keep what it finds of translations: each page asks, and all packages were looked through."""
    handlers = vars(import_module("jupyterlab_server.translations_handler"))
    for question in ("get_language_packs", "get_language_pack"):
        handlers[question] = cache(handlers[question])
    for locale in _LOCALES:
        handlers["get_language_packs"](display_locale=locale)
        handlers["get_language_pack"](locale)


def remember_schemas() -> None:
    """Have JupyterLab check the schema of each plugin's settings once: each page asks for all, a tenth of its cost."""
    settings = vars(import_module("jupyterlab_server.settings_utils"))
    settings["Validator"] = remembering = Sound(settings["Validator"])
    for file in _find_schemas():
        # Of one that is not sound JupyterLab tells whoever asks for it.
        with suppress(SchemaError, ValueError):
            remembering.check_schema(json.loads(file.read_bytes()))


class Sound:
    """A class of validators that remembers which schemas are sound."""

    def __init__(self, validator: Any) -> None:
        self._validator = validator
        self._sound: set[bytes] = set()

    def __call__(self, schema: Any) -> Any:
        """A validator by this schema."""
        return self._validator(schema)

    def check_schema(self, schema: Any) -> None:
        """Raise what the class raises where the schema is not sound."""
        digest = hashlib.blake2b(json.dumps(schema).encode()).digest()
        if digest not in self._sound:
            self._validator.check_schema(schema)
            self._sound.add(digest)


def _find_schemas() -> Iterable[Path]:
    extensions = (Path(place, name) for place in jupyter_path("labextensions") for name in ("*", "*/*"))
    for place in (Path(get_app_dir()), *extensions):
        # Not `Path.glob`: one that is being worked on is a link.
        yield from map(Path, glob(f"{place}/schemas/**/*.json", recursive=True))  # noqa: PTH207


import_and_ask_ahead()


def run_server(_content: dict[str, Any]) -> None:
    """Run the server until it is told to stop, in a process that is the user's already."""
    reset_logging()
    home = Path.home()
    prepare_server(home)
    note_lines()
    trim_at_rest()
    arguments = plan_arguments(home, pairs=works_in_pairs(os.environ))
    JupyterHubSingleUser.launch_instance([*arguments, *plan_own_folders()])


def plan_own_folders() -> list[str]:
    """What JupyterLab has looked up as it was imported, when it had nobody's home."""
    return [f"--LabApp.user_settings_dir={get_user_settings_dir()}", f"--LabApp.workspaces_dir={get_workspaces_dir()}"]


def reset_logging() -> None:
    """Undo what `distributed` has set, for a kernel: the server's requests would each be logged three times."""
    for name in ("tornado", "tornado.application"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
