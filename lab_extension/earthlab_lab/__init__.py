"""EarthLab in JupyterLab: where the panels' files are, and the routes by which they ask `earthlab`."""

from typing import Any


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "@earthlab/lab"}]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": "earthlab_lab"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    from earthlab_lab.app import load_routes  # by the server alone: JupyterLab reads the two lists above as well

    load_routes(serverapp)
