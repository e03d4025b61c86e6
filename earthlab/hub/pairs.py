"""Two in one notebook: how a seat's server is started in a workshop whose participants may work in pairs.

JupyterLab's own collaboration (``jupyter_collaboration``) keeps a notebook in the server and merges what two pages
write. It has doubled cells where a page came back to another history of its notebook than the one it knew: here there
is never another one. A notebook that was opened stays in memory for as long as the server runs; nothing of its history
is kept longer; and a page that knew an earlier server is told to load anew.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from earthlab.hub.handout import read_handout

Hook = Callable[[Any, dict[str, Any]], dict[str, Any]]
"""Changes what JupyterLab's page is told, given the request's handler."""

_IN_THE_SERVER = ("jupyter_server_fileid", "jupyter_server_ydoc")
_IDS = ".file_id_manager.db"
_IN_THE_PAGE = ("@jupyter/collaboration-extension", "@jupyter/docprovider-extension")


def works_in_pairs(environ: Mapping[str, str]) -> bool:
    """Whether the server of this environment is a seat's whose participants may work in pairs."""
    handout = read_handout(environ)
    return handout is not None and handout.pairs


def plan_collaboration(home: Path, *, pairs: bool) -> list[str]:
    """The part of JupyterLab's command line that switches collaboration on, or off with all that it would take."""
    folder = Path(__file__).resolve().parent / ("jupyterlab_pairs" if pairs else "jupyterlab")
    settings = f"--LabApp.app_settings_dir={folder}"
    if not pairs:
        off = [f"--ServerApp.jpserver_extensions={name}=False" for name in _IN_THE_SERVER]
        return [settings, *off, f"--ServerApp.jpserver_extensions={__name__}=True"]
    return [
        settings,
        # Never: a page that was away would come back to another history.
        "--YDocExtension.document_cleanup_delay=None",
        "--YDocExtension.document_save_delay=0.5",
        "--YDocExtension.ystore_class=earthlab.hub.histories.NoHistory",
        # A notebook is known by the same id after a new start of the server: only then its pages are told so.
        f"--ArbitraryFileIdManager.db_path={home / _IDS}",
        # No earlier server is known: its pages must load anew.
        "--YDocExtension.session_store_path=/dev/null",
    ]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(_server: Any) -> None:
    """Wait: JupyterHub's extension, which is loaded later, puts its hook in the place of another."""


async def _start_jupyter_server_extension(server: Any) -> None:
    settings = server.web_app.settings
    settings["page_config_hook"] = leave_out(settings.get("page_config_hook"))


def leave_out(first: Hook | None) -> Hook:
    """A hook that tells JupyterLab's page of no collaboration: pages load extensions that are switched off, too.

    Parameters
    ----------
    first : callable, optional
        The hook that there is already.
    """

    def tell(handler: Any, page_config: dict[str, Any]) -> dict[str, Any]:
        said = first(handler, page_config) if first else page_config
        said["federated_extensions"] = [it for it in said["federated_extensions"] if it["name"] not in _IN_THE_PAGE]
        return said

    return tell
